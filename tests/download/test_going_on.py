"""Ingests that are killed, mended, repeated, or find their release at another place."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest

from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.download.sharding import PARTS
from tests.releases import WHOLE, TinyRelease, jpeg, skipped, take

INGEST = """
import sys
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
import sixrayd.download.measuring as measuring

measuring._WORTH_A_PROCESS = int(sys.argv[3])
settings = DownloadSettings(sys.argv[1], ("Gun", "Knife"), images_per_shard=3, on_error="skip")
print("begun", flush=True)
download(Workspace(sys.argv[2]), settings, lambda what, done, total: print(done, flush=True))
"""


def files_of(folder):
    """Every file but `run.json`'s paths, which name the release."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "plan.json"}


def many(folder):
    """A release of 24 images in a tar, zips and loose files, one of them broken."""
    tiny = TinyRelease()
    for number in range(6, 17):
        tiny.images[f"N{number:07d}"] = jpeg(100 + number)
        tiny.rows.append(f"N{number:07d},-1,-1")
    tiny.images["N0000009"] = b"no image"
    release = tiny.write(folder)
    for number in range(20, 25):
        (release / f"N{number:07d}.jpg").write_bytes(jpeg(number))
    return release


def start(release, workspace, far="99999"):
    words = [sys.executable, "-c", INGEST, str(release), str(workspace), far]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)


def killed_at(release, workspace, told, far):
    """Kill an ingest, and what it started, after so many words about its progress."""
    with start(release, workspace, far) as child:
        for _ in range(told):
            if not child.stdout.readline():
                break
        os.killpg(child.pid, signal.SIGKILL)
        return child.wait() != 0


def kill_often(tmp_path, moments, far):
    release = many(tmp_path / "release")
    with start(release, tmp_path / "whole", far) as child:
        told = len(child.stdout.readlines())
    assert child.wait() == 0
    whole = files_of(tmp_path / "whole/shards")
    rng = random.Random(7)
    killed = 0
    for number in range(moments):
        root = tmp_path / str(number)
        for _ in range(2 - number % 2):  # some of them twice
            killed += killed_at(release, root, rng.randrange(1, told), far)
        with start(release, root, far) as child:
            child.stdout.read()
        assert child.wait() == 0
        assert files_of(root / "shards") == whole
        shutil.rmtree(root)
    assert killed > moments // 2 or moments == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "far", [pytest.param("99999", id="threads"), pytest.param("0", id="processes")]
)
@pytest.mark.parametrize("moments", [1, pytest.param(50, marks=pytest.mark.longest)])
def test_killed_anywhere_it_ends_in_the_same_bytes(tmp_path, far, moments):
    kill_often(tmp_path, moments, far)


def test_what_was_measured_before_a_fault_is_kept(tmp_path):
    release = many(tmp_path / "release")
    with pytest.raises(ReleaseError, match=r"N0000009.jpg: begins with b'no image'"):
        take(tmp_path, release, images_per_shard=3)
    shards = tmp_path / "ws/shards"
    before = {path: path.stat().st_mtime_ns for path in shards.rglob("*") if path.is_file()}
    assert len([path for path in before if path.suffix == ".measured"]) == 8

    take(tmp_path, release, "skip", images_per_shard=3)

    kept = [p for p in before if p.suffix == ".tar" and p.stat().st_mtime_ns == before[p]]
    assert len(kept) == 8
    assert not (shards / PARTS).exists()
    assert [line["where"] for line in skipped(tmp_path)] == [
        "JPEGImage.tar.gz/JPEGImage/N0000009.jpg"
    ]


def test_a_finished_ingest_with_more_images_keeps_its_shards(tmp_path):
    release = TinyRelease().write(tmp_path / "release", sums=False)
    take(tmp_path, release, images_per_shard=2)
    shards = tmp_path / "ws/shards"
    before = {path: path.stat().st_mtime_ns for path in shards.glob("*.tar")}
    (release / "N0000077.jpg").write_bytes(jpeg(77))

    take(tmp_path, release, images_per_shard=2, force=True)

    kept = [path.name for path in sorted(before) if path.stat().st_mtime_ns == before[path]]
    assert kept == [
        *("negatives-00000.tar", "negatives-00001.tar"),
        *("positives-00000.tar", "positives-00001.tar"),
    ]
    alone = tmp_path / "alone"
    take(alone, release, images_per_shard=2)
    assert files_of(shards) == files_of(alone / "ws/shards")


def test_fewer_images_leave_no_shard_behind(tmp_path):
    tiny = TinyRelease()
    take(tmp_path, tiny.write(tmp_path / "release"), images_per_shard=2)
    for number in (3, 4, 5):
        del tiny.images[f"N000000{number}"]
    tiny.rows = tiny.rows[:-3]
    shutil.rmtree(tmp_path / "release")

    take(tmp_path, tiny.write(tmp_path / "release"), images_per_shard=2, force=True)

    names = sorted(path.name for path in (tmp_path / "ws/shards").glob("*.tar"))
    assert names == ["negatives-00000.tar", "positives-00000.tar", "positives-00001.tar"]
    assert len(Index.load(Workspace(tmp_path / "ws"))) == 5


@pytest.mark.parametrize("loose", [False, True])
def test_a_release_at_another_place_is_the_same(tmp_path, loose):
    tiny = TinyRelease()
    release = (tiny.write_loose if loose else tiny.write)(tmp_path / "release")
    take(tmp_path, release)
    mark = (tmp_path / "ws/shards/run.json").stat().st_mtime_ns
    other = tmp_path / "elsewhere" / "sixray"
    shutil.copytree(release, other, copy_function=shutil.copy)  # with other times
    shutil.rmtree(release)

    assert take(tmp_path, other) == WHOLE
    assert (tmp_path / "ws/shards/run.json").stat().st_mtime_ns == mark

    image = next(other.rglob("P00001.jpg" if loose else "Annotation.zip"))
    image.write_bytes(jpeg(9) if loose else image.read_bytes() + b"\0")
    (other / "SHA256SUMS").unlink(missing_ok=True)
    with pytest.raises(WorkspaceError, match="pass --force to replace it"):
        take(tmp_path, other)


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path):
    release = TinyRelease().write_loose(tmp_path / "release")
    take(tmp_path, release)
    listing = (tmp_path / "ws/release/loose.tsv").read_bytes()
    xml = release / "Annotations/P00001.xml"
    before = xml.stat()

    xml.write_bytes(xml.read_bytes().replace(b"<xmin>1<", b"<xmin>2<"))
    os.utime(xml, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(WorkspaceError, match="pass --force to replace it"):
        take(tmp_path, release)
    assert (tmp_path / "ws/release/loose.tsv").read_bytes() == listing
    assert take(tmp_path, release, force=True) == WHOLE


def test_what_was_only_touched_is_the_same_and_not_stale(tmp_path):
    release = TinyRelease().write_loose(tmp_path / "release")
    take(tmp_path, release)
    (release / "Annotations/P00001.xml").touch()

    assert take(tmp_path, release) == WHOLE
    assert Workspace(tmp_path / "ws").stale("shards") == []


def test_an_ingest_with_the_short_hashes_of_an_earlier_version_stays(tmp_path):
    release = TinyRelease().write(tmp_path / "release")
    take(tmp_path, release)
    shards = tmp_path / "ws/shards"
    new = Index.load(Workspace(tmp_path / "ws")).table
    rows = [row | {"phash": row["phash"][:16]} for row in new.to_pylist()]
    write_table(shards / "index.parquet", rows, INDEX_SCHEMA)
    document = json.loads((shards / "run.json").read_text())
    del document["settings"]["hash_bits"]
    document["settings"]["hash_distance"] = 0
    (shards / "run.json").write_text(json.dumps(document))
    before = files_of(shards)

    assert take(tmp_path, release) == WHOLE
    assert files_of(shards) == before
    with pytest.raises(WorkspaceError, match="pass --force to replace it"):
        take(tmp_path, release, seed=1)
    take(tmp_path, release, seed=1, force=True)

    hashes = Index.load(Workspace(tmp_path / "ws")).table["phash"]
    assert hashes.to_pylist() == new["phash"].to_pylist()
