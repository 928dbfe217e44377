"""Which of the problems that a pull found are still open."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sixrayd.core.records import ADJUDICATION, Rule, Verdict
from sixrayd.decisions.consensus import unsettled
from sixrayd.decisions.decision import Decision, standing_decisions
from sixrayd.review.cursor import Known, Outcome, Problem

TaskAddress = Callable[[int, int], str]  # of a project and its task
CHANGED_BY_ANOTHER = "was changed by another"


def open_problems(known: Iterable[Known], decisions: Iterable[Decision]) -> tuple[Problem, ...]:
    """Problems of annotations that nobody has settled.

    One is settled once its answer was withdrawn or given anew, once its task is answered by
    another, or once an adjudicator has ruled. That two people answered one task matters only
    while they differ.

    Args:
        known: annotations as they are on the server.
        decisions: all versions, those of planted images as well.
    """
    standing = standing_decisions(decisions)
    differing = unsettled(standing, Rule.ADJUDICATOR).keys()
    return tuple(
        problem
        for item in known
        for problem in item.problems
        if not _is_settled(
            item, problem, standing.get(problem.image_id, ()), problem.image_id in differing
        )
    )


def addresses(
    rows: Iterable[Mapping[str, Any]],
    problems: Iterable[Problem],
    ended: Iterable[int],
    address: TaskAddress,
) -> dict[int, str]:
    """Where the tasks are opened that people have to see to, by task.

    Args:
        rows: of `TASK_SCHEMA`.
        ended: tasks of which no answer stands, see `Progress.ended`.
    """
    wanted = {problem.task for problem in problems}.union(ended)
    return {
        row["task"]: address(row["project"], row["task"]) for row in rows if row["task"] in wanted
    }


def _is_settled(item: Known, problem: Problem, said: Sequence[Decision], differs: bool) -> bool:
    others = [decision for decision in said if decision.annotation != item.annotation]
    stands = len(others) < len(said)
    if any(d.lane == ADJUDICATION and d.verdict != Verdict.UNSURE for d in others):
        return True
    if not stands:
        return item.outcome == Outcome.DECISION or any(d.task == item.task for d in others)
    return bool(others) and not differs and problem.what.startswith(CHANGED_BY_ANOTHER)
