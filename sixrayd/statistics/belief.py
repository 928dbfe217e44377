"""What a detector's scores say of the negatives before anybody has reviewed one."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sixrayd.core.arrays import FloatArray
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text, write_json

T = TypeVar("T")
BELIEF = "belief.json"  # in the folder of a mining
LEAST_HELD_OUT = 20  # known positives; fewer say nothing of how others would score
_BIN = 15  # known positives in a bin, at least, unless these make one bin alone
_MOST_BINS = 10
_TOP = 60  # known positives, or half of them, among which the share is read off, at least
_END = 1e-6  # scores nearer to 0 or 1 are taken as this near


@dataclass(frozen=True, slots=True)
class Belief:
    """How likely an image holds contraband, by its best score.

    Args:
        images: negatives that were looked at.
        held_out: known positives that the detector has not learnt from.
        hidden: negatives that hold contraband.
        scores, probabilities: points of a rising curve; below and beyond them it is flat.
    """

    images: int
    held_out: int
    hidden: float
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def of(self, scores: FloatArray) -> FloatArray:
        """Probabilities of these scores, (N,), 0..1."""
        from scipy.special import logit  # late, as in `decisions.consensus`

        points = logit(np.array(self.scores).clip(_END, 1 - _END))
        found: FloatArray = np.interp(
            logit(scores.clip(_END, 1 - _END)), points, np.array(self.probabilities)
        )
        return found

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Belief | None":
        """What `save` wrote; None where nothing was written.

        Raises:
            WorkspaceError: something else.
        """
        read = mined_document(path, cls._of)
        if read is None:
            return None
        belief, points = read
        risen = points.size and (np.diff(points) >= 0).all() and (points >= 0).all()
        if not risen or not (points <= 1).all():
            raise WorkspaceError(f"{path}: expected a curve that rises from 0 to 1 at most")
        return belief

    @classmethod
    def _of(cls, values: Any) -> "tuple[Belief, FloatArray]":
        scores, probabilities = (
            tuple(map(float, values.pop(key))) for key in ("scores", "probabilities")
        )
        belief = cls(**values, scores=scores, probabilities=probabilities)
        return belief, np.array([belief.scores, belief.probabilities])


def mined_document(path: Path, read: Callable[[Any], T]) -> T | None:
    """What `read` makes of JSON that a mining wrote; None where nothing was written.

    Raises:
        WorkspaceError: it is something else.
    """
    if not path.exists():
        return None
    try:
        return read(parse_json(plain_text(path)))
    except (OSError, *NONSENSE) as error:
        raise WorkspaceError(f"{path}: not what `sixrayd mine` wrote ({error})") from error


def believe(held_out: FloatArray, mined: FloatArray, images: int) -> Belief | None:
    """Belief from scores of known positives and of the negatives that contraband hides among.

    If hidden contraband scores as known contraband does, a share h of the known positives in a bin
    of scores and n of the N negatives there make the probability π h N / n, where π is the share
    of negatives that hide contraband. π is at most the share of negatives above a score over the
    share of known positives above it, whichever score: the least of these is taken, as Storey
    (2002) takes it from p-values. It is too high where even the highest scores are mostly false
    alarms. Then an isotonic regression over the bins, weighted by negatives.

    Args:
        held_out: best score of each known positive, 0 where nothing was found.
        mined: best score of each negative in which something was found.
        images: negatives, N.

    Returns:
        None where known positives are fewer than `LEAST_HELD_OUT`, or nothing was found.
    """
    from scipy.optimize import isotonic_regression  # late, as in `decisions.consensus`

    found = np.sort(held_out[held_out > 0])
    if len(held_out) < LEAST_HELD_OUT or len(found) < _BIN or not len(mined):
        return None
    bins = min(_MOST_BINS, max(2, len(found) // _BIN))
    parts = np.array_split(found, bins)
    between = {(a[-1] + b[0]) / 2 for a, b in pairwise(parts) if a[-1] < b[0]}
    edges = [-np.inf, *sorted(between), np.inf]
    counts = np.histogram(found, edges)[0]
    known = counts / len(held_out)
    negatives = (np.histogram(mined, edges)[0] + 0.5) / images
    above = [np.cumsum(shares[::-1]) for shares in (negatives, known)]
    enough = np.cumsum(counts[::-1]) >= min(_TOP, len(found) // 2)
    hidden = min(1.0, float((above[0] / above[1])[enough].min()))
    risen = isotonic_regression(known / negatives, weights=negatives).x
    places = np.digitize(found, edges[1:-1])
    middles = [float(np.median(found[places == n])) for n in range(len(known))]
    return Belief(
        images,
        len(held_out),
        round(hidden * images, 1),
        tuple(round(m, 6) for m in middles),
        tuple(round(min(1.0, float(hidden * p)), 6) for p in risen),
    )
