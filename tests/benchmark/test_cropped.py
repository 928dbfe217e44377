"""Training images cropped: boxes follow, ids and groups stay."""

from sixrayd.benchmark.cropped import crop_training_side
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.workspace import Workspace
from sixrayd.crop.region import Region
from sixrayd.imaging.decode import decode_rgb
from tests.workspaces import Picture, build_shards


def test_crops_keep_what_lies_inside(tmp_path):
    data, target = Workspace(tmp_path / "data"), Workspace(tmp_path / "crops")
    boxes = (
        ("Gun", 20, 20, 40, 40, False),  # inside
        ("Knife", 5, 20, 20, 30, False),  # two thirds inside
        ("Wrench", 0, 0, 12, 12, False),  # a ninth of it inside
    )
    build_shards(data, [Picture("P00001", boxes=boxes), Picture("P00002", "test", boxes=boxes)])

    crop_training_side(data, target, lambda image: Region(10, 10, 74, 58), {"k": 0.2})

    index = Index.load(target)
    assert [r.image_id for r in index.select()] == ["P00001"]
    assert (index.record("P00001").width, index.record("P00001").height) == (64, 48)
    whole = decode_rgb(Index.load(data).read("P00001"), "P00001")
    cropped = decode_rgb(index.read("P00001"), "P00001")
    assert (cropped == whole[10:58, 10:74]).all()
    found = [(a.box_id, a.box.xyxy, a.truncated) for a in load_annotations(target)["P00001"]]
    assert found == [
        ("P00001/a0", (10, 10, 30, 30), False),
        ("P00001/a1", (0, 10, 10, 20), True),
    ]


def test_the_same_crops_are_not_made_again(tmp_path):
    data, target = Workspace(tmp_path / "data"), Workspace(tmp_path / "crops")
    build_shards(data, [Picture("P00001", boxes=(("Gun", 20, 20, 40, 40, False),))])
    region = Region(0, 0, 50, 50)
    crop_training_side(data, target, lambda image: region, {"k": 0.2})
    before = (target.shards / "index.parquet").stat().st_mtime_ns

    crop_training_side(data, target, lambda image: region, {"k": 0.2})
    assert (target.shards / "index.parquet").stat().st_mtime_ns == before

    crop_training_side(data, target, lambda image: region, {"k": 0.3})
    assert (target.shards / "index.parquet").stat().st_mtime_ns > before
