"""A release becomes shards, index and annotations, or one clear line."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from sixrayd.core.errors import (
    ReleaseError,
    WorkspaceError,
)
from sixrayd.core.index import Index, load_annotations, unannotated_ids
from sixrayd.core.shards import iter_shard
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.releases import (
    CLASSES,
    WHOLE,
    TinyRelease,
    encode,
    jpeg,
    take,
    voc,
    write_zip,
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_whole_release(tmp_path: Path) -> None:
    tiny = TinyRelease()
    result = take(tmp_path, tiny.write(tmp_path / "release"))
    workspace = Workspace(tmp_path / "ws")
    index = Index.load(workspace)
    assert result == WHOLE
    assert workspace.classes().names == CLASSES
    assert index.table["image_id"].to_pylist() == sorted(tiny.images)
    assert {stem: index.read(stem) for stem in tiny.images} == tiny.images
    record = index.record("P00003")
    assert (record.source, record.labels, record.width, record.height, record.error) == (
        "positive",
        ("Gun",),
        96,
        64,
        "",
    )
    boxes = load_annotations(workspace)
    assert sorted(boxes) == ["P00001", "P00002", "P00003"]
    first, second = boxes["P00001"]
    assert (first.box_id, first.box.label, first.box.xyxy) == ("P00001/a0", "Gun", (0, 0, 20, 30))
    assert (second.box_id, second.box.label, second.box.xyxy) == (
        "P00001/a1",
        "Knife",
        (30, 10, 60, 50),
    )


def test_shards_hold_what_the_index_says(tmp_path: Path) -> None:
    tiny = TinyRelease()
    take(tmp_path, tiny.write(tmp_path / "release"), images_per_shard=2)
    index = Index.load(Workspace(tmp_path / "ws"))
    assert index.shards("positive") == ["positives-00000.tar", "positives-00001.tar"]
    assert index.shards("negative") == [f"negatives-0000{n}.tar" for n in range(3)]
    found = [image for name in index.shards() for image in iter_shard(index.folder / name)]
    assert len(found) == 8
    for image in found:
        assert image.data == tiny.images[image.image_id]
        assert image.offset == index.record(image.image_id).offset


def test_repeat_does_nothing_and_other_settings_need_force(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release")
    take(tmp_path, release)
    mark = tmp_path / "ws/shards/run.json"
    before = mark.stat().st_mtime_ns
    assert take(tmp_path, release) == WHOLE
    assert mark.stat().st_mtime_ns == before
    with pytest.raises(WorkspaceError) as caught:
        take(tmp_path, release, seed=1)
    assert str(caught.value) == (
        f"{tmp_path}/ws/shards: holds a finished ingest of {release} with other files or "
        "settings (seed 0 there, 1 asked for); pass --force to replace it, or name another "
        "workspace with -w"
    )
    take(tmp_path, release, seed=1, force=True)
    assert Workspace(tmp_path / "ws").run("shards").settings["seed"] == 1


def test_killed_ingest_ends_in_the_same_bytes(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release")
    take(tmp_path, release, images_per_shard=2)
    whole = files_of(tmp_path / "ws/shards")

    class Killed(BaseException):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if done == 5:
            raise Killed

    workspace = Workspace(tmp_path / "other")
    settings = DownloadSettings(str(release), CLASSES, images_per_shard=2)
    with pytest.raises(Killed):
        download(workspace, settings, kill)
    assert not (workspace.shards / "run.json").exists()
    (workspace.shards / ".negatives-00009.tar.1.part").write_bytes(b"left by a kill")
    download(workspace, settings)
    assert files_of(workspace.shards) == whole


def test_loose_files_in_other_case(tmp_path: Path) -> None:
    tiny = TinyRelease()
    assert take(tmp_path, tiny.write_loose(tmp_path / "release")) == WHOLE
    index = Index.load(Workspace(tmp_path / "ws"))
    assert {stem: index.read(stem) for stem in tiny.images} == tiny.images


def test_changed_loose_file_is_another_release(tmp_path: Path) -> None:
    release = TinyRelease().write_loose(tmp_path / "release")
    take(tmp_path, release)
    (release / "Image/P00001.jpg").write_bytes(jpeg(77))
    with pytest.raises(WorkspaceError, match="pass --force to replace it"):
        take(tmp_path, release)


def test_images_in_a_zip(tmp_path: Path) -> None:
    tiny = TinyRelease()
    release = tiny.write(tmp_path / "release", sums=False)
    for part in release.glob("JPEGImage*"):
        part.unlink()
    write_zip(release / "JPEGImage.zip", {f"a/{s}.jpg": d for s, d in tiny.images.items()})
    assert take(tmp_path, release) == WHOLE


def test_copies_of_one_image_merge_and_differing_ones_do_not(tmp_path: Path) -> None:
    tiny = TinyRelease()
    release = tiny.write(tmp_path / "release", sums=False)
    (release / "P00001.jpg").write_bytes(tiny.images["P00001"])
    write_zip(release / "positive-Annotation.zip", {"P00001.xml": tiny.xml["P00001"]})
    assert take(tmp_path, release).merged == 2
    (release / "P00002.jpg").write_bytes(jpeg(55))
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, force=True)
    assert str(caught.value) == (
        "P00002.jpg: another image is called P00002 and differs; mend it or pass --on-error skip"
    )


def test_duplicates_share_a_side(tmp_path: Path) -> None:
    tiny = TinyRelease()
    for number in range(6, 46):
        tiny.images[f"N{number:07d}"] = jpeg(200 + number // 2)
    tiny.images["N0000001"] = encode(Image.open(io.BytesIO(tiny.images["P00001"])), "PNG")
    result = take(tmp_path, tiny.write(tmp_path / "release"), test_share=0.3)
    table = Index.load(Workspace(tmp_path / "ws")).table.to_pylist()
    sides: dict[str, set[str]] = {}
    for row in table:
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) == 27
    assert all(len(side) == 1 for side in sides.values())
    assert (result.duplicate_groups, result.negatives_like_positives) == (21, 1)
    assert next(row["group"] for row in table if row["image_id"] == "P00001") == "N0000001"


def test_no_image_sets_and_odd_names(tmp_path: Path) -> None:
    tiny = TinyRelease()
    release = tiny.write(tmp_path / "release", sums=False)
    (release / "ImageSet.zip").unlink()
    assert take(tmp_path, release) == WHOLE
    (release / "bag7.jpg").write_bytes(jpeg(7))
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, force=True)
    assert str(caught.value) == (
        "bag7.jpg: in no image set, without annotation, and its name is neither P… nor N…; "
        "mend it or pass --on-error skip"
    )


def test_positive_without_xml_is_not_an_empty_one(tmp_path: Path) -> None:
    tiny = TinyRelease()
    del tiny.xml["P00001"]
    tiny.xml["P00002"] = voc("P00002")
    tiny.xml["N0000001"] = voc("N0000001", ("Gun", 1, 1, 5, 5))
    result = take(tmp_path, tiny.write(tmp_path / "release"))
    assert (result.unannotated, result.boxless, result.negatives_with_boxes) == (1, 1, 1)
    workspace = Workspace(tmp_path / "ws")
    assert unannotated_ids(workspace) == {"P00001"}
    assert (workspace.shards / "notes.txt").read_text() == (
        "Annotation.zip/Annotation/N0000001.xml: the image sets call it negative; a positive for "
        "its boxes\n"
        "Annotation.zip/Annotation/P00002.xml: no usable object\n"
    )


@pytest.mark.skipif(
    not Path(os.environ.get("SIXRAYD_DATA", "/nonexistent"), "rehearsal").is_dir(),
    reason="SIXRAYD_DATA names no folder with the rehearsal release",
)
@pytest.mark.long
def test_rehearsal_release(tmp_path: Path) -> None:
    release = Path(os.environ["SIXRAYD_DATA"], "rehearsal")
    settings = DownloadSettings(str(release), ("Scissors", "Multitool"))
    result = download(Workspace(tmp_path / "ws"), settings)
    assert (result.images, result.positives, result.negatives) == (6181, 2169, 4012)
    assert (result.boxes, result.unreadable, result.unannotated, result.skipped) == (2169, 0, 0, 0)
