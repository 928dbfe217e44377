"""Who found what was planted, by class and size, with intervals."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from sixrayd.core.boxes import edges_of, iou_matrix
from sixrayd.core.records import HIT_IOU, Kind, Verdict
from sixrayd.decisions.decision import Decision, standing_decisions


@dataclass(frozen=True, slots=True)
class HitRate:
    """How often somebody found what was planted, or saw something in a sham.

    Args:
        who: a reviewer, or "detector".
        kind: of shams, hits are false alarms.
        label, size: empty stands for all.
        rate, low, high: share and Wilson's 95 % interval.
    """

    who: str
    kind: Kind
    label: str
    size: str
    hits: int
    shown: int
    rate: float
    low: float
    high: float


def hit_rates(
    rows: Iterable[Mapping[str, Any]],
    decisions: Iterable[Decision],
    detections: Iterable[Mapping[str, Any]],
) -> tuple[HitRate, ...]:
    """Hit rates of the detector and each reviewer, altogether, by class, by size and by both.

    A hit has a box of IoU 0.3 or more with the item, under whatever label; of a reviewer also the
    verdict "contraband missed". On a sham any such verdict, or any detection, is a false alarm.

    Args:
        rows: of `PLANTED_SCHEMA`.
        decisions: about their images; withdrawn and replaced ones do not count.
        detections: rows of `CANDIDATE_SCHEMA`.
    """
    by_image = {row["image_id"]: row for row in rows}
    boxes: dict[str, list[tuple[float, ...]]] = {image_id: [] for image_id in by_image}
    for found in detections:
        boxes.get(found["image_id"], []).append(edges_of(found))
    answers = [("detector", row, _is_hit(row, boxes[i])) for i, row in by_image.items()]
    for image_id, said in standing_decisions(decisions).items():
        for each in said:
            drawn = [item.box.xyxy for item in each.boxes]
            missed = each.verdict == Verdict.MISSED
            row = by_image[image_id]
            sham = row["kind"] == Kind.SHAM
            answers.append((each.reviewer, row, missed and (sham or _is_hit(row, drawn))))
    counts: dict[tuple[str, Kind, str, str], list[bool]] = {}
    for who, row, hit in answers:
        for label in {"", row["label"]}:
            for size in {"", row["size"]}:
                counts.setdefault((who, Kind(row["kind"]), label, size), []).append(hit)
    return tuple(_rate(*key, hits) for key, hits in sorted(counts.items()))


def _is_hit(row: Mapping[str, Any], boxes: Collection[tuple[float, ...]]) -> bool:
    if row["kind"] == Kind.SHAM or not boxes:
        return bool(boxes)
    item = np.array([edges_of(row)])
    return bool(iou_matrix(np.array(boxes, np.float64), item).max() >= HIT_IOU)


def _rate(who: str, kind: Kind, label: str, size: str, hits: list[bool]) -> HitRate:
    low, high = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    rate = sum(hits) / len(hits)
    return HitRate(who, kind, label, size, sum(hits), len(hits), rate, float(low), float(high))
