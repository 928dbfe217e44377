"""Counts of a review by hand: tasks, images, people, paces, and when it will be done."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.boxes import Box
from sixrayd.core.records import ADJUDICATION, Kind, Verdict
from sixrayd.decisions.decision import DecidedBox, Decision
from sixrayd.review.printing import progress_table
from sixrayd.review.progress import Progress, count_progress

MISSED, NOTHING, UNSURE = Verdict.MISSED, Verdict.NOTHING, Verdict.UNSURE
GUN = DecidedBox(Box("Gun", 1, 2, 30, 40), "drawn", "")
KNIFE = DecidedBox(Box("Knife", 50, 2, 60, 40), "drawn", "")


def task(image_id, lane="1", kind=Kind.CANDIDATE):
    return {"image_id": image_id, "lane": lane, "kind": str(kind), "task": int(image_id[1:])}


def says(image_id, verdict=NOTHING, *boxes, who="ann", at="10:00:00", lane="1", **more):
    said = Decision(
        image_id=image_id,
        review="first",
        version=1,
        verdict=verdict,
        reviewer=who,
        decided_at=f"2026-01-02T{at}+00:00",
        lead_time_s=4.0,
        server="local",
        task=int(image_id[1:]),
        annotation=int(image_id[1:]) * 10 + (lane == "2"),
        lane=lane,
        withdrawn=False,
        boxes=boxes,
    )
    return replace(said, **more)


def test_nothing_sent_and_nothing_said():
    assert count_progress([], []) == Progress(
        tasks=0,
        decided=0,
        left=0,
        by_lane={},
        by_person={},
        twice=0,
        own_looks=0,
        found=0,
        conflicts=0,
        by_verdict={"contraband missed": 0, "nothing there": 0, "unsure": 0},
        by_class={},
        by_reviewer={},
        last_answer={},
        images_an_hour={},
        hours_left=None,
        finish="",
        ended={},
    )


def test_a_review_by_two_and_an_adjudicator():
    tasks = [task(f"N{n}", lane) for n in range(1, 5) for lane in "12"]
    tasks += [task("N2", ADJUDICATION), task("N3", ADJUDICATION)]
    decisions = [
        *(says("N1", MISSED, GUN, at="10:00:00"), says("N1", MISSED, GUN, who="bob", lane="2")),
        says("N2", NOTHING, at="10:01:00"),
        says("N2", MISSED, KNIFE, who="bob", lane="2", at="10:02:00"),
        says("N3", UNSURE, at="10:02:00"),
        says("N3", NOTHING, who="bob", lane="2", at="10:04:00"),
        says("N2", MISSED, GUN, KNIFE, who="eve", lane=ADJUDICATION, at="12:00:00"),
    ]
    assert count_progress(tasks, decisions) == Progress(
        tasks=10,
        decided=7,
        left=3,
        by_lane={"1": (3, 4), "2": (3, 4), ADJUDICATION: (1, 2)},
        by_person={"1": {"ann": 3}, "2": {"bob": 3}, ADJUDICATION: {"eve": 1}},
        twice=0,
        own_looks=0,
        found=2,
        conflicts=1,  # N3
        by_verdict={"contraband missed": 2, "nothing there": 0, "unsure": 0},
        by_class={"Gun": 2, "Knife": 1},
        by_reviewer={"ann": 3, "bob": 3, "eve": 1},
        last_answer={
            "ann": "2026-01-02T10:02+00:00",
            "bob": "2026-01-02T10:04+00:00",
            "eve": "2026-01-02T12:00+00:00",
        },
        images_an_hour={"ann": 60.0, "bob": 30.0},
        hours_left=0.07,  # three tasks, a minute and a half each
        finish="2026-01-02T13:00+00:00",  # seven answers in two hours: a third of an hour each
        ended={},
    )


def test_quick_changes_of_others_answers_are_no_pace_of_looking():
    tasks = [task(f"N{n}") for n in range(1, 5)]
    decisions = [says(f"N{n}", at=f"10:0{n}:00") for n in range(1, 4)]
    before = count_progress(tasks, decisions)
    changes = [says(f"N{n}", MISSED, GUN, who="eve", at=f"11:00:0{n}") for n in range(1, 4)]
    after = count_progress(tasks, [*decisions, *changes])
    assert after.images_an_hour == before.images_an_hour == {"ann": 60.0}
    assert after.hours_left == before.hours_left == 0.02


def test_who_answered_more_counts_for_more_in_what_is_left():
    tasks = [task(f"N{n}") for n in range(1, 10)]
    slow = [says(f"N{n}", at=f"10:0{n}:00") for n in range(1, 6)]
    quick = [says(f"N{n}", who="bob", at=f"10:00:0{n}") for n in (6, 7)]
    assert count_progress([*tasks, task("N10")], [*slow, *quick]).hours_left == 0.04


def test_a_version_counts_once_and_what_was_withdrawn_not_at_all():
    first = says("N1", MISSED, GUN)
    changed = replace(first, version=2, verdict=NOTHING, boxes=())
    tasks = [task("N1"), task("N2")]
    counts = count_progress(tasks, [first, changed])
    assert (counts.decided, counts.left, counts.found) == (1, 1, 0)
    assert counts.by_verdict["nothing there"] == 1
    ended = replace(changed, version=3, withdrawn=True)
    counts = count_progress(tasks, [first, changed, ended])
    assert (counts.decided, counts.left, counts.by_reviewer) == (0, 1, {})
    assert counts.ended == {tasks[0]["task"]: "N1"}
    assert (
        count_progress(tasks, [first, changed, ended, says("N1", NOTHING, who="bob")]).ended == {}
    )


def test_contraband_without_a_box_is_no_find():
    counts = count_progress([task("N1")], [says("N1", MISSED)])
    assert (counts.found, counts.by_verdict["contraband missed"]) == (0, 1)


def test_one_person_in_two_lanes_is_told_and_agrees_with_nobody():
    tasks = [task("N1", lane) for lane in "12"] + [task("N2")]
    both = [
        says("N1", NOTHING),
        says("N1", MISSED, GUN, lane="2", at="10:01:00", annotation=99),
        says("N2", UNSURE, at="10:02:00"),
    ]
    counts = count_progress(tasks, both)
    assert (counts.twice, counts.decided, counts.left) == (1, 3, 0)
    assert (counts.found, counts.conflicts) == (1, 0)  # the later answer counts
    ruling = says("N1", NOTHING, lane=ADJUDICATION, at="11:00:00")
    assert count_progress(tasks, [both[0], ruling]).twice == 0  # a party may settle


def test_work_on_planted_images_is_work_but_no_find():
    tasks = [task("N1"), task("N900", kind=Kind.PLANTED), task("N901", kind=Kind.SHAM)]
    planted = [says("N900", MISSED, GUN, at="10:01:00"), says("N901", NOTHING, at="10:02:00")]
    counts = count_progress(tasks, [says("N1", NOTHING)], planted)
    assert (counts.tasks, counts.decided, counts.left) == (3, 3, 0)
    assert (counts.found, counts.by_class) == (0, {})
    assert sum(counts.by_verdict.values()) == 1
    assert (counts.by_reviewer, counts.images_an_hour) == ({"ann": 3}, {"ann": 60.0})


def test_positives_of_the_release_are_no_finds():
    tasks = [task("N1"), task("P2", kind=Kind.POSITIVE)]
    counts = count_progress(tasks, [says("N1", MISSED, GUN), says("P2", MISSED, GUN, KNIFE)])
    assert counts.found == 1
    assert counts.by_verdict["contraband missed"] == 2
    assert counts.by_class == {"Gun": 2, "Knife": 1}


def test_boxes_of_those_who_saw_nothing_or_are_unsure_are_not_counted():
    decisions = [says("N1", NOTHING, GUN), says("N2", UNSURE, GUN)]
    assert count_progress([task("N1"), task("N2")], decisions).by_class == {}


def paced(*moments, who="ann"):
    return [says(f"N{n}", at=at, who=who) for n, at in enumerate(moments, 1)]


def speeds(*moments):
    return count_progress([], paced(*moments)).images_an_hour


def test_breaks_are_no_work():
    assert speeds("10:00:00", "10:00:30", "10:01:00") == {"ann": 120.0}
    # Five minutes still are; a second more is a break.
    assert speeds("10:00:00", "10:05:00") == {"ann": 12.0}
    assert speeds("10:00:00", "10:05:01") == {}
    assert speeds("10:00:00", "10:01:00", "12:30:00", "12:31:00") == {"ann": 60.0}
    assert speeds("10:01:00", "10:00:00") == {"ann": 60.0}  # in whatever order they come


def test_one_answer_or_several_in_one_moment_are_no_pace():
    for moments in (["10:00:00"], ["10:00:00", "10:00:00"]):
        counts = count_progress([task("N1"), task("N2"), task("N3")], paced(*moments))
        assert (counts.images_an_hour, counts.hours_left, counts.finish) == ({}, None, "")


def test_an_adjudicators_pace_is_not_a_reviewers():
    ruled = [
        says("N1", lane=ADJUDICATION, at="10:00:00"),
        says("N2", lane=ADJUDICATION, at="10:01:00"),
    ]
    counts = count_progress([task("N1", ADJUDICATION), task("N2", ADJUDICATION)], ruled)
    assert (counts.by_reviewer, counts.images_an_hour) == ({"ann": 2}, {})


def test_the_end_is_foretold_from_the_last_week():
    tasks = [task(f"N{n}") for n in range(1, 31)]
    old = [says(f"N{n}", decided_at=f"2025-06-01T10:0{n}:00+00:00") for n in range(1, 6)]
    new = [says(f"N{n}", decided_at=f"2026-01-0{n - 4}T10:00:00+00:00") for n in range(6, 9)]
    counts = count_progress(tasks, [*old, *new])
    assert (counts.decided, counts.left) == (8, 22)
    assert counts.images_an_hour == {"ann": 60.0}
    assert counts.hours_left == 0.37
    # Three answers in two days: one a day, 22 days from the last on.
    assert counts.finish == "2026-01-26T10:00+00:00"
    done = count_progress(tasks[:8], [*old, *new])
    assert (done.left, done.hours_left, done.finish) == (0, 0.0, "")


def test_an_end_beyond_the_calendar_is_none():
    tasks = [task(f"N{n}") for n in range(3_000)]
    # Half a week for each of 2,997 are 29 years, and the calendar ends in one.
    decisions = [
        says("N1", decided_at="9998-12-24T10:00:00+00:00"),
        says("N2", decided_at="9998-12-24T10:01:00+00:00"),
        says("N3", decided_at="9998-12-31T10:00:00+00:00"),
    ]
    counts = count_progress(tasks, decisions)
    assert (counts.left, counts.finish) == (2997, "")
    assert counts.hours_left == 49.95


ann_or_bob = st.sampled_from(["ann", "bob"])
some = st.lists(
    st.builds(
        lambda image, verdict, who, lane, minute: says(
            f"N{image}", verdict, who=who, lane=lane, at=f"10:{minute:02}:00"
        ),
        st.integers(1, 6),
        st.sampled_from(Verdict),
        ann_or_bob,
        st.sampled_from(["1", "2"]),
        st.integers(0, 59),
    ),
    max_size=15,
    unique_by=lambda d: (d.image_id, d.reviewer, d.lane),
)


@given(some)
def test_counts_add_up(decisions):
    tasks = [task(f"N{n}", lane) for n in range(1, 7) for lane in "12"]
    counts = count_progress(tasks, decisions)
    assert counts.decided + counts.left == counts.tasks == 12
    assert sum(done for done, _ in counts.by_lane.values()) == counts.decided
    assert {lane: of for lane, (_, of) in counts.by_lane.items()} == {"1": 6, "2": 6}
    images = {decision.image_id for decision in decisions}
    assert sum(counts.by_verdict.values()) + counts.conflicts == len(images)
    assert counts.found <= counts.by_verdict["contraband missed"]
    by_person = {(d.image_id, d.reviewer) for d in decisions}
    assert sum(counts.by_reviewer.values()) == len(by_person)
    assert counts.twice == len(decisions) - len(by_person)
    assert all(speed >= 12.0 for speed in counts.images_an_hour.values())


@pytest.mark.parametrize("kind", [Kind.SPOT_CHECK, Kind.DUPLICATE])
def test_contraband_in_whatever_was_sent_is_a_find(kind):
    assert count_progress([task("N1", kind=kind)], [says("N1", MISSED, GUN)]).found == 1


def test_an_end_that_has_passed_is_not_foretold():
    tasks = [task("N1"), task("N2"), task("N3")]
    past = count_progress(tasks, [says("N1"), says("N2", at="10:01:00")])
    assert past.finish == "2026-01-02T10:02+00:00"
    to_come = replace(past, finish="9999-01-01T00:00+00:00")
    told = [[*progress_table(counts).columns[0].cells] for counts in (past, to_come)]
    assert told[1] == [*told[0], "done, at this week's pace"]


def test_thousands_are_parted_as_everywhere_else():
    counts = replace(
        count_progress([], []), tasks=100_000, decided=12_345, found=1_234, by_class={"Gun": 2_345}
    )
    told = [*progress_table(counts).columns[1].cells]
    assert told[0] == "12,345 of 100,000"
    assert told[-2:] == ["1,234", "2,345"]
