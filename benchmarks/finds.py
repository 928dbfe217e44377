"""Draw how fast a review of mined candidates finds what is hidden, where the truth is known.

Example:
    python -m benchmarks.finds -w workspace --truth rehearsal-truth/truth.csv --out finds.png
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.finds_curve import FindsCurve, finds_curve
from sixrayd.core.arrays import BoolArray, FloatArray
from sixrayd.core.index import Index
from sixrayd.core.records import CANDIDATE_SCHEMA, Source
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace


@dataclass(frozen=True)
class Ranked:
    """All negatives, likeliest first; those without a candidate come last, by image id."""

    image_ids: tuple[str, ...]
    hidden: BoolArray  # (N,)
    near_positive: BoolArray  # (N,) shares a near-duplicate group with a positive


def rank_negatives(workspace: Workspace, mining: str, truth: Path) -> Ranked:
    """Join a mining with the truth.

    Args:
        truth: CSV with the columns `name` and `hidden`.
    """
    index = Index.load(workspace)
    path = workspace.output("mine", mining, "candidates.parquet")
    candidates = read_table(path, CANDIDATE_SCHEMA).select(["image_id", "rank"]).to_pylist()
    ranks = {row["image_id"]: row["rank"] for row in candidates}
    rows = index.rows().select(["image_id", "source", "group"]).to_pylist()
    positive = {row["group"] for row in rows if row["source"] == Source.POSITIVE}
    near = {row["image_id"] for row in rows if row["group"] in positive}
    with truth.open(encoding="utf-8", newline="") as file:
        hidden = {row["name"] for row in csv.DictReader(file) if row["hidden"] == "1"}
    negatives = [row["image_id"] for row in rows if row["source"] == Source.NEGATIVE]
    order = sorted(negatives, key=lambda i: (ranks.get(i, len(rows)), i))
    flags = (np.array([i in among for i in order]) for among in (hidden, near))
    return Ranked(tuple(order), *flags)


def thinned_curve(ranked: Ranked, share: float, resamples: int, seed: int) -> FloatArray:
    """Mean recall after each share of the images, when hidden ones are as rare as in the field.

    Near-duplicates of positives are left out; each resample keeps every clean negative and draws
    so many of the hidden that they make up `share`.

    Returns:
        (1001,) recall after 0, 0.1, ... 100 % of the images.
    """
    rng = np.random.default_rng(seed)
    kept = ranked.hidden[~ranked.near_positive]  # in ranked order
    places = np.flatnonzero(kept)
    wanted = round(share / (1 - share) * int((~kept).sum()))
    curves = []
    for _ in range(resamples):
        chosen = np.zeros(len(kept), bool)
        chosen[rng.choice(places, min(wanted, len(places)), replace=False)] = True
        recall = finds_curve(kept[~kept | chosen]).recall
        at = np.linspace(0, 1, 1001) * (len(recall) - 1)
        curves.append(np.interp(at, np.arange(len(recall)), recall))
    mean: FloatArray = np.mean(curves, axis=0)
    return mean


def draw(path: Path, curve: FindsCurve, thinned: FloatArray, title: str) -> None:
    """Both curves beside random and perfect order, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(curve.recall, label="by score")
    left.plot(curve.random, "--", color="0.5", label="random order")
    left.plot(curve.perfect, ":", color="0.5", label="perfect order")
    left.set(title=title, xlabel="images reviewed", ylabel="hidden images found", ylim=(0, 1.02))
    share = np.linspace(0, 100, len(thinned))
    right.plot(share, thinned, label="by score, mean of resamples")
    right.plot(share, share / 100, "--", color="0.5", label="random order")
    right.set(title="hidden images thinned to 0.5 %", xlabel="share of images reviewed (%)")
    right.set(xscale="symlog", xlim=(0, 100), ylim=(0, 1.02))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


@click.command()
@click.option("-w", "--workspace", type=click.Path(path_type=Path), default="workspace")
@click.option("--mining", default="", help="[default: the newest]")
@click.option("--truth", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), default="finds.png", show_default=True)
@click.option("--resamples", type=int, default=200, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(workspace: Path, mining: str, truth: Path, out: Path, resamples: int, seed: int) -> None:
    """Draw recall of the hidden images against images reviewed, and print it as JSON."""
    place = Workspace(workspace)
    name = mining or place.newest("mine")
    ranked = rank_negatives(place, name, truth)
    curve = finds_curve(ranked.hidden)
    thinned = thinned_curve(ranked, 0.005, resamples, seed)
    draw(out, curve, thinned, f"{len(ranked.hidden)} negatives, {ranked.hidden.sum()} hidden")
    points = [n for n in (100, 200, 400, 542, 800, 1200, 2000) if n < len(curve.recall)]
    document = {
        "mining": name,
        "images": len(ranked.hidden),
        "hidden": int(ranked.hidden.sum()),
        "hidden_near_a_positive": int((ranked.hidden & ranked.near_positive).sum()),
        "recall_after": {n: round(float(curve.recall[n]), 3) for n in points},
        "random_after": {n: round(float(curve.random[n]), 3) for n in points},
        "perfect_after": {n: round(float(curve.perfect[n]), 3) for n in points},
        "thinned_recall_after_percent": {
            p: round(float(thinned[round(p * 10)]), 3) for p in (0.5, 1, 2, 5, 10, 20, 30)
        },
    }
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
