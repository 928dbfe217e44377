"""Spot checks that a backup and a workspace drew apart: only one sample of a review counts."""

from pathlib import Path

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.words import counted
from sixrayd.statistics.sampling import SamplingPlan

PLAN = "draws.json"
# What draws add to; the plan last, since the others follow from it.
ADDED = ("gone.parquet", "sample.parquet", PLAN)


def plan_in(folder: Path) -> SamplingPlan | None:
    """How a sample was drawn; None where there is none, or it makes no sense."""
    try:
        return SamplingPlan.parse(parse_json(plain_text(folder / PLAN)))
    except (OSError, WorkspaceError, *NONSENSE):
        return None


def goes_on(later: SamplingPlan, earlier: SamplingPlan) -> bool:
    """Whether a plan has all draws of another, and more of them."""
    known = earlier.commitments
    return len(later.draws) > len(known) and later.commitments[: len(known)] == known


def told_apart(name: str, ours: SamplingPlan, theirs: SamplingPlan, folder: Path) -> str:
    """What people are to know where the backup's sample is left out.

    Args:
        name: of the review.
        folder: of the workspace's own sample.
    """
    if goes_on(ours, theirs):
        return f"{name}: your spot checks ({_words(ours)}) go on from the backup's and stand"
    return (
        f"{name}: its spot checks were drawn twice, here ({_words(ours)}) and where the backup was "
        f"made ({_words(theirs)}); yours stand, the backup's are left out. Only one of them makes "
        "a bound: hold to the one whose commitment was published before its images were reviewed. "
        f"To take the backup's instead, move {folder} away and restore again"
    )


def _words(plan: SamplingPlan) -> str:
    groups = sum(sum(draw.units.values()) for draw in plan.draws)
    last = plan.draws[-1].drawn_at if plan.draws else "never"
    return (
        f"{counted(groups, 'group')} in {counted(len(plan.draws), 'draw')}, the last at {last}, "
        f"commitment {plan.commitment[:12]}…"
    )
