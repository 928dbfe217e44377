"""Tables are read as they were written, or refused in one line."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.tables import read_table, write_table

SCHEMA = pa.schema([pa.field("name", pa.string(), nullable=False)])


def test_table_round_trip_gives_equal_bytes(tmp_path: Path) -> None:
    rows = [{"name": "x"}, {"name": "y"}]
    write_table(tmp_path / "a.parquet", rows, SCHEMA)
    table = read_table(tmp_path / "a.parquet", SCHEMA)
    assert table.to_pylist() == rows
    write_table(tmp_path / "b.parquet", table, SCHEMA)
    assert sha256_file(tmp_path / "a.parquet") == sha256_file(tmp_path / "b.parquet")


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(WorkspaceError) as caught:
        read_table(path, SCHEMA)
    assert str(caught.value) == f"{path}: missing; `sixrayd status` names the next command"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(WorkspaceError, match="not a readable Parquet table"):
        read_table(path, SCHEMA)
    write_table(path, [{"other": "x"}], pa.schema([("other", pa.string())]))
    with pytest.raises(WorkspaceError) as caught:
        read_table(path, SCHEMA)
    assert str(caught.value) == (
        f"{path}: columns ['other'], expected ['name']; it was written by another version: "
        "run the stage again"
    )
    write_table(path, [{"name": 1}], pa.schema([("name", pa.int64())]))
    with pytest.raises(
        WorkspaceError, match=r"columns \['name: int64'\], expected \['name: string"
    ):
        read_table(path, SCHEMA)


def test_a_pipe_for_a_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.parquet")

    with pytest.raises(WorkspaceError, match="a pipe, expected a plain file"):
        read_table(tmp_path / "a.parquet", pa.schema([pa.field("a", pa.string())]))
