"""The whole pipeline with its real parts, small in the long run, at full size in the longest."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from sixrayd.core.children import module_command
from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import load_decisions
from sixrayd.demo.stage import demo
from sixrayd.review.settings import WithdrawSettings
from sixrayd.review.withdraw import withdraw
from tests.processes import ran

ROOT = Path(__file__).resolve().parents[2]


def _demo(folder, *options, **more):
    command = module_command("sixrayd", "demo", str(folder), "--json", *options)
    return ran(command, env={"CI": "true", **more.pop("env", {})}, **more)


def _set_traps(folder):
    """Fill it with a module of each name that a process may look for, which leaves a mark."""
    folder.mkdir()
    names = {*sys.stdlib_module_names, *packages_distributions(), "sitecustomize", "usercustomize"}
    mark = f"import pathlib; pathlib.Path({str(folder)!r}, 'trapped').touch()\n"
    for name in names:
        (folder / f"{name}.py").write_text(mark)


def _libraries_looked_for(folder):
    """Paths that the dynamic linker tried, of all processes that told it in this folder."""
    text = "\n".join(path.read_text() for path in folder.glob("linker.*"))
    return re.findall(r"trying file=(\S+)", text)


def _run_notebooks(workspace):
    names = [str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    environment = {**os.environ, "SIXRAYD_WORKSPACE": str(workspace)}
    command = [sys.executable, str(ROOT / "notebooks" / "run.py"), "--check", *names]
    assert len(names) == 3
    subprocess.run(command, check=True, env=environment)


def test_what_somebody_else_called_as_the_demo_does_is_kept(tmp_path):
    (tmp_path / "release.json").write_text('{"version": "2.0.1"}\n')
    with pytest.raises(SettingsError) as caught:
        demo(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/release.json: no settings of a demo of sixrayd; name another place"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["release.json"]
    assert (tmp_path / "release.json").read_text() == '{"version": "2.0.1"}\n'


@pytest.mark.long
def test_a_small_demo_goes_through_every_stage(tmp_path, monkeypatch):
    options = ("--images", "60", "--epochs", "1", "--error-rate", "0")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)  # which OpenCV sets, here too
    _set_traps(here := tmp_path / "here")
    told = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(tmp_path / "linker")}

    answer = _demo(tmp_path, *options, cwd=here, env=told)

    assert answer.returncode == 0, answer.stderr
    assert not (here / "trapped").exists()
    assert (looked := _libraries_looked_for(tmp_path)) or sys.platform != "linux"
    assert [path for path in looked if not path.startswith("/") or path.startswith(str(here))] == []
    result = json.loads(answer.stdout)
    assert result["images"] == sum(result["states"].values()) == 60
    assert list(result["seconds"]) == [
        "synth",
        "download",
        "train",
        "mine",
        "serve",
        "sample",
        "review",
        "estimate",
        "export",
        "benchmark",
        "browse",
    ]
    assert 0 < result["reviewed"] <= 2 * result["hidden"]
    assert result["found"] == result["states"]["found positive"]
    assert result["recall"] == pytest.approx(result["found"] / result["hidden"], abs=1e-4)
    assert result["exported_images"] == result["states"]["source positive"] + result["found"]

    _run_notebooks(tmp_path / "workspace")
    again = json.loads(_demo(tmp_path, *options, "--no-browse").stdout)
    timeless = {key for key in result if key != "seconds"}
    assert {key: again[key] for key in timeless} == {key: result[key] for key in timeless}

    workspace = Workspace(tmp_path / "workspace")
    (name,) = workspace.names("review")
    found = next(d for d in load_decisions(workspace, name) if d.verdict == Verdict.MISSED)
    withdraw(workspace, WithdrawSettings((found.image_id,), reason="a second look", by="ann"))
    less = json.loads(_demo(tmp_path, *options, "--no-browse").stdout)
    assert less["found"] == result["found"] - 1

    other = _demo(tmp_path, "--images", "60", "--epochs", "2")
    assert (other.returncode, other.stderr.splitlines()[-1]) == (
        1,
        f"error: {workspace.folder('models')}/{name}: holds another training (epochs 1 there, 2 "
        "asked for); a demo of other settings, of another version, or made elsewhere: name another "
        f"folder, or delete {tmp_path}",
    )


@pytest.mark.long
@pytest.mark.longest
@pytest.mark.timeout(3600)
def test_the_demo_reaches_what_it_promises(tmp_path):
    answer = _demo(tmp_path)

    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    assert result["recall"] >= 0.9
    assert result["reviewed"] <= 2 * result["hidden"] + 4  # the last group is sent whole
