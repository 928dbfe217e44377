"""VOC 2007 average precision against hand-worked values and an independent computation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.average_precision import (
    ClassResult,
    average_precision,
    average_precision_voc07,
    average_precision_voc10,
    mean_average_precision,
    precision_recall,
)
from sixrayd.evaluation.matching import Matches


def matches(right, positives, ignored=None):
    count = len(right)
    return Matches(
        np.linspace(1, 0.1, count),
        np.array(right, bool),
        np.zeros(count, bool) if ignored is None else np.array(ignored, bool),
        positives,
        ("a",) * count,
    )


def test_right_wrong_right_of_two():
    # Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: six points of 1 and five of 2/3.
    found = matches([1, 0, 1], 2)
    precision, recall = precision_recall(found)
    assert precision.tolist() == [1, 1 / 2, 2 / 3]
    assert recall.tolist() == [0.5, 0.5, 1]
    assert average_precision_voc07(found) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_three_of_ten_reach_the_point_at_three_tenths():
    assert average_precision_voc07(matches([1, 1, 1], 10)) == pytest.approx(4 / 11)


@pytest.mark.parametrize(
    ("right", "positives", "expected"),
    [([1, 1], 2, 1), ([0, 0], 2, 0), ([], 3, 0), ([0, 1], 1, 1 / 2), ([1], 4, 3 / 11)],
)
def test_hand_worked_values(right, positives, expected):
    assert average_precision_voc07(matches(right, positives)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("right", "positives", "expected"),
    [
        ([1, 0, 1], 2, (1 + 2 / 3) / 2),
        ([0, 1, 1], 2, 2 / 3),  # the first one found is lifted from 1/2
        ([1, 1], 2, 1),
        ([0, 0], 2, 0),
        ([], 3, 0),
        ([1, 1, 1], 10, 3 / 10),
    ],
)
def test_hand_worked_areas(right, positives, expected):
    assert average_precision_voc10(matches(right, positives)) == pytest.approx(expected)


def test_area_leaves_out_what_does_not_count():
    assert average_precision_voc10(matches([0, 1, 0, 1], 2, ignored=[1, 0, 1, 0])) == 1
    assert math.isnan(average_precision_voc10(matches([0, 0], 0)))


def test_the_metric_chosen_is_the_one_used():
    found = matches([1, 0, 1], 2)
    assert average_precision(found, "voc07") == average_precision_voc07(found)
    assert average_precision(found, "voc10") == average_precision_voc10(found)
    with pytest.raises(SettingsError, match=r"^metric 'voc12': must be one of voc07, voc10$"):
        average_precision(found, "voc12")


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 8))
def test_area_agrees_with_integrating_the_curve(right, missed):
    found = matches(right, sum(right) + missed)
    precision, recall = precision_recall(found)
    # The area by definition: the best precision still ahead, over fine slices of recall.
    slices = (np.arange(found.positives * 4) + 0.5) / (found.positives * 4)
    heights = [precision[recall >= at].max(initial=0) for at in slices]
    assert average_precision_voc10(found) == pytest.approx(np.mean(heights))


def test_ignored_detections_do_not_lower_precision():
    found = matches([0, 1], 1, ignored=[1, 0])
    assert average_precision_voc07(found) == 1


def test_a_class_that_does_not_occur_has_no_value():
    assert math.isnan(average_precision_voc07(matches([0, 0], 0)))


def test_mean_over_the_classes_that_occur():
    found = {
        "a": Detections(
            np.array([[0, 0, 10, 10], [50, 50, 60, 60.0]]), np.array([0.9, 0.8]), np.array([0, 1])
        )
    }
    truth = {
        "a": Truths(np.array([[0, 0, 10, 10.0]]), np.array([0])),
        "b": Truths(np.array([[0, 0, 10, 10.0]]), np.array([1])),
    }
    result = mean_average_precision(found, truth, ClassList(("Gun", "Knife", "Wrench")))
    assert result.mean == 0.5
    assert (
        result.mean
        == mean_average_precision(
            found, truth, ClassList(("Gun", "Knife", "Wrench")), metric="voc10"
        ).mean
    )
    assert result.classes[:2] == (ClassResult("Gun", 1.0, 1, 1), ClassResult("Knife", 0.0, 1, 1))
    assert math.isnan(result.classes[2].average_precision)
    with pytest.raises(ShapeError, match=r"^truths: no object of Wrench in 1 images$"):
        nothing = Truths(np.zeros((0, 4)), np.zeros(0, int))
        mean_average_precision({}, {"a": nothing}, ClassList(("Wrench",)))


def _iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def _reference(images, label):
    """Average precision as the VOC development kit's loop spells it out, in plain Python."""
    rows = []
    positives = 0
    for name, (found, truth) in images.items():
        rows += [(-score, name, n, box) for n, (box, score, k) in enumerate(found) if k == label]
        positives += sum(k == label and not hard for _, k, hard in truth)
    taken, hits, wrong, curve = set(), 0, 0, []
    for _, name, _, box in sorted(rows):
        best, where = 0.0, None
        for n, (other, k, _) in enumerate(images[name][1]):
            if k == label and (overlap := _iou(box, other)) > best:
                best, where = overlap, n
        if where is not None and best >= 0.5:
            if images[name][1][where][2]:
                continue
            if (name, where) not in taken:
                taken.add((name, where))
                hits += 1
            else:
                wrong += 1
        else:
            wrong += 1
        curve.append((hits, hits / (hits + wrong)))
    if positives == 0:
        return None
    points = [
        max((p for h, p in curve if 10 * h >= tenth * positives), default=0.0)
        for tenth in range(11)
    ]
    return sum(points) / 11


boxes = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
found_boxes = st.lists(
    st.tuples(boxes, st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.integers(0, 1)), max_size=6
)
true_boxes = st.lists(st.tuples(boxes, st.integers(0, 1), st.booleans()), max_size=4)
releases = st.dictionaries(st.sampled_from("abcde"), st.tuples(found_boxes, true_boxes), min_size=1)


@given(releases)
def test_agrees_with_an_independent_computation(images):
    found = {
        name: Detections(
            np.array([row[0] for row in rows], float).reshape(-1, 4),
            np.array([row[1] for row in rows], float),
            np.array([row[2] for row in rows], int),
        )
        for name, (rows, _) in images.items()
    }
    truth = {
        name: Truths(
            np.array([row[0] for row in rows], float).reshape(-1, 4),
            np.array([row[1] for row in rows], int),
            np.array([row[2] for row in rows], bool),
        )
        for name, (_, rows) in images.items()
    }
    expected = [_reference(images, label) for label in (0, 1)]
    if expected == [None, None]:
        with pytest.raises(ShapeError):
            mean_average_precision(found, truth, ClassList(("Gun", "Knife")))
        return
    result = mean_average_precision(found, truth, ClassList(("Gun", "Knife")))
    assert len(result.classes) == 2
    for row, value in zip(result.classes, expected, strict=True):
        if value is None:
            assert math.isnan(row.average_precision)
        else:
            assert row.average_precision == pytest.approx(value)
    present = [value for value in expected if value is not None]
    assert result.mean == pytest.approx(sum(present) / len(present))
