"""Releases in every layout, of one image or one kind, and ingests that end before their time."""

import gzip
import json
import os
import shutil
import struct
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image

from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.findings import FINDING_SCHEMA
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.releases import (
    CLASSES,
    WHOLE,
    TinyRelease,
    cut,
    encode,
    jpeg,
    skipped,
    take,
    tar_gz,
    voc,
    write_zip,
)

SAMPLES = Path(os.environ.get("SIXRAYD_DATA", "/nonexistent"), "sixray-samples")


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def tables_of(root):
    """What an ingest says of each image, wherever its bytes lie."""
    workspace = Workspace(root / "ws")
    rows = Index.load(workspace).table.drop_columns(["shard", "offset"]).to_pylist()
    return rows, load_annotations(workspace)


def loose(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def jpegs(tiny, form="{}.jpg"):
    return {form.format(stem): data for stem, data in tiny.images.items()}


def xmls(tiny, form="{}.xml"):
    return {form.format(stem): data for stem, data in tiny.xml.items()}


def as_published(tiny, folder):
    tiny.write(folder)


def as_loose_files(tiny, folder):
    tiny.write_loose(folder)


def as_one_flat_folder(tiny, folder):
    loose(folder, jpegs(tiny) | xmls(tiny) | {"train.csv": tiny.csv()})


def as_voc(tiny, folder):
    loose(folder, jpegs(tiny, "VOC2007/JPEGImages/{}.jpg"))
    loose(folder, xmls(tiny, "VOC2007/Annotations/{}.xml"))


def as_a_plain_tar_beside_an_image_set(tiny, folder):
    loose(folder, {"ImageSet/train.csv": tiny.csv()})
    everything = jpegs(tiny, "Image/{}.jpg") | xmls(tiny, "Annotation/{}.xml")
    cut(folder, gzip.decompress(tar_gz(everything)), 2, "all.tar")


def as_two_zips_and_a_tgz(tiny, folder):
    folder.mkdir()
    positive = {name: data for name, data in jpegs(tiny).items() if name.startswith("P")}
    negative = {name: data for name, data in jpegs(tiny, "{}.JPG").items() if name[0] == "N"}
    write_zip(folder / "positive.zip", positive | {"sets/a.csv": tiny.csv()} | xmls(tiny))
    (folder / "negative.tgz").write_bytes(tar_gz(negative))


def as_image_sets_of_several_shares(tiny, folder):
    tiny.write(folder, sums=False)
    header, *rows = tiny.csv().decode().splitlines()
    half = {
        "ImageSet/10/test.csv": [header, *rows[:4]],
        "ImageSet/10/train.csv": [header, *rows[4:]],
    }
    half["ImageSet/100/test.csv"] = [header, *rows[1:3]]
    write_zip(folder / "ImageSet.zip", {n: "\r\n".join(r).encode() for n, r in half.items()})


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    as_published(TinyRelease(), folder / "release")
    assert take(folder, folder / "release") == WHOLE
    return tables_of(folder)


@pytest.mark.parametrize(
    "layout",
    [
        as_loose_files,
        as_one_flat_folder,
        as_voc,
        as_a_plain_tar_beside_an_image_set,
        as_two_zips_and_a_tgz,
        as_image_sets_of_several_shares,
    ],
)
def test_every_layout_gives_the_same_tables(tmp_path, published, layout):
    layout(TinyRelease(), tmp_path / "release")
    result = take(tmp_path, tmp_path / "release")

    rows, boxes = tables_of(tmp_path)
    assert replace(result, splits={}) == WHOLE
    assert boxes == published[1]
    without_sets = layout is as_voc  # which class is shown is not said there
    assert rows == [row | ({"labels": []} if without_sets else {}) for row in published[0]]


def test_every_image_format_under_any_suffix(tmp_path):
    picture = Image.linear_gradient("L")
    loose(
        tmp_path / "release",
        {
            "P1.png": encode(picture, "PNG"),
            "P2.bmp": encode(picture.rotate(90), "BMP"),
            "N1.webp": encode(picture.convert("RGB").rotate(180), "WEBP"),
            "N2.jpg": encode(picture.rotate(270), "PNG"),  # the name is wrong
            "P1.xml": voc("P1", ("Gun", 1, 1, 9, 9), size="256,256"),
            "P2.xml": voc("P2", size="256,256"),
        },
    )

    result = take(tmp_path, tmp_path / "release")

    assert (result.images, result.positives, result.unreadable, result.boxless) == (4, 2, 0, 1)
    index = Index.load(Workspace(tmp_path / "ws"))
    assert {(r.width, r.height) for r in index.select()} == {(256, 256)}


@pytest.mark.parametrize(("stem", "positives", "train"), [("P00001", 1, 1), ("N0000001", 0, 1)])
def test_a_release_of_one_image(tmp_path, stem, positives, train):
    tiny = TinyRelease()
    loose(tmp_path / "release", {f"{stem}.jpg": tiny.images[stem]})

    result = take(tmp_path, tmp_path / "release")

    assert asdict(result) == asdict(WHOLE) | {
        "images": 1,
        "positives": positives,
        "negatives": 1 - positives,
        "train": train,
        "test": 0,
        "boxes": 0,
        "unannotated": positives,
    }


@pytest.mark.parametrize("letter", ["P", "N"])
def test_images_of_one_kind_only(tmp_path, letter):
    tiny = TinyRelease()
    tiny.images = {stem: data for stem, data in tiny.images.items() if stem[0] == letter}
    tiny.xml = tiny.xml if letter == "P" else {}
    tiny.rows = [row for row in tiny.rows if row[0] == letter]

    result = take(tmp_path, tiny.write(tmp_path / "release"))

    count = 3 if letter == "P" else 5
    assert (result.images, result.positives + result.negatives) == (count, count)
    assert (result.train, result.test) == (count - 1, 1)
    assert result.boxes == (6 if letter == "P" else 0)
    shards = sorted(path.name for path in (tmp_path / "ws/shards").glob("*.tar"))
    assert shards == [f"{'positives' if letter == 'P' else 'negatives'}-00000.tar"]


def test_all_images_unreadable(tmp_path):
    tiny = TinyRelease()
    tiny.images = dict.fromkeys(tiny.images, b"no image")

    result = take(tmp_path, tiny.write(tmp_path / "release"), "skip")

    assert (result.images, result.unreadable, result.skipped) == (8, 8, 8)
    assert (result.duplicate_groups, result.boxes, result.unannotated) == (0, 6, 0)
    assert {line["error"] for line in skipped(tmp_path)} == {
        "begins with b'no image', expected JPEG, PNG, BMP, WebP or TIFF"
    }


def test_an_image_set_may_name_images_that_another_release_would_not(tmp_path):
    tiny = TinyRelease()
    for old, new in (("P00001", "bag (7)"), ("N0000001", "X-ray_2.v1")):
        tiny.images[new] = tiny.images.pop(old)
        tiny.rows = [row.replace(old, new) for row in tiny.rows]
    tiny.xml["bag (7)"] = tiny.xml.pop("P00001").replace(b"P00001", b"bag (7)")

    result = take(tmp_path, tiny.write(tmp_path / "release"))

    assert result == WHOLE
    index = Index.load(Workspace(tmp_path / "ws"))
    assert index.record("bag (7)").source == "positive"
    assert index.record("X-ray_2.v1").source == "negative"


def test_names_that_cannot_be_ids_are_told_and_passed_over(tmp_path):
    tiny = TinyRelease()
    release = tiny.write(tmp_path / "release", sums=False)
    loose(release, {"röntgen.jpg": jpeg(70), "刀.xml": voc("x"), "-rf.jpg": jpeg(71)})
    advice = (
        ": an image's name takes 1 to 90 of the letters A-Z, a-z, 0-9, _, -, dot, blank and "
        "brackets; rename the file"
    )
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (f"刀.xml: file name '刀'{advice}; mend it or pass --on-error skip")

    result = take(tmp_path, release, "skip")

    assert asdict(result) == asdict(WHOLE) | {"skipped": 3}
    assert skipped(tmp_path) == [
        {"where": f"{stem}.{suffix}", "error": f"file name {stem!r}{advice}"}
        for stem, suffix in (("刀", "xml"), ("-rf", "jpg"), ("röntgen", "jpg"))
    ]


def test_an_image_set_inside_the_tar_of_images_comes_too_late(tmp_path):
    tiny = TinyRelease()
    release = tiny.write(tmp_path / "release", sums=False)
    files = {"P00001.jpg": tiny.images["P00001"], "ImageSet/train.csv": tiny.csv()}
    cut(release, tar_gz(files), 1, "a.tar.gz")
    assert take(tmp_path / "same", release).images == 8  # it lies beside the archive, too

    cut(release, tar_gz(files | {"ImageSet/train.csv": tiny.csv() + b"\n"}), 1, "a.tar.gz")
    for on_error in ("stop", "skip"):
        with pytest.raises(ReleaseError) as caught:
            take(tmp_path, release, on_error)
        assert str(caught.value) == (
            "a.tar.gz/ImageSet/train.csv: an image set among the images; unpack it beside the "
            "archive"
        )


def test_what_stopped_leaves_nothing_that_a_later_ingest_keeps(tmp_path):
    tiny = TinyRelease()
    tiny.images["N0000004"] = b"no image"
    release = tiny.write(tmp_path / "release")
    with pytest.raises(ReleaseError):
        take(tmp_path, release, images_per_shard=2)
    assert not (tmp_path / "ws/shards/run.json").exists()

    mended = take(tmp_path, release, "skip", images_per_shard=2)
    alone = tmp_path / "alone"
    assert take(alone, release, "skip", images_per_shard=2) == mended
    assert files_of(tmp_path / "ws/shards") == files_of(alone / "ws/shards")


def test_an_ingest_lists_its_files_with_their_hashes(tmp_path):
    tiny = TinyRelease()
    tiny.xml["P00001"] = voc("other", ("Gun", 1, 1, 9, 9))
    tiny.images["N0000001"] = b"no image"
    take(tmp_path, tiny.write(tmp_path / "release"), "skip", images_per_shard=4)

    run = Workspace(tmp_path / "ws").run("shards")
    assert sorted(run.outputs) == [
        "annotations.parquet",
        "findings.parquet",
        "index.parquet",
        "negatives-00000.tar",
        "negatives-00001.tar",
        "notes.txt",
        "positives-00000.tar",
        "skipped.jsonl",
    ]
    assert set(files_of(tmp_path / "ws/shards")) == {*run.outputs, "run.json"}
    for name in run.outputs:
        assert Workspace(tmp_path / "ws").output("shards", "", name).name == name
    assert (tmp_path / "ws/shards/notes.txt").read_text() == (
        "Annotation.zip/Annotation/P00001.xml: <filename> says 'other.jpg'; taken for P00001\n"
    )


def test_findings_are_a_sorted_table(tmp_path):
    tiny = TinyRelease()
    tiny.rows.append("P00002,-1,-1")
    tiny.images["N0000009"] = jpeg(70)
    tiny.xml["P00003"] = voc("other", ("Gun", 1, 1, 97, 9))
    take(tmp_path, tiny.write(tmp_path / "release"))

    table = read_table(tmp_path / "ws/shards/findings.parquet", FINDING_SCHEMA)
    xml, sets = "Annotation.zip/Annotation/P00003.xml", "ImageSet.zip/ImageSet/10/train.csv"
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (
            "annotation that names another image",
            xml,
            "<filename> says 'other.jpg'; taken for P00003",
            "P00003",
        ),
        (
            "box past the image's edge",
            f"{xml}: object 1",
            "xmax 97 exceeds width 96; clipped",
            "P00003",
        ),
        (
            "image sets that disagree",
            f"{sets}: line 10",
            "P00002 shows nothing, in ImageSet.zip/ImageSet/10/train.csv Gun, Knife",
            "P00002",
        ),
        ("image that no image set lists", "image sets", "listed by none", "N0000009"),
    ]


def test_progress_is_told(tmp_path):
    told = []
    release = TinyRelease().write(tmp_path / "release")
    download(
        Workspace(tmp_path / "ws"),
        DownloadSettings(str(release), CLASSES),
        lambda *said: told.append(said),
    )

    read = [("reading", number, 8) for number in range(1, 9)]
    assert [said for said in told if said[0] == "reading"] == read
    of = {said[0]: said[1:] for said in told}
    assert of["measuring"] == (8, 8)
    done, total = of["hashes compared"]
    assert done == total > 0


def test_an_error_at_any_write_ends_in_the_same_bytes(tmp_path, monkeypatch):
    release = TinyRelease().write(tmp_path / "release")
    take(tmp_path, release, images_per_shard=4)
    whole = files_of(tmp_path / "ws/shards")
    sync, died = os.fsync, 0

    class Killed(BaseException):
        pass

    for dies_at in range(0, 99, 5):
        synced = iter(range(999))

        def dying(handle, synced=synced, dies_at=dies_at):
            if next(synced) == dies_at:
                raise Killed
            sync(handle)

        root = tmp_path / str(dies_at)
        monkeypatch.setattr(os, "fsync", dying)
        try:
            take(root, release, images_per_shard=4)
            break
        except Killed:
            died += 1
        finally:
            monkeypatch.setattr(os, "fsync", sync)
        assert take(root, release, images_per_shard=4) == WHOLE
        found = files_of(root / "ws/shards")
        found.pop("plan.json", None)  # of an ingest that ended after its last result
        assert found == whole
        shutil.rmtree(root)
    assert 3 < died < 20


def test_another_release_takes_the_place_of_the_first_only_by_force(tmp_path):
    first = TinyRelease().write(tmp_path / "release")
    take(tmp_path, first)
    whole = files_of(tmp_path / "ws/shards")
    other = TinyRelease()
    del other.images["N0000005"], other.rows[-1]
    release = other.write(tmp_path / "other")

    with pytest.raises(WorkspaceError, match=r"holds a finished ingest of .*/release with other"):
        take(tmp_path, release)
    assert files_of(tmp_path / "ws/shards") == whole
    (tmp_path / "empty").mkdir()
    labels = tmp_path / "labels"
    loose(labels, {"ImageSet/10/train.csv": b"name,Gun\n", "P00001.jpg": b""})
    for folder, why in ((tmp_path / "empty", "no image found"), (labels, "columns are Gun")):
        with pytest.raises(ReleaseError, match=why):
            take(tmp_path, folder, force=True)
        assert files_of(tmp_path / "ws/shards") == whole
    assert take(tmp_path, release, force=True).images == 7
    assert take(tmp_path, first, force=True) == WHOLE
    assert files_of(tmp_path / "ws/shards") == whole


needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="SIXRAYD_DATA names no folder with SIXray's samples"
)


@needs_samples
def test_real_images_with_their_real_annotations(tmp_path):
    result = download(Workspace(tmp_path / "ws"), DownloadSettings(str(SAMPLES / "sixray-d")))

    assert (result.images, result.positives, result.unreadable) == (3, 3, 0)
    assert (result.unannotated, result.boxless, result.skipped) == (0, 0, 0)
    boxes = load_annotations(Workspace(tmp_path / "ws"))
    assert [box.box.xyxy for box in boxes["P00002"]] == [
        (273, 231, 610, 460),
        (224, 333, 591, 465),
    ]
    assert {box.box.label for box in boxes["P00002"]} == {"Knife"}


@needs_samples
def test_real_negatives_are_png_and_keep_their_bytes(tmp_path):
    result = download(Workspace(tmp_path / "ws"), DownloadSettings(str(SAMPLES / "negatives")))

    index = Index.load(Workspace(tmp_path / "ws"))
    paths = sorted((SAMPLES / "negatives").iterdir())
    assert (result.images, result.negatives, result.unreadable) == (4, 4, 0)
    assert [index.read(path.stem) for path in paths] == [path.read_bytes() for path in paths]


def test_the_summary_is_what_the_command_says_again(tmp_path):
    release = TinyRelease().write(tmp_path / "release")
    result = take(tmp_path, release)

    summary = json.loads((tmp_path / "ws/shards/run.json").read_text())["summary"]
    assert summary | {"splits": {}} == asdict(result) | {"unannotated_ids": []}
    assert "splits" not in summary
    assert result.images == result.positives + result.negatives == result.train + result.test


def test_shards_that_lie_elsewhere_are_not_cleared_away(tmp_path):
    as_loose_files(TinyRelease(), tmp_path / "r")
    theirs = tmp_path / "theirs"
    loose(theirs, {"run.json": b"{}", "a/photo.jpg": b"theirs"})
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/shards").symlink_to(theirs)
    with pytest.raises(WorkspaceError, match=f"ws/shards: .*{theirs}"):
        download(Workspace(tmp_path / "ws"), DownloadSettings(release=str(tmp_path / "r")))
    assert (theirs / "run.json").read_bytes() == b"{}"
    assert (theirs / "a/photo.jpg").read_bytes() == b"theirs"


def test_a_finished_ingest_that_lacks_a_count_says_so(tmp_path):
    release = TinyRelease().write(tmp_path / "release")
    take(tmp_path, release)
    path = tmp_path / "ws/shards/run.json"
    document = json.loads(path.read_text())
    del document["summary"]["boxes"]
    path.write_text(json.dumps(document))

    with pytest.raises(WorkspaceError, match="lacks 'boxes'; run the stage that wrote it again"):
        take(tmp_path, release)


def test_many_small_images_of_billions_of_pixels_are_not_decoded(tmp_path):
    """Each is within the limits of one image; none would be, that is decoded, in this test's time.

    Usual images among them are read.
    """
    # A header of a progressive JPEG, and scans of which each would go over all pixels.
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, 7070, 7070, 1) + b"\1\x11\0"
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\1\0\1\x3f\0"
    start = b"\xff\xd8\xff\xdb" + struct.pack(">HB", 67, 0) + b"\1" * 64
    tiny = TinyRelease()
    dense = {f"P1000{i}": start + frame + scan * 39 + bytes([i, 255, 217]) for i in range(5)}
    tiny.images |= dense
    tiny.images["P20000"] = jpeg(7)

    result = take(tmp_path, tiny.write(tmp_path / "release"), "skip")

    size, pixels = len(dense["P10000"]), 39 * 7070 * 7070
    assert (result.images, result.unreadable) == (10, 1)
    refused = [line for line in skipped(tmp_path) if "each scan counted" in line["error"]]
    assert [line["where"][-10:-4] for line in refused] == [f"P1000{i}" for i in range(1, 5)]
    assert refused[0]["error"].startswith(f"{pixels} pixels, each scan counted, in {size} bytes, ")
    assert refused[0]["error"].endswith(
        "; at most 200 for each byte of all images and 2000000000 are decoded"
    )
    with pytest.raises(ReleaseError, match=rf"P10001\.jpg: {pixels} pixels, each scan counted, in"):
        take(tmp_path / "other", tmp_path / "release")
