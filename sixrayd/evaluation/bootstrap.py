"""How sure a difference in mean average precision is: a bootstrap over near-duplicate groups.

Images of one group are nearly the same scan, so groups are drawn, not images. All systems are
scored on the same draws; their differences vary less than their values. A system is matched once.
A draw is a whole number of copies of each group, and average precision under copies is a matter
of weighted running sums.

The intervals speak of the choice of test images alone: not of training anew with another seed.
They need not have the value in their middle. Copies of an image bring copies of its scores, which
lifts the best precision at a recall a little; and VOC 2007's eleven points jump when the recall of
a class crosses a tenth. Where the two metrics disagree on a decision, trust VOC 2010's.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, Sec. 13.3 (percentiles).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sixrayd.core.arrays import BoolArray, FloatArray, IntArray
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.average_precision import Metric, require_metric
from sixrayd.evaluation.matching import Matches, count_positives, difficult_of
from sixrayd.evaluation.modes import Mode, match_in_mode

_MOST_CELLS = 4_000_000  # of one array of running sums, 32 MB


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """How to draw and decide.

    Raises:
        SettingsError: a value is out of range.
    """

    resamples: int = 1000
    confidence: float = 0.95  # of the two-sided intervals and of the one-sided bound
    margin: float = 0.005  # of mean AP as a fraction; declared before the run
    seed: int = 0
    metric: Metric = "voc07"
    iou: float = 0.5  # of the modern mode; RFBNet's has its own
    mode: Mode = "modern"

    def __post_init__(self) -> None:
        require_metric(self.metric)
        if self.resamples < 1 or not 0 < self.confidence < 1 or self.margin < 0:
            raise SettingsError(
                f"bootstrap: needs resamples >= 1, 0 < confidence < 1 and margin >= 0, got "
                f"{self.resamples}, {self.confidence} and {self.margin}"
            )


@dataclass(frozen=True, slots=True)
class Interval:
    """A value on the images as they are, and the percentiles of it over the draws."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A system's mean average precision less the reference's."""

    interval: Interval
    lower_bound: float  # one-sided
    non_inferior: bool  # the lower bound is above minus the margin


@dataclass(frozen=True, slots=True)
class SystemInterval:
    """One system among those compared."""

    name: str
    mean: Interval  # average precision, 0..1
    difference: Difference | None  # none for the reference itself


def paired_bootstrap(
    systems: Mapping[str, Mapping[str, Detections]],
    truths: Mapping[str, Truths],
    groups: Mapping[str, str],
    classes: ClassList,
    reference: str,
    settings: BootstrapSettings | None = None,
) -> tuple[SystemInterval, ...]:
    """Intervals of every system's mean average precision and of its lead over the reference.

    Args:
        systems: by name, detections by image id.
        truths: an entry for every image; these are what is drawn from.
        groups: the near-duplicate group of every image in `truths`.
        reference: one of the systems.

    Raises:
        SettingsError: the reference is not among the systems.
        ShapeError: an image has no group or no truth, or no object counts.
    """
    settings = settings or BootstrapSettings()
    if reference not in systems:
        raise SettingsError(f"reference {reference!r}: must be one of {', '.join(systems)}")
    if not any(count_positives(truths, label) for label in range(len(classes))):
        raise ShapeError(f"truths: no object of {', '.join(classes.names)} in {len(truths)} images")
    weights = _draw(len(group_names(truths, groups)), settings.resamples, settings.seed)
    means = {
        name: weighted_means(found, truths, groups, classes, weights, settings)
        for name, found in systems.items()
    }  # (R + 1,) each
    return tuple(
        SystemInterval(
            name,
            _interval(values, settings.confidence),
            None if name == reference else _compare(values - means[reference], settings),
        )
        for name, values in means.items()
    )


def weighted_means(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    groups: Mapping[str, str],
    classes: ClassList,
    weights: IntArray,
    settings: BootstrapSettings,
) -> FloatArray:
    """Mean average precision of one system as if groups occurred several times or not at all.

    Equal scores stand as in `match`, all copies of a detection beside each other.

    Args:
        weights: (R, G) copies of each group, in the order of `group_names`; integers of any kind.

    Returns:
        (R,) over the classes that then occur; NaN where none does.

    Raises:
        ShapeError: an image has no group or no truth, or the weights fit other groups.
    """
    names = group_names(truths, groups)
    if weights.ndim != 2 or weights.shape[1] != len(names):
        raise ShapeError(f"weights: need (R, {len(names)}) for as many groups, got {weights.shape}")
    number = {name: n for n, name in enumerate(names)}
    place = {image_id: number[groups[image_id]] for image_id in truths}
    curves = [
        _Curve.of(
            match_in_mode(settings.mode, detections, truths, label, settings.iou),
            truths,
            label,
            place,
        )
        for label in range(len(classes))
    ]
    step = max(1, _MOST_CELLS // max(1, *(len(curve.hits) for curve in curves)))
    parts = [
        _mean_of_classes(curves, weights[start : start + step].astype(np.int64), settings)
        for start in range(0, len(weights), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def group_names(truths: Mapping[str, Truths], groups: Mapping[str, str]) -> list[str]:
    """The near-duplicate groups of the images that have a truth, sorted.

    Raises:
        ShapeError: an image has no group.
    """
    missing = sorted(set(truths) - set(groups))
    if missing:
        raise ShapeError(f"groups: {len(missing)} images have none, first {missing[0]}")
    return sorted({groups[image_id] for image_id in truths})


def _draw(groups: int, resamples: int, seed: int) -> IntArray:
    """(R + 1, G) copies of each group: row 0 holds every group once, the others are drawn.

    Copies are few: bytes hold them, unless one of the draws is beyond all odds.
    """
    rng = np.random.default_rng(seed)
    chances = np.full(groups, 1 / groups)
    copies: IntArray = np.ones((resamples + 1, groups), np.uint8)
    step = max(1, _MOST_CELLS // groups)
    for start in range(1, resamples + 1, step):
        drawn = rng.multinomial(groups, chances, size=min(step, resamples + 1 - start))
        if drawn.max() > np.iinfo(copies.dtype).max:
            copies = copies.astype(np.int64)
        copies[start : start + step] = drawn
    return copies


@dataclass(frozen=True, slots=True)
class _Curve:
    """One class's detections of a system, cut into H stretches that each end in a right one.

    Only there can precision be at its best for its recall, so nothing between is kept.
    """

    hits: IntArray  # (H,) group of the right detection
    stretches: sparse.csr_array  # (G, H) detections that count, by group and stretch
    positives: IntArray  # (G,) objects that count

    @classmethod
    def of(
        cls, matches: Matches, truths: Mapping[str, Truths], label: int, place: Mapping[str, int]
    ) -> "_Curve":
        groups = max(place.values(), default=-1) + 1
        kept = ~matches.ignored
        right = matches.right[kept]  # (D',)
        group = np.array([place[i] for i in matches.image_ids], np.int64)[kept]  # (D',)
        stretch: IntArray = np.cumsum(right) - right  # (D',)
        inside = stretch < right.sum()  # what follows the last right one changes nothing
        table = sparse.csr_array(
            (np.ones(int(inside.sum()), np.int64), (group[inside], stretch[inside])),
            shape=(groups, int(right.sum())),
        )
        positives = np.zeros(groups, np.int64)
        for image_id, truth in truths.items():
            counting = (truth.labels == label) & ~difficult_of(truth)
            positives[place[image_id]] += int(counting.sum())
        return cls(group[right], table, positives)

    def average_precision(self, weights: IntArray, settings: BootstrapSettings) -> FloatArray:
        """(R,) under (R, G) copies; NaN where no object counts."""
        positives = weights @ self.positives  # (R,)
        if len(self.hits) == 0:
            return np.where(positives > 0, 0.0, np.nan)
        gained = weights[:, self.hits]  # (R, H)
        hits = np.cumsum(gained, axis=1)
        shown = np.cumsum((self.stretches.T @ weights.T).T, axis=1)
        precision = hits / np.maximum(shown, 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # (R, H)
        if settings.metric == "voc10":
            total = (gained * best).sum(axis=1)
        else:
            total = _eleven_points(hits, best, positives, settings.mode) * positives
        values: FloatArray = np.full(len(total), np.nan)
        np.divide(total, positives, out=values, where=positives > 0)
        return values


def _eleven_points(hits: IntArray, best: FloatArray, positives: IntArray, mode: Mode) -> FloatArray:
    """(R,) mean of the best precision at recall 0, 0.1 … 1 or more."""
    rows = np.arange(len(hits))
    total = np.zeros(len(hits))
    for short in _short_of(hits, positives[:, None], mode):
        first = short.sum(axis=1)  # (R,)
        reached = first < hits.shape[1]
        total[reached] += best[rows[reached], first[reached]]
    return total / 11


def _short_of(hits: IntArray, positives: IntArray, mode: Mode) -> Iterator[BoolArray]:
    """(R, H) of each of the eleven points, whether its recall is not reached yet.

    In whole numbers, or in the legacy mode against RFBNet's, some of which are a rounding high.
    """
    if mode == "legacy":
        recall = hits / np.maximum(positives, 1)
        yield from (recall < point for point in np.arange(0.0, 1.1, 0.1))
    else:
        yield from (hits * 10 < tenth * positives for tenth in range(11))


def _mean_of_classes(
    curves: list[_Curve], weights: IntArray, settings: BootstrapSettings
) -> FloatArray:
    values = np.stack([curve.average_precision(weights, settings) for curve in curves])  # (K, R)
    present = ~np.isnan(values)
    total, count = np.where(present, values, 0.0).sum(axis=0), present.sum(axis=0)
    mean: FloatArray = np.full(len(weights), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _interval(values: FloatArray, confidence: float) -> Interval:
    # A draw without any object has no value; it can only occur where objects are very few.
    low, high = np.nanquantile(values[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values[0]), float(low), float(high))


def _compare(difference: FloatArray, settings: BootstrapSettings) -> Difference:
    lower = float(np.nanquantile(difference[1:], 1 - settings.confidence))
    interval = _interval(difference, settings.confidence)
    return Difference(interval, lower, lower > -settings.margin)
