"""Images that are there twice: byte for byte, or by the groups of the index."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.audit.alike import SAME, Likeness
from sixrayd.audit.found import found, joined, numbers
from sixrayd.audit.tables import IngestTables, Marks, Rows, marks
from sixrayd.core.findings import Flaw
from sixrayd.core.records import Split

_NONE = np.iinfo(np.int64).max
_COMPARED = 5  # positives of a group that a negative of it is compared with


def duplicate_findings(tables: IngestTables) -> Iterator[pa.Table]:
    """Negatives that are or resemble a positive, repeated images, and groups across the split.

    Each image is told of once as a duplicate: by its bytes, or else by its group.
    """
    table, positive = tables.index.table, tables.positive
    bytes_of, group_of = (_codes(table[key]) for key in ("sha256", "group"))
    told = np.zeros(len(table), bool)
    for codes, twin in ((bytes_of, Flaw.SAME_BYTES), (group_of, Flaw.NEAR_DUPLICATE)):
        beside = np.where(positive, _NONE, _first(codes, positive))
        of_positive = np.flatnonzero(~told & (beside != _NONE))
        if twin is Flaw.SAME_BYTES:
            flaw = Flaw.NEGATIVE_IS_POSITIVE
            yield _pairs(tables, flaw, of_positive, beside[of_positive])
        else:
            yield from _like_positives(tables, of_positive, group_of)
        told |= beside != _NONE
        before = np.where(positive, _first(codes, positive), _first(codes, ~positive))
        again = before != np.arange(len(table))
        rows = np.flatnonzero(~told & again)
        yield _pairs(tables, twin, rows, before[rows])
        told |= again
    yield from _across(tables, bytes_of, group_of)


def _like_positives(tables: IngestTables, rows: Rows, group_of: Rows) -> Iterator[pa.Table]:
    """Negatives in a group with positives, with the one that each is most like."""
    likeness = Likeness(tables.index)
    ids = tables.index.table["image_id"]
    known = np.flatnonzero(tables.positive)
    known = known[np.argsort(group_of[known], kind="stable")]
    starts = np.searchsorted(group_of[known], group_of[rows])
    other, closest = np.zeros(len(rows), np.int64), np.zeros(len(rows))
    for place, (row, start) in enumerate(zip(rows, starts, strict=True)):
        group = known[start : start + _COMPARED]
        group = group[group_of[group] == group_of[row]]
        here = ids[int(row)].as_py()
        likes = [likeness.correlation(here, ids[int(each)].as_py()) for each in group]
        best = int(np.argmax(likes))
        other[place], closest[place] = group[best], likes[best]
    for flaw, mask in (
        (Flaw.NEGATIVE_IS_POSITIVE, closest >= SAME),
        (Flaw.NEGATIVE_LIKE_POSITIVE, closest < SAME),
    ):
        more = pa.array([f"; correlation {value:.3f}" for value in closest[mask]], pa.string())
        yield _pairs(tables, flaw, rows[mask], other[mask], more)


def _across(tables: IngestTables, *codes: Rows) -> Iterator[pa.Table]:
    """Test images with a twin on the training side, of each split."""
    for name, sides in tables.sides.items():
        train, test = (marks(pc.equal(sides, str(side))) for side in (Split.TRAIN, Split.TEST))
        other = np.minimum.reduce([_first(each, train) for each in codes])
        rows = np.flatnonzero(test & (other != _NONE))
        yield _pairs(tables, Flaw.ACROSS_SPLIT, rows, other[rows], f"; split {name}")


def _pairs(
    tables: IngestTables, flaw: Flaw, rows: Rows, other: Rows, more: pa.Array | str = ""
) -> pa.Table:
    """Findings of images beside another; their texts say how the two differ."""
    table = tables.index.table.select(["image_id", "sha256", "phash"])
    here, there = table.take(pa.array(rows)), table.take(pa.array(other))
    one, two = (_hashes(side["phash"]) for side in (here, there))
    bits = joined(numbers(np.bitwise_count(one ^ two)), " of 64 bits of their hashes differ")
    same = pc.equal(here["sha256"], there["sha256"])
    text = joined(pc.if_else(same, "the same bytes", bits), more)
    return found(flaw, here["image_id"], text, other=there["image_id"])


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
