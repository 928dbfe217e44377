"""Decisions from a real Label Studio: all of them, once, and what is odd by name."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from click.testing import CliRunner

from sixrayd.core.boxes import Box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import Verdict
from sixrayd.decisions import decision
from sixrayd.decisions.decision import load_decisions, standing_decisions
from sixrayd.review.command import review
from sixrayd.review.cursor import Problem
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import region, verdict_region
from sixrayd.review.label_studio.server import server_folder
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings, StatusSettings, WithdrawSettings
from sixrayd.review.status import review_status
from sixrayd.review.withdraw import withdraw

SIZE = (96, 64)
USER = "reviewer@sixrayd.local"


def candidate(image, label="Knife", x1=10.0):
    return region(f"{image}/rfb/0", Box(label, x1, 20, 40, 50), SIZE)


def files(site, name):
    folder = site.workspace.folder("review", name) / "decisions"
    return sorted(path.name for path in folder.glob("*"))


def test_pushes_and_pulls_leave_no_copies_of_answers_on_the_server(site):
    data = server_folder(site.workspace) / "data"
    before = {path for path in data.rglob("*") if path.suffix == ".json"}
    project = site.pushed("copies", 2)
    site.answer(project)
    assert push(site.workspace, PushSettings("copies")).added == 0
    for full in (False, True):
        pull(site.workspace, PullSettings("copies", full=full))
    assert {path for path in data.rglob("*") if path.suffix == ".json"} == before


def test_decisions_come_once_and_changes_become_versions(site):
    images = site.mined("versions", 3)
    project = push(site.workspace, PushSettings("versions")).project
    drawn = region("new", Box("Gun", 50, 10, 70, 30), SIZE)
    first, number = site.answer(project, [candidate(images[0]), drawn], Verdict.MISSED)
    assert first == images[0]
    site.answer(project)

    result = pull(site.workspace, PullSettings("versions"))
    assert (result.new, result.files, result.problems) == (2, ("decisions/00001.parquet",), ())
    assert result.progress.by_verdict == {
        "contraband missed": 1,
        "nothing there": 1,
        "unsure": 0,
    }
    one, two = load_decisions(site.workspace, "versions")
    assert (one.image_id, one.verdict, one.reviewer) == (images[0], Verdict.MISSED, USER)
    assert (one.version, one.annotation, one.server) == (1, number, "local")
    assert [(b.box.label, b.origin, b.candidate) for b in one.boxes] == [
        ("Knife", "confirmed", f"{images[0]}/rfb/0"),
        ("Gun", "drawn", ""),
    ]
    assert one.boxes[0].box == Box("Knife", 10, 20, 40, 50)
    assert one.boxes[1].box.xyxy == pytest.approx((50, 10, 70, 30), abs=0.01)
    assert (two.image_id, two.boxes) == (images[1], ())
    run = site.workspace.run("review", "versions")
    assert "decisions/00001.parquet" in run.outputs and run.summary["found"] == 1

    assert pull(site.workspace, PullSettings("versions")).files == ()
    assert site.workspace.run("review", "versions") == run

    with site.client() as server:
        changed = [candidate(images[0], "Gun"), verdict_region(Verdict.MISSED)]
        server.calls.sdk.annotations.update(number, result=changed)
    assert pull(site.workspace, PullSettings("versions")).new == 1
    assert files(site, "versions") == ["00001.parquet", "00002.parquet"]
    stands = standing_decisions(load_decisions(site.workspace, "versions"))[images[0]]
    assert [(d.version, d.boxes[0].origin) for d in stands] == [(2, "relabelled")]


def test_what_is_no_decision_or_odd_is_named(site):
    images = site.mined("odd", 6)
    project = push(site.workspace, PushSettings("odd")).project
    _, empty = site.answer(project, [candidate(images[0])], verdict=None)
    own = region("own", Box("Gun", 50, 10, 70, 30), SIZE)
    _, clash = site.answer(project, [candidate(images[1]), own], Verdict.NOTHING)
    _, bare = site.answer(project, [], Verdict.MISSED)
    flat = candidate(images[3])
    flat["value"]["width"] = 0
    _, zero = site.answer(project, [flat, candidate(images[3])], Verdict.MISSED)
    with site.client() as server:
        task = server.next_task(project)
        server.calls.sdk.annotations.create(id=task.task_id, result=[], was_cancelled=True)
        server.import_tasks(project, [{"data": {"image": "/by-hand.jpg"}}])
        tasks = {t.task_id: t for t in server.all_tasks(project)}
        foreign = next(number for number, t in tasks.items() if not t.key)
        server.submit(foreign, [verdict_region(Verdict.UNSURE)], 1)

    result = pull(site.workspace, PullSettings("odd"))
    by_number = {a.annotation_id: t.task_id for t in tasks.values() for a in t.annotations}
    expected = [
        (images[0], empty, "has no verdict, so it is no decision"),
        (images[1], clash, "says 'nothing there' but keeps 1 box"),
        (images[2], bare, "says 'contraband missed' but has no box"),
        (images[3], zero, "region 1: left out, it has no area"),
    ]
    assert result.problems == tuple(Problem(i, by_number[a], a, w) for i, a, w in expected)
    assert (result.new, result.skipped, result.without_verdict) == (3, 1, 1)
    assert result.foreign_tasks == 1
    kept = {d.image_id: len(d.boxes) for d in load_decisions(site.workspace, "odd")}
    assert kept == {images[1]: 1, images[2]: 0, images[3]: 1}
    rejected = {d.image_id: d.rejected for d in load_decisions(site.workspace, "odd")}
    left = {image: (f"{image}/rfb/0",) for image in images[1:3]}
    assert rejected == {**left, images[3]: ()}

    shell = CliRunner().invoke(review, ["pull", "-w", str(site.workspace.root), "--name", "odd"])
    assert shell.exit_code == 3
    assert shell.stdout.startswith("odd: 0 new or changed decisions\n")
    skips = (
        "1 task skipped by reviewers, no decisions: who skipped finds them in the project's list "
        "alone, others who work there are given them\n"
    )
    assert skips in shell.stdout
    opened = f"{site.connection.url}/projects/{project}/data?task={by_number[empty]}"
    assert f"{result.problems[0]}; at {opened}\n" in shell.stderr


def test_what_a_restored_backup_shows_again_is_not_complained_of_again(site):
    images = site.mined("again", 1)
    project = push(site.workspace, PushSettings("again")).project
    _, number = site.answer(project, [], Verdict.MISSED)
    assert len(pull(site.workspace, PullSettings("again")).problems) == 1
    first = site.standing("again")[images[0]][0].decided_at
    with site.client() as server:
        mended = [candidate(images[0]), verdict_region(Verdict.MISSED)]
        server.calls.sdk.annotations.update(number, result=mended)
    assert pull(site.workspace, PullSettings("again")).problems == ()
    before = site.standing("again")
    bare = json.dumps([verdict_region(Verdict.MISSED)])
    older = "update task_completion set result = ?, updated_at = ? where id = ?"
    site.change(older, bare, first.removesuffix("+00:00").replace("T", " "), number)
    result = pull(site.workspace, PullSettings("again", full=True))
    assert (result.new, result.problems, site.standing("again")) == (0, (), before)


def test_what_one_skips_and_another_answers_is_not_open(site):
    site.mined("skips", 1)
    project = push(site.workspace, PushSettings("skips")).project
    with site.client() as server:
        task = server.next_task(project).task_id
        server.calls.sdk.annotations.create(id=task, result=[], was_cancelled=True)
        assert server.next_task(project) is None
    found = review_status(site.workspace, StatusSettings("skips"))
    why = "0 of 1 answer; 1 skipped, to be opened from the project's list"
    assert (found.skipped, found.next.why) == (1, why)
    assert pull(site.workspace, PullSettings("skips")).skipped == 1
    _, number = site.answer(project, [], Verdict.NOTHING, by=site.person())
    assert pull(site.workspace, PullSettings("skips")).skipped == 0
    with site.client() as server:  # the answer is another's and stands
        server.calls.sdk.annotations.update(number, result=[], was_cancelled=True)
    assert pull(site.workspace, PullSettings("skips")).skipped == 0


def test_an_answer_that_is_taken_back_by_skip_is_told_of_once(site):
    project = site.pushed("unsaid", 1)
    image, number = site.answer(project)
    pull(site.workspace, PullSettings("unsaid"))
    with site.client() as server:
        server.calls.sdk.annotations.update(number, result=[], was_cancelled=True)
    result = pull(site.workspace, PullSettings("unsaid"))
    assert (result.taken_back, result.skipped) == (1, 0)
    assert list(result.progress.ended.values()) == [image]
    assert (result.progress.tasks, result.progress.decided, result.progress.left) == (1, 0, 0)


def test_what_is_left_under_a_verdict_is_rejected_by_its_reviewer(site):
    images = site.mined("left", 3)
    project = push(site.workspace, PushSettings("left")).project
    _, number = site.answer(project, [candidate(images[0])], Verdict.NOTHING)
    own = region("own", Box("Gun", 50, 10, 70, 30), SIZE)
    mark = {"id": "own", "type": "choices", "from_name": "mark", "to_name": "image"}
    mark |= {"value": {"choices": ["this box"]}}
    site.answer(project, [candidate(images[1]), own, mark], Verdict.MISSED)
    site.answer(project, [candidate(images[2])], Verdict.UNSURE)

    result = pull(site.workspace, PullSettings("left"))

    assert (result.new, result.problems) == (3, ())
    nothing, only, unsure = load_decisions(site.workspace, "left")
    assert (nothing.boxes, nothing.rejected) == ((), (f"{images[0]}/rfb/0",))
    assert (nothing.reviewer, nothing.annotation) == (USER, number)
    assert [box.origin for box in only.boxes] == ["drawn"]
    assert only.rejected == (f"{images[1]}/rfb/0",)
    assert ([box.origin for box in unsure.boxes], unsure.rejected) == (["confirmed"], ())


def test_on_the_page_of_an_earlier_version_answers_keep_their_meaning(site):
    images = site.mined("earlier", 1)
    project = push(site.workspace, PushSettings("earlier")).project
    path = site.workspace.folder("review", "earlier") / "project.json"
    document = json.loads(path.read_text())
    assert [book.pop("page") for book in document["books"]] == [1]
    path.write_text(json.dumps(document))
    site.answer(project, [candidate(images[0])], Verdict.NOTHING)

    (problem,) = pull(site.workspace, PullSettings("earlier")).problems

    assert problem.what == "says 'nothing there' but keeps 1 box"
    (said,) = load_decisions(site.workspace, "earlier")
    assert ([box.origin for box in said.boxes], said.rejected) == (["confirmed"], ())


def test_what_the_server_forgets_stays_with_us(site):
    images = site.mined("forgets", 1)
    project = push(site.workspace, PushSettings("forgets")).project
    _, number = site.answer(project)
    pull(site.workspace, PullSettings("forgets"))
    with site.client() as server:
        server.calls.sdk.annotations.delete(number)
    result = pull(site.workspace, PullSettings("forgets"))
    assert (result.new, result.gone, result.progress.decided) == (0, 1, 1)
    typed = ["pull", "--name", "forgets", "-w", str(site.workspace.root)]
    assert f"ends what is not to count: {images[0]}\n" in CliRunner().invoke(review, typed).stdout
    assert [d.image_id for d in load_decisions(site.workspace, "forgets")] == images
    assert push(site.workspace, PushSettings("forgets")).added == 0
    withdraw(site.workspace, WithdrawSettings((images[0],), "deleted", "ann", name="forgets"))
    assert pull(site.workspace, PullSettings("forgets")).gone == 0


def test_status_counts_live_and_writes_nothing(site):
    site.mined("live", 3)
    project = push(site.workspace, PushSettings("live")).project
    site.answer(project, verdict=Verdict.UNSURE)
    folder = site.workspace.folder("review", "live")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = review_status(site.workspace, StatusSettings("live"))
    assert (result.progress.tasks, result.progress.decided, result.progress.left) == (3, 1, 2)
    assert (result.not_pulled, result.progress.by_reviewer) == (1, {USER: 1})
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    words = ["status", "-w", str(site.workspace.root), "--name", "live"]
    site.mined("after", 1)
    push(site.workspace, PushSettings("after"))
    told = CliRunner().invoke(review, words).stdout.splitlines()  # no command is broken in two
    line = f"sixrayd review pull --name live -w {site.workspace.root}"
    assert f"1 decision to bring in: `{line}`" in told
    shell = CliRunner().invoke(review, [*words, "--json"])
    assert shell.exit_code == 0
    assert json.loads(shell.stdout)["progress"]["left"] == 2


def test_nothing_pushed_is_said(site):
    site.mined("never", 1)
    with pytest.raises(WorkspaceError) as caught:
        pull(site.workspace, PullSettings("never"))
    folder = site.workspace.folder("review", "never")
    assert str(caught.value) == (
        f"{folder}: nothing was pushed, or not to the end; run "
        f"`sixrayd review push -w {site.workspace.root}`"
    )


def test_what_no_image_has_is_left_on_the_server_and_holds_up_no_other_answer(site, monkeypatch):
    monkeypatch.setattr(decision, "MOST_BOXES", 1)
    project = site.pushed("crowded", 2)
    gun, knife = (region(label, Box(label, 50, 10, 70, 30), SIZE) for label in ("Gun", "Knife"))
    image, first = site.answer(project, [gun], Verdict.MISSED, by=site.person())
    with site.client() as server:
        (task,) = (each.task_id for each in server.answered_tasks(project))
        second = server.submit(task, [knife, verdict_region(Verdict.MISSED)], 1)
        with LabelStudio(site.person()) as third:  # a clear answer alone would clear the image
            third.submit(task, [verdict_region(Verdict.NOTHING)], 1)
        other, _ = site.answer(project)

        told = "left out with all new answers on the image: 2 boxes in 3 answers, expected at most "
        words = ["-w", str(site.workspace.root), "--name", "crowded"]
        for new in (1, 0):  # it is asked for again
            shell = CliRunner().invoke(review, ["pull", *words, "--json"])
            found = json.loads(shell.stdout)
            assert (shell.exit_code, found["new"], found["progress"]["decided"]) == (3, new, 1)
            (problem,), lacking = found["problems"], found["lacking"]
            assert (problem["image_id"], problem["annotation"], lacking) == (image, second, {})
            assert problem["what"].startswith(told)
            assert list(site.standing("crowded")) == [other]
        assert review_status(site.workspace, StatusSettings("crowded")).problems == 1
        server.calls.sdk.annotations.delete(second)

    result = pull(site.workspace, PullSettings("crowded"))
    assert (result.new, result.problems) == (2, ())
    assert first in [d.annotation for d in load_decisions(site.workspace, "crowded")]


def test_an_answer_without_utf8_costs_itself_and_no_others(site):
    project = site.pushed("torn", 2)
    image, _ = site.answer(project)
    torn = [{**verdict_region(Verdict.MISSED), "id": "\ud800"}]
    with site.client() as server:
        place = f"{site.server.url}/api/tasks/{server.next_task(project).task_id}/annotations/"
    headers = {"Authorization": f"Token {site.connection.token}"}
    headers["Content-Type"] = "application/json"
    said = json.dumps({"result": torn})  # it is saved, though the server cannot say so
    assert httpx.post(place, content=said, headers=headers, timeout=60).status_code == 500

    result = pull(site.workspace, PullSettings("torn"))
    assert (result.new, len(result.problems)) == (2, 1)  # it has a verdict, and no box
    assert image in site.standing("torn")


def test_a_task_is_of_the_lane_that_it_was_sent_to_whatever_it_says(site):
    project = site.pushed("astray", 4)
    lanes = ("adjudication", "l" * 100_000, "\ud800")
    for _ in lanes:
        site.answer(project)
    with site.client() as server:
        tasks = [task for task in server.all_tasks(project) if task.annotations]
    for task, lane in zip(tasks, lanes, strict=True):
        said = json.dumps({"image": "x", "sixrayd": task.key.replace("/", f".{lane}/")})
        site.change("update task set data = ? where id = ?", said, task.task_id)
    site.answer(project)

    result = pull(site.workspace, PullSettings("astray"))
    assert (result.new, result.foreign_tasks) == (1, 3)
    assert {d.lane for d in load_decisions(site.workspace, "astray")} == {"1"}
    assert push(site.workspace, PushSettings("astray")).tasks == 3  # whose images nobody has seen


def test_what_a_killed_pull_left_is_removed_and_nothing_of_one_that_goes_on(site):
    project = site.pushed("beside", 1)
    now, before = datetime.now(UTC), datetime.now(UTC) - timedelta(hours=2)
    titles = [f"changed (sixrayd) {now.isoformat()}", f"changed (sixrayd) {before.isoformat()}"]
    with site.client() as server:
        for title in (*titles, "changed (sixrayd)", "a reviewer's"):
            server.calls.sdk.views.create(project=project, data={"title": title})
        server.answered_tasks(project)
        left = [
            view["data"]["title"] for view in server.calls.asked("api/dm/views/", project=project)
        ]
    assert left == [titles[0], "a reviewer's"]
