"""Lists and tables of all images of the release, whatever form an export has."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from sixrayd.core.index import sides_by_split
from sixrayd.core.records import Split
from sixrayd.core.staging import Staging
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.export_files import (
    ABSENCE,
    ABSENCE_SCHEMA,
    BARE,
    IMAGE_SCHEMA,
    IMAGES,
    LISTS,
    SIDE,
    SPLITS,
    STATE_SCHEMA,
    STATES,
)
from sixrayd.export.counts import ExportCounts
from sixrayd.export.evidence_tables import absence_rows
from sixrayd.export.states import Evidence, States

_FROM_INDEX = ("sha256", "size", "width", "height", "split", "group", "source", "labels")


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
    staging.write_lines(BARE, bare)
    staging.write_table(STATES, states.table, STATE_SCHEMA)
    absence = pa.Table.from_pylist(list(absence_rows(evidence, states)), schema=ABSENCE_SCHEMA)
    staging.write_table(ABSENCE, absence, ABSENCE_SCHEMA)
    sides = {str(side): counts.ids(side) for side in Split}
    staging.write(SPLITS, (json.dumps(sides, indent=1) + "\n").encode())
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
        [names.take(chosen), pa.concat_arrays(columns).take(chosen)], fields=list(SIDE)
    )
    offsets = np.concatenate([[0], listed.sum(axis=0).cumsum()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
