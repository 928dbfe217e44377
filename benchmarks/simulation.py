"""Simulated campaigns: does the bound hold at every look, and how wide is it?

A release has contraband units of differing difficulty. A detector scores all units; those above
its threshold are reviewed with proposals, the others fall into strata by score and are
spot-checked in growing steps with a look at the bound after each. Difficulty for the detector and
for reviewers may be correlated, so that what the detector misses is also what people overlook.
Planted threats are drawn from the same difficulties and go past the same detector; those that it
misses measure the reviewers without proposals. A campaign is covered only if what is truly left
lies within the limits at every look.

All campaigns run in one go: counts are drawn from their distributions, not unit by unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, norm

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.statistics.finite import Counts, lower_limits, upper_limits
from sixrayd.statistics.hypergeometric import total_upper
from sixrayd.statistics.missed import AlphaSplit
from sixrayd.statistics.sensitivity import PERFECT, Sensitivity, sensitivity_lower, units_behind

LOOKS = 10
_EDGES = norm.ppf([0.95, 0.8, 0.5])  # clean scores: 5 % are flagged, the rest makes three strata
CHECKS = np.round(np.geomspace(30, 3000, LOOKS)).astype(np.int64)  # of each stratum, by each look
_KINDS = 3  # 0 is found by nobody, 1 with proposals alone, 2 by anybody


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of campaign."""

    prevalence: float = 0.001  # contraband among units
    quality: float = 1.0  # by how many standard deviations contraband scores higher
    error: float = 0.0  # share overlooked without proposals; half of it with them; 0 assumes none
    correlation: float = 0.0  # of difficulty for reviewers with difficulty for the detector
    second_round: bool = False  # half-way the queue takes units from the best stratum
    ease: float = 0.0  # standard deviations by which planted threats are easier: no guarantee
    units: int = 50_000
    planted: int = 400  # where reviewers overlook something


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is truly left and its limits, at every look of every campaign."""

    left: IntArray  # (C, looks)
    lower: IntArray  # (C, looks)
    upper: IntArray  # (C, looks)
    in_set: IntArray  # (C, looks) 1 where the strata's findable units are in the confidence set

    @property
    def covered(self) -> int:
        """Campaigns within the limits at every look."""
        return int(((self.lower <= self.left) & (self.left <= self.upper)).all(axis=1).sum())

    @property
    def set_covered(self) -> int:
        """Campaigns whose confidence set holds the truth at every look: nothing is slack here."""
        return int(self.in_set.all(axis=1).sum())

    @property
    def covered_at_smallest(self) -> int:
        """Campaigns below the bound where it is smallest, which is where an adversary stops."""
        inference = self.upper.argmin(axis=1)[:, None]
        left, upper = (np.take_along_axis(a, inference, axis=1) for a in (self.left, self.upper))
        return int((left <= upper).sum())


def simulate(cell: Cell, campaigns: int, seed: int, alpha: float = 0.05) -> Outcome:
    """Run campaigns of one cell.

    Args:
        alpha: of the limits, sampling and sensitivities together.
    """
    rng = np.random.default_rng(seed)
    contraband, clean = population_of(cell, campaigns, rng)
    flagged, pool = contraband[:, 0], _Pool(contraband[:, 1:], clean[:, 1:])
    reviewed, found = flagged.sum(axis=-1) + clean[:, 0], flagged[:, 1:].sum(axis=-1)
    sensitivity = Sensitivity(planted=cell.planted) if cell.error else PERFECT
    split = AlphaSplit.of(alpha, sensitivity, sensitivity)
    total, first = contraband.sum(axis=(1, 2)), pool.size.sum(axis=-1)
    rows = []
    for inference, (with_, without) in enumerate(_sensitivities(cell, campaigns, split, rng)):
        if cell.second_round and inference == LOOKS // 2:
            pool.review_best(rng)
        pool.check(CHECKS[inference] - (CHECKS[inference - 1] if inference else 0), rng)
        counts = pool.counts()
        checked = pool.found.sum(axis=-1)
        findable = checked + upper_limits(counts, split.sampling)[0]
        overlooked = units_behind(found, with_, split.overlooked_reviewed, reviewed) - found
        behind = units_behind(findable, without, split.overlooked_checked, first) - checked
        evidence = counts.log_evidence(pool.contraband[..., -1])
        rows.append(
            (
                total - found - checked,
                lower_limits(counts, split.sampling),
                overlooked + behind,
                evidence < -np.log(split.sampling),
            )
        )
    return Outcome(*np.array(rows).transpose(1, 2, 0))


def population_of(
    cell: Cell, campaigns: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """(C, 1 + S, kinds) contraband and (C, 1 + S) clean units, flagged and by stratum."""
    total = rng.binomial(cell.units, cell.prevalence, campaigns)
    level, kind = looks_of(cell, int(total.sum()), 0.0, rng)
    levels = len(_EDGES) + 1
    place = (np.repeat(np.arange(campaigns), total) * levels + level) * _KINDS + kind
    contraband = np.bincount(place, minlength=campaigns * levels * _KINDS)
    shares = -np.diff(np.concatenate([[1], norm.cdf(_EDGES), [0]]))
    clean: IntArray = rng.multinomial(cell.units - total, shares)
    return contraband.reshape(campaigns, levels, _KINDS), clean


def looks_of(
    cell: Cell, number: int, ease: float, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """The level and the kind of so many contraband units."""
    hidden = rng.standard_normal(number)  # difficulty for the detector
    own = rng.standard_normal(number)
    difficulty = cell.correlation * hidden + np.sqrt(1 - cell.correlation**2) * own - ease
    level = (cell.quality - hidden[:, None] < _EDGES).sum(axis=1)
    limits = norm.ppf([1 - cell.error, 1 - cell.error / 2])  # without and with proposals
    kind: IntArray = (difficulty[:, None] <= limits).sum(axis=1)
    return level, kind


def _sensitivities(
    cell: Cell, campaigns: int, split: AlphaSplit, rng: np.random.Generator
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """(C,) lower bounds with and without proposals at each look, from more and more planted."""
    if not cell.error:
        yield from [(np.ones(campaigns), np.ones(campaigns))] * LOOKS
        return
    shown = np.zeros((2, campaigns), np.int64)  # with proposals, without
    hits = np.zeros_like(shown)
    for _ in range(LOOKS):
        level, kind = looks_of(cell, campaigns * (cell.planted // LOOKS), cell.ease, rng)
        flagged = (level == 0).reshape(campaigns, -1)
        kind = kind.reshape(campaigns, -1)
        shown += [flagged.sum(axis=1), (~flagged).sum(axis=1)]
        hits += [(flagged & (kind > 0)).sum(axis=1), (~flagged & (kind == 2)).sum(axis=1)]
        yield (
            sensitivity_lower(hits[0], shown[0], split.sensitivity_reviewed),
            sensitivity_lower(hits[1], shown[1], split.sensitivity_checked),
        )


class _Pool:
    """The undecided units of (C, S) strata, and the blocks of checks in them."""

    def __init__(self, contraband: IntArray, clean: IntArray) -> None:
        self.contraband = contraband.copy()  # (C, S, kinds)
        self.clean = clean.copy()  # (C, S)
        self.found = np.zeros_like(clean)  # (C, S)
        self.blocks: list[dict[str, IntArray]] = []
        self.begin()

    @property
    def size(self) -> IntArray:
        total: IntArray = self.contraband.sum(axis=-1) + self.clean
        return total

    def begin(self) -> None:
        zero = np.zeros_like(self.clean)
        self.blocks.append(
            {"pool": self.size, "checks": zero, "finds": zero, "before": self.found.copy()}
        )

    def check(self, number: int, rng: np.random.Generator) -> None:
        """Look at so many random units of each stratum, without proposals."""
        pool = self.size
        drawn = np.minimum(number, pool)
        rest, block = drawn, self.blocks[-1]
        for kind in range(_KINDS):
            units = self.contraband[..., kind]
            pool = pool - units
            seen = rng.hypergeometric(units, pool, rest)
            self.contraband[..., kind] -= seen
            rest = rest - seen
        self.clean -= rest
        block["checks"] = block["checks"] + drawn
        block["finds"] = block["finds"] + seen  # of the last kind
        self.found += seen

    def review_best(self, rng: np.random.Generator) -> None:
        """The queue takes units from the best stratum, contraband more often, with proposals."""
        taken = rng.binomial(self.contraband[:, 0], 0.6)  # (C, kinds)
        self.contraband[:, 0] -= taken
        self.clean[:, 0] -= rng.binomial(self.clean[:, 0], 0.1)
        self.found[:, 0] += taken[:, 1:].sum(axis=-1)
        self.begin()

    def counts(self) -> Counts:
        """The evidence so far."""
        pools, checks, finds, before = (
            np.stack([block[name] for block in self.blocks], axis=-1)
            for name in ("pool", "checks", "finds", "before")
        )
        return Counts(self.size, pools, checks, finds, self.found[..., None] - before)


def sum_of_limits(campaigns: int, seed: int, alpha: float = 0.05) -> tuple[int, int]:
    """Campaigns covered by a sum of one-look limits, each with alpha, and by the joint bound.

    Ten strata of 1,000 units, one contraband in each, 975 of each checked.
    """
    rng = np.random.default_rng(seed)
    finds: IntArray = rng.hypergeometric(1, 999, 975, (campaigns, 10))
    limit = np.array([total_upper(1000, 975, k, alpha) - k for k in (0, 1)])
    left = 10 - finds.sum(axis=1)
    joint = upper_limits(_one_block(1000, 975, finds), alpha)[0]
    return int((limit[finds].sum(axis=1) >= left).sum()), int((joint >= left).sum())


def peeking(campaigns: int, seed: int, alpha: float = 0.05) -> tuple[int, int]:
    """Campaigns covered at all of 50 looks by Clopper and Pearson's limit, and by the joint bound.

    One pool of 20,000 units with 100 contraband; up to 5,000 checks.
    """
    rng = np.random.default_rng(seed)
    finds: IntArray = np.zeros((campaigns, 1), np.int64)
    covered = np.ones((2, campaigns), bool)
    done = 0
    for number in np.unique(np.round(np.geomspace(50, 5000, 50))).astype(int).tolist():
        undecided = 20_000 - done - (100 - finds)
        finds = finds + rng.hypergeometric(100 - finds, undecided, number - done)
        done, left = number, 100 - finds[:, 0]
        naive = beta.ppf(1 - alpha, finds + 1, done - finds)[:, 0] * 20_000 - finds[:, 0]
        joint = upper_limits(_one_block(20_000, done, finds), alpha)[0]
        covered &= [naive >= left, joint >= left]
    return int(covered[0].sum()), int(covered[1].sum())


def _one_block(pool: int, checks: int, finds: IntArray) -> Counts:
    """Strata alike but for their (C, S) finds."""
    same, each = np.ones_like(finds), finds[..., None]
    filled = np.ones_like(each)
    return Counts((pool - checks) * same, pool * filled, checks * filled, each, each)
