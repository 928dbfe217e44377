"""What reviewers overlook, tested in one set with what planned looks left out.

Let s be the lower of what reviewers see in the queue and in the checks. L contraband units were
undecided at the first draw and T were decided before it. A pair (L, T) with a sensitivity is given
up for one of three reasons, and the bound is the largest sum that stands:

- the sensitivity is above its lower limit, which is wrong with chance b;
- the F found of the T are too few for what the queue sees, whenever one stops
  (`sensitivity.units_behind`), a0: when the first draw is made may hang on what was found by then,
  so a binomial limit would not do;
- the finds among the drawn are too few for Binomial(L, s f_j) at a look (`planned`), a1.

So it is wrong with chance b + a0 + a1 = alpha at most. Where nothing was decided before the first
draw, a0 is not needed; where no sensitivity is measured, b is not.

**One share for two sensitivities.** s is the lower of two, and its limit is the lower of two
limits. That is above s only if the limit of the lower side is above that side's sensitivity. So b
is spent once. Only what was decided before the first draw is held against the queue's own limit,
if all of it was decided in the queue; if both sides are measured, that takes b again. Where checks
of an earlier sample decided some of it, it is held against the lower limit as well.

**What it needs of units that differ.** Let unit i be drawn first by look J_i. It is enough that
each is found with chance s at least, given J_i and all that was said before: take V_i uniform,
such that it is found whenever V_i < s. Then the finds are never fewer than the units with V_i < s
among the drawn, which are Binomial(L, s f_j) with the increments of `planned`, and fewer finds
alone give up a total. Whether queue or check comes first, and whether the queue follows its finds,
is of no account, since each draw has a fresh seed. The same holds if difficulties are drawn
independently from a pool in which s are found on average, which is what known contraband measures.

If difficulties are fixed and only their mean is s, the number N that would be found is a
Poisson-binomial, and the chance to give up is the mean of a falling function of N. Where that
function is convex, which for one look it is from N = b / f on, the mean is at most the binomial's
(Hoeffding 1956, On the distribution of the number of successes in independent trials, Ann. Math.
Stat. 27, Theorem 3). So it holds for finds well below their mean. It fails where nearly all is
drawn and seen: there the binomial gives few finds a smaller chance than they have. The worst
difficulties of a mean are 0, 1 and one value between (Theorem 2), which tests go through.

**Known against hidden.** Contraband that somebody has found before, or that was planted, may be
easier to see. With odds ratio G, the odds to see hidden contraband are those to see known
contraband over G at worst: a lower limit s of the known is s / (s + G (1 - s)) of the hidden.

**What is subtracted.** A find that is no contraband among the drawn makes the limit of L larger,
but subtracting it makes what is left too low by one. So the bound is right if all that is
subtracted is contraband, and too low by at most the number of finds that are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixrayd.statistics.planned import LookPlan, total_upper
from sixrayd.statistics.sensitivity import Sensitivity, units_behind

SMALL_SHARE = 0.1  # of alpha, for each part in use beside the sampling


@dataclass(frozen=True, slots=True)
class OneSet:
    """The chances of being wrong that make up alpha, and the sensitivity that follows."""

    sampling: float
    before: float  # units decided before the first draw; 0 without any, or with perfect reviewers
    sensitivity: tuple[float, float]  # of the lower side, and of the queue's where it is in use
    seen: float  # lower limit of the share that queue and checks see
    seen_before: float  # of the share that the queue sees

    @classmethod
    def of(
        cls,
        alpha: float,
        sides: tuple[Sensitivity, Sensitivity],
        decided_before: int,
        *,
        queued: bool = True,
    ) -> "OneSet":
        """A tenth of alpha for each part in use beside the sampling, which has the rest.

        Args:
            sides: with proposals, as in the queue, and without. One that was not measured sees no
                more than the other.
            queued: whether all that was decided before was seen with proposals; else it counts at
                the lower of both.
        """
        share = alpha * SMALL_SHARE
        queue, checks = (side.lower(share) for side in sides)
        seen, measured = min(queue, checks), [side.measured for side in sides]
        before = share * (decided_before > 0 and seen < 1)
        once, again = share * any(measured), share * (all(measured) and decided_before > 0)
        seen_before = queue if measured[0] and queued else seen
        return cls(alpha - before - once - again, before, (once, again), seen, seen_before)

    def of_drawn(self, finds: Sequence[int], looks: LookPlan, units: int, among: int = 1) -> int:
        """The most contraband units that were undecided at the first draw; see `total_upper`."""
        return total_upper(finds, looks, units, self.sampling, self.seen, among)

    def of_decided(self, found: int, units: int) -> int:
        """The most contraband units among those decided before it, of which so many were found."""
        behind = units_behind(
            np.array([found]), np.array([self.seen_before]), self.before, np.array([units])
        )
        return int(behind[0])
