"""How far reviewers agree, by several coefficients, since each alone can mislead.

Where contraband is rare, two reviewers who agree on nearly every image can have a kappa near 0;
positive and negative agreement show why, and AC1 is moved less (Feinstein and Cicchetti 1990,
J. Clin. Epidemiol. 43:543-549; Gwet 2008).

All functions of counts take (N, K): how many reviewers put each of N images in each of K
categories; rows need not have equal sums. `copies` is (R, N), how often each image counts, which
a bootstrap draws; the result is (R,), NaN where the coefficient is not defined.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.bootstrap import Interval

_MOST_CELLS = 4_000_000  # of one array of draws, 32 MB


def percent_agreement(counts: IntArray, copies: FloatArray) -> FloatArray:
    """(R,) mean over images of the share of pairs of their reviewers who agree.

    Source: Fleiss 1971, Psychol. Bull. 76:378-382; with gaps, images that two or more answered:
    Gwet 2014, Handbook of Inter-Rater Reliability, 4th ed.
    """
    agreeing, pairs = _pairs(counts)
    shared = pairs > 0
    share = np.divide(agreeing.sum(axis=1), pairs, out=np.zeros(len(pairs)), where=shared)
    return _ratio(copies @ share, copies @ shared)


def specific_agreement(counts: IntArray, category: int, copies: FloatArray) -> FloatArray:
    """(R,) of a reviewer's answers in a category, the share that another's answer agrees with.

    Positive and negative agreement are those of the two sides; of two reviewers 2a / (2a + b + c).

    Source: Cicchetti and Feinstein 1990, J. Clin. Epidemiol. 43:551-558; of several, with gaps,
    over ordered pairs of reviewers: Uebersax 1982, J. Psychiatr. Res. 17:335-342.
    """
    agreeing, _ = _pairs(counts)
    possible = counts[:, category] * (counts.sum(axis=1) - 1)  # (N,)
    return _ratio(copies @ agreeing[:, category], copies @ possible)


def cohen_kappa(first: IntArray, second: IntArray, copies: FloatArray) -> FloatArray:
    """(R,) agreement of two reviewers beyond chance, each with habits of his own.

    Args:
        first: (N,) categories, from 0.
        second: (N,)

    Raises:
        ShapeError: not two answers an image.

    Source: Cohen 1960, Educ. Psychol. Meas. 20:37-46.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ShapeError(f"kappa: need (N,) twice, got {first.shape} and {second.shape}")
    number = copies.sum(axis=1)  # (R,)
    categories = np.arange(max(first.max(initial=0), second.max(initial=0)) + 1)
    one, two = (copies @ (said[:, None] == categories) for said in (first, second))  # (R, K)
    chance = _ratio((one * two).sum(axis=1), number**2)
    return _beyond(_ratio(copies @ (first == second), number), chance)


def fleiss_kappa(counts: IntArray, copies: FloatArray) -> FloatArray:
    """(R,) agreement of several reviewers beyond chance, all with the same habits.

    Without gaps it is -1 at least. With gaps chance is taken of all images and agreement of those
    that two or more answered; where these are too few, or unlike the others, for the two to be of
    one thing it would fall below, and is not defined.

    Source: Fleiss 1971, Psychol. Bull. 76:378-382; with gaps: Gwet 2014, as `percent_agreement`.
    """
    chance = (_prevalence(counts, copies) ** 2).sum(axis=1)
    kappa = _beyond(percent_agreement(counts, copies), chance)
    return np.where(kappa < -1 - 1e-12, np.nan, kappa)


def krippendorff_alpha(counts: IntArray, copies: FloatArray) -> FloatArray:
    """(R,) 1 less observed over expected disagreement of answers to images with two or more.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, Sec. C.
    """
    agreeing, _ = _pairs(counts)
    answers = counts.sum(axis=1)  # (N,)
    pairable = counts * (answers > 1)[:, None]  # (N, K)
    coincident = copies @ (agreeing.sum(axis=1) / np.maximum(answers - 1, 1))  # (R,)
    of_category = copies @ pairable  # (R, K)
    total = of_category.sum(axis=1)
    differing = total**2 - (of_category**2).sum(axis=1)
    return 1 - _ratio((total - 1) * (total - coincident), differing)


def gwet_ac1(counts: IntArray, copies: FloatArray) -> FloatArray:
    """(R,) agreement beyond that of answers given at random, which is rare at low prevalence.

    Source: Gwet 2008, Br. J. Math. Stat. Psychol. 61:29-48; with gaps: Gwet 2014.
    """
    observed = percent_agreement(counts, copies)
    prevalence = _prevalence(counts, copies)  # (R, K)
    chance = (prevalence * (1 - prevalence)).sum(axis=1) / (counts.shape[1] - 1)
    return _beyond(observed, chance)


def mean_iou(overlaps: FloatArray, objects: IntArray, copies: FloatArray) -> FloatArray:
    """(R,) mean IoU of the things that two reviewers box, 0 for one that only one of them boxed.

    Args:
        overlaps: (N,) sum of IoU over an image's matched boxes.
        objects: (N,) its pairs of matched boxes and its unmatched boxes.
    """
    return _ratio(copies @ overlaps, copies @ objects)


def cluster_bootstrap(
    statistics: Callable[[FloatArray], Sequence[FloatArray]],
    groups: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> list[Interval | None]:
    """Percentile intervals of several statistics over the same draws of whole groups of images.

    They are too narrow where groups or disagreements are few: with no disagreement at all they
    shrink to a point. Draws in which a statistic is not defined are left out.

    Args:
        statistics: (R, N) copies of each image → each statistic (R,).
        groups: (N,) near-duplicate group of each image; groups are drawn with replacement.

    Returns:
        None for a statistic that is not defined on the images as they are.

    Raises:
        SettingsError: resamples or confidence are out of range.

    Source: Field and Welsh 2007, J. R. Stat. Soc. B 69:369-390 (cluster bootstrap); Efron and
    Tibshirani 1993, An Introduction to the Bootstrap, Sec. 13.3 (percentiles).
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise SettingsError(
            f"bootstrap: needs resamples >= 1 and 0 < confidence < 1, got {resamples} and "
            f"{confidence}"
        )
    names, place = np.unique(np.asarray(groups, str), return_inverse=True)  # (G,), (N,)
    values = statistics(np.ones((1, len(place))))
    if len(names) == 0:
        return [None for _ in values]
    rng, step = np.random.default_rng(seed), max(1, _MOST_CELLS // len(place))
    even = np.full(len(names), 1 / len(names))
    drawn = [
        statistics(rng.multinomial(len(names), even, rows)[:, place].astype(np.float64))
        for rows in (min(step, resamples - start) for start in range(0, resamples, step))
    ]
    sides = [(1 - confidence) / 2, (1 + confidence) / 2]
    return [
        _interval(float(value[0]), np.concatenate(parts), sides)
        for value, *parts in zip(values, *drawn, strict=True)
    ]


def _interval(value: float, drawn: FloatArray, sides: Sequence[float]) -> Interval | None:
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or len(drawn) == 0:
        return None
    low, high = np.quantile(drawn, sides)
    return Interval(value, float(low), float(high))


def _pairs(counts: IntArray) -> tuple[IntArray, IntArray]:
    """Ordered pairs of reviewers of each image: (N, K) who agree on a category, (N,) in all."""
    if counts.ndim != 2 or counts.shape[1] < 2:
        raise ShapeError(f"agreement: need counts (N, K>=2), got {counts.shape}")
    answers = counts.sum(axis=1)  # (N,)
    return counts * (counts - 1), answers * (answers - 1)


def _prevalence(counts: IntArray, copies: FloatArray) -> FloatArray:
    """(R, K) mean over answered images of the share of answers in each category."""
    answers = counts.sum(axis=1)  # (N,)
    share = counts / np.maximum(answers, 1)[:, None]  # (N, K)
    return _ratio(copies @ share, (copies @ (answers > 0))[:, None])


def _beyond(observed: FloatArray, chance: FloatArray) -> FloatArray:
    return _ratio(observed - chance, 1 - chance)


def _ratio(above: FloatArray | IntArray, below: FloatArray | IntArray) -> FloatArray:
    """Above / below, NaN where that is 0 / 0 but for rounding."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), below)
    ratio: FloatArray = np.full(above.shape, np.nan)
    return np.divide(above, below, out=ratio, where=np.abs(below) > 1e-12)
