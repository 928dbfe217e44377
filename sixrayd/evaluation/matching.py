"""Which detections are right: greedy matching within a class, as PASCAL VOC does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sixrayd.core.arrays import BoolArray, FloatArray, IntArray
from sixrayd.core.boxes import iou_matrix
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import ShapeError


@dataclass(frozen=True, slots=True)
class Matches:
    """One class's detections over all images, by falling score; equal scores by image id."""

    scores: FloatArray  # (D,)
    right: BoolArray  # (D,) first to meet an object that counts
    ignored: BoolArray  # (D,) met a difficult object, or excused: neither right nor wrong
    positives: int  # objects that count
    image_ids: tuple[str, ...] = field(repr=False)  # (D,)


def match(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    label: int,
    iou: float = 0.5,
) -> Matches:
    """Pair one class's detections with objects.

    In order of score, each detection goes to the object of its class and image with which it
    overlaps most. It is right if they overlap by `iou` or more and the object was not taken.

    Args:
        truths: needs an entry for every image, also for those that hold nothing.

    Raises:
        ShapeError: an image has detections but no entry in `truths`.

    Source: Everingham et al. 2010, The PASCAL VOC Challenge, Sec. 4.2.2.
    """
    require_truths(detections, truths)
    ids: list[str] = []
    parts = []
    for image_id in sorted(detections):
        found = detections[image_id]
        rows = np.flatnonzero(found.labels == label)  # (D_i,)
        if len(rows):
            parts.append(_match_image(found, rows, truths[image_id], label, iou))
            ids += [image_id] * len(rows)
    scores, right, ignored = (
        np.concatenate([part[k] for part in parts]) if parts else np.zeros(0, kind)
        for k, kind in enumerate((np.float64, np.bool_, np.bool_))
    )
    order = np.argsort(-scores, kind="stable")
    ordered_ids = tuple(ids[row] for row in order)
    positives = count_positives(truths, label)
    return Matches(scores[order], right[order], ignored[order], positives, ordered_ids)


def require_truths(detections: Mapping[str, Detections], truths: Mapping[str, Truths]) -> None:
    """Refuse detections of images whose truth is not known.

    Raises:
        ShapeError: an image has detections but no entry in `truths`.
    """
    strangers = sorted(set(detections) - set(truths))
    if strangers:
        raise ShapeError(
            f"detections for {len(strangers)} images without truth, first {strangers[0]}; "
            "give images that hold nothing an empty entry"
        )


def count_positives(truths: Mapping[str, Truths], label: int) -> int:
    """Objects of a class that count."""
    return sum(
        int(((truth.labels == label) & ~difficult_of(truth)).sum()) for truth in truths.values()
    )


def difficult_of(truth: Truths) -> BoolArray:
    """(M,) which objects do not count."""
    return np.zeros(len(truth.labels), bool) if truth.difficult is None else truth.difficult


def excused_of(found: Detections) -> BoolArray:
    """(N,) which detections are not wrong when they meet no object."""
    return np.zeros(len(found.labels), bool) if found.excused is None else found.excused


def _match_image(
    found: Detections, rows: IntArray, truth: Truths, label: int, iou: float
) -> tuple[FloatArray, BoolArray, BoolArray]:
    # Images do not compete for objects, so each is matched alone in its own order of score.
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]  # (D,)
    of_class = truth.labels == label
    difficult = difficult_of(truth)[of_class]  # (M,)
    right, ignored = np.zeros(len(rows), bool), excused_of(found)[rows]
    if len(difficult):
        overlap = iou_matrix(
            found.xyxy[rows].astype(np.float64), truth.xyxy[of_class].astype(np.float64)
        )  # (D, M)
        taken = np.zeros(len(difficult), bool)
        for row, best in enumerate(overlap.argmax(axis=1)):
            if overlap[row, best] < iou:
                continue
            ignored[row] = difficult[best]
            right[row] = not difficult[best] and not taken[best]
            taken[best] = True
    return found.scores[rows].astype(np.float64), right, ignored
