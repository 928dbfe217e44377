"""Storage that refuses: one line with the right advice, and nothing lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from sixrayd.core.errors import UnknownStateError, WorkspaceError
from sixrayd.core.shards import ShardWriter
from sixrayd.core.storage import check_known, is_refusal, refusal, refusals_told, unfit_path
from sixrayd.core.workspace import Run, Workspace
from sixrayd.estimate.plan import plan_costs
from sixrayd.estimate.settings import EstimateSettings
from sixrayd.synth.release import write_release
from sixrayd.synth.settings import SynthSettings
from tests.estimate.campaigns import Campaign
from tests.limits import TOO_LARGE, largest_file
from tests.releases import TinyRelease, take

ROOT = Path(__file__).parents[2]
ROOM = "make room there, then run the same command again; what is finished is kept"

RIGHTS = "use an account that may, or name another place"
OTHER = "name another place, or move aside what is there"


SEVERAL = """
import contextlib, io, json, sys
from sixrayd.cli import main
answers = []
for sys.argv in json.loads(sys.argv[1]):
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""


def typed(cwd, *lines):
    """Exit code, stdout and stderr of commands of somebody who is not above the rights of files."""
    words = json.dumps([["sixrayd", *line.split()] for line in lines])
    command = [sys.executable, "-c", SEVERAL, words]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may write anywhere, and setpriv is not there to take that away")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TMPDIR": tempfile.gettempdir()}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def locked(tmp_path):
    """A campaign's workspace in which nothing can be written."""
    workspace = Campaign.build(tmp_path / "w", [1] * 6, [1]).workspace
    (server := workspace.folder("review") / "server").mkdir(parents=True)  # another user's
    folders = [workspace.root, *(path for path in workspace.root.rglob("*") if path.is_dir())]
    (workspace.root / ".hashes.json").unlink(missing_ok=True)
    for folder in folders:
        folder.chmod(0o500 if folder != server else 0)
    yield workspace
    for folder in folders:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        ("ENOSPC", ROOM),
        ("EDQUOT", ROOM),
        ("EFBIG", TOO_LARGE.partition("; ")[2]),
        ("EROFS", "name a place that can be written"),
        ("EACCES", RIGHTS),
        ("ENAMETOOLONG", "choose a shorter name"),
        ("EISDIR", OTHER),
        ("EIO", "see to the disk or its connection, then run the same command again"),
    ],
)
def test_what_is_said(number, advice):
    code = getattr(errno, number)
    said = os.strerror(code)
    nameless, named = OSError(code, said), OSError(code, said, "w/a")
    assert is_refusal(nameless)
    assert refusal(nameless) == f"{said}; {advice}"
    assert refusal(named) == f"w/a: {said}; {advice}"
    assert refusal(named, Path("b")) == f"b: cannot be written ({said}); {advice}"


def test_other_faults_are_not_of_the_storage():
    assert not is_refusal(OSError("no number"))
    assert not is_refusal(ValueError())
    with pytest.raises(FileNotFoundError), refusals_told(Path("w")):
        Path("nowhere/at all").read_bytes()


def test_a_stage_that_finds_no_room(tmp_path):
    workspace = Workspace(tmp_path / "w")
    with (
        largest_file(20_000),
        pytest.raises(WorkspaceError) as caught,
        workspace.lock(),
        ShardWriter(workspace.shards, "negatives") as shards,
    ):
        shards.add("N1", bytes(50_000))
    assert str(caught.value) == f"{workspace.shards / 'negatives-00000.tar'}: {TOO_LARGE}"
    assert list(workspace.shards.iterdir()) == []


def test_a_release_that_finds_no_room(tmp_path):
    with largest_file(20_000), pytest.raises(WorkspaceError) as caught:
        write_release(tmp_path / "r", SynthSettings(images=2, workers=1))
    assert str(caught.value) == f"{tmp_path / 'r'}: {TOO_LARGE}"
    assert list(tmp_path.iterdir()) == []


def test_who_may_only_read_reads_and_is_told_before_work_begins(locked):
    told, planned, *writing = typed(
        locked.root.parent,
        "status -w w --json",
        "estimate --plan --json -w w",
        "estimate -w w",
        "review agreement -w w",
        "export --voc -w w",
    )
    assert (told[0], told[2], json.loads(told[1])["workspace"]) == (0, "", "w")
    assert (planned[0], planned[2], json.loads(planned[1])["name"]) == (0, "", "first")
    assert not (locked.root / ".hashes.json").exists()
    assert [told[2].replace(".lock-review", ".lock") for told in writing] == (
        [f"error: w/.lock: Permission denied; {RIGHTS}\n"] * 3
    )
    assert [told[:2] for told in writing] == [[1, ""]] * 3


@pytest.mark.long
def test_what_may_not_be_looked_at_is_not_told_to_be_made_again(locked):
    table = locked.folder("mine", "first") / "candidates.parquet"
    table.chmod(0)
    locked.folder("models").mkdir(0o300)
    planned, told = typed(locked.root.parent, "estimate --plan -w w", "status -w w")
    said = f"cannot be read (Permission denied); {RIGHTS}"
    assert planned == [1, "", f"error: w/mine/first/candidates.parquet: {said}\n"]
    assert told == [1, "", f"error: w/models: Permission denied; {RIGHTS}\n"]


def test_an_ingest_that_may_not_be_read_is_not_called_broken(tmp_path):
    take(tmp_path, TinyRelease().write(tmp_path / "release"))
    (tmp_path / "ws/shards/index.parquet").chmod(0)
    (told,) = typed(tmp_path, "status -w ws")
    said = f"cannot be read (Permission denied); {RIGHTS}"
    assert told == [1, "", f"error: ws/shards/index.parquet: {said}\n"]


@pytest.mark.parametrize(
    "line", ["status -w w", pytest.param("audit -w w", marks=pytest.mark.long)]
)
def test_a_disk_that_fails_is_told_with_the_file(tmp_path, line):
    (tmp_path / "w/shards").mkdir(parents=True)
    (tmp_path / "w/shards/run.json").symlink_to("/proc/self/mem")  # no byte of which can be read
    (told,) = typed(tmp_path, line)
    said = "Input/output error; see to the disk or its connection, then run the same command again"
    assert told == [1, "", f"error: w/shards/run.json: {said}\n"]


def test_what_cannot_be_read_is_known_to_be_nothing_else():
    check_known(FileNotFoundError(errno.ENOENT, ""), "w")
    check_known(ValueError(), "w")
    with pytest.raises(MemoryError):  # which is an ArrowException as well
        check_known(pa.lib.ArrowMemoryError(), "w")
    for number in (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EACCES):
        with pytest.raises(UnknownStateError, match=r"w/a: cannot be read \("):
            check_known(OSError(number, ""), "w/a")


def test_of_a_long_text_the_part_around_what_is_odd_is_told():
    with pytest.raises(UnicodeEncodeError) as caught:
        ("x" * 9000 + "/w\udcff/y" + "z" * 9000).encode()
    said = unfit_path(caught.value)
    assert "x/w\\xff/yz" in said and len(said) < 1100


@pytest.mark.long
def test_a_path_that_tables_cannot_have_is_told(tmp_path):
    take(tmp_path, TinyRelease().write(tmp_path / "rel\udcff"))  # which may be called so
    (tmp_path / "ws").rename(tmp_path / "w\udcff")
    done = typed(tmp_path, "status -w w\udcff", "export --voc --out here -w w\udcff")
    said = "its name is no UTF-8; rename what is odd in it, or name another place"
    assert done[0] == [1, "", f"error: w\\xff/shards/annotations.parquet: {said}\n"]
    assert done[1] == [1, "", f"error: w\\xff/shards/index.parquet: {said}\n"]


def test_places_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "release").mkdir()
    (tmp_path / "sixrayd.toml").touch(0)
    settings, long, below, inside = typed(
        tmp_path,
        "status -w .",
        f"status -w {'n' * 300}",
        "synth file/x --images 2",
        "download --release release -w file/w",
    )
    told = f"error: sixrayd.toml: cannot be read (Permission denied); {RIGHTS}\n"
    assert settings == [1, "", told]
    said = "File name too long; choose a shorter name"
    assert long == [1, "", f"error: {'n' * 300}/sixrayd.toml: {said}\n"]
    assert below == [1, "", f"error: file/x: cannot be written (File exists); {OTHER}\n"]
    assert inside[0] == 1
    assert inside[2].splitlines()[-1] == f"error: file/w: Not a directory; {OTHER}"


def test_a_plan_waits_for_who_writes_and_writes_nothing(tmp_path):
    workspace = Campaign.build(tmp_path / "w", [1] * 3, [1]).workspace
    with (
        Workspace(workspace.root).lock(),
        pytest.raises(WorkspaceError, match=f"in use by process {os.getpid()}; wait for it"),
    ):
        plan_costs(workspace, EstimateSettings())
    absent = Workspace(tmp_path / "absent")
    absent.check_idle()
    assert not absent.root.exists()


def test_hashes_that_cannot_be_read_or_kept_are_made_again(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / "a").write_text("a")
    (tmp_path / ".hashes.json").mkdir()
    wanted = {"a": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}
    assert workspace.inputs(tmp_path / "a") == workspace.inputs(tmp_path / "a") == wanted
    with workspace.lock():
        assert workspace.begin(Run("mine", "first", {}, wanted))


def test_where_no_temporary_file_can_be_written_is_told(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    with largest_file(0), pytest.raises(FileNotFoundError) as caught:
        tempfile.gettempdir()  # as PyTorch does when it is imported
    assert is_refusal(caught.value)
    told = refusal(caught.value)
    assert told.startswith("['") and tempfile.tempdir is None
    assert told.endswith(f"]: no temporary file can be written there; {ROOM}; or set TMPDIR")
    assert not is_refusal(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a"))
