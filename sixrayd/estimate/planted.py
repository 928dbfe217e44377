"""What planted threats say of the reviewers: `review/NAME/planted/` of all reviews."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import EDGES, edges_of, iou_matrix, stack_xyxy
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import (
    CANDIDATE_SCHEMA,
    HIT_IOU,
    IMAGE_IDS,
    Kind,
    Rule,
    Verdict,
)
from sixrayd.core.tables import read_table, some_columns
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import (
    Decision,
    decisions_of,
    moment_of,
    read_decisions,
    standing_decisions,
)
from sixrayd.decisions.openly import shown_openly
from sixrayd.statistics.evidence import Planted

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("image_id", "kind", "label", "target")),
        *((edge, pa.float64()) for edge in EDGES),
        ("with_proposals", pa.bool_()),
    ]
)

_Key = tuple[str, bool, str]  # class, with proposals, kind


def planted_files(workspace: Workspace) -> list[Path]:
    """What `planted_counts` reads; none where nothing was planted."""
    return [
        path
        for folder in _folders(workspace)
        for path in (
            folder / "planted.parquet",
            folder / "detections.parquet",
            *sorted(folder.glob("decisions/*.parquet")),
        )
        if path.exists()
    ]


def planted_counts(workspace: Workspace, rule: Rule) -> tuple[Planted, ...]:
    """How many of the planted threats that reviewers have answered they found, by class.

    Those of all reviews count, as decisions of all reviews do, and what stands of an image is
    what the consensus rule makes of it: a threat whose answers settle nothing was not found, nor
    one whose answers were all withdrawn or taken back, else whoever ends those that missed it would
    improve the rate. One that is listed twice, as in a copy of a review's folder, counts once, as
    it was answered first.

    With proposals count those that were shown with what the detector saw in them, without those
    in which it saw nothing; where it never looked at them, all are without. Known positives also
    count without where its boxes were held back: how much harder hidden ones are is what the odds
    ratio says. One that reviewers may have been shown before as the positive it is measures them
    where they missed it alone.

    Raises:
        WorkspaceError: a table is broken.
    """
    shown, hits, named = Counter[_Key](), Counter[_Key](), Counter[_Key]()
    classes, openly = workspace.classes(), shown_openly(workspace)
    counted = set[tuple[Any, ...]]()
    for folder in _folders(workspace):
        detections, seen = folder / "detections.parquet", set[str]()
        if detections.exists():
            seen = set(read_table(detections, CANDIDATE_SCHEMA)["image_id"].to_pylist())
        given = [
            decision
            for path in sorted(folder.glob("decisions/*.parquet"))
            for decision in decisions_of(read_decisions(path), folder.parent.name)
        ]
        said = dict.fromkeys((d.image_id for d in given), ()) | standing_decisions(given)
        for row in _threats(folder / "planted.parquet"):
            flagged, known = row["image_id"] in seen, row["kind"] == Kind.KNOWN
            held_back = flagged and not row["with_proposals"]
            if row["image_id"] not in said or (held_back and not known):
                continue
            threat = tuple(row[name] for name in ("image_id", "target", "label", *EDGES))
            if threat in counted:
                continue
            answered = said[row["image_id"]]
            labels = _labels_there(row, answered, rule, classes)
            # Left out where it was found, and never where it was missed: else whoever shows what
            # was missed would improve the rate.
            told = known and row["target"] in openly
            if told and labels and _may_have_known(openly[row["target"]], answered):
                continue
            counted.add(threat)
            label = row["label"]
            label = classes.canonical(label) if classes.covers(label) else label
            key = label, flagged and not held_back, row["kind"]
            shown[key] += 1
            hits[key] += bool(labels)
            named[key] += key[0] in labels
    return tuple(
        Planted(*key[:2], shown[key], hits[key], named[key], key[2]) for key in sorted(shown)
    )


def planted_unsent(workspace: Workspace) -> dict[str, tuple[int, int]]:
    """By review, planted threats that nobody has been sent, which come with more of the queue, and
    all of its planted threats; reviews that lack none are left out.

    Raises:
        WorkspaceError: a table is broken.
    """
    found = {}
    for folder in _folders(workspace):
        tasks = folder.parent / "tasks.parquet"
        rows = some_columns(tasks, IMAGE_IDS).to_pylist() if tasks.exists() else []
        sent = {row["image_id"] for row in rows}
        threats = _threats(folder / "planted.parquet")
        if unsent := sum(row["image_id"] not in sent for row in threats):
            found[folder.parent.name] = (unsent, len(threats))
    return found


def _may_have_known(since: datetime | None, said: Sequence[Decision]) -> bool:
    """Whether somebody answered who may have seen before what the image is."""
    return since is None or any(moment_of(decision) >= since for decision in said)


def _folders(workspace: Workspace) -> list[Path]:
    found = workspace.folder("review").glob("*/planted/planted.parquet")
    return [path.parent for path in sorted(found)]


def _threats(path: Path) -> list[dict[str, Any]]:
    try:
        try:
            table = some_columns(path, _SCHEMA)
        except WorkspaceError:  # of version 0.1, of projections alone
            place = _SCHEMA.get_field_index("target")
            table = some_columns(path, _SCHEMA.remove(place))
            table = table.add_column(place, "target", pa.array([""] * len(table)))
    except WorkspaceError as error:
        raise WorkspaceError(f"{path}: not a readable table of planted threats") from error
    if any(column.null_count for column in table.columns):
        raise WorkspaceError(f"{path}: not a readable table of planted threats")
    kinds = pa.array([str(Kind.PLANTED), str(Kind.KNOWN)])
    return list(table.filter(pc.is_in(table["kind"], kinds)).to_pylist())


def _labels_there(
    row: dict[str, Any], said: Sequence[Decision], rule: Rule, classes: ClassList
) -> set[str]:
    """Classes of the boxes that stand where something was planted."""
    decision = settle(said, rule).decision if said else None
    if decision is None or decision.verdict != Verdict.MISSED:
        return set()
    item = np.array([edges_of(row)], np.float64)  # (1, 4)
    boxes = [i.box for i in decision.boxes if classes.covers(i.box.label)]
    there = np.flatnonzero(iou_matrix(stack_xyxy(boxes), item)[:, 0] >= HIT_IOU)
    return {classes.canonical(boxes[number].label) for number in there.tolist()}
