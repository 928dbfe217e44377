"""Subsets of objects, on scenes small enough to count by hand."""

import numpy as np
import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.average_precision import mean_average_precision
from sixrayd.evaluation.matching import match
from sixrayd.evaluation.strata import SIZES, SizeRange, by_origin, by_size, only_objects
from tests.evaluation.rows import detections, scene, truths

GUN = ClassList(("Gun",))
WHOLE = {"a": (100, 100)}


def test_the_sizes_leave_no_gap():
    assert [(size.name, size.low) for size in SIZES] == [
        ("small", 0),
        ("medium", 0.01),
        ("large", 0.04),
    ]
    assert [size.high for size in SIZES] == [0.01, 0.04, float("inf")]
    boxes = np.array([[0, 0, 9, 11], [0, 0, 10, 10], [0, 0, 20, 20], [5, 5, 5, 9.0]])
    held = [size.holds(boxes, (100, 100)).tolist() for size in SIZES]
    assert held == [
        [True, False, False, True],
        [False, True, False, False],
        [False, False, True, False],
    ]
    assert SIZES[0].holds(boxes, (200, 50)).tolist() == held[0]
    for low, high in ((0.1, 0.1), (-0.1, 0.5)):
        with pytest.raises(SettingsError, match=r"^size odd: needs 0 <= low < high, got "):
            SizeRange("odd", low, high)


def test_each_size_has_its_own_hits_and_alarms():
    truth = {"a": truths((0, 0, 5, 5, 0, 0), (50, 50, 80, 80, 0, 0))}
    found = {
        "a": detections(
            (90, 90, 95, 95, 0.9, 0),  # a small alarm
            (0, 0, 5, 5, 0.8, 0),  # the small object
            (50, 50, 80, 80, 0.7, 0),  # the large object
            (0, 60, 30, 90, 0.6, 0),  # a large alarm
        )
    }
    rows = {}
    for size in SIZES:
        stratum = match(*by_size(found, truth, WHOLE, size), 0)
        rows[size.name] = (stratum.right.tolist(), stratum.ignored.tolist(), stratum.positives)
    assert rows == {
        "small": ([False, True, False, False], [False, False, True, True], 1),
        "medium": ([False] * 4, [True] * 4, 0),
        "large": ([False, False, True, False], [True, True, False, False], 1),
    }
    small, large = (by_size(found, truth, WHOLE, size) for size in (SIZES[0], SIZES[2]))
    assert mean_average_precision(*small, GUN, metric="voc10").mean == 0.5
    assert mean_average_precision(*large, GUN, metric="voc10").mean == 1
    assert mean_average_precision(found, truth, GUN, metric="voc10").mean == pytest.approx(2 / 3)


def test_a_detection_that_meets_an_object_counts_whatever_its_own_size():
    # The object has 1 % of the image, so medium; both detections are small.
    truth = {"a": truths((0, 0, 10, 10, 0, 0))}
    found = {"a": detections((0, 0, 10, 9, 0.9, 0), (0, 0, 9, 10, 0.8, 0))}
    stratum = match(*by_size(found, truth, WHOLE, SIZES[1]), 0)
    assert stratum.right.tolist() == [True, False]
    assert stratum.ignored.tolist() == [False, False]


def test_what_did_not_count_before_does_not_count_in_a_stratum():
    truth = {"a": truths((0, 0, 5, 5, 0, 1))}
    found, hidden = by_size({"a": detections((0, 0, 5, 5, 0.9, 0))}, truth, WHOLE, SIZES[0])
    assert match(found, hidden, 0).ignored.tolist() == [True]
    large, _ = by_size(found, truth, WHOLE, SIZES[2])
    both, _ = by_size(large, truth, WHOLE, SIZES[0])
    assert both["a"].excused.tolist() == [True]


def test_the_sizes_share_out_the_objects_and_the_hits():
    found, truth = scene(4, images=30)
    sizes_wh = dict.fromkeys(truth, (400, 400))
    parts = [match(*by_size(found, truth, sizes_wh, size), 0) for size in SIZES]
    whole = match(found, truth, 0)
    assert whole.positives > 8
    assert sum(part.positives for part in parts) == whole.positives
    assert (sum(part.right.astype(int) for part in parts) == whole.right).all()


def test_objects_by_origin():
    truth = {"a": truths((0, 0, 10, 10, 0, 0), (50, 50, 60, 60, 0, 0)), "b": truths()}
    found = {"a": detections((0, 0, 10, 10, 0.9, 0), (50, 0, 60, 10, 0.8, 0))}
    origins = {"a": ("source", "drawn"), "b": ()}
    source = match(found, by_origin(truth, origins, {"source"}), 0)
    assert (source.positives, source.right.tolist()) == (1, [True, False])
    mined = match(found, by_origin(truth, origins, {"confirmed", "moved", "drawn"}), 0)
    assert (mined.positives, mined.right.tolist()) == (1, [False, False])
    # The source's object is out of the way; the alarm stands against both.
    assert mined.ignored.tolist() == [True, False]


def test_choices_that_do_not_fit():
    truth = {"a": truths((0, 0, 10, 10, 0, 0))}
    with pytest.raises(ShapeError, match=r"^a: need one choice for each of 1 objects, got none$"):
        only_objects(truth, {})
    with pytest.raises(ShapeError, match=r"^a: need one choice for each of 1 objects, got \(2,\)$"):
        by_origin(truth, {"a": ("source", "source")}, {"source"})
    with pytest.raises(ShapeError, match=r"^sizes: 1 images have none, first a$"):
        by_size({}, truth, {}, SIZES[0])
    with pytest.raises(ShapeError, match=r"^detections for 1 images without truth, first b;"):
        by_size({"b": detections()}, truth, WHOLE, SIZES[0])
