"""Let RFBNet's own `voc_eval` judge what a benchmark by the paper's protocol left.

    python -m benchmarks.voc_eval --original RFBNet -w workspace --name rehearsal-tree

`--original` is a checkout of github.com/GOATmessi8/RFBNet, whose code runs here as it stands.
"""

import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from sixrayd.core.command import workspace_option
from sixrayd.core.workspace import Workspace


def load_original(checkout: Path) -> Callable[..., tuple[Any, Any, float]]:
    """`voc_eval` of the checkout, which asks for names that NumPy has dropped since."""
    np.bool = bool  # type: ignore[assignment,misc]
    sys.path.insert(0, str(checkout / "data"))
    judge: Callable[..., tuple[Any, Any, float]] = importlib.import_module("voc_eval").voc_eval
    return judge


def values_of(judge: Callable[..., Any], folder: Path, tree: Path, row: Any) -> dict[str, float]:
    """What the original says of each class of a system; 0 where it found nothing, as we count."""
    files = folder / "detections" / row["system"]["key"]
    values = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in row["classes"]:
            if not (files / f"comp4_det_test_{name}.txt").stat().st_size:
                values[name] = 0.0
                continue
            _, _, values[name] = judge(
                str(files / "comp4_det_test_{}.txt"),
                str(tree / "Annotations" / "{}.xml"),
                str(tree / "ImageSets" / "Main" / "test.txt"),
                name,
                cache,
                use_07_metric=True,
            )
    return values


@click.command()
@workspace_option
@click.option("--name", required=True, help="Of the benchmark.")
@click.option("--original", type=click.Path(path_type=Path, exists=True), required=True)
def main(workspace: Workspace, name: str, original: Path) -> None:
    """Print both means of each system and the largest difference of any class, as JSON."""
    folder = workspace.folder("benchmark", name)
    results = json.loads((folder / "results.json").read_text("utf-8"))
    if results["split"]["name"]:
        raise click.UsageError(f"{name}: judged by a split of its own; needs the tree's lists")
    judge = load_original(original)
    means, worst, count = {}, 0.0, 0
    for row in results["rows"]:
        theirs = values_of(judge, folder, Path(results["tree"]), row)
        gaps = [abs(value - row["classes"][label]) for label, value in theirs.items()]
        worst, count = max(worst, *gaps), count + len(gaps)
        means[row["system"]["key"]] = [row["voc07"]["value"], float(np.mean(list(theirs.values())))]
    click.echo(json.dumps({"means": means, "classes": count, "largest_difference": worst}))


if __name__ == "__main__":
    main()
