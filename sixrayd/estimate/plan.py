"""What a bound costs, before anyone starts."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import binom

from sixrayd.core.workspace import Workspace
from sixrayd.estimate.reading import UNFLAGGED
from sixrayd.estimate.settings import EstimateSettings, Target
from sixrayd.estimate.stage import EstimateInputs, gather
from sixrayd.statistics.finite import Block, Stratum, joint_limits
from sixrayd.statistics.hypergeometric import once_limits
from sixrayd.statistics.planned import LookPlan, total_upper
from sixrayd.statistics.population import CENSUS
from sixrayd.statistics.sampling import allocate
from sixrayd.statistics.standing import Standing

_CHECKS = (30, 100, 300, 1_000, 3_000, 10_000, 30_000, 70_000, 100_000, 300_000, 1_000_000)
_PERCENTILE = 0.9
_LOOKS = (0.1, 0.2, 0.4, 0.7, 1.0)  # shares of all checks that five planned looks come at


@dataclass(frozen=True, slots=True)
class Cost:
    """Random checks and what they still allow, if they find as is to be expected; units."""

    checks: int
    once: int  # left at most, from a single look announced in advance
    planned: int  # left at most, at the last of looks planned with the first draw
    every: int  # left at most, at every look
    finds: int = 0  # to be expected among the checks
    planned_most: int = 0  # as `planned`, if finds come at their 90th percentile


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs for a release as it stands, spread over its strata as a draw would."""

    name: str
    undecided: int
    found: int
    confidence: float
    rows: tuple[Cost, ...]
    target: Target
    target_left: int | None  # what the targets come to
    # Checks they take, at a single and at every look; None where not even all would do.
    target_checks: tuple[int | None, int | None] | None
    checked: int = 0  # drawn units that are decided, by whose rate it is reckoned


def plan_costs(workspace: Workspace, settings: EstimateSettings) -> Costs:
    """Reckon with reviewers who overlook nothing, and with finds at the rate so far.

    A stratum's rate is that of its own checks, else, where it was flagged, that of the flagged
    units that were reviewed, which were the likeliest; of what nobody has looked at, 0.

    Raises:
        WorkspaceError: nothing has been mined yet, or a file has changed.
    """
    workspace.check_idle("estimate")
    material = gather(workspace, settings.name, settings.bound.consensus)
    standing = Standing.of(material.population, material.answers)
    pools = {
        name: int((~standing.decided[rows]).sum())
        for name, rows in material.population.members.items()
    }
    reopened = pools.pop(CENSUS)  # no draw takes these
    found, pool = int(standing.found.sum()), sum(pools.values())
    reckoning = _Reckoning(pools, _rates(material, standing), reopened, settings.bound.alpha)
    left = _wanted(settings.target, found)
    return Costs(
        name=material.name,
        undecided=pool + reopened,
        found=found,
        confidence=settings.bound.confidence,
        rows=tuple(map(reckoning.cost, sorted({min(number, pool) for number in _CHECKS}))),
        target=settings.target,
        target_left=left,
        target_checks=None
        if left is None
        else (reckoning.fewest(left, once=True), reckoning.fewest(left, once=False)),
        checked=int(((material.drawn.in_draw > 0) & standing.decided).sum()),
    )


def _wanted(target: Target, found: int) -> int | None:
    """What may be left by the stricter of the targets; None without any."""
    wanted = [target.left] if target.left is not None else []
    if target.recall is not None:
        wanted.append(math.floor(found * (1 / target.recall - 1) + 1e-9))
    return min(wanted, default=None)


@dataclass(frozen=True, slots=True)
class _Reckoning:
    """What so many checks allow.

    Args:
        pools: undecided units by stratum.
        rates: finds to be expected of a check there.
        reopened: undecided units that no draw takes.
    """

    pools: Mapping[str, int]
    rates: Mapping[str, float]
    reopened: int
    alpha: float

    def cost(self, checks: int) -> Cost:
        once, every = (self.bound(checks, once=once) for once in (True, False))
        finds = sum(self.finds(checks).values())
        most = max(finds, self.most_finds(checks))
        planned, planned_most = (self.planned(checks, number) for number in (finds, most))
        return Cost(checks, once, planned, every, finds, planned_most)

    def finds(self, checks: int) -> dict[str, int]:
        """To be expected, by stratum."""
        given = allocate(self.pools, checks)
        return {name: round(self.rates[name] * given[name]) for name in self.pools}

    def bound(self, checks: int, *, once: bool) -> int:
        given, finds = allocate(self.pools, checks), self.finds(checks)
        strata = [
            Stratum(name, size - given[name], (Block(size, given[name], finds[name], finds[name]),))
            for name, size in self.pools.items()
        ]
        return (once_limits if once else joint_limits)(strata, self.alpha).upper + self.reopened

    def most_finds(self, checks: int) -> int:
        """The 90th percentile of the finds: each unit that is contraband is drawn by chance."""
        pool = sum(self.pools.values())
        contraband = sum(round(self.rates[name] * size) for name, size in self.pools.items())
        return int(binom.ppf(_PERCENTILE, contraband, checks / max(pool, 1)))

    def planned(self, checks: int, found: int) -> int:
        """At the last of planned looks, if so many finds come in proportion to the checks."""
        pool = sum(self.pools.values())
        if not checks:
            return pool + self.reopened
        looks = LookPlan(tuple(share * checks / pool for share in _LOOKS))
        finds = [round(share * found) for share in _LOOKS]
        return total_upper(finds, looks, pool, self.alpha) - finds[-1] + self.reopened

    def fewest(self, most: int, *, once: bool) -> int | None:
        """Checks after which at most so many are left; None where not even all would do."""
        pool = sum(self.pools.values())
        if self.bound(pool, once=once) > most:
            return None
        return bisect_left(range(pool), True, key=lambda n: self.bound(n, once=once) <= most)


def _rates(material: EstimateInputs, standing: Standing) -> dict[str, float]:
    """Finds to be expected of a check in each stratum."""
    population, drawn = material.population, material.drawn
    census = population.members[CENSUS]
    decided = int(standing.decided[census].sum())
    queue = int(standing.found[census].sum()) / decided if decided else 0.0
    rates = {}
    for name, rows in population.members.items():
        checked = rows[(drawn.in_draw[rows] > 0) & standing.decided[rows]]
        own = float(standing.found[checked].mean()) if len(checked) else None
        rates[name] = own if own is not None else queue * (name != UNFLAGGED)
    return rates
