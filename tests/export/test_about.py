"""What an export says of itself, for programs."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sixrayd.core.files import sha256_file, write_json
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.workspaces import Picture, Small, build_splits, finish

ESTIMATE = {
    "found": 3,
    "estimate": None,
    "upper": 5,
    "images": 6,
    "recall": 0.375,
    "settings": {"confidence": 0.95},
    "rests_on": ["checks: none"],
}


@pytest.fixture
def workspace(tmp_path):
    return Small().build(tmp_path / "ws")


def estimated(workspace, **changed):
    write_json(workspace.folder("estimate", "first") / "estimate.json", ESTIMATE | changed)
    finish(workspace, "estimate", "first", upper=changed.get("upper", 5))


def document(tree):
    return json.loads((Path(tree) / "manifests/dataset.json").read_text("utf-8"))


def exported(workspace, **settings):
    return Path(export(workspace, ExportSettings(**settings)).tree)


def test_counts_inputs_and_tables(workspace, tmp_path):
    tree = exported(workspace, forms=("coco",), sets=("confusing",), out=tmp_path / "out")
    said = document(tree)

    assert (said["name"], said["forms"], said["split"]) == ("first", ["coco"], "")
    assert said["versions"] == {"sixrayd": "0.1.0", "format": 1}
    assert said["counts"]["states"]["found positive"] == 3
    assert said["counts"]["sets"] == {"confusing": {"train": 1, "test": 0}}
    assert said["counts"]["sizes"]["Gun"] == {"small": 1, "medium": 0, "large": 2}
    assert said["near_duplicates"] == {"bits": 24, "groups": 16, "repeated": 0, "across": 0}
    assert said["image_sizes"] == {"width": [96, 96, 96], "height": [64, 64, 64]}
    assert said["missed"] is None
    assert said["false_finds"]["alone"] == 2
    assert "academic purposes only" in said["terms"]["text"]
    assert str(tmp_path) not in json.dumps(said)
    assert {kind: sorted(files) for kind, files in said["inputs"].items()} == {
        "candidates": ["mine/first/candidates.parquet"],
        "decisions": [f"review/first/decisions/0000{n}.parquet" for n in (1, 2)],
        "estimate": [],
        "index": ["shards/annotations.parquet", "shards/index.parquet"],
        "models": [],
        "release": ["shards/run.json"],
    }
    files = {path: digest for of in said["inputs"].values() for path, digest in of.items()}
    assert files == {path: sha256_file(workspace.root / path) for path in files}
    tables = {each["path"]: each["sha256"] for each in said["tables"].values()}
    assert tables == {path: sha256_file(tree / path) for path in tables}
    assert len(tables) == 3


def test_an_image_has_a_row_with_its_files_and_sides(tmp_path):
    small = Small()
    small.pictures += [Picture("N0000020")]
    workspace = small.build(tmp_path / "ws")
    build_splits(workspace, paper={"P00001": "test", "N0000020": "train"})
    tree = exported(workspace, forms=("voc", "yolo"), split="paper")
    rows = pq.read_table(tree / "manifests/images.parquet").to_pylist()
    by_id = {row["image_id"]: row for row in rows}

    assert len(rows) == 17
    first = by_id["P00001"]
    assert first["files"] == [
        "VOC2007/JPEGImages/P00001.jpg",
        "yolo/images/test/P00001.jpg",
    ]
    assert [sha256_file(tree / path) for path in first["files"]] == [first["sha256"]] * 2
    assert (tree / first["files"][0]).stat().st_size == first["size"]
    assert first["sides"] == [
        {"split": "leak-free", "side": "train"},
        {"split": "paper", "side": "test"},
    ]
    assert (first["split"], first["exported"], first["boxes"]) == ("test", True, 1)
    assert (first["source"], first["state"]) == ("positive", "source positive")
    second = by_id["N0000010"]
    assert second["sides"] == [{"split": "leak-free", "side": "test"}]
    assert (second["split"], second["boxes"]) == ("", 1)
    bare = by_id["P00003"]
    assert (bare["files"], bare["exported"], bare["labels"]) == ([], False, ["Wrench"])


def test_groups_on_both_sides_are_counted(tmp_path):
    workspace = Small().build(tmp_path / "ws")
    path = workspace.shards / "index.parquet"
    table = pq.read_table(path)
    groups = [
        "N0000001" if i in ("N0000002", "N0000010") else i for i in table["image_id"].to_pylist()
    ]
    column = table.schema.get_field_index("group")
    pq.write_table(table.set_column(column, table.schema.field(column), [groups]), path)
    said = document(exported(workspace))

    assert said["near_duplicates"] == {"bits": 24, "groups": 14, "repeated": 3, "across": 1}


def test_the_newest_estimate_is_told_and_an_input(workspace):
    estimated(workspace)
    said = document(exported(workspace))

    assert said["missed"] == {
        "name": "first",
        "found": 3,
        "likely": None,
        "upper": 5,
        "images": 6,
        "recall": 0.375,
        "confidence": 0.95,
        "rests_on": ["checks: none"],
        "is_older": False,
    }
    assert list(said["inputs"]["estimate"]) == ["estimate/first/run.json"]
    estimated(workspace, upper=4)
    assert workspace.stale("export", "first") == ["estimate/first/run.json"]
    assert document(exported(workspace, force=True))["missed"]["upper"] == 4
