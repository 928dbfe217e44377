"""A stage that lost its power goes on from what was synced, and ends in the same bytes."""

import pytest

from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.power_cuts import survived
from tests.releases import CLASSES, TinyRelease

ALL, FEW = pytest.param(0, marks=pytest.mark.long), 4


@pytest.fixture
def place(tmp_path):
    """The disk that loses its power; the workspace is made on it."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.mark.parametrize("most", [FEW, ALL])
def test_download(place, tmp_path, most):
    release = TinyRelease().write(tmp_path / "release")

    def work():
        settings = DownloadSettings(str(release), CLASSES, images_per_shard=3)
        download(Workspace(place / "w"), settings)

    assert survived(place, work, most=most) >= (most or 20)
