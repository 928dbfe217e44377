"""One holder at a time, with `flock` and without; a dead one holds nothing."""

import os
import platform
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import open_to_append
from sixrayd.core.locks import HeldError, held, holder
from sixrayd.core.workspace import Workspace
from tests.processes import started

ROOT = Path(__file__).parents[2]
# A process on a file system that knows no `flock`, as some of clusters and networks.
_WITHOUT = """
import errno, fcntl, sys
from pathlib import Path

def flock(handle, how):
    raise OSError(errno.ENOLCK, "No locks available")

if sys.argv[2] == "claims":
    fcntl.flock = flock
from sixrayd.core.locks import HeldError, held, holder
"""
_HOLD = (
    _WITHOUT
    + """
with held(Path(sys.argv[1]), "holding"):
    print("held", flush=True)
    sys.stdin.read()
"""
)
_TRY = (
    _WITHOUT
    + """
try:
    print(holder(Path(sys.argv[1])))
    with held(Path(sys.argv[1])):
        print("held")
except HeldError as error:
    print("in use by", error)
"""
)
_PASS = (
    _WITHOUT
    + """
import subprocess
with held(Path(sys.argv[1])) as hold:
    child = subprocess.Popen(["sleep", "60"], pass_fds=(hold.handle,), stdout=subprocess.DEVNULL)
    hold.pass_to(child.pid, "sleeping")
    print(child.pid)
"""
)


def script(text, path, how):
    return [sys.executable, "-c", text, str(path), how]


def holding(path, how):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return started(script(_HOLD, path, how), env={"PYTHONPATH": str(ROOT)}, **pipes)


def tried(path, how):
    return subprocess.run(
        script(_TRY, path, how), capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()


@pytest.mark.parametrize("how", ["flock", "claims"])
def test_one_process_holds_a_file_and_a_dead_one_does_not(tmp_path, how):
    path = tmp_path / "lock"
    with holding(path, how) as process:
        assert process.stdout.readline() == "held\n"
        assert tried(path, how) == [f"process {process.pid}", f"in use by process {process.pid}"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = sorted(p.name for p in tmp_path.iterdir())
        assert len(left) == (2 if how == "claims" else 1)
        assert tried(path, how) == ["None", "held"]
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("how", ["flock", "claims"])
def test_a_child_to_which_it_is_passed_holds_it_as_long_as_it_lives(tmp_path, how):
    path = tmp_path / "lock"
    command = script(_PASS, path, how)
    environment = {"PYTHONPATH": str(ROOT)}
    with started(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.communicate()[0])
        assert tried(path, how) == [f"process {child}", f"in use by process {child}"]
        os.kill(child, signal.SIGKILL)
        while tried(path, how) != ["None", "held"]:
            pass


def test_a_claim_of_another_process_that_had_the_number_does_not_count(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    claim = tmp_path / f"lock.{platform.node()}.{os.getpid()}.0-1"
    claim.touch()
    assert tried(path, "claims") == ["None", "held"]
    assert not claim.exists()


def test_a_claim_of_another_machine_counts_till_it_is_removed(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    claim = tmp_path / "lock.node-7.example.12.0-1"
    claim.touch()
    by = f"process 12 on node-7.example (if it has ended, remove {claim})"
    assert tried(path, "claims") == [by, f"in use by {by}"]
    claim.unlink()
    assert tried(path, "claims") == ["None", "held"]


def test_what_the_holder_does_is_known_and_nothing_odd_is_repeated(tmp_path):
    path = tmp_path / "lock"
    path.write_text("999999999999 before")
    with held(path, "a backup is put back"):
        assert path.read_text() == f"{os.getpid()} a backup is put back"
        assert holder(path).doing == "a backup is put back"
        with pytest.raises(HeldError), held(path):
            pass
        path.write_bytes(b"\x1b[31m7 \x1b[31m")
        assert (holder(path).process, holder(path).doing) == ("unknown", "")
    assert holder(path) is None
    assert holder(tmp_path / "absent") is None


def test_a_link_or_a_pipe_in_its_place_is_left_alone(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("work of years")
    workspace = Workspace(tmp_path / "w")
    workspace.root.mkdir()
    lock = workspace.root / ".lock"
    lock.symlink_to(precious)
    for use in (workspace.lock, lambda: held(lock)):
        with pytest.raises(WorkspaceError) as caught, use():
            pass
        assert str(caught.value) == f"{lock}: a link, expected a plain file; remove it"
    with pytest.raises(WorkspaceError, match="a link, expected a plain file"):
        workspace.check_idle()
    assert precious.read_text() == "work of years"
    lock.unlink()
    lock.symlink_to(tmp_path / "absent")
    with pytest.raises(WorkspaceError, match="a link, expected a plain file"), workspace.lock():
        pass
    assert not (tmp_path / "absent").exists()
    lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(WorkspaceError) as caught, workspace.lock():
        pass
    assert str(caught.value) == f"{lock}: no plain file, which is expected here; remove it"


def test_a_file_that_has_another_name_is_not_written_through_this_one(tmp_path):
    precious, lock = tmp_path / "precious.txt", tmp_path / "lock"
    precious.write_text("work of years")
    precious.chmod(0o644)
    lock.hardlink_to(precious)
    for use in (lambda: held(lock), lambda: nullcontext(holder(lock))):
        with pytest.raises(WorkspaceError) as caught, use():
            pass
        said = f"{lock}: 2 hard links lead to it, one is expected here; remove it"
        assert str(caught.value) == said
    log = tmp_path / "server.log"
    log.hardlink_to(precious)
    with open_to_append(log) as file:
        file.write(b"a line")
    assert (precious.read_text(), precious.stat().st_mode & 0o777) == ("work of years", 0o644)
    assert log.read_text() == "a line"


@pytest.mark.parametrize(
    ("mask", "mode"), [(0o022, 0o600), (0o027, 0o600), (0o002, 0o660), (0o007, 0o660), (0, 0o666)]
)
def test_who_cannot_write_it_cannot_hold_it_to_keep_its_owner_out(tmp_path, mask, mode):
    path, before = tmp_path / "lock", os.umask(mask)
    try:
        with held(path):
            assert path.stat().st_mode & 0o777 == mode
        path.chmod(0o666 & ~mask)  # as older versions made it
        with held(path):
            assert path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_does_not_keep_a_workspace_locked(tmp_path):
    workspace = Workspace(tmp_path / "w")
    workspace.root.mkdir()
    with workspace.lock():
        pass
    for above in (workspace.root, *workspace.root.parents[:3]):
        above.chmod(0o755)
    for name in (".lock", ".lock-review"):
        command = ["flock", "--nonblock", str(workspace.root / name), "true"]
        refused = subprocess.run(command, user=65534, group=65534, extra_groups=[], check=False)
        assert refused.returncode == 66  # no such input: it could not be opened
