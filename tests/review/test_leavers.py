"""Whose answer it is, once people have left, have another address, or numbers are given again."""

import pytest

from sixrayd.core.records import Verdict
from sixrayd.decisions.decision import said_in_all
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from tests.workspaces import build_mine

pytestmark = pytest.mark.long
DELETED, PUT_OUT = "api/users/{}", "api/organizations/1/memberships/{}/"


def leave(site, how, *people):
    """Have people leave; their numbers on the server."""
    numbers = []
    for who in people:
        with LabelStudio(who) as own:
            mail = own.user
        with site.client() as server:
            numbers += [n for n, known in server.reviewers().items() if known == mail]
            server.calls.request("DELETE", how.format(numbers[-1]))
            assert numbers[-1] not in server.reviewers()
    return numbers


def test_a_reviewer_whom_the_server_forgot_keeps_the_name(site):
    project, person = site.pushed("leaver", 1), site.person()
    site.answer(project, by=person)
    pull(site.workspace, PullSettings("leaver"))
    before = site.standing("leaver")
    leave(site, DELETED, person)
    result = pull(site.workspace, PullSettings("leaver", full=True))
    assert (result.new, result.gone) == (0, 0)
    assert site.standing("leaver") == before


def test_what_one_said_whom_the_server_forgot_is_not_put_in_the_mouth_of_another(site):
    *_, bob, _ = site.edited("editor")
    pull(site.workspace, PullSettings("editor"))
    before = site.standing("editor")
    leave(site, DELETED, bob)
    result = pull(site.workspace, PullSettings("editor", full=True))
    assert (result.new, site.standing("editor")) == (0, before)


@pytest.mark.parametrize("skips", [False, True])
def test_what_nobody_is_known_to_have_said_is_put_in_nobodys_mouth(site, skips):
    name = f"unknown{skips:d}"
    changed = {"result": [], "was_cancelled": True} if skips else {}
    image, number, ann, bob, before = site.edited(name, **changed)
    leave(site, DELETED, bob)
    result = pull(site.workspace, PullSettings(name))
    assert (result.new, result.taken_back, site.standing(name)) == (0, 0, before)
    reviewer = before[image][0].reviewer
    told = [f"was changed by another; the answer of {reviewer} stands beside it"]
    told += [] if skips else ["left out, who changed it was deleted on the server"]
    assert [problem.what for problem in result.problems] == told
    with LabelStudio(ann) as server:
        said = [verdict_region(Verdict.NOTHING)]
        server.calls.sdk.annotations.update(number, result=said, was_cancelled=False)
    again = pull(site.workspace, PullSettings(name))
    assert (again.new, again.problems) == (1, ())


@pytest.mark.parametrize(
    ("how", "called"),
    [
        (DELETED, "deleted user of lane {lane} of leavers"),
        (PUT_OUT, "user {number}"),
    ],
)
def test_two_who_left_before_they_were_known_stay_two(site, how, called):
    name = "leavers" if how == DELETED else "outsiders"
    site.mined(name, 1)
    push(site.workspace, PushSettings(name, reviewers=2))
    books = ReviewFolder(site.workspace, name).project().numbers()
    people, verdicts = [site.person(), site.person()], (Verdict.UNSURE, Verdict.NOTHING)
    for book, who, verdict in zip(books, people, verdicts, strict=True):
        image, _ = site.answer(book, verdict=verdict, by=who)
    numbers = leave(site, how, *people)
    result = pull(site.workspace, PullSettings(name))
    assert (result.new, result.unsettled.images) == (2, 1)
    assert {d.reviewer: d.verdict for d in site.standing(name)[image]} == {
        called.format(lane=lane, number=number): verdict
        for lane, (number, verdict) in enumerate(zip(numbers, verdicts, strict=True), 1)
    }


def test_two_who_left_two_reviews_before_they_were_known_stay_two(site):
    """Else the later answer takes the place of the other's, and nobody is asked who is right."""
    verdicts = {"left-one": Verdict.UNSURE, "left-two": Verdict.NOTHING}
    build_mine(site.workspace, "left-two", images := site.mined("left-one", 1))
    projects = {name: push(site.workspace, PushSettings(name)).project for name in verdicts}
    for name, verdict in verdicts.items():
        site.answer(projects[name], verdict=verdict, by=(person := site.person()))
        leave(site, DELETED, person)
        pull(site.workspace, PullSettings(name))
    assert {d.reviewer: d.verdict for d in said_in_all(site.workspace)[images[0]]} == {
        f"deleted user of lane 1 of {name}": verdict for name, verdict in verdicts.items()
    }


def test_who_was_put_out_of_the_team_does_not_speak_as_another(site):
    image, _, _, bob, before = site.edited("outsider")
    (user,) = leave(site, PUT_OUT, bob)
    pull(site.workspace, PullSettings("outsider"))
    ours, theirs = site.standing("outsider")[image]
    assert (ours,) == before[image]
    assert (theirs.reviewer, str(theirs.verdict)) == (f"user {user}", "nothing there")


def test_who_is_called_otherwise_stays_one_person_where_he_changes_his_answer(site):
    project = site.pushed("renamed", 1)
    image, number = site.answer(project, verdict=Verdict.UNSURE, by=(ann := site.person()))
    pull(site.workspace, PullSettings("renamed"))
    (before,) = site.standing("renamed")[image]
    site.change("update htx_user set email = 'wed@example.org' where email = ?", before.reviewer)
    with LabelStudio(ann) as server:
        server.calls.sdk.annotations.update(number, result=[verdict_region(Verdict.NOTHING)])
    assert pull(site.workspace, PullSettings("renamed")).new == 1
    (after,) = site.standing("renamed")[image]
    assert (after.reviewer, str(after.verdict), after.version) == (
        *(before.reviewer, "nothing there"),
        2,
    )


def test_a_number_given_again_after_a_restore_is_not_taken_for_a_renamed_person(site):
    project = site.pushed("reused", 1)
    image, number = site.answer(project, verdict=Verdict.UNSURE, by=site.person())
    pull(site.workspace, PullSettings("reused"))
    (before,) = site.standing("reused")[image]
    site.change("update htx_user set email = 'bob@example.org' where email = ?", before.reviewer)
    later = "update task_completion set created_at = ?, updated_at = created_at where id = ?"
    site.change(later, "2999-12-31 10:00:00", number)
    pull(site.workspace, PullSettings("reused", full=True))
    assert {d.reviewer for d in site.standing("reused")[image]} == {
        *(before.reviewer, "bob@example.org")
    }
