"""The simulated reviewer at work in a real Label Studio."""

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.errors import ReleaseError, ServiceError, SettingsError
from sixrayd.decisions.decision import load_decisions
from sixrayd.demo.reviewer import (
    ReviewCounts,
    ReviewerSettings,
    join_as_reviewer,
    load_truth,
    review_as_person,
)
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from tests.review.conftest import site  # noqa: F401

ANNA, PASSWORD = "anna@example.org", "a long password"


def names(site, name):  # noqa: F811
    folder = ReviewFolder(site.workspace, name)
    return folder.images_by_alias(folder.project())


def said(site, name):  # noqa: F811
    return {d.image_id: d for d in load_decisions(site.workspace, name)}


@pytest.mark.long
def test_a_perfect_reviewer_corrects_every_image(site):  # noqa: F811
    images = site.mined("perfect", 6)
    project = push(site.workspace, PushSettings("perfect")).project
    truth = {
        images[0]: (Box("Knife", 10, 20, 40, 50),),
        images[1]: (Box("Knife", 16, 26, 46, 56),),
        images[2]: (Box("Gun", 10, 20, 40, 50),),
        images[3]: (Box("Knife", 11, 20, 40, 50), Box("Gun", 60, 10, 90, 30)),
    }
    anna = join_as_reviewer(site.connection, ANNA, PASSWORD)
    settings = ReviewerSettings(imprecision_px=0.5)
    counts = review_as_person(anna, project, truth, names(site, "perfect"), settings)
    assert counts == ReviewCounts(
        images=6, missed=4, nothing=2, unsure=0, errors=0,
        confirmed=2, moved=1, relabelled=1, drawn=1, deleted=2,
    )  # fmt: skip
    assert review_as_person(anna, project, truth, names(site, "perfect"), settings).images == 0

    result = pull(site.workspace, PullSettings("perfect"))
    assert (result.new, result.problems) == (6, ())
    decisions = said(site, "perfect")
    assert {d.reviewer for d in decisions.values()} == {ANNA}
    origins = [[b.origin for b in decisions[image].boxes] for image in images]
    assert origins == [["confirmed"], ["moved"], ["relabelled"], ["confirmed", "drawn"], [], []]
    for image, boxes in truth.items():
        for kept, true in zip(decisions[image].boxes, boxes, strict=True):
            assert kept.box.label == true.label
            assert kept.box.xyxy == pytest.approx(true.xyxy, abs=3)


@pytest.mark.long
def test_errors_come_at_about_the_stated_rate_and_are_counted(site):  # noqa: F811
    images = site.mined("errs", 30)
    project = push(site.workspace, PushSettings("errs")).project
    truth = {image: (Box("Knife", 10, 20, 40, 50),) for image in images[:15]}
    bob = join_as_reviewer(site.connection, "bob@example.org", PASSWORD)
    settings = ReviewerSettings(error_rate=0.3, unsure_rate=0.1, seed=3)
    counts = review_as_person(bob, project, truth, names(site, "errs"), settings)
    assert counts.images == counts.missed + counts.nothing + counts.unsure == 30
    assert 3 <= counts.errors <= 16 and counts.unsure <= 9
    pull(site.workspace, PullSettings("errs"))
    wrong = [
        image
        for image, decision in said(site, "errs").items()
        if decision.verdict == ("nothing there" if image in truth else "contraband missed")
    ]
    assert len(wrong) == counts.errors


def test_an_address_signs_up_once(site):  # noqa: F811
    join_as_reviewer(site.connection, "carl@example.org", PASSWORD)
    with pytest.raises(ServiceError) as caught:
        join_as_reviewer(site.connection, "carl@example.org", PASSWORD)
    assert str(caught.value) == (
        f"{site.server.url}: carl@example.org could not sign up; "
        "is the address taken, or the password too short?"
    )


def test_truth_is_read_in_pixels_from_zero(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text(
        "name,hidden,label,xmin,ymin,xmax,ymax\n"
        "N0000001,1,Gun,1,1,10,20\nN0000001.jpg,1,Knife,3,4,3,4\nN0000002,0,,,,,\n"
    )
    assert load_truth(path) == {
        "N0000001": (Box("Gun", 0, 0, 10, 20), Box("Knife", 2, 3, 3, 4)),
        "N0000002": (),
    }
    path.write_text("name,label,xmin,ymin,xmax,ymax\nN1,Gun,9,1,x,4\n")
    with pytest.raises(ReleaseError, match=r"truth\.csv: line 2: could not convert string"):
        load_truth(path)
    path.write_text("name,label\n")
    with pytest.raises(ReleaseError, match=r"truth\.csv: columns \['name', 'label'\], expected"):
        load_truth(path)


def test_rates_are_checked():
    with pytest.raises(SettingsError, match=r"error_rate 0\.7, unsure_rate 0\.6: expected 0 to 1"):
        ReviewerSettings(error_rate=0.7, unsure_rate=0.6)
