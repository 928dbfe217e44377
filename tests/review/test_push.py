"""Candidates to a real Label Studio: once each, the likeliest first, whatever happens."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sixrayd.advice.reviews import Reviews
from sixrayd.core.errors import ServiceError, SettingsError, WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import CANDIDATE_SCHEMA, INDEX_SCHEMA, SAMPLE_SCHEMA, Verdict
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.tags import tag_file, write_tagged
from sixrayd.decisions.decision import load_decisions
from sixrayd.review.command import review
from sixrayd.review.folder import Book, ReviewFolder
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.server import image_root
from sixrayd.review.pull import pull
from sixrayd.review.push import adjudicate, push
from sixrayd.review.settings import (
    AdjudicateSettings,
    PullSettings,
    PushSettings,
    StatusSettings,
)
from sixrayd.review.status import review_status
from sixrayd.statistics.drawing import HELD_OUT, HeldOut
from tests.review.conftest import build
from tests.workspaces import build_mine, more_boxes

ROOT = Path(__file__).parents[2]
# Ends itself without warning right after the named step, with three tasks a request.
_KILLED = """
import os, signal, sys
from sixrayd.core.workspace import Workspace
from sixrayd.review import push as stage, sending
from sixrayd.review.label_studio.client import LabelStudio
root, name, step = sys.argv[1:]
owner = stage.ReviewFolder if hasattr(stage.ReviewFolder, step) else LabelStudio
before = getattr(owner, step)
def once(*args, **kwargs):
    before(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, step, once)
sending.TASKS_PER_REQUEST = 3
stage.push(Workspace(root), stage.PushSettings(name))
"""


def on_server(site, name, lane="1"):
    """Images of the tasks in a lane, in order."""
    folder = ReviewFolder(site.workspace, name)
    project = folder.project()
    images = folder.images_by_alias(project)
    with site.client() as server:
        tasks = [task for number in project.numbers(lane) for task in server.all_tasks(number)]
    found = [project.task_of(task.key) for task in tasks]
    assert {where for _, where in found} <= {lane}
    return [images[alias] for alias, _ in found]


def tasks_of(site, name):
    return ReviewFolder(site.workspace, name).tasks()


def test_tagged_images_become_a_review_of_their_own(site):
    images = site.mined("seen", 2)
    write_tagged(tag_file(site.workspace, ""), images)

    pushed = push(site.workspace, PushSettings(origin="tags"))

    assert (pushed.name, pushed.added) == ("tags", 2)
    assert on_server(site, "tags") == images
    assert [row["kind"] for row in tasks_of(site, "tags")] == ["tagged", "tagged"]
    write_tagged(tag_file(site.workspace, ""), [])


def test_push_sends_each_image_once_and_a_higher_limit_only_the_new_ones(site):
    images = site.mined("limits", 6)
    first = push(site.workspace, PushSettings("limits", limit=4))
    assert (first.added, first.already_there) == (4, 0)
    assert on_server(site, "limits") == images[:4]
    run = site.workspace.run("review", "limits")
    before = (site.workspace.folder("review", "limits") / "tasks.parquet").read_bytes()

    again = push(site.workspace, PushSettings("limits", limit=4))
    assert (again.added, again.already_there, again.project) == (0, 4, first.project)
    assert site.workspace.run("review", "limits") == run
    assert (site.workspace.folder("review", "limits") / "tasks.parquet").read_bytes() == before

    more = push(site.workspace, PushSettings("limits"))
    assert (more.added, more.already_there) == (2, 4)
    assert on_server(site, "limits") == images
    rows = tasks_of(site, "limits")
    assert [(r["image_id"], r["rank"]) for r in rows] == list(zip(images, range(1, 7), strict=True))
    assert [row["candidates"] for row in rows] == [[f"{image}/rfb/0"] for image in images]


# Beside the Knife at (10, 20, 40, 50) of every candidate: what means the same, and what does not.
BOXES = (
    ("Gun", 12.0, 20.0, 40.0, 50.0, 0.45),
    ("Gun", 60.0, 5.0, 90.0, 30.0, 0.44),
    ("Wrench", 60.0, 40.0, 90.0, 60.0, 0.2),
    ("Pliers", 5.0, 5.0, 20.0, 15.0, 0.1),
)


def shown(site, project, count):
    """What reviewers see drawn in their first tasks, as the server tells it: labels."""
    with site.client() as server:
        seen = []
        for _ in range(count):
            task = server.next_task(project)
            seen.append([r["value"]["rectanglelabels"] for r in task.regions])
            server.submit(task.task_id, [verdict_region(Verdict.NOTHING)], 1.0)
    return seen


@pytest.mark.parametrize(
    "asked, labels",
    [
        ({}, ["Knife", "Gun", "Wrench"]),
        pytest.param({"boxes": 2}, ["Knife", "Gun"], marks=pytest.mark.long),
        pytest.param(
            {"boxes": 9, "draw_from": 0.1},
            ["Knife", "Gun", "Wrench", "Pliers"],
            marks=pytest.mark.long,
        ),
        pytest.param({"draw_from": 0.3}, ["Knife", "Gun"], marks=pytest.mark.long),
        pytest.param({"draw_from": 1.0}, [], marks=pytest.mark.long),
    ],
)
def test_few_boxes_are_drawn_one_an_object(site, asked, labels):
    name = "few" + "".join(f"-{value}" for value in asked.values())
    images = site.mined(name, 1)
    more_boxes(site.workspace, name, BOXES)
    project = push(site.workspace, PushSettings(name, **asked)).project
    ((*drawn,),) = shown(site, project, 1)
    assert [label for (label,) in drawn] == labels
    (row,) = tasks_of(site, name)
    assert (row["image_id"], len(row["candidates"])) == (images[0], len(labels))
    kept = ReviewFolder(site.workspace, name).boxes_drawn("1").get(images[0], {})
    assert [box.label for box in kept.values()] == labels
    (said,) = pull_of(site, name)
    assert len(said.rejected) == len(labels)


def pull_of(site, name):
    assert pull(site.workspace, PullSettings(name)).problems == ()
    return load_decisions(site.workspace, name)


def test_known_positives_decide_what_is_drawn(site):
    site.mined("worth", 1)
    more_boxes(site.workspace, "worth", BOXES)
    # Of what scores 0.44 and more in 20 known positives half is right, of all else less.
    held_out = HeldOut(20, (0, 0, 0), (0.9, 0.44, 0.2), (True, False, False))
    held_out.save(site.workspace.folder("mine", "worth") / HELD_OUT)
    project = push(site.workspace, PushSettings("worth")).project
    assert shown(site, project, 1) == [[["Knife"], ["Gun"]]]


def test_boxes_of_different_models_are_shown_side_by_side(site):
    images = site.mined("models", 2)
    path = site.workspace.folder("mine", "models") / "candidates.parquet"
    rows = read_table(path, CANDIDATE_SCHEMA).to_pylist()
    write_table(path, [rows[0], rows[1] | {"model": "other"}], CANDIDATE_SCHEMA)
    project = push(site.workspace, PushSettings("models")).project
    assert [len(drawn) for drawn in shown(site, project, len(images))] == [1, 1]


def test_run_json_names_inputs_and_outputs(site):
    site.mined("papers", 1)
    push(site.workspace, PushSettings("papers"))
    run = site.workspace.run("review", "papers")
    assert set(run.inputs) == {"shards/run.json", "mine/papers/run.json"}
    assert set(run.outputs) == {"tasks.parquet", "candidates.parquet"}
    assert run.settings == {
        **{"name": "papers", "origin": "mining", "limit": None, "server": "local"},
        **{"reviewers": 1, "share": 1.0, "duplicates": False, "again": False},
        **{"boxes": 3, "draw_from": None},
    }
    assert run.summary["tasks"] == run.summary["left"] == 1
    assert site.workspace.stale("review", "papers") == []


def test_images_decided_in_another_review_are_not_pushed_again(site):
    images = site.mined("round1", 2)
    project = push(site.workspace, PushSettings("round1")).project
    decided, _ = site.answer(project)
    pull(site.workspace, PullSettings("round1"))
    build_mine(site.workspace, "round2", images)
    result = push(site.workspace, PushSettings("round2"))
    assert (result.added, result.decided_elsewhere) == (1, 1)
    assert on_server(site, "round2") == [image for image in images if image != decided]


@pytest.mark.parametrize(
    "step",
    [
        "new_project",
        pytest.param("make_project", marks=pytest.mark.long),
        pytest.param("import_tasks", marks=pytest.mark.long),
        pytest.param("write_tasks", marks=pytest.mark.long),
    ],
)
def test_killed_and_pushed_again_each_image_is_there_once(site, step):
    name = f"killed-{step}"
    images = site.mined(name, 7)
    command = [sys.executable, "-c", _KILLED, str(site.workspace.root), name, step]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    assert name not in site.workspace.names("review")
    result = push(site.workspace, PushSettings(name))
    assert result.added + result.already_there == 7
    assert result.already_there == {"import_tasks": 3, "write_tasks": 7}.get(step, 0)
    assert on_server(site, name) == images
    assert [row["image_id"] for row in tasks_of(site, name)] == images
    with site.client() as server:
        key = ReviewFolder(site.workspace, name).project().book_key(Book("1", 0, 0))
        assert server.find_project(key) == result.project


def test_a_project_beside_whose_key_people_wrote_is_the_same(site):
    project = site.pushed("described", 1)
    book = ReviewFolder(site.workspace, "described").project().book_key(Book("1", 0, 0))
    with site.client() as server:
        made = server.calls.asked(f"api/projects/{project}/")["description"]
        server.calls.sdk.projects.update(project, description=f"May.\n{made}\nAnn till Friday.")
        assert server.find_project(book) == project
        assert server.find_project(book[:-1]) is None is server.find_project(f"{book}.2")
        words = ("May.", "sixrayd;", "line:", "")  # that a stranger's workspace may call its key
        assert [server.find_project(word) for word in words] == [None] * 4
    site.answer(project)
    assert pull(site.workspace, PullSettings("described")).new == 1
    assert push(site.workspace, PushSettings("described")).cautions == ()


def test_who_has_read_a_reviews_tasks_cannot_pass_his_workspace_off_as_its_own(site, tmp_path):
    """It would be pushed with the token of the review's owner, who was sent it."""
    site.pushed("owners", 3)
    before = on_server(site, "owners")
    theirs, token = build(tmp_path / "theirs"), tmp_path / "token"
    token.touch(0o600)
    token.write_text(site.connection.token)
    images = replace(site, workspace=theirs).mined("owners", 2)
    ours = ReviewFolder(site.workspace, "owners").project()
    read = ours.book_key(ours.books[0])
    ReviewFolder(theirs, "owners").keep(replace(ours, key=read, server=site.connection.url))
    settings = PushSettings("owners", url=site.connection.url, token_file=token)
    result = push(theirs, settings)
    assert result.added == len(images) and result.project not in ours.numbers()
    assert on_server(site, "owners") == before


@pytest.mark.long
def test_duplicates_go_unless_somebody_worked_on_them(site):
    images = site.mined("twice", 3)
    project = push(site.workspace, PushSettings("twice")).project
    key = ReviewFolder(site.workspace, "twice").project().task_key
    with site.client() as server:
        for image in images:
            data = {"sixrayd": key(image), "image": "/x", "image_id": image}
            server.import_tasks(project, [{"data": data}])
        tasks = server.all_tasks(project)
        spare = {task.key: task.task_id for task in tasks[3:]}
        server.submit(spare[key(images[0])], [], 1.0)
    result = push(site.workspace, PushSettings("twice"))
    assert result.duplicates_removed == 3
    assert sorted(on_server(site, "twice")) == images
    assert tasks_of(site, "twice")[0]["task"] == spare[key(images[0])]


def test_the_server_shows_the_candidates_and_nothing_else(site):
    images = site.mined("shown", 2)
    push(site.workspace, PushSettings("shown"))
    folder = image_root(site.workspace) / "shown"
    alias = ReviewFolder(site.workspace, "shown").project().alias
    names = [f"{alias(image)}.jpg" for image in images]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    shown = Index.load(site.workspace).read(images[0])
    headers = {"Authorization": f"Token {site.connection.token}"}
    base = f"{site.server.url}/data/local-files/?d="
    answer = httpx.get(f"{base}shown/{names[0]}", headers=headers)
    assert (answer.status_code, answer.content) == (200, shown)
    assert httpx.get(f"{base}shown/{names[0]}").status_code in (401, 403)
    for outside in ("../data/label_studio.sqlite3", "shown/../../secret.json", "shown/none.jpg"):
        refusal = httpx.get(base + outside, headers=headers)
        assert refusal.status_code >= 400 and len(refusal.content) < 5000


def test_another_server_gets_the_images_by_upload(site, monkeypatch):
    images = site.mined("remote", 3)
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_TOKEN", site.connection.token)
    settings = PushSettings("remote", url=site.server.url)
    result = push(site.workspace, settings)
    assert (result.added, push(site.workspace, settings).added) == (3, 0)
    assert not (image_root(site.workspace) / "remote").exists()
    with site.client() as server:
        address = server.next_task(result.project).data["image"]
        assert len(server.uploaded(result.project)) == 3
    headers = {"Authorization": f"Token {site.connection.token}"}
    answer = httpx.get(site.server.url + address, headers=headers)
    assert answer.content == Index.load(site.workspace).read(images[0])
    assert site.workspace.run("review", "remote").settings["server"] == site.server.url


def test_tasks_and_projects_that_are_gone_are_told_of_and_sent_again(site):
    """Somebody deleted them, or a backup is older than their push."""
    images = site.mined("lost", 4)
    project = push(site.workspace, PushSettings("lost")).project
    image, _ = site.answer(project)
    with site.client() as server:
        task = server.next_task(project)
        server.delete_task(task.task_id)
    told = pull(site.workspace, PullSettings("lost"))
    assert (told.new, told.lacking) == (1, {"1": 1})
    found = review_status(site.workspace, StatusSettings("lost"))
    assert (found.lacking, found.next.why) == ({"1": 1}, "1 task gone from the server")
    assert push(site.workspace, PushSettings("lost")).added == 1
    assert pull(site.workspace, PullSettings("lost")).lacking == {}
    with site.client() as server:
        server.calls.sdk.projects.delete(project)
    told = pull(site.workspace, PullSettings("lost"))
    assert (told.new, told.gone, told.lacking) == (0, 1, {"1": 3})
    result = push(site.workspace, PushSettings("lost"))
    assert (result.added, result.cautions[-1]) == (
        3,
        "gone from the server: 1 project of the review, with all that was not pulled, unless a "
        "backup has it",
    )
    assert sorted([*on_server(site, "lost"), image]) == sorted(images)
    told = pull(site.workspace, PullSettings("lost"))
    assert (told.progress.decided, told.progress.left, told.lacking) == (1, 3, {})


def test_a_task_of_an_image_that_the_release_has_no_more_is_not_waited_for(site):
    """The release was taken in anew with fewer images, and the server lost the task."""
    site.pushed("shrunk", 1)
    folder = ReviewFolder(site.workspace, "shrunk")
    [row] = folder.tasks()
    folder.write_tasks([row, row | {"image_id": "N9999999", "task": row["task"] + 1}])
    told = pull(site.workspace, PullSettings("shrunk"))
    assert (told.lacking, told.progress.tasks, told.progress.left) == ({}, 1, 1)
    assert push(site.workspace, PushSettings("shrunk")).added == 0


def test_what_left_the_release_is_given_to_nobody_and_what_was_answered_is_left_alone(site):
    site.pushed("departed", 1)
    folder = ReviewFolder(site.workspace, "departed")
    [row], project = folder.tasks(), folder.project()
    gone = [f"N999999{number}" for number in range(4)]
    with site.client() as server:
        keys = [project.task_key(image_id) for image_id in gone]
        made = [{"data": {"image": "/gone.jpg", "sixrayd": key}} for key in keys]
        answered, *others = server.import_tasks(row["project"], made)
        server.submit(answered, [verdict_region(Verdict.NOTHING)], 1)
        numbers = zip(gone, [answered, *others], strict=True)
        rows = [row, *(row | {"image_id": image_id, "task": task} for image_id, task in numbers)]
        folder.write_tasks(rows[:-1])
        result = pull(site.workspace, PullSettings("departed"))
        assert (result.tasks_ended, result.lacking, result.progress.left) == (2, {}, 2)
        folder.write_tasks([*folder.tasks(), rows[-1]])
        assert push(site.workspace, PushSettings("departed")).tasks_ended == 1
        left = [task.task_id for task in server.all_tasks(row["project"])]
    assert left == [task["task"] for task in folder.tasks()] == [row["task"], answered]


def test_what_was_drawn_and_left_the_release_is_named_and_waited_for_by_no_push(site):
    site.mined("drawn", 1)
    keys = ("group", "stratum", "place", "draw")
    path = site.workspace.folder("estimate", "drawn") / "sample.parquet"
    drawn = [dict(zip(keys, ("g", "s", 1, 1), strict=True)) | {"image_id": "N9999998"}]
    write_table(path, drawn, SAMPLE_SCHEMA)
    result = push(site.workspace, PushSettings("drawn"))
    strewn = Reviews(site.workspace, {}).of("drawn").strewn
    path.unlink()
    assert (result.added, strewn) == (1, 0)
    assert result.cautions == (
        "not sent, 1 image drawn that the release has no more; "
        f"`sixrayd estimate -w {site.workspace.root}` says what to do",
    )


def test_what_the_adjudicator_lacks_is_sent_by_the_command_that_is_named(site):
    site.answer(site.pushed("ruling", 1), verdict=Verdict.UNSURE)
    pull(site.workspace, PullSettings("ruling"))
    lost = adjudicate(site.workspace, AdjudicateSettings("ruling")).project
    with site.client() as server:
        server.delete_task(server.next_task(lost).task_id)
    root = str(site.workspace.root)
    shell = CliRunner().invoke(review, ["pull", "--name", "ruling", "-w", root])
    told = "1 task without an answer gone from the server: `sixrayd review adjudicate"
    assert any(line.startswith(told) for line in shell.stdout.splitlines()), shell.output


def test_a_project_of_another_server_is_not_made_anew_here(site, monkeypatch):
    site.mined("there", 1)
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_TOKEN", site.connection.token)
    project = push(site.workspace, PushSettings("there", url=site.server.url)).project
    with site.client() as server:
        server.calls.sdk.projects.delete(project)
    said = f"has no project of review 'there', which was pushed to {site.server.url}; name that "
    with pytest.raises(ServiceError, match=re.escape(f"{said}server, or mine under another")):
        push(site.workspace, PushSettings("there"))
    with pytest.raises(ServiceError, match=re.escape(f"{said}server with --url")):
        pull(site.workspace, PullSettings("there"))


def test_settings_and_names_are_checked(site):
    with pytest.raises(SettingsError, match="--limit 0: expected 1 or more"):
        PushSettings(limit=0)
    with pytest.raises(WorkspaceError, match=r"none/run\.json: missing; run `sixrayd"):
        push(site.workspace, PushSettings("none"))
    with pytest.raises(WorkspaceError, match="name 'server': kept for Label Studio's own data"):
        ReviewFolder(site.workspace, "server")


def test_candidates_are_kept_as_they_were_sent(site):
    site.mined("kept", 2)
    push(site.workspace, PushSettings("kept"))
    sent = pq.read_table(site.workspace.folder("review", "kept") / "candidates.parquet")
    mined = pq.read_table(site.workspace.folder("mine", "kept") / "candidates.parquet")
    assert sent.equals(mined)


def test_a_limit_goes_on_to_the_end_of_a_group_and_spot_checks_come_on_top(
    site, tmp_path, monkeypatch
):
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_TOKEN", site.connection.token)
    workspace = build(tmp_path, 9)
    images = [f"N{n:07d}" for n in range(1, 10)]
    path = workspace.shards / "index.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows[1:4]:
        row["group"] = images[1]
    write_table(path, rows, INDEX_SCHEMA)
    build_mine(workspace, "first", images[:7])
    drawn = {"stratum": "a", "draw": 1}
    sample = [{"image_id": i, "group": i, "place": n, **drawn} for n, i in enumerate(images[7:])]
    write_table(workspace.folder("estimate", "first") / "sample.parquet", sample, SAMPLE_SCHEMA)

    def sent(limit):
        push(workspace, PushSettings("first", limit=limit, url=site.server.url))
        tasks = ReviewFolder(workspace, "first").tasks()
        return {row["image_id"]: row["kind"] for row in tasks}

    checks = dict.fromkeys(images[7:], "spot check")
    assert sent(2) == dict.fromkeys(images[:4], "candidate") | checks
    assert sent(5) == dict.fromkeys(images[:5], "candidate") | checks
