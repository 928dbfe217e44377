"""Lists and tables of all images of the release, whatever form an export has."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from sixrayd.core.index import sides_by_split
from sixrayd.core.records import Split, State
from sixrayd.core.staging import Staging
from sixrayd.core.workspace import Workspace
from sixrayd.export.counts import ExportCounts
from sixrayd.export.evidence_tables import ABSENCE_SCHEMA, absence_rows
from sixrayd.export.states import STATE_SCHEMA, Evidence, States

LISTS = {
    "found_positives.txt": State.FOUND_POSITIVE,
    "negatives.txt": State.UNFLAGGED,
    "confusing_negatives.txt": State.CONFUSING_NEGATIVE,
    "audited_empty.txt": State.AUDITED_EMPTY,
    "undecided.txt": State.UNDECIDED,
    "unreadable.txt": State.UNREADABLE,
}
IMAGES = "manifests/images.parquet"
_FROM_INDEX = ("sha256", "size", "width", "height", "split", "group", "source", "labels")
_SIDE = pa.struct([pa.field("split", pa.string()), pa.field("side", pa.string())])
# A row an image of the release, by image id.
IMAGE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("files", pa.list_(pa.string()), nullable=False),  # of the export, one for a form
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),  # bytes
        pa.field("width", pa.int32(), nullable=False),  # pixels; 0 when unreadable
        pa.field("height", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # the side, by which the lists go
        pa.field("sides", pa.list_(_SIDE), nullable=False),  # by every split that lists it
        pa.field("group", pa.string(), nullable=False),  # of near-duplicates
        pa.field("source", pa.string(), nullable=False),  # what the release says
        pa.field("labels", pa.list_(pa.string()), nullable=False),  # classes that it names
        pa.field("state", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("exported", pa.bool_(), nullable=False),
        pa.field("boxes", pa.int32(), nullable=False),  # in the export
    ]
)


def write_lists(
    staging: Staging,
    workspace: Workspace,
    evidence: Evidence,
    states: States,
    counts: ExportCounts,
    bare: Sequence[str],
) -> None:
    """Write all that is there whatever the form.

    Args:
        bare: positives that nobody has boxed, sorted.
    """
    for path, state in LISTS.items():
        staging.write_lines(path, states.ids(state))
    staging.write_lines("positives_without_boxes.txt", bare)
    staging.write_table("states.parquet", states.table, STATE_SCHEMA)
    absence = pa.Table.from_pylist(list(absence_rows(evidence, states)), schema=ABSENCE_SCHEMA)
    staging.write_table("absence.parquet", absence, ABSENCE_SCHEMA)
    sides = {str(side): counts.ids(side) for side in Split}
    staging.write("splits.json", (json.dumps(sides, indent=1) + "\n").encode())
    staging.place(IMAGES)
    staging.write_table(IMAGES, _images(workspace, evidence, states, counts), IMAGE_SCHEMA)


def _images(
    workspace: Workspace, evidence: Evidence, states: States, counts: ExportCounts
) -> pa.Table:
    table = evidence.index.table
    ids = table["image_id"].to_pylist()
    columns = {
        "image_id": table["image_id"],
        "files": pa.array([counts.files.get(i, []) for i in ids], pa.list_(pa.string())),
        **{name: table[name] for name in _FROM_INDEX},
        "sides": _sides(sides_by_split(workspace)),
        "state": states.table["state"],
        "reason": states.table["reason"],
        "exported": pa.array([i in counts.objects for i in ids], pa.bool_()),
        "boxes": pa.array([counts.objects.get(i, 0) for i in ids], pa.int32()),
    }
    return pa.table([columns[name] for name in IMAGE_SCHEMA.names], IMAGE_SCHEMA.names)


def _sides(splits: dict[str, pa.ChunkedArray]) -> pa.ListArray:
    """One list an image: the splits that put it on a side, and which."""
    columns = [side.combine_chunks() for side in splits.values()]
    listed = np.array([np.asarray(side) != "" for side in columns])  # (S, N)
    order = np.arange(listed.size).reshape(listed.shape).T.ravel()  # image by image
    chosen = pa.array(order[listed.T.ravel()])
    names = pa.array(np.repeat(list(splits), listed.shape[1]), pa.string())
    values = pa.StructArray.from_arrays(
        [names.take(chosen), pa.concat_arrays(columns).take(chosen)], fields=list(_SIDE)
    )
    offsets = np.concatenate([[0], listed.sum(axis=0).cumsum()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
