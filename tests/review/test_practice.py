"""People practise on known positives; nothing of it is a decision, nobody is measured by it."""

import json
import re

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import region, verdict_region
from sixrayd.review.label_studio.server import server_folder
from sixrayd.review.planting.known import shown_positives
from sixrayd.review.practice import Practised, practise
from sixrayd.review.settings import PracticeSettings
from tests.workspaces import SIZE_WH, Picture, build_shards

RIGHT = Box("Gun", 11.0, 10.0, 50.0, 41.0)
ASIDE = Box("Gun", 60.0, 30.0, 90.0, 60.0)


def shown(task):
    """Labels that are drawn in a task."""
    return [label for item in task.regions for label in item["value"]["rectanglelabels"]]


def through(who, project, boxes):
    """Answer each open task, with boxes where none are drawn; what was drawn, and the images."""
    drawn, images = [], []
    with LabelStudio(who) as server:
        while task := server.next_task(project):
            drawn.append(shown(task))
            images.append(task.data["image"])
            said = [region(f"r{n}", box, SIZE_WH) for n, box in enumerate(boxes)]
            said *= not drawn[-1]
            server.submit(task.task_id, [*said, verdict_region(Verdict.MISSED)], 1.0)
        return server.user, drawn, images


@pytest.mark.long
def test_each_person_sees_each_image_and_then_its_boxes(site):
    made = practise(site.workspace, PracticeSettings(number=2, people=2))
    assert (made.images, made.people) == (2, ())
    projects = [int(each.split("/projects/")[1].split("/")[0]) for each in made.addresses]
    first, drawn, images = through(site.person(), projects[0], [RIGHT])
    assert drawn == [[], ["Gun"], [], ["Knife"]]
    assert images[0] == images[1] != images[2] == images[3]
    second, same, others = through(site.person(), projects[1], [RIGHT, ASIDE])
    assert same == drawn and others[0] == others[1] not in images
    again = practise(site.workspace, PracticeSettings(number=9, people=2, invite=True))
    assert made.links == () and "token" not in repr(again)
    for number, link in zip(projects, again.links, strict=True):
        assert f"next=%2Fprojects%2F{number}%2F" in link
    assert again.people == (Practised(first, 2, 2, 1, 1), Practised(second, 2, 2, 1, 3))
    assert (again.images, again.addresses) == (2, made.addresses)


def test_what_was_practised_measures_nobody_and_is_no_decision(site):
    practise(site.workspace, PracticeSettings(number=2))
    kept = json.loads((site.workspace.folder("practice") / "practice.json").read_text())
    assert len(kept["images"]) == 2 and shown_positives(site.workspace) >= set(kept["images"])
    assert "practice" not in [path.name for path in site.workspace.folders("review")]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"key": "../../../elsewhere"}, "name '../../../elsewhere.1': needs to be a plain folder"),
        ({"key": "a/../elsewhere"}, "elsewhere.1': needs to be a plain folder name"),
        (
            {"images": ["N0000001"]},
            "practice.json: names 'N0000001', which is not labelled",
        ),
    ],
)
def test_a_strangers_practice_writes_no_image_elsewhere(site, spoilt, said):
    path = site.workspace.folder("practice") / "practice.json"
    path.parent.mkdir(exist_ok=True)
    before = path.read_text() if path.exists() else None
    text = json.dumps({"key": "a" * 16, "images": ["P0000001"]} | spoilt)
    path.write_text(text)
    try:
        with pytest.raises(WorkspaceError, match=re.escape(said)):
            practise(site.workspace, PracticeSettings())
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert [*site.workspace.root.glob("elsewhere*")] == []
    assert not (server_folder(site.workspace).parent / "elsewhere.1").exists()


def test_without_labelled_objects_there_is_nothing_to_practise_on(site, tmp_path):
    workspace = Workspace(tmp_path)
    build_shards(workspace, [Picture("N0000001")])
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(site.connection.token)
    with pytest.raises(WorkspaceError, match="no labelled object is on the training side"):
        practise(workspace, PracticeSettings(url=site.connection.url, token_file=token))
