"""Compare kinds of inference on the negatives: time, hidden images found, finds per second.

Example:
    python -m benchmarks.inference -w workspace --truth rehearsal-truth/truth.csv \\
        --model rfb-small --first rfb-tiny --way mirror --way tiles --way cascade+mirror
"""

import csv
import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from sixrayd.core.ahead import chunked
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Truths
from sixrayd.core.errors import SixraydError
from sixrayd.core.index import Index
from sixrayd.core.records import Source
from sixrayd.core.workspace import Workspace
from sixrayd.imaging.decode import decode_rgb
from sixrayd.mine.cascade import Calibration, calibrate, finds_object, validation_images
from sixrayd.mine.inference import (
    Cascade,
    Inference,
    InferenceSettings,
    image_score,
    open_first,
    open_inference,
)

WAYS = ("plain", "mirror", "dynamic", "tdc", "tiles", "cascade+mirror")
PARTS = {"plain", "mirror", "dynamic", "tdc", "tiles", "cascade"}


@dataclass
class Tally:
    """What one kind of inference took and saw, image by image."""

    inference: Inference
    seconds: list[float] = field(default_factory=list)  # an image, chunk by chunk
    total_s: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    right: set[str] = field(default_factory=set)  # where a detection meets a hidden object

    def look_at(self, ids: list[str], images: list[Any], hidden: dict[str, Truths]) -> None:
        """Time one chunk of images."""
        start = time.perf_counter()
        found = self.inference.detect(images)
        spent = time.perf_counter() - start
        self.seconds.append(spent / len(images))
        self.total_s += spent
        self.scores |= {i: image_score(d) for i, d in zip(ids, found, strict=True)}
        self.right |= {
            i for i, d in zip(ids, found, strict=True) if i in hidden and finds_object(d, hidden[i])
        }

    def row(self, way: str, hidden: dict[str, Truths], after: tuple[int, ...]) -> dict[str, Any]:
        """The way's line of the result; flagged images are ranked by score, ties by id."""
        flagged = [i for i, score in self.scores.items() if score > 0]
        order = sorted(flagged, key=lambda i: (-self.scores[i], i))
        found = {n: sum(i in hidden for i in order[:n]) for n in after}
        return {
            "way": way,
            "seconds_per_image": self.total_s / len(self.scores),
            "median_seconds_per_image": statistics.median(self.seconds),
            "flagged": len(flagged),
            "hidden_met": len(self.right),
            **{f"found_in_{n}": count for n, count in found.items()},
            **{f"found_in_{n}_per_s": count / self.total_s for n, count in found.items()},
        }


def open_way(
    place: Workspace, way: str, model: str, first: str, calibrating: dict[str, Any], **how: Any
) -> tuple[Inference, Calibration | None]:
    """A look from the names of its parts, joined by "+"; a cascade is calibrated first."""
    parts = set(way.split("+"))
    if unknown := parts - PARTS:
        raise click.UsageError(f"--way {way}: {sorted(unknown)[0]} is none of {sorted(PARTS)}")
    if "cascade" in parts and not first:
        raise click.UsageError(f"--way {way}: name the first model with --first")
    settings = InferenceSettings(
        mirror="mirror" in parts,
        crop="tdc" if "tdc" in parts else "tiles" if "tiles" in parts else "none",
        dynamic="dynamic" in parts,
        **how,
    )
    inference = open_inference(place.output("models", model, "weights.safetensors"), settings)
    if "cascade" not in parts:
        return inference, None
    small = open_first(place.output("models", first, "weights.safetensors"), settings)
    images = validation_images(place, (model, first), calibrating["negatives"])
    about = calibrate(small, inference, images, calibrating["keep"])
    return Cascade(small, inference, about.threshold), about


def drawn_negatives(index: Index, most: int, seed: int) -> list[str]:
    """Ids of readable negatives: all of them, or `most` drawn at random."""
    ids = index.rows(source=Source.NEGATIVE)["image_id"].to_pylist()
    if most and most < len(ids):
        drawn = np.random.default_rng(seed).permutation(len(ids))[:most]
        return [ids[place] for place in sorted(drawn)]
    return list(ids)


def hidden_objects(truth: Path, classes: ClassList) -> dict[str, Truths]:
    """The boxes of images that a truth file calls hidden; its pixels are VOC's."""
    boxes: dict[str, list[list[float]]] = {}
    labels: dict[str, list[int]] = {}
    with truth.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["hidden"] == "1":
                x1, y1, x2, y2 = (float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
                boxes.setdefault(row["name"], []).append([x1 - 1, y1 - 1, x2, y2])
                labels.setdefault(row["name"], []).append(classes.index(row["label"]))
    return {name: Truths(np.array(boxes[name]), np.array(labels[name])) for name in boxes}


def speed_up(rows: dict[str, dict[str, Any]], tallies: dict[str, Tally]) -> dict[str, Any]:
    """Each cascade beside its second detector alone: how many times faster, and the share of the
    hidden images whose objects the second meets that the cascade meets too."""
    beside = {}
    for way in rows:
        alone = "+".join(p for p in way.split("+") if p != "cascade") or "plain"
        if alone == way or alone not in rows:
            continue
        kept, met = tallies[way].right & tallies[alone].right, tallies[alone].right
        ratios = np.divide(tallies[alone].seconds, tallies[way].seconds)
        beside[way] = {
            "times_faster": tallies[alone].total_s / tallies[way].total_s,
            "median_times_faster": float(np.median(ratios)),
            "hidden_kept": len(kept) / len(met) if met else None,
        }
    return beside


@click.command()
@click.option("-w", "--workspace", type=click.Path(path_type=Path), default="workspace")
@click.option("--truth", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--model", default="", help="[default: the newest]")
@click.option("--first", default="", help="A cascade's first model.  [default: no cascades]")
@click.option("--way", "ways", multiple=True, help=f"Parts joined by +.  [default: {WAYS}]")
@click.option("--after", multiple=True, type=int, default=(100, 200, 400, 800), show_default=True)
@click.option("--most", type=int, default=0, help="Negatives, drawn at random.  [default: all]")
@click.option("--threshold", type=float, default=0.02, show_default=True)
@click.option("--keep", type=float, default=0.995, show_default=True, help="Of a cascade's finds.")
@click.option("--negatives", type=int, default=500, show_default=True, help="To calibrate with.")
@click.option("--batch", type=int, default=16, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--backend", default="torch", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(
    workspace: Path,
    truth: Path,
    model: str,
    first: str,
    ways: tuple[str, ...],
    after: tuple[int, ...],
    most: int,
    batch: int,
    seed: int,
    keep: float,
    negatives: int,
    **how: Any,
) -> None:
    """Let every way look at the same negatives, chunk by chunk in turns, and print JSON.

    Images are decoded once for all ways, outside the time. `flagged` counts images with any
    detection, `hidden_met` hidden ones where a detection overlaps an object of its class by 0.5.
    """
    torch.set_num_threads(how["threads"])
    place = Workspace(workspace)
    model = model or place.newest("models")
    chosen = ways or tuple(way for way in WAYS if first or "cascade" not in way)
    calibrating = {"keep": keep, "negatives": negatives}
    try:
        opened = {way: open_way(place, way, model, first, calibrating, **how) for way in chosen}
    except SixraydError as error:
        raise click.ClickException(str(error)) from error
    tallies = {way: Tally(inference) for way, (inference, _) in opened.items()}
    index = Index.load(place)
    ids = drawn_negatives(index, most, seed)
    hidden = hidden_objects(truth, place.classes())
    hidden = {i: hidden[i] for i in ids if i in hidden}
    for some in chunked(ids, batch):
        images = [decode_rgb(index.read(image_id), image_id) for image_id in some]
        if some[0] == ids[0]:  # the first chunk warms up
            for tally in tallies.values():
                tally.inference.detect(images)
        for tally in tallies.values():
            tally.look_at(some, images, hidden)
    rows = {way: tally.row(way, hidden, after) for way, tally in tallies.items()}
    document = {
        "model": model,
        "first": first,
        "images": len(ids),
        "hidden": len(hidden),
        "batch": batch,
        **how,
        "calibration": {way: asdict(c) for way, (_, c) in opened.items() if c},
        "cascades": speed_up(rows, tallies),
        "ways": list(rows.values()),
    }
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
