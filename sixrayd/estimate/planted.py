"""What planted threats say of the reviewers: `review/NAME/planted/`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sixrayd.core.boxes import iou_matrix
from sixrayd.core.decisions import Decision, decisions_of, read_decisions, standing_decisions
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import read_table
from sixrayd.core.records import CANDIDATE_SCHEMA, Kind, Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.statistics.certificate import Planted

HIT_IOU = 0.3  # of a reviewer's box with what was planted: one that means the same thing
_EDGES = ("x1", "y1", "x2", "y2")


def planted_files(workspace: Workspace, review: str) -> list[Path]:
    """What `planted_counts` reads; none where nothing was planted."""
    folder = workspace.folder("review", review) / "planted"
    files = [folder / "planted.parquet", folder / "detections.parquet"]
    return [path for path in (*files, *sorted(folder.glob("decisions/*.parquet"))) if path.exists()]


def planted_counts(workspace: Workspace, review: str) -> tuple[Planted, ...]:
    """How many of the planted threats that reviewers have answered they found, by class.

    With proposals count those that were shown with what the detector saw in them, without those
    in which it saw nothing; where it never looked at them, all are without.

    Raises:
        WorkspaceError: a table is broken.
    """
    folder = workspace.folder("review", review) / "planted"
    if not (folder / "planted.parquet").exists():
        return ()
    rows = _threats(folder / "planted.parquet")
    detections, seen = folder / "detections.parquet", set[str]()
    if detections.exists():
        seen = set(read_table(detections, CANDIDATE_SCHEMA)["image_id"].to_pylist())
    said = standing_decisions(
        decision
        for path in sorted(folder.glob("decisions/*.parquet"))
        for decision in decisions_of(read_decisions(path), review)
    )
    shown, hits = Counter[tuple[str, bool]](), Counter[tuple[str, bool]]()
    for row in rows:
        flagged = row["image_id"] in seen
        if row["image_id"] not in said or (flagged and not row["with_proposals"]):
            continue
        key = row["label"], flagged
        shown[key] += 1
        hits[key] += _is_hit(row, said[row["image_id"]])
    return tuple(Planted(*key, number, hits[key]) for key, number in sorted(shown.items()))


def _threats(path: Path) -> list[dict[str, Any]]:
    names = ["image_id", "kind", "label", *_EDGES, "with_proposals"]
    try:
        table = pq.read_table(path).select(names)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise WorkspaceError(f"{path}: not a readable table of planted threats") from error
    return list(table.filter(pc.equal(table["kind"], str(Kind.PLANTED))).to_pylist())


def _is_hit(row: Mapping[str, Any], said: Iterable[Decision]) -> bool:
    boxes = [i.box.xyxy for d in said if d.verdict == Verdict.MISSED for i in d.boxes]
    item = np.array([[row[edge] for edge in _EDGES]], np.float64)  # (1, 4)
    overlaps = iou_matrix(np.array(boxes, np.float64).reshape(-1, 4), item)  # (N, 1)
    return bool((overlaps >= HIT_IOU).any())
