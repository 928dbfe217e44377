"""A release by its manifest from what the user has: told what is missing before it is decoded."""

import shutil

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import sha256_file
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.releases import WHOLE, TinyRelease, skipped, voc, write_zip

MANIFEST = """
[tiny]
title = "A tiny release"
terms = "none"
seen = "in a test"
classes = ["Gun", "Knife"]
left_out = ["Hammer"]

[[tiny.archives]]
files = ["Annotation.zip"]

[[tiny.archives]]
files = ["ImageSet.zip"]

[[tiny.archives]]
files = ["JPEGImage.tar.gz00", "JPEGImage.tar.gz01", "JPEGImage.tar.gz02"]
unpacked = ["Image"]

[tiny.expected]
images = 9
positives = 3
negatives = 5
absent_positives = 1
boxes_by_class = {Gun = 2}
"""


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(MANIFEST)
    return path


def take(tmp_path, manifest, source, on_error="stop"):
    settings = DownloadSettings(str(manifest), source=str(source), on_error=on_error)
    seen = []
    result = download(Workspace(tmp_path / "ws"), settings, lambda *said: seen.append(said))
    return result, seen


def stopped(tmp_path, manifest, source):
    """What is said, before any image is decoded."""
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, manifest, source)
    assert not (tmp_path / "ws/shards").exists()
    return str(caught.value)


def test_a_folder_with_all_of_it_and_an_unpacked_one(tmp_path, manifest):
    assert take(tmp_path, manifest, TinyRelease().write(tmp_path / "a"))[0] == WHOLE
    shutil.rmtree(tmp_path / "ws")
    loose = TinyRelease().write_loose(tmp_path / "b")
    (loose / "Annotations").rename(loose / "Annotation")
    assert take(tmp_path, manifest, loose)[0] == WHOLE


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("JPEGImage.tar.gz02", " as one of 3 parts"),
        ("ImageSet.zip", ""),
    ],
)
def test_what_a_folder_lacks_of_the_manifest(tmp_path, manifest, file, why):
    release = TinyRelease().write(tmp_path / "a", sums=False)
    (release / file).unlink()

    assert stopped(tmp_path, manifest, release) == (
        f"{file}: not in {release}, though the manifest lists it{why}; mend it or pass --on-error "
        "skip"
    )


def test_a_folder_of_another_layout_may_lack_them(tmp_path, manifest):
    tiny = TinyRelease()
    release = tmp_path / "a"
    release.mkdir()
    files = {f"x/{stem}.jpg": data for stem, data in tiny.images.items()}
    files |= {f"y/{stem}.xml": data for stem, data in tiny.xml.items()}
    write_zip(release / "all.zip", {**files, "ImageSet/10/train.csv": tiny.csv()})

    assert take(tmp_path, manifest, release)[0] == WHOLE


def test_one_archive_is_a_release(tmp_path, manifest):
    tiny = TinyRelease()
    path = tmp_path / "all.zip"
    files = {f"x/{stem}.jpg": data for stem, data in tiny.images.items()}
    write_zip(path, files | {f"y/{stem}.xml": data for stem, data in tiny.xml.items()})
    (tmp_path / "P00009.jpg").write_bytes(b"beside it, and no part of it")

    assert take(tmp_path, manifest, path)[0] == WHOLE
    assert take(tmp_path, manifest, path)[0] == WHOLE
    settings = DownloadSettings(str(path), ("Gun", "Knife"))
    assert download(Workspace(tmp_path / "other"), settings) == WHOLE


def odd_sixray(folder, *absent):
    """What is reported of SIXray: hammers alone, an empty object, positives that nobody has."""
    tiny = TinyRelease()
    tiny.xml["P00001"] = voc("P00001", ("Hammer", 1, 1, 20, 30))
    tiny.xml["P00002"] = b"<annotation><object></object></annotation>"
    for stem in absent:
        del tiny.images[stem]
        tiny.xml.pop(stem, None)
    return tiny.write(folder, sums=False)


def test_what_is_announced_is_no_fault(tmp_path, manifest):
    release = odd_sixray(tmp_path / "a", "P00003")

    result, _ = take(tmp_path, manifest, release)

    assert (result.images, result.absent, result.skipped) == (7, 1, 0)
    summary = Workspace(tmp_path / "ws").run("shards").summary
    assert summary["absent_as_announced"] == ["P00003"]
    assert (result.boxless, result.boxes) == (2, 0)
    assert (tmp_path / "ws/shards/notes.txt").read_text().splitlines() == [
        "Annotation.zip/Annotation/P00001.xml: object 1: Hammer is none of the classes that are "
        "asked for; left out",
        "Annotation.zip/Annotation/P00001.xml: no usable object",
        "Annotation.zip/Annotation/P00002.xml: no usable <size>; the image is 96 x 64",
        "Annotation.zip/Annotation/P00002.xml: object 1: empty; left out",
        "Annotation.zip/Annotation/P00002.xml: no usable object",
    ]


def test_more_absent_positives_than_announced_are_faults_and_so_is_a_negative(tmp_path, manifest):
    release = odd_sixray(tmp_path / "a", "P00003", "N0000001")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, manifest, release)
    assert str(caught.value).startswith(
        "image sets: 1 of 8 listed images are not in the release: N0000001;"
    )
    result, _ = take(tmp_path, manifest, release, "skip")
    assert (result.absent, result.skipped) == (2, 1)
    shutil.rmtree(tmp_path / "ws")
    release = odd_sixray(tmp_path / "b", "P00001", "P00002")
    result, _ = take(tmp_path, manifest, release, "skip")
    assert (result.absent, result.skipped) == (2, 2)
    assert [line["where"] for line in skipped(tmp_path)] == ["P00001", "P00002"]


def test_a_hammer_is_no_fault_without_a_manifest_either(tmp_path):
    release = odd_sixray(tmp_path / "a")

    settings = DownloadSettings(str(release), ("Gun", "Knife"))
    assert download(Workspace(tmp_path / "ws"), settings).skipped == 0


def test_what_is_typed_and_seen(runner, tmp_path, manifest):
    release = odd_sixray(tmp_path / "a", "P00003")
    words = ["download", "-w", str(tmp_path / "ws"), "--release", str(manifest)]

    said = runner.invoke(cli, [*words, "--from", str(release)], catch_exceptions=False)

    assert said.exit_code == 0
    assert said.stdout.splitlines() == [
        "7 images: 2 positives, 5 negatives, 0 of them unreadable; 0 boxes",
        "split leak-free: 5 train, 2 test",
        "2 positives whose annotation holds no box",
        "1 box of other classes left out: Hammer 1",
        "5 notes on annotations and lists (notes.txt)",
        "1 listed image not in the release",
        "images: 7 found, 9 announced",
        "positives: 2 found, 3 announced",
        "boxes of Gun: 0 found, 2 announced",
    ]
    assert said.stderr.splitlines()[:2] == [
        "tiny: A tiny release; terms: none",
        "tiny: unverified: in a test",
    ]


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("bytes", "7", "{size} bytes, the manifest says 7"),
        ("sha256", '"' + "0" * 64 + '"', "SHA-256 is {sha256}…, the manifest says 000000000000…"),
    ],
)
def test_archives_must_be_those_of_the_manifest(tmp_path, manifest, key, value, what):
    TinyRelease().write(tmp_path / "release")
    archive = tmp_path / "release/ImageSet.zip"
    manifest.write_text(f'{MANIFEST}\n[tiny.{key}]\n"ImageSet.zip" = {value}\n')

    said = stopped(tmp_path, manifest, tmp_path / "release")

    found = what.format(size=archive.stat().st_size, sha256=sha256_file(archive)[:12])
    assert said == f"ImageSet.zip: {found}; fetch it again; mend it or pass --on-error skip"
