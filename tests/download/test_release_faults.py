"""Every fault of a release is one clear line, or a line of skipped.jsonl."""

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from sixrayd.core import files
from sixrayd.core.errors import AnnotationError, ReleaseError, SettingsError
from sixrayd.core.files import sha256_file
from sixrayd.core.index import Index, unannotated_ids
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from tests.releases import (
    WHOLE,
    TinyRelease,
    cut,
    jpeg,
    skipped,
    take,
    tar_gz,
    voc,
    write_sums,
    write_zip,
)


def test_other_classes_name_the_option(tmp_path: Path) -> None:
    tiny = TinyRelease(classes=("Scissors", "Multitool"))
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, tiny.write(tmp_path / "release"))
    assert str(caught.value) == (
        "ImageSet.zip/ImageSet/10/train.csv: columns are Scissors,Multitool, classes are "
        "Gun,Knife; pass `--classes Scissors,Multitool`"
    )


def test_missing_part_is_named(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release", parts=4, sums=False)
    (release / "JPEGImage.tar.gz01").unlink()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "JPEGImage.tar.gz: part JPEGImage.tar.gz01 is missing; mend it or pass --on-error skip"
    )


def test_missing_first_part_is_named(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release", parts=4, sums=False)
    (release / "JPEGImage.tar.gz00").unlink()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "JPEGImage.tar.gz: part JPEGImage.tar.gz00 is missing, found JPEGImage.tar.gz01; "
        "mend it or pass --on-error skip"
    )


def test_missing_last_part_is_a_truncated_stream(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release", parts=4, sums=False)
    (release / "JPEGImage.tar.gz03").unlink()
    told = (
        r"^JPEGImage.tar.gz00 to JPEGImage.tar.gz02: ends too early: its last part is missing or "
        r"truncated; \d+ bytes of JPEGImage.tar.gz/JPEGImage/N000000\d.jpg came, \d+ expected by "
        r"its header; mend it or pass --on-error skip$"
    )
    with pytest.raises(ReleaseError, match=told):
        take(tmp_path, release)
    result = take(tmp_path, release, "skip")
    assert result.images + result.absent == 8
    assert 0 < result.images < 8
    assert len(skipped(tmp_path)) == result.skipped == result.absent + 1


def test_absent_images_are_counted_and_named(tmp_path: Path) -> None:
    tiny = TinyRelease()
    for stem in ("P00001", "P00002", "P00003", "N0000004"):
        del tiny.images[stem]
    release = tiny.write(tmp_path / "release")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "image sets: 4 of 8 listed images are not in the release: N0000004, P00001, P00002 …; "
        "mend it or pass --on-error skip"
    )
    result = take(tmp_path, release, "skip")
    assert (result.images, result.positives, result.absent, result.boxes) == (4, 0, 4, 0)
    assert [line["where"] for line in skipped(tmp_path)] == [
        "N0000004",
        "P00001",
        "P00002",
        "P00003",
    ]


def test_wrong_sum(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release")
    with (release / "JPEGImage.tar.gz01").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ReleaseError, match=r"^JPEGImage.tar.gz01: SHA-256 is .*SHA256SUMS says"):
        take(tmp_path, release)
    (release / "JPEGImage.tar.gz02").unlink()
    (release / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == "SHA256SUMS: line 1: expected HASH  NAME, got 'nonsense'"


def test_file_that_the_sums_list_is_missing(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release")
    (release / "Annotation.zip").unlink()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "Annotation.zip: missing, though SHA256SUMS lists it; mend it or pass --on-error skip"
    )


@pytest.mark.parametrize("name", ["JPEGImage.tar.gz00", "JPEGImage.tar.gz02", "Annotation.zip"])
def test_error_page_under_an_archive_name(tmp_path: Path, name: str) -> None:
    release = TinyRelease().write(tmp_path / "release", sums=False)
    (release / name).write_text("<?xml version='1.0'?><Error>NoSuchKey</Error>")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        f"{name}: begins with \"<?xml version='1.0'?><Error>NoSuchKey</Error>\": an error page "
        "under the archive's name; fetch it again; mend it or pass --on-error skip"
    )


def test_archives_of_other_kinds_are_named(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release", sums=False)
    (release / "dataset.part10.7z").write_bytes(b"7z")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "dataset.part10.7z: an archive that is not read; unpack it here and move it away; "
        "mend it or pass --on-error skip"
    )


def test_unreadable_images_stay_in_the_index(tmp_path: Path) -> None:
    tiny = TinyRelease()
    tiny.images["N0000002"] = tiny.images["N0000002"][:-40]
    tiny.images["N0000003"] = b"<?xml version='1.0'?><Error/>"
    tiny.images["P00002"] = b""
    release = tiny.write(tmp_path / "release")
    told = r"^JPEGImage.tar.gz/JPEGImage/N0000002.jpg: cannot be decoded"
    with pytest.raises(ReleaseError, match=told):
        take(tmp_path, release)
    result = take(tmp_path, release, "skip")
    assert (result.images, result.unreadable, result.skipped, result.boxes) == (8, 3, 3, 6)
    index = Index.load(Workspace(tmp_path / "ws"))
    bad = index.select(readable=False)
    assert [record.image_id for record in bad] == ["N0000002", "N0000003", "P00002"]
    assert [(r.width, r.height, r.phash, r.group == r.image_id) for r in bad] == [
        (0, 0, "", True)
    ] * 3
    assert bad[1].error == 'begins with b"<?xml version=\'1", expected JPEG, PNG, BMP, WebP or TIFF'
    assert index.read("N0000002") == tiny.images["N0000002"]
    assert [line["where"] for line in skipped(tmp_path)] == [
        f"JPEGImage.tar.gz/JPEGImage/{stem}.jpg" for stem in ("N0000002", "N0000003", "P00002")
    ]


def test_broken_xml(tmp_path: Path) -> None:
    tiny = TinyRelease()
    tiny.xml["P00001"] = b"<annotation>\n<object></annotation>"
    tiny.xml["P00002"] = voc("P00002", ("Gun", 1, 1, 9, 9), ("Banana", 1, 1, 9, 9))
    release = tiny.write(tmp_path / "release")
    with pytest.raises(AnnotationError, match=r"Annotation/P00001.xml: not XML .*line 2"):
        take(tmp_path, release)
    result = take(tmp_path, release, "skip")
    assert (result.boxes, result.unannotated, result.skipped) == (3, 1, 2)
    assert [line["where"] for line in skipped(tmp_path)] == [
        "Annotation.zip/Annotation/P00001.xml",
        "Annotation.zip/Annotation/P00002.xml",
    ]


def test_annotations_that_differ_or_lack_an_image(tmp_path: Path) -> None:
    tiny = TinyRelease()
    release = tiny.write(tmp_path / "release", sums=False)
    more = {"P00001.xml": voc("P00001"), "P00099.xml": voc("P00099")}
    write_zip(release / "positive-Annotation.zip", more)
    result = take(tmp_path, release, "skip")
    assert result.boxes == 6
    assert (tmp_path / "ws/shards/notes.txt").read_text().splitlines()[-1] == (
        "positive-Annotation.zip/P00001.xml: P00001 is in Annotation.zip/Annotation/P00001.xml as "
        "well; merged, 0 of 0 objects new"
    )
    assert skipped(tmp_path) == [
        {
            "where": "positive-Annotation.zip/P00099.xml",
            "error": "an annotation without an image",
        },
    ]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("P00009,1", "expected a name and 2 of 1, 0, -1, got ['P00009', '1']"),
        ("P00009,1,2", "expected a name and 2 of 1, 0, -1, got ['P00009', '1', '2']"),
    ],
)
def test_image_set_with_a_bad_line(tmp_path: Path, row: str, fault: str) -> None:
    tiny = TinyRelease()
    tiny.rows.insert(1, row)
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, tiny.write(tmp_path / "release"))
    where = "ImageSet.zip/ImageSet/10/train.csv: line 3"
    assert str(caught.value) == f"{where}: {fault}; mend it or pass --on-error skip"


def hostile(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, size, "/etc/passwd"
    return entry.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    ("tar", "fault"),
    [
        (hostile("../P1.jpg"), "../P1.jpg: a path that leaves the archive; refused"),
        (hostile("/P1.jpg"), "/P1.jpg: a path that leaves the archive; refused"),
        (hostile("P1.jpg", tarfile.SYMTYPE), "P1.jpg: a link, device or sparse file; refused"),
        (hostile("P1.jpg", tarfile.LNKTYPE), "P1.jpg: a link, device or sparse file; refused"),
        (hostile("P1.jpg", tarfile.CHRTYPE), "P1.jpg: a link, device or sparse file; refused"),
        (hostile("P1.jpg", size=1 << 32), "P1.jpg: 4294967296 bytes, at most 67108864 are read"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, tar: bytes, fault: str) -> None:
    release = TinyRelease().write(tmp_path / "release", sums=False)
    cut(release, gzip.compress(tar), 1, "a.tar.gz")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == f"a.tar.gz/{fault}; mend it or pass --on-error skip"


def test_oversized_header_is_refused(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release", sums=False)
    cut(release, gzip.compress(hostile("x", tarfile.XHDTYPE, 1 << 32)), 1, "a.tar.gz")
    with pytest.raises(ReleaseError, match=r"a header of 4294967296 bytes"):
        take(tmp_path, release)


def test_garbage_after_an_image_is_not_taken_for_the_end(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release", sums=False)
    whole = gzip.decompress(tar_gz({"P00001.jpg": TinyRelease().images["P00001"]}))
    cut(release, gzip.compress(whole[:-10240] + b"junk" * 2560), 1, "a.tar.gz")
    with pytest.raises(ReleaseError, match=r"^a.tar.gz00: broken \(no end mark"):
        take(tmp_path, release)


def test_clutter_is_passed_over(tmp_path: Path) -> None:
    tiny = TinyRelease()
    release = tiny.write(tmp_path / "release", sums=False)
    files = {"._P00001.jpg": b"x", "__MACOSX/P00002.jpg": b"x", "readme.txt": b"x"}
    cut(release, tar_gz(files), 1, "more.tar.gz")
    (release / ".DS_Store").write_bytes(b"x")
    assert take(tmp_path, release) == replace(WHOLE, passed_over={".txt": 1})


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, tmp_path / "empty")
    assert str(caught.value) == (
        f"{tmp_path}/empty: no image found; expected JPEGImage.tar.gz00 … or folders of images"
    )
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, tmp_path / "absent")
    assert str(caught.value) == (
        f"release '{tmp_path}/absent': no such folder or archive, no URL, and none of the known "
        "names: sixray (SIXray, by the list of its public repository and the positives reported "
        "beside it); sixray-d (SIXray-D, the corrected set of Nguyen et al. 2022)"
    )
    with pytest.raises(ReleaseError, match="holds the workspace; name a workspace elsewhere"):
        take(tmp_path, tmp_path)


def test_settings_out_of_range() -> None:
    with pytest.raises(SettingsError) as caught:
        DownloadSettings("x", test_share=1.0)
    assert str(caught.value) == "test-share: need 0 or more and below 1, got 1.0"
    with pytest.raises(SettingsError, match="images-per-shard: need 1 or more, got 0"):
        DownloadSettings("x", images_per_shard=0)
    with pytest.raises(SettingsError, match="hash-distance: need 0 to 64 bits, got 65"):
        DownloadSettings("x", hash_distance=65)


def test_sums_are_read_after_a_rewrite(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release")
    write_sums(release)
    assert take(tmp_path, release) == WHOLE


def test_an_image_whose_boxes_cannot_be_used_is_no_negative(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    boxes = {"a": ("Gun", 97, 1, 99, 9), "b": ("Gnu", 1, 1, 9, 9), "c": ("Hammer", 1, 1, 9, 9)}
    for number, (stem, box) in enumerate(boxes.items()):
        (tmp_path / f"set/{stem}.jpg").write_bytes(jpeg(number))
        (tmp_path / f"set/{stem}.xml").write_bytes(voc(stem, box))
    (tmp_path / "set/d.jpg").write_bytes(jpeg(9))
    (tmp_path / "set/d.xml").write_bytes(b"<annotation>")

    result = take(tmp_path, tmp_path / "set", "skip")

    assert (result.positives, result.negatives, result.unannotated) == (3, 1, 3)
    assert unannotated_ids(Workspace(tmp_path / "ws")) == {"a", "b", "d"}


def test_folders_that_lie_too_deep_are_one_fault(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release")
    deep = release.joinpath(*["d"] * 102)
    deep.mkdir(parents=True)
    (deep / "N0000200.jpg").write_bytes(jpeg(80))

    assert take(tmp_path, release, "skip").skipped == 1

    text = "folders 100 deep in others; those in it are left out"
    assert skipped(tmp_path) == [{"where": "/".join(["d"] * 100), "error": text}]
    with pytest.raises(ReleaseError, match="folders 100 deep in others"):
        take(tmp_path / "again", release)


def test_sums_of_files_of_holes_are_not_worked_out(tmp_path: Path, monkeypatch) -> None:
    """Sixty of a gigabyte each, of which nothing is written, took over a minute."""
    release = TinyRelease().write(tmp_path / "release")
    monkeypatch.setattr(files, "MOST_HOLES", 1 << 20)
    with (release / "SHA256SUMS").open("a") as sums:
        for number in range(3):
            with (release / f"{number}.bin").open("wb") as file:
                file.truncate(1 << 19)
            sums.write(f"{sha256_file(release / f'{number}.bin')}  {number}.bin\n")
    with pytest.raises(ReleaseError, match=r"^2.bin: not read: links and holes give"):
        take(tmp_path, release)
