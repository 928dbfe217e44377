"""What a pull complained of is settled once somebody has seen to it."""

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.records import ADJUDICATION, Verdict
from sixrayd.decisions.decision import DecidedBox, Decision
from sixrayd.review.cursor import Known, Outcome, Problem
from sixrayd.review.problems import CHANGED_BY_ANOTHER, open_problems

TASK = 7


def said(annotation, reviewer="ann", verdict=Verdict.NOTHING, **more):
    boxes = (DecidedBox(Box("Gun", 1, 2, 30, 40), "drawn", ""),)
    given = {"image_id": "N1", "review": "r", "version": 1, "server": "local", "task": TASK}
    given |= {"decided_at": "2026-01-02T10:00:00+00:00", "lead_time_s": 2.0, "lane": "1"}
    given |= {"withdrawn": False, "boxes": boxes if verdict == Verdict.MISSED else ()}
    return Decision(
        **{**given, "annotation": annotation, "reviewer": reviewer, "verdict": verdict, **more}
    )


def complaint(annotation, outcome, what):
    return Known(annotation, TASK, outcome, (Problem("N1", TASK, annotation, what),))


EMPTY = complaint(1, Outcome.EMPTY, "was submitted with nothing in it")
CUT = complaint(1, Outcome.DECISION, "region 1: reaches past the image, cut at its edge")
CHANGED = complaint(1, Outcome.DECISION, f"{CHANGED_BY_ANOTHER}; the answer of bob stands beside")
LATER = "2026-01-02T11:00:00+00:00"
RULING = said(9, "carl", task=99, lane=ADJUDICATION)


@pytest.mark.parametrize(
    ("known", "decisions", "left"),
    [
        (EMPTY, [], 1),
        (EMPTY, [said(2, task=8)], 1),  # another task of the image
        (EMPTY, [said(2)], 0),  # the task is answered after all
        (EMPTY, [RULING], 0),
        (EMPTY, [said(9, "carl", Verdict.UNSURE, task=99, lane=ADJUDICATION)], 1),
        (CUT, [said(1)], 1),
        (CUT, [said(1), said(1, version=2, withdrawn=True)], 0),
        (CUT, [said(1), said(2, decided_at=LATER)], 0),  # answered anew
        (CUT, [said(1), said(2, "bob")], 1),  # somebody else's answer mends no box
        (CUT, [said(1), RULING], 0),
        (CHANGED, [said(1)], 1),
        (CHANGED, [said(1), said(2, "bob")], 0),  # they agree
        (CHANGED, [said(1), said(2, "bob", Verdict.MISSED)], 1),
        (CHANGED, [said(1), said(2, "bob", Verdict.MISSED), RULING], 0),
    ],
)  # fmt: skip
def test_a_problem_is_open_until_it_is_settled(known, decisions, left):
    assert open_problems([known], decisions) == known.problems * left
