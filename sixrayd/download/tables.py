"""The tables of an ingest: the index with groups and split, and the release's boxes."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.index import Index
from sixrayd.core.records import INDEX_SCHEMA, Source, Split
from sixrayd.core.voc import VocAnnotation, read_voc
from sixrayd.download.faults import Faults
from sixrayd.download.members import Member
from sixrayd.imaging.hashes import Indices, duplicate_groups

Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

_BATCH = 10_000
_LATER = ("group", "split")
_FIRST_SCHEMA = pa.schema([field for field in INDEX_SCHEMA if field.name not in _LATER])


class IndexRows:
    """Rows on their way to the index; they wait in Arrow, which takes a tenth of the memory."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, row: dict[str, Any]) -> None:
        """Append one row, without group and split."""
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self._pack()

    def table(self, seed: int, test_share: float, hash_distance: int) -> pa.Table:
        """The index, sorted by image id, with near-duplicate groups and the split."""
        self._pack()
        table = pa.Table.from_batches(self._batches, schema=_FIRST_SCHEMA).sort_by("image_id")
        ids = table["image_id"].combine_chunks()
        groups = duplicate_groups(table["phash"].to_pylist(), hash_distance)  # (N,)
        positive = np.asarray(pc.equal(table["source"], Source.POSITIVE.value))  # (N,)
        test = is_test(ids, groups, positive, seed, test_share)  # (N,)
        names = np.where(test, Split.TEST.value, Split.TRAIN.value)
        table = table.append_column("group", ids.take(pa.array(groups)))
        return table.append_column("split", pa.array(names)).select(INDEX_SCHEMA.names)

    def _pack(self) -> None:
        self._batches.append(pa.RecordBatch.from_pylist(self._rows, schema=_FIRST_SCHEMA))
        self._rows = []


def is_test(ids: pa.Array, groups: Indices, positive: Flags, seed: int, test_share: float) -> Flags:
    """Which images are on the test side: whole groups, the same share of those with a positive
    and of those without.

    A group is drawn by the hash of seed and group id, so that more images hardly change where
    the others are.

    Args:
        groups: (N,) index of each image's group: its smallest member.
        positive: (N,) bool.

    Returns:
        (N,) bool.
    """
    heads, inverse = np.unique(groups, return_inverse=True)  # (G,), (N,)
    with_positive = np.zeros(len(heads), dtype=bool)
    np.logical_or.at(with_positive, inverse, positive)
    lots = np.array([_lot(seed, ids[head].as_py()) for head in heads], dtype=np.uint64)  # (G,)
    drawn = np.zeros(len(heads), dtype=bool)
    for stratum in (with_positive, ~with_positive):
        members = np.flatnonzero(stratum)
        count = round(test_share * len(members))
        if test_share > 0 and len(members) > 1:
            count = max(count, 1)
        drawn[members[np.argsort(lots[members], kind="stable")[:count]]] = True
    test: Flags = drawn[inverse]
    return test


def _lot(seed: int, group: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8], "big")


def annotation_rows(
    image: str, member: Member, index: Index, classes: ClassList, faults: Faults
) -> tuple[list[dict[str, Any]], list[str]] | None:
    """Rows of `ANNOTATION_SCHEMA` and notes from one XML; None when it cannot be used."""
    record = index.record(image)
    size_wh = (record.width, record.height) if record.width else None
    annotation = _read(member, classes, size_wh, faults)
    if annotation is None:
        return None
    rows = [
        {
            "box_id": f"{image}/a{number}",
            "image_id": image,
            **item.box.as_row(),
            "difficult": item.difficult,
            "truncated": item.truncated,
        }
        for number, item in enumerate(annotation.objects)
    ]
    return rows, [str(finding) for finding in annotation.findings]


def _read(
    member: Member, classes: ClassList, size_wh: tuple[int, int] | None, faults: Faults
) -> VocAnnotation | None:
    try:
        return read_voc(member.data, member.where, classes, size_wh)
    except AnnotationError as error:
        if faults.on_error == "stop":
            raise
        faults.add(member.where, str(error).removeprefix(f"{member.where}: "))
    try:  # the rest of its objects
        return read_voc(member.data, member.where, classes, size_wh, "skip")
    except AnnotationError:
        return None
