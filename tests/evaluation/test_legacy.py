"""RFBNet's evaluation: values its own code gave, and its peculiarities one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.average_precision import average_precision_voc07, mean_average_precision
from sixrayd.evaluation.legacy import (
    average_precision_legacy,
    match_legacy,
    mean_average_precision_legacy,
)
from sixrayd.evaluation.matching import Matches
from tests.evaluation.rows import detections, scene, truths

CLASSES = ClassList(("Gun", "Knife", "Wrench"))

# What `voc_eval` returned for the scene of that seed, its detections written to text as
# RFBNet writes them: eleven points, then the area.
ORIGINAL = {
    1: (
        (0.42424242424242414, 0.1612750885478158, 0.31081050383898956),
        (0.41666666666666663, 0.15974025974025974, 0.32319777611194406),
    ),
    2: (
        (0.4615384615384617, 0.44545454545454555, 0.35795454545454536),
        (0.4615384615384616, 0.4428571428571428, 0.34375),
    ),
    3: (
        (0.481447963800905, 0.6818181818181818, 0.45849802371541487),
        (0.4669683257918552, 0.6805555555555556, 0.44806763285024154),
    ),
}


def halves(found):
    """The detections on half pixels, where overlaps of exactly one half are likely."""
    return {
        image_id: replace(each, xyxy=np.round(each.xyxy * 2) / 2)
        for image_id, each in found.items()
    }


@pytest.mark.parametrize("seed", sorted(ORIGINAL))
def test_the_original_gave_the_same(seed):
    found, truth = scene(seed)
    eleven, area = ORIGINAL[seed]
    for metric, expected in (("voc07", eleven), ("voc10", area)):
        result = mean_average_precision_legacy(halves(found), truth, CLASSES, metric=metric)
        values = [row.average_precision for row in result.classes]
        assert values == pytest.approx(expected, abs=1e-15)
        assert result.mean == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exclusive_edges_are_compared_as_they_are_meant(seed):
    found, truth = scene(seed)
    meant = mean_average_precision_legacy(halves(found), truth, CLASSES, "exclusive")
    shrunk = {i: replace(d, xyxy=d.xyxy - np.array([0, 0, 1, 1])) for i, d in halves(found).items()}
    assert meant == mean_average_precision_legacy(shrunk, truth, CLASSES)
    # Sides are then as here; these scenes have neither equal scores nor an overlap of one half.
    modern = mean_average_precision(halves(found), truth, CLASSES)
    assert meant.mean == pytest.approx(modern.mean)
    assert meant != mean_average_precision_legacy(halves(found), truth, CLASSES)


def right(found, truth, edges):
    return match_legacy({"a": detections(found)}, {"a": truths(truth)}, 0, edges).right.tolist()


def test_an_overlap_of_exactly_one_half_does_not_match():
    truth = (0, 0, 10, 10, 0, 0)  # ten by ten pixels, to the RFBNet of edges 1 and 10
    assert right((0, 0, 10, 5, 0.9, 0), truth, "exclusive") == [False]
    assert right((0, 0, 10, 5.1, 0.9, 0), truth, "exclusive") == [True]
    # Edges that are inclusive: the lower edge at 4 is the fifth row, at 5 the sixth.
    assert right((0, 0, 9, 4, 0.9, 0), truth, "inclusive") == [False]
    assert right((0, 0, 9, 5, 0.9, 0), truth, "inclusive") == [True]
    # Exclusive edges taken for inclusive ones make the box 11 by 5, an overlap of 50 in 105.
    assert right((0, 0, 10, 4, 0.9, 0), truth, "inclusive") == [False]


def test_edges_keep_one_decimal_and_scores_three():
    truth = (0, 0, 10, 10, 0, 0)
    assert right((0, 0, 10, 5.04, 0.9, 0), truth, "exclusive") == [False]
    assert right((0, 0, 10, 5.06, 0.9, 0), truth, "exclusive") == [True]
    found = {"a": detections((0, 0, 10, 10, 0.90049, 0)), "b": detections((0, 0, 9, 9, 0.9, 0))}
    matched = match_legacy(found, {"b": truths(), "a": truths(truth)}, 0)
    assert matched.scores.tolist() == [0.9, 0.9]
    # In the order of the image set, b before a, then as the sort leaves them.
    order = np.argsort(-np.array([0.9, 0.9]))
    assert matched.image_ids == tuple(np.array(["b", "a"])[order])


def test_equal_scores_stand_as_numpy_leaves_them():
    rng = np.random.default_rng(5)
    names = [f"P{n:03d}" for n in rng.permutation(100)]
    scores = rng.integers(0, 4, 100) / 4
    found = {n: detections((0, 0, 9, 9, s, 0)) for n, s in zip(names, scores, strict=True)}
    truth = {name: truths((0, 0, 10, 10, 0, 0)) for name in names}
    matched = match_legacy(found, truth, 0)
    assert matched.image_ids == tuple(np.array(names)[np.argsort(-scores)])
    assert matched.right.all()


@pytest.mark.parametrize("hits", range(1, 11))
def test_three_thresholds_lie_above_their_tenth(hits):
    found = Matches(np.ones(hits), np.ones(hits, bool), np.zeros(hits, bool), 10, ("a",) * hits)
    lost = hits in (3, 6, 7)  # 0.1 * 3 is more than 0.3 in binary, and so on
    assert average_precision_legacy(found) == pytest.approx((hits + 1 - lost) / 11)
    assert average_precision_voc07(found) == pytest.approx((hits + 1) / 11)


def test_difficult_and_taken_objects():
    found = {
        "a": detections(
            (0, 0, 9, 9, 0.9, 0),
            (0, 0, 9, 9, 0.8, 0),
            (50, 50, 59, 59, 0.7, 0),
            (80, 0, 89, 9, 0.6, 0),
        )
    }
    truth = {"a": truths((0, 0, 10, 10, 0, 0), (50, 50, 60, 60, 0, 1))}
    matched = match_legacy(found, truth, 0)
    assert matched.right.tolist() == [True, False, False, False]
    assert matched.ignored.tolist() == [False, False, True, False]
    assert matched.positives == 1


def test_classes_that_do_not_occur_or_are_never_detected():
    truth = {"a": truths((0, 0, 10, 10, 0, 0), (0, 0, 10, 10, 1, 1))}
    result = mean_average_precision_legacy({}, truth, CLASSES)
    assert result.mean == 0
    assert result.classes[0].average_precision == 0
    assert [math.isnan(row.average_precision) for row in result.classes] == [False, True, True]
    with pytest.raises(ShapeError, match=r"^truths: no object of Gun, Knife, Wrench in 1 images$"):
        mean_average_precision_legacy({}, {"a": truths()}, CLASSES)


@pytest.mark.parametrize(("kind", "written"), [(np.float32, 0.007), (np.float64, 0.006)])
def test_scores_are_written_in_their_own_precision(kind, written):
    # 0.0065 lies above itself in single precision and below in double.
    found = Detections(np.array([[0, 0, 9, 9]], kind), np.array([0.0065], kind), np.array([0]))
    matched = match_legacy({"a": found}, {"a": truths((0, 0, 10, 10, 0, 0))}, 0)
    assert matched.scores.tolist() == [written]


def test_unknown_words_and_images():
    with pytest.raises(SettingsError, match=r"^edges 'open': must be one of inclusive, exclusive$"):
        match_legacy({}, {}, 0, "open")
    with pytest.raises(SettingsError, match=r"^metric 'coco': must be one of voc07, voc10$"):
        mean_average_precision_legacy({}, {}, CLASSES, metric="coco")
    with pytest.raises(ShapeError, match=r"^detections for 1 images without truth, first a;"):
        match_legacy({"a": detections()}, {}, 0)
