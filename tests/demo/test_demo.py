"""The whole pipeline with its real parts, small in the long run, at full size in the longest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ran

ROOT = Path(__file__).resolve().parents[2]


def _demo(folder, *options):
    command = [sys.executable, "-m", "sixrayd", "demo", str(folder), "--json", *options]
    return ran(command, env={"CI": "true"})


def _run_notebooks(workspace):
    names = [str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    environment = {**os.environ, "SIXRAYD_WORKSPACE": str(workspace)}
    command = [sys.executable, str(ROOT / "notebooks" / "run.py"), "--check", *names]
    assert len(names) == 3
    subprocess.run(command, check=True, env=environment)


@pytest.mark.long
def test_a_small_demo_goes_through_every_stage(tmp_path):
    options = ("--images", "60", "--epochs", "1", "--error-rate", "0")

    answer = _demo(tmp_path, *options)

    assert answer.returncode == 0, answer.stderr
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


@pytest.mark.long
@pytest.mark.longest
@pytest.mark.timeout(3600)
def test_the_demo_reaches_what_it_promises(tmp_path):
    answer = _demo(tmp_path)

    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    assert result["recall"] >= 0.9
    assert result["reviewed"] <= 2 * result["hidden"] + 4  # the last group is sent whole
