"""No process outlives the test that started it, however the test ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.processes import contained, ran, started

ROOT = Path(__file__).resolve().parents[1]
# Leaves behind a server in a session of its own, which gets to see nothing else.
LEAVES = """
import os, subprocess, sys
only = {"TMPDIR": os.environ["TMPDIR"]}
server = [sys.executable, "-c", "import time; time.sleep(3600)"]
print(subprocess.Popen(server, env=only, start_new_session=True, stdout=2).pid, flush=True)
"""
CONFTEST = """
from tests.processes import watch_over

def pytest_configure():
    watch_over()
"""
TEST = """
import os, subprocess, sys, time
from pathlib import Path

def test_that_forgets():
    stays = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    leaves = subprocess.run([sys.executable, "-c", {leaves!r}], stdout=subprocess.PIPE, text=True)
    Path("pids.part").write_text(f"{{stays.pid}} {{leaves.stdout}}")
    Path("pids.part").rename("pids")
    {end}
"""


def until(condition):
    """Wait as long as it takes; a test that hangs has a timeout."""
    while not condition():
        time.sleep(0.02)


def is_up(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("end", "how", "code"),
    [
        ("time.sleep(3600)", signal.SIGKILL, -signal.SIGKILL),
        pytest.param("time.sleep(3600)", signal.SIGINT, 2, marks=pytest.mark.long),
        # As when its time is up.
        pytest.param("os._exit(1)", None, 1, marks=pytest.mark.long),
        ("assert False", None, 1),
    ],
)
def test_nothing_remains_of_a_run_of_tests(tmp_path, end, how, code):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TEST.format(leaves=LEAVES, end=end))
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", "."]
    environment = {"PYTHONPATH": str(ROOT)}
    with started(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as run:
        until((tmp_path / "pids").exists)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        if how:
            assert [is_up(pid) for pid in pids] == [True, True]
            run.send_signal(how)

        assert run.wait() == code
        until(lambda: not any(is_up(pid) for pid in pids))
        assert len(pids) == 2


def test_what_a_process_leaves_behind_ends_with_the_block():
    with started([sys.executable, "-c", LEAVES], stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        process.wait()
        assert is_up(pid)

    assert not is_up(pid)


def test_other_processes_stay():
    with contained() as environment, started(["sleep", "3600"]) as other:
        own = subprocess.Popen(["sleep", "3600"], env=environment)
        with started(["sleep", "3600"]) as third:
            pass
        assert [process.poll() for process in (own, other, third)] == [None, None, -signal.SIGKILL]
    assert own.wait() == -signal.SIGKILL


def test_ctrl_c_is_heard_where_these_tests_ignore_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with started(["sleep", "3600"]) as process:
            process.send_signal(signal.SIGINT)
            assert process.wait() == -signal.SIGINT
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_was_said_is_kept():
    command = [sys.executable, "-c", "import os; print(os.environ['SAID']); raise SystemExit('no')"]
    done = ran(command, env={"SAID": "yes"})

    assert (done.returncode, done.stdout, done.stderr) == (1, "yes\n", "no\n")
