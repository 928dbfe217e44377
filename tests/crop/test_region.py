"""Regions on edges and boxes worked out by hand, and on any edges at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.detections import Detections
from sixrayd.core.errors import ShapeError
from sixrayd.crop.region import CropCost, Region, bounded, crop_cost, cut, map_back, size_wh, whole

sides = st.integers(1, 300)
edges = st.floats(-1e6, 1e6)


def boxes(*rows):
    return np.array(rows, dtype=float).reshape(-1, 4)


def test_a_region_knows_its_sides():
    region = Region(2, 3, 12, 8)

    assert region.xyxy == (2, 3, 12, 8)
    assert region.size_wh == (10, 5)
    assert region.area == 50


@pytest.mark.parametrize("xyxy", [(5, 0, 5, 9), (5, 0, 4, 9), (0, 9, 5, 9), (-1, 0, 5, 9)])
def test_an_empty_or_negative_region_is_refused(xyxy):
    with pytest.raises(ShapeError) as caught:
        Region(*xyxy)
    assert str(caught.value) == f"region: needs 0 <= x1 < x2 and 0 <= y1 < y2, got {xyxy}"


def test_whole_is_the_image():
    assert whole((640, 480)) == Region(0, 0, 640, 480)
    with pytest.raises(ShapeError):
        whole((0, 480))


@pytest.mark.parametrize(
    ("xyxy", "expected"),
    [
        ((10.2, 20.7, 60.1, 70.0), (10, 20, 61, 70)),  # outwards
        ((0.1 * 100, 0, 0.3 * 100, 50), (10, 0, 30, 50)),  # 0.3 × 100 is a little above 30
        ((-50, -1, 400, 81), (0, 0, 100, 80)),  # clipped
        ((50, 40, 51, 41), (42, 32, 58, 48)),  # grown around its middle
        ((1, 79, 2, 80), (0, 64, 16, 80)),  # grown as far as the image reaches
        ((70, 40, 30, 20), (42, 22, 58, 38)),  # reversed
        ((500, -90, 600, -80), (84, 0, 100, 16)),  # outside
    ],
)
def test_edges_become_a_region_of_whole_pixels(xyxy, expected):
    assert bounded(*xyxy, (100, 80), least_px=16).xyxy == expected


def test_an_image_below_the_least_side_is_kept_whole():
    assert bounded(3, 3, 4, 4, (7, 5)) == Region(0, 0, 7, 5)
    assert bounded(3, 3, 3, 3, (1, 1), least_px=0) == Region(0, 0, 1, 1)


@pytest.mark.parametrize("edge", [float("nan"), float("inf")])
def test_edges_that_are_not_finite_are_refused(edge):
    with pytest.raises(ShapeError, match="region: edges must be finite"):
        bounded(0, 0, 5, edge, (10, 10))


@given(st.tuples(edges, edges, edges, edges), sides, sides, st.integers(0, 64))
def test_a_region_is_never_empty_nor_outside(xyxy, width, height, least_px):
    region = bounded(*xyxy, (width, height), least_px)

    assert region.x2 <= width
    assert region.y2 <= height
    assert region.size_wh[0] >= min(max(least_px, 1), width)
    assert region.size_wh[1] >= min(max(least_px, 1), height)


@given(st.tuples(edges, edges, edges, edges), sides, sides)
def test_a_region_covers_its_edges_within_the_image(xyxy, width, height):
    x1, x2 = sorted(min(max(x, 0), width) for x in xyxy[::2])
    y1, y2 = sorted(min(max(y, 0), height) for y in xyxy[1::2])

    region = bounded(x1, y1, x2, y2, (width, height))

    near = 1e-5
    assert region.x1 <= x1 + near
    assert region.y1 <= y1 + near
    assert region.x2 >= x2 - near
    assert region.y2 >= y2 - near


def test_cut_copies_the_pixels_of_the_region():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)

    crop = cut(image, Region(1, 2, 4, 4))

    assert crop.tolist() == image[2:4, 1:4].tolist()
    assert crop.flags.c_contiguous
    crop[:] = 0
    assert image[2, 1].tolist() == [39, 40, 41]


def test_cutting_beyond_the_image_is_refused():
    with pytest.raises(ShapeError) as caught:
        cut(np.zeros((4, 6, 3), np.uint8), Region(0, 0, 4, 6))
    assert str(caught.value) == "region (0, 0, 4, 6) reaches beyond its image of 6 x 4"


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 4), (0, 6, 3)])
def test_what_is_no_rgb_image_is_refused(shape):
    with pytest.raises(ShapeError) as caught:
        size_wh(np.zeros(shape, np.uint8))
    assert str(caught.value) == f"image: need (H>=1, W>=1, 3), got {shape}"


def test_detections_are_mapped_back_and_the_callers_kept():
    found = Detections(
        boxes((0, 0, 5, 6), (1.5, 2, 3, 4)).astype(np.float32),
        np.array([0.9, 0.2]),
        np.array([1, 0]),
    )

    back = map_back(found, Region(10, 20, 30, 40))

    assert back.xyxy.tolist() == [[10, 20, 15, 26], [11.5, 22, 13, 24]]
    assert back.xyxy.dtype == np.float32
    assert back.scores.tolist() == [0.9, 0.2]
    assert back.labels.tolist() == [1, 0]
    assert found.xyxy.tolist() == [[0, 0, 5, 6], [1.5, 2, 3, 4]]


def test_mapping_back_nothing_gives_nothing():
    nothing = Detections(boxes(), np.zeros(0), np.zeros(0, int))

    assert map_back(nothing, Region(10, 20, 30, 40)).xyxy.shape == (0, 4)


def test_a_crop_costs_the_objects_outside_it():
    truths = boxes(
        (20, 20, 40, 40),  # inside
        (0, 20, 20, 40),  # half inside: cut
        (0, 20, 19, 40),  # nine nineteenths inside: lost
        (0, 0, 5, 5),  # outside: lost
    )

    cost = crop_cost(truths, Region(10, 10, 60, 50), (100, 80))

    assert cost == CropCost(area_removed=0.75, objects=4, objects_cut=1, objects_lost=2)


def test_keeping_all_costs_nothing_though_boxes_pass_the_edge():
    truths = boxes((-20, 0, 5, 5), (90, 70, 130, 90), (200, 200, 210, 210))

    cost = crop_cost(truths, whole((100, 80)), (100, 80))

    assert cost == CropCost(area_removed=0.0, objects=2, objects_cut=0, objects_lost=0)


def test_an_image_without_objects_costs_area_alone():
    cost = crop_cost(boxes(), Region(0, 0, 50, 80), (100, 80))

    assert cost == CropCost(area_removed=0.5, objects=0, objects_cut=0, objects_lost=0)


def test_costs_of_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"truths: need boxes \(M, 4\), got \(0,\)"):
        crop_cost(np.zeros(0), whole((10, 10)), (10, 10))
    with pytest.raises(ShapeError, match=r"reaches beyond its image of 10 x 10"):
        crop_cost(boxes(), Region(0, 0, 11, 10), (10, 10))
