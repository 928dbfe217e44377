"""A download killed at random moments goes on and ends in the same bytes."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.mirror import serving
from tests.processes import started
from tests.releases import TinyRelease, jpeg

ROOT = Path(__file__).parents[2]
_RUN = "import sys; from tests.download.test_kills import run; run(*sys.argv[1:])"


def run(root, url, keep="keep"):
    """A whole download."""
    settings = DownloadSettings(
        url, ("Gun", "Knife"), images_per_shard=3, keep_archives=keep == "keep"
    )
    download(Workspace(root), settings)


@pytest.fixture
def server(tmp_path):
    tiny = TinyRelease()
    for number in range(20, 40):
        tiny.images[f"N{number:07d}"] = jpeg(number, 400, 300)
        tiny.rows.append(f"N{number:07d},-1,-1")
    with serving(tiny.write(tmp_path / "served")) as state:
        yield state


def run_killed(root, server, keep, after):
    """Download in a process of its own; kill it once the server has sent so many bytes.

    Returns:
        Whether it was over before.
    """
    command = [sys.executable, "-c", _RUN, str(root), server.url, keep]
    limit = server.sent + after
    with started(command, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE) as child:
        server.told = lambda sent: child.send_signal(signal.SIGKILL) if sent >= limit else None
        _, said = child.communicate()
        server.told = lambda sent: None
    assert child.returncode in (0, -signal.SIGKILL), said.decode()
    return child.returncode == 0


def files_of(root):
    """What a finished workspace holds, less what it only remembers."""
    paths = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def killed(tmp_path, server, times, seed, keep="keep"):
    chance, whole = random.Random(seed), tmp_path / "whole"
    run(whole, server.url, keep)
    total, kills = server.sent, 0
    root = tmp_path / "killed-0"
    for number in range(times):
        if run_killed(root, server, keep, chance.randint(1, total)):
            assert files_of(root) == files_of(whole)
            root = tmp_path / f"killed-{number + 1}"
        else:
            kills += 1
    run(root, server.url, keep)
    assert files_of(root) == files_of(whole)
    assert not list(root.glob("release/.*"))
    assert len(files_of(whole)) >= 14
    return kills


def test_a_download_killed_twice(tmp_path, server):
    assert killed(tmp_path, server, 2, seed=1) == 2


@pytest.mark.long
@pytest.mark.longest
@pytest.mark.parametrize("keep", ["keep", "remove"])
def test_a_download_killed_at_a_hundred_moments(tmp_path, server, keep):
    assert killed(tmp_path, server, 50, seed=2, keep=keep) > 10
