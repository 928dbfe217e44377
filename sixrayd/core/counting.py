"""Tables as far as their values do not grow beyond reason.

A text that many rows have is stored once, so a small file can hold far more than memory.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sixrayd.core.boxes import EDGES
from sixrayd.core.growth import FACTOR, Allowance
from sixrayd.core.pages import check_pages

_FLOOR = 64 << 20  # bytes that come out of any table
_CEILING = 448 << 20  # bytes above them, of a table whose size does not account for more
_LEAST_FACTOR = 8  # times its size, which come out of any table
_SMALL = 4 << 20  # bytes of a file that one thread reads
_AT_ONCE = 1 << 16  # rows
_MOST_GROUPS = 1_000  # whose texts are looked at before they are read
_LONGEST_LIST = 10_000  # of one row, objects of an image as a rule
_MOST_LISTED, _LISTED_A_ROW = 1_000_000, 200  # in all lists of a column, and more for each row
_MOST_ROWS, _BYTES_A_ROW = 100_000, 4  # of `_OF_OBJECTS`, and of a file for each row more
_BYTES_AN_ANSWER = 8  # of a file for each task, or answer to one; a review may have many files
# Columns that tables of boxes, images, rounds and samples have.
_OF_OBJECTS = ("box_id", "x1", "sha256", "set", "role", "place")
_NUMBERS, _SIDES = (*EDGES, "score", "image_score"), ("width", "height")
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


def counted_table(source: pa.NativeFile, names: Sequence[str] | None = None) -> pa.Table:
    """A table, or some of its columns.

    Raises:
        ValueError: more comes out than the file's size accounts for, a list or an image's boxes are
            too many or hold a null, a box is none, or a column is missing.
    """
    plain, allowance = _opened(source, names)
    if absent := set(names or ()) - set(plain.schema_arrow.names):
        raise ValueError(f"no column {', '.join(sorted(absent))}")
    if _most_bytes(source, plain, _columns(plain, names)) <= allowance.most:
        # Without threads: a process that ends while one still starts is aborted.
        table = plain.read(names, use_threads=source.size() > _SMALL)
    else:
        parts = _dictionaries(source, plain, names, allowance)
        table = pa.concat_tables([_schema(plain, names).empty_table(), *parts])
    _check_lists(table)
    _check_boxes(table)
    _check_edges(table)
    return table


def counted_batches(source: pa.NativeFile, names: list[str], rows: int) -> Iterator[pa.Table]:
    """Some columns of a table by and by.

    Raises:
        ValueError: see `counted_table`.
    """
    plain, allowance = _opened(source, names)
    if _most_bytes(source, plain, _columns(plain, names)) > allowance.most:
        tables = _dictionaries(source, plain, names, allowance)
    else:
        batches = plain.iter_batches(rows, columns=names, use_threads=False)
        tables = (pa.Table.from_batches([batch]) for batch in batches)
    for table in tables:
        _check_lists(table)
        yield table


def accounts_for(size: int, schema: pa.Schema, rows: int, values: int) -> bool:
    """Whether a file of a table is surely read again: else its rows are too much alike.

    Args:
        size: bytes of the file.
        values: bytes of all values.
    """
    return rows <= _most_rows(schema, size) and 2 * values <= _allowance(size).most


def described(source: pa.NativeFile) -> pq.ParquetFile:
    """A table of which nothing but its description is to be read.

    Raises:
        pyarrow.ArrowException: it is none, or says what is not so.
    """
    check_pages(source)
    return pq.ParquetFile(source, pre_buffer=False)


def _opened(source: pa.NativeFile, names: Sequence[str] | None) -> tuple[pq.ParquetFile, Allowance]:
    """A table, and what may come out of it, if it says no more itself."""
    allowance = _allowance(source.size())
    allowance.check(check_pages(source))
    plain = pq.ParquetFile(source, pre_buffer=False)
    _check_rows(plain, source.size())
    for field in plain.schema_arrow:
        if names is None or field.name in names:
            _check_kind(field.name, field.type)
    allowance.check(max(plain.metadata.num_rows, _least_bytes(plain, _columns(plain, names))))
    return plain, allowance


def _check_lists(table: pa.Table) -> None:
    """Refuse lists that would take far more memory as objects, one for each value, and those that
    hold nothing in a value's place.

    Raises:
        ValueError: a list is too long, or all are together, or a value is null.
    """
    for name in table.schema.names:
        lists = [part for chunk in table[name].chunks for part in _lists(chunk)]
        lengths = pa.chunked_array(
            [pc.list_value_length(part).cast(pa.int64()) for part in lists], pa.int64()
        )
        if (longest := pc.max(lengths).as_py() or 0) > _LONGEST_LIST:
            raise ValueError(f"{name}: {longest} of one row, at most {_LONGEST_LIST} are read")
        most = _most_listed(table.num_rows)
        if (count := pc.sum(lengths.cast(pa.int64())).as_py() or 0) > most:
            raise ValueError(
                f"{name}: {count} in {table.num_rows} rows, at most {most} of so many are read"
            )
        if any(part.flatten().null_count for part in lists):
            raise ValueError(f"{name}: null in a list, expected a value")


def _check_boxes(table: pa.Table) -> None:
    """Refuse a table of boxes that has more of one image than any file of labels may.

    Raises:
        ValueError: it has.
    """
    names = set(table.schema.names)
    if "flaw" in names or not {"box_id", "image_id"} <= names:  # many findings are of no image
        return
    counts = pc.value_counts(table["image_id"].combine_chunks()).field("counts")
    if (most := pc.max(counts).as_py() or 0) > _LONGEST_LIST:
        raise ValueError(f"{most} boxes of one image, at most {_LONGEST_LIST} are read")


def _check_edges(table: pa.Table) -> None:
    """Refuse edges and scores that are no numbers, boxes without area, and sides below 0.

    What is drawn from one to another of such edges may take for ever.

    Raises:
        ValueError: there is one.
    """
    names = set(table.schema.names)
    for name in sorted(names.intersection(_NUMBERS)):
        if not pc.all(pc.is_finite(table[name]), min_count=0).as_py():
            raise ValueError(f"{name}: not finite in a row, expected a number")
    for name in sorted(names.intersection(_SIDES)):
        if not pc.all(pc.greater_equal(table[name], 0), min_count=0).as_py():
            raise ValueError(f"{name}: below 0 in a row, expected pixels")
    if not names >= {"box_id", *EDGES}:
        return
    for low, high in (("x1", "x2"), ("y1", "y2")):
        if not pc.all(pc.less(table[low], table[high]), min_count=0).as_py():
            raise ValueError(f"a box without area, expected {low} below {high}")


def _check_rows(file: pq.ParquetFile, size: int) -> None:
    """Refuse a table that has far more rows than its bytes can tell apart.

    They would take fifteen times the memory as objects, one for each value of each row.

    Raises:
        ValueError: it has.
    """
    groups = (file.metadata.row_group(n) for n in range(file.metadata.num_row_groups))
    most = _most_rows(file.schema_arrow, size)
    if (rows := sum(group.num_rows for group in groups)) > most:
        raise ValueError(f"{rows} rows in {size} bytes, at most {most} are read")


def _most_rows(schema: pa.Schema, size: int) -> int:
    """How many rows are made into objects; a table that is read in columns may have any number."""
    names = set(schema.names)
    if "task" in names or names >= {"lane", "boxes"}:
        return size // _BYTES_AN_ANSWER
    if names.intersection(_OF_OBJECTS):
        return _MOST_ROWS + size // _BYTES_A_ROW
    return sys.maxsize


def _lists(column: pa.Array) -> list[pa.Array]:
    """The lists of a column, which may be of structures of lists."""
    if pa.types.is_struct(column.type):
        return [part for each in column.flatten() for part in _lists(each)]
    return [column] if _is_list(column.type) else []


def _is_list(kind: pa.DataType) -> bool:
    of_one_length = pa.types.is_fixed_size_list(kind)
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or of_one_length)


def _check_kind(name: str, kind: pa.DataType) -> None:
    """Refuse what texts could hide in from being counted.

    Raises:
        ValueError: it is a map, or another kind of column that we never write.
    """
    if pa.types.is_nested(kind) and not (_is_list(kind) or pa.types.is_struct(kind)):
        raise ValueError(f"{name}: a column of the kind {str(kind)[:100]}, which is not read")
    for number in range(kind.num_fields):
        _check_kind(name, kind.field(number).type)


def _allowance(size: int) -> Allowance:
    factor = max(_LEAST_FACTOR, min(FACTOR, _CEILING // max(size, 1)))
    return Allowance(size, _FLOOR, factor)


def _least_bytes(file: pq.ParquetFile, columns: dict[int, Any]) -> int:
    """What comes out at least, each text stored once.

    Raises:
        ValueError: lists hold more than is read of so many rows.
    """
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    rows, least = sum(group.num_rows for group in groups), 0
    for column, one in columns.items():
        values = sum(group.column(column).num_values for group in groups)
        most = _most_listed(rows)
        if one.max_repetition_level and values > most + rows:  # an empty list counts as one
            name = one.path.partition(".")[0]
            raise ValueError(f"{name}: {values} in {rows} rows, at most {most} of so many are read")
        least += values * min(_WIDTHS.get(one.physical_type, 4), 4)
    return least


def _most_listed(rows: int) -> int:
    return _MOST_LISTED + _LISTED_A_ROW * rows


def _schema(file: pq.ParquetFile, names: Sequence[str] | None) -> pa.Schema:
    whole = file.schema_arrow
    return whole if names is None else pa.schema([whole.field(name) for name in names])


def _columns(file: pq.ParquetFile, names: Sequence[str] | None) -> dict[int, Any]:
    """By number, what a file says of the columns that are wanted."""
    described = file.metadata.schema
    found = {number: described.column(number) for number in range(len(described))}
    if names is None:
        return found
    return {n: one for n, one in found.items() if one.path.partition(".")[0] in names}


def _texts(columns: dict[int, Any]) -> list[str]:
    return [one.path for one in columns.values() if one.physical_type == "BYTE_ARRAY"]


def _most_bytes(source: pa.NativeFile, plain: pq.ParquetFile, columns: dict[int, Any]) -> int:
    """What can come out, if each text were as long as the longest in its dictionary."""
    if plain.num_row_groups > _MOST_GROUPS:
        return 1 << 62
    file = pq.ParquetFile(source, pre_buffer=False, read_dictionary=_texts(columns))
    most = 0
    for number in range(plain.num_row_groups):
        group = plain.metadata.row_group(number)
        for column, one in columns.items():
            part = group.column(column)
            values = max(part.num_values, group.num_rows)
            width = _WIDTHS.get(one.physical_type) or one.length or 0
            if one.physical_type == "BYTE_ARRAY":
                width = 4 + _longest(file, number, one.path)
            most += max(values * width, part.total_uncompressed_size)
    return most


def _longest(file: pq.ParquetFile, group: int, path: str) -> int:
    """Bytes of the longest text in the dictionary of a part of a column.

    It comes with the first text: rows before that may be empty lists.
    """
    for rows in (1, _AT_ONCE):
        batches = file.iter_batches(rows, row_groups=[group], columns=[path], use_threads=False)
        for batch in batches if rows > 1 else islice(batches, 1):
            if longest := max(map(_dictionary_text, batch.columns), default=0):
                return longest
    return 0


def _dictionary_text(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        return pc.max(pc.binary_length(column.dictionary)).as_py() or 0
    if _is_list(column.type):
        return _dictionary_text(column.values)
    if pa.types.is_struct(column.type):
        return max(map(_dictionary_text, column.flatten()), default=0)
    return 0


def _dictionaries(
    source: pa.NativeFile, plain: pq.ParquetFile, names: Sequence[str] | None, allowance: Allowance
) -> Iterator[pa.Table]:
    """Rows whose texts are read once, and counted before each row gets a copy."""
    texts = _texts(_columns(plain, names))
    file = pq.ParquetFile(source, pre_buffer=False, read_dictionary=texts)
    for batch in file.iter_batches(_AT_ONCE, columns=names, use_threads=False):
        allowance.take(batch.nbytes + sum(map(_text_bytes, batch.columns)))
        yield pa.Table.from_batches([batch]).cast(_schema(plain, names))


def _text_bytes(column: pa.Array) -> int:
    """What texts that are stored once will take when each row has its own."""
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary).cast(pa.int64())
        return pc.sum(lengths.take(column.indices)).as_py() or 0
    if _is_list(column.type):
        return _text_bytes(column.flatten())
    if pa.types.is_struct(column.type):
        return sum(map(_text_bytes, column.flatten()))
    return 0
