"""Whether a finished ingest has all that it wrote."""

import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.storage import check_known
from sixrayd.core.tables import read_table, row_count
from sixrayd.core.workspace import Run, Workspace


def is_whole(workspace: Workspace, run: Run) -> bool:
    """Whether every output of an ingest is there, as it wrote it.

    Files that were touched since are known by their bytes; of others, tables must open and shards
    have their sizes.

    Raises:
        WorkspaceError: the storage refuses to tell.
    """
    folder = workspace.shards
    if not all((folder / name).is_file() for name in run.outputs):
        return False
    done = (folder / "run.json").stat().st_mtime_ns
    touched = [name for name in run.outputs if (folder / name).stat().st_mtime_ns > done]
    found = workspace.inputs(*(folder / name for name in touched))  # each is read once
    if list(found.values()) != [run.outputs[name] for name in touched]:
        return False
    tables = [folder / name for name in run.outputs if name.endswith(".parquet")]
    shards = _ends(folder)
    return all(map(_opens, tables)) and all(_has_size(folder / s, shards[s]) for s in shards)


def _opens(table: Path) -> bool:
    try:
        row_count(table)
    except (OSError, pa.ArrowException) as error:
        check_known(error, table)
        return False
    return True


def _ends(folder: Path) -> dict[str, int]:
    """Where the last image of each shard ends, by the index."""
    try:
        table = read_table(folder / "index.parquet", INDEX_SCHEMA)
    except WorkspaceError:  # of an earlier version
        return {}
    table = table.append_column("end", pc.add(table["offset"], table["size"]))
    ends = table.group_by("shard").aggregate([("end", "max")])
    return dict(zip(ends["shard"].to_pylist(), ends["end_max"].to_pylist(), strict=True))


def _has_size(shard: Path, end: int) -> bool:
    """Whether a shard is as long as one whose last image ends there."""
    blocks = -(-end // tarfile.BLOCKSIZE) + 2  # two of zeros are the end mark
    size = -(-blocks * tarfile.BLOCKSIZE // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    return shard.is_file() and shard.stat().st_size == size
