"""What second people and shams say of finds, worked by hand."""

import pytest
from scipy.stats import binomtest

from sixrayd.core.records import ADJUDICATION, Rule, Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.statistics.double_reading import double_reading
from sixrayd.statistics.false_finds import FalseFinds, false_finds, sham_alarms
from sixrayd.statistics.standing import answer_rows, settled_answers
from tests.statistics.test_certificate import population_of
from tests.statistics.test_standing import CLASSES, GUN, says

SAW, CLEAR = (Verdict.MISSED, GUN), (Verdict.NOTHING,)
ANN, BOB = ("ann", "1"), ("bob", "2")
AGAIN, EVE = ("bob", "second-look-0a1b2c3d"), ("eve", ADJUDICATION)
READINGS = {
    "a": [(ANN, SAW)],
    "b": [(ANN, SAW)],
    "c": [(ANN, SAW), (AGAIN, SAW)],
    "d": [(ANN, SAW), (AGAIN, CLEAR), (EVE, CLEAR)],  # a false find
    "e": [(ANN, SAW), (BOB, SAW)],  # double reading says the same of finds
    "f": [(ANN, CLEAR), (BOB, SAW), (EVE, SAW)],  # the second's find was no first one
    "g": [(ANN, SAW), (AGAIN, CLEAR)],  # nobody has settled it
    "h": [(ANN, CLEAR)],
    "i": [(("ann", AGAIN[1]), CLEAR)],  # has changed her mind
}


def material():
    said = {
        image_id: [
            says(*verdict, who=who, lane=lane, image_id=image_id) for (who, lane), verdict in given
        ]
        for image_id, given in READINGS.items()
    }
    return said, settled_answers(answer_rows(said), Rule.ADJUDICATOR, CLASSES)


def test_worked_by_hand():
    found = false_finds(*material(), (40, 1))

    assert found == FalseFinds(found=5, alone=2, looked=3, cleared=1, clean=3, shams=40, alarms=1)
    low, high = binomtest(1, 3).proportion_ci(method="exact")
    assert found.expected == pytest.approx((2 / 3, 2 * low, 2 * high))
    assert found.words == (
        "false finds: about 0.7 of 5 found images (13.3 %; 0.0 to 1.8 images), among the 2 that "
        "one reader alone saw; of 3 that a second person answered 1 were cleared; of 40 shams 1 "
        "were called contraband"
    )


def test_second_looks_are_no_double_reading():
    said, answers = material()
    population = population_of({"low": sorted(READINGS)})
    double = double_reading(said, answers, population)

    assert (double.twice, double.both, double.second_alone) == (2, 1, 1)


def test_without_second_people_shams_say_it_and_never_more_than_there_are():
    few = FalseFinds(found=10, alone=10, clean=90, shams=100, alarms=2)
    low, high = binomtest(2, 100).proportion_ci(method="exact")
    assert few.expected == pytest.approx((2.0, 100 * low, 100 * high))
    many = FalseFinds(found=1, alone=1, clean=10_000, shams=100, alarms=2)
    assert many.expected == (1.0, 1.0, 1.0)


def test_none_was_cleared_and_all_were():
    assert FalseFinds(found=9, alone=4, looked=1, cleared=0).expected == pytest.approx((0, 0, 3.9))
    assert FalseFinds(found=9, alone=4, looked=1, cleared=1).expected == pytest.approx((4, 0.1, 4))


def test_what_nobody_measured_is_said():
    found = FalseFinds(found=1_200, alone=1_000)
    assert found.expected is None
    assert found.words == (
        "false finds: NOT MEASURED, 1,000 of 1,200 found images were seen by one reader alone; "
        "`sixrayd review push --confirm-finds` has others look"
    )


def test_where_two_saw_each_find_nobody_is_sent_to_look_again():
    found = FalseFinds(found=12, alone=0)
    assert found.words == "false finds: none counted, all 12 found images were seen by two"


def test_a_workspace_without_shams(tmp_path):
    assert sham_alarms(Workspace(tmp_path)) == (0, 0)
