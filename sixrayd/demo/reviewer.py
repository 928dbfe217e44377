"""A simulated reviewer: works through Label Studio as a person would, and errs at a stated rate."""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sixrayd.core.boxes import Box, iou_matrix
from sixrayd.core.errors import ReleaseError, SettingsError, ShapeError
from sixrayd.core.records import Verdict
from sixrayd.core.voc import PIXEL_EDGES, box_of_pixels
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.exports import OpenTask
from sixrayd.review.label_studio.labelling import region, verdict_region

_SAME_OBJECT_IOU = 0.4  # a region that overlaps the truth this much is about that object
_GOOD_ENOUGH_IOU = 0.75  # above it a reviewer leaves the box as it is
_COLUMNS = ("name", "label", *PIXEL_EDGES)


@dataclass(frozen=True, slots=True)
class ReviewerSettings:
    """How good a reviewer is; the same seed gives the same answers in any order of tasks.

    Raises:
        SettingsError: rates outside 0..1, or together above 1.
    """

    error_rate: float = 0.0  # of images: misses what is there, or sees what is not
    unsure_rate: float = 0.0
    seed: int = 0
    imprecision_px: float = 2.0  # standard deviation of each edge of a box moved or drawn
    limit: int | None = None  # images after which the reviewer stops

    def __post_init__(self) -> None:
        rates = (self.error_rate, self.unsure_rate)
        if not all(0 <= rate <= 1 for rate in rates) or sum(rates) > 1:
            raise SettingsError(
                f"error_rate {self.error_rate}, unsure_rate {self.unsure_rate}: "
                "expected 0 to 1, together at most 1"
            )


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """What a simulated reviewer did; `errors` are answers that were meant to be wrong."""

    images: int
    missed: int
    nothing: int
    unsure: int
    errors: int
    confirmed: int
    moved: int
    relabelled: int
    drawn: int
    deleted: int


def load_truth(path: Path) -> dict[str, tuple[Box, ...]]:
    """What is really in each image, from the table beside a synthetic release.

    Args:
        path: CSV with `name, label, xmin, ymin, xmax, ymax`, 1-based inclusive pixels; an image
            without contraband has no row, or one without a label.

    Raises:
        ReleaseError: a row cannot be read.
    """
    found: dict[str, tuple[Box, ...]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not set(_COLUMNS) <= set(rows.fieldnames or ()):
            raise ReleaseError(f"{path}: columns {rows.fieldnames}, expected {', '.join(_COLUMNS)}")
        for row in rows:
            name = str(row["name"]).removesuffix(".jpg")
            try:
                boxes = (_true_box(row),) if row["label"] else ()
            except (ValueError, TypeError, ShapeError) as error:
                raise ReleaseError(f"{path}: line {rows.line_num}: {error}") from error
            found[name] = found.get(name, ()) + boxes
    return found


def join_as_reviewer(admin: Connection, email: str, password: str) -> Connection:
    """Sign up through the server's invitation link.

    Args:
        admin: somebody who may invite.

    Returns:
        The new reviewer's own connection.

    Raises:
        ServiceError: the address is taken, or the password too short.
    """
    with LabelStudio(admin) as server:
        return server.sign_up(email, password)


def review_as_person(
    connection: Connection,
    project: int,
    truth: Mapping[str, tuple[Box, ...]],
    names: Mapping[str, str],
    settings: ReviewerSettings = ReviewerSettings(),
) -> ReviewCounts:
    """Take task after task, compare its regions with the truth, and submit, till none is left.

    Args:
        connection: the reviewer's own.
        truth: boxes by image id; an image that it lacks holds nothing.
        names: image ids by alias, as `ReviewFolder.images_by_alias` gives them.
    """
    counts: Counter[str] = Counter()
    with LabelStudio(connection) as server:
        while settings.limit is None or counts["images"] < settings.limit:
            task = server.next_task(project)
            if task is None:
                break
            image_id = names.get(str(task.data["sixrayd"]).rpartition("/")[2], "")
            answer = _Answer(task, image_id, truth.get(image_id, ()), settings)
            server.submit(task.task_id, answer.regions, answer.lead_time_s)
            counts.update(answer.counts)
    return ReviewCounts(**{name: counts[name] for name in ReviewCounts.__dataclass_fields__})


class _Answer:
    """One image: what the reviewer makes of it."""

    def __init__(
        self, task: OpenTask, image_id: str, truth: tuple[Box, ...], settings: ReviewerSettings
    ) -> None:
        self.size_wh = (int(task.data["width"]), int(task.data["height"]))
        self.random = Random(f"{settings.seed}/{image_id}")  # noqa: S311
        self.imprecision_px = settings.imprecision_px
        self.counts: Counter[str] = Counter(images=1)
        draw = self.random.random()
        unsure = draw < settings.unsure_rate
        wrong = not unsure and draw < settings.unsure_rate + settings.error_rate
        self.counts["errors"] += wrong
        if unsure:
            verdict, boxes = Verdict.UNSURE, self._keep_all(task)
        elif wrong and truth:
            verdict, boxes = Verdict.NOTHING, self._delete_all(task)
        elif wrong:
            verdict, boxes = Verdict.MISSED, self._keep_all(task)
        else:
            verdict = Verdict.MISSED if truth else Verdict.NOTHING
            boxes = self._correct(task, truth)
        self.counts[verdict.name.lower()] += 1
        self.regions = [*boxes, verdict_region(verdict)]
        work = 1.5 + self.random.expovariate(1 / 3) + 4 * len(boxes)
        self.lead_time_s = round(work, 3)

    def _keep_all(self, task: OpenTask) -> list[dict[str, Any]]:
        self.counts["confirmed"] += len(task.regions)
        return [dict(item) for item in task.regions]

    def _delete_all(self, task: OpenTask) -> list[dict[str, Any]]:
        self.counts["deleted"] += len(task.regions)
        return []

    def _correct(self, task: OpenTask, truth: tuple[Box, ...]) -> list[dict[str, Any]]:
        left = list(truth)
        kept = []
        for item in task.regions:
            shown = _region_box(item, self.size_wh)
            true = _nearest(shown, left)
            if true is None:
                self.counts["deleted"] += 1
                continue
            left.remove(true)
            kept.append(self._adjusted(item, shown, true))
        for number, true in enumerate(left):
            self.counts["drawn"] += 1
            kept.append(region(f"drawn{number}", self._imprecise(true), self.size_wh))
        return kept

    def _adjusted(self, item: Mapping[str, Any], shown: Box, true: Box) -> dict[str, Any]:
        close = _iou(shown, true) >= _GOOD_ENOUGH_IOU
        if close and shown.label == true.label:
            self.counts["confirmed"] += 1
            return dict(item)
        self.counts["moved" if shown.label == true.label else "relabelled"] += 1
        place = shown if close else self._imprecise(true)
        return region(str(item["id"]), Box(true.label, *place.xyxy), self.size_wh)

    def _imprecise(self, box: Box) -> Box:
        # At least two pixels a side stay, within the image.
        width, height = self.size_wh
        x1, y1, x2, y2 = (edge + self.random.gauss(0, self.imprecision_px) for edge in box.xyxy)
        x1, y1 = min(max(x1, 0), width - 2), min(max(y1, 0), height - 2)
        return Box(box.label, x1, y1, max(min(x2, width), x1 + 2), max(min(y2, height), y1 + 2))


def _true_box(row: Mapping[str, str]) -> Box:
    return box_of_pixels(row["label"], {edge: float(row[edge]) for edge in PIXEL_EDGES})


def _region_box(item: Mapping[str, Any], size_wh: tuple[int, int]) -> Box:
    value, (width, height) = item["value"], size_wh
    x1, y1 = value["x"] * width / 100, value["y"] * height / 100
    x2, y2 = x1 + value["width"] * width / 100, y1 + value["height"] * height / 100
    return Box(str(value["rectanglelabels"][0]), x1, y1, x2, y2)


def _nearest(shown: Box, truth: list[Box]) -> Box | None:
    best = max(truth, key=lambda true: _iou(shown, true), default=None)
    return best if best is not None and _iou(shown, best) >= _SAME_OBJECT_IOU else None


def _iou(first: Box, second: Box) -> float:
    return float(iou_matrix(np.array([first.xyxy]), np.array([second.xyxy]))[0, 0])
