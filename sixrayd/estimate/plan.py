"""What a bound costs, before anyone starts."""

import math
from dataclasses import dataclass

from sixrayd.core.workspace import Workspace
from sixrayd.estimate.settings import EstimateSettings, Target
from sixrayd.estimate.stage import gather
from sixrayd.statistics.planning import checks_for_bound, planned_bound
from sixrayd.statistics.standing import Standing

_CHECKS = (30, 100, 300, 1_000, 3_000, 10_000, 30_000, 70_000, 100_000, 300_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """Random checks and what they still allow, if they find nothing; units."""

    checks: int
    once: int  # left at most, from a single look announced in advance
    every: int  # left at most, at every look


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs for a release, as if all its undecided units made one stratum."""

    name: str
    undecided: int
    found: int
    confidence: float
    rows: tuple[Cost, ...]
    target: Target
    target_left: int | None  # what the targets come to
    target_checks: tuple[int, int] | None  # checks they take, at a single and at every look


def plan_costs(workspace: Workspace, settings: EstimateSettings) -> Costs:
    """Reckon with reviewers who overlook nothing and with checks that find nothing.

    Raises:
        WorkspaceError: nothing has been mined yet, or a file has changed.
    """
    with workspace.lock():
        material = gather(workspace, settings.name, settings.bound.consensus)
    standing = Standing.of(material.population, material.answers)
    found, pool = int(standing.found.sum()), int((~standing.decided).sum())
    alpha, target = settings.bound.alpha, settings.target
    wanted = [target.left] if target.left is not None else []
    if target.recall is not None:
        wanted.append(math.floor(found * (1 / target.recall - 1) + 1e-9))
    left = min(wanted) if wanted else None
    return Costs(
        name=material.name,
        undecided=pool,
        found=found,
        confidence=settings.bound.confidence,
        rows=tuple(
            Cost(checks, *(planned_bound(pool, checks, 0, alpha, once) for once in (True, False)))
            for checks in sorted({min(number, pool) for number in _CHECKS})
        ),
        target=target,
        target_left=left,
        target_checks=None
        if left is None
        else (
            checks_for_bound(pool, left, alpha=alpha, once=True),
            checks_for_bound(pool, left, alpha=alpha),
        ),
    )
