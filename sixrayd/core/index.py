"""`shards/index.parquet` and `shards/annotations.parquet`: where each image is, what it shows."""

import bisect
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import Box
from sixrayd.core.errors import ShardError, WorkspaceError, printable
from sixrayd.core.records import (
    ANNOTATION_SCHEMA,
    INDEX_SCHEMA,
    LEAK_FREE,
    MOST_SPLITS,
    SPLIT_SCHEMA,
    ImageRecord,
    Source,
    Split,
)
from sixrayd.core.shards import read_image
from sixrayd.core.tables import column_batches, read_table
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Annotation:
    """A box that the release brings; `box_id` is `IMAGE_ID/aN`."""

    box_id: str
    image_id: str
    box: Box
    difficult: bool
    truncated: bool


class Index:
    """The images of a release, sorted by id; rows stay in Arrow until asked for.

    Args:
        table: of `INDEX_SCHEMA`, sorted by `image_id`.
        folder: where the shards are.

    Raises:
        WorkspaceError: ids are out of order or occur twice.
    """

    def __init__(self, table: pa.Table, folder: Path) -> None:
        self.table = table.combine_chunks()
        self.folder = folder
        ids = self.table["image_id"]
        if len(ids) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
            raise WorkspaceError(
                f"{folder / 'index.parquet'}: image ids are not sorted and unique; "
                "run `sixrayd download` again"
            )

    @classmethod
    def load(cls, workspace: Workspace, split: str = "") -> Self:
        """The index of a finished ingest.

        Args:
            split: name of a given split, whose sides the column `split` then holds: empty for an
                image that it does not list. Empty or "leak-free" is the ingest's own.

        Raises:
            WorkspaceError: the release has not been ingested, or has no such split.
        """
        workspace.run("shards")
        table = read_table(workspace.shards / "index.parquet", INDEX_SCHEMA)
        if name := find_split(workspace, split):
            table = _divided(table, given_splits(workspace), name)
        return cls(table, workspace.shards)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __contains__(self, image_id: str) -> bool:
        return self._row(image_id) is not None

    def record(self, image_id: str) -> ImageRecord:
        """The row of one image.

        Raises:
            WorkspaceError: no image has this id.
        """
        row = self._row(image_id)
        if row is None:
            raise WorkspaceError(f"{self.folder / 'index.parquet'}: no image {image_id!r}")
        return image_records(self.table.slice(row, 1))[0]

    def number(self, image_id: str) -> int:
        """From 1, the same as long as the release is; 0 for no image of it."""
        row = self._row(image_id)
        return 0 if row is None else row + 1

    def read(self, image_id: str) -> bytes:
        """The encoded image, as the release has it.

        Raises:
            ShardError: the shard is gone or has changed since it was indexed.
        """
        return self.read_record(self.record(image_id))

    def read_record(self, record: ImageRecord) -> bytes:
        """What `read` gives, of a row that is at hand."""
        data = read_image(self.folder / record.shard, record.offset, record.size)
        if hashlib.sha256(data).hexdigest() != record.sha256:
            where = self.folder / record.shard
            raise ShardError(
                f"{where}: {record.image_id} has changed since it was indexed; "
                "run `sixrayd download` again"
            )
        return data

    def rows(
        self,
        *,
        source: Source | str | None = None,
        split: Split | str | None = None,
        readable: bool | None = True,
    ) -> pa.Table:
        """Rows that fit, in order, as Arrow; `readable=None` takes unreadable images as well."""
        keep: list[Any] = [
            pc.equal(self.table[key], str(value))
            for key, value in (("source", source), ("split", split))
            if value is not None
        ]
        if readable is not None:
            keep.append(pc.equal(pc.equal(self.table["error"], ""), readable))
        table = self.table
        if keep:
            mask = keep[0]
            for other in keep[1:]:
                mask = pc.and_(mask, other)
            table = table.filter(mask)
        return table

    def select(
        self,
        *,
        source: Source | str | None = None,
        split: Split | str | None = None,
        readable: bool | None = True,
    ) -> list[ImageRecord]:
        """Rows that fit, in order, as records: meant for thousands; `rows` serves a million."""
        return image_records(self.rows(source=source, split=split, readable=readable))

    def shards(self, source: Source | str | None = None) -> list[str]:
        """Sorted names of the shards that hold images of a source; None means all shards."""
        names = self.rows(source=source, readable=None)["shard"]
        return sorted(pc.unique(names).to_pylist())

    def _row(self, image_id: str) -> int | None:
        ids = self.table["image_id"]
        row = bisect.bisect_left(range(len(ids)), image_id, key=lambda i: ids[i].as_py())
        return row if row < len(ids) and ids[row].as_py() == image_id else None


def check_known(strangers: Collection[str], mining: str) -> None:
    """Refuse candidates for images that a release lacks.

    Args:
        mining: of which the candidates are.
        strangers: those that are not in the index.

    Raises:
        WorkspaceError: there is one.
    """
    if strangers:
        raise WorkspaceError(
            f"mine/{mining}: candidates for {counted(len(strangers), 'image')} that the release "
            f"lacks, first {min(strangers)}; mine again, or take another detector's results again, "
            f"with --name {mining} --force"
        )


def find_split(workspace: Workspace, name: str) -> str:
    """The name of a given split as `run.json` records it; empty for the ingest's own.

    Raises:
        WorkspaceError: the release has no such split.
    """
    if name in ("", LEAK_FREE):
        return ""
    known = pc.unique(given_splits(workspace)["split"]).to_pylist()
    if name not in known:
        raise WorkspaceError(
            f"{workspace.shards}: no split {name!r}; there is {', '.join([LEAK_FREE, *known])}"
        )
    return name


def split_setting(workspace: Workspace, name: str) -> dict[str, str]:
    """What the settings in a `run.json` say of the split: nothing of the ingest's own.

    Raises:
        WorkspaceError: the release has no such split.
    """
    found = find_split(workspace, name)
    return {"split": found} if found else {}


def sides_by_split(workspace: Workspace) -> dict[str, pa.ChunkedArray]:
    """Each split by its name, the ingest's own first: the side of each image, by image id.

    Raises:
        WorkspaceError: the release has not been ingested.
    """
    table, given = Index.load(workspace).table, given_splits(workspace)
    found = {LEAK_FREE: table["split"]}
    for name in pc.unique(given["split"]).to_pylist():
        found[name] = _divided(table, given, name)["split"]
    return found


def given_splits(workspace: Workspace) -> pa.Table:
    """Of `SPLIT_SCHEMA`; without rows where the release brought no split.

    Raises:
        WorkspaceError: the table is broken, or has more than `MOST_SPLITS`.
    """
    path = workspace.shards / "splits.parquet"
    if not path.exists():
        return SPLIT_SCHEMA.empty_table()
    table = read_table(path, SPLIT_SCHEMA)
    if (count := pc.count_distinct(table["split"]).as_py()) > MOST_SPLITS:
        raise WorkspaceError(
            f"{path}: {count} splits, at most {MOST_SPLITS} are read; run `sixrayd download` again"
        )
    return table


def _divided(table: pa.Table, given: pa.Table, name: str) -> pa.Table:
    """An index with the sides of a given split."""
    rows = given.filter(pc.equal(given["split"], name))
    places = pc.index_in(table["image_id"], rows["image_id"].combine_chunks())
    sides = pc.fill_null(rows["side"].combine_chunks().take(places.combine_chunks()), "")
    column = table.schema.get_field_index("split")
    return table.set_column(column, table.schema.field(column), sides)


def shard_sizes(workspace: Workspace, source: Source) -> dict[str, int]:
    """How many images of a source each shard holds, by name.

    Raises:
        WorkspaceError: the release has not been ingested.
    """
    rows = [c for batch in _batches(workspace, source, ["shard"]) for c in batch["shard"].chunks]
    counts = pc.value_counts(pa.chunked_array(rows, pa.string()))
    return dict(sorted((row["values"], row["counts"]) for row in counts.to_pylist()))


def shard_contents(
    workspace: Workspace, source: Source, sizes: Mapping[str, int]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Shards with the SHA-256 of each image by id; few are in memory where ids run with shards.

    Args:
        sizes: of the shards that are wanted, as `shard_sizes` gives them.
    """
    partial: dict[str, dict[str, str]] = {}
    for batch in _batches(workspace, source, ["shard", "image_id", "sha256"]):
        wanted = batch.filter(pc.is_in(batch.column("shard"), pa.array(list(sizes), pa.string())))
        for shard, image_id, sha256 in zip(*wanted.to_pydict().values(), strict=True):
            images = partial.setdefault(shard, {})
            images[image_id] = sha256
            if len(images) == sizes[shard]:
                yield shard, partial.pop(shard)


def _batches(workspace: Workspace, source: Source, columns: list[str]) -> Iterator[pa.Table]:
    workspace.run("shards")
    schema = pa.schema([INDEX_SCHEMA.field(name) for name in (*columns, "source")])
    for batch in column_batches(workspace.shards / "index.parquet", schema, 1 << 14):
        mine = batch.filter(pc.equal(batch.column("source"), str(source)))
        yield mine.select(columns)


def image_records(table: pa.Table) -> list[ImageRecord]:
    """The rows of an index table as records."""
    return [ImageRecord(**{**row, "labels": tuple(row["labels"])}) for row in table.to_pylist()]


def load_annotations(workspace: Workspace) -> dict[str, tuple[Annotation, ...]]:
    """The release's boxes by image, in file order; an image without any has no entry.

    An image may lack boxes because its XML names none or because it has no XML: for the latter
    see `unannotated_ids`.

    Raises:
        WorkspaceError: the release has not been ingested, or a box is of a class that it lacks.
    """
    classes, path = workspace.classes().names, workspace.shards / "annotations.parquet"
    found: dict[str, list[Annotation]] = {}
    table = read_table(path, ANNOTATION_SCHEMA)
    if strange := set(table["label"].unique().to_pylist()) - set(classes):
        raise WorkspaceError(
            f"{path}: a box of class {printable(min(strange), 60)!r}, expected those of the "
            f"release, {', '.join(classes)}; run `sixrayd download` again"
        )
    for row in table.to_pylist():
        named = {key: row[key] for key in ("box_id", "image_id", "difficult", "truncated")}
        annotation = Annotation(box=Box.from_row(row), **named)
        found.setdefault(annotation.image_id, []).append(annotation)
    return {image_id: tuple(boxes) for image_id, boxes in found.items()}


def unannotated_ids(workspace: Workspace) -> frozenset[str]:
    """Positives for which the release has no usable XML: nothing is known of their boxes.

    Raises:
        WorkspaceError: the release has not been ingested.
    """
    return frozenset(workspace.run("shards").summary.get("unannotated_ids", ()))
