"""Images that are there twice: byte for byte, or by the groups of the index."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.audit.found import found, joined, numbers
from sixrayd.audit.tables import IngestTables, Marks, Rows, marks
from sixrayd.core.findings import Flaw
from sixrayd.core.records import NEAR_BITS, Split
from sixrayd.imaging.hashes import (
    BITS,
    KEY_BITS,
    bits_between,
    hash_keys,
    hash_words,
    hashes_are_whole,
)

_NONE = np.iinfo(np.int64).max
_COMPARED = 50  # positives of a group that a negative of it is compared with


class _Hashes:
    """Hashes of all images, by row; zeros of those that cannot be read."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.whole = hashes_are_whole(column)
        self.size = BITS if self.whole else KEY_BITS
        read = pc.not_equal(column, "").combine_chunks()
        texts = column.combine_chunks().filter(read)
        words = hash_words(texts) if self.whole else hash_keys(texts)
        self._words = np.zeros((len(column), self.size // 64), np.uint64)
        self._words[marks(read)] = words.reshape(-1, self.size // 64)

    def apart(self, rows: Rows, other: Rows | int) -> Rows:
        """(N,) bits in which those of images differ."""
        return bits_between(self._words[rows], self._words[other])


def duplicate_findings(tables: IngestTables) -> Iterator[pa.Table]:
    """Negatives that are or resemble a positive, repeated images, and groups across the split.

    Each image is told of once as a duplicate: by its bytes, or else by its group.
    """
    table, positive = tables.index.table, tables.positive
    hashes = _Hashes(table["phash"])
    bytes_of, group_of = (_codes(table[key]) for key in ("sha256", "group"))
    told = np.zeros(len(table), bool)
    for codes, twin in ((bytes_of, Flaw.SAME_BYTES), (group_of, Flaw.NEAR_DUPLICATE)):
        beside = np.where(positive, _NONE, _first(codes, positive))
        of_positive = np.flatnonzero(~told & (beside != _NONE))
        if twin is Flaw.SAME_BYTES:
            flaw = Flaw.NEGATIVE_IS_POSITIVE
            yield _pairs(tables, hashes, flaw, of_positive, beside[of_positive])
        else:
            yield from _like_positives(tables, hashes, of_positive, group_of)
        told |= beside != _NONE
        before = np.where(positive, _first(codes, positive), _first(codes, ~positive))
        again = before != np.arange(len(table))
        rows = np.flatnonzero(~told & again)
        yield _pairs(tables, hashes, twin, rows, before[rows])
        told |= again
    yield from _across(tables, hashes, bytes_of, group_of)


def _like_positives(
    tables: IngestTables, hashes: _Hashes, rows: Rows, group_of: Rows
) -> Iterator[pa.Table]:
    """Negatives in a group with positives, beside the one of nearest hash."""
    known = np.flatnonzero(tables.positive)
    known = known[np.argsort(group_of[known], kind="stable")]
    first, last = (
        np.searchsorted(group_of[known], group_of[rows], side=s) for s in ("left", "right")
    )
    other, bits = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for place, (row, start, end) in enumerate(zip(rows, first, last, strict=True)):
        group = known[start : min(end, start + _COMPARED)]
        apart = hashes.apart(group, row)
        other[place], bits[place] = group[apart.argmin()], apart.min()
    same = (bits <= NEAR_BITS) & hashes.whole
    yield _pairs(tables, hashes, Flaw.NEGATIVE_IS_POSITIVE, rows[same], other[same])
    yield _pairs(tables, hashes, Flaw.NEGATIVE_LIKE_POSITIVE, rows[~same], other[~same])


def _across(tables: IngestTables, hashes: _Hashes, *codes: Rows) -> Iterator[pa.Table]:
    """Test images with a twin on the training side, of each split."""
    for name, sides in tables.sides.items():
        train, test = (marks(pc.equal(sides, str(side))) for side in (Split.TRAIN, Split.TEST))
        other = np.minimum.reduce([_first(each, train) for each in codes])
        rows = np.flatnonzero(test & (other != _NONE))
        yield _pairs(tables, hashes, Flaw.ACROSS_SPLIT, rows, other[rows], f"; split {name}")


def _pairs(
    tables: IngestTables, hashes: _Hashes, flaw: Flaw, rows: Rows, other: Rows, more: str = ""
) -> pa.Table:
    """Findings of images beside another; their texts say how the two differ."""
    table = tables.index.table.select(["image_id", "sha256"])
    here, there = table.take(pa.array(rows)), table.take(pa.array(other))
    apart = numbers(hashes.apart(rows, other))
    bits = joined(apart, f" of {hashes.size} bits of their hashes differ")
    same = pc.equal(here["sha256"], there["sha256"])
    text = joined(pc.if_else(same, "the same bytes", bits), more)
    return found(flaw, here["image_id"], text, other=there["image_id"])


def _codes(column: pa.ChunkedArray) -> Rows:
    """(N,) a number for each value."""
    return np.asarray(column.combine_chunks().dictionary_encode().indices, dtype=np.int64)


def _first(codes: Rows, mask: Marks) -> Rows:
    """(N,) for each row the first row of its code that is marked, `_NONE` where none is."""
    first = np.full(int(codes.max(initial=-1)) + 1, _NONE)
    rows = np.flatnonzero(mask)
    np.minimum.at(first, codes[rows], rows)
    return first[codes]
