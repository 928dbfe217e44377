"""A workspace with a detector that has learnt squares, ready to be mined."""

import shutil

import pytest

from sixrayd.core.workspace import Workspace
from tests.detectors.learnt import train_further
from tests.squares import ingest, squares


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    release = squares()
    release.images["N0000030"] = release.images["N0000030"][:600]  # a truncated JPEG
    workspace = ingest(tmp_path_factory.mktemp("mine"), release, on_error="skip")
    train_further(workspace)
    return workspace


@pytest.fixture
def workspace(trained, tmp_path):
    """A copy of its own: three shards of ten negatives, six of them hiding something."""
    shutil.copytree(trained.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")
