"""Boxes in pixels of the original image: 0-based, right and bottom edges exclusive."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.errors import ShapeError

EDGES = ("x1", "y1", "x2", "y2")  # columns of every table of boxes, beside `label`


@dataclass(frozen=True, slots=True)
class Box:
    """One labelled rectangle.

    Raises:
        ShapeError: a coordinate is not finite, or the box has no area.
    """

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.xyxy)):
            raise ShapeError(f"box {self.label}: coordinates must be finite, got {self.xyxy}")
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ShapeError(f"box {self.label}: needs x1 < x2 and y1 < y2, got {self.xyxy}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return (self.x1, self.y1, self.x2, self.y2)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The box of a table's row, which may have other columns as well.

        Raises:
            ShapeError: it is none.
        """
        return cls(row["label"], *edges_of(row))

    def as_row(self) -> dict[str, Any]:
        """Label and edges as columns of a table."""
        return {"label": self.label, **edge_columns(self.xyxy)}

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)


def edges_of(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a table's row."""
    return row["x1"], row["y1"], row["x2"], row["y2"]


def edge_columns(xyxy: Iterable[float]) -> dict[str, float]:
    """Left, top, right, bottom as columns of a table."""
    return dict(zip(EDGES, xyxy, strict=True))


def stack_xyxy(boxes: Iterable[Box]) -> FloatArray:
    """(N, 4) float64 xyxy, without labels."""
    return np.array([box.xyxy for box in boxes], np.float64).reshape(-1, 4)


def clip_xyxy(boxes: FloatArray, width: int, height: int) -> FloatArray:
    """Boxes cut at the image's edges; one that lies outside becomes empty.

    Args:
        boxes: (N, 4) xyxy.
    """
    limits = np.array([width, height, width, height], dtype=boxes.dtype)
    return np.clip(boxes, 0, limits)  # (N, 4)


def clip_box(box: Box, width: int, height: int) -> Box | None:
    """The part of a box inside an image, None where nothing is."""
    if box.x1 >= 0 and box.y1 >= 0 and box.x2 <= width and box.y2 <= height:
        return box
    x1, y1 = max(box.x1, 0.0), max(box.y1, 0.0)
    x2, y2 = min(box.x2, float(width)), min(box.y2, float(height))
    return Box(box.label, x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def iou_matrix(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every pair.

    Args:
        first: (N, 4) xyxy.
        second: (M, 4) xyxy.

    Returns:
        (N, M) in 0..1; 0 where both boxes are empty.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])  # (N, M, 2)
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])  # (N, M, 2)
    inter = np.clip(high - low, 0, None).prod(axis=2)  # (N, M)
    areas = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - inter  # (N, M)
    iou: FloatArray = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return iou


def one_an_object(xyxy: FloatArray, scores: FloatArray, iou: float = 0.5) -> IntArray:
    """Boxes that remain when of two that overlap the likelier does, whatever their classes.

    Args:
        xyxy: (N, 4) pixels.
        scores: (N,).
        iou: overlap from which two boxes mean one thing.

    Returns:
        (M,) their places, by falling score; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")  # (N,)
    overlap = iou_matrix(xyxy[order].astype(np.float64), xyxy[order].astype(np.float64))  # (N, N)
    alive = np.ones(len(order), bool)
    for place in range(len(order)):
        if alive[place]:
            alive[place + 1 :] &= overlap[place, place + 1 :] < iou
    kept: IntArray = order[alive]
    return kept
