"""False alarms at fixed recall, counted by hand."""

import math

import numpy as np
import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.alarms import AlarmRate, false_alarms
from tests.evaluation.rows import detections, truths

CLASSES = ClassList(("Gun", "Knife"))

# Ten objects, one an image; the first eight are found with scores 0.95, 0.90 … 0.60.
TRUTH = {f"P{n}": truths((0, 0, 10, 10, n % 2, 0)) for n in range(10)}
FOUND = {f"P{n}": detections((0, 0, 10, 10, 0.95 - n / 20, n % 2)) for n in range(8)}


def negatives():
    return {
        "N0": detections((0, 0, 9, 9, 0.7, 0), (5, 5, 9, 9, 0.66, 1)),
        "N1": detections((0, 0, 9, 9, 0.6, 1)),
        "N2": detections((0, 0, 9, 9, 0.1, 1), (0, 0, 9, 9, 0.99, 2)),
        "N3": detections(),
    }


def test_alarms_at_each_recall():
    rates = false_alarms(FOUND, TRUTH, negatives(), CLASSES, (0.1, 0.7, 0.8, 0.9))
    assert len(rates) == 4
    # Seven objects at 0.65: both boxes of N0. Eight at 0.60: N1 as well, an equal score included.
    # The class of N2's 0.99 is not among those looked for.
    expected = [(0.1, 0.95, 0, 0), (0.7, 0.65, 250, 500), (0.8, 0.60, 500, 750)]
    for rate, row in zip(rates, expected, strict=False):
        assert (
            rate.recall,
            rate.threshold,
            rate.images_per_1000,
            rate.boxes_per_1000,
        ) == pytest.approx(row)
    assert rates[3].recall == 0.9
    unreached = (rates[3].threshold, rates[3].images_per_1000, rates[3].boxes_per_1000)
    assert all(math.isnan(value) for value in unreached)


def test_wrong_and_difficult_detections_reach_no_recall():
    truth = {"P0": truths((0, 0, 10, 10, 0, 0), (50, 50, 60, 60, 0, 1))}
    found = {
        "P0": detections((50, 50, 60, 60, 0.9, 0), (80, 80, 90, 90, 0.8, 0), (0, 0, 10, 10, 0.5, 0))
    }
    rates = false_alarms(found, truth, {"N0": detections((0, 0, 9, 9, 0.7, 0))}, CLASSES, (1.0,))
    assert rates == (AlarmRate(1.0, 0.5, 1000.0, 1000.0),)


def test_the_threshold_agrees_with_trying_every_score():
    rng = np.random.default_rng(3)
    truth = {f"P{n}": truths((0, 0, 10, 10, 0, 0)) for n in range(30)}
    found = {f"P{n}": detections((0, 0, 10, 10, round(rng.random(), 2), 0)) for n in range(27)}
    clean = {f"N{n}": detections((0, 0, 9, 9, round(rng.random(), 2), 0)) for n in range(50)}
    scores = np.array([found[name].scores[0] for name in found])
    rates = false_alarms(found, truth, clean, CLASSES, (0.1, 0.3, 0.5, 0.7, 0.9))
    assert len(rates) == 5
    for rate in rates:
        enough = [t for t in scores if (scores >= t).sum() * 10 >= round(rate.recall * 10) * 30]
        alarms = sum(bool(each.scores[0] >= max(enough)) for each in clean.values())
        assert (rate.threshold, rate.images_per_1000) == (max(enough), alarms * 20)


def test_a_share_that_rounds_up_asks_for_no_object_more():
    # 0.14 * 50 is more than 7 in binary, and seven objects are found.
    truth = {f"P{n}": truths((0, 0, 10, 10, 0, 0)) for n in range(50)}
    found = {f"P{n}": detections((0, 0, 10, 10, 0.5, 0)) for n in range(7)}
    rates = false_alarms(found, truth, negatives(), CLASSES, (0.14, 0.15))
    assert rates[0] == AlarmRate(0.14, 0.5, 500.0, 750.0)
    assert math.isnan(rates[1].threshold)


def test_nothing_to_measure():
    with pytest.raises(ShapeError, match=r"^negatives: need at least one image that holds nothing"):
        false_alarms(FOUND, TRUTH, {}, CLASSES)
    with pytest.raises(ShapeError, match=r"^truths: no object of Gun, Knife counts$"):
        false_alarms({}, {"P0": truths()}, negatives(), CLASSES)
    for recall in (0.0, 1.1):
        with pytest.raises(SettingsError, match=r"^recalls: each must be above 0 and at most 1"):
            false_alarms(FOUND, TRUTH, negatives(), CLASSES, (0.5, recall))
    rates = false_alarms({}, TRUTH, negatives(), CLASSES)
    assert [rate.recall for rate in rates] == [0.7, 0.8, 0.9]
    assert all(math.isnan(rate.threshold) for rate in rates)
