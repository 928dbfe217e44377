"""PASCAL VOC's average precision: of eleven points (2007) or of the whole curve (from 2010)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sixrayd.core.arrays import FloatArray
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.matching import Matches, match

Metric = Literal["voc07", "voc10"]


@dataclass(frozen=True, slots=True)
class ClassResult:
    """How well one class is found."""

    label: str
    average_precision: float  # 0..1; NaN where no object of the class counts
    positives: int
    detections: int


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """Average precision by class, in the order of the class list."""

    mean: float  # over the classes that occur
    classes: tuple[ClassResult, ...]


def precision_recall(matches: Matches) -> tuple[FloatArray, FloatArray]:
    """Precision and recall after each detection that is not ignored.

    Returns:
        (D',) precision, (D',) recall, both 0..1; recall is NaN where nothing counts.
    """
    right = matches.right[~matches.ignored]
    hits = np.cumsum(right)  # (D',)
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / matches.positives if matches.positives else np.full(len(hits), np.nan)
    return precision, recall


def average_precision_voc07(matches: Matches) -> float:
    """Mean over recall 0, 0.1 … 1 of the best precision at that recall or more.

    Returns:
        0..1, or NaN where no object counts.

    Source: Everingham et al. 2010, The PASCAL VOC Challenge, Sec. 4.2, Eq. (1) and (2).
    """
    if matches.positives == 0:
        return float("nan")
    precision, _ = precision_recall(matches)
    hits = np.cumsum(matches.right[~matches.ignored])
    points = []
    for tenth in range(11):
        # In whole numbers: 0.1 * 3 is more than 0.3, which would lose the point at 3 of 10.
        reached = precision[hits * 10 >= tenth * matches.positives]
        points.append(reached.max() if len(reached) else 0.0)
    return float(np.mean(points))


def average_precision_voc10(matches: Matches) -> float:
    """Area under the precision-recall curve once no precision is below a later one.

    Returns:
        0..1, or NaN where no object counts.

    Source: The PASCAL VOC 2010 development kit, Sec. 3.4.1, Average Precision.
    """
    if matches.positives == 0:
        return float("nan")
    precision, _ = precision_recall(matches)
    best = np.maximum.accumulate(precision[::-1])[::-1]  # (D',)
    # Recall rises by one object at each right detection and nowhere else.
    return float(best[matches.right[~matches.ignored]].sum() / matches.positives)


def average_precision(matches: Matches, metric: Metric) -> float:
    """Average precision by either definition.

    Raises:
        SettingsError: the metric is unknown.
    """
    require_metric(metric)
    if metric == "voc07":
        return average_precision_voc07(matches)
    return average_precision_voc10(matches)


def require_metric(metric: str) -> None:
    """Refuse an unknown metric.

    Raises:
        SettingsError: it is none of `Metric`.
    """
    if metric not in get_args(Metric):
        raise SettingsError(f"metric {metric!r}: must be one of {', '.join(get_args(Metric))}")


def mean_average_precision(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    classes: ClassList,
    iou: float = 0.5,
    metric: Metric = "voc07",
) -> MeanAveragePrecision:
    """Average precision of every class and their mean, by image id.

    Raises:
        SettingsError: the metric is unknown.
        ShapeError: no object of any class counts, or an image has no entry in `truths`.
    """
    results = []
    for number, label in enumerate(classes.names):
        found = match(detections, truths, number, iou)
        value = average_precision(found, metric)
        results.append(ClassResult(label, value, found.positives, len(found.scores)))
    return mean_over_classes(results, len(truths))


def mean_over_classes(results: Sequence[ClassResult], images: int) -> MeanAveragePrecision:
    """The mean of the classes that occur.

    Args:
        images: looked at, for the message.

    Raises:
        ShapeError: no object of any class counts.
    """
    present = [result.average_precision for result in results if result.positives]
    if not present:
        labels = ", ".join(result.label for result in results)
        raise ShapeError(f"truths: no object of {labels} in {images} images")
    return MeanAveragePrecision(float(np.mean(present)), tuple(results))
