"""Decisions → what the next round trains on: found boxes, cleared images, images in doubt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file, write_json
from sixrayd.core.index import Index, split_setting
from sixrayd.core.records import (
    CANDIDATE_SCHEMA,
    TRAINING_SCHEMA,
    ImageRecord,
    Role,
    Rule,
    Source,
    Split,
    Verdict,
)
from sixrayd.core.restored import check_restored
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.words import counted
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import (
    Decision,
    decision_files,
    mining_of,
    reviews_with_decisions,
    said_in_all,
)
from sixrayd.review.folder import newest_review
from sixrayd.review.settings import NextSettings

TRAINING_FILE = "training.parquet"


@dataclass(frozen=True, slots=True)
class NextRound:
    """What the decisions of all reviews teach; all counts but `boxes` are of images, and those
    from `found` on add up to the images decided.

    Args:
        boxes: of the positives, by class.
        found: negatives of the release in which people boxed something.
        corrected: positives of the release whose boxes people drew anew.
        hard_negatives: a detector fired on them, people cleared them.
        left_out: unsure, in conflict, or with boxes that cannot be used.
        cleared: nothing there and nothing flagged; negatives like any other.
        test_side: decided, but nothing is learnt from the test side.
        no_side: decided, but on no side of the given split.
        not_in_release: decided, but the index does not have them.
    """

    name: str
    file: str
    boxes: Mapping[str, int]
    found: int
    corrected: int
    hard_negatives: int
    left_out: int
    cleared: int
    test_side: int
    not_in_release: int
    no_side: int = 0

    def __str__(self) -> str:
        no_side = f", {self.no_side} are on no side of the split" if self.no_side else ""
        return (
            f"{self.name}: {counted(self.found + self.corrected, 'positive')} ({self.found} found, "
            f"{self.corrected} corrected), {counted(self.hard_negatives, 'hard negative')}, "
            f"{self.left_out} left out; {self.test_side} of the test side are not used{no_side}"
        )


def next_round(workspace: Workspace, settings: NextSettings = NextSettings()) -> NextRound:
    """Write `review/NAME/training.parquet` from the decisions of all reviews.

    The same decisions give the same bytes; `training.json` beside it names its inputs.

    Raises:
        WorkspaceError: nothing is ingested or reviewed, a table is broken, or there is no such
            split.
    """
    with workspace.lock("review"):
        check_restored(workspace)
        name = settings.name or newest_review(workspace)
        workspace.run("review", name)
        reviews = reviews_with_decisions(workspace)
        if not reviews:
            raise WorkspaceError(
                f"{workspace.folder('review')}: no decisions; once somebody has answered, run "
                f"`{workspace.command('sixrayd review pull')}`"
            )
        sorting = _Sorting(workspace, settings.split)
        for image_id, said in said_in_all(workspace).items():
            sorting.add(image_id, said, settings.rule)
        return _write(workspace, name, settings, reviews, sorting)


class _Sorting:
    """The rows of the table, and what was counted on the way."""

    def __init__(self, workspace: Workspace, split: str) -> None:
        self.index = Index.load(workspace, split)
        self.classes = workspace.classes()
        self.flagged = _flagged(workspace)
        self.rows: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()

    def add(self, image_id: str, said: Sequence[Decision], rule: Rule) -> None:
        """Sort one image in."""
        if image_id not in self.index:
            self.counts["not_in_release"] += 1
            return
        record = self.index.record(image_id)
        if record.split != Split.TRAIN:
            self.counts["test_side" if record.split else "no_side"] += 1
            return
        role, boxes = self._role(record, settle(said, rule).decision)
        if role is None:
            self.counts["cleared"] += 1
            return
        found = "found" if record.source == Source.NEGATIVE else "corrected"
        names = {Role.HARD_NEGATIVE: "hard_negatives", Role.LEFT_OUT: "left_out"}
        self.counts[names.get(role, found)] += 1
        self.rows.append({"image_id": image_id, "role": str(role), "boxes": boxes})

    def _role(
        self, record: ImageRecord, decision: Decision | None
    ) -> tuple[Role | None, list[dict[str, Any]]]:
        """What an image is to training, None for a negative like any other, and its boxes."""
        if record.error or decision is None or decision.verdict == Verdict.UNSURE:
            return Role.LEFT_OUT, []
        if decision.verdict == Verdict.NOTHING:
            if record.source == Source.POSITIVE:  # the release says otherwise
                return Role.LEFT_OUT, []
            return (Role.HARD_NEGATIVE if record.image_id in self.flagged else None), []
        boxes = [self._usable(item.box, record) for item in decision.boxes]
        if not boxes or None in boxes:  # an object without its box would be taught as background
            return Role.LEFT_OUT, []
        return Role.POSITIVE, [box.as_row() for box in boxes if box]

    def _usable(self, box: Box, record: ImageRecord) -> Box | None:
        """The box inside its image, or None if training cannot use it."""
        inside = clip_box(box, record.width, record.height)
        thin = inside is None or min(inside.x2 - inside.x1, inside.y2 - inside.y1) < 1
        if inside is None or thin or not self.classes.covers(box.label):
            return None
        return Box(self.classes.canonical(box.label), *inside.xyxy)


def _flagged(workspace: Workspace) -> set[str]:
    """Images on which a detector fired: in any mining, and as reviewers saw them."""
    folders = [workspace.folder("mine", name) for name in workspace.names("mine")]
    for name in workspace.names("review"):
        if mining_of(workspace, name):  # else what was drawn in advance comes of no detector
            folders.append(workspace.folder("review", name))
    paths = [folder / "candidates.parquet" for folder in folders]
    tables = [read_table(path, CANDIDATE_SCHEMA) for path in paths if path.exists()]
    return {i for table in tables for i in pc.unique(table["image_id"]).to_pylist()}


def _write(
    workspace: Workspace,
    name: str,
    settings: NextSettings,
    reviews: Sequence[str],
    sorting: _Sorting,
) -> NextRound:
    folder = workspace.folder("review", name)
    path = folder / TRAINING_FILE
    write_table(path, sorting.rows, TRAINING_SCHEMA)
    labels = Counter(box["label"] for row in sorting.rows for box in row["boxes"])
    kept = ("found", "corrected", "hard_negatives", "left_out", "cleared")
    counts = {key: sorting.counts[key] for key in (*kept, "test_side", "not_in_release")}
    if sorting.counts["no_side"]:
        counts["no_side"] = sorting.counts["no_side"]
    boxes = {label: labels[label] for label in sorting.classes.names}
    inputs = workspace.upstream(("shards", "")) | workspace.inputs(
        *(file for review in reviews for file in decision_files(workspace, review))
    )
    rule = {"rule": str(settings.rule), **split_setting(workspace, settings.split)}
    run = Run(
        *("review", name, rule, inputs),
        outputs={path.name: sha256_file(path)},
        summary={**counts, "boxes": boxes},
    )
    write_json(folder / "training.json", asdict(run))
    return NextRound(name, str(path), boxes, **counts)
