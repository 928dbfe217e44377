"""Nothing that a reviewer said is lost, doubled, or silently overruled."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from sixrayd.core.boxes import Box
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.records import Rule, Verdict
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import answers, load_decisions, standing_decisions
from sixrayd.decisions.versions import new_versions
from sixrayd.review.command import review
from sixrayd.review.folder import Book, ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import region, verdict_region
from sixrayd.review.pull import pull
from sixrayd.review.push import adjudicate, push
from sixrayd.review.settings import AdjudicateSettings, PullSettings, PushSettings, WithdrawSettings
from sixrayd.review.withdraw import withdraw
from tests.workspaces import build_mine

SIZE = (96, 64)


def test_a_later_pull_asks_for_changes_alone(site, monkeypatch):
    project = site.pushed("changes", 5)
    first, number = site.answer(project)
    assert pull(site.workspace, PullSettings("changes")).new == 1
    monkeypatch.setattr(LabelStudio, "answered_tasks", None)  # would fail if it were called
    second, _ = site.answer(project, verdict=Verdict.UNSURE)
    with site.client() as server:
        changed = [verdict_region(Verdict.UNSURE)]
        server.calls.sdk.annotations.update(number, result=changed)
    assert pull(site.workspace, PullSettings("changes")).new == 2
    assert pull(site.workspace, PullSettings("changes")).new == 0
    assert {i: str(d[0].verdict) for i, d in site.standing("changes").items()} == {
        first: "unsure",
        second: "unsure",
    }


def test_a_deletion_and_an_addition_between_two_pulls_are_both_seen(site):
    project = site.pushed("swapped", 3)
    gone, number = site.answer(project)
    pull(site.workspace, PullSettings("swapped"))
    with site.client() as server:
        server.calls.sdk.annotations.delete(number)
    again, _ = site.answer(project, verdict=Verdict.UNSURE)
    result = pull(site.workspace, PullSettings("swapped"))
    assert again == gone  # the task is open once more
    assert (result.new, result.gone) == (1, 1)


def test_drafts_skipped_and_empty_answers_are_told_apart(site):
    project = site.pushed("apart", 4)
    site.answer(project, verdict=None)
    with site.client() as server:
        task = server.next_task(project)
        server.calls.sdk.annotations.create(id=task.task_id, result=[], was_cancelled=True)
        task = server.next_task(project)
        body = {"result": [verdict_region(Verdict.NOTHING)], "lead_time": 1.0}
        server.calls.request("POST", f"api/tasks/{task.task_id}/drafts", json=body)
    result = pull(site.workspace, PullSettings("apart"))
    assert (result.new, result.drafts, result.skipped, result.empty) == (0, 1, 1, 1)
    assert [problem.what for problem in result.problems] == ["was submitted with nothing in it"]
    again = pull(site.workspace, PullSettings("apart"))
    assert (again.drafts, again.skipped, again.empty) == (1, 1, 1)
    assert again.problems == result.problems


@pytest.mark.long
def test_an_answer_taken_back_on_the_server_stands_no_more(site):
    project = site.pushed("back", 2)
    image, number = site.answer(project)
    pull(site.workspace, PullSettings("back"))
    with site.client() as server:
        server.calls.sdk.annotations.update(number, result=[], was_cancelled=True)
    result = pull(site.workspace, PullSettings("back"))
    assert (result.new, result.taken_back, result.progress.decided) == (0, 1, 0)
    assert site.standing("back") == {}
    last = ReviewFolder(site.workspace, "back").decisions()[-1]
    assert (last["version"], last["follows"], last["withdrawn"]) == (2, 1, True)
    assert last["note"] == "taken back on the server: skipped"
    assert pull(site.workspace, PullSettings("back", full=True)).taken_back == 0
    with site.client() as server:
        said = [verdict_region(Verdict.UNSURE)]
        server.calls.sdk.annotations.update(number, result=said, was_cancelled=False)
    assert pull(site.workspace, PullSettings("back")).new == 1
    assert [str(d.verdict) for d in site.standing("back")[image]] == ["unsure"]


@pytest.mark.long
def test_an_answer_changed_by_another_stands_beside_its_authors(site):
    image, _, _, bob, before = site.edited("edited")
    result = pull(site.workspace, PullSettings("edited"))
    assert (result.new, result.progress.conflicts) == (1, 1)
    ours, theirs = site.standing("edited")[image]
    assert (ours,) == before[image]
    with LabelStudio(bob) as server:
        assert (theirs.reviewer, str(theirs.verdict)) == (server.user, "nothing there")
    assert [p.what for p in result.problems] == [
        f"was changed by another; the answer of {ours.reviewer} stands beside it"
    ]


@pytest.mark.long
def test_an_answer_that_is_moved_to_another_task_is_no_answer_there(site):
    project = site.pushed("carried", 2)
    image, number = site.answer(project)
    pull(site.workspace, PullSettings("carried"))
    before = site.standing("carried")
    with site.client() as server:
        task = server.next_task(project)
        server.calls.asked(f"api/annotations/{number}/", "PATCH", {"task": task.task_id})
    for full in (False, True):
        result = pull(site.workspace, PullSettings("carried", full=full))
        assert (result.new, site.standing("carried")) == (0, before)
        (problem,) = result.problems
        first = before[image][0].task
        assert problem.what == (
            f"left out, it was given on task {first}, {image}, and counts there; "
            "delete it here and submit another"
        )
    with site.client() as server:
        server.calls.asked(f"api/annotations/{number}/", "PATCH", {"task": first})
    again = pull(site.workspace, PullSettings("carried"))
    assert (again.new, again.problems, len(site.standing("carried"))) == (1, (), 1)


@pytest.mark.long
def test_an_answer_that_another_changed_before_a_pull_is_not_said_to_stand(site):
    project = site.pushed("overwritten", 1)
    ann, bob = site.person(), site.person()
    image, number = site.answer(project, by=ann)
    with LabelStudio(bob) as server:
        said = [verdict_region(Verdict.UNSURE)]
        server.calls.sdk.annotations.update(number, result=said)
    result = pull(site.workspace, PullSettings("overwritten"))
    with LabelStudio(ann) as server:
        told = f"was changed by another; no answer of {server.user} was pulled before"
    assert [problem.what for problem in result.problems] == [told]
    with LabelStudio(bob) as server:
        assert [d.reviewer for d in site.standing("overwritten")[image]] == [server.user]


@pytest.mark.long
def test_who_skips_the_answer_of_another_takes_back_nothing(site):
    image, *_, before = site.edited("skipped", result=[], was_cancelled=True)
    result = pull(site.workspace, PullSettings("skipped"))
    assert (result.new, result.taken_back, site.standing("skipped")) == (0, 0, before)
    assert [p.what for p in result.problems] == [
        f"was changed by another; the answer of {before[image][0].reviewer} stands beside it"
    ]


@pytest.mark.long
def test_a_change_is_seen_though_the_servers_clock_was_ahead_before(site):
    project = site.pushed("clock", 1)
    image, number = site.answer(project, verdict=Verdict.UNSURE)
    ahead = "set updated_at = datetime(updated_at, '+1 day') where"
    site.change(f"update task_completion {ahead} id = ?", number)
    of = "(select task_id from task_completion where id = ?)"
    site.change(f"update task {ahead} id = {of}", number)
    pull(site.workspace, PullSettings("clock"))
    with site.client() as server:
        server.calls.sdk.annotations.update(number, result=[verdict_region(Verdict.NOTHING)])
    assert pull(site.workspace, PullSettings("clock")).new == 1
    assert [str(d.verdict) for d in site.standing("clock")[image]] == ["nothing there"]


@pytest.mark.long
@pytest.mark.parametrize("skipped", [False, True])
def test_an_older_answer_that_a_backup_brought_back_overrules_nothing(site, skipped):
    name = f"backup{skipped:d}"
    project = site.pushed(name, 1)
    _, number = site.answer(project, verdict=Verdict.UNSURE)
    if skipped:
        with site.client() as server:
            server.calls.sdk.annotations.update(number, result=[], was_cancelled=True)
    pull(site.workspace, PullSettings(name))
    columns = ("result", "was_cancelled", "updated_at")
    chosen = f"select {', '.join(columns)} from task_completion where id = ?"
    (then,) = site.change(chosen, number)
    with site.client() as server:
        said = [verdict_region(Verdict.NOTHING)]
        server.calls.sdk.annotations.update(number, result=said, was_cancelled=False)
    pull(site.workspace, PullSettings(name))
    before = site.standing(name)
    put_back = f"update task_completion set {' = ?, '.join(columns)} = ? where id = ?"
    site.change(put_back, *then, number)
    result = pull(site.workspace, PullSettings(name, full=True))
    assert (result.new, result.taken_back, site.standing(name)) == (0, 0, before)


@pytest.mark.long
def test_withdrawn_decisions_stay_withdrawn_until_they_change(site):
    project = site.pushed("withdrawn", 2)
    image, number = site.answer(project)
    site.answer(project)
    pull(site.workspace, PullSettings("withdrawn"))
    root = str(site.workspace.root)
    words = ["withdraw", image, image, "-w", root, "--name", "withdrawn"]
    shell = CliRunner().invoke(review, [*words, "--reason", "wrong bag", "--by", "carl"])
    said, following = shell.stdout.splitlines()
    assert said == "withdrawn: 1 decision withdrawn in decisions/00002.parquet"
    assert following.startswith("next: ")
    assert list(pull(site.workspace, PullSettings("withdrawn")).progress.ended.values()) == [image]
    assert list(site.standing("withdrawn")) != [image] and len(site.standing("withdrawn")) == 1
    row = ReviewFolder(site.workspace, "withdrawn").decisions()[-1]
    assert (row["note"], row["follows"]) == ("withdrawn by carl: wrong bag", 1)
    assert pull(site.workspace, PullSettings("withdrawn", full=True)).new == 0
    settings = WithdrawSettings((image,), "again", "carl", name="withdrawn")
    with pytest.raises(WorkspaceError, match=f"no decision on '{image}' stands; nothing withdr"):
        withdraw(site.workspace, settings)
    with pytest.raises(SettingsError, match="--reason: needs to be said"):
        WithdrawSettings((image,), "", "carl")

    build_mine(site.workspace, "withdrawn2", [image])
    again = push(site.workspace, PushSettings("withdrawn2"))
    assert (again.added, again.decided_elsewhere) == (1, 0)
    with site.client() as server:
        server.calls.sdk.annotations.update(number, result=[verdict_region(Verdict.UNSURE)])
    assert pull(site.workspace, PullSettings("withdrawn")).new == 1
    assert [d.version for d in site.standing("withdrawn")[image]] == [3]


def test_a_number_given_twice_is_two_answers():
    row = {"task": 1, "annotation": 7, "image_id": "N1", "version": 0, "follows": 0}
    row |= {"withdrawn": False, "verdict": "unsure", "decided_at": "2026-01-02T10:00:00+00:00"}
    ann, bob = ({**row, "reviewer": name} for name in ("ann", "bob"))
    known = new_versions([ann], [])
    assert [(r["version"], r["follows"]) for r in known] == [(1, 0)]
    assert [r["version"] for r in new_versions([bob], known)] == [1]
    assert [r["version"] for r in new_versions([{**ann, "image_id": "N2"}], known)] == [1]
    assert new_versions([ann], known) == []
    changed = new_versions([{**ann, "verdict": "nothing there"}], known)
    assert [(r["version"], r["follows"]) for r in changed] == [(2, 1)]


@pytest.mark.long
def test_lost_tables_of_decisions_are_fetched_again(site):
    project = site.pushed("lost-table", 2)
    site.answer(project)
    pull(site.workspace, PullSettings("lost-table"))
    (site.workspace.folder("review", "lost-table") / "decisions" / "00001.parquet").unlink()
    assert pull(site.workspace, PullSettings("lost-table")).new == 1


@pytest.mark.long
def test_an_adjudication_changes_nothing_that_was_said_before(site):
    images = site.mined("ruled", 1)
    push(site.workspace, PushSettings("ruled", reviewers=2))
    project = ReviewFolder(site.workspace, "ruled").project()
    drawn = region("x", Box("Gun", 50, 10, 70, 30), SIZE)
    site.answer(project.numbers("1")[0], [drawn], Verdict.MISSED, by=site.person())
    site.answer(project.numbers("2")[0], by=site.person())
    pull(site.workspace, PullSettings("ruled"))
    before = load_decisions(site.workspace, "ruled")
    where = adjudicate(site.workspace, AdjudicateSettings("ruled")).project
    assert pull(site.workspace, PullSettings("ruled", full=True)).new == 0
    assert load_decisions(site.workspace, "ruled") == before
    rows = ReviewFolder(site.workspace, "ruled").tasks()
    tasks = {row["lane"]: row["candidates"] for row in rows}
    assert tasks["1"] == tasks["2"] == [f"{images[0]}/rfb/0"]
    assert tasks["adjudication"] == [f"{images[0]}/reviewers/0"]

    rulings = [(Verdict.NOTHING, []), (Verdict.MISSED, [drawn])]
    with site.client() as server:
        task = server.next_task(where).task_id
        for (verdict, boxes), person in zip(rulings, [site.person(), site.person()], strict=True):
            with LabelStudio(person) as client:
                client.submit(task, [*boxes, verdict_region(verdict)], 1)
    pull(site.workspace, PullSettings("ruled"))
    settled = settle(site.standing("ruled")[images[0]], Rule.MAJORITY)
    assert settled.decision is None and settled.reason.startswith("adjudicators disagree: ")


@pytest.mark.long
def test_conflicts_between_two_reviews_go_to_an_adjudicator(site):
    images = site.mined("here", 1)
    site.answer(push(site.workspace, PushSettings("here")).project, by=site.person())
    pull(site.workspace, PullSettings("here"))
    build_mine(site.workspace, "there", images)
    assert push(site.workspace, PushSettings("there")).added == 0
    project = push(site.workspace, PushSettings("there", again=True)).project
    site.answer(project, verdict=Verdict.UNSURE, by=site.person())
    pull(site.workspace, PullSettings("there"))
    assert adjudicate(site.workspace, AdjudicateSettings("there")).added == 1


@pytest.mark.long
def test_one_person_in_two_lanes_has_done_both_and_agrees_with_nobody(site):
    site.pushed("twofold", 1, reviewers=2)
    project = ReviewFolder(site.workspace, "twofold").project()
    for lane in "12":
        site.answer(project.numbers(lane)[0])
    result = pull(site.workspace, PullSettings("twofold"))
    assert (result.progress.tasks, result.progress.left) == (2, 0)
    decisions = load_decisions(site.workspace, "twofold")
    assert len(answers(decisions)) == 2
    assert [len(said) for said in standing_decisions(decisions).values()] == [1]


@pytest.mark.long
def test_a_push_killed_before_its_project_was_made_stops_nobody(site):
    project = site.pushed("unmade", 2)
    site.answer(project)
    folder = ReviewFolder(site.workspace, "unmade")
    known = folder.project()
    folder.keep(replace(known, books=(*known.books, Book("2", 0, 0))))
    assert pull(site.workspace, PullSettings("unmade")).new == 1
    assert adjudicate(site.workspace, AdjudicateSettings("unmade")).added == 0
    assert push(site.workspace, PushSettings("unmade", reviewers=2)).tasks == 2


@pytest.mark.long
def test_a_limit_is_a_limit_after_decisions_too(site):
    project = site.pushed("limit", 12, limit=6)
    for _ in range(6):
        site.answer(project)
    pull(site.workspace, PullSettings("limit"))
    assert push(site.workspace, PushSettings("limit", limit=6)).added == 0
    assert push(site.workspace, PushSettings("limit", limit=8)).added == 2
