"""Greedy matching on boxes worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import ShapeError
from sixrayd.evaluation.matching import match
from tests.evaluation.rows import detections, truths


def flags(found):
    return [
        "ignored" if ignored else "right" if right else "wrong"
        for right, ignored in zip(found.right, found.ignored, strict=True)
    ]


def test_the_second_detection_of_an_object_is_wrong():
    found = match(
        {"a": detections((0, 0, 10, 10, 0.5, 0), (0, 0, 10, 9, 0.9, 0))},
        {"a": truths((0, 0, 10, 10, 0, 0))},
        0,
    )
    assert found.scores.tolist() == [0.9, 0.5]
    assert flags(found) == ["right", "wrong"]
    assert found.positives == 1


def test_an_overlap_of_exactly_one_half_matches_and_less_does_not():
    truth = {"a": truths((0, 0, 10, 10, 0, 0))}
    assert flags(match({"a": detections((0, 0, 10, 5, 0.9, 0))}, truth, 0)) == ["right"]
    assert flags(match({"a": detections((0, 0, 10, 4.9, 0.9, 0))}, truth, 0)) == ["wrong"]


def test_a_detection_goes_to_its_best_object_even_when_that_is_taken():
    # 0.9 and 0.8 both overlap the left object most; the right one (IoU 0.6) stays unfound.
    found = match(
        {"a": detections((0, 0, 10, 10, 0.9, 0), (1, 0, 11, 10, 0.8, 0))},
        {"a": truths((0, 0, 10, 10, 0, 0), (3.5, 0, 13.5, 10, 0, 0))},
        0,
    )
    assert flags(found) == ["right", "wrong"]
    assert found.positives == 2


def test_difficult_objects_count_neither_way():
    found = match(
        {"a": detections((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 0))},
        {"a": truths((0, 0, 10, 10, 0, 1))},
        0,
    )
    assert flags(found) == ["ignored", "ignored"]
    assert found.positives == 0


def test_excused_detections_are_wrong_only_where_they_meet_an_object():
    # One meets nothing, one is the second on an object, one meets an object that another missed.
    found = detections((50, 50, 60, 60, 0.9, 0), (0, 0, 10, 10, 0.8, 0), (0, 0, 10, 9, 0.7, 0))
    excused = replace(found, excused=np.array([True, True, True]))
    truth = {"a": truths((0, 0, 10, 10, 0, 0)), "b": truths()}
    assert flags(match({"a": found}, truth, 0)) == ["wrong", "right", "wrong"]
    assert flags(match({"a": excused}, truth, 0)) == ["ignored", "right", "wrong"]
    assert flags(match({"b": excused}, truth, 0)) == ["ignored", "ignored", "ignored"]


def test_classes_and_images_are_kept_apart():
    found = match(
        {
            "b": detections((0, 0, 10, 10, 0.7, 0), (0, 0, 10, 10, 0.95, 1)),
            "a": detections((0, 0, 10, 10, 0.7, 0), (20, 20, 30, 30, 0.9, 0)),
        },
        {
            "a": truths((0, 0, 10, 10, 1, 0)),
            "b": truths((0, 0, 10, 10, 0, 0)),
            "c": truths((0, 0, 5, 5, 0, 0)),
        },
        0,
    )
    assert found.image_ids == ("a", "a", "b")
    assert found.scores.tolist() == [0.9, 0.7, 0.7]
    assert flags(found) == ["wrong", "wrong", "right"]
    assert found.positives == 2


def test_nothing_found():
    found = match({}, {"a": truths((0, 0, 10, 10, 0, 0))}, 0)
    assert (len(found.scores), found.positives) == (0, 1)
    found = match({"a": detections()}, {"a": truths()}, 0)
    assert (len(found.scores), found.positives) == (0, 0)


def test_detections_without_truth_are_an_error():
    with pytest.raises(ShapeError) as caught:
        match({"a": detections(), "b": detections()}, {"b": truths()}, 0)
    assert str(caught.value) == (
        "detections for 1 images without truth, first a; give images that hold nothing "
        "an empty entry"
    )


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match=r"^detections: need boxes \(N, 4\), got \(4,\)$"):
        Detections(np.zeros(4), np.zeros(1), np.zeros(1, int))
    with pytest.raises(ShapeError, match=r"^truths: 2 boxes, but a column of shape \(1,\)$"):
        Truths(np.zeros((2, 4)), np.zeros(1, int))
    with pytest.raises(ShapeError, match=r"^detections: 1 boxes, but a column of shape \(2,\)$"):
        Detections(np.zeros((1, 4)), np.zeros(1), np.zeros(1, int), np.zeros(2, bool))
    with pytest.raises(ShapeError, match=r"^detections: a score is not finite$"):
        Detections(np.zeros((1, 4)), np.array([np.nan]), np.zeros(1, int))
