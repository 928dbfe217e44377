"""What a reviewer submitted: from Label Studio's regions to a verdict and boxes in pixels."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sixrayd.core.boxes import Box, clip_xyxy
from sixrayd.core.classes import ClassList
from sixrayd.core.documents import NONSENSE
from sixrayd.core.errors import AnnotationError
from sixrayd.core.records import Verdict
from sixrayd.review.label_studio.labelling import BOXES, MARK, ONLY_SELECTED, VERDICT
from sixrayd.review.server import Origin, ReadAnswer, ReviewedBox

MOST_BOXES = 500  # of one answer
_MOST_NOTES = 20  # of one answer that are told, one for a region
SAME_PX = 0.5  # an edge that differs by less has not been moved


def read_answer(
    regions: Iterable[Mapping[str, Any]],
    size_wh: tuple[int, int],
    candidates: Mapping[str, Box],
    classes: ClassList,
) -> ReadAnswer:
    """Read the regions of one annotation; a bad region costs itself, not the others.

    Args:
        regions: as the server tells them; of many bad ones the first are named, the others counted.
        size_wh: pixels of the image.
        candidates: what was drawn in advance, by box id.
    """
    verdicts: list[str] = []
    marks: set[str] = set()  # ids of regions
    boxes: list[tuple[str, ReviewedBox]] = []
    notes: list[str] = []
    left, beyond, more = dict(candidates), 0, 0
    for number, item in enumerate(regions, start=1):
        try:
            if item.get("type") == "choices" and item.get("from_name") == VERDICT:
                verdicts += map(str, item["value"]["choices"])
            elif item.get("type") == "choices" and item.get("from_name") == MARK:
                marks |= {str(item["id"])} if item["value"]["choices"] else set()
            elif len(boxes) == MOST_BOXES:
                beyond = number
            else:
                box, note = _read_box(item, size_wh, classes)
                region_id = str(item.get("id", ""))
                boxes.append((region_id, _with_origin(box, region_id, left)))
                notes += [f"region {number}: {note}"] if note else []
        except AnnotationError as error:
            notes.append(f"region {number}: {error}")
        except NONSENSE:
            notes.append(f"region {number}: left out, not a region that Label Studio would write")
        more += len(notes[_MOST_NOTES:])
        del notes[_MOST_NOTES:]
    if more:
        notes.append(f"so {more:,} more of its regions, left out or changed")
    if beyond:
        notes.append(f"has more than {MOST_BOXES} boxes, the others are left out")
    if verdicts == [ONLY_SELECTED] and len(boxes) == 1:
        marks.add(boxes[0][0])
    found = tuple(replace(one, marked=region_id in marks) for region_id, one in boxes)
    verdict, said = _one_verdict(verdicts, any(one.marked for one in found))
    return ReadAnswer(verdict, found, (*notes, *said))


def _read_box(
    item: Mapping[str, Any], size_wh: tuple[int, int], classes: ClassList
) -> tuple[Box, str]:
    if item.get("type") != "rectanglelabels" or item.get("from_name") != BOXES:
        raise AnnotationError(f"left out, a {item.get('type')!r} where a box was expected")
    value = item["value"]
    labels = value["rectanglelabels"]
    if len(labels) != 1:
        raise AnnotationError(f"left out, {len(labels)} labels where one was expected")
    try:
        label = classes.canonical(str(labels[0]))
    except AnnotationError as error:
        expected = classes.words
        raise AnnotationError(
            f"left out, label {str(labels[0])!r} is none of {expected}"
        ) from error
    with np.errstate(over="ignore", invalid="ignore"):  # such a box is left out below
        edges = _edges_px(value, size_wh)  # (4,)
    if not np.isfinite(edges).all():
        raise AnnotationError("left out, its coordinates are not numbers")
    kept = clip_xyxy(edges[None], *size_wh)[0]  # (4,)
    if edges[2] <= edges[0] or edges[3] <= edges[1]:
        raise AnnotationError("left out, it has no area")
    if kept[2] <= kept[0] or kept[3] <= kept[1]:
        raise AnnotationError(f"left out, it lies outside the image of {_by(size_wh)} pixels")
    box = Box(label, *map(float, kept))
    return box, "; ".join(_remarks(item, edges, kept, size_wh))


def _edges_px(value: Mapping[str, Any], size_wh: tuple[int, int]) -> np.ndarray[Any, Any]:
    scale = np.array(size_wh, dtype=np.float64) / 100  # (2,)
    corner = np.array([float(value["x"]), float(value["y"])]) * scale  # (2,)
    width, height = np.array([float(value["width"]), float(value["height"])]) * scale
    turn = math.radians(_rotation(value))
    if turn == 0:
        return np.array([*corner, corner[0] + width, corner[1] + height])  # (4,)
    along = np.array([math.cos(turn), math.sin(turn)]) * width  # (2,)
    across = np.array([-math.sin(turn), math.cos(turn)]) * height  # (2,)
    corners = corner + np.array([0 * along, along, across, along + across])  # (4, 2)
    if width <= 0 or height <= 0:
        return np.array([*corner, *corner])  # (4,)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])  # (4,)


def _rotation(value: Mapping[str, Any]) -> float:
    degrees = float(value.get("rotation") or 0)
    return math.remainder(degrees, 360) if math.isfinite(degrees) else math.nan


def _remarks(
    item: Mapping[str, Any],
    edges: np.ndarray[Any, Any],
    kept: np.ndarray[Any, Any],
    size_wh: tuple[int, int],
) -> list[str]:
    remarks = []
    if rotation := _rotation(item["value"]):
        remarks.append(f"rotated by {rotation:g} degrees, the upright box around it is taken")
    if np.abs(edges - kept).max() > 1:
        remarks.append("reaches past the image, cut at its edge")
    seen = (item.get("original_width"), item.get("original_height"))
    if None not in seen and seen != size_wh:
        remarks.append(f"drawn on {seen[0]} x {seen[1]} pixels, the image has {_by(size_wh)}")
    return remarks


def _with_origin(box: Box, region_id: str, left: dict[str, Box]) -> ReviewedBox:
    # Each candidate is the origin of one box at most, so it leaves the list when it is found.
    same = (name for name, other in left.items() if _same_place(box, other))
    found = region_id if region_id in left else next(same, "")
    if not found:
        return ReviewedBox(box, Origin.DRAWN, "")
    before = left.pop(found)
    if before.label != box.label:
        return ReviewedBox(box, Origin.RELABELLED, found)
    if _same_place(box, before):
        return ReviewedBox(before, Origin.CONFIRMED, found)
    return ReviewedBox(box, Origin.MOVED, found)


def _same_place(first: Box, second: Box) -> bool:
    return all(abs(a - b) <= SAME_PX for a, b in zip(first.xyxy, second.xyxy, strict=True))


def _one_verdict(said: list[str], marked: bool) -> tuple[Verdict | None, list[str]]:
    if not said:
        return None, []
    if said == [ONLY_SELECTED]:
        if marked:
            return Verdict.MISSED, []
        return None, [f"says {ONLY_SELECTED!r}, but no box was selected then"]
    if len(said) > 1 or said[0] not in set(Verdict):
        return None, [f"verdict {', '.join(said)!r}: expected one of {', '.join(Verdict)}"]
    return Verdict(said[0]), []


def _by(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]} x {size_wh[1]}"
