"""Several reviewers: each alone in a lane, conflicts to an adjudicator, nobody overruled."""

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.records import Rule, Verdict
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import load_decisions, standing_decisions
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.labelling import region
from sixrayd.review.pull import pull
from sixrayd.review.push import adjudicate, push
from sixrayd.review.settings import AdjudicateSettings, PullSettings, PushSettings
from tests.review.test_push import on_server, tasks_of

SIZE = (96, 64)
KNIFE = (10, 20, 40, 50)


def knife(image, x1=10.0):
    return region(f"{image}/rfb/0", Box("Knife", x1, *KNIFE[1:]), SIZE)


def books(site, name, lane):
    return ReviewFolder(site.workspace, name).project().numbers(lane)


@pytest.mark.long
def test_three_reviewers_with_conflicts_are_settled_in_the_open(site):
    images = site.mined("three", 4)
    sent = push(site.workspace, PushSettings("three", reviewers=3))
    assert (sent.added, sent.tasks, list(sent.lanes)) == (4, 12, ["1", "2", "3"])
    people = [site.person() for _ in range(3)]
    # Agreed; one sees nothing; boxes apart; one unsure.
    answers = {
        images[0]: [(Verdict.MISSED, 10), (Verdict.MISSED, 11), (Verdict.MISSED, 10)],
        images[1]: [(Verdict.MISSED, 10), (Verdict.NOTHING, 0), (Verdict.MISSED, 10)],
        images[2]: [(Verdict.MISSED, 10), (Verdict.MISSED, 10), (Verdict.MISSED, 36)],
        images[3]: [(Verdict.NOTHING, 0), (Verdict.UNSURE, 0), (Verdict.NOTHING, 0)],
    }
    for number, person in enumerate(people):
        (project,) = books(site, "three", str(number + 1))
        for image in images:
            verdict, x1 = answers[image][number]
            drawn = [knife(image, x1)] if verdict == Verdict.MISSED else []
            assert site.answer(project, drawn, verdict, by=person)[0] == image
    result = pull(site.workspace, PullSettings("three"))
    assert (result.new, result.problems) == (12, ())
    assert (result.progress.decided, result.progress.left) == (12, 0)
    assert (result.progress.found, result.progress.conflicts) == (1, 3)

    said = standing_decisions(load_decisions(site.workspace, "three"))
    assert [len({d.reviewer for d in said[image]}) for image in images] == [3, 3, 3, 3]
    assert {d.lane for d in said[images[0]]} == {"1", "2", "3"}
    by_majority = [settle(said[image], Rule.MAJORITY).decision.verdict for image in images]
    assert by_majority == ["contraband missed"] * 3 + ["nothing there"]

    ruled = adjudicate(site.workspace, AdjudicateSettings("three"))
    assert (ruled.added, ruled.already_there) == (3, 0)
    assert sorted(on_server(site, "three", "adjudication")) == images[1:]
    shown = {}
    with site.client() as server:
        for task in server.all_tasks(ruled.project):
            assert task.annotations == ()  # the adjudicator sees boxes, not names
    for _ in range(3):
        with site.client() as server:
            task = server.next_task(ruled.project)
        shown[site.image_of(task)] = len(task.regions)
        site.answer(ruled.project, task.regions[:1], Verdict.MISSED if task.regions else "unsure")
    assert shown == {images[1]: 1, images[2]: 2, images[3]: 0}
    assert adjudicate(site.workspace, AdjudicateSettings("three")).added == 0
    result = pull(site.workspace, PullSettings("three"))
    assert (result.new, result.progress.conflicts, result.progress.found) == (3, 0, 3)
    settled = settle(
        standing_decisions(load_decisions(site.workspace, "three"))[images[1]], Rule.ADJUDICATOR
    )
    assert settled.decision.reviewer == "reviewer@sixrayd.local"
    assert settled.reason.startswith("adjudicated; before: ")
    assert adjudicate(site.workspace, AdjudicateSettings("three")).added == 0


def test_a_share_goes_to_the_second_reviewer_and_stays_the_same(site):
    images = site.mined("shared", 40)
    first = push(site.workspace, PushSettings("shared", reviewers=2, share=0.5))
    both = on_server(site, "shared", "2")
    assert (first.added, first.tasks) == (40, 40 + len(both))
    assert 8 <= len(both) <= 32 and set(both) <= set(images)
    assert push(site.workspace, PushSettings("shared", reviewers=2, share=0.5)).tasks == 0
    more = push(site.workspace, PushSettings("shared", reviewers=2, share=0.8))
    assert set(both) < set(on_server(site, "shared", "2"))
    assert more.tasks == len(on_server(site, "shared", "2")) - len(both)
    rows = tasks_of(site, "shared")
    assert {row["lane"] for row in rows} == {"1", "2"} and len(rows) == 40 + len(both) + more.tasks
    assert {row["kind"] for row in rows} == {"candidate"}


@pytest.mark.long
@pytest.mark.parametrize("lane", ["1", "2"])
def test_a_lane_fills_one_project_after_another(site, lane, monkeypatch):
    monkeypatch.setattr("sixrayd.review.sending.TASKS_PER_PROJECT", 4)
    name = f"parts{lane}"
    images = site.mined(name, 10)
    settings = PushSettings(name, reviewers=int(lane))
    push(site.workspace, settings)
    numbers = books(site, name, lane)
    with site.client() as server:
        assert [server.counts(number) for number in numbers] == [(4, 0), (4, 0), (2, 0)]
    assert on_server(site, name, lane) == images
    assert push(site.workspace, settings).tasks == 0
    site.answer(numbers[2])
    assert pull(site.workspace, PullSettings(name)).new == 1
