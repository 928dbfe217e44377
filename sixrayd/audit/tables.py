"""What an audit looks at: the tables of a finished ingest."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.arrays import FloatArray
from sixrayd.core.boxes import EDGES
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import count_lines, plain_bytes, text_lines
from sixrayd.core.findings import FINDING_SCHEMA, Flaw
from sixrayd.core.index import Index
from sixrayd.core.records import ANNOTATION_SCHEMA, LEAK_FREE, Source
from sixrayd.core.table_builder import TableBuilder
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace

Rows = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Marks = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
_MOST_NOTED, _MOST_NOTES = 64 << 20, 200_000  # bytes and lines of a `notes.txt`
_MOST_SKIPPED = 512 << 20  # bytes of a `skipped.jsonl`
SKIPPED_SCHEMA = pa.schema(  # kinds that are not known are empty
    [pa.field(name, pa.string(), nullable=False) for name in ("where", "text", "flaw")]
)
FILES = (
    *("index.parquet", "annotations.parquet", "splits.parquet"),
    *("findings.parquet", "notes.txt", "skipped.jsonl"),
)


@dataclass(frozen=True, slots=True)
class IngestTables:
    """Tables of an ingest.

    Args:
        boxes: of `ANNOTATION_SCHEMA`.
        image: (B,) row in the index of each box's image.
        noted: of `FINDING_SCHEMA`: what the ingest found.
        skipped: of `SKIPPED_SCHEMA`: each fault that the ingest passed over.
        unannotated: ids of positives without a usable annotation.
        sides: (N,) of each split, empty where it does not list an image; the ingest's own first.
    """

    index: Index
    boxes: pa.Table
    image: Rows
    noted: pa.Table
    skipped: pa.Table
    unannotated: pa.Array
    sides: Mapping[str, pa.ChunkedArray]

    @classmethod
    def load(cls, workspace: Workspace) -> Self:
        """The tables of a workspace.

        Raises:
            WorkspaceError: the release has not been ingested, or a table is broken.
        """
        index = Index.load(workspace)
        folder = workspace.shards
        boxes = read_table(folder / "annotations.parquet", ANNOTATION_SCHEMA).combine_chunks()
        image = pc.index_in(boxes["image_id"], index.table["image_id"])
        if image.null_count:
            raise WorkspaceError(
                f"{folder / 'annotations.parquet'}: boxes of images that index.parquet lacks; "
                "run `sixrayd download` again"
            )
        summary = workspace.run("shards").summary
        given = {name: Index.load(workspace, name) for name in summary.get("splits", ())}
        indexes = {LEAK_FREE: index, **given}
        return cls(
            index,
            boxes,
            np.asarray(image, dtype=np.int64),
            _noted(folder),
            _skipped(folder / "skipped.jsonl"),
            pa.array(summary.get("unannotated_ids", ()), pa.string()),
            {name: each.table["split"] for name, each in indexes.items()},
        )

    @property
    def positive(self) -> Marks:
        """(N,) which images the release calls positive."""
        return marks(pc.equal(self.index.table["source"], str(Source.POSITIVE)))

    @property
    def xyxy(self) -> FloatArray:
        """(B, 4)."""
        return np.stack([np.asarray(self.boxes[edge]) for edge in EDGES], axis=1)


def marks(column: Any) -> Marks:
    """A column of truth values as an array."""
    return np.asarray(column, dtype=bool)


def _noted(folder: Path) -> pa.Table:
    if (folder / "findings.parquet").exists():
        return read_table(folder / "findings.parquet", FINDING_SCHEMA)
    notes = folder / "notes.txt"  # from before findings had names
    if notes.is_symlink():  # a stranger's, to what an audit that is handed on would tell
        raise WorkspaceError(f"{notes}: a link; put the file itself there, or remove it")
    try:
        data = plain_bytes(notes, _MOST_NOTED)
    except FileNotFoundError:
        data = b""
    if (count := count_lines(data)) > _MOST_NOTES:
        raise WorkspaceError(f"{notes}: {count} lines, at most {_MOST_NOTES} are read; remove it")
    parts = [line.rpartition(": ") for line in text_lines(data)]
    rows = [
        {"flaw": str(Flaw.NOTE), "where": where, "text": text, "image_id": Path(stem).stem}
        for where, _, text in parts
        for stem in [where.partition(": ")[0]]
    ]
    return pa.Table.from_pylist(rows, schema=FINDING_SCHEMA)


def _skipped(path: Path) -> pa.Table:
    """Of `SKIPPED_SCHEMA`."""
    faults = TableBuilder(SKIPPED_SCHEMA)
    try:
        for line in io.BytesIO(plain_bytes(path, _MOST_SKIPPED)):
            said = parse_json(line.decode("utf-8"))
            where, text, flaw = said["where"], said["error"], said.get("flaw", "")
            faults.add({"where": f"{where}", "text": f"{text}", "flaw": f"{flaw}"})
        return faults.table()
    except FileNotFoundError:
        return faults.table()
    except NONSENSE as error:
        raise WorkspaceError(
            f"{path}: not a list of faults ({error}); run `sixrayd download` again"
        ) from error
