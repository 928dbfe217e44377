"""How much is still to be found, from what was believed beforehand and what was found since.

Images of like belief make a band. Reviewers find contraband in a share of a band's images; its log
odds are those believed, plus a shift. Shifts of neighbouring bands are alike: the first is normal
around `Doubt.shift`, each other one around the one before. What was found in the bands moves them
(Laplace's approximation: normal at the likeliest shifts, with the curvature there).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.statistics.belief import Belief

HIDDEN = 0.0025  # of the negatives, where no mining says better
FLAGGED = 0.8  # of what is hidden lies where the detector fires, where no mining says better
_BANDS = 12  # of flagged images
_END = 1e-6  # believed shares nearer to 0 or 1 are taken as this near
_STEPS = 50  # of Newton's method, which takes about eight
_STEP = 0.25  # standard deviation of a band's shift from its neighbour's
# And of what no detector flagged from the last band's: hidden contraband is harder than known.
_UNFLAGGED, _HARDER = 0.8, 0.4


@dataclass(frozen=True, slots=True)
class Doubt:
    """How wrong the belief may be: mean and standard deviation of the first shift of log odds."""

    shift: float
    spread: float


OF_BELIEF = Doubt(-0.35, 0.6)  # too high by up to two where contraband is rare: docs/queue.md
_CHANCE = 2.4  # over the root of the images believed in: the least of several shares is taken
OF_SIZE = Doubt(0.0, 1.2)  # where nothing but the release's size is known


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Images by what was believed of them, the likeliest first; nobody flagged the last band.

    Args:
        believed: (B,) share that holds contraband, by what was known before anybody looked.
        images: (B,)
        decided: (B,) of them, by reviewers.
        found: (B,) of these, with contraband.
    """

    doubt: Doubt
    believed: FloatArray
    images: IntArray
    decided: IntArray
    found: IntArray

    @property
    def waiting(self) -> IntArray:
        """(B,) that nobody has decided."""
        return self.images - self.decided

    def shares(self, draws: int, rng: np.random.Generator) -> FloatArray:
        """(S, B) shares of contraband that reviewers find, as likely as they are."""
        start = logit(self.believed.clip(_END, 1 - _END))
        before = np.full(len(start), self.doubt.shift)
        before[1:][-1:] += _HARDER
        precision = self._precision()
        shift, curvature = before, precision
        for _ in range(_STEPS):
            share = expit(start + shift)
            slope = self.found - self.decided * share - precision @ (shift - before)
            curvature = precision + np.diag(self.decided * share * (1 - share))
            move = np.linalg.solve(curvature, slope)
            shift = shift + move.clip(-1, 1)
            if np.abs(move).max() < 1e-9:
                break
        spread = np.linalg.cholesky(np.linalg.inv(curvature))
        drawn: FloatArray = shift + rng.standard_normal((draws, len(start))) @ spread.T
        shares: FloatArray = expit(start + drawn)
        return shares

    def _precision(self) -> FloatArray:
        """(B, B) of the shifts beforehand."""
        count = len(self.believed)
        steps = np.full(count, _STEP)
        steps[0], last = self.doubt.spread, count - 1
        if last:
            steps[last] = _UNFLAGGED
        apart = np.eye(count) - np.eye(count, k=-1)  # shifts to steps
        found: FloatArray = apart.T @ np.diag(steps**-2.0) @ apart
        return found


def believed_of(
    scores: FloatArray, negatives: int, belief: Belief | None
) -> tuple[Doubt, FloatArray, float]:
    """What is believed of each flagged image, (N,), and of all others alike.

    Without a mining's belief, `HIDDEN` of the negatives, in proportion to the scores.
    """
    others = max(negatives - len(scores), 1)
    if belief is not None:
        each = belief.of(scores)
        rest = max(belief.hidden - float(each.sum()), 0.02 * belief.hidden)
        chance = _CHANCE / (1 + float(each.sum())) ** 0.5
        doubt = Doubt(OF_BELIEF.shift + chance, float(np.hypot(OF_BELIEF.spread, chance)))
        return doubt, each, min(rest / others, 1.0)
    hidden = HIDDEN * negatives
    if not len(scores):
        return OF_SIZE, scores, hidden / others
    each = (scores * (FLAGGED * hidden / max(float(scores.sum()), _END))).clip(0, 0.9)
    return OF_SIZE, each, (1 - FLAGGED) * hidden / others


def bands_of(each: FloatArray, others: float) -> tuple[IntArray, FloatArray]:
    """(N,) the band of each flagged image, and (B,) what is believed of the bands.

    A band holds as much of what is believed as the next; the last is of images that are not here.
    """
    order = np.argsort(-each, kind="stable")
    below = np.cumsum(each[order])
    total = below[-1] if len(each) else 1.0
    place = np.minimum((_BANDS * (below / max(total, _END) - 1e-12)).astype(np.int64), _BANDS - 1)
    used, place = np.unique(place, return_inverse=True)
    band: IntArray = np.zeros(len(each), np.int64)
    band[order] = place
    means = np.bincount(band, each, len(used)) / np.maximum(np.bincount(band, None, len(used)), 1)
    return band, np.append(means, others)
