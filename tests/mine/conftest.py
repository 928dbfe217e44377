"""A workspace with a detector that has learnt squares, ready to be mined."""

import shutil

import pytest

from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from sixrayd.train.stage import train
from tests.squares import QUICK, squares


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    release = squares()
    release.images["N0000030"] = release.images["N0000030"][:600]  # a truncated JPEG
    folder = tmp_path_factory.mktemp("mine")
    workspace = Workspace(folder / "workspace")
    settings = DownloadSettings(
        str(release.write(folder / "release")),
        release.classes,
        images_per_shard=10,
        on_error="skip",
    )
    download(workspace, settings)
    train(workspace, QUICK)
    return workspace


@pytest.fixture
def workspace(trained, tmp_path):
    """A copy of its own: three shards of ten negatives, six of them hiding something."""
    shutil.copytree(trained.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")
