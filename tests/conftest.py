"""What all tests share: a command-line runner, an end to processes, what comes first."""

import gc
import os
from pathlib import Path

from sixrayd.core.cores import share_cores

share_cores()  # before torch is loaded
# Processes that test side by side get one thread each; more would wait for each other's cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.processes import watch_over

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
if _DATA.is_dir():
    os.environ.setdefault("SIXRAYD_DATA", str(_DATA))

# No test goes by what the user has set for himself; browsers write there.
os.environ["XDG_CONFIG_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "config")

# An example may take as long as a busy machine makes it.
settings.register_profile(
    "busy",
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("busy")

_THREADS = torch.get_num_threads()

# What takes longest comes first, so that no process waits for another's at the end.
_FIRST = (
    "tests/review/",
    "tests/test_readme.py",
    "tests/mine/",
    "tests/browse/",
    "tests/detectors/",
    "tests/train/",
)


class _Files(LoadScopeScheduling):
    """A file's tests run in one process, and so do the review's, which share a server, and Ray's,
    which would find each other's clusters."""

    def _split_scope(self, nodeid):
        file, review = nodeid.split("::")[0], "tests/review/"
        if file.startswith(review):
            return review
        return "test_ray.py" if file.endswith("/test_ray.py") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return _Files(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: [first not in item.nodeid for first in _FIRST])


def pytest_configure():
    """However these tests end, what they have started ends with them, if it has their TMPDIR."""
    watch_over()
    gc.disable()


def pytest_collection_finish():
    """What is imported and collected by now stays: it is not gone through for garbage again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def same_threads():
    """Torch's threads are the process's, and sums depend on them: each test has all of them."""
    torch.set_num_threads(_THREADS)


@pytest.fixture
def runner():
    """Runs commands in this process."""
    return CliRunner()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where CI runs, a browser test that is skipped has failed: nothing else would notice."""
    report = yield
    if report.skipped and item.get_closest_marker("browser") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report
