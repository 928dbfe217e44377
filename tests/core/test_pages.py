"""Tables whose footer says less than their pages hold, or is all that they are."""

import secrets
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.pages import check_pages
from sixrayd.core.tables import column_batches, read_table, row_count, some_columns
from tests.limits import address_space, within

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
IDS = pa.schema([("image_id", pa.string())])
PLAIN, OF_BEGINNINGS, OF_DICTIONARY = 0, 7, 8
OPTIONAL, REPEATED = 1, 2


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def value(kind: int, said: object) -> bytes:
    """What Thrift's compact protocol makes of a value; a structure is one already."""
    if isinstance(said, int):
        return varint(said << 1)
    if isinstance(said, list):
        inner = {int: I32, str: BINARY, bytes: STRUCT}[type(said[0])]
        count = bytes([len(said) << 4 | inner]) if len(said) < 15 else bytes([0xF0 | inner])
        count += varint(len(said)) if len(said) >= 15 else b""
        return count + b"".join(value(inner, one) for one in said)
    if isinstance(said, str):
        return varint(len(said)) + said.encode()
    assert isinstance(said, bytes)
    return said


def struct(*fields: tuple[int, int, object]) -> bytes:
    out, last = b"", 0
    for number, kind, said in fields:
        out += bytes([number - last << 4 | kind]) + value(kind, said)
        last = number
    return out + b"\0"


def page(data: bytes, values: int, encoding: int, dictionary: bool = False) -> bytes:
    packed = pa.Codec("zstd").compress(data, asbytes=True)
    about = ((1, I32, values), (2, I32, encoding), (3, I32, 3), (4, I32, 3))
    described = struct(*about[:2]) if dictionary else struct(*about)
    head = ((1, I32, 2 if dictionary else 0), (2, I32, len(data)), (3, I32, len(packed)))
    return struct(*head, (7 if dictionary else 5, STRUCT, described)) + packed


def table(path: Path, pages: list[bytes], values: int, size: int, listed: bool = False) -> Path:
    """A table of one row and one column of texts.

    Args:
        values: that it says to have.
        size: bytes that it says to unpack to.
    """
    name = "labels" if listed else "image_id"
    names = [name, "list", "element"] if listed else [name]
    above = [struct((4, BINARY, "root"), (5, I32, 1))]
    if listed:
        above.append(struct((3, I32, OPTIONAL), (4, BINARY, name), (5, I32, 1), (6, I32, 3)))
        above.append(struct((3, I32, REPEATED), (4, BINARY, "list"), (5, I32, 1)))
    leaf = struct((1, I32, 6), (3, I32, 0), (4, BINARY, names[-1]), (6, I32, 0))
    data, first = b"".join(pages), len(pages[0]) if len(pages) > 1 else 0
    column = struct(
        *((1, I32, 6), (2, LIST, [0, 8]), (3, LIST, names), (4, I32, 6), (5, I64, values)),
        *((6, I64, size), (7, I64, len(data)), (9, I64, 4 + first), (11, I64, 4)),
    )
    chunk = struct((2, I64, 0), (3, STRUCT, column))
    group = struct((1, LIST, [chunk]), (2, I64, size), (3, I64, 1))
    return written(path, data, [*above, leaf], [group])


def written(path: Path, data: bytes, schema: list[bytes], groups: list[bytes]) -> Path:
    footer = struct((1, I32, 1), (2, LIST, schema), (3, I64, 1), (4, LIST, groups))
    length = len(footer).to_bytes(4, "little")
    path.write_bytes(b"PAR1" + data + footer + length + b"PAR1")
    return path


def text(said: bytes) -> bytes:
    return len(said).to_bytes(4, "little") + said


def run(count: int, number: int) -> bytes:
    """One small number many times."""
    return varint(count << 1) + bytes([number])


def long_page(path: Path) -> Path:
    return table(path, [page(text(bytes(1 << 27)), 1, PLAIN)], 1, 100)


def long_dictionary(path: Path) -> Path:
    first = page(text(bytes(1 << 27)), 1, PLAIN, dictionary=True)
    return table(path, [first, page(b"\x01" + run(1, 0), 1, OF_DICTIONARY)], 1, 100)


def long_list(path: Path) -> Path:
    count = 50_000_000
    levels = text(run(1, 0) + run(count - 1, 1)) + text(run(count, 2))
    first = page(text(b"Gun"), 1, PLAIN, dictionary=True)
    second = page(levels + b"\x01" + run(count, 0), count, OF_DICTIONARY)
    return table(path, [first, second], 1, 1000, listed=True)


def common_beginnings(path: Path) -> Path:
    first = page(text(b"x"), 1, PLAIN, dictionary=True)
    second = page(b"\x01" + run(1, 0), 1, OF_DICTIONARY)
    third = page(bytes(1000), 1000, OF_BEGINNINGS)
    return table(path, [first, second, third], 1001, 2000)


def groups_in_groups(path: Path) -> Path:
    group = struct((3, I32, 0), (4, BINARY, "g"), (5, I32, 1))
    leaf = struct((1, I32, 2), (3, I32, 0), (4, BINARY, "a"))
    root = struct((4, BINARY, "root"), (5, I32, 1))
    return written(path, b"", [root, *[group] * 5000, leaf], [struct((1, LIST, [leaf]))])


def many_columns(path: Path) -> Path:
    leaf = struct((1, I32, 2), (3, I32, 0), (4, BINARY, "a"))
    root = struct((4, BINARY, "root"), (5, I32, 10_000))
    return written(path, b"", [root, *[leaf] * 10_000], [struct((1, LIST, [leaf]))])


def long_footer(path: Path) -> Path:
    chunk = struct((2, I64, 0))  # some 1,500 bytes in memory
    return written(path, b"", [chunk], [struct((1, LIST, [chunk] * 400_000))])


def empty_chunks(path: Path) -> Path:
    chunk = struct((2, I64, 0))
    return written(path, b"", [chunk], [struct((1, LIST, [chunk] * 10_000))])


BOMBS = {
    long_page: "its pages are more than the 100 bytes that it says",
    long_dictionary: "its pages are more than the 100 bytes that it says",
    long_list: "a page of more than the 1 values that it says",
    common_beginnings: "a page of 1000 values in encoding 7, which is not read",
    groups_in_groups: "groups within groups, at most 20 are read",
    many_columns: "10001 columns, at most 10000 are read",
    long_footer: "a footer of 1200018 bytes, at most 1123577 are read",
    empty_chunks: "its footer or the head of a page is damaged",
}
READS = {
    "table": lambda path: read_table(path, IDS),
    "columns": lambda path: some_columns(path, IDS),
    "batches": lambda path: list(column_batches(path, IDS, 1 << 14)),
    "rows": row_count,
}


@pytest.mark.parametrize("build", BOMBS, ids=lambda build: build.__name__)
def test_a_footer_that_lies_is_found_out_before_anything_is_unpacked(tmp_path: Path, build) -> None:
    path = build(tmp_path / "a.parquet")
    for read in READS.values():
        refused = pytest.raises((WorkspaceError, pa.ArrowInvalid))
        with within(10, build.__name__), address_space(1 << 26), refused as error:
            read(path)
        assert BOMBS[build] in str(error.value)


def test_what_tells_the_truth_is_read(tmp_path: Path) -> None:
    pages = [page(text(b"N1"), 1, PLAIN, True), page(b"\x01" + run(1, 0), 1, OF_DICTIONARY)]
    path = table(tmp_path / "a.parquet", pages, 1, 100)
    assert some_columns(path, IDS).to_pylist() == [{"image_id": "N1"}]


def test_texts_behind_an_empty_list_are_counted(tmp_path: Path) -> None:
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["A" * 2_000_000])
    ends = pa.array([0, 0, *range(1, 1001)], pa.int32())
    path = tmp_path / "a.parquet"
    lists = pa.table({"labels": pa.ListArray.from_arrays(ends, same)})
    pq.write_table(lists, path, compression="zstd", store_schema=False, write_statistics=False)
    schema = pa.schema([("labels", pa.list_(pa.string()))])
    with address_space(1 << 29), pytest.raises(WorkspaceError, match="times its size and 64 MiB"):
        read_table(path, schema)


@pytest.mark.parametrize("store_schema", [True, False])
def test_texts_of_a_map_are_not_read(tmp_path: Path, store_schema: bool) -> None:
    path, kind = tmp_path / "a.parquet", pa.map_(pa.string(), pa.string())
    maps = pa.table({"image_id": pa.array([[("a", "b")]], kind)})
    pq.write_table(maps, path, store_schema=store_schema)
    with pytest.raises(WorkspaceError, match="image_id: a column of the kind map<string, string"):
        read_table(path, IDS)


def test_more_values_in_lists_than_are_read_are_not_unpacked(tmp_path: Path) -> None:
    count = 50_000_000
    levels = text(run(1, 0) + run(count - 1, 1)) + text(run(count, 2))
    first = page(text(b"Gun"), 1, PLAIN, dictionary=True)
    second = page(levels + b"\x01" + run(count, 0), count, OF_DICTIONARY)
    path = table(tmp_path / "a.parquet", [first, second], count, 1000, listed=True)
    with address_space(1 << 26), pytest.raises(WorkspaceError) as error:
        read_table(path, IDS)
    assert f"labels: {count} in 1 rows, at most 1000200 of so many are read" in str(error.value)


@pytest.mark.parametrize("version", ["1.0", "2.6"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("codec", ["none", "zstd", "snappy"])
def test_what_arrow_writes_is_told_truly(codec: str, dictionary: bool, version: str) -> None:
    rows = pa.table(
        {
            "number": pa.array([None if n % 7 == 0 else n for n in range(3000)]),
            "text": [secrets.token_hex(n % 9) for n in range(3000)],
            "list": [["a"] * (n % 4) for n in range(3000)],
            "struct": [{"x": n, "y": b"q" * (n % 9)} for n in range(3000)],
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(
        *(rows, sink, 700, version),
        **{"use_dictionary": dictionary, "compression": codec, "data_page_size": 1000},
        data_page_version=version.replace("6", "0"),
    )
    source = pa.BufferReader(sink.getvalue())
    found, about = check_pages(source), pq.read_metadata(source)
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    stated = sum(g.column(n).total_uncompressed_size for g in groups for n in range(g.num_columns))
    assert 0 < found <= stated
