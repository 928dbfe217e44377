"""A review goes on wherever its workspace goes, and whatever became of the server's images."""

import json
import shutil
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.review.command import review
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.command import _show_images
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.server import (
    find_server,
    image_root,
    running_server,
    server_folder,
)
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from sixrayd.review.showing import ShownAgain, show_all
from tests.review.conftest import build
from tests.workspaces import build_mine

IMAGES = ["N0000001", "N0000002", "N0000003"]


def served(workspace, project):
    """What a reviewer's browser gets for each task: status, bytes."""
    here = find_server(workspace, "", None)
    token = {"Authorization": f"Token {here.token}"}
    with httpx.Client(base_url=here.url, headers=token, trust_env=False) as browser:
        asked = {"project": project, "fields": "all"}
        tasks = browser.get("/api/tasks", params=asked).json()["tasks"]
        assert len(tasks) == len(IMAGES)
        assert all(task["data"]["image"].startswith("/data/local-files/") for task in tasks)
        answers = [browser.get(task["data"]["image"]) for task in tasks]
    return [(answer.status_code, answer.content) for answer in answers]


def storages(workspace, project):
    """Workspaces whose folder of images is registered with the server."""
    with LabelStudio(find_server(workspace, "", None)) as server:
        found = server.calls.sdk.import_storage.local.list(project=project)
    return [Path(storage.path).parents[3] for storage in found]


@pytest.mark.long
def test_a_review_goes_on_where_its_workspace_goes(tmp_path, servers, capsys):
    workspace = build(tmp_path / "workspace", 3)
    build_mine(workspace, "first", IMAGES)
    with running_server(workspace):
        project = push(workspace, PushSettings()).project
        whole = served(workspace, project)
        assert [status for status, _ in whole] == [200] * 3
        with LabelStudio(find_server(workspace, "", None)) as server:
            task = server.next_task(project)
            server.submit(task.task_id, [verdict_region(Verdict.NOTHING)], 1)

        first, second = sorted((image_root(workspace) / "first").iterdir())[:2]
        first.unlink()
        second.write_bytes(b"")  # a power cut came before its bytes
        told = CliRunner().invoke(review, ["push", "-w", str(workspace.root)])
        assert told.stdout.startswith(
            "first: 0 images added, 3 were there, 2 lost images written again\n"
        )
        assert served(workspace, project) == whole

    port = json.loads((server_folder(workspace) / "port.json").read_text())
    (server_folder(workspace) / "port.json").unlink()
    shutil.rmtree(image_root(workspace) / "first")
    (tmp_path / "an other").mkdir()
    (tmp_path / "link").symlink_to(workspace.root.rename(tmp_path / "an other" / "wörk"))
    moved = Workspace(tmp_path / "link")
    shell = CliRunner().invoke(review, ["serve", "--background", "-w", str(moved.root)])
    assert shell.exit_code == 0, shell.output
    assert shell.stderr.endswith(
        f"3 images that were sent are shown from {moved.root}; 3 were missing and are written "
        "again\n"
    )
    assert json.loads((server_folder(moved) / "port.json").read_text()) != port
    assert served(moved, project) == whole
    there = Workspace(moved.root.resolve())
    assert show_all(there) == ShownAgain(images=3, written=0)
    assert storages(there, project) == [workspace.root, there.root]
    result = pull(there, PullSettings())
    assert (result.new, result.gone, result.progress.decided) == (1, 0, 1)

    (moved.shards / "negatives-00000.tar").rename(tmp_path / "away")
    (image_root(moved) / "first" / first.name).unlink()
    capsys.readouterr()
    _show_images(moved)
    assert capsys.readouterr().err.startswith(
        f"not all images can be shown: {moved.shards / 'negatives-00000.tar'}: No such file or dir"
    )
