"""`sixrayd download` as it is typed."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from sixrayd.cli import cli
from tests.releases import TinyRelease


def sixrayd(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sixrayd", *words]
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    env["TMPDIR"] = tempfile.gettempdir()  # by which what tests started is found
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_text_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner) -> None:
    TinyRelease().write(tmp_path / "release")
    words = ("download", "--release", "release", "--classes", "Gun,Knife")
    done = sixrayd(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "8 images: 3 positives, 5 negatives, 0 of them unreadable; 6 boxes\n"
        "split leak-free: 6 train, 2 test\n",
    )
    assert done.stderr.endswith("in workspace/shards; next: sixrayd train\n")
    monkeypatch.chdir(tmp_path)
    again = runner.invoke(cli, [*words, "--json"])
    assert json.loads(again.stdout)["images"] == 8


def test_fault_is_one_line_and_skips_exit_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = TinyRelease()
    tiny.images["N0000001"] = b"no image"
    tiny.write(tmp_path / "release")
    words = ("download", "--release", "release", "--classes", "Gun,Knife")
    stopped = sixrayd(*words, cwd=tmp_path)
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr.splitlines()[-1] == (
        "error: JPEGImage.tar.gz/JPEGImage/N0000001.jpg: begins with b'no image', expected JPEG, "
        "PNG, BMP, WebP or TIFF; mend it or pass --on-error skip"
    )
    done = runner.invoke(cli, [*words, "--on-error", "skip"])
    assert done.exit_code == 3
    assert done.stdout.splitlines()[0] == (
        "8 images: 3 positives, 5 negatives, 1 of them unreadable; 6 boxes"
    )
    assert done.stdout.splitlines()[-1] == "1 fault passed over (skipped.jsonl)"


def test_settings_come_from_the_workspace_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner
) -> None:
    monkeypatch.chdir(tmp_path)
    TinyRelease().write(tmp_path / "release")
    (tmp_path / "workspace").mkdir()
    text = '[download]\nclasses = ["Gun", "Knife"]\ntest-share = 0.4\n'
    (tmp_path / "workspace/sixrayd.toml").write_text(text)
    done = runner.invoke(cli, ["download", "--release", "release", "--json"])
    assert done.exit_code == 0, done.stderr
    run = json.loads((tmp_path / "workspace/shards/run.json").read_text())
    assert (run["settings"]["classes"], run["settings"]["test_share"]) == (["Gun", "Knife"], 0.4)


def test_usage(runner: CliRunner) -> None:
    assert runner.invoke(cli, ["download"]).exit_code == 2
    assert "Example:" in runner.invoke(cli, ["download", "--help"]).stdout
