"""A stranger's workspace names files outside of it, by `..` or by a link: none is removed."""

import json
import shutil

import pytest

from sixrayd.browse.settings import BrowseSettings
from sixrayd.browse.stage import browse
from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.workspace import REMOVED, Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.given import given_folder
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export as export_it
from sixrayd.review.label_studio.backup import KEPT, back_up, backups
from sixrayd.review.planting.planted import planted_folder, remove_others
from tests.download.test_fetch import at, fetched
from tests.mirror import serving
from tests.review.label_studio.test_backup import small
from tests.workspaces import Small


@pytest.fixture
def precious(tmp_path):
    """A file that is no part of any workspace."""
    path = tmp_path / "home" / "20200101T000000.000000Z.tar.gz"
    path.parent.mkdir()
    path.write_text("precious")
    return path


def test_inputs_that_are_removed_lie_in_the_workspace(tmp_path, precious):
    workspace = Workspace(tmp_path / "ws")
    (workspace.root / "release").mkdir(parents=True)
    (workspace.root / "release/a.zip").touch()
    (workspace.root / "linked").symlink_to(precious.parent)
    names = ["release/a.zip", f"../home/{precious.name}", f"linked/{precious.name}", str(precious)]

    workspace.remove_inputs(dict.fromkeys(names, "0" * 64))

    assert precious.read_text() == "precious"
    assert not (workspace.root / "release/a.zip").exists()
    assert list(json.loads((workspace.root / REMOVED).read_text())) == sorted(names)


def test_receipts_behind_a_link_are_not_taken_for_a_download_s(tmp_path, precious):
    precious.with_name("arrived.jsonl").write_text("precious")
    precious.with_name(".source.json.1.part").write_text("precious")
    before = sorted(precious.parent.iterdir())
    (tmp_path / "here").mkdir()
    (tmp_path / "here/release").symlink_to(precious.parent)

    with serving(tmp_path) as server:
        with pytest.raises(WorkspaceError, match=r"release: a link leads to .*/home, outside"):
            fetched(tmp_path, at(server.url))
        assert server.asked == []

    assert sorted(precious.parent.iterdir()) == before


def test_no_folder_behind_a_link_is_emptied(tmp_path, precious):
    workspace = Workspace(tmp_path / "ws")
    given = workspace.root / "release/.given"
    images = planted_folder(workspace, "first") / "images"
    for link in (given, images):
        link.parent.mkdir(parents=True)
        link.symlink_to(precious.parent)
    shutil.make_archive(str(tmp_path / "a"), "zip", precious.parent)

    with pytest.raises(WorkspaceError, match=r"release/.given: a link leads to .*/home, outside"):
        given_folder(tmp_path / "a.zip", (), workspace, Faults("stop"))
    with pytest.raises(WorkspaceError, match=r"planted/images: a link leads to .*/home, outside"):
        remove_others(workspace, "first", ())

    assert precious.read_text() == "precious"


def test_backups_of_another_workspace_stay(tmp_path, precious):
    workspace = small(tmp_path / "ws")
    folder = workspace.folder("review") / "server/backups"
    folder.symlink_to(precious.parent)

    for _ in range(KEPT + 1):
        back_up(workspace)

    assert precious.read_text() == "precious"
    assert len(backups(workspace)) == KEPT + 2


@pytest.mark.parametrize("link", ["browse", "browse/tagged"])
def test_browsing_replaces_nothing_behind_a_link(tmp_path, precious, link):
    workspace = Small().build(tmp_path / "ws")
    (precious.parent / "app.log").write_text("precious")
    (workspace.root / link).parent.mkdir(exist_ok=True)
    (workspace.root / link).symlink_to(precious.parent)
    export = "first" if link.endswith("tagged") else ""
    if export:
        export_it(workspace, ExportSettings())

    with pytest.raises(WorkspaceError, match=rf"ws/{link}: a link leads to .*/home, outside"):
        browse(workspace, BrowseSettings(export=export, port=0, wait=False))

    assert (precious.parent / "app.log").read_text() == "precious"


def test_no_list_of_hashes_behind_a_link_is_removed(tmp_path, precious):
    sums = precious.parent / "SHA256SUMS"
    sums.write_text("-----BEGIN PGP SIGNED MESSAGE-----")
    workspace = Workspace(tmp_path / "ws")
    workspace.root.mkdir()
    (workspace.root / "release").symlink_to(precious.parent)

    with serving(tmp_path) as server:
        sums.with_name("source.json").write_text(json.dumps({"url": server.url}))
        with pytest.raises(ReleaseError, match="SHA256SUMS: line 1"):
            download(workspace, DownloadSettings(server.url, ("Gun",)))

    assert sums.exists()
