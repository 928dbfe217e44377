"""Second looks at finds: to others than the finder, boxed as he did, and what comes of them."""

import pytest
from click.testing import CliRunner

from sixrayd.advice.next_step import Judgement
from sixrayd.cli import cli
from sixrayd.core.boxes import Box
from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Rule, Verdict
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import load_decisions, standing_decisions
from sixrayd.decisions.second_looks import is_second_look, second_looks, seen_by_one
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import region
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from tests.review.test_push import on_server, tasks_of

SIZE = (96, 64)
MISSED, NOTHING = Verdict.MISSED, Verdict.NOTHING


def knife(site, name, image, x1):
    """The detection's box, moved to the left edge given."""
    project = ReviewFolder(site.workspace, name).project()
    return region(project.alias(f"{image}/rfb/0"), Box("Knife", x1, 20, 40, 50), SIZE)


def gun():
    return region("", Box("Gun", 50.0, 10.0, 70.0, 30.0), SIZE)


def said_of(site, name):
    return standing_decisions(load_decisions(site.workspace, name))


@pytest.mark.long
def test_finds_go_to_everybody_but_their_finder_and_come_back(site):
    name = "again"
    images = site.mined(name, 4)
    first = push(site.workspace, PushSettings(name, limit=4, confirm_finds=1))
    assert (first.added, first.second_looks, first.finders) == (4, 0, {})
    ann, bob = site.person(), site.person()
    answers = [
        (ann, MISSED, [knife(site, name, images[0], 12.0), gun()]),
        (bob, MISSED, [knife(site, name, images[1], 10.0)]),
        (ann, NOTHING, []),
        (ann, MISSED, [gun()]),
    ]
    for image, (by, verdict, drawn) in zip(images, answers, strict=True):
        assert site.answer(first.project, drawn, verdict, by=by)[0] == image
    pull(site.workspace, PullSettings(name))
    finders = {i: d.reviewer for i, d in seen_by_one(said_of(site, name)).items()}
    assert sorted(finders) == [images[0], images[1], images[3]]
    judged = Judgement(site.workspace).reviews.of(name)
    assert judged.to_confirm == 3

    sent = push(site.workspace, PushSettings(name, limit=4, confirm_finds=1))
    assert (sent.added, sent.second_looks, sent.tasks) == (0, 3, 3)
    assert sorted(sent.finders.values()) == sorted({finders[images[0]], finders[images[1]]})
    by_finder = {finder: lane for lane, finder in sent.finders.items()}
    lane, other = by_finder[finders[images[0]]], by_finder[finders[images[1]]]
    assert on_server(site, name, lane) == [images[0], images[3]]
    assert on_server(site, name, other) == [images[1]]
    assert is_second_look(lane) and finders[images[0]] not in lane
    again = push(site.workspace, PushSettings(name, limit=4, confirm_finds=1))
    assert (again.second_looks, again.tasks, again.finders) == (0, 0, sent.finders)
    typed = ["review", "invite", "--name", name, "-w", str(site.workspace.root)]
    told = CliRunner().invoke(cli, typed).stdout
    assert all(f"A second looker, never {finder}, joins at" in told for finder in by_finder)
    assert Judgement(site.workspace).reviews.of(name).to_confirm == 0

    folder = ReviewFolder(site.workspace, name)
    (project,) = folder.project().numbers(lane)
    with LabelStudio(bob) as server:
        task = server.next_task(project)
        title = server.calls.sdk.projects.get(project).title
    assert title == f"Not for {finders[images[0]]}: second looks, sixrayd again"[:50]
    shown = folder.boxes_drawn(lane)[images[0]]
    assert shown == {
        f"{images[0]}/rfb/0": Box("Knife", 12.0, 20.0, 40.0, 50.0),
        f"{images[0]}/finder/1": Box("Gun", 50.0, 10.0, 70.0, 30.0),
    }
    assert len(task.regions) == 2
    # Bob confirms the first as it is and clears the other; Ann herself answers Bob's.
    assert site.answer(project, task.regions, MISSED, by=bob)[0] == images[0]
    assert site.answer(project, [], NOTHING, by=bob)[0] == images[3]
    (project,) = folder.project().numbers(other)
    site.answer(project, [knife(site, name, images[1], 10.0)], MISSED, by=bob)
    result = pull(site.workspace, PullSettings(name))
    assert (result.new, result.progress.conflicts, result.progress.twice) == (3, 1, 1)

    words = "1 image unsettled: 1 to send to an adjudicator"
    for command in ("review pull --name again", "review status --name again", "status"):
        typed = [*command.split(), "-w", str(site.workspace.root)]
        told = CliRunner().invoke(cli, typed).stdout.splitlines()
        told = [line for line in told if not line.startswith(("why: ", "next: "))]
        assert any(line.endswith(words) for line in told if "/" not in line or name in line), told

    said = said_of(site, name)
    settled = settle(said[images[0]], Rule.ADJUDICATOR).decision
    assert settled.boxes[0].candidate == f"{images[0]}/rfb/0"
    assert settled.boxes[0].box == Box("Knife", 12.0, 20.0, 40.0, 50.0)
    assert settle(said[images[3]], Rule.ADJUDICATOR).decision is None
    # His own second look is no second opinion: one reader still.
    assert set(seen_by_one(said)) == {images[1]} and result.progress.own_looks == 1
    typed = ["review", "status", "--name", name, "-w", str(site.workspace.root)]
    assert "1 find looked at a second time by the finder" in CliRunner().invoke(cli, typed).stdout
    rows = [d for d in folder.decisions() if (d["lane"], d["image_id"]) == (other, images[1])]
    with LabelStudio(bob) as server:
        server.calls.sdk.annotations.delete(rows[0]["annotation"])
    site.answer(project, [knife(site, name, images[1], 10.0)], MISSED, by=ann)
    told = pull(site.workspace, PullSettings(name))
    assert (told.progress.own_looks, told.gone) == (0, 0)  # he was asked to delete it
    assert not seen_by_one(said_of(site, name))
    assert push(site.workspace, PushSettings(name, limit=4, confirm_finds=1)).tasks == 0
    rows = [row for row in tasks_of(site, name) if is_second_look(row["lane"])]
    assert {row["kind"] for row in rows} == {"candidate"} and len(rows) == 3


@pytest.mark.long
def test_a_share_is_the_same_ones_and_grows(site):
    name = "part"
    site.mined(name, 12)
    first = push(site.workspace, PushSettings(name))
    person = site.person()
    for _ in range(12):
        site.answer(first.project, [gun()], MISSED, by=person)
    pull(site.workspace, PullSettings(name))
    said, key = said_of(site, name), ReviewFolder(site.workspace, name).project().key

    def wanted(share):
        return {d.image_id for finds in second_looks(said, key, share).values() for d in finds}

    assert wanted(0) == set() and len(wanted(1)) == 12
    assert wanted(0.3) < wanted(0.9)
    sent = push(site.workspace, PushSettings(name, confirm_finds=0.5))
    assert sent.second_looks == len(wanted(0.5))
    assert ReviewFolder(site.workspace, name).project().settings["confirm_finds"] == 0.5
    assert Judgement(site.workspace).push_of(name).endswith("push --confirm-finds 0.5")


@pytest.mark.parametrize("options", [{"confirm_finds": 1.5}, {"confirm_finds": -0.1}])
def test_a_share_of_finds_is_a_share(options):
    with pytest.raises(SettingsError, match=r"--confirm-finds .*: expected 0 to 1"):
        PushSettings(**options)


def test_nothing_is_found_among_positives():
    with pytest.raises(SettingsError) as told:
        PushSettings(origin="positives", confirm_finds=1)
    assert str(told.value) == "--confirm-finds: nothing is found in --from positives"
