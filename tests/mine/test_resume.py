"""Killed, interrupted or broken off at any moment, mining goes on and ends in the same bytes."""

import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.mine.forecast import forecast
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.stage import mine
from tests.marks import some_long
from tests.processes import started
from tests.squares import ingest, squares

SETTINGS = MineSettings(batch=2, mirror=False, threshold=0.02, backend="torch", threads=1)
RESULTS = ("candidates.parquet", "look.json", "run.json", "skipped.jsonl")
SHARDS = 50


@pytest.fixture(scope="module")
def shards(trained, tmp_path_factory):
    """Fifty shards of two negatives each, beside the detector that has learnt squares."""
    workspace = ingest(tmp_path_factory.mktemp("shards"), squares(2, 2 * SHARDS, 6), 2)
    shutil.copytree(trained.root / "models", workspace.root / "models")
    return workspace


@pytest.fixture
def few(trained, tmp_path):
    """Three shards of two negatives each, one of them truncated."""
    release = squares(2, 6, 5)
    release.images["N0000006"] = release.images["N0000006"][:600]
    workspace = ingest(tmp_path, release, 2, on_error="skip")
    shutil.copytree(trained.root / "models", workspace.root / "models")
    return workspace


@pytest.fixture
def forks():
    """Processes that start in milliseconds: what they need has been imported once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sixrayd.mine.stage", "sixrayd.mine.local_engine"])
    return context


def results(workspace):
    folder = workspace.folder("mine", "rfb-small")
    return {name: (folder / name).read_bytes() for name in RESULTS}


def undisturbed(shards, folder):
    shutil.copytree(shards.root, folder)
    result = mine(Workspace(folder), SETTINGS)
    assert (result.shards_done, result.candidates > 6) == (SHARDS, True)
    return results(Workspace(folder))


def mine_at(root, most_bytes=0):
    torch.set_num_threads(1)
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    mine(Workspace(root), SETTINGS)


def kill_often(shards, folder, forks, kills):
    """Mine, killed at random moments, again and again; the results whenever they are reached."""
    workspace, reached = Workspace(folder), []
    shutil.copytree(shards.root, folder)
    rng = random.Random(7)
    timed = folder.with_name("timed")
    shutil.copytree(shards.root, timed)
    start = time.monotonic()
    mine_at(timed)
    whole_s = time.monotonic() - start
    for _ in range(kills):
        running = forks.Process(target=mine_at, args=(folder,))
        running.start()
        running.join(rng.uniform(0, whole_s))
        running.kill()
        running.join()
        if (workspace.folder("mine", "rfb-small") / "run.json").exists():
            reached.append(results(workspace))
            shutil.rmtree(workspace.folder("mine"))
    mine(workspace, SETTINGS)
    return [*reached, results(workspace)]


@pytest.mark.long
def test_a_few_kills_over_fifty_shards(shards, tmp_path, forks):
    found = kill_often(shards, tmp_path / "killed", forks, 3)

    assert len(found) >= 1
    assert all(one == undisturbed(shards, tmp_path / "whole") for one in found[:1])


@pytest.mark.long
@pytest.mark.longest
@pytest.mark.timeout(3600)
def test_two_hundred_kills_over_fifty_shards(shards, tmp_path, forks):
    found = kill_often(shards, tmp_path / "killed", forks, 200)

    whole = undisturbed(shards, tmp_path / "whole")
    assert len(found) >= 1
    assert all(one == whole for one in found)


@pytest.mark.long
def test_ctrl_c_keeps_what_was_looked_at(workspace, tmp_path):
    expected = tmp_path / "whole"
    shutil.copytree(workspace.root, expected)
    mine(Workspace(expected), SETTINGS)
    command = [sys.executable, "-m", "sixrayd", "mine", "-w", str(workspace.root), "--no-mirror"]
    command += ["--batch", "2", "--threshold", "0.02", "--backend", "torch", "--threads", "1"]
    command += ["--workers", "1", "--progress", "json"]

    with started(command, stderr=subprocess.PIPE, text=True) as running:
        first = json.loads(running.stderr.readline())
        running.send_signal(signal.SIGINT)
        said = running.stderr.read().splitlines()
        assert running.wait() == 130

    assert (first["images"], first["total"]) == (2, 30)
    line = " ".join(["sixrayd", *command[3:]])
    assert said[-1] == f"interrupted; what is finished is kept, go on with: {line}"
    parts = workspace.folder("mine", "rfb-small") / "parts"
    assert len(list(parts.iterdir())) >= 1
    assert forecast(workspace, SETTINGS).images_left <= 28
    mine(workspace, SETTINGS)
    assert results(workspace) == results(Workspace(expected))
    assert sorted(path.suffix for path in parts.iterdir()) == [".parquet"] * 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.long
def test_an_error_at_each_write_leaves_nothing_half_visible(few, tmp_path, monkeypatch, number):
    shutil.copytree(few.root, tmp_path / "whole")
    mine(Workspace(tmp_path / "whole"), SETTINGS)
    whole, real, failures = results(Workspace(tmp_path / "whole")), os.fsync, 0

    while True:
        left = failures

        def fsync(handle):
            nonlocal left
            left -= 1
            if left == -1:
                raise OSError(number, os.strerror(number))
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        folder = few.folder("mine")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            mine(few, SETTINGS)
        except WorkspaceError as error:
            assert f"written ({os.strerror(number)}); " in str(error)
        else:
            assert results(few) == whole
            if left >= 0:
                break  # nothing failed any more
        failures += 1
        assert not list(folder.rglob("*.part"))
        assert not (folder / "rfb-small" / "run.json").exists() or results(few) == whole
        monkeypatch.setattr(os, "fsync", real)
        mine(few, SETTINGS)
        assert results(few) == whole
    assert failures >= 2 * len(RESULTS)


@pytest.mark.parametrize("most_bytes", some_long((100, 700, 2500), (100, 2500)))
def test_a_file_that_may_not_grow_is_not_half_visible(workspace, tmp_path, forks, most_bytes):
    shutil.copytree(workspace.root, tmp_path / "whole")
    mine(Workspace(tmp_path / "whole"), SETTINGS)

    running = forks.Process(target=mine_at, args=(workspace.root, most_bytes))
    running.start()
    running.join()

    folder = workspace.folder("mine", "rfb-small")
    assert running.exitcode == 1
    assert not (folder / "candidates.parquet").exists()
    assert not list(workspace.root.rglob("*.part"))
    mine(workspace, SETTINGS)
    assert results(workspace) == results(Workspace(tmp_path / "whole"))
