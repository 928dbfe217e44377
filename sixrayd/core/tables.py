"""Parquet tables that are there whole or not at all, and read with their schema insisted on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sixrayd.core.counting import accounts_for, counted_batches, counted_table, described
from sixrayd.core.errors import UnfitFileError, UnknownStateError, WorkspaceError
from sixrayd.core.files import check_plain, make_file, replacing
from sixrayd.core.names import check_names
from sixrayd.core.storage import is_refusal, refusal

_PLAIN: dict[str, Any] = {"compression": "none", "use_dictionary": False}  # a table of few values


def write_table(path: Path, rows: pa.Table | Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """Write a Parquet table of exactly this schema, whole or not at all."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=schema)
    table = table.cast(schema)
    with replacing(path) as beside:
        pq.write_table(table, beside, compression="zstd")
        make_readable(beside, table.num_rows, table.nbytes)


def make_readable(path: Path, rows: int, values: int) -> None:
    """Unpack a table that was written, where its size does not account for what is in it.

    Args:
        values: bytes of all values.
    """
    packed = pq.ParquetFile(path)
    schema = packed.schema_arrow
    if accounts_for(path.stat().st_size, schema, rows, values):
        return
    beside = path.with_suffix(".plain.part")
    make_file(beside)
    try:
        with pq.ParquetWriter(beside, schema, **_PLAIN) as writer:
            for number in range(packed.num_row_groups):
                writer.write_table(packed.read_row_group(number, use_threads=False))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_table(
    path: Path, schema: pa.Schema, defaults: Mapping[str, Any] = MappingProxyType({})
) -> pa.Table:
    """Read a Parquet table and insist on its schema.

    Args:
        defaults: values for columns that older files lack.

    Raises:
        WorkspaceError: the file is missing, broken, or has other columns.
    """
    return _checked_table(path, str(path), schema, defaults)


def some_columns(path: Path, schema: pa.Schema) -> pa.Table:
    """The columns of a schema from a Parquet table that may have others.

    Raises:
        WorkspaceError: the file is missing, broken, or lacks one.
    """
    with _table_faults(str(path)):
        table = _table_at(path, schema.names).select(schema.names).cast(schema)
        table.validate(full=True)
    check_names(table, str(path))
    return table


def column_batches(path: Path, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """What `some_columns` gives, by and by.

    Raises:
        WorkspaceError: see `some_columns`.
    """
    with _table_faults(str(path)):
        check_plain(path)
        for table in counted_batches(pa.OSFile(str(path)), schema.names, rows):
            batch = table.select(schema.names).cast(schema)
            batch.validate(full=True)
            check_names(batch, str(path))
            yield batch


def row_count(path: Path) -> int:
    """How many rows a Parquet table says it has.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, or is none.
    """
    check_plain(path)
    return int(described(pa.OSFile(str(path))).metadata.num_rows)


def table_bytes(table: pa.Table) -> bytes:
    """A Parquet file, as `write_table` writes it, in memory."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    if not accounts_for(sink.tell(), table.schema, table.num_rows, table.nbytes):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **_PLAIN)
    return bytes(sink.getvalue())


def table_from(data: bytes, where: str, schema: pa.Schema) -> pa.Table:
    """What `read_table` gives, from a file's bytes.

    Args:
        where: names the file in messages.

    Raises:
        WorkspaceError: broken, or other columns.
    """
    return _checked_table(pa.BufferReader(data), where, schema)


def _checked_table(
    source: Any, where: str, schema: pa.Schema, defaults: Mapping[str, Any] = MappingProxyType({})
) -> pa.Table:
    with _table_faults(where):
        table = _table_at(source) if isinstance(source, Path) else counted_table(source)
        table.validate(full=True)  # texts may be no UTF-8
    if absent := [name for name in defaults if name not in table.schema.names]:
        for name in absent:
            value = pa.scalar(defaults[name], schema.field(name).type)
            table = table.append_column(schema.field(name), pa.repeat(value, table.num_rows))
        if set(table.schema.names) == set(schema.names):
            table = table.select(schema.names)
    if not table.schema.equals(schema):
        found, wanted = table.schema.names, schema.names
        if found == wanted:
            both = (table.schema.remove_metadata(), schema.remove_metadata())
            found, wanted = (str(each).splitlines() for each in both)
        raise WorkspaceError(
            f"{where}: columns {found}, expected {wanted}; "
            "it was written by another version: run the stage again"
        )
    check_names(table, where)
    return table


def _table_at(path: Path, names: Sequence[str] | None = None) -> pa.Table:
    check_plain(path)
    return counted_table(pa.OSFile(str(path)), names)


@contextmanager
def _table_faults(where: str) -> Iterator[None]:
    try:
        yield
    except (UnfitFileError, UnicodeEncodeError):  # of a path
        raise
    except FileNotFoundError as error:
        raise WorkspaceError(
            f"{where}: missing; `sixrayd status` names the next command"
        ) from error
    except (OSError, ValueError, KeyError, pa.ArrowException, MemoryError) as error:
        if isinstance(error, OSError) and is_refusal(error):
            raise WorkspaceError(refusal(error, where, "read")) from error
        if isinstance(error, MemoryError):
            raise UnknownStateError(
                f"{where}: asks for more memory than there is ({error}); allow more with "
                "SIXRAYD_MEMORY=16GB, or run the stage that wrote it again"
            ) from error
        raise WorkspaceError(
            f"{where}: not a readable Parquet table ({error}); run the stage that wrote it again"
        ) from error
