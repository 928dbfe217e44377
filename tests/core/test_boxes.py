"""Boxes and their overlaps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.boxes import Box, clip_xyxy, iou_matrix
from sixrayd.core.errors import ShapeError

edge = st.integers(0, 200)


@st.composite
def xyxy(draw: st.DrawFn) -> list[int]:
    x1, y1 = draw(edge), draw(edge)
    return [x1, y1, x1 + draw(st.integers(1, 99)), y1 + draw(st.integers(1, 99))]


def test_worked_overlaps() -> None:
    first = np.array([[0, 0, 10, 10], [0, 0, 0, 0]], dtype=float)
    second = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]], dtype=float)
    assert iou_matrix(first, second).tolist() == [[50 / 150, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert iou_matrix(first[1:], first[1:]).tolist() == [[0.0]]
    assert iou_matrix(first[:0], second).shape == (0, 3)


@given(st.lists(xyxy(), min_size=1, max_size=5), st.lists(xyxy(), min_size=1, max_size=5))
def test_overlap_is_symmetric_and_bounded(first: list[list[int]], second: list[list[int]]) -> None:
    a, b = np.array(first, dtype=float), np.array(second, dtype=float)
    iou = iou_matrix(a, b)
    assert np.array_equal(iou, iou_matrix(b, a).T)
    assert ((iou >= 0) & (iou <= 1)).all()
    assert np.array_equal(np.diag(iou_matrix(a, a)), np.ones(len(a)))


@given(xyxy())
def test_clipping_stays_inside_and_is_idempotent(box: list[int]) -> None:
    boxes = np.array([box], dtype=float)
    clipped = clip_xyxy(boxes, 100, 80)
    assert (clipped >= 0).all()
    assert (clipped[:, 2:] <= [100, 80]).all()
    assert np.array_equal(clip_xyxy(clipped, 100, 80), clipped)
    assert boxes.tolist() == [[float(v) for v in box]]


def test_box_checks_itself() -> None:
    box = Box("Gun", 1.5, 2, 4, 6)
    assert (box.xyxy, box.area) == ((1.5, 2, 4, 6), 10.0)
    with pytest.raises(ShapeError) as caught:
        Box("Gun", 4, 2, 4, 6)
    assert str(caught.value) == "box Gun: needs x1 < x2 and y1 < y2, got (4, 2, 4, 6)"
    with pytest.raises(ShapeError, match="coordinates must be finite"):
        Box("Gun", 0, 0, math.nan, 6)
