"""The command line as a whole."""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sixrayd.cli import COMMANDS

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


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    assert python("-m", "sixrayd", "nonsense", cwd=tmp_path).returncode == 2
    assert python("-m", "sixrayd", "status", "--nonsense", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_and_an_example(tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(f"sixrayd.{name}.command") is None:
        pytest.fail(f"sixrayd/{name}/command.py is missing")
    done = python("-m", "sixrayd", name, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Example:" in done.stdout
