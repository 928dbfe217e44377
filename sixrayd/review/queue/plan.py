"""Which images go to reviewers, why, in which order, and what is drawn in them in advance."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import Box
from sixrayd.core.index import Index, image_records
from sixrayd.core.records import (
    ADJUDICATION,
    CANDIDATE_SCHEMA,
    SAMPLE_SCHEMA,
    Kind,
    Rule,
    Verdict,
)
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.consensus import unsettled
from sixrayd.decisions.decision import (
    Decision,
    load_decisions,
    mining_of,
    said_in_all,
    standing_decisions,
)
from sixrayd.decisions.second_looks import is_first_look, second_looks
from sixrayd.decisions.unsettled import sent_elsewhere
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.review.planting.planted import planted_folder, planted_image, planted_rows
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.order import ORDERED, Past, order
from sixrayd.statistics.belief import BELIEF, Belief
from sixrayd.statistics.drawing import HELD_OUT, Drawing, HeldOut


class Pictures:
    """The images that tasks may show: the release's and the planted ones."""

    def __init__(self, workspace: Workspace, name: str, image_ids: Iterable[str]) -> None:
        self._index = Index.load(workspace)
        ids = pa.array(sorted(set(image_ids)), pa.string())
        table = self._index.table
        known = image_records(table.filter(pc.is_in(table["image_id"], ids)))
        self._sizes = {record.image_id: (record.width, record.height) for record in known}
        self.groups = {record.image_id: record.group for record in known}
        self._read_planted = partial(planted_image, workspace, name)
        self._planted = {row["image_id"]: row for row in planted_rows(workspace, name)}
        for image_id, row in self._planted.items():
            self._sizes[image_id] = (row["width"], row["height"])

    def ids(self) -> list[str]:
        """Images that there are."""
        return list(self._sizes)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._sizes

    def size_wh(self, image_id: str) -> tuple[int, int]:
        """Pixels."""
        return self._sizes[image_id]

    def read(self, image_id: str) -> bytes:
        """The encoded image.

        Raises:
            WorkspaceError: a planted image is gone or has changed.
            ShardError: a shard is gone or has changed since it was indexed.
        """
        row = self._planted.get(image_id)
        return self._index.read(image_id) if row is None else self._read_planted(row)


def load_flagged(path: Path, drawing: Drawing = Drawing()) -> list[ReviewImage]:
    """The images of a mining, the likeliest first, ties by image id; few of the boxes are drawn."""
    images: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(read_table(path, CANDIDATE_SCHEMA).to_pylist(), key=likeliest):
        images.setdefault(row["image_id"], []).append(row)
    return [
        ReviewImage(
            image_id,
            Kind.CANDIDATE,
            rows[0]["rank"],
            rows[0]["image_score"],
            drawing.of(rows),
        )
        for image_id, rows in images.items()
    ]


def likeliest(row: Mapping[str, Any]) -> tuple[float, str, float, str]:
    """Key that sorts rows of candidates by falling score of the image, then of the box."""
    return -row["image_score"], row["image_id"], -row["score"], row["box_id"]


def duplicates(workspace: Workspace, known: set[str]) -> list[ReviewImage]:
    """Negatives that resemble a known positive, its boxes drawn in advance.

    Args:
        known: images that are in the queue already.
    """
    # These load the detectors, which most pushes do without.
    from sixrayd.review.queue.duplicates import DuplicateSettings, near_positives

    found = []
    for item in near_positives(workspace, DuplicateSettings()):
        if item.image_id not in known:
            rows = rows_of(item.image_id, f"like {item.positive}", item.boxes, item.similarity)
            found.append(ReviewImage(item.image_id, Kind.DUPLICATE, 0, item.similarity, rows))
    return found


def spot_checks(workspace: Workspace, name: str) -> list[ReviewImage]:
    """The images that `sixrayd estimate --sample` has drawn, in the order of their draw."""
    path = workspace.folder("estimate", name) / "sample.parquet"
    if not path.exists():
        return []
    rows = read_table(path, SAMPLE_SCHEMA).to_pylist()
    rows.sort(key=lambda row: (row["draw"], row["place"], row["stratum"], row["image_id"]))
    return [ReviewImage(row["image_id"], Kind.SPOT_CHECK, 0, 0.0, ()) for row in rows]


def planted(workspace: Workspace, name: str, drawing: Drawing = Drawing()) -> list[ReviewImage]:
    """Planted and sham images; some with what the detector says of them drawn in advance."""
    path = planted_folder(workspace, name) / "detections.parquet"
    seen: dict[str, list[dict[str, Any]]] = {}
    if path.exists():
        for row in sorted(read_table(path, CANDIDATE_SCHEMA).to_pylist(), key=likeliest):
            seen.setdefault(row["image_id"], []).append(row)
    found = []
    for row in planted_rows(workspace, name):
        # Shams show what the detector says: else an empty task would be a planted one.
        open_ = row["with_proposals"] or row["kind"] == Kind.SHAM
        shown = seen.get(row["image_id"], []) if open_ else []
        score = shown[0]["image_score"] if shown else 0.0
        boxes = drawing.of(shown)
        found.append(ReviewImage(row["image_id"], Kind(row["kind"]), 0, score, boxes))
    return found


def strewn_kinds(workspace: Workspace, name: str) -> dict[str, ReviewImage]:
    """Spot checks, planted and sham images of a review, by image id."""
    strewn = (*spot_checks(workspace, name), *planted(workspace, name))
    return {item.image_id: item for item in strewn}


def doubtful(workspace: Workspace, models: tuple[str, ...]) -> list[ReviewImage]:
    """Labelled positives whose boxes are in doubt, the most doubtful first.

    Args:
        models: that may dispute.
    """
    from sixrayd.review.queue.positives import DoubtSettings, doubtful_positives

    found = doubtful_positives(workspace, DoubtSettings(models))
    return [
        ReviewImage(
            item.image_id,
            Kind.POSITIVE,
            place,
            item.doubt,
            tuple(
                _row(item.image_id, box_id, box, score, model, item.doubt, place)
                for box_id, box, score, model in item.proposals
            ),
        )
        for place, item in enumerate(found, 1)
    ]


def to_adjudicate(workspace: Workspace, name: str, rule: Rule) -> list[ReviewImage]:
    """Images of a review that are not settled, all their boxes drawn in advance.

    What reviewers said of them in other reviews counts as well. What another review has sent to
    its adjudicator is left to him.
    """
    everything = said_in_all(workspace)
    rows = ReviewFolder(workspace, name).tasks()
    sent = {row["image_id"] for row in rows if row["lane"] == ADJUDICATION}
    here = {row["image_id"] for row in rows} - sent_elsewhere(workspace, name) | sent
    said = {image_id: given for image_id, given in everything.items() if image_id in here}
    open_ = unsettled(said, rule, workspace.classes())
    return [
        ReviewImage(
            image_id,
            Kind.CANDIDATE,
            place,
            1.0,
            rows_of(image_id, "reviewers", open_[image_id], 1.0),
        )
        for place, image_id in enumerate(sorted(open_), 1)
    ]


def finds_of_one(
    workspace: Workspace, name: str, project: Project, share: float
) -> dict[str, tuple[str, list[ReviewImage]]]:
    """Finds of a review that one reader alone saw, boxed as he did: by lane, finder and images.

    Args:
        share: of them, that a second person is to look at.
    """
    if not share:
        return {}
    rows = ReviewFolder(workspace, name).tasks()
    here = {row["image_id"]: row for row in rows if row["kind"] != Kind.POSITIVE}
    everything = said_in_all(workspace)
    said = {image_id: given for image_id, given in everything.items() if image_id in here}
    return {
        lane: (finds[0].reviewer, [_to_see_again(find, here[find.image_id]) for find in finds])
        for lane, finds in second_looks(said, project.key, share).items()
    }


def _to_see_again(find: Decision, row: Mapping[str, Any]) -> ReviewImage:
    """A find with its boxes; one that goes back to a detection is shown as that detection."""
    known = Counter(item.candidate for item in find.boxes)
    shown = rows_of(find.image_id, "finder", [item.box for item in find.boxes], 1.0)
    drawn = tuple(
        {**box, "box_id": item.candidate} if known[item.candidate] == 1 and item.candidate else box
        for box, item in zip(shown, find.boxes, strict=True)
    )
    return ReviewImage(find.image_id, Kind(row["kind"]), row["rank"], row["image_score"], drawn)


def by_finds_per_second(
    items: Sequence[ReviewImage],
    past: Sequence[Past],
    groups: Mapping[str, str],
    belief: Belief | None = None,
) -> list[ReviewImage]:
    """Candidates and duplicates, those first that promise the most finds for a reviewer's time."""
    grouped = (replace(item, group=groups[item.image_id]) for item in items)
    return [queued.item for queued in order(grouped, past, belief)]


def belief_of(workspace: Workspace, review: str) -> Belief | None:
    """What the mining that a review shows says of its scores."""
    mining = mining_of(workspace, review)
    return mining_belief(workspace, mining) if mining else None


def mining_belief(workspace: Workspace, mining: str) -> Belief | None:
    """What a mining says of its scores; None of one that says nothing."""
    return Belief.load(workspace.folder("mine", mining) / BELIEF)


def drawing_of(workspace: Workspace, mining: str, most: int, least: float | None) -> Drawing:
    """Which candidates of a mining are drawn.

    Args:
        most: boxes in an image.
        least: score of a box; None takes what the mining's known positives say, if any was
            looked at.
    """
    if least is None:
        held_out = HeldOut.load(workspace.folder("mine", mining) / HELD_OUT)
        return held_out.drawing(most) if held_out else Drawing(most=most)
    return Drawing(least, most)


def past_reviews(folders: Iterable[ReviewFolder]) -> list[Past]:
    """What earlier answers teach of probability and time."""
    past = []
    for folder in folders:
        belief = belief_of(folder.workspace, folder.name)
        tasks = {row["task"]: row for row in folder.tasks()}
        for decisions in standing_decisions(load_decisions(folder.workspace, folder.name)).values():
            for decision in decisions:
                row = tasks.get(decision.task)
                if row is not None and row["kind"] in ORDERED and is_first_look(decision.lane):
                    found = decision.verdict == Verdict.MISSED
                    kind, score = Kind(row["kind"]), row["image_score"]
                    if belief and kind == Kind.CANDIDATE:
                        score = float(belief.of(np.array([score]))[0])
                    seen = (kind, score, len(row["candidates"]))
                    past.append(Past(*seen, found=found, seconds=decision.lead_time_s))
    return past


def interleave(
    queue: Sequence[ReviewImage], strewn: Sequence[ReviewImage], seed: str
) -> list[ReviewImage]:
    """Strew spot checks and planted images over a queue at random; each kind keeps its order."""
    random = Random(seed)  # noqa: S311
    places = set(random.sample(range(len(queue) + len(strewn)), len(strewn)))
    kinds = [item.kind for item in strewn]
    waiting = {kind: iter([item for item in strewn if item.kind == kind]) for kind in kinds}
    random.shuffle(kinds)  # else the first to come were all of one kind
    first, turns = iter(queue), iter(kinds)
    return [
        next(waiting[next(turns)]) if place in places else next(first)
        for place in range(len(queue) + len(strewn))
    ]


def lane_share(project: Project, image_id: str) -> float:
    """A number in 0..1 that decides for good whether an image goes to a second reviewer."""
    digest = sha256(f"{project.key}/{image_id}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def rows_of(
    image_id: str, model: str, boxes: Sequence[Box], score: float
) -> tuple[Mapping[str, Any], ...]:
    """Boxes as rows of `CANDIDATE_SCHEMA` of one model and score."""
    return tuple(
        _row(image_id, f"{image_id}/{model}/{number}", box, score, model, score, 0)
        for number, box in enumerate(boxes)
    )


def _row(
    image_id: str, box_id: str, box: Box, score: float, model: str, image_score: float, rank: int
) -> dict[str, Any]:
    return {
        "box_id": box_id,
        "image_id": image_id,
        **box.as_row(),
        "score": score,
        "model": model,
        "image_score": image_score,
        "rank": rank,
    }
