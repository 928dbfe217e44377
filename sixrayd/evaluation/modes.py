"""The two ways to compute average precision: this project's, and that of RFBNet's `voc_eval`.

Of the legacy way, detections come from weights trained here, whose right and bottom edges are
exclusive; see `legacy`.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.evaluation.average_precision import (
    MeanAveragePrecision,
    Metric,
    mean_average_precision,
)
from sixrayd.evaluation.legacy import Edges, match_legacy, mean_average_precision_legacy
from sixrayd.evaluation.matching import Matches, match

Mode = Literal["modern", "legacy"]
EDGES: Edges = "exclusive"


def mean_in_mode(
    mode: Mode,
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    classes: ClassList,
    metric: Metric = "voc07",
) -> MeanAveragePrecision:
    """Average precision of every class and their mean, at an IoU of 0.5."""
    if mode == "legacy":
        return mean_average_precision_legacy(in_single(detections), truths, classes, EDGES, metric)
    return mean_average_precision(detections, truths, classes, metric=metric)


def match_in_mode(
    mode: Mode,
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    label: int,
    iou: float = 0.5,
) -> Matches:
    """Pair one class's detections with objects; `iou` only serves the modern way."""
    if mode == "legacy":
        return match_legacy(in_single(detections), truths, label, EDGES)
    return match(detections, truths, label, iou)


def in_single(detections: Mapping[str, Detections]) -> dict[str, Detections]:
    """Boxes and scores in single precision, as RFBNet holds them when it writes them down."""
    return {
        image_id: Detections(
            found.xyxy.astype(np.float32),
            found.scores.astype(np.float32),
            found.labels,
            found.excused,
        )
        for image_id, found in detections.items()
    }
