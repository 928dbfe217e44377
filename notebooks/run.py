"""Run notebooks in this process; what their cells show is kept in them, unless `--check` is given.

Example:
    SIXRAYD_WORKSPACE=demo/workspace python notebooks/run.py notebooks/tour.ipynb
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

DPI, COLOURS = 60, 64  # of figures that are kept
SIDE, QUALITY = 480, 60  # of other pictures


def main(*words: str) -> None:
    for path in (Path(word).resolve() for word in words if word != "--check"):
        notebook = json.loads(path.read_text("utf-8"))
        with contextlib.chdir(path.parent):
            run(notebook)
        if "--check" not in words:
            path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


def run(notebook: dict[str, Any]) -> None:
    """Run the code of all cells, one after the other, and put what they show in its place."""
    known: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            value = _last_value("".join(cell["source"]), known)
        cell["execution_count"] = number
        cell["outputs"] = list(_outputs(said.getvalue(), value, number))


def _last_value(source: str, known: dict[str, Any]) -> Any:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), known)  # noqa: S102 - our own notebooks
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), known)  # noqa: S307


def _outputs(said: str, value: Any, number: int) -> Iterator[dict[str, Any]]:
    if said:
        yield {"name": "stdout", "output_type": "stream", "text": said.splitlines(keepends=True)}
    if value is not None:
        yield {
            "data": _shown(value),
            "execution_count": number,
            "metadata": {},
            "output_type": "execute_result",
        }


def _shown(value: Any) -> dict[str, Any]:
    file, kind = io.BytesIO(), "image/png"
    if isinstance(value, Figure):
        drawn = io.BytesIO()
        value.savefig(drawn, dpi=DPI, bbox_inches="tight")
        Image.open(drawn).convert("RGB").quantize(COLOURS).save(file, "PNG", optimize=True)
    elif isinstance(value, Image.Image):
        kind, small = "image/jpeg", value.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        small.save(file, "JPEG", quality=QUALITY)
    else:
        return {"text/plain": repr(value).splitlines(keepends=True)}
    return {kind: base64.b64encode(file.getvalue()).decode(), "text/plain": ["a picture"]}


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    main(*sys.argv[1:])
