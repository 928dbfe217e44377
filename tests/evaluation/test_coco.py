"""COCO's figures on cases worked out by hand, and beside the area of VOC 2010."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import ShapeError
from sixrayd.evaluation.average_precision import mean_average_precision
from sixrayd.evaluation.coco import CocoResult, coco_average_precision
from tests.evaluation.rows import detections, scene, truths

GUN = ClassList(("Gun",))
HALF = 51 / 101  # one of two objects: recall 0, 0.01 … 0.50 of COCO's 101 points


def same(result, expected):
    for name in CocoResult.__dataclass_fields__:
        assert getattr(result, name) == pytest.approx(getattr(expected, name), nan_ok=True), name
    return True


def test_one_of_two_large_objects_exactly():
    truth = {"a": truths((0, 0, 100, 100, 0, 0)), "b": truths((0, 0, 100, 100, 0, 0))}
    result = coco_average_precision({"a": detections((0, 0, 100, 100, 0.9, 0))}, truth, GUN)
    nothing = math.nan
    assert same(result, CocoResult(HALF, HALF, HALF, nothing, nothing, HALF, (HALF,)))


def test_a_loose_box_counts_at_low_overlaps_alone():
    # IoU 0.62 passes 0.50, 0.55 and 0.60 of the ten; 50 x 100 pixels are medium.
    found = {"a": detections((0, 0, 31, 100, 0.9, 0))}
    result = coco_average_precision(found, {"a": truths((0, 0, 50, 100, 0, 0))}, GUN)
    assert same(result, CocoResult(0.3, 1, 0, math.nan, 0.3, math.nan, (0.3,)))


def test_sizes_and_classes_apart():
    # Gun: a small one found, a large one missed. Knife: missed. Wrench does not occur.
    truth = {"a": truths((0, 0, 20, 20, 0, 0), (100, 100, 300, 300, 0, 0), (0, 0, 50, 50, 1, 0))}
    found = {"a": detections((0, 0, 20, 20, 0.9, 0), (0, 0, 50, 50, 0.9, 2))}
    result = coco_average_precision(found, truth, ClassList(("Gun", "Knife", "Wrench")))
    half = HALF / 2
    expected = CocoResult(half, half, half, 1, 0, 0, (HALF, 0, math.nan))
    assert same(result, expected)


def test_difficult_objects_cost_nothing_however_often_they_are_found():
    plain = {"a": truths((0, 0, 100, 100, 0, 0))}
    hard = {"a": truths((0, 0, 100, 100, 0, 0), (200, 0, 300, 100, 0, 1))}
    found = {
        "a": detections(
            (200, 0, 300, 100, 0.99, 0), (205, 0, 300, 100, 0.98, 0), (0, 0, 100, 100, 0.9, 0)
        )
    }
    assert coco_average_precision(found, hard, GUN).ap == pytest.approx(1)
    assert coco_average_precision(found, plain, GUN).ap == pytest.approx(1 / 3)
    # Missed, it costs nothing either.
    assert coco_average_precision({"a": detections((0, 0, 100, 100, 0.9, 0))}, hard, GUN).ap == 1
    # COCO's crowds also take a small box inside them, which VOC would call wrong.
    inside = {"a": detections((210, 10, 240, 40, 0.99, 0), (0, 0, 100, 100, 0.9, 0))}
    assert coco_average_precision(inside, hard, GUN).ap == pytest.approx(1)
    assert mean_average_precision(inside, hard, GUN, metric="voc10").mean == 0.5


def test_only_the_best_of_an_image_are_kept():
    truth = {"a": truths((0, 0, 100, 100, 0, 0))}
    found = {"a": detections((200, 0, 300, 100, 0.9, 0), (0, 0, 100, 100, 0.8, 0))}
    assert coco_average_precision(found, truth, GUN).ap == pytest.approx(0.5)
    assert coco_average_precision(found, truth, GUN, most=1).ap == 0


def test_nothing_counts_or_nothing_is_found():
    empty = coco_average_precision({}, {"a": truths()}, GUN)
    assert math.isnan(empty.ap) and math.isnan(empty.ap50) and math.isnan(empty.class_ap[0])
    assert coco_average_precision({}, {"a": truths((0, 0, 9, 9, 0, 0))}, GUN).ap == 0


@pytest.mark.parametrize("seed", range(4))
def test_ap50_is_near_the_area_of_voc(seed):
    # One object in each image, so that COCO cannot give a second detection a second object.
    found, truth = scene(seed, images=150, classes=1, spread=5.0)
    single = {
        image_id: Truths(each.xyxy[:1], each.labels[:1], np.zeros(len(each.labels[:1]), bool))
        for image_id, each in truth.items()
    }
    area = mean_average_precision(found, single, GUN, metric="voc10").mean
    assert 0.1 < area < 0.9
    # 101 points against about 120 steps of recall.
    assert coco_average_precision(found, single, GUN).ap50 == pytest.approx(area, abs=0.01)


def test_arrays_are_left_as_they_were():
    found = Detections(np.array([[0, 0, 9, 9.0]]), np.array([0.5]), np.array([0]))
    truth = Truths(np.array([[0, 0, 9, 9.0]]), np.array([0]))
    coco_average_precision({"a": found}, {"a": truth}, GUN)
    assert found.xyxy.tolist() == truth.xyxy.tolist() == [[0, 0, 9, 9]]


def test_what_cannot_be_handed_over():
    truth = {"a": truths((0, 0, 9, 9, 0, 0))}
    found = replace(detections((0, 0, 9, 9, 0.9, 0)), excused=np.array([True]))
    with pytest.raises(ShapeError, match=r"^coco: a has excused detections; use VOC's metrics"):
        coco_average_precision({"a": found}, truth, GUN)
    with pytest.raises(ShapeError, match=r"^detections for 1 images without truth, first b;"):
        coco_average_precision({"b": found}, truth, GUN)
