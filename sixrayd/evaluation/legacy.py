"""Average precision as RFBNet's `voc_eval` computes it, to the digit.

What differs from `average_precision`: a match needs an IoU above 0.5, sides are one pixel longer
than their coordinates differ, detections pass through a text file that keeps three decimals of
the score and one of each edge, equal scores stand in the order that NumPy's unstable sort leaves
them, and the eleven thresholds carry the rounding of `np.arange(0, 1.1, 0.1)`.

Coordinates. RFBNet compares 1-based pixels whose right and bottom edges are inclusive, as the XML
holds them. Of a truth box here (0-based, exclusive) these are (x1 + 1, y1 + 1, x2, y2). RFBNet
adds 1 to all four edges of a detection, having learnt from XML minus 1: the edges its network
gives are inclusive. Detections of such weights are `edges="inclusive"`. Weights trained here
learn exclusive edges; `edges="exclusive"` adds 1 to the left and top alone, and the boxes are
then compared as they are meant. Reading exclusive edges as inclusive makes each box a pixel too
wide and too high, which costs a few matches near the threshold.

Source: github.com/GOATmessi8/RFBNet, `data/voc_eval.py` and `data/voc0712.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import numpy as np

from sixrayd.core.arrays import BoolArray, FloatArray, IntArray
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError
from sixrayd.evaluation.average_precision import (
    ClassResult,
    MeanAveragePrecision,
    Metric,
    average_precision_voc10,
    mean_over_classes,
    precision_recall,
    require_metric,
)
from sixrayd.evaluation.matching import (
    Matches,
    count_positives,
    difficult_of,
    excused_of,
    require_truths,
)

Edges = Literal["inclusive", "exclusive"]
_LEAST_IOU = 0.5


def mean_average_precision_legacy(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    classes: ClassList,
    edges: Edges = "inclusive",
    metric: Metric = "voc07",
) -> MeanAveragePrecision:
    """Average precision of every class and their mean, as RFBNet's test prints them.

    A class that does not occur has no value and is left out of the mean; `voc_eval` calls it 0.
    One that occurs and is never detected is 0, where `voc_eval` stops.

    Args:
        detections: in each image in the order the detector gives them.
        truths: in the order of the image set's file, which orders equal scores.
        edges: what the right and bottom edges of the detections are, see above.

    Raises:
        SettingsError: the edges or the metric are unknown.
        ShapeError: no object of any class counts, or an image has no entry in `truths`.
    """
    require_metric(metric)
    results = []
    for number, label in enumerate(classes.names):
        found = match_legacy(detections, truths, number, edges)
        if metric == "voc07":
            value = average_precision_legacy(found)
        else:
            value = average_precision_voc10(found)
        results.append(ClassResult(label, value, found.positives, len(found.scores)))
    return mean_over_classes(results, len(truths))


def average_precision_legacy(matches: Matches) -> float:
    """Mean precision of eleven points, some of which lie a rounding above their tenth.

    Returns:
        0..1, or NaN where no object counts.
    """
    if matches.positives == 0:
        return float("nan")
    precision, recall = precision_recall(matches)
    total = 0.0
    for threshold in np.arange(0.0, 1.1, 0.1):
        reached = precision[recall >= threshold]
        total += float(reached.max() if len(reached) else 0.0) / 11.0
    return total


def match_legacy(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    label: int,
    edges: Edges = "inclusive",
) -> Matches:
    """Pair one class's detections with objects as `voc_eval` does; arguments as above.

    Raises:
        SettingsError: the edges are unknown.
        ShapeError: an image has detections but no entry in `truths`.
    """
    require_truths(detections, truths)
    if edges not in get_args(Edges):
        raise SettingsError(f"edges {edges!r}: must be one of {', '.join(get_args(Edges))}")
    ids: list[str] = []
    parts = []
    for image_id in truths:
        found = detections.get(image_id)
        rows = np.zeros(0, int) if found is None else np.flatnonzero(found.labels == label)
        if found is not None and len(rows):
            ids += [image_id] * len(rows)
            parts.append(_compare_image(found, rows, truths[image_id], label, edges))
    kinds = (np.float64, np.int64, np.float64, np.bool_, np.bool_)
    scores, best, overlap, hard, excused = (
        np.concatenate([part[k] for part in parts]) if parts else np.zeros(0, kind)
        for k, kind in enumerate(kinds)
    )
    order = np.argsort(-scores)  # not stable, as in the original: equal scores stand as there
    met = overlap > _LEAST_IOU
    taken: set[tuple[str, int]] = set()
    right = np.zeros(len(order), bool)
    for row in order[(met & ~hard)[order]]:
        target = (ids[row], int(best[row]))
        right[row] = target not in taken
        taken.add(target)
    ignored = np.where(met, hard, excused)
    ordered_ids = tuple(ids[row] for row in order)
    positives = count_positives(truths, label)
    return Matches(scores[order], right[order], ignored[order], positives, ordered_ids)


def result_lines(
    detections: Mapping[str, Detections], label: int, edges: Edges = "inclusive"
) -> Iterator[str]:
    """One class's detections as the text that `voc_eval` reads: image, score, four edges.

    Args:
        detections: images in the order of the image set's file.
    """
    for image_id, found in detections.items():
        rows = np.flatnonzero(found.labels == label)
        scores, boxes = _as_results(found, rows, edges)
        for score, box in zip(scores.tolist(), boxes.tolist(), strict=True):
            yield f"{image_id} {score:.3f} {' '.join(f'{edge:.1f}' for edge in box)}\n"


def _as_results(found: Detections, rows: IntArray, edges: Edges) -> tuple[FloatArray, FloatArray]:
    """(D,) scores and (D, 4) boxes, 1-based, as the text holds them."""
    shift = (1, 1, 1, 1) if edges == "inclusive" else (1, 1, 0, 0)
    boxes = found.xyxy[rows]
    return (
        _as_written(found.scores[rows], 3),
        _as_written(boxes + np.array(shift, boxes.dtype), 1),
    )


def _compare_image(
    found: Detections, rows: IntArray, truth: Truths, label: int, edges: Edges
) -> tuple[FloatArray, IntArray, FloatArray, BoolArray, BoolArray]:
    """Of each row its score, best object, IoU with it, whether that is difficult, and excuse."""
    scores, boxes = _as_results(found, rows, edges)
    excused = excused_of(found)[rows]
    of_class = truth.labels == label
    if not of_class.any():
        return (
            scores,
            np.zeros(len(rows), int),
            np.zeros(len(rows)),
            np.zeros_like(excused),
            excused,
        )
    objects = truth.xyxy[of_class].astype(np.float64) + np.array([1, 1, 0, 0])  # (M, 4)
    overlap = _iou_inclusive(boxes, objects)  # (D, M)
    best = overlap.argmax(axis=1)
    return scores, best, overlap.max(axis=1), difficult_of(truth)[of_class][best], excused


def _as_written(values: FloatArray, decimals: int) -> FloatArray:
    # Python's own rounding is that of its formatting; NumPy's differs in the last place.
    rounded = [round(value, decimals) for value in values.ravel().tolist()]
    return np.array(rounded, np.float64).reshape(values.shape)


def _iou_inclusive(first: FloatArray, second: FloatArray) -> FloatArray:
    """IoU of (N, 4) and (M, 4) boxes whose right and bottom pixels belong to them, (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])  # (N, M, 2)
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])  # (N, M, 2)
    inter = np.maximum(high - low + 1.0, 0.0).prod(axis=2)  # (N, M)
    areas = [(b[:, 2:] - b[:, :2] + 1.0).prod(axis=1) for b in (first, second)]
    overlap: FloatArray = inter / (areas[0][:, None] + areas[1][None, :] - inter)
    return overlap
