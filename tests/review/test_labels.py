"""How many labelled images are wrong, from answers on a real server."""

import hashlib
import json

import pytest
from click.testing import CliRunner

from sixrayd.cli import cli
from sixrayd.core.boxes import Box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import Verdict
from sixrayd.decisions.decision import reviews_with_decisions
from sixrayd.estimate.labels import estimate_labels
from sixrayd.estimate.settings import LabelSettings
from sixrayd.review.label_studio.labelling import region, verdict_region
from tests.workspaces import SIZE_WH

IDS = [f"P{n:07d}" for n in (1, 2, 3)]  # a Gun, a Gun and a Knife, each at (10, 10, 50, 40)
GUN = Box("Gun", 10.0, 10.0, 50.0, 40.0)


@pytest.fixture
def drawn(site, request):
    """A draw whose seed is known: P2 with its box, then P3 and P1 without."""
    path = site.workspace.folder("estimate", "labels") / "draw.json"
    path.parent.mkdir(parents=True)
    population = hashlib.sha256("\n".join(IDS).encode()).hexdigest()
    about = {"key": request.node.name, "seed": 22, "blind": 0.5, "number": 2}
    path.write_text(json.dumps({**about, "population": population}))
    yield path
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()


def submitted(site, project, verdict, boxes=None):
    """Submit on the next task, what is drawn where no boxes are given; labels that were drawn."""
    with site.client() as server:
        task = server.next_task(project)
        drawn = list(task.regions)
        said = (
            drawn if boxes is None else [region(f"r{n}", b, SIZE_WH) for n, b in enumerate(boxes)]
        )
        server.submit(task.task_id, [*said, verdict_region(verdict)], 4.0)
        return [label for each in drawn for label in each["value"]["rectanglelabels"]]


@pytest.mark.long
def test_answers_say_how_many_images_have_a_faulty_label(site, drawn):
    begun = estimate_labels(site.workspace, LabelSettings(2))
    assert (begun.images, begun.drawn, begun.answered, begun.boxes) == (3, 2, 0, None)
    project = int(begun.address.split("/projects/")[1].split("/")[0])
    decided = reviews_with_decisions(site.workspace)
    assert submitted(site, project, Verdict.MISSED) == ["Gun"]
    first = estimate_labels(site.workspace, LabelSettings(2))
    assert (first.answered, first.blind, first.lacking) == (1, 0, ((0, 1), (0, 0)))
    assert (first.kinds["any"].value, first.kinds["any"].high) == (0, 2 / 3)

    assert submitted(site, project, Verdict.MISSED, [GUN, Box("Gun", 60.0, 5.0, 90.0, 30.0)]) == []
    both = estimate_labels(site.workspace, LabelSettings(2))
    assert (both.answered, both.blind, both.lacking) == (2, 1, ((0, 1), (1, 1)))
    assert {kind: share.value for kind, share in both.kinds.items()} == {
        "missing": 0.5,
        "wrong": 0.5,  # the release says Knife
        "loose": 0.0,
        "any": 0.5,
    }
    assert (both.with_more.low, both.with_more.high) == (2 / 3, 2 / 3)

    more = estimate_labels(site.workspace, LabelSettings(9))
    assert (more.drawn, more.answered) == (3, 2)
    assert submitted(site, project, Verdict.UNSURE) == []
    last = estimate_labels(site.workspace, LabelSettings(1))
    assert (last.drawn, last.answered, last.unsure) == (3, 3, 1)
    assert (last.kinds["any"].low, last.kinds["any"].high) == (1 / 3, 2 / 3)
    assert reviews_with_decisions(site.workspace) == decided

    words = ["estimate", "--workspace", str(site.workspace.root), "--labels", "3"]
    text = CliRunner().invoke(cli, words).output
    assert "3 of 3 drawn images answered, 2 of them shown without boxes; 3 are labelled" in text
    assert "without boxes shown 1 of 1 lack a box, with boxes 0 of 1" in text


def test_answers_that_the_server_has_lost_are_kept(site, drawn):
    kept = {"reviewer": "a", "submitted_at": "2026-01-01", "seconds": 1.0}
    rows = [{"image_id": "P0000002", "verdict": "nothing there", "boxes": [], **kept}]
    (drawn.parent / "answers.json").write_text(json.dumps(rows))
    found = estimate_labels(site.workspace, LabelSettings(2))
    assert (found.answered, found.kinds["wrong"].value) == (1, 1.0)


def test_a_draw_of_other_images_is_refused(site, drawn):
    document = json.loads(drawn.read_text())
    drawn.write_text(json.dumps({**document, "population": "0" * 64}))
    with pytest.raises(WorkspaceError, match="drawn from other labelled images"):
        estimate_labels(site.workspace, LabelSettings(2))
    drawn.write_text(json.dumps({**document, "seed": -1}))
    with pytest.raises(WorkspaceError, match=r"draw\.json: broken"):
        estimate_labels(site.workspace, LabelSettings(2))


@pytest.mark.parametrize("key, value", [("submitted_at", 5), ("boxes", [["Gun", 1, 1, 1, 1]])])
def test_answers_that_make_no_sense_are_refused(site, drawn, key, value):
    row = {"image_id": "P0000002", "reviewer": "a", "submitted_at": "2026-01-01", "seconds": 1.0}
    row |= {"verdict": "contraband missed", "boxes": [], key: value}
    (drawn.parent / "answers.json").write_text(json.dumps([row]))
    with pytest.raises(WorkspaceError, match=r"answers\.json: broken"):
        estimate_labels(site.workspace, LabelSettings(2))
