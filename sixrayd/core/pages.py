"""What a Parquet file says of its pages, held against the pages before Arrow reads any.

Arrow believes a footer: some bytes that lie, or a footer of nothing but descriptions, take
gigabytes. The footer and the head of each page are Thrift's compact protocol.

Source: apache/parquet-format, src/main/thrift/parquet.thrift; apache/thrift, doc/specs,
thrift-compact-protocol.md.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_MAGIC = b"PAR1"
_TAIL = 8  # bytes: the footer's length, and the magic
_LEAST_FOOTER, _SHARE_OF_FOOTER = 1 << 20, 16  # bytes, and one for so many of the file
_MOST_ELEMENTS, _DEEPEST = 10_000, 20  # of a schema
_HEADS = (1 << 9, 1 << 20)  # bytes that are read for the head of a page, then for a long one
_MOST_NESTED = 16  # of Thrift
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST = range(1, 10)
_STRUCT = 12
_BITS = {_BYTE: 8, _I16: 16, _I32: 32, _I64: 64}
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3  # kinds of pages
_OF_BEGINNINGS = 7  # an encoding: each text begins as the one before, so few bytes make any length
Said = dict[tuple[int, int], Any]  # by a field's number and kind: of another kind, it is none


def check_pages(source: pa.NativeFile) -> int:
    """Before a Parquet file is opened.

    What is no Parquet file at all is left for Arrow to say.

    Returns:
        Bytes that its pages unpack to.

    Raises:
        pyarrow.ArrowInvalid: its footer is too long, damaged, or tells of less than its pages
            hold.
    """
    size = source.size()
    tail = source.read_at(_TAIL, max(size - _TAIL, 0))
    length = int.from_bytes(tail[:4], "little")
    if size < len(_MAGIC) + _TAIL or tail[4:] != _MAGIC or length > size - _TAIL:
        return 0
    most = _LEAST_FOOTER + size // _SHARE_OF_FOOTER
    if length > most:
        raise pa.ArrowInvalid(f"a footer of {length} bytes, at most {most} are read")
    try:
        footer = _Thrift(source.read_at(length, size - _TAIL - length)).struct()
        _check_schema(footer[2, _LIST])
        chunks = [chunk for group in footer[4, _LIST] for chunk in group[1, _LIST]]
        return sum(_unpacked(source, chunk[3, _STRUCT]) for chunk in chunks)
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from error
    except (LookupError, TypeError, AttributeError) as error:
        raise pa.ArrowInvalid("its footer or the head of a page is damaged") from error


def _check_schema(elements: list[Said]) -> None:
    """Refuse one that Arrow would follow till its stack ends.

    Raises:
        ValueError: it has too many columns, or groups within groups.
    """
    if len(elements) > _MOST_ELEMENTS:
        raise ValueError(f"{len(elements)} columns, at most {_MOST_ELEMENTS} are read")
    open_groups: list[int] = []  # how many of their parts are still to come
    for element in elements:
        while open_groups and not open_groups[-1]:
            open_groups.pop()
        if open_groups:
            open_groups[-1] -= 1
        open_groups.append(element.get((5, _I32), 0))
        if len(open_groups) > _DEEPEST:
            raise ValueError(f"groups within groups, at most {_DEEPEST} are read")


def _unpacked(source: pa.NativeFile, column: Said) -> int:
    """Bytes that the pages of a part of a column unpack to.

    Raises:
        ValueError: they are more than it says, or hold other than as many values.
    """
    values, stated = column[5, _I64], column[6, _I64]
    start, dictionary = column[9, _I64], column.get((11, _I64), 0)
    start = dictionary if 0 < dictionary < start else start
    end = start + column[7, _I64]
    found = unpacked = 0
    while found < values:  # what follows is not read
        head, start = _head(source, start)
        found += _values(head)
        start += head[3, _I32]
        unpacked += head[2, _I32]
        if start > end or min(head[2, _I32], head[3, _I32]) < 0 or unpacked > stated:
            raise ValueError(f"its pages are more than the {stated} bytes that it says")
    if found > values:
        raise ValueError(f"a page of more than the {values} values that it says")
    return unpacked


def _values(page: Said) -> int:
    """How many values of the column are in a page; none in a dictionary.

    Raises:
        ValueError: in an encoding that is not read, or a dictionary of more than it can hold.
    """
    kind = page[1, _I32]
    if kind not in (_DATA, _DICTIONARY, _DATA_V2):
        return 0
    about = page[{_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}[kind], _STRUCT]
    values, encoding = about[1, _I32], about[4 if kind == _DATA_V2 else 2, _I32]
    if values < 0 or encoding == _OF_BEGINNINGS:
        raise ValueError(f"a page of {values} values in encoding {encoding}, which is not read")
    if kind == _DICTIONARY and values > page[2, _I32]:
        raise ValueError(f"a dictionary of {values} values in {page[2, _I32]} bytes")
    return 0 if kind == _DICTIONARY else int(values)


def _head(source: pa.NativeFile, at: int) -> tuple[Said, int]:
    """The head of a page, and where its data begin.

    Raises:
        LookupError, ValueError: it has none.
    """
    if not 0 <= at < source.size():
        raise ValueError("a page that lies outside of the file")
    for most in _HEADS:
        thrift = _Thrift(source.read_at(most, at))
        try:
            return thrift.struct(), at + thrift.at
        except IndexError:
            continue
    raise ValueError(f"the head of a page is damaged, or more than {_HEADS[-1]} bytes")


class _Thrift:
    """Values in Thrift's compact protocol; `at` is how far they were read.

    What a reader in C++ would take otherwise is refused: fields that come twice, numbers of more
    bits than their kind.

    Raises:
        IndexError: of each method: the bytes end before the value does.
        ValueError: of each method: it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, depth: int = 0) -> Said:
        """The fields of a structure."""
        if depth > _MOST_NESTED:
            raise ValueError("its footer or the head of a page is nested too deeply")
        return {(number, kind): self._value(kind, depth) for number, kind in self._fields()}

    def _fields(self) -> Iterator[tuple[int, int]]:
        number = 0
        while head := self._byte():
            before, kind = number, head & 0x0F
            number = number + (head >> 4) if head >> 4 else self._integer(_I16)
            if number <= before:
                raise ValueError("a field that comes twice")
            yield number, kind

    def _value(self, kind: int, depth: int, listed: bool = False) -> Any:
        if kind in (_TRUE, _FALSE):
            return self._byte() if listed else kind
        if kind in _BITS and kind != _BYTE:
            return self._integer(kind)
        if kind == _BINARY:
            return self._skip(self._varint())
        if kind == _LIST:
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_BYTE, _DOUBLE):
            return self._skip(1 if kind == _BYTE else 8)
        raise ValueError(f"a value of kind {kind}, which no Parquet file has")

    def _list(self, depth: int) -> list[Any]:
        if depth > _MOST_NESTED:
            raise ValueError("its footer or the head of a page is nested too deeply")
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > len(self._data) - self.at:  # each value is a byte at least
            raise IndexError(count)
        return [self._value(head & 0x0F, depth + 1, listed=True) for _ in range(count)]

    def _integer(self, kind: int) -> int:
        zigzag = self._varint()
        if zigzag >> _BITS[kind]:
            raise ValueError(f"a number of more than {_BITS[kind]} bits")
        return (zigzag >> 1) ^ -(zigzag & 1)

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")
        return value | byte << shift

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _skip(self, count: int) -> None:
        if count > len(self._data) - self.at:
            raise IndexError(count)
        self.at += count
