"""The bound from looks that are planned: exact, and half as wide as one for every look.

A look j is taken once every unit of the population has been drawn with chance f_j in all, each
for itself: one that is not drawn yet is drawn with chance (f_j - f_(j-1)) / (1 - f_(j-1)). Then
each of L contraband units is among those drawn with chance f_j whatever its stratum, its score or
what the queue did in the meantime, so that the finds among the drawn are K_j ~ Binomial(L, f_j),
and of the L - K_(j-1) others each joins with the chance above. If reviewers see a unit with chance
s, that is Binomial(L, s f_j).

For each L the looks have limits b_j(L): L is given up at the first look with K_j <= b_j(L). The
limits are the largest for which the chance of giving up a true L, at this or an earlier look, is
at most what is spent by then: alpha at the last one. So a true L is given up at any look with
chance alpha at most, and the bound is the largest L that stands.

Source: group sequential limits by an error spending function, Lan and DeMets 1983, Discrete
sequential boundaries for clinical trials (Biometrika 70), with the recursion of Armitage,
McPherson and Rowe 1969 (J. R. Stat. Soc. A 132) over a binomial count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.special import bdtr, gammaln, xlog1py, xlogy
from scipy.stats import binom

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.errors import SettingsError

_MOST_WORK = 300_000  # looks × finds to be expected ** 1.5: beyond it minutes, then hours
_MOST_STEPS = 100_000  # looks × totals that are tried: seconds
_NEVER = 1e-12  # chance of numbers of finds that are left out, at each end of each look
_MOST_LOOKS = 100


@dataclass(frozen=True, slots=True)
class LookPlan:
    """At which shares of the units to look, and how much error to spend by each.

    Args:
        fractions: of all units drawn by each look, rising, above 0 and at most 1.
        power: by a look at f of the last look's share F, (f / F) ** power of alpha is spent.

    Raises:
        SettingsError: out of range.
    """

    fractions: tuple[float, ...]
    power: float = 1.0

    def __post_init__(self) -> None:
        edges = (0.0, *self.fractions)
        rising = all(low < high for low, high in pairwise(edges))
        if len(self.fractions) > _MOST_LOOKS:
            raise SettingsError(f"{len(self.fractions)} looks: at most {_MOST_LOOKS} are planned")
        if not self.fractions or not rising or edges[-1] > 1 or not 0 < self.power < math.inf:
            raise SettingsError(
                f"looks at {self.fractions} of the units: need rising shares above 0 and up to 1, "
                f"and a power above 0, which is {self.power}"
            )

    def chance(self, look: int) -> Fraction:
        """That a unit not drawn by the looks before is drawn by a look, from 0; exact."""
        before = Fraction(self.fractions[look - 1]) if look else Fraction(0)
        return (Fraction(self.fractions[look]) - before) / (1 - before)

    def spent(self, look: int, alpha: float) -> float:
        """Chance of being wrong that may be used up by a look, from 0."""
        return float(alpha * (self.fractions[look] / self.fractions[-1]) ** self.power)


@lru_cache(maxsize=4096)
def limits(
    total: int, plan: LookPlan, looks: int, alpha: float, sensitivity: float
) -> tuple[int, ...]:
    """The most finds at each of the first looks with which so many contraband units are given up.

    Args:
        total: contraband units of the population, L.
        sensitivity: chance that a drawn one is found, above 0 and at most 1.

    Returns:
        -1 at a look at which no number of finds would do.
    """
    found: FloatArray = np.ones(1)  # chance of each number of finds so far, L still standing
    first = 0  # the number of finds that `found` begins with
    given_up, chance, result = 0.0, 0.0, []
    # With more finds than this no total is given up at the last look, nor at one before it.
    chances = sensitivity * np.array(plan.fractions[:looks])
    most = int(binom.ppf(alpha, total, chances[-1]))
    lows, highs = binom.ppf([[_NEVER], [1 - _NEVER]], total, chances).astype(int).tolist()
    for look, (low, high) in enumerate(zip(lows, highs, strict=True)):
        chance, before = float(chances[look]), chance
        numbers = np.arange(max(low, first), max(min(high, most), low, first) + 1)
        found = _joined(found, first, numbers, total, (chance - before) / (1 - before))
        first = int(numbers[0])
        spend = plan.spent(look, alpha) - given_up
        below = np.cumsum(found)
        place = int(np.searchsorted(below, spend, side="right")) - 1
        if place >= 0:
            given_up += float(below[place])
            found[: place + 1] = 0
        # Fewer finds than `first` never come, so giving up with them costs nothing.
        result.append(first + place)
    return tuple(result)


def total_upper(
    finds: Sequence[int | None],
    plan: LookPlan,
    units: int,
    alpha: float,
    sensitivity: float = 1.0,
    among: int = 1,
) -> int:
    """The most contraband units that still stand after the looks so far.

    Where finding it takes too much work it is a little more, which holds as well.

    Args:
        finds: contraband units among those drawn by each look; None where a look was left out,
            whose share of alpha is lost.
        units: of the population.
        among: bounds that share the work which is done.

    Raises:
        SettingsError: more looks than planned, or finds that fall.
    """
    seen = [(look, number) for look, number in enumerate(finds) if number is not None]
    numbers = [number for _, number in seen]
    if len(finds) > len(plan.fractions) or numbers != sorted(numbers):
        raise SettingsError(
            f"finds {list(finds)}: expected up to {len(plan.fractions)} numbers that do not fall"
        )
    if not seen or sensitivity <= 0:
        return units
    least = max(numbers)
    total = min(_highest(number, look, plan, alpha, sensitivity, units) for look, number in seen)
    expected = total * sensitivity * plan.fractions[len(finds) - 1]
    if len(finds) * expected**1.5 > _MOST_WORK:
        return max(total, least)  # all beyond it are rejected, so it holds
    end = max(least, total - _MOST_STEPS // (among * len(finds)))
    while total > end:
        most = limits(total, plan, len(finds), alpha, sensitivity)
        if all(number > most[look] for look, number in seen):
            break
        total -= 1
    return max(total, least)


def _highest(
    finds: int, look: int, plan: LookPlan, alpha: float, sensitivity: float, units: int
) -> int:
    """No more than this can stand: beyond, the error that this look adds is enough to give up."""
    share = plan.spent(look, alpha) - (plan.spent(look - 1, alpha) if look else 0.0)
    low, high = finds, units
    while low < high:
        middle = (low + high + 1) // 2
        if bdtr(finds, middle, sensitivity * plan.fractions[look]) > share:
            low = middle
        else:
            high = middle - 1
    return low


def _joined(
    found: FloatArray, first: int, numbers: IntArray, total: int, chance: float
) -> FloatArray:
    """Chance of these numbers of finds after each unit that is not found joins with a chance."""
    before = first + np.arange(len(found))[:, None]  # (K, 1)
    more, standing = numbers - before, total - numbers  # (K, X), (X,)
    steps = np.arange(numbers[-1] - first + 1)
    by_step = xlogy(steps, chance) - gammaln(steps + 1)
    log_chance = (
        by_step[np.maximum(more, 0)]
        + gammaln(total - before + 1)
        + (xlog1py(standing, -chance) - gammaln(standing + 1))
    )
    joined: FloatArray = found @ np.where(more >= 0, np.exp(log_chance), 0.0)
    return joined
