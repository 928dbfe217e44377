"""Images that are there twice: byte for byte, or by the groups of the index."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.audit.found import found, joined, numbers
from sixrayd.audit.tables import IngestTables, Marks, Rows, marks
from sixrayd.core.findings import Flaw
from sixrayd.core.records import Split

_NONE = np.iinfo(np.int64).max


def duplicate_findings(tables: IngestTables) -> Iterator[pa.Table]:
    """Negatives that are or resemble a positive, repeated images, and groups across the split.

    Each image is told of once as a duplicate: by its bytes, or else by its group.
    """
    table = tables.index.table
    ids = table["image_id"].combine_chunks()
    bytes_of, group_of = (_codes(table[key]) for key in ("sha256", "group"))
    positive = tables.positive
    told = np.zeros(len(table), bool)
    for codes, hidden, twin in (
        (bytes_of, Flaw.NEGATIVE_IS_POSITIVE, Flaw.SAME_BYTES),
        (group_of, Flaw.NEGATIVE_LIKE_POSITIVE, Flaw.NEAR_DUPLICATE),
    ):
        other = np.where(positive, _NONE, _first(codes, positive))
        yield _pairs(tables, ids, hidden, ~told & (other != _NONE), other)
        told |= other != _NONE
        same_side = np.where(positive, _first(codes, positive), _first(codes, ~positive))
        again = same_side != np.arange(len(table))
        yield _pairs(tables, ids, twin, ~told & again, same_side)
        told |= again
    yield _across(tables, ids, bytes_of, group_of)


def _across(tables: IngestTables, ids: pa.Array, *codes: Rows) -> pa.Table:
    """Test images with a twin on the training side."""
    train = marks(pc.equal(tables.index.table["split"], str(Split.TRAIN)))
    other = np.minimum.reduce([_first(each, train) for each in codes])
    return _pairs(tables, ids, Flaw.ACROSS_SPLIT, ~train & (other != _NONE), other)


def _pairs(tables: IngestTables, ids: pa.Array, flaw: Flaw, mask: Marks, other: Rows) -> pa.Table:
    table = tables.index.table
    rows = np.flatnonzero(mask)
    here, there = (table.select(["sha256", "phash"]).take(pa.array(r)) for r in (rows, other[rows]))
    one, two = (_hashes(side["phash"]) for side in (here, there))
    bits = joined(numbers(np.bitwise_count(one ^ two)), " of 64 bits of their hashes differ")
    same = pc.equal(here["sha256"], there["sha256"])
    text = pc.if_else(same, "the same bytes", bits)
    return found(flaw, ids.take(pa.array(rows)), text, other=ids.take(pa.array(other[rows])))


def _hashes(column: pa.ChunkedArray) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    return np.fromiter((int(text or "0", 16) for text in column.to_pylist()), np.uint64)


def _codes(column: pa.ChunkedArray) -> Rows:
    """(N,) a number for each value."""
    return np.asarray(column.combine_chunks().dictionary_encode().indices, dtype=np.int64)


def _first(codes: Rows, mask: Marks) -> Rows:
    """(N,) for each row the first row of its code that is marked, `_NONE` where none is."""
    first = np.full(int(codes.max(initial=-1)) + 1, _NONE)
    rows = np.flatnonzero(mask)
    np.minimum.at(first, codes[rows], rows)
    return first[codes]
