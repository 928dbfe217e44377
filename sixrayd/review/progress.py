"""How far a review has come, how fast, and when it will end."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

from sixrayd.core.records import ADJUDICATION, Kind, Rule, Verdict
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import (
    Decision,
    answered_by_lane,
    answers,
    ended_tasks,
    moment_of,
    standing_decisions,
)
from sixrayd.decisions.second_looks import first_looks, is_second_look

_PAUSE_S = 300.0  # a longer gap between two answers is a break, not work
_RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of tasks and images.

    Args:
        tasks, decided, left: tasks, so an image counts once for each of its reviewers. Left are
            those that somebody is yet given, so none of `ended`.
        by_lane: answers and tasks.
        by_person: answers of each person, by lane: several may share one.
        twice: images that one person answered in two lanes; only the later answer counts.
        own_looks: finds at which nobody but their finder took the second look.
        found: images with boxed contraband that the release does not know, reviewers agreeing.
        conflicts: images about which reviewers differ in this review; see `Unsettled`.
        ended: images of tasks of which every answer was withdrawn or taken back, by task.
        by_class: boxes of found images.
        last_answer: by reviewer, ISO 8601 to the minute.
        images_an_hour: by reviewer, of the time at work; breaks do not count.
        hours_left: of one person's work; None before anything can be said.
        finish: at the pace of the last seven days, ISO 8601; empty before anything can be said.
    """

    tasks: int
    decided: int
    left: int
    by_lane: Mapping[str, tuple[int, int]]
    by_person: Mapping[str, Mapping[str, int]]
    twice: int
    own_looks: int
    found: int
    conflicts: int
    by_verdict: Mapping[str, int]
    by_class: Mapping[str, int]
    by_reviewer: Mapping[str, int]
    last_answer: Mapping[str, str]
    images_an_hour: Mapping[str, float]
    hours_left: float | None
    finish: str
    ended: Mapping[int, str]


def count_progress(
    tasks: Iterable[Mapping[str, Any]],
    decisions: Iterable[Decision],
    planted: Iterable[Decision] = (),
) -> Progress:
    """Count what stands.

    Args:
        tasks: rows of `TASK_SCHEMA`.
        decisions: all versions.
        planted: those about planted images: work that was done, but no finds.
    """
    said, planted_said = list(decisions), list(planted)
    standing, apart = standing_decisions(said), standing_decisions(planted_said)
    flat = [d for group in (standing, apart) for given in group.values() for d in given]
    rows = list(tasks)
    sent = {(row["lane"], row["image_id"]) for row in rows}
    given = [*answers(said), *answers(planted_said)]
    done = {(d.lane, d.image_id) for d in given}
    known = {row["image_id"] for row in rows if row["kind"] == Kind.POSITIVE}
    settled = [settle(given, Rule.ADJUDICATOR).decision for given in standing.values()]
    agreed = [decision for decision in settled if decision is not None]
    verdicts = Counter(decision.verdict for decision in agreed)
    classes = Counter(
        item.box.label
        for decision in agreed
        if decision.verdict == Verdict.MISSED
        for item in decision.boxes
    )
    ended = ended_tasks(rows, [*said, *planted_said])
    left, by_lane = len(sent - done - ended.keys()), answered_by_lane(rows, done)
    work = _seconds_at_work(flat)
    hours_left, finish = _forecast(left, flat, work)
    return Progress(
        tasks=len(sent),
        decided=sum(answered for answered, _ in by_lane.values()),
        left=left,
        by_lane=by_lane,
        by_person=_by_person(given),
        twice=_answered_twice(answers(said)),
        own_looks=_own_looks(answers(said)),
        found=sum(
            d.verdict == Verdict.MISSED and bool(d.boxes) and d.image_id not in known
            for d in agreed
        ),
        conflicts=len(settled) - len(agreed),
        by_verdict={str(verdict): verdicts[verdict] for verdict in Verdict},
        by_class=dict(sorted(classes.items())),
        by_reviewer=dict(sorted(Counter(d.reviewer for d in flat).items())),
        last_answer=_last_answers(given),
        images_an_hour={who: round(3600 / fmean(each), 1) for who, each in work.items()},
        hours_left=hours_left,
        finish=finish,
        ended={task: image_id for (_, image_id), task in ended.items()},
    )


def _by_person(given: Iterable[Decision]) -> dict[str, dict[str, int]]:
    counted: dict[str, Counter[str]] = {}
    for lane, reviewer, _ in {(d.lane, d.reviewer, d.image_id) for d in given}:
        counted.setdefault(lane, Counter())[reviewer] += 1
    return {lane: dict(sorted(counted[lane].items())) for lane in sorted(counted)}


def _last_answers(given: Iterable[Decision]) -> dict[str, str]:
    last: dict[str, datetime] = {}
    for decision in given:
        when = moment_of(decision).astimezone(UTC)
        last[decision.reviewer] = max(when, last.get(decision.reviewer, when))
    return {who: last[who].isoformat(timespec="minutes") for who in sorted(last)}


def _answered_twice(given: Iterable[Decision]) -> int:
    lanes: dict[tuple[str, str, str], set[str]] = {}
    for decision in given:
        if decision.lane != ADJUDICATION:
            key = (decision.review, decision.image_id, decision.reviewer)
            lanes.setdefault(key, set()).add(decision.lane)
    return sum(len(several) > 1 for several in lanes.values())


def _own_looks(given: Iterable[Decision]) -> int:
    first, second = (dict[str, set[str]]() for _ in range(2))
    ruled = set[str]()
    for decision in given:
        if decision.lane == ADJUDICATION:
            ruled.add(decision.image_id)
        lanes = second if is_second_look(decision.lane) else first
        lanes.setdefault(decision.image_id, set()).add(decision.reviewer)
    return sum(by <= first.get(i, set()) for i, by in second.items() if i not in ruled)


def _seconds_at_work(decisions: Iterable[Decision]) -> dict[str, list[float]]:
    """By reviewer, from one answer to the next, breaks left out; who changes another's has not
    looked for himself.
    """
    moments: dict[str, list[datetime]] = {}
    for decision in first_looks(decisions):
        moments.setdefault(decision.reviewer, []).append(moment_of(decision))
    gaps = {
        reviewer: [(b - a).total_seconds() for a, b in pairwise(times)]
        for reviewer, times in sorted(moments.items())
    }
    work = {reviewer: [gap for gap in each if gap <= _PAUSE_S] for reviewer, each in gaps.items()}
    return {reviewer: each for reviewer, each in work.items() if sum(each) > 0}


def _forecast(
    left: int, decisions: list[Decision], work: Mapping[str, Sequence[float]]
) -> tuple[float | None, str]:
    seconds = [gap for each in work.values() for gap in each]
    if not seconds:
        return None, ""
    hours_left = round(left * fmean(seconds) / 3600, 2)
    times = sorted(map(moment_of, decisions))
    recent = [when for when in times if when >= times[-1] - _RECENT]
    span = (recent[-1] - recent[0]).total_seconds()
    if not left or not span:
        return hours_left, ""
    try:
        end = recent[-1] + timedelta(seconds=left * span / (len(recent) - 1))
    except OverflowError:
        return hours_left, ""
    return hours_left, end.isoformat(timespec="minutes")
