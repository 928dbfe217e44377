"""COCO's average precision, by the evaluator faster-coco-eval.

COCO knows one kind of object that is neither missed nor found, the crowd, so difficult objects
are handed over as crowds: any number of detections may fall on one without cost, as in VOC. What
differs from VOC is how far a detection must overlap it: COCO divides by the detection's own area
in place of the union, and an object that counts is preferred to a difficult one.

Sizes are COCO's, in pixels of the image: below 32 x 32, below 96 x 96, and above.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sixrayd.core.arrays import FloatArray
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import ShapeError
from sixrayd.core.extras import import_extra
from sixrayd.evaluation.matching import difficult_of, require_truths


@dataclass(frozen=True, slots=True)
class CocoResult:
    """Means over the classes that occur, 0..1; NaN where no object counts."""

    ap: float  # over IoU 0.50, 0.55 … 0.95
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    class_ap: tuple[float, ...]  # over the IoUs, in the order of the class list


def coco_average_precision(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    classes: ClassList,
    most: int = 100,
) -> CocoResult:
    """COCO's figures for one detector.

    Args:
        most: detections of a class kept in each image, those of the highest scores.

    Raises:
        ShapeError: an image has no entry in `truths`, or detections are excused, which COCO's
            evaluator cannot take over.
        ServiceError: the evaluator is not installed.
    """
    require_truths(detections, truths)
    excused = sorted(i for i, d in detections.items() if d.excused is not None and d.excused.any())
    if excused:
        raise ShapeError(
            f"coco: {excused[0]} has excused detections; use VOC's metrics for strata, "
            "or COCO's own sizes"
        )
    numbers = {image_id: number for number, image_id in enumerate(sorted(truths), start=1)}
    library = import_extra("faster_coco_eval", "benchmark")
    truth_set = library.COCO(_truth_table(truths, numbers, classes))
    found_set = truth_set.loadRes(_detection_rows(detections, numbers, len(classes)))
    evaluator = library.COCOeval_faster(truth_set, found_set, iouType="bbox")
    evaluator.params.maxDets = [most]
    evaluator.evaluate()
    evaluator.accumulate()
    precision = evaluator.eval["precision"][..., 0]  # (IoU, recall, class, size), -1 for none
    sizes = list(evaluator.params.areaRngLbl)
    whole = precision[..., sizes.index("all")]  # (IoU, recall, class)
    ious = np.asarray(evaluator.params.iouThrs)
    return CocoResult(
        ap=_mean(whole),
        ap50=_mean(whole[np.isclose(ious, 0.5)]),
        ap75=_mean(whole[np.isclose(ious, 0.75)]),
        ap_small=_mean(precision[..., sizes.index("small")]),
        ap_medium=_mean(precision[..., sizes.index("medium")]),
        ap_large=_mean(precision[..., sizes.index("large")]),
        class_ap=tuple(_mean(whole[:, :, number]) for number in range(len(classes))),
    )


def _mean(values: FloatArray) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else float("nan")


def _truth_table(
    truths: Mapping[str, Truths], numbers: Mapping[str, int], classes: ClassList
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for image_id, truth in truths.items():
        columns = zip(
            _xywh(truth.xyxy), truth.labels.tolist(), difficult_of(truth).tolist(), strict=True
        )
        for box, label, difficult in columns:
            if label < len(classes):
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "image_id": numbers[image_id],
                        "category_id": label + 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": int(difficult),
                    }
                )
    return {
        "images": [{"id": number} for number in numbers.values()],
        "annotations": rows,
        "categories": [{"id": n, "name": name} for n, name in enumerate(classes.names, start=1)],
    }


def _detection_rows(
    detections: Mapping[str, Detections], numbers: Mapping[str, int], classes: int
) -> list[dict[str, Any]]:
    return [
        {"image_id": numbers[image_id], "category_id": label + 1, "bbox": box, "score": score}
        for image_id in sorted(detections)
        for found in [detections[image_id]]
        for box, label, score in zip(
            _xywh(found.xyxy), found.labels.tolist(), found.scores.tolist(), strict=True
        )
        if label < classes
    ]


def _xywh(xyxy: FloatArray) -> list[list[float]]:
    boxes = xyxy.astype(np.float64)
    rows: list[list[float]] = np.concatenate(
        [boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1
    ).tolist()
    return rows
