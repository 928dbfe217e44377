"""One set as VOC, COCO and YOLO: `download` makes the same of each."""

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import SixraydError
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA, SPLIT_SCHEMA
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.datasets.sets import NAMES, OBJECTS, SIDES, as_coco, as_voc, as_yolo
from tests.releases import TinyRelease, jpeg


def taken(folder, write):
    """Images, boxes in any order, and sides of a set that is downloaded."""
    write(folder / "set")
    workspace = Workspace(folder / "workspace")
    download(workspace, DownloadSettings(str(folder / "set"), classes=NAMES))
    index = read_table(workspace.shards / "index.parquet", INDEX_SCHEMA)
    boxes = read_table(workspace.shards / "annotations.parquet", ANNOTATION_SCHEMA)
    sides = read_table(workspace.shards / "splits.parquet", SPLIT_SCHEMA)
    # An image's place in a shard follows the order of the set's folders.
    images = index.drop_columns(["shard", "offset"]).to_pylist()
    return images, boxes.to_pylist(), sides.to_pylist()


@pytest.mark.parametrize("write", [as_coco, as_yolo])
def test_a_copy_in_another_form_gives_an_equal_index(tmp_path, write):
    images, boxes, sides = taken(tmp_path / "voc", as_voc)

    assert taken(tmp_path / "copy", write) == (images, boxes, sides)
    assert {row["image_id"] for row in images if row["source"] == "positive"} == {
        image_id for image_id, objects in OBJECTS.items() if objects
    }
    edges = [
        (row["label"], *(row[edge] for edge in ("x1", "y1", "x2", "y2")))
        for row in boxes
        if row["image_id"] == "N0000003"
    ]
    assert edges == OBJECTS["N0000003"]
    assert {row["image_id"]: row["side"] for row in sides} == SIDES


@pytest.mark.parametrize("write", [as_voc, as_coco, as_yolo])
def test_classes_are_a_choice_from_those_of_the_set(tmp_path, runner, write):
    write(tmp_path / "set")
    words = ["download", "-w", str(tmp_path / "ws"), "--release", str(tmp_path / "set")]

    said = runner.invoke(cli, [*words, "--classes", "Knife,Gun"], catch_exceptions=False)

    assert said.exit_code == 0
    assert "1 box of other classes left out: Wrench 1" in said.stdout.splitlines()
    boxes = read_table(tmp_path / "ws/shards/annotations.parquet", ANNOTATION_SCHEMA)
    assert set(boxes["label"].to_pylist()) == {"Gun", "Knife"}


@pytest.mark.parametrize("write", [as_voc, as_coco, as_yolo])
def test_a_class_that_the_set_has_not_is_no_choice(tmp_path, write):
    write(tmp_path / "set")
    settings = DownloadSettings(str(tmp_path / "set"), classes=("Gun", "Knive"), chosen=True)

    with pytest.raises(SixraydError, match="Knife"):
        download(Workspace(tmp_path / "ws"), settings)


def test_image_sets_of_more_classes(tmp_path):
    release = TinyRelease().write(tmp_path / "release")
    settings = DownloadSettings(str(release), classes=("Knife",), chosen=True)

    result = download(Workspace(tmp_path / "ws"), settings)

    assert (result.boxes, result.other_classes) == (3, {"Gun": 3})
    assert (result.positives, result.negatives_with_boxes) == (3, 1)  # P00003 by its boxes


def test_images_without_a_file_of_labels_are_background_in_yolo_s_form(tmp_path):
    as_yolo(tmp_path / "set")
    named = next((tmp_path / "set").rglob("P00001.jpg"))
    (named.parent / "street.jpg").write_bytes(jpeg(77))

    result = download(Workspace(tmp_path / "ws"), DownloadSettings(str(tmp_path / "set"), NAMES))

    assert (result.images, result.positives, result.negatives, result.skipped) == (5, 3, 2, 0)
