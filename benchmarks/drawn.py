"""What reviewers get drawn of a mining's candidates, and how much of it is right.

Example:
    python -m benchmarks.drawn --truth rehearsal-truth/truth.csv

The truth says what hides in the negatives; classes that the mining does not know are left out.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from sixrayd.core.boxes import Box, edges_of, iou_matrix, stack_xyxy
from sixrayd.core.records import CANDIDATE_SCHEMA
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.demo.reviewer import load_truth
from sixrayd.review.queue.plan import drawing_of
from sixrayd.statistics.drawing import MOST_DRAWN

Row = Mapping[str, Any]
Draw = Callable[[Sequence[Row]], Sequence[Row]]
FIRST = (200, 542)  # images of the queue, beside all


def right(rows: Sequence[Row], things: Sequence[Box]) -> int:
    """Things met by a box of their class with an IoU of 0.5 or more."""
    if not rows or not things:
        return 0
    overlap = iou_matrix(np.array([edges_of(row) for row in rows]), stack_xyxy(things))
    same = np.array([[row["label"] == thing.label for thing in things] for row in rows])
    return int(((overlap >= 0.5) & same).any(axis=0).sum())


def judged(images: Sequence[Sequence[Row]], truth: Sequence[Sequence[Box]], draw: Draw) -> Row:
    """Boxes an image, images without any, boxes that are right, things that have one."""
    drawn = [draw(rows) for rows in images]
    boxes, met = sum(map(len, drawn)), sum(map(right, drawn, truth))
    return {
        "images": len(images),
        "boxes an image": round(boxes / len(images), 2),
        "bare": round(sum(not rows for rows in drawn) / len(images), 3),
        "right": round(met / max(boxes, 1), 3),
        "things with a box": round(met / max(sum(map(len, truth)), 1), 3),
    }


@click.command()
@click.option("--workspace", type=click.Path(path_type=Path), default="workspace")
@click.option("--name", default="", help="Of the mining.  [default: the newest]")
@click.option("--truth", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--least", type=float, help="Score.  [default: what known positives say]")
def main(workspace: Path, name: str, truth: Path, least: float | None) -> None:
    """Print what is drawn by several rules."""
    place = Workspace(workspace)
    mining = name or place.newest("mine")
    table = read_table(place.folder("mine", mining) / "candidates.parquet", CANDIDATE_SCHEMA)
    by_image: dict[str, list[Row]] = {}
    for row in table.to_pylist():  # by rank, then score
        by_image.setdefault(row["image_id"], []).append(row)
    known, classes = load_truth(truth), place.classes()
    there = [[box for box in known.get(i, ()) if classes.covers(box.label)] for i in by_image]
    rules: dict[str, Draw] = {
        "all, at most 20": lambda rows: rows[:20],
        "0.1 and more, at most 20": lambda rows: [r for r in rows if r["score"] >= 0.1][:20],
    }
    for most in (MOST_DRAWN, 1):
        drawing = drawing_of(place, mining, most, least)
        rules[f"drawn, {drawing.least:.3g} and more, at most {most}"] = drawing.of
    images = list(by_image.values())
    for rule, draw in rules.items():
        told = [judged(images[:n], there[:n], draw) for n in (*FIRST, len(images))]
        click.echo(json.dumps({rule: told}))


if __name__ == "__main__":
    main()
