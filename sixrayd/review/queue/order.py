"""What comes first: tasks by expected finds per second of review."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from sixrayd.core.arrays import FloatArray
from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Kind
from sixrayd.review.queue.image import ReviewImage
from sixrayd.statistics.belief import Belief

ORDERED = (Kind.CANDIDATE, Kind.DUPLICATE, Kind.POSITIVE)
MOST_BOXES = 3  # tasks with more proposals are timed together with these
UNMEASURED_S = 10.0  # a task's time before the first decision
_LEAST_S = 1e-3  # faster nobody answers, whatever a server says
BREAK = 10.0  # a time beyond so many medians is a break, and counts as so many
PRIOR_DECISIONS = 20.0  # what is believed beforehand weighs as so many decisions in each bin
PRIOR_TIMES = 10.0  # and the mean time of all tasks as so many of one kind and number of proposals
_LEAST_SLOPE = 0.05  # a higher score never means less
_END = 1e-4  # scores nearer to 0 or 1 are taken as this near


Curve = Callable[[FloatArray], FloatArray]  # scores to probabilities


@dataclass(frozen=True, slots=True)
class Past:
    """A decision that was made.

    Args:
        score, boxes: the image's, of a candidate what its mining believes of it, and how many
            boxes were drawn in advance.
        found: the reviewer saw contraband.
        seconds: of work; 0 where the server did not say.
    """

    kind: Kind
    score: float
    boxes: int
    found: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Queued:
    """An item in its place.

    Args:
        probability: that it holds contraband.
        seconds: that its review is expected to take.
    """

    item: ReviewImage
    probability: float
    seconds: float


def order(
    items: Iterable[ReviewImage], past: Iterable[Past], belief: Belief | None = None
) -> tuple[Queued, ...]:
    """The queue, the most expected finds per second first.

    A group comes whole, at the place that its finds per second give it. Of equal ones the higher
    score comes first, then the smaller id, so that a stretch of scores which the calibration
    cannot tell apart keeps their order.

    Args:
        items: of the kinds in `ORDERED`; checks are mixed in at random, never ordered.
        belief: of the candidates' scores, where their mining has one.

    Raises:
        SettingsError: another kind, or a score out of range.
    """
    waiting, decided = tuple(items), tuple(past)
    for item in waiting:
        if item.kind not in ORDERED or not 0 <= item.image_score <= 1:
            raise SettingsError(
                f"{item.image_id}: {item.kind} with score {item.image_score}: needs one of "
                f"{', '.join(ORDERED)}, and a score of 0 to 1"
            )
    chances = probabilities(waiting, decided, belief)
    times = task_seconds(decided)
    groups: dict[str, list[Queued]] = defaultdict(list)
    for item, chance in zip(waiting, chances, strict=True):
        seconds = times[item.kind, min(len(item.drawn), MOST_BOXES)]
        groups[item.group].append(Queued(item, float(chance), seconds))
    ordered = sorted((sorted(group, key=_place) for group in groups.values()), key=_group_place)
    return tuple(queued for group in ordered for queued in group)


def forecast(queue: Sequence[Queued], hours: float, reviewers: int = 1) -> float:
    """Expected finds of the next hours of work on a queue.

    Args:
        hours: of work each; breaks are not counted, as they are not in the tasks' times.

    Raises:
        SettingsError: less than no work.
    """
    if hours < 0 or reviewers < 0:
        raise SettingsError(f"forecast: {hours} hours of {reviewers} reviewers: needs 0 or more")
    spent = np.cumsum([0.0, *(queued.seconds for queued in queue)])  # (N + 1,)
    finds = np.cumsum([0.0, *(queued.probability for queued in queue)])  # (N + 1,)
    return float(np.interp(hours * reviewers * 3600, spent, finds))


def probabilities(
    items: Sequence[ReviewImage], past: Sequence[Past], belief: Belief | None = None
) -> FloatArray:
    """Probability that each item holds contraband, (N,), never falling with the score of a kind.

    What is believed beforehand: of a score, a logistic curve through the decisions of that kind
    (Platt 1999), which without any is what the mining believes of it, or the score itself where
    that believes nothing; of a similarity, the share of candidates
    that hold contraband, (finds + 1/2) / (candidates + 1), where those waiting count by their
    probability: resembling a known positive is worth nothing until decisions say so.

    The n decisions of a kind are then put in sqrt(n) / 4 bins of rising score. A bin's share,
    (finds + PRIOR_DECISIONS × belief) / (decisions + PRIOR_DECISIONS), goes through an isotonic
    regression (Zadrozny and Elkan 2002); between the bins' mean scores it is interpolated. Beyond
    them, where a review in order of score has yet to go, belief goes on from the last bin's share.
    """
    chances = np.zeros(len(items))
    share = 0.5  # of candidates, which come first
    for kind in (Kind.CANDIDATE, Kind.POSITIVE, Kind.DUPLICATE):
        places = [place for place, item in enumerate(items) if item.kind == kind]
        scores = np.array([items[place].image_score for place in places])
        if belief and kind == Kind.CANDIDATE:
            scores = belief.of(scores)
        decided = [each for each in past if each.kind == kind]
        seen = np.array([each.score for each in decided])
        found = np.array([each.found for each in decided], float)
        curve = _flat(share) if kind == Kind.DUPLICATE else _logistic(seen, found)
        chances[places] = _calibrated(scores, curve, seen, found)
        if kind == Kind.CANDIDATE:
            finds = float(chances[places].sum() + found.sum())
            share = (finds + 0.5) / (len(scores) + len(found) + 1)
    return chances


def task_seconds(past: Iterable[Past]) -> dict[tuple[Kind, int], float]:
    """Expected seconds of a task by kind and number of proposals, the last standing for more.

    The mean of the times, breaks cut down, drawn towards the mean of all tasks where they are few:
    (n × mean + PRIOR_TIMES × mean of all) / (n + PRIOR_TIMES).
    """
    timed = [each for each in past if each.seconds > 0]
    times = np.array([max(each.seconds, _LEAST_S) for each in timed])
    times = np.minimum(times, BREAK * np.median(times)) if timed else times
    overall = float(times.mean()) if timed else UNMEASURED_S
    cells: dict[tuple[Kind, int], list[float]] = defaultdict(list)
    for each, seconds in zip(timed, times, strict=True):
        cells[each.kind, min(each.boxes, MOST_BOXES)].append(float(seconds))
    return {
        cell: (sum(cells[cell]) + PRIOR_TIMES * overall) / (len(cells[cell]) + PRIOR_TIMES)
        for cell in ((kind, boxes) for kind in Kind for boxes in range(MOST_BOXES + 1))
    }


def _flat(share: float) -> Curve:
    return lambda scores: np.full(len(scores), share)


def _logistic(scores: FloatArray, found: FloatArray) -> Curve:
    """The likeliest rising curve p = expit(a + b logit(score)).

    Beforehand a and b are normal around 0 and 1, each with standard deviation 1.
    """
    x = logit(scores.clip(_END, 1 - _END))

    def unlikeliness(ab: FloatArray) -> tuple[float, FloatArray]:
        z = ab[0] + ab[1] * x
        off = ab - (0, 1)
        loss = (np.logaddexp(0, z) - found * z).sum() + off @ off / 2
        wrong = expit(z) - found
        return float(loss), np.array([wrong.sum(), wrong @ x]) + off

    bounds = [(None, None), (_LEAST_SLOPE, None)]
    a, b = minimize(unlikeliness, (0.0, 1.0), jac=True, method="L-BFGS-B", bounds=bounds).x
    return lambda s: expit(a + b * logit(s.clip(_END, 1 - _END))).clip(_END**2, 1 - _END**2)


def _calibrated(
    scores: FloatArray, curve: Curve, seen: FloatArray, found: FloatArray
) -> FloatArray:
    """The curve's beliefs about scores, moved to what was found at seen ones."""
    beliefs = curve(scores)
    if not len(seen):
        return beliefs
    parts = np.array_split(np.argsort(seen, kind="stable"), max(1, round(len(seen) ** 0.5 / 4)))
    sizes = np.array([float(len(part)) for part in parts])
    finds, believed, x = (
        np.array([values[part].mean() for part in parts]) for values in (found, curve(seen), seen)
    )
    shares = (sizes * finds + PRIOR_DECISIONS * believed) / (sizes + PRIOR_DECISIONS)
    y = isotonic_regression(shares, weights=sizes + PRIOR_DECISIONS).x
    chances: FloatArray = np.interp(scores, x, y)
    first, last = curve(x[[0, -1]])
    below, above = scores < x[0], scores > x[-1]
    chances[below] = (y[0] * (beliefs / first))[below]
    chances[above] = (y[-1] + (1 - y[-1]) * ((beliefs - last) / (1 - last)))[above]
    return chances


def _place(queued: Queued) -> tuple[float, float, str]:
    item = queued.item
    return -queued.probability / queued.seconds, -item.image_score, item.image_id


def _group_place(group: list[Queued]) -> tuple[float, float, str]:
    finds, seconds = (sum(getattr(q, key) for q in group) for key in ("probability", "seconds"))
    first = min(group, key=lambda q: (-q.item.image_score, q.item.image_id)).item
    return -finds / seconds, -first.image_score, first.image_id
