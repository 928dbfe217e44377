"""What reviewers overlook: a lower bound on their sensitivity, and what it means for the missed.

Planted threats show how often contraband is seen. The bound from them holds at every look, and it
may only ever lower the sensitivity that is stated: planted threats may be easier than real ones,
so they widen the bound on what is missed and never tighten it.

Sensitivity is the chance that a contraband unit, of the kind that a reviewer is shown, is found.
Units differ in difficulty; what is assumed is that theirs are drawn independently from the same
pool as those of the planted threats, or that each is found with at least this chance.

Source: the two ratios are Robbins' mixtures (1970) over Bernoulli rates under Ville's inequality
(1939), as in Waudby-Smith and Ramdas 2020, Sec. 2 with replacement.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaln, xlog1py, xlogy

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.errors import SettingsError

PRIOR = (2.0, 0.5)  # Beta over reviewers' sensitivity: most see most
_HALVINGS = 60
_MOST_KNOWN = 1_000_000  # that are reckoned with


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How well one kind of review sees: what is stated, and what planted threats showed.

    Raises:
        SettingsError: a value is out of range.
    """

    stated: float = 1.0  # 0..1; 1 when nothing is said against it
    planted: int | None = None  # known threats shown; none when nobody was shown any
    hits: int = 0  # of them
    gamma: float = 1.0  # how many times better the odds to see known ones are than hidden ones
    cap: float = 1.0  # what double reading allows at most
    known: bool = False  # real positives were shown, not projections

    def __post_init__(self) -> None:
        if not 0 <= self.stated <= 1 or not 0 <= self.hits <= (self.planted or 0):
            raise SettingsError(
                f"sensitivity: needs 0 <= stated <= 1 and 0 <= hits <= planted, got "
                f"{self.stated}, {self.hits} and {self.planted or 0}"
            )

    @property
    def measured(self) -> bool:
        """Whether its lower bound can be wrong by chance."""
        return self.planted is not None

    @property
    def perfect(self) -> bool:
        """Whether it is taken for granted that nothing is overlooked."""
        return not self.measured and self.stated == self.cap == 1

    @property
    def estimate(self) -> float:
        """The lowest of what is stated, what was seen, and what double reading allows."""
        known = self.hits / self.planted if self.planted else 1.0
        return min(self.stated, self.cap, self.of_hidden(known))

    def lower(self, alpha: float) -> float:
        """Lower bound, wrong at any look with probability alpha at most."""
        if self.planted is None:
            return min(self.stated, self.cap)
        bound = sensitivity_lower(np.array([self.hits]), np.array([self.planted]), alpha)
        return min(self.stated, self.cap, self.of_hidden(float(bound[0])))

    def of_hidden(self, known: float) -> float:
        """Share of hidden contraband that is seen where this share of the known is."""
        return known if self.gamma == 1 else known / (known + self.gamma * (1 - known))


PERFECT = Sensitivity()


def sensitivity_lower(hits: IntArray | FloatArray, planted: IntArray, alpha: float) -> FloatArray:
    """(C,) lower bounds from (C,) hits of so many planted threats, valid at every look."""
    misses = planted - hits
    bet = betaln(PRIOR[0] + hits, PRIOR[1] + misses) - betaln(*PRIOR)
    low: FloatArray = np.zeros(len(hits))
    high: FloatArray = hits / np.maximum(planted, 1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = bet - xlogy(hits, middle) - xlog1py(misses, -middle) < -math.log(alpha)
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    return low


def known_for_width(rate: float, width: float, alpha: float) -> int:
    """Fewest known threats that widen a bound so many times at most, if this share is found."""

    def fits(planted: int) -> bool:
        shown = np.array([planted])
        return bool(sensitivity_lower(rate * shown, shown, alpha)[0] * width >= rate)

    return bisect_left(range(_MOST_KNOWN), True, key=fits)


def units_behind(found: IntArray, sensitivity: FloatArray, alpha: float, cap: IntArray) -> IntArray:
    """(C,) most units that may lie behind those findable, if findable with this chance.

    Units count as they come before reviewers, so the bound holds while their number grows: the
    number T behind F findable is too large once the ratio of a uniform mixture over lower rates
    to the rate itself, a supermartingale in T, reaches 1 / alpha. It rises in T and falls in F,
    so an upper bound may stand in for F.

    Args:
        found: (C,) findable units, or an upper bound of theirs.
        sensitivity: (C,) 0..1.
        alpha: 0 where nothing is overlooked.
        cap: (C,) units in all, at least `found`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        low: IntArray = found
        high: IntArray = cap
        while (low < high).any():
            middle = (low + high + 1) // 2
            missed = middle - found
            log_ratio = (
                betaln(1 + found, 1 + missed)
                + np.log(betainc(1 + found, 1 + missed, sensitivity) / sensitivity)
                - xlogy(found, sensitivity)
                - xlog1py(missed, -sensitivity)
            )
            # With no chance to find anything, and with none found, any number may be behind.
            possible = (log_ratio < -np.log(alpha)) | (sensitivity <= 0)
            low, high = np.where(possible, middle, low), np.where(possible, high, middle - 1)
            high = np.maximum(low, high)
    return low
