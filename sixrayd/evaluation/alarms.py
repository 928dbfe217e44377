"""What a recall costs on images that hold nothing: false alarms per 1,000 negatives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sixrayd.core.arrays import FloatArray
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.matching import match

_ROUNDING = 1e-9  # so that 0.7 of 10 objects are 7, whichever way the product rounds


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """False alarms at the score where a recall is first reached; NaN where it never is."""

    recall: float  # asked for, share of the objects of all classes
    threshold: float  # a detection of this score or more is an alarm
    images_per_1000: float  # negatives with at least one alarm
    boxes_per_1000: float


def false_alarms(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    negatives: Mapping[str, Detections],
    classes: ClassList,
    recalls: Sequence[float] = (0.7, 0.8, 0.9),
    iou: float = 0.5,
) -> tuple[AlarmRate, ...]:
    """One score threshold over all classes for each recall, and what it lets pass on negatives.

    Args:
        detections: of the images in `truths`.
        negatives: an entry for every image that holds nothing, also those without detections;
            from the same detector with the same lowest score.
        recalls: each above 0 and at most 1.

    Raises:
        SettingsError: a recall is out of range.
        ShapeError: no object counts, there is no negative, or an image has no entry in `truths`.
    """
    if not all(0 < recall <= 1 for recall in recalls):
        raise SettingsError(f"recalls: each must be above 0 and at most 1, got {list(recalls)}")
    if not negatives:
        raise ShapeError("negatives: need at least one image that holds nothing")
    matched = [match(detections, truths, label, iou) for label in range(len(classes))]
    positives = sum(found.positives for found in matched)
    if positives == 0:
        raise ShapeError(f"truths: no object of {', '.join(classes.names)} counts")
    hits = np.sort(np.concatenate([found.scores[found.right] for found in matched]))[::-1]  # (H,)
    alarms = [
        np.asarray(found.scores[found.labels < len(classes)], np.float64)
        for found in negatives.values()
    ]
    highest = np.array([scores.max(initial=-math.inf) for scores in alarms])  # (images,)
    boxes = np.concatenate(alarms)
    return tuple(_rate(recall, hits, positives, highest, boxes) for recall in recalls)


def _rate(
    recall: float, hits: FloatArray, positives: int, highest: FloatArray, boxes: FloatArray
) -> AlarmRate:
    needed = math.ceil(recall * positives - _ROUNDING)
    if needed > len(hits):
        return AlarmRate(recall, math.nan, math.nan, math.nan)
    threshold = float(hits[needed - 1])
    scale = 1000 / len(highest)
    return AlarmRate(
        recall,
        threshold,
        float((highest >= threshold).sum() * scale),
        float((boxes >= threshold).sum() * scale),
    )
