"""The command line as a whole."""

import importlib.util
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sixrayd.cli import COMMANDS
from sixrayd.core.errors import printable

ROOT = Path(__file__).parents[2]


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TMPDIR": tempfile.gettempdir()}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sixrayd.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print(sorted({'torch', 'numpy', 'pyarrow', 'PIL', 'scipy'} & set(sys.modules)))"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [name for name in lines if name in COMMANDS] == list(COMMANDS)


def test_expected_failure_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/sixrayd.toml").write_text("[status]\nspeed = 1\n")
    done = python("-m", "sixrayd", "status", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: workspace/sixrayd.toml: 'speed' is no setting of `sixrayd status`\n"
    )


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        (
            "none",
            "end other programs, or raise `ulimit -u`, then run the same command again; what is "
            "finished is kept",
        ),
        (
            "512MB",
            "more is needed than the 512 MB of memory that it may take; look at what it was given, "
            "or allow more before the command: SIXRAYD_MEMORY=16GB, or none",
        ),
    ],
)
def test_a_system_that_starts_no_more_threads_is_told_in_one_line(
    tmp_path: Path, memory: str, said: str
) -> None:
    code = (
        "import threading\nfrom sixrayd.cli import main\n"
        "threading.stack_size(1 << 47)\n"  # as large as all addresses
        "main()"
    )
    words = ("--memory", memory, "download", "--release", "http://127.0.0.1:9/x")
    done = python("-c", code, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: no more threads can be started; {said}\n"


def test_interrupted_while_it_loads_it_says_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'sixrayd.core.printing':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from sixrayd.cli import main\nsys.argv[1:] = ['status']\nmain()"
    )
    done = python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    done = python("-m", "sixrayd", "vaildate", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("No such command 'vaildate'. Did you mean 'validate'?\n")
    assert python("-m", "sixrayd", "status", "--nonsense", cwd=tmp_path).returncode == 2
    done = python("-m", "sixrayd", "--json", "status", cwd=tmp_path)
    said = "No such option '--json'. A command's options follow it: sixrayd status --json\n"
    assert (done.returncode, done.stderr.endswith(said)) == (2, True)


@pytest.mark.parametrize("group", ["review", "patch"])
def test_a_group_without_a_command_prints_its_help(tmp_path: Path, group: str) -> None:
    alone = python("-m", "sixrayd", group, cwd=tmp_path)
    asked = python("-m", "sixrayd", group, "--help", cwd=tmp_path)
    assert (alone.returncode, alone.stdout, alone.stderr) == (2, "", asked.stdout)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_and_an_example(tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(f"sixrayd.{name}.command") is None:
        pytest.fail(f"sixrayd/{name}/command.py is missing")
    done = python("-m", "sixrayd", name, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Example:" in done.stdout


def test_an_error_is_one_line_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/安\x1b[31m\nb\x07.7z").write_bytes(b"7z")
    done = python("-m", "sixrayd", "download", "--release", "set", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.lstrip() == (
        "error: 安\\x1b[31m\\nb\\x07.7z: an archive that is not read; unpack it here and move it "
        "away; mend it or pass --on-error skip\n"
    )


def test_escapes() -> None:
    assert printable("ä 安 \u202e\x9b\udcb0") == "ä 安 \\u202e\\x9b\\xb0"


def test_an_empty_split_is_an_error_of_the_option(tmp_path: Path) -> None:
    done = python("-m", "sixrayd", "train", "--split", "", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: Invalid value for '--split': an empty name; leave --split out for the ingest's own "
        "division"
    )
