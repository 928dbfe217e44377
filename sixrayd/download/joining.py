"""Joining what is known of shards into the index: rows wait on disk, flags and hashes in memory."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.records import INDEX_SCHEMA, Source, Split
from sixrayd.core.spool import write_tables
from sixrayd.core.tables import read_table
from sixrayd.download.imagesets import ImageSets
from sixrayd.download.sharding import LISTED_SCHEMA, listed_path
from sixrayd.download.tables import Flags, is_test
from sixrayd.imaging.hashes import MAX_GROUP, Hashes, Indices, Told, hash_words, word_groups

_BUCKET, _BUCKETS = 1 << 14, 256  # rows, at least; files open at once, at most
_ADDED = ("group", "split", "source")  # to the rows of images, when all are known
_ROW_SCHEMA = pa.schema([field for field in INDEX_SCHEMA if field.name not in _ADDED])


@dataclass(slots=True)
class JoinedImages:
    """All images of an ingest, sorted by id; used in a `with` statement, which frees the disk.

    Args:
        ids: (N,) text.
        listed: (N,) bool, whether they are positives by image sets or name.
        readable: (N,) bool.
        sizes: width and height of images that are annotated; None of one that cannot be read.
    """

    ids: pa.Array
    listed: Flags
    readable: Flags
    words: Hashes  # (N, 4), in the order in which they came; of readable images only
    places: Indices  # (N,), of whose images they are
    buckets: "_Buckets"
    sizes: dict[str, tuple[int, int] | None] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Path, shards: Collection[str]) -> Self:
        """None of whose rows has been added yet."""
        paths = [listed_path(parts, shard) for shard in shards]
        lists = [read_table(path, LISTED_SCHEMA)["image_id"] for path in paths]
        ids = pa.concat_arrays([chunk for column in lists for chunk in column.chunks])
        del lists
        order = np.asarray(pc.sort_indices(ids)).astype(np.int32)  # (N,)
        ranks = np.empty(len(ids), np.int32)
        ranks[order] = np.arange(len(ids), dtype=np.int32)
        ids = ids.take(pa.array(order))
        pa.default_memory_pool().release_unused()
        return cls(
            ids,
            listed=np.zeros(len(ids), bool),
            readable=np.zeros(len(ids), bool),
            words=np.empty((len(ids), 4), np.uint64),
            places=np.empty(len(ids), np.int32),
            buckets=_Buckets(parts, ranks),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *said: object) -> None:
        self.buckets.close()

    def add(self, rows: pa.Table, sets: ImageSets, annotated: Collection[str]) -> None:
        """Take the rows of the next shard, see `shard_rows`."""
        ids = rows["image_id"].to_pylist()
        ranks = self.buckets.next_ranks(len(ids))
        self.listed[ranks] = [sets.source(image) == Source.POSITIVE for image in ids]
        readable = np.asarray(pc.equal(rows["error"], ""))
        start = np.count_nonzero(self.readable)
        self.readable[ranks] = readable
        end = start + np.count_nonzero(readable)
        self.words[start:end] = hash_words(
            rows["phash"].filter(pa.array(readable)).combine_chunks()
        )
        self.places[start:end] = ranks[readable]
        for at in [at for at, image in enumerate(ids) if image in annotated]:
            width, height = (rows[side][at].as_py() for side in ("width", "height"))
            self.sizes[ids[at]] = (width, height) if width else None
        labels = pa.array(map(sets.labels, ids), pa.list_(pa.string()))
        rows = rows.append_column("labels", labels).select(_ROW_SCHEMA.names)
        self.buckets.add(rows.cast(_ROW_SCHEMA), ranks)

    def groups(self, distance: int, told: Told) -> Indices:
        """(N,) the first image of each one's near-duplicates; the hashes are gone then."""
        count = np.count_nonzero(self.readable)
        found = word_groups(self.words[:count], distance, MAX_GROUP, told)  # (K,)
        self.words = np.empty((0, 4), np.uint64)
        places = self.places[:count]
        first = places.copy()
        np.minimum.at(first, found, places)
        groups = np.arange(len(self.ids), dtype=np.int32)
        groups[places] = first[found]
        return groups


@dataclass(frozen=True, slots=True)
class JoinedIndex:
    """What of an index that is written stays in memory.

    Args:
        ids, groups, positive, test, readable: (N,); a group is named by its first image.
    """

    ids: pa.Array
    groups: Indices
    positive: Flags
    test: Flags
    readable: Flags

    def counts(self) -> dict[str, int]:
        """Counts of images of each kind, as `DownloadResult` names them."""
        with_positive = np.zeros(len(self.ids), bool)
        with_positive[self.groups[self.positive]] = True
        looks_positive = np.count_nonzero(with_positive[self.groups] & ~self.positive)
        images, positives, test = len(self.ids), self.positive.sum(), self.test.sum()
        counts = {
            "images": images,
            "negatives": images - positives,
            "train": images - test,
            "positives": positives,
            "unreadable": images - self.readable.sum(),
            "test": test,
            "duplicate_groups": np.count_nonzero(np.bincount(self.groups) > 1),
            "negatives_like_positives": looks_positive,
        }
        return {name: int(count) for name, count in counts.items()}

    def positives(self) -> list[str]:
        """Their ids."""
        return list(self.ids.filter(pa.array(self.positive)).to_pylist())


def write_index(
    path: Path,
    images: JoinedImages,
    boxes: Mapping[str, int | None],
    seed: int,
    test_share: float,
    hash_distance: int,
    told: Told = lambda done, total: None,
) -> JoinedIndex:
    """The index: near-duplicate groups, the split and the source added.

    Args:
        boxes: number of boxes by annotated image, None where nothing usable is said.
        told: how many hashes are compared.
    """
    # What is labelled and cannot be used is no negative, on which a detector would train.
    boxed = pa.array([image for image, count in boxes.items() if count != 0], pa.string())
    positive = images.listed | np.asarray(pc.is_in(images.ids, boxed))
    groups = images.groups(hash_distance, told)  # (N,)
    test = is_test(images.ids, groups, positive, seed, test_share)  # (N,)
    index = JoinedIndex(images.ids, groups, positive, test, images.readable)
    write_tables(path, _completed(images.buckets.sorted(), index), INDEX_SCHEMA)
    return index


def _completed(tables: Iterator[pa.Table], index: JoinedIndex) -> Iterator[pa.Table]:
    at = 0
    for table in tables:
        rows = slice(at, at := at + len(table))
        split = np.where(index.test[rows], Split.TEST.value, Split.TRAIN.value)
        source = np.where(index.positive[rows], Source.POSITIVE.value, Source.NEGATIVE.value)
        columns = (index.ids.take(pa.array(index.groups[rows])), pa.array(split), pa.array(source))
        for name, column in zip(_ADDED, columns, strict=True):
            table = table.append_column(name, column)
        yield table.select(INDEX_SCHEMA.names)


class _Buckets:
    """Rows on disk in files by rank, each of which is sorted in memory.

    Args:
        ranks: (N,) of the rows as they come.
    """

    def __init__(self, folder: Path, ranks: Indices) -> None:
        self._ranks, self._come = ranks, 0
        self._size = max(_BUCKET, -(-len(ranks) // _BUCKETS))  # rows
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        self._writers: dict[int, Any] = {}

    def close(self) -> None:
        self._stack.close()

    def next_ranks(self, count: int) -> Indices:
        """(count,) of the rows that come next."""
        self._come += count
        return self._ranks[self._come - count : self._come]

    def add(self, rows: pa.Table, ranks: Indices) -> None:
        """Take some."""
        buckets = ranks // self._size
        for bucket in np.unique(buckets).tolist():
            there = np.flatnonzero(buckets == bucket)
            self._writer(bucket).write_table(rows.take(pa.array(there)))

    def sorted(self) -> Iterator[pa.Table]:
        """All rows, a bucket at a time."""
        for writer in self._writers.values():
            writer.close()
        self._ranks = np.empty(0, np.int32)
        for bucket in sorted(self._writers):
            with pa.OSFile(str(self._folder / str(bucket))) as file:
                yield pa.ipc.open_stream(file).read_all().sort_by("image_id")

    def _writer(self, bucket: int) -> Any:
        if bucket not in self._writers:
            file = self._stack.enter_context(pa.OSFile(str(self._folder / str(bucket)), "wb"))
            writer = self._stack.enter_context(pa.ipc.new_stream(file, _ROW_SCHEMA))
            self._writers[bucket] = writer
        return self._writers[bucket]
