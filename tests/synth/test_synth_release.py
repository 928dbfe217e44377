"""A release's files: form, truth, same bytes for the same seed, whole or not at all."""

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from PIL import Image

from sixrayd.core.classes import ClassList, default_classes
from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.staging import sole_writer
from sixrayd.core.voc import read_voc
from sixrayd.synth import SynthResult, SynthSettings, synthesize
from sixrayd.synth.command import synth
from tests.limits import within
from tests.power_cuts import results, survived
from tests.processes import started

SMALL = SynthSettings(
    images=14, seed=3, positives=0.4, hidden=0.4, duplicates=0.2, part_bytes=200_000
)
TINY = SynthSettings(images=2, seed=1, positives=0.5, hidden=1.0)
PROGRAM = "from sixrayd.cli import main; main()"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> SynthResult:
    return synthesize(tmp_path_factory.mktemp("synth") / "release", SMALL)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pictures(folder: Path) -> dict[str, bytes]:
    """The archive's members, the pieces joined in order."""
    joined = b"".join(path.read_bytes() for path in sorted(folder.glob("JPEGImage.tar.gz*")))
    with tarfile.open(fileobj=io.BytesIO(joined), mode="r:gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def truth_rows(result: SynthResult) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.truth.read_text("utf-8"))))


def test_result_counts_what_was_written(written) -> None:
    rows = truth_rows(written)
    names = pictures(written.out)
    assert (written.images, written.positives, written.negatives) == (14, 6, 8)
    assert (written.hidden, written.duplicates) == (3, 3)
    assert len(names) == 14
    assert written.boxes == len(rows)
    assert written.hidden_boxes == sum(row["hidden"] == "1" for row in rows)
    assert written.parts == len(list(written.out.glob("JPEGImage.tar.gz*")))
    assert written.parts > 1


def test_pieces_join_to_one_gzip_of_a_tar(written) -> None:
    names = [f"JPEGImage/P{n:05d}.jpg" for n in range(1, 7)]
    names += [f"JPEGImage/N{n:07d}.jpg" for n in range(1, 9)]
    found = pictures(written.out)
    assert list(found) == names
    sizes = [path.stat().st_size for path in sorted(written.out.glob("JPEGImage.tar.gz*"))]
    assert set(sizes[:-1]) == {200_000}
    assert 0 < sizes[-1] <= 200_000
    for data in found.values():
        picture = Image.open(io.BytesIO(data))
        picture.load()
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        # 4:2:0: brightness is sampled twice as finely as colour.
        assert [layer[1:3] for layer in picture.layer] == [(2, 2), (1, 1), (1, 1)]


def test_annotations_say_what_the_truth_says_of_positives(written) -> None:
    sizes = {
        Path(name).stem: Image.open(io.BytesIO(data)).size
        for name, data in pictures(written.out).items()
    }
    read = []
    with zipfile.ZipFile(written.out / "Annotation.zip") as archive:
        assert archive.namelist() == [f"Annotation/P{n:05d}.xml" for n in range(1, 7)]
        for name in archive.namelist():
            root = ElementTree.fromstring(archive.read(name))
            stem = Path(name).stem
            assert root.findtext("folder") == "X_ray"
            assert root.findtext("filename") == f"{stem}.jpg"
            assert root.findtext("source/database") == "The X_ray Database"
            size = (int(root.findtext("size/width")), int(root.findtext("size/height")))
            assert size == sizes[stem]
            for element in root.iter("object"):
                edges = [
                    int(element.findtext(f"bndbox/{e}")) for e in ("xmin", "ymin", "xmax", "ymax")
                ]
                assert 1 <= edges[0] <= edges[2] <= size[0]
                assert 1 <= edges[1] <= edges[3] <= size[1]
                read.append((stem, element.findtext("name"), *edges))
    expected = [
        (r["name"], r["label"], *(int(r[e]) for e in ("xmin", "ymin", "xmax", "ymax")))
        for r in truth_rows(written)
        if r["hidden"] == "0"
    ]
    assert len(read) >= 6
    assert read == expected


def test_annotations_read_without_a_repair(written) -> None:
    with zipfile.ZipFile(written.out / "Annotation.zip") as archive:
        read = [read_voc(archive.read(name), name, ClassList()) for name in archive.namelist()]
    assert [annotation.findings for annotation in read] == [()] * 6
    assert sum(len(annotation.objects) for annotation in read) == written.boxes - 3


def test_hidden_are_negatives_everywhere_but_in_the_truth(written) -> None:
    hidden = {row["name"] for row in truth_rows(written) if row["hidden"] == "1"}
    assert len(hidden) == 3
    assert {name[0] for name in hidden} == {"N"}
    others = {row["name"][0] for row in truth_rows(written) if row["hidden"] == "0"}
    assert others == {"P"}


def test_image_sets(written) -> None:
    present: dict[str, set[str]] = {}
    for row in truth_rows(written):
        if row["hidden"] == "0":
            present.setdefault(row["name"], set()).add(row["label"])
    names = {Path(name).stem for name in pictures(written.out)}
    with zipfile.ZipFile(written.out / "ImageSet.zip") as archive:
        assert archive.namelist() == [
            f"ImageSet/{n}/{side}.csv" for n in (10, 100, 1000) for side in ("train", "test")
        ]
        for share in (10, 100, 1000):
            rows = []
            for side in ("train", "test"):
                text = archive.read(f"ImageSet/{share}/{side}.csv").decode("utf-8")
                header, *body = list(csv.reader(io.StringIO(text)))
                assert header == ["name", *default_classes()]
                rows += body
            assert sorted(row[0] for row in rows) == sorted(names)
            for name, *values in rows:
                wanted = ["1" if c in present.get(name, ()) else "-1" for c in default_classes()]
                assert values == wanted


def test_checksums_hold(written) -> None:
    lines = (written.out / "SHA256SUMS").read_text("utf-8").splitlines()
    files = contents(written.out)
    del files["SHA256SUMS"]
    assert lines == [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in files.items()]


def test_same_seed_same_bytes_whatever_the_workers(written, tmp_path) -> None:
    settings = SynthSettings(14, 3, 0.4, 0.4, 0.2, part_bytes=200_000, workers=2)
    again = synthesize(tmp_path / "release", settings)
    assert contents(again.out) == contents(written.out)
    assert again.truth.read_bytes() == written.truth.read_bytes()


@pytest.mark.long
def test_other_seed_other_pictures(tmp_path) -> None:
    first = synthesize(tmp_path / "one", TINY)
    second = synthesize(tmp_path / "two", SynthSettings(2, 2, positives=0.5, hidden=1.0))
    pairs = zip(pictures(first.out).values(), pictures(second.out).values(), strict=True)
    assert [a == b for a, b in pairs] == [False, False]


def test_existing_folder_is_refused_and_kept(tmp_path) -> None:
    out = tmp_path / "release"
    out.mkdir()
    with pytest.raises(ReleaseError) as caught:
        synthesize(out, TINY)
    assert str(caught.value) == f"{out}: exists already; pass --force to replace it"
    out.rmdir()
    (tmp_path / "release-truth").mkdir()
    with pytest.raises(ReleaseError) as caught:
        synthesize(out, TINY)
    assert str(caught.value) == f"{out}-truth: exists already; pass --force to replace it"


def test_force_replaces_a_release_and_nothing_else(tmp_path) -> None:
    out = tmp_path / "release"
    first = synthesize(out, TINY)
    before = contents(first.out)
    synthesize(out, SynthSettings(1, 2, positives=1.0), force=True)
    assert contents(out) != before
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(ReleaseError) as caught:
        synthesize(out, TINY, force=True)
    assert str(caught.value) == (
        f"{out}: holds thesis.txt, which no synthetic release has; name another folder"
    )
    assert (out / "thesis.txt").read_text() == "mine"


def test_force_replaces_no_release_of_these_names_that_is_not_synthetic(tmp_path) -> None:
    out = tmp_path / "sixray"
    out.mkdir()
    (out / "JPEGImage.tar.gz00").write_text("fetched")
    with pytest.raises(ReleaseError) as caught:
        synthesize(out, TINY, force=True)
    assert str(caught.value) == (
        f"{out}: has no sixray-truth/truth.csv beside it, so it is no synthetic release; name "
        "another folder"
    )
    assert (out / "JPEGImage.tar.gz00").read_text() == "fetched"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_run_leaves_no_release(tmp_path, how) -> None:
    out = tmp_path / "release"
    command = [sys.executable, "-c", PROGRAM, "synth", str(out), "--images", "5000"]
    begun = tmp_path / "release.partial" / "JPEGImage.tar.gz00"
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while not begun.exists():
            assert run.poll() is None, "ended before it could be interrupted"
            time.sleep(0.02)
        run.send_signal(how)
        assert run.wait() != 0
    left = sorted(path.name for path in tmp_path.iterdir())
    killed = [".release.sixrayd-lock", "release-truth.partial", "release.partial"]
    assert left == ([] if how is signal.SIGINT else killed)
    synthesize(out, SynthSettings(1, positives=1.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release", "release-truth"]


@pytest.mark.parametrize("most", [4, pytest.param(0, marks=pytest.mark.long)])
@pytest.mark.parametrize("replaced", [True, False])
def test_killed_at_any_moment_no_release_is_there_beside_another_s_truth(
    tmp_path, replaced, most
) -> None:
    old, new = SynthSettings(1, 2, positives=1.0), SynthSettings(1, 1, positives=1.0)
    place = tmp_path / "disk"
    out, known = place / "release", []
    for settings in (new, old):
        synthesize(out, settings, force=True)
        known.append(results(place))
    if not replaced:
        shutil.rmtree(place)
        place.mkdir()

    def work() -> None:
        if there := out.exists():
            pair, found = ("release/", "release-truth/"), results(place).items()
            assert {name: data for name, data in found if name.startswith(pair)} in known
        synthesize(out, new, force=there)

    assert survived(place, work, most=most) >= (most or 10)


def test_no_two_write_one_release_at_once(tmp_path) -> None:
    out = tmp_path / "release"
    busy = f"{out}: process {os.getpid()} writes there; wait for it, or name another place"
    with sole_writer(out), pytest.raises(WorkspaceError) as caught:
        synthesize(out, TINY)
    assert str(caught.value) == busy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (".", ".: has no name of its own; name a new folder"),
        ("../..", "../..: has no name of its own; name a new folder"),
        ("link", "link: is a link, expected a release's folder; name another"),
    ],
)
def test_a_place_that_no_release_can_take_is_refused(tmp_path, monkeypatch, place, message) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to("theirs")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReleaseError) as caught:
        synthesize(Path(place), TINY, force=True)
    assert str(caught.value) == message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "theirs"]


@pytest.mark.parametrize("name", ["release.partial", "release-truth.partial"])
def test_a_folder_of_others_where_a_release_grows_is_left_alone(tmp_path, name) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("mine")
    with pytest.raises(ReleaseError) as caught:
        synthesize(tmp_path / "release", TINY)
    assert str(caught.value) == (
        f"{tmp_path / name}: holds thesis.txt, which no synthetic release has; name another folder"
    )
    assert [path.name for path in tmp_path.rglob("*")] == [name, "thesis.txt"]


@pytest.mark.parametrize("end", ["partial", "replaced"])
def test_a_download_of_sixray_where_a_release_grows_is_left_alone(tmp_path, end) -> None:
    fetched = tmp_path / f"sixray.{end}" / "JPEGImage.tar.gz00"
    fetched.parent.mkdir()
    fetched.write_text("fetched")
    with pytest.raises(ReleaseError) as caught:
        synthesize(tmp_path / "sixray", TINY)
    assert str(caught.value) == (
        f"{fetched.parent}: has no sixray-truth.partial beside it, so no synthetic release was "
        "begun there; name another folder"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [fetched]


@pytest.mark.parametrize("name", ["sixray.partial", "sixray-truth.partial", "sixray.replaced"])
def test_a_pipe_where_a_release_grows_is_not_waited_for(tmp_path, name) -> None:
    out = tmp_path / "sixray"
    synthesize(out, TINY)
    os.mkfifo(tmp_path / name)
    with within(60, name), pytest.raises(WorkspaceError, match="name another place, or move aside"):
        synthesize(out, TINY, force=True)
    assert (tmp_path / name).is_fifo()
    assert (out / "SHA256SUMS").exists()


def test_no_release_is_there_without_its_truth(tmp_path) -> None:
    out = tmp_path / "release"
    (tmp_path / "release-truth.partial").touch()  # is in the way of the truth
    with pytest.raises(WorkspaceError):
        synthesize(out, TINY)
    assert not out.exists()


def test_command_prints_one_json_document(tmp_path) -> None:
    out = tmp_path / "release"
    arguments = [str(out), "--images", "2", "--seed", "1", "--positives", "0.5", "--hidden", "1"]
    answer = CliRunner().invoke(synth, [*arguments, "--classes", "Gun,Knife", "--json"])
    assert answer.exit_code == 0
    document = json.loads(answer.stdout)
    assert document["out"] == str(out)
    assert document["truth"] == str(tmp_path / "release-truth" / "truth.csv")
    assert (document["images"], document["positives"], document["hidden"]) == (2, 1, 1)
    with zipfile.ZipFile(out / "ImageSet.zip") as archive:
        assert archive.read("ImageSet/10/test.csv").startswith(b"name,Gun,Knife\n")


def test_help_has_an_example_and_defaults() -> None:
    text = CliRunner().invoke(synth, ["--help"]).stdout
    assert "Example:  sixrayd synth release/ --images 1200 --seed 7 --workers 4" in text
    assert "[default: 1200; x>=1]" in text
