"""Boxes paired one to one, and decisions of several reviewers settled by each rule."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.boxes import Box, iou_matrix
from sixrayd.core.errors import ShapeError, WorkspaceError
from sixrayd.core.records import ADJUDICATION, DECISION_SCHEMA, Rule, Verdict
from sixrayd.decisions import consensus
from sixrayd.decisions.consensus import (
    Conflict,
    Matching,
    Pair,
    Settled,
    conflicts,
    match_boxes,
    settle,
)
from sixrayd.decisions.decision import DecidedBox, Decision, decisions_of, standing_decisions
from tests.test_fuzz import within

MISSED, NOTHING, UNSURE = Verdict.MISSED, Verdict.NOTHING, Verdict.UNSURE
KNIFE = DecidedBox(Box("Knife", 10, 20, 40, 50), "confirmed", "N1/rfb/0")
NEAR = DecidedBox(Box("Knife", 12, 20, 40, 52), "moved", "N1/rfb/0")
OTHER = DecidedBox(Box("Wrench", 10, 20, 40, 50), "relabelled", "N1/rfb/0")
GUN = DecidedBox(Box("Gun", 60, 10, 80, 30), "drawn", "")


def says(reviewer, verdict, *boxes, hour=0, lane="1"):
    return Decision(
        image_id="N1",
        review="first",
        version=1,
        verdict=verdict,
        reviewer=reviewer,
        decided_at=f"2026-01-02T{hour + 10}:00:00+00:00",
        lead_time_s=4.0,
        server="local",
        task=1,
        annotation=hour + 1,
        lane=lane,
        withdrawn=False,
        boxes=boxes,
    )


def test_boxes_pair_for_the_best_sum_not_the_best_first():
    # Greedily a0 takes b0 (0.9) and a1 is left over; together 0.6 + 0.9 is more.
    first = [Box("Gun", 0, 0, 100, 10), Box("Gun", 10, 0, 110, 10)]
    second = [Box("Gun", 5, 0, 105, 10), Box("Gun", -30, 0, 70, 10)]
    found = match_boxes(first, second)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1), (1, 0)]
    assert [pair.iou for pair in found.pairs] == pytest.approx([70 / 130, 95 / 105])
    assert found.clashes == ()


def test_labels_must_agree_and_clashes_are_told_apart():
    first = [Box("Gun", 0, 0, 10, 10), Box("Knife", 0, 0, 10, 9), Box("Knife", 50, 0, 60, 10)]
    second = [Box("Knife", 0, 0, 10, 10), Box("Gun", 50, 0, 60, 10)]
    assert match_boxes(first, second) == Matching((Pair(1, 0, 0.9),), (Pair(2, 1, 1.0),))


@pytest.mark.parametrize(("min_iou", "pairs"), [(0.5, (Pair(0, 0, 0.5),)), (0.51, ())])
def test_the_least_iou(min_iou, pairs):
    first, second = [Box("Gun", 0, 0, 10, 10)], [Box("Gun", 0, 0, 10, 5)]
    assert match_boxes(first, second, min_iou) == Matching(pairs, ())


def test_no_boxes():
    assert match_boxes([], []) == Matching((), ())
    assert match_boxes([GUN.box], []) == match_boxes([], [GUN.box]) == Matching((), ())


edges = st.integers(0, 12)
some_boxes = st.lists(
    st.builds(
        lambda label, x, y, w, h: Box(label, x, y, x + w + 1, y + h + 1),
        st.sampled_from(["Gun", "Knife"]),
        *[edges] * 4,
    ),
    max_size=4,
)


@settings(max_examples=80)
@given(some_boxes, some_boxes)
def test_pairs_are_as_good_as_any(first, second):
    found = match_boxes(first, second, 0.2)
    taken = found.pairs + found.clashes
    assert len({pair.first for pair in taken}) == len({pair.second for pair in taken}) == len(taken)
    assert all(first[p.first].label == second[p.second].label for p in found.pairs)
    assert all(first[p.first].label != second[p.second].label for p in found.clashes)
    short, long = sorted((first, second), key=len)
    xyxy = [np.array([b.xyxy for b in boxes], float).reshape(-1, 4) for boxes in (short, long)]
    gain = iou_matrix(*xyxy)
    same = [[a.label == b.label for b in long] for a in short]
    best = max(
        sum(gain[i, j] for i, j in enumerate(order) if same[i][j] and gain[i, j] >= 0.2)
        for order in permutations(range(len(long)), len(short))
    )
    assert sum(pair.iou for pair in found.pairs) == pytest.approx(best)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("verdict", Verdict)
def test_one_alone_decides(rule, verdict):
    decision = says("ann", verdict, KNIFE)
    assert settle([decision], rule) == Settled(decision, "")


@pytest.mark.parametrize("rule", Rule)
def test_an_adjudicator_decides(rule):
    ann, bob = says("ann", MISSED, KNIFE), says("bob", NOTHING, hour=1)
    early = says("dora", UNSURE, hour=2, lane=ADJUDICATION)
    late = says("eve", MISSED, GUN, hour=3, lane=ADJUDICATION)
    after = says("cid", NOTHING, hour=4)
    words = "adjudicated; before: ann: contraband missed; bob: nothing there; cid: nothing there"
    assert settle([ann, bob, early, late, after], rule) == Settled(late, words)
    assert settle([early], rule) == Settled(early, "")


@pytest.mark.parametrize("rule", Rule)
def test_adjudicators_who_differ_settle_nothing(rule):
    dora = says("dora", NOTHING, lane=ADJUDICATION)
    eve = says("eve", MISSED, GUN, hour=1, lane=ADJUDICATION)
    words = "adjudicators disagree: dora: nothing there; eve: contraband missed"
    assert settle([says("ann", MISSED, KNIFE), dora, eve], rule) == Settled(None, words)


@pytest.mark.parametrize("rule", Rule)
def test_nobody_has_answered(rule):
    with pytest.raises(ShapeError, match=r"^settle: needs a decision or more, got none$"):
        settle([], rule)


@pytest.mark.parametrize("rule", Rule)
def test_those_who_agree_become_one(rule):
    said = [says("bob", MISSED, KNIFE, GUN), says("ann", MISSED, GUN, KNIFE, hour=1)]
    settled = settle(said, rule)
    assert settled.reason == ""
    assert settled.decision.reviewer == "ann, bob"
    assert settled.decision.decided_at == "2026-01-02T11:00:00+00:00"
    assert (settled.decision.lead_time_s, settled.decision.annotation) == (8.0, 2)
    assert set(settled.decision.boxes) == {KNIFE, GUN}
    assert len(settled.decision.boxes) == 2
    nothing = settle([says("ann", NOTHING), says("bob", NOTHING, hour=1)], rule).decision
    assert (nothing.verdict, nothing.reviewer, nothing.boxes) == (NOTHING, "ann, bob", ())
    unsure = settle([says("ann", UNSURE, GUN), says("bob", UNSURE, hour=1)], rule)
    assert (unsure.decision.verdict, unsure.decision.boxes, unsure.reason) == (UNSURE, (), "")


@pytest.mark.parametrize("rule", Rule)
def test_matched_boxes_are_merged(rule):
    said = [says("ann", MISSED, KNIFE), says("bob", MISSED, NEAR), says("cid", MISSED, NEAR)]
    (merged,) = settle(said[:2], rule).decision.boxes
    assert merged == DecidedBox(Box("Knife", 11, 20, 40, 51), "agreed", "N1/rfb/0")
    (merged,) = settle(said, rule).decision.boxes
    assert merged.box.xyxy == pytest.approx((34 / 3, 20, 40, 154 / 3))
    drawn = DecidedBox(NEAR.box, "drawn", "")
    (merged,) = settle([said[0], says("bob", MISSED, drawn)], rule).decision.boxes
    assert (merged.origin, merged.candidate) == ("agreed", "")


TWO = [says("ann", MISSED, KNIFE), says("bob", NOTHING, hour=1)]
THREE = [*TWO, says("cid", MISSED, KNIFE, hour=2)]
DOUBT = [says("ann", MISSED, KNIFE), says("bob", UNSURE, GUN, hour=1)]
CLEAR = [says("ann", NOTHING), says("bob", UNSURE, hour=1)]


@pytest.mark.parametrize(
    ("said", "rule", "verdict", "reviewers"),
    [
        (TWO, Rule.ADJUDICATOR, None, ""),
        (TWO, Rule.MAJORITY, None, ""),
        (TWO, Rule.STRICTEST, MISSED, "ann"),
        (THREE, Rule.ADJUDICATOR, None, ""),
        (THREE, Rule.MAJORITY, MISSED, "ann, cid"),
        (THREE, Rule.STRICTEST, MISSED, "ann, cid"),
        (DOUBT, Rule.ADJUDICATOR, None, ""),
        (DOUBT, Rule.MAJORITY, MISSED, "ann"),
        (DOUBT, Rule.STRICTEST, MISSED, "ann"),
        (CLEAR, Rule.ADJUDICATOR, None, ""),
        (CLEAR, Rule.MAJORITY, NOTHING, "ann"),
        (CLEAR, Rule.STRICTEST, NOTHING, "ann"),
    ],
)
def test_verdicts_that_differ(said, rule, verdict, reviewers):
    words = "; ".join(f"{d.reviewer}: {d.verdict}" for d in said)
    settled = settle(said, rule)
    if verdict is None:
        assert settled == Settled(None, f"reviewers disagree: {words}")
    else:
        assert settled.reason == f"by {rule}: {words}"
        assert (settled.decision.verdict, settled.decision.reviewer) == (verdict, reviewers)
        assert settled.decision.boxes == ((KNIFE,) if verdict == MISSED else ())


def test_boxes_that_differ_under_adjudicator():
    ann, bob = says("ann", MISSED, KNIFE), says("bob", MISSED, NEAR, GUN)
    assert settle([ann, bob], Rule.ADJUDICATOR) == Settled(
        None, "reviewers disagree: boxes that others lack: bob: Gun at (60, 10, 80, 30)"
    )
    clash = settle([ann, says("bob", MISSED, OTHER)], Rule.ADJUDICATOR)
    assert clash == Settled(
        None,
        "reviewers disagree: different classes in one place: ann: Knife at (10, 20, 40, 50); "
        "bob: Wrench at (10, 20, 40, 50)",
    )
    bare = settle([ann, says("bob", MISSED)], Rule.ADJUDICATOR)
    assert bare.decision is None
    assert settle([says("ann", MISSED), says("bob", MISSED)], Rule.ADJUDICATOR).decision.boxes == ()


def test_boxes_that_differ_under_majority():
    ann, bob = says("ann", MISSED, KNIFE, GUN), says("bob", MISSED, KNIFE, hour=1)
    cid, dan = says("cid", MISSED, OTHER, hour=2), says("dan", NOTHING, hour=3)
    settled = settle([ann, bob, cid], Rule.MAJORITY)
    assert settled.decision.boxes == (KNIFE,)
    assert settled.decision.reviewer == "ann, bob, cid"
    assert settled.reason == (
        "by majority, left out: boxes that others lack: ann: Gun at (60, 10, 80, 30); "
        "cid: Wrench at (10, 20, 40, 50)"
    )
    outvoted = settle([ann, bob, cid, dan], Rule.MAJORITY).reason
    assert outvoted.startswith("by majority: ann: contraband missed; bob")
    assert outvoted.endswith("; " + settled.reason)
    tie = settle([ann, bob], Rule.MAJORITY)
    assert tie == Settled(
        None, "reviewers disagree: boxes that others lack: ann: Gun at (60, 10, 80, 30)"
    )
    none_stands = [says("ann", MISSED, KNIFE), says("bob", MISSED, GUN), says("cid", MISSED, OTHER)]
    assert settle(none_stands, Rule.MAJORITY).decision is None


def test_boxes_are_united_under_strictest():
    said = [says("ann", MISSED, KNIFE), says("bob", MISSED, OTHER), says("cid", MISSED, KNIFE, GUN)]
    settled = settle(said, Rule.STRICTEST)
    assert set(settled.decision.boxes) == {KNIFE, OTHER, GUN}
    assert (len(settled.decision.boxes), settled.reason) == (3, "")
    drew = {box: box.reviewers for box in settled.decision.boxes}
    assert drew == {KNIFE: ("ann", "cid"), OTHER: ("bob",), GUN: ("cid",)}
    alike = settle([said[0], says("bob", MISSED, KNIFE)], Rule.STRICTEST)
    assert [box.reviewers for box in alike.decision.boxes] == [()]  # of all who saw contraband


def test_two_things_in_one_place_stay_two():
    twice = (KNIFE, NEAR)
    settled = settle([says("ann", MISSED, *twice), says("bob", MISSED, *twice)], Rule.ADJUDICATOR)
    assert set(settled.decision.boxes) == {KNIFE, NEAR}


decided = st.lists(st.sampled_from([KNIFE, NEAR, OTHER, GUN]), unique=True, max_size=3)


@settings(max_examples=60)
@given(st.lists(decided, min_size=2, max_size=4), st.randoms(), st.sampled_from(Rule))
def test_who_was_first_changes_nothing(drawn, random, rule):
    said = [says(f"r{n}", MISSED, *boxes, hour=n) for n, boxes in enumerate(drawn)]
    shuffled = list(said)
    random.shuffle(shuffled)
    one, two = settle(said, rule).decision, settle(shuffled, rule).decision
    assert (one and one.boxes) == (two and two.boxes)


def test_conflicts_show_matched_boxes_once():
    decisions = {
        "N1": [says("ann", MISSED, KNIFE, GUN), says("bob", MISSED, NEAR), says("cid", UNSURE)],
        "N2": [says("ann", MISSED, KNIFE), says("bob", MISSED, KNIFE)],
        "N3": [*TWO, says("dora", NOTHING, hour=3, lane=ADJUDICATION)],
        "N4": [says("ann", UNSURE)],
        "N5": TWO,
    }
    one, five = conflicts(decisions, Rule.ADJUDICATOR)
    assert (one.image_id, set(one.boxes)) == ("N1", {Box("Knife", 11, 20, 40, 51), GUN.box})
    assert len(one.boxes) == 2
    assert five == Conflict(
        "N5", "reviewers disagree: ann: contraband missed; bob: nothing there", (KNIFE.box,)
    )
    assert conflicts(decisions, Rule.STRICTEST) == ()


def by_the_book(verdicts, rule):
    """The verdict as docs/agreement.md words it, None where it waits."""
    sure = [verdict for verdict in verdicts if verdict != UNSURE]
    if not sure or len(set(verdicts)) == 1:
        return verdicts[0] if not sure else sure[0]
    if rule == Rule.ADJUDICATOR:
        return None  # any difference waits, unsure beside a verdict as well
    saw, cleared = sure.count(MISSED), sure.count(NOTHING)
    if rule == Rule.STRICTEST:
        return MISSED if saw else NOTHING
    return None if saw == cleared else MISSED if saw > cleared else NOTHING


@pytest.mark.parametrize("rule", Rule)
def test_every_combination_of_up_to_five_verdicts(rule):
    combinations = [said for n in range(1, 6) for said in product(Verdict, repeat=n)]
    assert len(combinations) == 3 + 9 + 27 + 81 + 243
    for verdicts in combinations:
        said = [says(f"r{n}", verdict, hour=n) for n, verdict in enumerate(verdicts)]
        settled = settle(said, rule).decision
        expected = by_the_book(verdicts, rule)
        assert (settled and settled.verdict) == expected, (verdicts, rule)
        if settled:  # it is the answer of those who said so, and of nobody else
            side = [f"r{n}" for n, verdict in enumerate(verdicts) if verdict == expected]
            assert settled.reviewer == ", ".join(side)


@pytest.mark.parametrize("rule", Rule)
def test_adjudicators_who_agree_settle_together(rule):
    before = [says("ann", MISSED, GUN), says("bob", NOTHING)]
    dora = says("dora", MISSED, KNIFE, hour=1, lane=ADJUDICATION)
    eve = says("eve", MISSED, NEAR, hour=2, lane=ADJUDICATION)
    settled = settle([*before, dora, eve], rule)
    assert settled.reason == "adjudicated; before: ann: contraband missed; bob: nothing there"
    assert (settled.decision.reviewer, settled.decision.lane) == ("dora, eve", ADJUDICATION)
    merged = DecidedBox(Box("Knife", 11, 20, 40, 51), "agreed", "N1/rfb/0")
    assert settled.decision.boxes == (merged,)


@pytest.mark.parametrize("rule", Rule)
def test_adjudicators_whose_boxes_differ_settle_nothing(rule):
    dora = says("dora", MISSED, KNIFE, lane=ADJUDICATION)
    eve = says("eve", MISSED, KNIFE, GUN, hour=1, lane=ADJUDICATION)
    words = "adjudicators disagree: dora: contraband missed; eve: contraband missed"
    assert settle([dora, eve], rule) == Settled(None, words)


@pytest.mark.parametrize("rule", Rule)
def test_an_adjudicator_who_is_unsure_settles_that_it_is(rule):
    dora = says("dora", UNSURE, hour=3, lane=ADJUDICATION)
    settled = settle([says("ann", MISSED, KNIFE), says("bob", NOTHING), dora], rule)
    assert (settled.decision.verdict, settled.decision.boxes) == (UNSURE, ())
    assert settled.decision.lane == ADJUDICATION


@pytest.mark.parametrize(
    ("drew", "of", "stands"),
    [(1, 2, None), (1, 3, False), (2, 3, True), (1, 4, False), (2, 4, None), (3, 4, True)],
)
def test_a_box_needs_more_than_half_of_those_who_saw(drew, of, stands):
    said = [
        says(f"r{n}", MISSED, *((GUN, KNIFE) if n < drew else (GUN,)), hour=n) for n in range(of)
    ]
    # Who is unsure or saw nothing has no say in boxes.
    said.append(says("blind", UNSURE, hour=8))
    settled = settle(said, Rule.MAJORITY)
    if stands is None:
        assert settled.decision is None
        assert "Knife at (10, 20, 40, 50)" in settled.reason
    else:
        assert (KNIFE in settled.decision.boxes) == stands
        assert GUN in settled.decision.boxes


@pytest.mark.parametrize("rule", Rule)
def test_boxes_of_one_who_is_unsure_do_not_count(rule):
    said = [says("ann", UNSURE, KNIFE), says("bob", UNSURE, GUN, hour=1)]
    assert settle(said, rule).decision.boxes == ()
    alone = settle([says("ann", UNSURE, KNIFE)], rule).decision
    assert alone.boxes == (KNIFE,)  # as he left it; nobody takes it for a find


def test_a_conflict_shows_the_boxes_of_all_of_whatever_verdict():
    said = [says("ann", UNSURE, KNIFE), says("bob", NOTHING, hour=1), says("cid", MISSED, GUN)]
    (found,) = conflicts({"N1": said}, Rule.MAJORITY)
    assert found.reason == (
        "reviewers disagree: ann: unsure; bob: nothing there; cid: contraband missed"
    )
    assert set(found.boxes) == {KNIFE.box, GUN.box}
    assert conflicts({}, Rule.ADJUDICATOR) == ()


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(Verdict), decided), min_size=1, max_size=4),
    st.sampled_from(Rule),
)
def test_what_is_settled_is_what_somebody_said(answers, rule):
    said = [
        says(f"r{n}", verdict, *(boxes if verdict == MISSED else ()), hour=n)
        for n, (verdict, boxes) in enumerate(answers)
    ]
    before = list(said)
    settled = settle(said, rule)
    assert said == before
    assert settled == settle(said, rule)
    if settled.decision is None:
        assert settled.reason.startswith("reviewers disagree: ")
        assert len(conflicts({"N1": said}, rule)) == 1
        return
    assert settled.decision.verdict in {verdict for verdict, _ in answers}
    drawn = [item.box for decision in said for item in decision.boxes]
    for item in settled.decision.boxes:  # inside what was drawn under that label
        same = [box for box in drawn if box.label == item.box.label]
        for edge in range(4):
            edges = [box.xyxy[edge] for box in same]
            assert min(edges) <= item.box.xyxy[edge] <= max(edges)
    if settled.decision.verdict != MISSED:
        assert settled.decision.boxes == ()


def strewn(count, left):
    """Boxes that overlap no other, neither these nor those further to the left or right."""
    return [DecidedBox(Box("Gun", left, 2 * n, left + 1, 2 * n + 1), "", "") for n in range(count)]


@pytest.mark.parametrize("rule", [Rule.ADJUDICATOR, Rule.MAJORITY])
def test_as_many_boxes_as_are_read_are_compared_at_once(rule):
    said = [
        says("ann", MISSED, *strewn(1000, 0)),
        says("bob", MISSED, *strewn(1000, 9), hour=1),
    ]
    with within(20, "2,000 boxes"):  # a pairing for each two of them took minutes
        settled = settle(said, rule)
    assert settled.decision is None
    assert settled.reason.startswith("reviewers disagree: boxes that others lack: ann: Gun at (0,")
    assert settled.reason.count("Gun at") == 2000


def test_a_clash_among_many_boxes_is_found():
    there = DecidedBox(Box("Knife", 9, 1998, 10, 1999), "", "")  # where bob's last is
    said = [
        says("ann", MISSED, *strewn(300, 0), there),
        says("bob", MISSED, *strewn(1000, 9), hour=1),
    ]
    reason = settle(said, Rule.ADJUDICATOR).reason
    assert reason.startswith("reviewers disagree: different classes in one place: ann: Gun at")


@pytest.mark.parametrize("read", [lambda said: settle(said, Rule.MAJORITY), standing_decisions])
@pytest.mark.parametrize(
    ("said", "what"),
    [
        ([says("ann", MISSED, *strewn(2001, 0))], "2,001 boxes in 1 answers"),
        (
            [says("a", MISSED, *strewn(1001, 0)), says("b", MISSED, *strewn(1000, 9), hour=1)],
            "2,001 boxes in 2 answers",
        ),
        ([says(f"r{n}", NOTHING, hour=n % 9) for n in range(101)], "0 boxes in 101 answers"),
    ],
)
def test_what_no_image_has_is_refused(said, what, read):
    with within(20, what), pytest.raises(ShapeError) as error:
        read([*said])
    assert str(error.value) == (
        f"N1: {what}, expected at most 2,000 and 100; where the review is yours, delete the "
        "answer that is none on the server, or, where it was pulled, end it with `sixrayd review "
        "withdraw`, and pull again"
    )


def test_what_takes_hours_over_all_images_is_refused():
    boxes = strewn(1000, 0), strewn(1000, 9)
    one, two = says("ann", MISSED, *boxes[0]), says("bob", MISSED, *boxes[1], hour=1)
    said = [
        replace(each, image_id=f"N{n:02d}", annotation=n) for n in range(13) for each in (one, two)
    ]
    assert len(standing_decisions(said[:24])) == 12
    with pytest.raises(ShapeError) as error:
        standing_decisions(said)
    assert str(error.value).startswith(
        "N12: with those before it more than 50,000,000 pairs of boxes on images that several "
    )


def test_many_answers_are_put_together_box_by_box(monkeypatch):
    merged = []
    known = consensus._merged
    monkeypatch.setattr(consensus, "_merged", lambda drawn: merged.append(1) or known(drawn))
    said = [says(f"r{n}", MISSED, *strewn(20, 2 * n), hour=n % 9) for n in range(50)]

    assert settle(said, Rule.STRICTEST).decision is not None
    assert len(merged) == 1000  # all again for each answer would be 25,000


def test_nobody_has_a_name_without_end():
    row = dict.fromkeys(DECISION_SCHEMA.names, "") | {"reviewer": "a" * 1001, "image_id": "N1"}
    with pytest.raises(WorkspaceError) as error:
        decisions_of([row], "first")
    assert str(error.value) == "decision on N1: a reviewer of 1,001 signs, at most 1,000 are read"
