"""VOC 2007's average precision: the mean of eleven points of the precision-recall curve."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sixrayd.core.boxes import FloatArray
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ShapeError
from sixrayd.evaluation.matching import Detections, Matches, Truths, match


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


def mean_average_precision(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    classes: ClassList,
    iou: float = 0.5,
) -> MeanAveragePrecision:
    """VOC 2007 average precision of every class and their mean, by image id.

    Raises:
        ShapeError: no object of any class counts, or an image has no entry in `truths`.
    """
    results = []
    for number, label in enumerate(classes.names):
        found = match(detections, truths, number, iou)
        results.append(
            ClassResult(label, average_precision_voc07(found), found.positives, len(found.scores))
        )
    present = [r.average_precision for r in results if r.positives]
    if not present:
        raise ShapeError(f"truths: no object of {', '.join(classes.names)} in {len(truths)} images")
    return MeanAveragePrecision(float(np.mean(present)), tuple(results))
