"""Releases as people have them: nothing in them vanishes without a word."""

import gzip
import io
import os
import tarfile

import pytest
from PIL import Image

from sixrayd.core.errors import ReleaseError
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.places import IMAGES
from sixrayd.download.faults import Faults
from sixrayd.download.imagesets import listed_image
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.datasets.sets import NAMES, as_coco, as_voc, as_yolo
from tests.releases import TinyRelease, encode, jpeg, skipped, take, tar_gz, voc, write_zip


def pixels(seed):
    return Image.open(io.BytesIO(jpeg(seed)))


@pytest.fixture
def loose(tmp_path):
    return TinyRelease().write_loose(tmp_path / "release")


def test_folder_names_of_any_encoding(tmp_path, loose):
    folder = loose / os.fsdecode("安检".encode("gbk"))
    folder.mkdir()
    (loose / "Annotations/P00001.xml").unlink()
    (folder / "P00001.xml").write_bytes(voc("P00001", ("Gun", 1, 1, 20, 30), size="97,64"))

    result = take(tmp_path, loose)

    assert (result.boxes, result.notes) == (5, 1)
    notes = (tmp_path / "ws/shards/notes.txt").read_text("utf-8")
    assert notes.startswith("\\xb0\\xb2\\xbc\\xec/P00001.xml: <size> says 97 x 64")


def test_names_of_any_encoding_in_a_tar(tmp_path, loose):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", encoding="gbk", format=tarfile.GNU_FORMAT) as tar:
        for stem, content in (("N0000008", jpeg(8)), ("N0000009", jpeg(9)[:300])):
            entry = tarfile.TarInfo(f"安检/{stem}.jpg")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    (loose / "more.tar.gz").write_bytes(data.getvalue())

    result = take(tmp_path, loose, "skip")

    assert (result.images, result.unreadable) == (10, 1)
    assert skipped(tmp_path)[0]["where"] == "more.tar.gz/\\xb0\\xb2\\xbc\\xec/N0000009.jpg"


def test_links_to_folders_are_followed_once(tmp_path, loose):
    nas = tmp_path / "nas"
    (loose / "Image/1").rename(nas)
    (loose / "Image/1").symlink_to(nas)
    (loose / "Image/again").symlink_to(nas)
    (nas / "loop").symlink_to(loose)

    result = take(tmp_path, loose)

    assert (result.images, result.merged) == (8, 0)


def test_links_that_lead_nowhere_are_named(tmp_path, loose):
    for name in ("N0000009.jpg", "a.zip", "b.tar.gz"):
        (loose / name).symlink_to("/nowhere")

    result = take(tmp_path, loose, "skip")

    assert (result.images, result.skipped) == (8, 3)
    assert skipped(tmp_path) == [
        {"where": name, "error": "a link to /nowhere, where nothing is"}
        for name in ("a.zip", "b.tar.gz", "N0000009.jpg")
    ]


def test_what_is_passed_over_is_counted_by_suffix(tmp_path, loose):
    for name in ("readme.txt", "a/b.txt", "movie.mp4", "LICENSE"):
        (loose / name).parent.mkdir(exist_ok=True)
        (loose / name).write_bytes(b"x")
    (loose / "more.tgz").write_bytes(tar_gz({"N0000008.jpg": jpeg(8), "thumbs.db": b"x"}))

    result = take(tmp_path, loose)

    assert result.images == 9
    assert result.passed_over == {".db": 1, ".mp4": 1, ".txt": 2, "no suffix": 1}


def test_images_of_other_suffixes_are_images(tmp_path, loose):
    (loose / "N0000006.tif").write_bytes(encode(pixels(6), "TIFF"))
    (loose / "N0000007.jfif").write_bytes(jpeg(7))
    (loose / "N0000008.JPE").write_bytes(jpeg(8))

    result = take(tmp_path, loose)

    assert (result.images, result.unreadable, result.passed_over) == (11, 0, {})
    index = Index.load(Workspace(tmp_path / "ws"))
    assert index.read("N0000006")[:4] == b"II*\x00"


@pytest.mark.parametrize(
    "names",
    [
        [f"JPEGImage.tar.gz{part}" for part in ("aa", "ab", "ac")],
        [f"JPEGImage.tar.gz.{part}" for part in ("aa", "ab", "ac")],
        [f"JPEGImage.tar.gz.part{part}" for part in (0, 1, 2)],
        [f"JPEGImage.tgz_{part}" for part in ("07", "08", "09")],
    ],
)
def test_parts_by_any_of_their_names(tmp_path, names):
    release = TinyRelease().write(tmp_path / "release", sums=False)
    second = names[1]
    renamed = dict(zip(sorted(release.glob("*.gz0?")), names, strict=True))
    for path, name in renamed.items():
        path.rename(release / name)
    assert take(tmp_path, release).images == 8

    (release / second).unlink()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, force=True)
    assert str(caught.value).endswith(f"part {second} is missing; mend it or pass --on-error skip")


def test_two_files_of_one_part_are_named(tmp_path):
    release = TinyRelease().write(tmp_path / "release", sums=False)
    (release / "JPEGImage.tar.gz").write_bytes(tar_gz({"P00009.jpg": jpeg(9)}))
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "JPEGImage.tar.gz00: is the same part as JPEGImage.tar.gz; keep one of them; "
        "mend it or pass --on-error skip"
    )


def test_an_archive_within_an_archive_is_named(tmp_path, loose):
    inner = tar_gz({"N0000008.jpg": jpeg(8)})
    (loose / "more.tar.gz").write_bytes(tar_gz({"raw/JPEGImage.tar.gz": inner}))
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, loose)
    assert str(caught.value) == (
        "more.tar.gz/raw/JPEGImage.tar.gz: an archive within an archive; unpack it beside the "
        "others; mend it or pass --on-error skip"
    )


def test_paths_that_windows_wrote(tmp_path):
    tiny = TinyRelease()
    tiny.rows = [f"JPEGImage\\{row}" for row in tiny.rows]
    release = tiny.write_loose(tmp_path / "release")
    (release / "JPEGImage\\N0000008.jpg").write_bytes(jpeg(8))
    (release / "more.tar.gz").write_bytes(tar_gz({"JPEGImage\\N0000009.jpg": jpeg(9)}))

    assert (take(tmp_path, release).images, take(tmp_path, release).absent) == (10, 0)


SET = TinyRelease().csv().decode()


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + SET.replace("\n", "\r\n").replace(",", ", ").encode(),
        SET.replace(",", ";").encode(),
        SET.replace(",", "\t").encode(),
        "".join(f"{n or ''},{line}\n" for n, line in enumerate(SET.splitlines())).encode(),
        SET.replace("\n", ",,\n").encode(),
        SET.replace(",1", ",1.0").replace(",-1", ",-1.0").encode(),
        SET.encode("utf-16"),
    ],
    ids=["mark and blanks", "semicolons", "tabs", "numbered", "trailing", "floats", "utf-16"],
)
def test_image_sets_as_spreadsheets_save_them(tmp_path, loose, data):
    plain = take(tmp_path, loose)
    before = Index.load(Workspace(tmp_path / "ws")).table
    (loose / "ImageSet/10/train.csv").write_bytes(data)

    assert take(tmp_path, loose, force=True) == plain
    assert Index.load(Workspace(tmp_path / "ws")).table == before


def test_a_box_that_clipping_leaves_too_thin_is_dropped_and_named(tmp_path):
    tiny = TinyRelease()
    tiny.xml["P00001"] = voc("P00001", ("Gun", 97, 10, 120, 40), ("Knife", 1, 1, 30, 30)).replace(
        b"<xmin>97", b"<xmin>96.5"
    )
    result = take(tmp_path, tiny.write_loose(tmp_path / "release"))

    assert (result.boxes, result.notes) == (5, 3)
    notes = (tmp_path / "ws/shards/notes.txt").read_text().splitlines()
    assert notes[-1] == (
        "Annotations/P00001.xml: object 1: Gun is 0.5 x 31 pixels within the image; left out"
    )
    boxes = load_annotations(Workspace(tmp_path / "ws"))["P00001"]
    assert [(a.box_id, a.box.label) for a in boxes] == [("P00001/a0", "Knife")]


def test_where_all_images_are_refused_it_is_not_said_that_none_was_found(tmp_path):
    release = tmp_path / "release"
    release.mkdir()
    (release / "a.gz").write_bytes(b"no archive")
    write_zip(release / "b.zip", {"scan1.jpg": jpeg(1)})
    (release / "scan2.jpg").write_bytes(jpeg(2))
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, "skip")
    assert str(caught.value) == (
        f"{release}: 2 images found, none of which can be taken; the first fault passed over: "
        "b.zip/scan1.jpg: in no image set, without annotation, and its name is neither P… nor N…"
    )


def test_without_any_image_the_first_fault_is_said(tmp_path):
    release = tmp_path / "release"
    release.mkdir()
    (release / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, "skip")
    assert str(caught.value) == (
        f"{release}: no image found; expected JPEGImage.tar.gz00 … or folders of images; the "
        "first fault passed over: a.tar.gz: begins with b'no archi', expected "
        "b'\\x1f\\x8b'; fetch it again"
    )


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.tar", tar_gz({}), "as no plain tar does; by that it is a .tar.gz: rename it so"),
        (
            "a.tar.gz00",
            gzip.decompress(tar_gz({"a.jpg": b""})),
            "expected b'\\x1f\\x8b'; by that it is a .tar: rename it so",
        ),
        ("a.zip", b"Rar!\x1a\x07", "expected b'PK'; by that it is a .rar: rename it so"),
        ("a.tgz", b"PK\x03\x04", "expected b'\\x1f\\x8b'; by that it is a .zip: rename it so"),
    ],
)
def test_an_archive_under_the_name_of_another_kind_is_told_what_it_is(
    tmp_path, loose, name, data, said
):
    (loose / name).write_bytes(data)
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, loose)
    assert str(caught.value).startswith(f"{name}: begins with b'")
    assert str(caught.value).endswith(f", {said}; mend it or pass --on-error skip")


@pytest.mark.parametrize("write", [as_voc, as_coco, as_yolo])
def test_labels_behind_the_images_of_a_tar_are_read(tmp_path, write):
    write(tmp_path / "set")
    files = [path for path in (tmp_path / "set").rglob("*") if path.is_file()]
    files.sort(key=lambda path: path.suffix not in IMAGES)
    (tmp_path / "tarred").mkdir()
    packed = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in files}
    (tmp_path / "tarred/set.tar.gz").write_bytes(tar_gz(packed))

    results = []
    for at in ("set", "tarred"):
        settings = DownloadSettings(str(tmp_path / at), NAMES)
        results.append(download(Workspace(tmp_path / f"ws-{at}"), settings))

    kept = ("images", "positives", "boxes", "notes", "skipped", "passed_over")
    loose, tarred = ({name: getattr(result, name) for name in kept} for result in results)
    assert tarred == loose
    assert (tarred["images"], tarred["positives"], tarred["boxes"]) == (4, 3, 6)


def test_a_json_that_is_no_labels_is_named_where_nothing_is_said_of_an_image(tmp_path):
    release = tmp_path / "release"
    release.mkdir()
    (release / "a.jpg").write_bytes(jpeg(1))
    (release / "labels.json").write_bytes(b'{"images": [{"id": 1, "file_na')
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "a.jpg: in no image set, without annotation, and its name is neither P… nor N…; "
        "labels.json has no labels in VOC's, COCO's or YOLO's form; mend it or pass --on-error "
        "skip"
    )


LONE = "labels or a list alone; name the folder that holds them and the images: "


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("lone.xml", LONE + "{folder}"),
        ("instances.json", LONE + "{folder}"),
        ("a.7z", "an archive that is not read; unpack it and name its folder"),
        ("a.mp4", "neither a folder nor an archive; expected a folder, a zip, a tar or a rar"),
        ("pipe", "neither a folder nor an archive; expected a folder, a zip, a tar or a rar"),
    ],
)
def test_a_file_that_is_no_release(tmp_path, name, what):
    path = tmp_path / name
    os.mkfifo(path) if name == "pipe" else path.write_bytes(b"{}")

    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, path)

    assert str(caught.value) == f"{path}: {what.format(folder=tmp_path)}"
    assert not (tmp_path / "ws").exists()


def test_a_refused_workspace_is_not_made_in_the_set(tmp_path):
    TinyRelease().write_loose(tmp_path / "ws/../set")
    with pytest.raises(ReleaseError, match="holds the workspace"):
        take(tmp_path / "set", tmp_path / "set")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        *("Annotations", "Image", "ImageSet"),
    ]


def test_an_archive_without_images_is_named_as_it_was_given(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(tar_gz({"raw/b.tar.gz00": b"x"}))
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, tmp_path / "a.tar.gz", "skip")
    assert str(caught.value) == (
        f"{tmp_path}/a.tar.gz: no image found; expected JPEGImage.tar.gz00 … or folders of images; "
        "the first fault passed over: a.tar.gz/raw/b.tar.gz00: an archive within an archive; "
        "unpack it beside the others"
    )


def test_what_passed_over_faults_say_advises_nothing_that_was_done(tmp_path, loose):
    (loose / "Annotations/P00001.xml").write_bytes(b"<other/>")
    assert take(tmp_path, loose, "skip").skipped == 1
    assert skipped(tmp_path) == [
        {
            "where": "Annotations/P00001.xml",
            "error": "root is <other>, expected <annotation>",
        }
    ]


@pytest.mark.parametrize("suffix", [*sorted(IMAGES), ".JPE"])
def test_lists_name_images_of_any_suffix(suffix):
    faults = Faults()

    assert listed_image(f"x/N0000001{suffix}", "train.csv: line 2", faults) == "N0000001"


def test_suffixes_without_end_are_told_as_one(tmp_path, loose):
    """They made a run.json that was too long to be read."""
    names = [f"x.{'y' * 30}{number}" for number in range(5)] + [f"x.{n}" for n in range(1100)]
    (loose / "more.tgz").write_bytes(tar_gz(dict.fromkeys(names, b"")))

    passed_over = take(tmp_path, loose).passed_over

    assert len(passed_over) == 1001
    assert passed_over["other suffixes"] == 105
    assert max(map(len, passed_over)) < 33
