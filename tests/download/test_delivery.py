"""Shards of an ingest at a URL as well."""

from dataclasses import replace

import pytest

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.store import Store
from sixrayd.core.workspace import Workspace
from sixrayd.download.delivery import put_shard
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.releases import TinyRelease


@pytest.fixture
def settings(tmp_path):
    release = TinyRelease().write(tmp_path / "release")
    return DownloadSettings(str(release), ("Gun", "Knife"), images_per_shard=3)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


def listed(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_shards_of_this_and_of_a_finished_ingest(settings, workspace, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    result = download(workspace, replace(settings, shards_at=str(first)))
    names = {path.name for path in workspace.shards.glob("*.tar")}
    assert len(names) == 3
    assert {*listed(first)} == {*names, *(f"{name}.sha256" for name in names)}
    for name in names:
        digest = sha256_file(first / name)
        assert digest == workspace.run("shards").outputs[name]
        assert (first / f"{name}.sha256").read_text() == f"{digest}  {name}\n"

    before = listed(first), listed(workspace.shards)
    (first / "negatives-00001.tar").unlink()
    assert download(workspace, replace(settings, shards_at=str(first))) == result
    assert download(workspace, replace(settings, shards_at=second.as_uri())) == result

    assert listed(workspace.shards) == before[1]
    after = listed(first)
    assert {name for name in after if after[name] != before[0].get(name)} >= {"negatives-00001.tar"}
    assert after["negatives-00000.tar"] == before[0]["negatives-00000.tar"]
    assert {*listed(second)} == {*after}


@pytest.mark.parametrize("mark", ["none", "another"])
def test_what_is_not_of_this_ingest_stays_unless_forced(settings, workspace, tmp_path, mark):
    away = tmp_path / "away"
    away.mkdir()
    (away / "positives-00000.tar").write_bytes(b"theirs")
    if mark == "another":
        (away / "positives-00000.tar.sha256").write_text(f"{'0' * 64}  positives-00000.tar\n")
    there = replace(settings, shards_at=str(away))

    with pytest.raises(WorkspaceError) as caught:
        download(workspace, there)
    assert str(caught.value) == (
        f"{away}/positives-00000.tar: is there, and not of this ingest; name another folder with "
        "--shards-at, or pass --force to replace it"
    )
    assert (away / "positives-00000.tar").read_bytes() == b"theirs"

    download(workspace, replace(there, force=True))
    assert sha256_file(away / "positives-00000.tar") in {*workspace.run("shards").outputs.values()}


def test_a_shard_whose_writing_was_killed_is_written(tmp_path):
    shard = tmp_path / "x-00000.tar"
    shard.write_bytes(b"bytes of a shard")
    store, digest = Store(tmp_path / "away"), sha256_file(shard)
    store.write_bytes("x-00000.tar.sha256", f"{digest}  x-00000.tar\n".encode())

    put_shard(store, shard, digest, force=False)

    assert store.read_bytes("x-00000.tar") == b"bytes of a shard"


def test_of_two_ingests_that_write_at_once_no_shard_passes_for_the_others(tmp_path, monkeypatch):
    """Both saw that nothing is there; the other writes all of its own before ours is."""
    ours, theirs = (tmp_path / name / "x-00000.tar" for name in ("ours", "theirs"))
    for shard in (ours, theirs):
        shard.parent.mkdir()
        shard.write_bytes(f"bytes of {shard.parent.name}".encode())
    store, write = Store(tmp_path / "away"), Store.write_bytes

    def write_later(self, name, data):
        if self is store and name == ours.name:
            put_shard(Store(store.url), theirs, sha256_file(theirs), force=False)
        write(self, name, data)

    monkeypatch.setattr(Store, "write_bytes", write_later)
    with pytest.raises(WorkspaceError, match=r"sha256: another ingest writes there now"):
        put_shard(store, ours, sha256_file(ours), force=False)
    assert store.names() == {"x-00000.tar.sha256"}
    put_shard(Store(store.url), theirs, sha256_file(theirs), force=False)
    assert store.read_bytes("x-00000.tar") == theirs.read_bytes()


def test_the_workspace_s_own_folder_is_refused(settings, workspace):
    for url in (workspace.shards, workspace.shards / "inside"):
        with pytest.raises(SettingsError) as caught:
            download(workspace, replace(settings, shards_at=str(url)))
        place = url.resolve()
        assert str(caught.value) == f"shards-at: {place} is the workspace's own; leave it out"
