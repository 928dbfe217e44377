"""Tables that are written without being in memory: on disk column by column, then mapped."""

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sixrayd.core.files import replacing
from sixrayd.core.tables import make_readable

_ROW_GROUP = 1 << 20  # rows, as Parquet's writer has them by itself


def write_tables(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """What `write_table` writes of the tables joined, byte for byte; memory holds one of them.

    Args:
        schema: of numbers, texts, and lists of these, without nulls.
    """
    rows = values = 0
    with replacing(path) as beside:
        with beside.open("wb") as file, ExitStack() as stack:
            sink = _Sink(file)
            writer = stack.enter_context(pq.ParquetWriter(sink, schema, compression="zstd"))
            for group in _groups(tables):
                with _Spool(beside.parent, schema) as spool:
                    for table in group:
                        spool.add(table)
                    mapped, sink.maps = spool.mapped()
                    rows, values = rows + mapped.num_rows, values + mapped.nbytes
                    writer.write_table(mapped)
                    del mapped  # which holds the maps open
                    sink.maps = []
        make_readable(beside, rows, values)


def _groups(tables: Iterable[pa.Table]) -> Iterator[Iterable[pa.Table]]:
    """The tables of each row group, which are to be used before the next is asked for."""
    waiting = iter(tables)
    rest = next(waiting, None)

    def group() -> Iterator[pa.Table]:
        nonlocal rest
        room = _ROW_GROUP
        while rest is not None and room:
            yield rest.slice(0, room)
            taken = min(room, rest.num_rows)
            room -= taken
            rest = rest.slice(taken) if taken < rest.num_rows else next(waiting, None)

    while rest is not None:
        yield group()


class _Sink:
    """A file that lets go of what was read from maps whenever something is written."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.maps: list[mmap.mmap] = []

    def write(self, data: bytes) -> int:
        for each in self.maps:
            each.madvise(mmap.MADV_DONTNEED)  # it is on disk: what is read again comes again
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True


class _Spool:
    """Rows in files that have no names."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._stack, self._schema = ExitStack(), schema
        self._columns = [_Column(field.type, folder, self._stack) for field in schema]

    def __enter__(self) -> "_Spool":
        return self

    def __exit__(self, *said: object) -> None:
        self._stack.close()

    def add(self, table: pa.Table) -> None:
        for column, values in zip(self._columns, table.cast(self._schema).columns, strict=True):
            for chunk in values.chunks:
                column.add(chunk)

    def mapped(self) -> tuple[pa.Table, list[mmap.mmap]]:
        """All rows, each column in one piece, and what they are read from."""
        maps: list[mmap.mmap] = []
        arrays = [column.mapped(maps) for column in self._columns]
        return pa.table(arrays, schema=self._schema), maps


class _Column:
    """Values of one type, as Arrow has them in memory: a file a buffer."""

    def __init__(self, kind: pa.DataType, folder: Path, stack: ExitStack) -> None:
        def file() -> IO[bytes]:
            return stack.enter_context(tempfile.TemporaryFile(dir=folder))

        self._kind, self._length, self._end = kind, 0, 0
        self._data = file()
        texts, lists = pa.types.is_string(kind), pa.types.is_list(kind)
        self._offsets = file() if texts or lists else None
        self._inner = _Column(kind.value_type, folder, stack) if lists else None
        if self._offsets:
            self._offsets.write(np.int32(0).tobytes())

    def add(self, array: pa.Array) -> None:
        self._length += len(array)
        if self._offsets is None:
            self._data.write(np.ascontiguousarray(array).data)
            return
        if not len(array):
            return
        _, offsets, *data = array.buffers()
        bounds = np.frombuffer(offsets, np.int32)[array.offset :][: len(array) + 1]
        self._offsets.write((bounds[1:] - bounds[0] + np.int32(self._end)).data)
        self._end += int(bounds[-1] - bounds[0])
        if self._inner:
            self._inner.add(array.flatten())
        elif data[0] is not None:
            self._data.write(data[0][int(bounds[0]) : int(bounds[-1])])

    def mapped(self, maps: list[mmap.mmap]) -> pa.Array:
        inner = [self._inner.mapped(maps)] if self._inner else []
        files = [self._offsets, *([] if inner else [self._data])]
        buffers = [None, *(_mapped(file, maps) for file in files if file)]
        return pa.Array.from_buffers(self._kind, self._length, buffers, children=inner)


def _mapped(file: IO[bytes], maps: list[mmap.mmap]) -> Any:
    file.flush()
    if not file.tell():
        return pa.py_buffer(b"")  # what is empty cannot be mapped
    maps.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    return pa.py_buffer(maps[-1])
