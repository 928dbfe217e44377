"""One set as VOC, COCO and YOLO: `download` makes the same of each."""

import pytest

from sixrayd.core.files import read_table
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA, SPLIT_SCHEMA
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.datasets.sets import NAMES, OBJECTS, SIDES, as_coco, as_voc, as_yolo


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
