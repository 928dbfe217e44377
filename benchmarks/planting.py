"""Measure whether planted contraband can be told from natural contraband, on synthetic scans.

Natural: an item of a synthetic positive. Planted: an item cut out of another positive, projected
into a clean negative and encoded as that was. Both are JPEGs, both were encoded twice (as shams
are), and both were chosen alike: the item can be cut out, no other lies near, and a clean scan was
found for it. Both boxes are the cutter's. A classifier sees statistics of the pixels around the
box (colours, edges, noise, what JPEG left) and is judged on folds that it has not learnt from.

Example:
    python -m benchmarks.planting --scans 150 --sheet docs/images/planted.png
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image
from scipy.stats import rankdata

from sixrayd.core.arrays import FloatArray, RGBImage
from sixrayd.core.boxes import Box
from sixrayd.core.classes import default_classes
from sixrayd.core.errors import ImageError
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.palette import Channels, Palette, read_palette
from sixrayd.imaging.planting import (
    Cutting,
    choose_place,
    cut_item,
    project,
    reencode,
    unlike,
)
from sixrayd.synth.drawing import draw_image
from sixrayd.synth.plan import ImagePlan
from sixrayd.synth.scene import Kind
from sixrayd.synth.settings import SynthSettings

FOLDS = 5
RIDGE = 30.0
TARGETS = 8  # clean scans among which the one most like an item's own is taken
RING = 0.2  # of the box's longer side, seen around it
TILE_PX = 180
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class Seen:
    """A JPEG's pixels with one piece of contraband in it."""

    picture: RGBImage
    box: Box


def draw(kind: Kind, number: int) -> tuple[bytes, tuple[Box, ...]]:
    """A synthetic scan's JPEG and the boxes in it."""
    plan = ImagePlan("", kind, number, number, kind)
    drawn = draw_image(plan, SynthSettings(seed=5, classes=default_classes()))
    return drawn.jpeg, drawn.boxes


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An item that can be cut out, the scan it lay in, and a place for it in a clean scan."""

    jpeg: bytes
    scan: RGBImage
    item: Cutting
    clean: "Clean"
    at: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Clean:
    """A scan without contraband."""

    jpeg: bytes
    scan: RGBImage
    palette: Palette | Channels


def cuttable(first: int) -> Iterator[tuple[bytes, RGBImage, Cutting]]:
    """The first item that can be cut out of each positive, numbered from `first` on.

    Nothing prohibited lies where the statistics look around it, as none does in a clean scan.
    """
    for number in count(first):
        jpeg, boxes = draw("positive", number)
        scan = decode_rgb(jpeg, f"scan {number}")
        for box in boxes:
            if not any(near(box, other) for other in boxes if other is not box):
                try:
                    yield jpeg, scan, cut_item(scan, box)
                    break
                except ImageError:
                    continue


def near(one: Box, other: Box) -> bool:
    """Whether a box reaches into the surroundings of another."""
    ring = RING * max(one.x2 - one.x1, one.y2 - one.y1) + 8
    across = one.x1 - ring < other.x2 and other.x1 < one.x2 + ring
    return across and one.y1 - ring < other.y2 and other.y1 < one.y2 + ring


def choose_pairs(first: int) -> Iterator[Pair]:
    """Items, each with the most suitable of a few clean scans; those that fit nowhere are left."""
    rng, numbers, waiting = np.random.default_rng(first), count(first + 1_000_000), list[Clean]()
    for jpeg, scan, item in cuttable(first):
        while len(waiting) < TARGETS:
            data, _ = draw("clean", next(numbers))
            clean = decode_rgb(data, "clean")
            waiting.append(Clean(data, clean, read_palette(clean)))
        far = [unlike(clean.scan, clean.palette, item) for clean in waiting]
        best = int(np.argmin(far))
        at = choose_place(waiting[best].scan, item, rng)
        if at is not None and far[best] < np.inf:
            yield Pair(jpeg, scan, item, waiting.pop(best), at)
        else:
            waiting.pop(0)


def natural(scans: int, first: int) -> list[Seen]:
    """Items as they lay, in so many positives: such as might as well have been planted."""
    seen = []
    for pair in islice(choose_pairs(first), scans):
        again = decode_rgb(reencode(pair.scan, pair.jpeg, "natural"), "natural")
        seen.append(Seen(again, Box("item", *pair.item.box_xyxy(pair.item.origin))))
    return seen


def planted(scans: int, first: int) -> list[tuple[RGBImage, Seen]]:
    """Clean scans, and each with an item of a positive in it, encoded as it was."""
    made = []
    for pair in islice(choose_pairs(first), scans):
        scan = project(pair.clean.scan, pair.item, pair.at, pair.clean.palette)
        again = decode_rgb(reencode(scan, pair.clean.jpeg, "planted"), "planted")
        made.append((pair.clean.scan, Seen(again, Box("item", *pair.item.box_xyxy(pair.at)))))
    return made


def statistics(seen: Seen) -> FloatArray:
    """What may give a planted item away: (F,) statistics in and around its box."""
    height, width = seen.picture.shape[:2]
    x1, y1, x2, y2 = (round(edge) for edge in seen.box.xyxy)
    ring = max(4, round(RING * max(x2 - x1, y2 - y1)))
    # The grid of JPEG's blocks begins at the picture's corner.
    left, top = (max(0, edge - ring) // 8 * 8 for edge in (x1, y1))
    window = seen.picture[top : min(height, y2 + ring), left : min(width, x2 + ring)]
    inside = np.zeros(window.shape[:2], bool)
    inside[y1 - top : y2 - top, x1 - left : x2 - left] = True
    light = (window @ _LUMA).astype(np.float32)
    hsv = cv2.cvtColor(window, cv2.COLOR_RGB2HSV)
    parts = [_spread(light, inside), _spread(hsv[..., 1].astype(np.float32), inside)]
    parts += [_histogram(light[inside], 255), _histogram(hsv[..., 0][inside], 180)]
    edge = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    parts += [np.log1p(np.percentile(edge[inside], (50, 75, 90, 97, 99.5)))]
    for sigma in (0.7, 1.5, 3.0):
        rest = light - cv2.GaussianBlur(light, (0, 0), sigma)
        parts += [
            np.log1p(
                [
                    np.median(np.abs(rest[inside & (light < limit)]))
                    if (inside & (light < limit)).any()
                    else 0
                    for limit in (60, 120, 256)
                ]
            )
        ]
        parts += [_spread(np.abs(rest), inside)]
    parts += [_blocks(light)]
    parts += [np.log([(x2 - x1), (y2 - y1), (x2 - x1) * (y2 - y1) / (width * height)])]
    return np.concatenate(parts)


def _spread(values: FloatArray, inside: np.ndarray) -> FloatArray:
    """Mean and deviation within the box and around it, (4,)."""
    around = ~inside if not inside.all() else inside
    return np.array([f(values[m]) for m in (inside, around) for f in (np.mean, np.std)])


def _histogram(values: FloatArray, limit: float) -> FloatArray:
    counts, _ = np.histogram(values, 8, (0, limit))
    return np.sqrt(counts / max(1, counts.sum()))  # (8,)


def _blocks(light: FloatArray) -> FloatArray:
    """(9,) steps across JPEG's block borders against other steps, and 8 x 8 cosine energies."""
    steps = np.abs(np.diff(light, axis=1)).mean(axis=0)
    borders = np.arange(len(steps)) % 8 == 7
    rows, columns = (side // 8 for side in light.shape)
    blocks = light[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2)
    waves = np.abs([cv2.dct(np.ascontiguousarray(b)) for b in blocks.reshape(-1, 8, 8)])
    order = np.add.outer(np.arange(8), np.arange(8))
    energies = [np.log1p(waves[:, order == k].mean()) for k in (1, 2, 3, 5, 7, 9, 11)]
    ratio = float(steps[borders].mean() / max(steps[~borders].mean(), 1e-6))
    return np.array([ratio, (waves[:, order >= 6] < 0.5).mean(), *energies])


def cross_validated_auc(features: FloatArray, labels: FloatArray, *, curved: bool) -> float:
    """Area under the curve of ridge regression, linear or with a Gaussian kernel.

    Args:
        features: (N, F).
        labels: (N,) 0 or 1.
    """
    folds = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    scores = np.zeros(len(labels))
    for fold in range(FOLDS):
        known = folds != fold
        mean, deviation = features[known].mean(0), features[known].std(0) + 1e-9
        x = (features - mean) / deviation
        if curved:
            x = x / np.sqrt(x.shape[1])
            far = ((x[:, None] - x[known][None]) ** 2).sum(2)
            kernel = np.exp(-far / 2)
        else:
            kernel = x @ x[known].T
        inner = kernel[known] + (0.3 if curved else RIDGE) * np.eye(int(known.sum()))
        centred = labels[known] - labels[known].mean()
        scores[~known] = kernel[~known] @ np.linalg.solve(inner, centred)
    ranks = rankdata(scores)
    ones = labels == 1
    wins = ranks[ones].sum() - ones.sum() * (ones.sum() + 1) / 2
    return float(wins / (ones.sum() * (~ones).sum()))


def draw_sheet(path: Path, pairs: list[tuple[RGBImage, Seen]]) -> None:
    """Clean scans above, the same with something planted below."""
    columns = []
    for target, seen in pairs:
        x1, y1, x2, y2 = (round(edge) for edge in seen.box.xyxy)
        side = round(1.6 * max(x2 - x1, y2 - y1))
        left = max(0, min((x1 + x2 - side) // 2, target.shape[1] - side))
        top = max(0, min((y1 + y2 - side) // 2, target.shape[0] - side))
        window = (slice(top, top + side), slice(left, left + side))
        tiles = [cv2.resize(p[window], (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
                 for p in (target, seen.picture)]  # fmt: skip
        columns.append(np.vstack(tiles))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.hstack(columns)).quantize(256).save(path, optimize=True)


GROUPS = {
    "light and saturation": slice(0, 8),
    "histograms": slice(8, 24),
    "edges": slice(24, 29),
    "residuals": slice(29, 50),
    "blocks and cosines": slice(50, 59),
    "size": slice(59, 62),
    "all": slice(0, 62),
}


@click.command()
@click.option("--scans", default=150, show_default=True, help="Natural ones, and as many planted.")
@click.option("--sheet", type=click.Path(path_type=Path), help="A picture of some pairs.")
def main(scans: int, sheet: Path | None) -> None:
    """Print how well planted contraband can be told from natural contraband."""
    cv2.setNumThreads(1)
    pairs = planted(scans, 500_000)
    if sheet:
        draw_sheet(sheet, pairs[:5])
    both = natural(scans, 100_000) + [seen for _, seen in pairs]
    features = np.array([statistics(seen) for seen in both])
    labels = np.repeat([0.0, 1.0], scans)
    for name, part in GROUPS.items():
        aucs = (cross_validated_auc(features[:, part], labels, curved=c) for c in (False, True))
        print(f"{name}: AUC {next(aucs):.3f} linear, {next(aucs):.3f} with a Gaussian kernel")


if __name__ == "__main__":
    main()
