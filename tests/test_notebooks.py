"""What notebooks keep is small and of nobody's machine; `test_demo.py` runs them."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from notebooks.run import main

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


def code_cells(path):
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]


def written(path, *sources):
    cells = [{"cell_type": "code", "source": [source], "outputs": []} for source in sources]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["review", "tdc", "tour"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_kept_and_small(path):
    cells = code_cells(path)
    text = path.read_text("utf-8")

    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert all(cell["outputs"] for cell in cells)
    assert len(text) < 150_000
    assert re.findall(r"/(?:home|root|tmp)/|@(?!sixrayd\.example)[a-z]+\.", text) == []


def test_a_picture_of_a_workspace_starts_no_program():
    """As Pillow starts Ghostscript for one that is PostScript, whatever its name."""
    sources = ["".join(cell["source"]) for path in NOTEBOOKS for cell in code_cells(path)]
    opening = [source for source in sources if "Image.open(" in source]
    assert len(opening) == 1
    assert all('Image.open(picture, formats=["PNG"])' in source for source in opening)


def test_tables_of_a_workspace_are_read_within_limits():
    """Of 600 kB that another one wrote, pandas would make 3 GB."""
    sources = ["".join(cell["source"]) for path in NOTEBOOKS for cell in code_cells(path)]
    assert sum("read_table(" in source for source in sources) == 3
    assert not [source for source in sources if "pd.read_" in source]


def test_a_figure_holds_no_large_image():
    """Of four images of 49 megapixels Matplotlib took 4 GB."""
    sources = ["".join(cell["source"]) for path in NOTEBOOKS for cell in code_cells(path)]
    parts = [part for source in sources for part in ast.walk(ast.parse(source))]
    (show,) = [p for p in parts if isinstance(p, ast.FunctionDef) and p.name == "show"]
    known = {}
    exec(ast.unparse(show), known)
    ax = Figure().subplots()
    known["show"](ax, np.zeros((1500, 2500, 3), np.uint8))

    (drawn,) = ax.images
    assert drawn.get_array().shape == (500, 834, 3)
    assert tuple(drawn.get_extent()) == (-0.5, 2499.5, 1499.5, -0.5)
    calls = [
        ast.unparse(p.args[0])
        for p in parts
        if isinstance(p, ast.Call)
        and p.args
        and isinstance(p.func, ast.Attribute)
        and p.func.attr == "imshow"
    ]
    assert sorted(calls) == ["each[::step, ::step]", "profile(layer).average", "steps.average"]


def test_what_cells_show_is_kept(tmp_path):
    path = written(
        tmp_path / "a.ipynb",
        "from PIL import Image\nfrom matplotlib.figure import Figure\nfor n in range(2): print(n)",
        "n + 1",
        "Image.new('RGB', (2000, 1000))",
        "figure = Figure()\nfigure.subplots().plot([1, 2])\nfigure",
    )

    main(str(path))

    one, two, three, four = (cell["outputs"][0] for cell in code_cells(path))
    assert one == {"name": "stdout", "output_type": "stream", "text": ["0\n", "1\n"]}
    assert two["data"] == {"text/plain": ["2"]}
    assert [*three["data"]] == ["image/jpeg", "text/plain"]
    assert [*four["data"]] == ["image/png", "text/plain"]
    assert len(json.dumps([three, four])) < 20_000


def test_a_check_leaves_the_file_and_fails_where_a_cell_does(tmp_path):
    path = written(tmp_path / "a.ipynb", "1 + 1", "1 / 0")
    before = path.read_bytes()

    with pytest.raises(ZeroDivisionError):
        main("--check", str(path))

    assert path.read_bytes() == before
