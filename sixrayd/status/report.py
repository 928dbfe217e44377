"""Every result of a workspace, how far the reviewers are, what runs, and what comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sixrayd.advice.next_step import NOTHING_LEFT, Judgement, Step
from sixrayd.advice.results import ResultStatus, StageProgress
from sixrayd.advice.reviews import OnServer, ReviewState
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.locks import Holder
from sixrayd.core.stages import verb
from sixrayd.core.workspace import ASIDE, STAGES, Workspace


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Every result of a workspace, in the pipeline's order, the newest of a stage last.

    Args:
        next_command: empty when nothing is left to do.
        splits: given ones, counted.
        not_sent: images that the newest mining flagged and nobody was sent.
        running: what writes in the workspace now.
    """

    workspace: str
    results: tuple[ResultStatus, ...]
    next_command: str
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    next: Step = NOTHING_LEFT
    reviews: tuple[ReviewState, ...] = ()
    not_sent: int = 0
    running: tuple[str, ...] = ()


def status_report(
    workspace: Workspace, on_server: Mapping[str, OnServer] | None = None
) -> StatusReport:
    """Look at every stage folder; nothing is written.

    A stage is done when its newest result is: an older one may stay stale.

    Args:
        on_server: what servers say of reviews, by name.
    """
    judgement = Judgement(workspace, on_server or {})
    results = []
    for stage in STAGES:
        found = _with_running(stage, judgement.results[stage], judgement.running)
        missing = [] if stage in ASIDE else [ResultStatus(stage, "", StageProgress.MISSING)]
        results += found or missing
    step, (reviews, not_sent) = judgement.step, _people(judgement)
    return StatusReport(
        str(workspace.root),
        tuple(results),
        step.command,
        _splits(workspace),
        step,
        reviews,
        not_sent,
        tuple(f"{by}: {by.doing}" if by.doing else str(by) for by in judgement.running),
    )


def _with_running(
    stage: str, results: Sequence[ResultStatus], running: Sequence[Holder]
) -> list[ResultStatus]:
    """A stage's results; the one that a process makes now is no interrupted one.

    Which of several begun results that is, nothing tells: they stay as they are.
    """
    begun = [result for result in results if result.progress is StageProgress.INTERRUPTED]
    if len(begun) != 1 or all(by.doing != verb(STAGES[stage]) for by in running):
        return list(results)
    made = replace(begun[0], progress=StageProgress.RUNNING)
    return [made if result is begun[0] else result for result in results]


def _people(judgement: Judgement) -> tuple[tuple[ReviewState, ...], int]:
    """The reviews, and what the newest mining flagged that nobody was sent."""
    mined = judgement.workspace.names("mine")
    try:
        reviews = judgement.reviews
        return tuple(reviews.states), reviews.not_sent(mined[-1]) if mined else 0
    except WorkspaceError:  # which the step says
        return (), 0


def _splits(workspace: Workspace) -> dict[str, dict[str, int]]:
    try:
        return dict(workspace.run("shards").summary.get("splits", {}))
    except WorkspaceError:  # said where the stages are
        return {}
