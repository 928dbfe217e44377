"""How many findable units are left unfound in strata that are spot-checked bit by bit.

A *unit* is a group of near-duplicate images and is contraband if any of them is. *Findable* is a
contraband unit that a spot check would find; whether it would is settled before anyone looks. A
stratum's spot checks are a sequence of *blocks*: when one begins, the units that are undecided by
then stand in a random order, and checks follow it without leaving one out. Between blocks units
may leave the pool by other ways, and what is found so counts: with `l` findable units unfound
now, a block's pool held t = l + (finds since the block began) of them.

The sequence of answers in a block then has the probability of drawing without replacement, with
nothing unknown in it but l, and strata are independent however their checks interleave. A bet on
the answers, a mixture over rates of finds, divided by their chance under the true l is therefore
a martingale of mean 1. By Ville's inequality it ever reaches 1 / alpha with probability at most
alpha: the allocations of l to strata for which it stays below are a confidence set that holds at
every look at once, whenever one stops. The limits are the largest and smallest sum in that one
set, never a sum of limits.

Minus the logarithm of a stratum's chance is convex in its l, so the cheapest way to a larger sum
is to take units in ascending order of what the next one costs. All that cost at most some price
are taken, and the price is found by bisection, for many campaigns in one go.

Source: Waudby-Smith and Ramdas 2020, Confidence sequences for sampling without replacement
(NeurIPS), Sec. 2; Ville 1939, Étude critique de la notion de collectif; Robbins 1970, Statistical
methods related to the law of the iterated logarithm (mixtures); the product over strata is that
of Spertus and Stark 2022, Sweeter than SUITE (E-Vote-ID).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.errors import SettingsError

PRIOR = (0.1, 1.0)  # Beta over rates of finds: most strata hold next to nothing
_HALVINGS = 100  # of a price; what costs the same to double precision is left between


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive spot checks of one stratum, in the random order fixed when they began.

    What is counted is a beginning of that order: an answer behind one that is still out waits.
    Once anything else of the pool is decided, the next check begins a new block; otherwise
    checks would leave out what the queue has found, and the bound would be too low.

    Raises:
        SettingsError: the counts contradict each other.
    """

    pool: int  # units undecided when the block began
    checks: int
    finds: int  # among the checks
    found_since: int  # in this pool since the block began, by anybody: its own finds included

    def __post_init__(self) -> None:
        if not 0 <= self.finds <= self.checks or not self.finds <= self.found_since <= self.pool:
            raise SettingsError(
                f"block: needs 0 <= finds <= checks and finds <= found since <= pool, got "
                f"{self.finds} finds, {self.checks} checks, {self.found_since} found since and "
                f"a pool of {self.pool}"
            )


@dataclass(frozen=True, slots=True)
class Stratum:
    """Units of similar score; without checks nothing is known of it.

    Raises:
        SettingsError: a block's pool is smaller than what was decided in it and what is left.
    """

    name: str
    pool_now: int  # undecided units
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if self.pool_now < 0:
            raise SettingsError(f"stratum {self.name}: a pool of {self.pool_now} units")
        for number, block in enumerate(self.blocks, 1):
            least = self.pool_now + block.checks + block.found_since - block.finds
            if block.pool < least:
                raise SettingsError(
                    f"stratum {self.name}: block {number} began with {block.pool} units, but "
                    f"{least} were checked, found or left since; count both at the same moment"
                )

    @property
    def joined(self) -> tuple[Block, ...]:
        """The blocks; those between which only their own checks were decided are one."""
        joined: list[Block] = []
        for block in self.blocks:
            last = joined[-1] if joined else None
            if (
                last
                and block.pool == last.pool - last.checks
                and block.found_since == last.found_since - last.finds
            ):
                checks, finds = last.checks + block.checks, last.finds + block.finds
                joined[-1] = replace(last, checks=checks, finds=finds)
            else:
                joined.append(block)
        return tuple(joined)

    @property
    def checks(self) -> int:
        """Spot checks in all blocks."""
        return sum(block.checks for block in self.blocks)

    @property
    def found(self) -> int:
        """Units found since the first block began."""
        return self.blocks[0].found_since if self.blocks else 0

    @property
    def units(self) -> int:
        """Units in the pool when the first block began."""
        return self.blocks[0].pool if self.blocks else self.pool_now

    @property
    def estimate(self) -> float:
        """Findable units unfound now: for one block the pool now x finds / checks; 0 unchecked.

        Unbiased for fixed numbers of checks (Horvitz and Thompson); blocks weigh as their checks.
        """
        blocks, checks = self.joined, self.checks
        total = sum(b.pool * b.finds - b.checks * b.found_since for b in blocks)
        return min(max(total / checks, 0.0), float(self.pool_now)) if checks else 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Findable units unfound now, over all strata."""

    lower: int
    estimate: float  # over the strata that were checked
    upper: int  # with the whole pool of a stratum that was not
    allocation: tuple[int, ...]  # by stratum, where the sum is `upper`


@dataclass(frozen=True, slots=True)
class Counts:
    """The evidence of C campaigns in arrays: S strata of up to J blocks."""

    pool_now: IntArray  # (C, S)
    pools: IntArray  # (C, S, J); a block without checks says nothing
    checks: IntArray  # (C, S, J)
    finds: IntArray  # (C, S, J)
    found_since: IntArray  # (C, S, J)

    @property
    def last(self) -> IntArray:
        """(C, S) greatest number of units left to which one more can be added."""
        return np.maximum(self.pool_now - 1, 0)

    @classmethod
    def of(cls, strata: Sequence[Stratum]) -> "Counts":
        """One campaign's."""
        rows = [stratum.joined for stratum in strata]
        pool_now = np.array([[stratum.pool_now for stratum in strata]], np.int64)
        table = np.zeros((4, 1, len(rows), max((len(row) for row in rows), default=0)), np.int64)
        table[0] = pool_now[..., None]  # where there is no block
        for s, blocks in enumerate(rows):
            for j, block in enumerate(blocks):
                table[:, 0, s, j] = block.pool, block.checks, block.finds, block.found_since
        return cls(pool_now, *table)

    def log_evidence(self, left: IntArray) -> FloatArray:
        """(C,) logarithm of the martingale if (C, S) findable units were left."""
        evidence: FloatArray = self._log_bet() - self.log_chance(left).sum(axis=-1)
        return evidence

    def log_chance(self, left: IntArray) -> FloatArray:
        """(C, S) logarithm of the chance of the answers, in their order, with so many left."""
        inside = left[..., None] + self.found_since  # (C, S, J)
        chance: FloatArray = (
            _log_falling(inside, self.finds)
            + _log_falling(self.pools - inside, self.checks - self.finds)
            - _log_falling(self.pools, self.checks)
        ).sum(axis=-1)
        return chance

    def _log_bet(self) -> FloatArray:
        """(C,) half on every stratum having a rate of its own, half on one rate for all."""
        finds = self.finds.sum(axis=-1)  # (C, S)
        clear = self.checks.sum(axis=-1) - finds
        own = _log_mixture(finds, clear).sum(axis=-1)
        shared = _log_mixture(finds.sum(axis=-1), clear.sum(axis=-1))
        bet: FloatArray = np.logaddexp(own, shared) - math.log(2)
        return bet

    def gain(self, left: IntArray) -> FloatArray:
        """(C, S) factor by which the answers get likelier with one more unit; falls in `left`.

        Only for `left` below the pool.
        """
        inside = left[..., None] + self.found_since  # (C, S, J)
        outside, clear = self.pools - inside, self.checks - self.finds
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = (inside + 1) / (inside + 1 - self.finds) * ((outside - clear) / outside)
        gains: FloatArray = factor.prod(axis=-1)
        return gains


def joint_limits(strata: Iterable[Stratum], alpha: float) -> Limits:
    """Limits of the findable units unfound now that hold at every look with 1 - alpha.

    Args:
        alpha: chance that any of the limits is ever wrong, above 0 and below 1.

    Raises:
        SettingsError: alpha is out of range.
    """
    strata = tuple(strata)
    counts = Counts.of(strata)
    upper, allocation = upper_limits(counts, alpha)
    return Limits(
        lower=int(lower_limits(counts, alpha)[0]),
        estimate=float(sum(stratum.estimate for stratum in strata)),
        upper=int(upper[0]),
        allocation=tuple(map(int, allocation[0])),
    )


def upper_limits(counts: Counts, alpha: float) -> tuple[IntArray, IntArray]:
    """(C,) largest sum in the confidence set, and the (C, S) units in each stratum there.

    Where no allocation is in the set, which happens with probability alpha at most, the best
    supported one stands in for it.

    Raises:
        SettingsError: alpha is out of range.
    """
    allocation = _furthest(counts, _best(counts), counts.pool_now, _budget(alpha))
    return allocation.sum(axis=-1), allocation


def lower_limits(counts: Counts, alpha: float) -> IntArray:
    """(C,) smallest sum in the confidence set, in the same way.

    Raises:
        SettingsError: alpha is out of range.
    """
    best = np.where(counts.checks.sum(axis=-1) > 0, _best(counts), 0)
    allocation = _furthest(counts, best, np.zeros_like(best), _budget(alpha))
    return np.asarray(allocation.sum(axis=-1))


def _budget(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise SettingsError(f"alpha: must be above 0 and below 1, got {alpha}")
    return -math.log(alpha)


def _log_mixture(finds: IntArray, clear: IntArray) -> FloatArray:
    """Logarithm of the chance of the answers when the rate of finds is drawn from the prior."""
    mixture: FloatArray = betaln(PRIOR[0] + finds, PRIOR[1] + clear) - betaln(*PRIOR)
    return mixture


def _log_falling(base: IntArray, terms: IntArray) -> FloatArray:
    """Logarithm of base (base - 1) ... of so many factors."""
    falling: FloatArray = gammaln(base + 1.0) - gammaln(base - terms + 1.0)
    return falling


def _best(counts: Counts) -> IntArray:
    """(C, S) the allocation that makes the answers likeliest, the largest of equals."""
    zero = np.zeros_like(counts.pool_now)
    return _taken(counts, np.ones(len(zero)), zero, counts.pool_now)


def _taken(counts: Counts, price: FloatArray, low: IntArray, high: IntArray) -> IntArray:
    """(C, S) units whose gain is at least the campaign's (C,) price, known to be low..high."""
    while (open_ := low < high).any():
        middle = (low + high) // 2
        enough = counts.gain(np.minimum(middle, counts.last)) >= price[:, None]
        low = np.where(open_ & enough, middle + 1, low)
        high = np.where(open_ & ~enough, middle, high)
    return low


def _furthest(counts: Counts, start: IntArray, end: IntArray, budget: float) -> IntArray:
    """(C, S) the last allocation within budget on the cheapest way from the best one to `end`."""
    inside = np.where(_fits(counts, end, budget)[:, None], end, start)
    outside, upwards = end, bool((end >= start).all())
    last = end - 1 if upwards else end  # the unit that is dearest in each stratum
    gains = np.where(inside == outside, 1.0, counts.gain(np.clip(last, 0, counts.last)))
    near: FloatArray = np.zeros(len(inside))  # (C,) logarithms of prices
    far: FloatArray = np.log((np.min if upwards else np.max)(gains, axis=-1, initial=1.0))
    for _ in range(_HALVINGS):
        if (np.abs(outside - inside) <= 1).all():
            break
        price = (near + far) / 2
        low, high = (inside, outside) if upwards else (outside, inside)
        middle = _taken(counts, np.exp(price), low, high)
        fits = _fits(counts, middle, budget)
        inside = np.where(fits[:, None], middle, inside)
        outside = np.where(fits[:, None], outside, middle)
        near, far = np.where(fits, price, near), np.where(fits, far, price)
    return _walk(counts, inside, outside, budget)


def _walk(counts: Counts, inside: IntArray, outside: IntArray, budget: float) -> IntArray:
    """(C, S) as far from inside to outside as fits, stratum by stratum, the cheapest first."""
    steps, way = np.abs(outside - inside), np.sign(outside - inside)
    costs = counts.log_chance(inside) - counts.log_chance(inside + way)
    order = np.argsort(np.where(steps > 0, costs, np.inf), axis=-1, kind="stable")
    sorted_steps = np.take_along_axis(steps, order, axis=-1)
    before = np.zeros_like(steps)
    np.put_along_axis(before, order, np.cumsum(sorted_steps, axis=-1) - sorted_steps, axis=-1)
    low: IntArray = np.zeros(len(steps), np.int64)  # (C,) units walked
    high: IntArray = steps.sum(axis=-1)
    while (low < high).any():
        middle = (low + high + 1) // 2
        fits = _fits(counts, inside + way * np.clip(middle[:, None] - before, 0, steps), budget)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
        high = np.maximum(low, high)
    walked: IntArray = inside + way * np.clip(low[:, None] - before, 0, steps)
    return walked


def _fits(counts: Counts, left: IntArray, budget: float) -> NDArray[np.bool_]:
    fits: NDArray[np.bool_] = counts.log_evidence(left) < budget
    return fits
