"""A finished ingest that lost something is made anew, and ends in the same bytes."""

import pytest

from sixrayd.audit.fix import apply_fix
from sixrayd.audit.stage import audit
from sixrayd.core.errors import UnknownStateError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.download.wholeness import is_whole
from sixrayd.status.report import status_report
from tests.limits import no_more_files
from tests.releases import WHOLE, TinyRelease, take, voc


@pytest.fixture
def shards(tmp_path):
    take(tmp_path, TinyRelease().write(tmp_path / "release"), images_per_shard=4)
    return tmp_path / "ws/shards"


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def lengthen(path):
    path.write_bytes(path.read_bytes() + bytes(512))


def spoil(path):
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("index.parquet", cut),
        ("annotations.parquet", remove),
        ("run.json", cut),
        ("negatives-00001.tar", remove),
        ("negatives-00000.tar", cut),
        ("negatives-00000.tar", lengthen),
        ("negatives-00000.tar", spoil),
    ],
)
def test_what_is_broken_is_made_anew(tmp_path, shards, name, harm):
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    sound = (shards / "positives-00000.tar").stat().st_ino
    harm(shards / name)

    assert take(tmp_path, tmp_path / "release", images_per_shard=4) == WHOLE

    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before
    kept = (shards / "positives-00000.tar").stat().st_ino == sound
    assert kept == (name not in ("index.parquet", "run.json"))
    assert audit(Workspace(shards.parent)).images == 8


def test_what_cannot_be_read_now_is_not_called_broken(shards):
    workspace = Workspace(shards.parent)
    run = workspace.run("shards")
    assert is_whole(workspace, run)
    with no_more_files(), pytest.raises(UnknownStateError) as caught:
        is_whole(workspace, run)
    assert str(caught.value) == (
        f"{shards / 'annotations.parquet'}: cannot be read (Too many open files); raise "
        "`ulimit -n`, then run the same command again"
    )


def test_a_fix_is_not_dropped(tmp_path):
    tiny, gun = TinyRelease(), ("Gun", 1, 1, 20, 30)
    tiny.xml["P00001"] = voc("P00001", gun, gun)
    release = tiny.write(tmp_path / "release")
    take(tmp_path, release)
    workspace = Workspace(tmp_path / "ws")
    assert len(apply_fix(workspace, 3)) == 1
    take(tmp_path, release)
    (workspace.shards / "negatives-00000.tar").unlink()

    with pytest.raises(WorkspaceError) as raised:
        take(tmp_path, release)

    assert str(raised.value) == (
        f"{workspace.shards}: files are gone or have changed, and a fix stands; run "
        f"`sixrayd audit --undo -w {workspace.root}` first"
    )


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        ("index.parquet", cut, "not a readable table"),
        ("negatives-00000.tar", remove, "missing"),
    ],
)
def test_status_tells_of_it(shards, name, harm, said):
    assert status_report(Workspace(shards.parent)).results[0].progress == "done"
    harm(shards / name)

    report = status_report(Workspace(shards.parent))

    assert (report.results[0].progress, report.results[0].error) == (
        "broken",
        f"{shards / name}: {said}; run `sixrayd download` again",
    )
    assert report.next_command == f"sixrayd download --release FOLDER -w {shards.parent}"
