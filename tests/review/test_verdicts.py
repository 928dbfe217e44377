"""What stands of the boxes that were drawn in advance, and what is rejected."""

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.records import Verdict
from sixrayd.review.server import Origin, ReadAnswer, ReviewedBox
from sixrayd.review.verdicts import PAGE, judge

DRAWN = ("N1/rfb/0", "N1/rfb/1", "N1/rfb/2")
BOX = Box("Gun", 1, 2, 30, 40)


def box(candidate, origin=Origin.CONFIRMED, *, marked=False):
    return ReviewedBox(BOX, origin, candidate, marked)


LEFT = tuple(map(box, DRAWN))
MOVED, OWN = box(DRAWN[1], Origin.MOVED), box("", Origin.DRAWN)


def said(verdict, *boxes, page=PAGE):
    """Candidates of what stands, what is rejected, what is told."""
    judged = judge(ReadAnswer(verdict, boxes, ("before",)), DRAWN, page)
    stands = [item.candidate for item in judged.answer.boxes]
    assert judged.answer.notes[0] == "before" and judged.answer.verdict == verdict
    return stands, list(judged.rejected), list(judged.answer.notes[1:])


def test_nothing_there_rejects_what_is_left():
    assert said(Verdict.NOTHING, *LEFT) == ([], [*DRAWN], [])
    assert said(Verdict.NOTHING) == ([], [*DRAWN], [])  # deleted all the same


@pytest.mark.parametrize(
    "own, stands", [(MOVED, DRAWN[1]), (OWN, ""), (box(DRAWN[0], marked=True), DRAWN[0])]
)
def test_nothing_there_with_a_box_of_the_reviewers_own_is_told(own, stands):
    others = [item for item in LEFT if item.candidate != own.candidate]
    rejected = [name for name in DRAWN if name != own.candidate]
    told = ["says 'nothing there' but keeps 1 box"]
    assert said(Verdict.NOTHING, *others, own) == ([stands], rejected, told)


def test_contraband_keeps_what_is_left_unless_a_box_is_picked_out():
    assert said(Verdict.MISSED, *LEFT) == ([*DRAWN], [], [])
    assert said(Verdict.MISSED, LEFT[0]) == ([DRAWN[0]], [*DRAWN[1:]], [])
    assert said(Verdict.MISSED, *LEFT, OWN) == ([*DRAWN, ""], [], [])
    only = box(DRAWN[2], marked=True)
    assert said(Verdict.MISSED, *LEFT[:2], only) == ([DRAWN[2]], [*DRAWN[:2]], [])
    assert said(Verdict.MISSED, LEFT[0], MOVED, only) == ([*DRAWN[1:]], [DRAWN[0]], [])
    assert said(Verdict.MISSED) == ([], [*DRAWN], ["says 'contraband missed' but has no box"])


def test_unsure_keeps_what_is_suspected():
    assert said(Verdict.UNSURE, *LEFT[1:]) == ([*DRAWN[1:]], [DRAWN[0]], [])


def test_no_verdict_rejects_nothing():
    assert said(None, LEFT[0]) == ([DRAWN[0]], [], [])


def test_on_the_first_page_a_box_left_under_nothing_there_is_a_contradiction():
    told = ["says 'nothing there' but keeps 2 boxes"]
    assert said(Verdict.NOTHING, *LEFT[:2], page=0) == ([*DRAWN[:2]], [DRAWN[2]], told)
