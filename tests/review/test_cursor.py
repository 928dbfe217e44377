"""What a pull knew is read back as it was written, or not at all."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.review.cursor import Cursor, Known, Outcome, Problem
from sixrayd.review.fetched import Fetched, TakenBack

CURSOR = Cursor(
    project=3,
    tasks=40,
    moment="2026-01-02T10:00:00+00:00",
    drafts=1,
    foreign=2,
    annotations=(
        Known(7, 1, Outcome.DECISION),
        Known(8, 2, Outcome.EMPTY, (Problem("N1", 2, 8, "was submitted with nothing in it"),)),
    ),
)
DOCUMENT = json.loads(json.dumps(asdict(CURSOR)))

numbers, texts = st.integers(0, 2**63), st.text(max_size=6)
moments = st.sampled_from(["", CURSOR.moment])
problems = st.builds(Problem, texts, numbers, numbers, texts)
several = st.lists(problems, max_size=2).map(tuple)
known = st.builds(Known, numbers, numbers, st.sampled_from(Outcome), several)
cursors = st.builds(
    Cursor, numbers, numbers, moments, numbers, numbers, st.lists(known, max_size=3).map(tuple)
)


@settings(max_examples=20)
@given(cursors)
def test_a_cursor_survives_json(cursor):
    assert Cursor.of(json.loads(json.dumps(asdict(cursor)))) == cursor


def test_what_was_not_counted_by_earlier_versions_is_nothing():
    old = {key: DOCUMENT[key] for key in ("project", "tasks", "annotations")}
    assert Cursor.of(old) == Cursor(3, 40, annotations=CURSOR.annotations)


def broken(**changed):
    first = DOCUMENT["annotations"][0] | changed
    return DOCUMENT | {"annotations": [first]}


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "cursor",
        DOCUMENT | {"annotations": None},
        DOCUMENT | {"annotations": [7]},
        DOCUMENT | {"colour": "red"},
        DOCUMENT | {"moment": "yesterday"},
        {key: value for key, value in DOCUMENT.items() if key != "tasks"},
        broken(outcome="lost"),
        broken(annotation="seven"),
        broken(task=None),
        broken(problems=None),
        broken(problems=[{"what": "odd"}]),
        broken(problems=[{**asdict(CURSOR.annotations[1].problems[0]), "more": 1}]),
        {key: value for key, value in broken().items() if key != "annotations"},
    ],
)
def test_what_is_no_cursor(document):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Cursor.of(document)


def test_a_clock_that_was_ahead_hides_nothing_that_comes_once_it_is_right():
    now = datetime(2026, 1, 2, 9, tzinfo=UTC)
    assert CURSOR.by(now).moment == "2026-01-02T09:00:00+00:00"
    assert CURSOR.by(now + timedelta(hours=1)) == CURSOR
    assert Cursor(3, 40).by(now) == Cursor(3, 40)


@pytest.mark.parametrize(
    ("changed", "ends"),
    [
        ({}, True),
        ({"moment": "2026-01-02T10:00:00+00:00"}, True),
        ({"moment": "2026-01-02T09:59:59+00:00"}, False),  # before it was said: of a backup
        ({"image_id": "N2"}, False),  # of a task whose number was given again
        ({"task": 2}, False),
        ({"by": "bob"}, False),
        ({"by": ""}, False),
    ],
)
def test_what_is_taken_back_ends_what_its_reviewer_said_there_before(changed, ends):
    row = {"task": 1, "annotation": 7, "image_id": "N1", "reviewer": "ann", "version": 1}
    row |= {"withdrawn": False, "decided_at": "2026-01-02T10:00:00+00:00"}
    back = TakenBack(1, "N1", "ann", Outcome.SKIPPED, "2026-01-02T11:00:00+00:00")
    fetched = Fetched((), (), {7: back._replace(**changed)}, {}, {})
    assert [each["withdrawn"] for each in fetched.fresh([row], planted=False)] == [True] * ends


def test_a_problem_is_one_line_that_leads_to_it():
    problem = CURSOR.annotations[1].problems[0]
    assert str(problem) == "N1: task 2, annotation 8: was submitted with nothing in it"
