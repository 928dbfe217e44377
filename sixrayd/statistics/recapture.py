"""Capture-recapture: what two detectors' finds say about what both overlooked.

It takes the detectors for independent. Two that learned from the same images fail on the same
ones, so more of one's finds are also the other's and the estimate comes out too low: it is shown
beside the bound and never takes its place.

Source: Chapman 1951, Some properties of the hypergeometric distribution with applications to
zoological sample censuses; variance from Seber 1982, The Estimation of Animal Abundance, p. 60;
interval by the logarithm of the unseen from Chao 1987, Biometrics 43:783-791.
"""

import math
from dataclasses import dataclass

from scipy.stats import norm

from sixrayd.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Recapture:
    """Contraband units that neither detector flagged."""

    estimate: float
    low: float
    high: float
    optimistic: bool = True  # similar detectors share blind spots


def recapture(first: int, second: int, both: int, alpha: float = 0.05) -> Recapture | None:
    """Chapman's estimate of what neither found, with a two-sided interval.

    None where all finds of one detector are the other's as well: the estimate is 0 then and so is
    its variance, however much both overlook, so the counts say nothing of it.

    Args:
        first, second: contraband units that each of two detectors flagged and reviewers confirmed.
        both: of them, by both.

    Raises:
        SettingsError: the counts contradict each other, or alpha is out of range.
    """
    if not 0 <= both <= min(first, second) or not 0 < alpha < 1:
        raise SettingsError(
            f"recapture: needs 0 <= both <= first and second and 0 < alpha < 1, got {both} of "
            f"{first} and {second} and {alpha}"
        )
    unseen = (first - both) * (second - both) / (both + 1)
    if unseen == 0:
        return None
    variance = (first + 1) * (second + 1) * unseen / ((both + 1) * (both + 2))
    spread = math.exp(norm.ppf(1 - alpha / 2) * math.sqrt(math.log1p(variance / unseen**2)))
    return Recapture(unseen, unseen / spread, unseen * spread)
