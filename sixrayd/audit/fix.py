"""Boxes left out of an ingest's annotations, written down one by one, and put back.

While a fix stands, `shards/fix/` holds the patch, the table and the `run.json` from before. The
last is written after the table and removed before it: where it lies, the table beside it is whole.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sixrayd.audit.boxes import narrow_boxes, repeated_boxes
from sixrayd.audit.tables import Marks
from sixrayd.core.boxes import EDGES
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import (
    plain_bytes,
    plain_lines,
    sha256_file,
    sweep,
    sync_folder,
    write_bytes,
)
from sixrayd.core.findings import Flaw
from sixrayd.core.records import ANNOTATION_SCHEMA
from sixrayd.core.runs import read_record
from sixrayd.core.storage import check_known
from sixrayd.core.tables import read_table, row_count, write_table
from sixrayd.core.workspace import Workspace

TABLE, RUN, PATCH = "annotations.parquet", "run.before.json", "patch.jsonl"
_NEXT = "remove the folder shards and run `sixrayd download` again"


@dataclass(frozen=True, slots=True)
class LeftOutBox:
    """What a fix does to one box: a line of `patch.jsonl`."""

    image: str
    box: str
    what: str  # the flaw
    before: dict[str, Any]  # label and edges
    after: None = None  # left out

    def __str__(self) -> str:
        edges = ",".join(f"{self.before[edge]:g}" for edge in EDGES)
        return f"{self.box}: {self.before['label']} {edges}: {self.what}; left out"


def apply_fix(workspace: Workspace, narrow_px: float) -> tuple[LeftOutBox, ...]:
    """Leave out boxes that repeat another, and narrow ones of images that keep another box.

    Always worked out from what `download` wrote: again is the same, and a killed one goes on. All
    stages after the ingest become stale.

    Returns:
        Each box that is left out.

    Raises:
        WorkspaceError: nothing is ingested, or the table is not what the ingest wrote.
    """
    with workspace.lock():
        run = workspace.run("shards")
        workspace.check_own(workspace.shards / "fix")
        folder, path = workspace.shards / "fix", workspace.shards / TABLE
        stands = fix_stands(workspace)
        source = (
            _checked(folder / TABLE, _before(folder)) if stands else _checked(path, run.outputs)
        )
        boxes = read_table(source, ANNOTATION_SCHEMA).combine_chunks()
        changes, keep = _changes(boxes, narrow_px)
        if not changes and not stands:
            return ()
        if not stands:
            write_bytes(folder / TABLE, plain_bytes(path))
            write_bytes(folder / RUN, plain_bytes(workspace.shards / "run.json"))
        lines = (json.dumps(asdict(change), ensure_ascii=False) + "\n" for change in changes)
        write_bytes(folder / PATCH, "".join(lines).encode("utf-8"))
        write_table(path, boxes.filter(pa.array(keep)), ANNOTATION_SCHEMA)
        names = {TABLE: path, **{f"fix/{name}": folder / name for name in (TABLE, RUN, PATCH)}}
        outputs = {**run.outputs, **{name: sha256_file(file) for name, file in names.items()}}
        summary = {**run.summary, "boxes": int(keep.sum()), "left_out": len(changes)}
        workspace.finish(replace(run, outputs=outputs, summary=summary))
        return changes


def fixable(workspace: Workspace, narrow_px: float) -> int:
    """How many boxes a fix would leave out."""
    boxes = read_table(workspace.shards / TABLE, ANNOTATION_SCHEMA).combine_chunks()
    return sum(int(marked.sum()) for marked in _left_out(boxes, narrow_px))


def fix_stands(workspace: Workspace) -> bool:
    """Whether a fix has changed the ingest, and has not been undone."""
    return (workspace.shards / "fix" / RUN).exists()


def left_out_boxes(workspace: Workspace) -> frozenset[str]:
    """Ids of the boxes that a fix leaves out now."""
    if not fix_stands(workspace):
        return frozenset()
    path = workspace.shards / "fix" / PATCH
    try:
        return frozenset(str(parse_json(line)["box"]) for line in plain_lines(path))
    except NONSENSE as error:
        raise WorkspaceError(f"{path}: not a patch of `sixrayd audit --fix`; {_NEXT}") from error


def undo_fix(workspace: Workspace) -> int:
    """Put back what was there before the fix, byte for byte.

    Returns:
        How many boxes there are more; 0 as well where no fix stands.

    Raises:
        WorkspaceError: nothing is ingested, or what was kept has changed.
    """
    with workspace.lock():
        folder = workspace.shards / "fix"
        workspace.run("shards")
        workspace.check_own(folder)
        put_back = 0
        if fix_stands(workspace):
            kept, path = _checked(folder / TABLE, _before(folder)), workspace.shards / TABLE
            put_back = _rows(kept) - _rows(path)
            write_bytes(path, plain_bytes(kept))
            write_bytes(workspace.shards / "run.json", plain_bytes(folder / RUN))
            (folder / RUN).unlink()
            sync_folder(folder)
        sweep(folder)
        return put_back


def _before(folder: Path) -> dict[str, str]:
    """Outputs of the ingest's own `run.json`."""
    try:
        return dict(read_record(folder / RUN)["outputs"])
    except NONSENSE as error:
        raise WorkspaceError(
            f"{folder / RUN}: not a run.json; nothing was changed; {_NEXT}"
        ) from error


def _checked(table: Path, outputs: Mapping[str, str]) -> Path:
    """The path of a table, if it is the one that the ingest wrote."""
    if not table.exists() or sha256_file(table) != outputs.get(TABLE):
        raise WorkspaceError(
            f"{table}: not the table that `sixrayd download` wrote; nothing was changed; {_NEXT}"
        )
    return table


def _rows(path: Path) -> int:
    """How many boxes a table holds; 0 where it is none."""
    try:
        return row_count(path)
    except (OSError, pa.ArrowException) as error:
        check_known(error, path)
        return 0


def _changes(boxes: pa.Table, narrow_px: float) -> tuple[tuple[LeftOutBox, ...], Marks]:
    """What is left out of a table, and (B,) which boxes stay."""
    repeated, narrow = _left_out(boxes, narrow_px)
    rows = np.flatnonzero(repeated | narrow)
    changes = tuple(
        LeftOutBox(
            row["image_id"],
            row["box_id"],
            str(Flaw.REPEATED_BOX if repeated[number] else Flaw.NARROW_BOX),
            {key: row[key] for key in ("label", *EDGES)},
        )
        for number, row in zip(rows, boxes.take(pa.array(rows)).to_pylist(), strict=True)
    )
    keep: Marks = ~(repeated | narrow)
    return changes, keep


def _left_out(boxes: pa.Table, narrow_px: float) -> tuple[Marks, Marks]:
    """(B,) each: boxes that repeat another, and narrow ones of images that keep another."""
    repeated = repeated_boxes(boxes)
    xyxy = np.stack([np.asarray(boxes[edge]) for edge in EDGES], axis=1)  # (B, 4)
    narrow = narrow_boxes(xyxy, narrow_px) & ~repeated
    image = np.asarray(boxes["image_id"].combine_chunks().dictionary_encode().indices)  # (B,)
    sound = np.bincount(image[~repeated & ~narrow], minlength=int(image.max(initial=-1)) + 1)
    narrow &= sound[image] > 0
    return repeated, narrow
