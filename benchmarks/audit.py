"""What an audit finds of errors that are put into boxes, and how long it takes.

`python -m benchmarks.audit WORKSPACE` draws boxes of a finished ingest at random, spoils each in
one way, and counts how many the rule for a box's class tells of; then it audits 100,000 rows.
"""

import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.audit.boxes import box_findings
from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.stage import audit
from sixrayd.audit.tables import IngestTables
from sixrayd.core.boxes import EDGES, clip_xyxy
from sixrayd.core.findings import Flaw
from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace

REACHES = (1.5, 2.0, 2.5, 3.0)
SPOILED = 20  # boxes of a class, of each kind of error
IMAGES = 100_000


def odd(tables: IngestTables, workspace: Workspace, reach: float) -> set[str]:
    """Ids of the boxes that are unlike their class."""
    findings = box_findings(tables, workspace.classes(), AuditSettings(reach=reach), [])
    table = pa.concat_tables(list(findings))
    return set(table.filter(pc.equal(table["flaw"], str(Flaw.ODD_BOX)))["box_id"].to_pylist())


def spoiled(tables: IngestTables, kind: str, rows: np.ndarray) -> IngestTables:
    """The same tables with an error in some boxes."""
    xyxy = tables.xyxy
    sizes = np.stack(
        [np.asarray(tables.index.table[side])[tables.image[rows]] for side in ("width", "height")],
        1,
    ).astype(float)
    low, high = xyxy[rows, :2], xyxy[rows, 2:]
    centre, half = (low + high) / 2, (high - low) / 2
    if kind == "five times as long and wide":
        half *= 5
    elif kind == "a fifth as long and wide":
        half /= 5
    elif kind == "the whole image":
        centre, half = sizes / 2, sizes / 2
    elif kind == "a strip across the image":
        centre[:, 0], half[:, 0], half[:, 1] = sizes[:, 0] / 2, sizes[:, 0] / 2, 4
    else:  # in the corner
        centre = half.copy()
    for row, c, h, (width, height) in zip(rows, centre, half, sizes, strict=True):
        xyxy[row] = clip_xyxy(np.array([[*(c - h), *(c + h)]]), width, height)[0]
    boxes = tables.boxes
    for place, edge in enumerate(EDGES):
        at = boxes.schema.get_field_index(edge)
        boxes = boxes.set_column(at, boxes.schema.field(edge), pa.array(xyxy[:, place]))
    return replace(tables, boxes=boxes)


def told(workspace: Workspace) -> None:
    """Print what is told of sound boxes, and of spoiled ones."""
    tables = IngestTables.load(workspace)
    labels = np.array(tables.boxes["label"].to_pylist())
    ids = np.array(tables.boxes["box_id"].to_pylist())
    rng = np.random.default_rng(0)
    print(f"| reach | {' | '.join(map(str, REACHES))} |")
    sound = {reach: odd(tables, workspace, reach) for reach in REACHES}
    print(f"| as they are | {' | '.join(str(len(found)) for found in sound.values())} |")
    for kind in (
        *("five times as long and wide", "a fifth as long and wide", "the whole image"),
        *("a strip across the image", "in the corner"),
    ):
        drawn = [
            rng.choice(np.flatnonzero(labels == label), SPOILED, replace=False)
            for label in np.unique(labels)
        ]
        rows = np.concatenate(drawn)
        broken = spoiled(tables, kind, rows)
        shares = [
            len(odd(broken, workspace, reach) & set(ids[rows])) / len(rows) for reach in REACHES
        ]
        print(f"| {kind} | {' | '.join(f'{100 * share:.0f} %' for share in shares)} |")


def timed(workspace: Workspace) -> None:
    """Audit an index of many rows that share the images of a workspace."""
    table = IngestTables.load(workspace).index.table
    rows = pa.array(np.arange(IMAGES) % len(table))
    ids = pa.array([f"N{number:07d}" for number in range(IMAGES)])
    many = table.take(rows)
    for name, column in (("image_id", ids), ("group", ids)):
        at = many.schema.get_field_index(name)
        many = many.set_column(at, many.schema.field(name), column)
    hashes = pa.array([f"{number:064x}" for number in range(IMAGES)])
    at = many.schema.get_field_index("sha256")
    many = many.set_column(at, many.schema.field("sha256"), hashes)
    with tempfile.TemporaryDirectory() as folder:
        other = Workspace(Path(folder) / "ws")
        shutil.copytree(workspace.shards, other.shards)
        write_table(other.shards / "index.parquet", many, INDEX_SCHEMA)
        boxes = other.shards / "annotations.parquet"
        write_table(boxes, [], IngestTables.load(workspace).boxes.schema)
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        audit(other, AuditSettings(most=0))
        took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{IMAGES:,} images: {took:.0f} s, {(peak - before) / 1024:.0f} MiB more than before")


if __name__ == "__main__":
    told(Workspace(sys.argv[1]))
    timed(Workspace(sys.argv[1]))
