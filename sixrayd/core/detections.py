"""Boxes of one image as columns: what a detector says, and what is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from sixrayd.core.arrays import BoolArray, FloatArray, IntArray
from sixrayd.core.boxes import stack_xyxy
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ShapeError
from sixrayd.core.index import Annotation


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector says of one image, in any order.

    Args:
        xyxy: (N, 4) pixels.
        scores: (N,) finite.
        labels: (N,) positions in the class list.
        excused: (N,) detections that are not wrong when they meet no object; none if left out.
    """

    xyxy: FloatArray
    scores: FloatArray
    labels: IntArray
    excused: BoolArray | None = None

    def __post_init__(self) -> None:
        excused = () if self.excused is None else (self.excused,)
        _check("detections", self.xyxy, self.scores, self.labels, *excused)
        if not np.isfinite(self.scores).all():
            raise ShapeError("detections: a score is not finite")


@dataclass(frozen=True, slots=True)
class Truths:
    """What is in one image; no rows for an image that holds nothing.

    Args:
        xyxy: (M, 4) pixels.
        labels: (M,) positions in the class list.
        difficult: (M,) objects that count neither when found nor when missed; none if left out.
    """

    xyxy: FloatArray
    labels: IntArray
    difficult: BoolArray | None = None

    def __post_init__(self) -> None:
        difficult = () if self.difficult is None else (self.difficult,)
        _check("truths", self.xyxy, self.labels, *difficult)

    @classmethod
    def of(cls, annotations: Iterable[Annotation], classes: ClassList) -> Self:
        """What the annotations of one image say.

        Raises:
            AnnotationError: a label is none of the classes.
        """
        found = tuple(annotations)
        return cls(
            stack_xyxy(a.box for a in found),
            np.array([classes.index(a.box.label) for a in found], np.int64),
            np.array([a.difficult for a in found], bool),
        )


def _check(what: str, xyxy: FloatArray, *columns: np.ndarray) -> None:  # type: ignore[type-arg]
    if xyxy.ndim != 2 or xyxy.shape[1] != 4:
        raise ShapeError(f"{what}: need boxes (N, 4), got {xyxy.shape}")
    for column in columns:
        if column.shape != (len(xyxy),):
            raise ShapeError(f"{what}: {len(xyxy)} boxes, but a column of shape {column.shape}")
