"""The index: one row by id, rows by kind, bytes that are checked."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.errors import ShardError, WorkspaceError
from sixrayd.core.index import (
    Annotation,
    Index,
    find_split,
    load_annotations,
    sides_by_split,
    split_setting,
    unannotated_ids,
)
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA, MOST_SPLITS, ImageRecord
from sixrayd.core.shards import ShardWriter
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from tests.releases import jpeg
from tests.workspaces import build_splits

KINDS = {  # image id → source, split, error
    "N0000001": ("negative", "train", ""),
    "N0000002": ("negative", "test", ""),
    "N0000003": ("negative", "train", "broken"),
    "P00001": ("positive", "train", ""),
    "P00002": ("positive", "test", ""),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    rows: list[dict[str, Any]] = []
    for number, (image_id, (source, split, error)) in enumerate(KINDS.items()):
        data = jpeg(number)
        with ShardWriter(workspace.shards, image_id, 1) as writer:
            shard, offset, size = writer.add(image_id, data)
        row = {"image_id": image_id, "shard": shard, "offset": offset, "size": size, "width": 96}
        row |= {"height": 64, "sha256": hashlib.sha256(data).hexdigest(), "phash": "0" * 64}
        row |= {"group": image_id, "split": split, "source": source, "labels": ["Gun"]}
        rows.append({**row, "error": error})
    write_table(workspace.shards / "index.parquet", rows, INDEX_SCHEMA)
    boxes = [
        {"box_id": f"P00001/a{n}", "image_id": "P00001", "label": "Gun", "x1": 1.0, "y1": 2.0}
        | {"x2": 3.0, "y2": 4.5, "difficult": n == 0, "truncated": n == 1}
        for n in range(2)
    ]
    write_table(workspace.shards / "annotations.parquet", boxes, ANNOTATION_SCHEMA)
    summary = {"unannotated_ids": ["P00002"]}
    workspace.finish(Run("shards", "", {"classes": ["Gun"]}, {}, summary=summary))
    return workspace


def test_record_and_bytes(workspace: Workspace) -> None:
    index = Index.load(workspace)
    assert len(index) == 5
    assert "P00001" in index
    assert "P00003" not in index
    record = index.record("P00001")
    assert record == ImageRecord(
        image_id="P00001",
        shard="P00001-00000.tar",
        offset=512,
        size=len(jpeg(3)),
        width=96,
        height=64,
        sha256=hashlib.sha256(jpeg(3)).hexdigest(),
        phash="0" * 64,
        group="P00001",
        split="train",
        source="positive",
        labels=("Gun",),
        error="",
    )
    assert [index.read(image_id) for image_id in KINDS] == [jpeg(number) for number in range(5)]
    for absent in ("", "A", "P00003", "Z"):
        with pytest.raises(WorkspaceError) as caught:
            index.record(absent)
        assert str(caught.value) == f"{workspace.shards}/index.parquet: no image {absent!r}"


def test_selection(workspace: Workspace) -> None:
    index = Index.load(workspace)

    def ids(**kinds: Any) -> list[str]:
        return [record.image_id for record in index.select(**kinds)]

    assert ids() == ["N0000001", "N0000002", "P00001", "P00002"]
    assert ids(readable=None) == sorted(KINDS)
    assert ids(readable=False) == ["N0000003"]
    assert ids(source="positive", split="test") == ["P00002"]
    assert ids(source="negative", readable=None) == ["N0000001", "N0000002", "N0000003"]
    assert index.shards("negative") == [f"N000000{n}-00000.tar" for n in (1, 2, 3)]
    assert len(index.shards()) == 5


def test_changed_shard_is_seen(workspace: Workspace) -> None:
    index = Index.load(workspace)
    path = workspace.shards / "P00001-00000.tar"
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError) as caught:
        index.read("P00001")
    assert str(caught.value) == (
        f"{path}: P00001 has changed since it was indexed; run `sixrayd download` again"
    )


def test_annotations(workspace: Workspace) -> None:
    box = Box("Gun", 1.0, 2.0, 3.0, 4.5)
    assert load_annotations(workspace) == {
        "P00001": (
            Annotation("P00001/a0", "P00001", box, True, False),
            Annotation("P00001/a1", "P00001", box, False, True),
        )
    }
    assert unannotated_ids(workspace) == {"P00002"}


def test_a_box_of_a_class_that_the_release_lacks_is_refused(workspace: Workspace) -> None:
    path = workspace.shards / "annotations.parquet"
    rows = pq.read_table(path).to_pylist()
    write_table(path, [{**row, "label": "Stapler"} for row in rows], ANNOTATION_SCHEMA)
    with pytest.raises(WorkspaceError) as caught:
        load_annotations(workspace)
    assert str(caught.value) == (
        f"{path}: a box of class 'Stapler', expected those of the release, Gun; run "
        "`sixrayd download` again"
    )


def test_unsorted_index_and_missing_ingest(workspace: Workspace, tmp_path: Path) -> None:
    table = Index.load(workspace).table
    twice = pa.concat_tables([table.slice(0, 1), table.slice(0, 1)])
    with pytest.raises(WorkspaceError, match="image ids are not sorted and unique"):
        Index(twice, workspace.shards)
    empty = Workspace(tmp_path / "empty")
    for load in (Index.load, load_annotations):
        with pytest.raises(WorkspaceError) as caught:
            load(empty)
        assert str(caught.value) == (
            f"{tmp_path}/empty/shards/run.json: missing; "
            f"run `sixrayd download --release FOLDER -w {tmp_path}/empty` first"
        )


def test_empty_index(tmp_path: Path) -> None:
    index = Index(INDEX_SCHEMA.empty_table(), tmp_path)
    assert (len(index), index.select(), index.shards(), "P1" in index) == (0, [], [], False)


def test_a_given_split_takes_the_place_of_the_own(workspace: Workspace) -> None:
    build_splits(
        workspace,
        sixray10={"P00001": "test", "N0000001": "train", "P77": "test"},
        b={"P00002": "test"},
    )
    given = Index.load(workspace, "sixray10")
    own = Index.load(workspace)

    assert given.table["split"].to_pylist() == ["train", "", "", "test", ""]
    assert given.table.drop_columns("split") == own.table.drop_columns("split")
    assert given.table.schema == INDEX_SCHEMA
    assert own.table["split"].to_pylist() == [split for _, split, _ in KINDS.values()]
    assert Index.load(workspace, "leak-free").table == own.table
    assert [r.image_id for r in given.select(split="test")] == ["P00001"]
    assert given.record("P00002").split == ""


def test_a_split_that_is_not_there_is_one_line(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError) as caught:
        Index.load(workspace, "sixray10")
    assert str(caught.value) == f"{workspace.shards}: no split 'sixray10'; there is leak-free"
    build_splits(workspace, sixray10={"P00001": "test"}, given={"P00002": "test"})
    with pytest.raises(WorkspaceError) as caught:
        find_split(workspace, "sixray100")
    assert str(caught.value) == (
        f"{workspace.shards}: no split 'sixray100'; there is leak-free, given, sixray10"
    )


def test_countless_splits_are_not_read(workspace: Workspace) -> None:
    names = [f"s{number}" for number in range(MOST_SPLITS + 1)]
    build_splits(workspace, **{name: {"P00001": "test"} for name in names[1:]})
    assert len(sides_by_split(workspace)) == 1 + MOST_SPLITS
    build_splits(workspace, **{name: {"P00001": "test"} for name in names})
    with pytest.raises(WorkspaceError) as caught:
        sides_by_split(workspace)
    assert str(caught.value) == (
        f"{workspace.shards / 'splits.parquet'}: 51 splits, at most 50 are read; "
        "run `sixrayd download` again"
    )


def test_what_is_recorded_of_a_split(workspace: Workspace) -> None:
    build_splits(workspace, given={"P00002": "test"})
    found = [split_setting(workspace, name) for name in ("", "leak-free", "given")]
    assert found == [{}, {}, {"split": "given"}]
