"""From what is known of a campaign to what it will have found, and what it will have left open.

Drawn many times over: shares of contraband in the bands (`bands`), the pace of reviewers, what the
queue and the checks find, and how many known items reviewers see. The bound of each draw is that of
a single look in closed form, times what the looks of this campaign cost beside one.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import bdtr

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.plan.bands import Bands
from sixrayd.statistics.finite import Block, Stratum, joint_limits
from sixrayd.statistics.overlooked import OneSet
from sixrayd.statistics.planned import LookPlan, total_upper
from sixrayd.statistics.sensitivity import Sensitivity, sensitivity_lower, units_behind

INTERVAL = 0.9  # of forecasts
LOOKS = (0.25, 0.5, 0.75, 1.0)  # shares of all checks that planned looks come at
SEES = (9.0, 1.0)  # Beta over the share that reviewers see, before anything is measured
# Standard deviation of the log of the pace: unmeasured, after so many timed answers half of its
# variance, and what never goes away.
_PACE, _PACE_ANSWERS, _PACE_LEFT = 0.5, 20.0, 0.08
OVER = 0.02  # of the time, by which a look that was planned may be too long for it
_RECKONED = (0.05, 0.5, 0.95)  # quantiles of finds at which looks are reckoned, the rest between


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was drawn at random so far, in groups; before the first draw, what would be.

    Args:
        reviewed, found: decided before the first draw, and found of these.
        units: all others.
        found_since: of them, by anybody.
        drawn, open, finds: drawn, of these not settled, and of these found.
        by_look: found among those drawn by each planned look but the last.
        looks: shares of the units by each planned look; none where draws have any size.
        taken: draws.
    """

    reviewed: int
    found: int
    units: int
    found_since: int = 0
    drawn: int = 0
    open: int = 0
    finds: int = 0
    by_look: tuple[int, ...] = ()
    looks: tuple[float, ...] = ()
    taken: int = 0

    @property
    def next_look(self) -> int:
        """Groups that the next planned look draws, about; 0 where none is left."""
        left = self.looks[self.taken : self.taken + 1]
        return sum(max(0, round(share * self.units) - self.drawn) for share in left)

    @property
    def any_size(self) -> bool:
        """Whether draws of any size were begun."""
        return self.taken > 0 and not self.looks


@dataclass(frozen=True, slots=True, eq=False)
class CampaignState:
    """A campaign as it stands.

    Args:
        queue: (Q,) band of each image still to be reviewed, in the order that reviewers get them.
        seconds: (Q,) of work that they take.
        task_s: seconds of a task without proposals.
        timed: answers that the seconds were learnt from.
        groups: near-duplicate groups an image.
        checks_open: images drawn as spot checks that wait for an answer.
        known_open: known items in the queue that wait for one.
        known_most: known items that may be added.
        alone: finds that one reader alone saw.
        found: images found so far.
    """

    bands: Bands
    queue: IntArray
    seconds: FloatArray
    task_s: float
    timed: int
    groups: float
    sampled: Sampled
    sides: tuple[Sensitivity, Sensitivity]
    alpha: float
    checks_open: int = 0
    known_open: int = 0
    known_most: int = 0
    alone: int = 0
    found: int = 0

    @property
    def sees(self) -> tuple[float, float]:
        """Beta over the share of contraband that reviewers see."""
        hits = sum(side.hits for side in self.sides)
        shown = sum(side.planted or 0 for side in self.sides)
        return SEES[0] + hits, SEES[1] + shown - hits

    @property
    def pace_spread(self) -> float:
        """Standard deviation of the log of the pace."""
        learnt = _PACE / (1 + self.timed / _PACE_ANSWERS) ** 0.5
        return float(np.hypot(learnt, _PACE_LEFT))


@dataclass(frozen=True, slots=True)
class Division:
    """Tasks that are ahead.

    Args:
        queue: images.
        checks: groups that are yet to be drawn.
        known: known items to be shown, those that wait included.
        second: share of the finds that a second person looks at.
        rest_s: seconds of work that nothing is left to be done in.
        held_s: seconds held back, since a look that is drawn is answered to its end.
    """

    queue: int = 0
    checks: int = 0
    known: int = 0
    second: float = 1.0
    rest_s: float = 0.0
    held_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Of each of S draws, at the end of the time.

    Args:
        finds: images found in all.
        left: groups left at most.
        pace: seconds of a task over those expected.
    """

    finds: IntArray
    left: FloatArray
    pace: FloatArray


class Foresight:
    """Draws of what nobody knows of a campaign, the same for every division of its time."""

    def __init__(self, state: CampaignState, draws: int, seed: int = 0) -> None:
        self.state, self.seed = state, seed
        rng = np.random.default_rng(seed)
        self.shares = state.bands.shares(draws, rng)  # (S, B)
        self.pace: FloatArray = np.exp(state.pace_spread * rng.standard_normal(draws))
        self._seen_with = cache(self._seen)
        self.sees: FloatArray = rng.beta(*state.sees, draws)
        spent = np.append(0.0, np.cumsum(state.seconds))
        self._spent: FloatArray = spent  # (Q + 1,)
        steps = np.zeros((len(state.queue) + 1, len(state.bands.images)), np.int64)
        steps[np.arange(1, len(steps)), state.queue] = 1
        self._reviewed: IntArray = np.cumsum(steps, axis=0)  # (Q + 1, B)

    def finds_of(self, queue: int) -> float:
        """Images that so many of the queue are expected to hold."""
        return float((self._reviewed[queue] * self.shares).sum(axis=1).mean())

    def queue_in(self, seconds: float) -> int:
        """Images of the queue that fit in so many seconds of work."""
        return int(np.searchsorted(self._spent, seconds + 1e-6, side="right")) - 1

    def seconds_of(self, queue: int) -> float:
        """Seconds of work that so many images of the queue take."""
        return float(self._spent[queue])

    def outcomes(self, division: Division, *, exact: bool = True) -> Outcomes:
        """What comes of a division of the time.

        Args:
            exact: reckon what the looks cost beside a single one, which takes longer.
        """
        state, rng = self.state, np.random.default_rng([self.seed, 1])
        checks = self._checks(division)
        time = self._time(division, checks)
        done = np.searchsorted(self._spent, time + 1e-6, side="right") - 1  # (S,)
        reviewed = self._reviewed[done]  # (S, B)
        waiting = state.bands.waiting - reviewed
        finds = rng.binomial(reviewed, self.shares).sum(axis=1)
        sample = self._sample(finds, waiting, checks, rng)
        seen, seen_before, alpha, before = self._seen_with(division.known)
        behind = units_behind(sample.found, seen_before, before, sample.reviewed) - sample.found
        total = _single(sample.finds, seen * sample.share, alpha, sample.units)
        cost = self._looks_costs(sample, seen, alpha) if exact else 1.0
        left = np.maximum(total * cost - sample.found_since, 0) + behind
        return Outcomes(state.found + finds + sample.more, left, self.pace)

    def _time(self, division: Division, checks: FloatArray) -> FloatArray:
        """(S,) seconds at the expected pace that the queue gets, as much of it as there is.

        A planned look for which there is no time leaves its own to the queue.
        """
        time = float(self._spent[division.queue]) + division.rest_s
        each = self.state.task_s / self.state.groups
        if self.state.sampled.looks:
            time += division.checks * each + division.held_s
            return np.maximum(time / self.pace - checks * each, 0.0)
        return time / self.pace

    def _checks(self, division: Division) -> FloatArray:
        """(S,) groups that are drawn and answered: whole looks where they were planned.

        A look is drawn only where there is time for all of it, at the pace of that draw.
        """
        before, each = self.state.sampled, self.state.task_s / self.state.groups
        if not before.looks:
            return division.checks / self.pace
        ends = np.rint(np.array(before.looks[before.taken :]) * before.units) - before.drawn
        ends = np.append(0.0, ends[ends <= division.checks + 1])  # as many looks as are wanted
        queue = self._spent[division.queue]
        wanted = queue + division.checks * each
        time = (1 + OVER) * (wanted + division.rest_s + division.held_s)
        fit = self.pace[:, None] * (queue + ends * each) <= time  # (S, L)
        answered: FloatArray = ends[np.maximum(fit.sum(axis=1) - 1, 0)]
        return answered

    def _sample(
        self, queued: IntArray, waiting: IntArray, checks: FloatArray, rng: np.random.Generator
    ) -> "_Samples":
        """What is drawn by the end, and found among it, once the queue has found so many."""
        state, before = self.state, self.state.sampled
        units = np.rint(waiting.sum(axis=1) * state.groups)
        new = np.rint(queued * state.groups).astype(np.int64)
        if not before.taken:
            chance = (checks / np.maximum(units, 1)).clip(0, 1)
            finds = rng.binomial(waiting, self.shares * chance[:, None]).sum(axis=1)
            as_units = np.rint(finds * state.groups).astype(np.int64)
            reviewed = before.reviewed + before.units - units.astype(np.int64)
            found = np.minimum(before.found + new, reviewed)
            return _Samples(
                units.astype(np.int64), chance, as_units, as_units, finds, found, reviewed
            )
        undrawn = max(before.units - before.drawn, 1)
        chance = (checks / undrawn).clip(0, 1)
        rate = (waiting * self.shares).sum(axis=1) / np.maximum(waiting.sum(axis=1), 1)
        opened = rng.binomial(before.open, rate)
        finds = rng.binomial(waiting, self.shares * chance[:, None]).sum(axis=1)
        again = rng.binomial(np.maximum(before.found_since - before.finds, 0) + new, chance)
        as_units = np.rint(finds * state.groups).astype(np.int64)
        share = before.drawn / max(before.units, 1)
        full = np.full(len(finds), 1, np.int64)
        return _Samples(
            units=full * before.units,
            share=1 - (1 - share) * (1 - chance),
            finds=before.finds + opened + again + as_units,
            found_since=before.found_since + new + opened + as_units,
            more=finds + opened,
            found=full * before.found,
            reviewed=full * before.reviewed,
        )

    def _seen(self, known: int) -> tuple[FloatArray, FloatArray, float, float]:
        """(S,) shares seen at least by all and by the queue, and the parts of alpha that are left
        for the sampling and for what was decided before the first draw.
        """
        state, lowest, rng = self.state, [], np.random.default_rng([self.seed, 2])
        more = (known // 2, known - known // 2)
        sides = []
        for side, add in zip(state.sides, more, strict=True):
            hits = side.hits + rng.binomial(add, self.sees)
            shown = (side.planted or 0) + add
            lower: FloatArray = np.ones(len(self.sees))
            if shown:
                share = sensitivity_lower(hits, np.full(len(hits), shown), 0.1 * state.alpha)
                lower = share if side.gamma == 1 else share / (share + side.gamma * (1 - share))
                side = replace(side, planted=shown, hits=int(np.median(hits)))
            lowest.append(np.minimum(lower, min(side.stated, side.cap)))
            sides.append(side)
        one_set = OneSet.of(state.alpha, (sides[0], sides[1]), 1)
        seen = np.minimum(*lowest)
        return seen, lowest[0] if sides[0].measured else seen, one_set.sampling, one_set.before

    def _looks_costs(self, sample: "_Samples", seen: FloatArray, alpha: float) -> FloatArray:
        """(S,) how many times wider than a single look the looks are.

        Reckoned for some numbers of finds, since few at a look that is over bound for good, and
        for each number of planned looks that draws come to.
        """
        ends = sample.share if self.state.sampled.looks else np.zeros(len(seen))
        costs: FloatArray = np.ones(len(seen))
        for end in np.unique(ends):
            (rows,) = np.nonzero(ends == end)
            order = rows[np.argsort(sample.finds[rows], kind="stable")]
            chosen = [int(order[int(part * (len(order) - 1))]) for part in _RECKONED]
            known = {
                int(sample.finds[at]): self._looks_cost(sample, seen, alpha, at) for at in chosen
            }
            costs[rows] = np.interp(sample.finds[rows], list(known), list(known.values()))
        return costs

    def _looks_cost(self, sample: "_Samples", seen: FloatArray, alpha: float, at: int) -> float:
        """How many times wider than a single look the looks are, in one of the draws."""
        finds, units, share = (int(sample.finds[at]), int(sample.units[at]), sample.share[at])
        chance = float(seen[at] * share)
        alone = float(_single(sample.finds, seen * sample.share, alpha, sample.units)[at])
        checks = min(round(units * share), units)
        if not (alone and checks and 0 < chance < 1):
            return 1.0
        before = self.state.sampled
        known = before.drawn / max(before.units, 1) if before.taken else 0.0
        if before.any_size:
            block = Block(units, checks, min(finds, checks), min(finds, checks))
            stratum = Stratum("all", units - checks, (block,))
            total = finds + joint_limits((stratum,), alpha).upper
            one = float(_single(np.array([finds]), np.array([share]), alpha, np.array([units]))[0])
            return max(1.0, total / one)
        looks = LookPlan(before.looks or tuple(float(share) * part for part in LOOKS))
        rate = (finds - before.finds) / (share - known) if share > known else 0.0
        taken = [*before.by_look, before.finds][: before.taken]
        taken += [
            round(before.finds + rate * (part - known))
            for part in looks.fractions[before.taken :]
            if part <= share * (1 + 1e-3)
        ]
        if not taken:
            return 1.0
        return total_upper([*taken[:-1], finds], looks, units, alpha, seen[at]) / alone


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Of each draw, (S,): groups by the end, `more` images that checks found on the way."""

    units: IntArray
    share: FloatArray  # of the units that are drawn
    finds: IntArray
    found_since: IntArray
    more: IntArray
    found: IntArray
    reviewed: IntArray


def _single(finds: IntArray, chance: FloatArray, alpha: float, units: IntArray) -> IntArray:
    """(S,) the most contraband units of which a single look finds no more, `planned` in one."""
    low: IntArray = finds.astype(np.int64)
    high: IntArray = np.maximum(units, low)
    while (low < high).any():
        middle = (low + high + 1) // 2
        stands = (bdtr(finds, middle, chance) > alpha) | (middle <= finds) | (chance <= 0)
        low, high = np.where(stands, middle, low), np.where(stands, high, middle - 1)
        high = np.maximum(low, high)
    return low
