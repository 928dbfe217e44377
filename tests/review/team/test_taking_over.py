"""The rest of a lane is done by another person, who is never asked twice about one image."""

import pytest
from click.testing import CliRunner

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Verdict
from sixrayd.decisions.decision import load_decisions, standing_decisions
from sixrayd.review.agreement import agreement
from sixrayd.review.command import review
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import (
    AgreementSettings,
    PullSettings,
    PushSettings,
    StatusSettings,
    TakeOverSettings,
)
from sixrayd.review.status import review_status
from sixrayd.review.team.taking_over import take_over
from tests.review.test_lanes import books
from tests.review.test_push import on_server, tasks_of


def email_of(person):
    with LabelStudio(person) as server:
        return server.user


@pytest.mark.long
def test_a_new_person_gets_what_is_left_of_a_lane_and_nothing_else(site):
    images = site.mined("last", 4)
    push(site.workspace, PushSettings("last"))
    (lane,) = books(site, "last", "1")
    ann, cat = site.person(), site.person()
    assert [site.answer(lane, by=ann)[0] for _ in range(2)] == images[:2]
    assert [site.answer(lane, by=cat)[0] for _ in range(2)] == images[2:]
    with LabelStudio(cat) as server:
        assert server.next_task(lane) is None
    found = review_status(site.workspace, StatusSettings("last")).progress
    assert (found.decided, found.left, found.twice) == (4, 0, 0)
    assert found.by_person == {"1": {email_of(ann): 2, email_of(cat): 2}}


@pytest.mark.long
def test_a_reviewer_takes_over_what_is_not_in_a_lane_of_their_own(site):
    images = site.mined("over", 8)
    push(site.workspace, PushSettings("over", limit=4, reviewers=2))
    push(site.workspace, PushSettings("over"))
    (one,), (two,) = books(site, "over", "1"), books(site, "over", "2")
    ann, bob = site.person(), site.person()
    answered = [site.answer(one, by=ann)[0] for _ in range(3)]
    assert (answered, site.answer(two, by=bob)[0]) == (images[:3], images[0])
    settings = TakeOverSettings("1", "2", name="over")
    before = tasks_of(site, "over")
    tried = take_over(site.workspace, TakeOverSettings("1", "2", dry_run=True, name="over"))
    assert ((tried.to_do, tried.left_out), tasks_of(site, "over")) == ((4, 1), before)
    done = take_over(site.workspace, settings)
    assert (done.to_do, done.left_out, done.address) == (4, 1, tried.address)
    again = take_over(site.workspace, settings)
    assert (again.to_do, again.left_out) == (4, 0)
    assert push(site.workspace, PushSettings("over", reviewers=2, limit=8)).tasks == 0

    his = [images[0]]
    for project in (one, two):
        with LabelStudio(bob) as server:
            left = server.counts(project)
        his += [site.answer(project, by=bob)[0] for _ in range(left[0] - left[1])]
    assert sorted(his) == images
    counts = pull(site.workspace, PullSettings("over")).progress
    assert (counts.left, counts.twice) == (0, 0)
    said = standing_decisions(load_decisions(site.workspace, "over"))
    both = {image for image, given in said.items() if len(given) == 2}
    assert (set(said), both) == (set(images), set(images[:3]))
    assert agreement(site.workspace, AgreementSettings("over")).shared == len(both)


@pytest.mark.long
def test_a_take_over_that_was_killed_goes_on(site, monkeypatch):
    images = site.mined("stopped", 4)
    push(site.workspace, PushSettings("stopped", reviewers=2))
    deleted = []

    def stop(self, task):
        if deleted:
            raise KeyboardInterrupt
        deleted.append(task)
        return delete(self, task)

    delete = LabelStudio.delete_task
    with monkeypatch.context() as patch:
        patch.setattr(LabelStudio, "delete_task", stop)
        with pytest.raises(KeyboardInterrupt):
            take_over(site.workspace, TakeOverSettings("2", "1", name="stopped"))
    assert push(site.workspace, PushSettings("stopped", reviewers=2)).tasks == 0
    done = take_over(site.workspace, TakeOverSettings("2", "1", name="stopped"))
    assert (done.to_do, done.left_out) == (0, 4)
    assert on_server(site, "stopped", "2") == []
    assert [(row["lane"], row["image_id"]) for row in tasks_of(site, "stopped")] == [
        ("1", image) for image in images
    ]


@pytest.mark.long
def test_what_somebody_has_begun_stays(site):
    site.mined("begun", 3)
    push(site.workspace, PushSettings("begun", reviewers=2))
    (one,) = books(site, "begun", "1")
    rows = [row["task"] for row in tasks_of(site, "begun") if row["lane"] == "1"]
    site.answer(one, verdict=None)  # submitted with nothing in it
    with site.client() as server:
        server.calls.request("POST", f"api/tasks/{rows[1]}/drafts", json={"result": []})
        for _ in range(2):  # what is gone already counts as gone
            assert [server.delete_task(task) for task in rows] == [False, False, True]
        assert [task.task_id for task in server.all_tasks(one)] == rows[:2]
    done = take_over(site.workspace, TakeOverSettings("1", "2", name="begun"))
    assert (done.to_do, done.left_out) == (0, 1)


@pytest.mark.long
def test_what_a_leaver_skipped_is_part_of_the_rest(site):
    """Else the server gives it to the next reader, who has answered that image in the own lane."""
    images = site.mined("passed", 3)
    push(site.workspace, PushSettings("passed", limit=1, reviewers=2))
    push(site.workspace, PushSettings("passed"))
    (one,), (two,) = books(site, "passed", "1"), books(site, "passed", "2")
    ann, bob = site.person(), site.person()
    with LabelStudio(ann) as server:
        for _ in range(2):  # one that is in both lanes, one that is not
            path = f"api/tasks/{server.next_task(one).task_id}/annotations/"
            server.calls.request("POST", path, json={"result": [], "was_cancelled": True})
    assert site.answer(two, by=bob)[0] == images[0]
    pull(site.workspace, PullSettings("passed"))
    done = take_over(site.workspace, TakeOverSettings("1", "2", name="passed"))
    assert (done.to_do, done.left_out) == (2, 1)
    assert [site.answer(one, by=bob)[0] for _ in range(2)] == images[1:]
    counts = pull(site.workspace, PullSettings("passed"))
    assert (counts.progress.left, counts.progress.twice, counts.gone) == (0, 0, 0)


@pytest.mark.parametrize(
    ("of", "by", "message"),
    [
        ("3", "1", "--of '3': no reviewer of this review, expected 1, 2"),
        ("1", "adjudication", "--by 'adjudication': no reviewer of this review, expected 1, 2"),
        ("1", "1", "--of 1 --by 1: one person does the rest of both already, expected two; "),
    ],
)
def test_who_cannot_take_over(site, of, by, message):
    name = "refused"
    if not ReviewFolder(site.workspace, name).project():
        site.mined(name, 1)
        push(site.workspace, PushSettings(name, reviewers=2))
    with pytest.raises(SettingsError) as error:
        take_over(site.workspace, TakeOverSettings(of, by, name=name))
    assert str(error.value).startswith(message)


def test_lanes_of_one_person():
    project = Project("key", "local", taken_over={"1": "2", "2": "3", "4": "5"})
    assert project.readers_lanes("1") == ["2", "3"]
    assert [project.one_readers(lane) for lane in "123456"] == [
        *[{"1", "2", "3"}] * 3,
        *[{"4", "5"}] * 2,
        {"6"},
    ]


@pytest.mark.long
def test_the_command_says_what_becomes_of_the_rest(site):
    site.mined("told", 3)
    push(site.workspace, PushSettings("told", reviewers=2))
    (one,) = books(site, "told", "1")
    site.answer(one, verdict=Verdict.NOTHING)
    words = [
        "take-over",
        "-w",
        str(site.workspace.root),
        "--name",
        "told",
        "--of",
        "1",
        "--by",
        "2",
    ]
    shell = CliRunner().invoke(review, [*words, "--dry-run"])
    assert (shell.exit_code, shell.stdout) == (
        0,
        "Nothing is left of reviewer 1 for reviewer 2\n"
        "2 images would be left out: reviewer 2 has them already, so they get one opinion fewer\n",
    )
