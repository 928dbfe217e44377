"""Overlapping tiles of an image, and one list out of what each of them and the whole show."""

import itertools

import numpy as np
import torch

from sixrayd.core.boxes import FloatArray
from sixrayd.crop.region import Region
from sixrayd.detectors.decoding import DecodeSettings, suppress
from sixrayd.evaluation.matching import BoolArray, Detections

OVERLAP = 0.25  # of a tile's side: what is smaller lies whole in one tile at least
_TOUCH = 1 / 64  # of a tile's side: a box that ends nearer to a border may be cut by it


def tile_regions(size_wh: tuple[int, int], grid: int) -> list[Region]:
    """Tiles of the image's own aspect ratio, row by row, that cover all of it.

    A tile becomes the detector's whole input, so what it shows is larger than in the whole image
    by `grid - (grid - 1) * OVERLAP`: 1.75 times for 2 × 2 tiles, 2.5 times for 3 × 3.

    Args:
        size_wh: of the image in pixels.
        grid: tiles along each side.
    """
    across, down = (_spans(side, grid) for side in size_wh)
    return [Region(x1, y1, x2, y2) for (y1, y2), (x1, x2) in itertools.product(down, across)]


def uncut(found: Detections, region: Region, size_wh: tuple[int, int]) -> Detections:
    """Detections of a tile without those at its inner borders.

    Nothing is lost by it: what is smaller than the overlap the next tile shows whole, and what is
    larger can be seen in the whole image.

    Args:
        found: in the image's pixels.
        size_wh: of the image; its own edges cut nothing.
    """
    touch = [_TOUCH * side for side in region.size_wh] * 2
    beyond = (region.x1 > 0, region.y1 > 0, region.x2 < size_wh[0], region.y2 < size_wh[1])
    near = np.abs(found.xyxy - np.array(region.xyxy)) < touch  # (N, 4)
    return chosen(found, ~(near & np.array(beyond)).any(axis=1))


def best_of(found: list[Detections], settings: DecodeSettings) -> Detections:
    """One list by falling score out of several, after non-maximum suppression; not the mean of
    `merge`, since a tile has no say in what lies outside it."""
    xyxy: FloatArray = np.concatenate([d.xyxy for d in found])
    scores: FloatArray = np.concatenate([d.scores for d in found])
    labels = np.concatenate([d.labels for d in found])
    order = np.argsort(-scores, kind="stable")
    boxes, classes = torch.from_numpy(xyxy[order]), torch.from_numpy(labels[order])
    kept = order[suppress(boxes, classes, settings.iou).numpy()][: settings.most]
    return Detections(xyxy[kept], scores[kept], labels[kept])


def _spans(length: int, grid: int) -> list[tuple[int, int]]:
    """Starts and ends of equally long tiles along one side, the last one ending with it."""
    tile = min(length, -(-length // (grid - (grid - 1) * OVERLAP)))
    step = (length - tile) / max(1, grid - 1)
    starts = [round(place * step) for place in range(grid)]
    return [(start, start + int(tile)) for start in starts]


def chosen(found: Detections, kept: BoolArray) -> Detections:
    """Those of the detections that (N,) `kept` says."""
    return Detections(found.xyxy[kept], found.scores[kept], found.labels[kept])
