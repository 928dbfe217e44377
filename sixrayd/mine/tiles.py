"""Overlapping tiles of an image, and one list out of what they and the whole image show."""

import itertools
from collections.abc import Mapping

import numpy as np
import torch

from sixrayd.core.arrays import BoolArray, FloatArray
from sixrayd.core.detections import Detections
from sixrayd.crop.region import Region
from sixrayd.detectors.decoding import DecodeSettings, merge, suppress

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


def shown_whole(xyxy: FloatArray, tile: Region, size_wh: tuple[int, int]) -> BoolArray:
    """(N,) which of (N, 4) boxes lie in a tile and away from its inner borders, which cut.

    Args:
        size_wh: of the image; its own edges cut nothing.
    """
    touch = np.multiply(_TOUCH, tile.size_wh)
    low, high = np.array(tile.xyxy[:2]), np.array(tile.xyxy[2:])
    low = np.where(low > 0, low + touch, low)
    high = np.where(high < size_wh, high - touch, high)
    inside: BoolArray = np.all((xyxy[:, :2] >= low) & (xyxy[:, 2:] <= high), axis=1)
    return inside


def merge_tiles(
    whole: Detections,
    tiles: Mapping[Region, Detections],
    size_wh: tuple[int, int],
    settings: DecodeSettings,
) -> Detections:
    """One list by falling score. The tiles together are a second look at the image, so scores are
    the mean of both, as `merge` has it; an object that every tile cuts keeps the whole's.

    What inner borders cut is dropped: if it is smaller than the overlap the next tile shows it
    whole, and else the whole image does.

    Args:
        whole, tiles: in pixels of the image.
    """
    uncut = [chosen(d, shown_whole(d.xyxy, tile, size_wh)) for tile, d in tiles.items()]
    twice = np.any([shown_whole(whole.xyxy, tile, size_wh) for tile in tiles], axis=0)
    both = merge([chosen(whole, twice), _best(uncut, settings)], settings)
    found = _best([both, chosen(whole, ~twice)], settings)
    return chosen(found, found.scores > settings.threshold)


def chosen(found: Detections, kept: BoolArray) -> Detections:
    """Those of the detections that (N,) `kept` says."""
    return Detections(found.xyxy[kept], found.scores[kept], found.labels[kept])


def _best(found: list[Detections], settings: DecodeSettings) -> Detections:
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
