"""From answers about images to units that are found, decided or open."""

import pyarrow as pa
import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import ADJUDICATION, Rule, Verdict
from sixrayd.decisions.decision import DecidedBox, Decision
from sixrayd.statistics.population import POPULATION_SCHEMA, Population
from sixrayd.statistics.standing import (
    ANSWER_SCHEMA,
    Answer,
    Standing,
    answer_rows,
    settled_answers,
)

CLASSES = ClassList()
GUN, KNIFE = Box("Gun", 1, 2, 30, 40), Box("knife", 5, 6, 7, 8)
CLEARED = Answer(True)
FOUND = Answer(True, True, frozenset({"Gun"}))
OPEN = Answer(False, reason="unsure: ann")


def says(verdict, *boxes, who="ann", lane="1", image_id="a1"):
    return Decision(
        *(image_id, "first", 1, verdict, who, "2026-01-02T10:00:00+00:00", 4.0, "http://x", 3, 4),
        lane=lane,
        withdrawn=False,
        boxes=tuple(DecidedBox(box, "drawn", "") for box in boxes),
    )


def amount(*said, rule=Rule.ADJUDICATOR):
    return settled_answers(answer_rows({"a1": said}), rule, CLASSES)["a1"]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ([says(Verdict.NOTHING)], CLEARED),
        ([says(Verdict.MISSED, GUN, KNIFE)], Answer(True, True, frozenset({"Gun", "Knife"}))),
        ([says(Verdict.UNSURE)], OPEN),
        ([says(Verdict.MISSED)], Answer(False, reason="ann: contraband missed, but no box")),
        (
            [says(Verdict.MISSED, GUN, Box("Bat", 1, 1, 2, 2))],
            Answer(False, reason="ann: contraband missed, but boxes of Bat, Gun"),
        ),
        (
            [says(Verdict.MISSED, GUN), says(Verdict.NOTHING, who="bob")],
            Answer(False, reason="reviewers disagree: ann: contraband missed; bob: nothing there"),
        ),
        (
            [says(Verdict.MISSED, GUN), says(Verdict.NOTHING, who="bob", lane=ADJUDICATION)],
            CLEARED,
        ),
    ],
)
def test_what_answers_amount_to(said, answer):
    assert amount(*said) == answer


def test_a_find_is_confirmed_by_two_readers_and_as_the_class_that_both_boxed():
    one, two = says(Verdict.MISSED, GUN, KNIFE), says(Verdict.MISSED, GUN, who="bob")
    agreed = amount(one, two, rule=Rule.STRICTEST)
    assert (agreed.confirmed, agreed.confirmed_as) == (True, frozenset({"Gun"}))
    assert agreed.labels == frozenset({"Gun", "Knife"})
    again = says(Verdict.MISSED, GUN, lane=ADJUDICATION)
    assert not amount(one, again).confirmed  # the same person
    assert not amount(one, says(Verdict.NOTHING, who="bob"), rule=Rule.STRICTEST).confirmed

    table = pa.table({"image_id": ["a1", "b1"], "group": ["a1", "b1"], "stratum": ["", ""]})
    population = Population(table.cast(POPULATION_SCHEMA))
    standing = Standing.of(population, {"a1": agreed, "b1": FOUND}, ("Gun", "Knife"))
    assert standing.confirmed.tolist() == [True, False]
    assert standing.confirmed_as["Gun"].tolist() == [True, False]
    assert standing.confirmed_as["Knife"].tolist() == [False, False]


def test_the_rule_decides():
    said = says(Verdict.MISSED, GUN), says(Verdict.NOTHING, who="b"), says(Verdict.NOTHING, who="c")

    assert not amount(*said).settled
    assert amount(*said, rule=Rule.MAJORITY) == CLEARED
    assert amount(*said, rule=Rule.STRICTEST) == FOUND


def test_rows_keep_what_settles_and_nothing_else():
    table = answer_rows({"b1": (says(Verdict.NOTHING, image_id="b1"),), "a1": (says("unsure"),)})

    assert table.schema.equals(ANSWER_SCHEMA)
    assert table["image_id"].to_pylist() == ["a1", "b1"]
    assert answer_rows({}).num_rows == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("verdict", "maybe"), ("boxes", [{"label": "Gun", "x1": 5, "y1": 1, "x2": 4, "y2": 9}])],
)
def test_rows_that_make_no_sense(column, value):
    row = answer_rows({"a1": (says(Verdict.NOTHING),)}).to_pylist()[0] | {column: value}

    with pytest.raises(WorkspaceError, match=r"^decision on a1: "):
        settled_answers(pa.Table.from_pylist([row], ANSWER_SCHEMA), Rule.MAJORITY, CLASSES)


def standing(**answers):
    images = ["a1", "a2", "a3", "b1", "b2", "c1"]
    rows = [{"image_id": i, "group": i[0], "stratum": "low"} for i in images]
    population = Population(pa.Table.from_pylist(rows, POPULATION_SCHEMA))
    return Standing.of(population, answers, ("Gun", "Knife"))


def test_a_unit_is_decided_when_found_or_cleared_in_every_image():
    found = standing(a1=CLEARED, a2=FOUND, b1=CLEARED, b2=OPEN, c1=CLEARED, z9=FOUND)

    assert found.found.tolist() == [True, False, False]
    assert found.decided.tolist() == [True, False, True]
    assert found.found_as["Gun"].tolist() == [True, False, False]
    assert found.found_as["Knife"].tolist() == [False, False, False]
    assert found.decided_as("Gun").tolist() == [True, False, True]
    assert found.decided_as("Knife").tolist() == [False, False, True]
    assert found.decided_as().tolist() == found.decided.tolist()
    assert (found.cleared_in_found, found.undecided_in_found) == (1, 1)


def test_nothing_said():
    found = standing()

    assert not found.found.any()
    assert not found.decided.any()
    assert (found.cleared_in_found, found.undecided_in_found) == (0, 0)
