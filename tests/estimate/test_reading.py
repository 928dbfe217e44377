"""What of other stages an estimate is made of: the review, the population, its strata."""

import os
import shutil

import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import Rule
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import said_in_all
from sixrayd.estimate.reading import (
    all_decision_files,
    answers_by,
    flagged_by,
    mining_name,
    negatives,
    population_now,
    review_name,
)
from tests.estimate.campaigns import GUN, Campaign, name_of, set_groups
from tests.workspaces import (
    BOB,
    MISSED,
    NOTHING,
    UNSURE,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
    finish,
)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return Campaign.build(tmp_path_factory.mktemp("untouched") / "ws", [1] * 9, [1, 2, 3, 4])


@pytest.fixture
def campaign(untouched, tmp_path):
    """Nine single images, four of them flagged."""
    shutil.copytree(untouched.workspace.root, tmp_path / "ws")
    return Campaign(Workspace(tmp_path / "ws"), untouched.flagged)


def strata(campaign, rule=Rule.ADJUDICATOR, name="first"):
    table, edges = population_now(campaign.workspace, name, rule)
    return {row["group"]: row["stratum"] for row in table.to_pylist()}, edges


def begin(workspace, name, moment):
    path = workspace.folder("review", name) / "project.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    os.utime(path, (moment, moment))


def test_the_review_that_is_meant(campaign):
    workspace = campaign.workspace
    assert review_name(workspace) == "first"
    build_mine(workspace, "second", [name_of(1)])
    assert review_name(workspace) == "first"  # the newest review, not the newest mining
    assert review_name(workspace, "second") == "second"
    begin(workspace, "first", 2000)
    begin(workspace, "second", 1000)
    assert review_name(workspace) == "first"
    begin(workspace, "second", 3000)
    assert review_name(workspace) == "second"
    begin(workspace, "positives", 4000)  # of no mining
    assert review_name(workspace) == "second"


def test_a_name_that_is_none_is_answered_with_those_that_are(tmp_path, campaign):
    build_mine(campaign.workspace, "zweite", [])
    with pytest.raises(WorkspaceError) as caught:
        review_name(campaign.workspace, "../first")
    assert str(caught.value) == (
        "--name ../first: neither a review nor a mining; there are first, zweite"
    )
    with pytest.raises(WorkspaceError) as caught:
        review_name(Workspace(tmp_path / "empty"), "first")
    assert str(caught.value) == "--name first: neither a review nor a mining; there are none"
    with pytest.raises(WorkspaceError) as caught:
        review_name(Workspace(tmp_path / "empty"))
    empty = tmp_path / "empty"
    assert str(caught.value) == (f"{empty}/mine: nothing yet; run `sixrayd mine -w {empty}` first")


def test_the_mining_behind_a_review(campaign):
    workspace = campaign.workspace
    build_mine(workspace, "second", [])
    assert mining_name(workspace, "first") == "first"
    assert mining_name(workspace, "second") == "second"  # no review of it yet
    assert mining_name(workspace, "third") == ""
    finish(workspace, "review", "positives", workspace.upstream(("shards", "")))
    assert mining_name(workspace, "positives") == ""
    finish(workspace, "review", "third", workspace.upstream(("mine", "second")))
    assert mining_name(workspace, "third") == "second"


def test_bands_hold_as_many_units_each(campaign):
    found, edges = strata(campaign)

    assert found == {
        **{name_of(n): "flagged, 1 of 2" for n in (1, 2)},
        **{name_of(n): "flagged, 2 of 2" for n in (3, 4)},
        **{name_of(n): "unflagged" for n in range(5, 10)},
    }
    assert edges == (pytest.approx((0.85 + 0.8) / 2),)


def test_the_best_score_of_a_group_counts(campaign):
    set_groups(campaign.workspace, [2, 2, 5])  # 0.9 and 0.85, 0.8 and 0.75, none
    found, edges = strata(campaign)

    assert found == {
        name_of(1): "flagged, 1 of 2",
        name_of(3): "flagged, 2 of 2",
        name_of(5): "unflagged",
    }
    assert edges == (pytest.approx((0.9 + 0.8) / 2),)


def test_what_is_decided_is_the_census_and_parts_no_band(campaign):
    campaign.clear(name_of(1), name_of(9))
    campaign.find(name_of(2))
    campaign.pull(Says(name_of(3), UNSURE))

    found, edges = strata(campaign)

    assert {group for group, stratum in found.items() if not stratum} == {
        name_of(n) for n in (1, 2, 9)
    }
    assert (found[name_of(3)], found[name_of(4)]) == ("flagged, 1 of 2", "flagged, 2 of 2")
    assert edges == (pytest.approx((0.8 + 0.75) / 2),)


def test_a_group_is_decided_by_a_find_or_by_all_its_images(campaign):
    set_groups(campaign.workspace, [1, 1, 1, 1, 2, 3])
    campaign.clear(name_of(5), name_of(7), name_of(8))
    before, _ = strata(campaign)
    assert (before[name_of(5)], before[name_of(7)]) == ("unflagged", "unflagged")
    campaign.clear(name_of(6))
    campaign.find(name_of(9))
    after, _ = strata(campaign)
    assert (after[name_of(5)], after[name_of(7)]) == ("", "")


def test_the_rule_decides_what_reviewers_differ_on(campaign):
    campaign.pull(Says(name_of(9), MISSED, GUN), Says(name_of(9), NOTHING, reviewer=BOB))

    assert strata(campaign)[0][name_of(9)] == "unflagged"
    assert strata(campaign, Rule.STRICTEST)[0][name_of(9)] == ""


@pytest.mark.parametrize("flagged", [[], [1]])
def test_nothing_or_one_image_is_flagged(tmp_path, flagged):
    campaign = Campaign.build(tmp_path / "ws", [1, 1], flagged)

    found, edges = strata(campaign)

    first = "flagged, 1 of 2" if flagged else "unflagged"
    assert found == {name_of(1): first, name_of(2): "unflagged"}
    assert edges == ((pytest.approx(0.9),) if flagged else ())


def test_everything_is_decided(campaign):
    campaign.clear(*(name_of(n) for n in range(1, 10)))

    assert strata(campaign) == ({name_of(n): "" for n in range(1, 10)}, ())


def test_only_readable_negatives_are_in_the_population(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    pictures = [Picture("P1", boxes=(("Gun", 1, 1, 9, 9, False),)), Picture("N2"), Picture("N1")]
    build_shards(workspace, [*pictures, Picture("N3", error="truncated")])

    assert negatives(workspace).to_pylist() == [
        {"image_id": "N1", "group": "N1"},
        {"image_id": "N2", "group": "N2"},
    ]


def test_decisions_of_all_reviews_stand_side_by_side(campaign):
    workspace = campaign.workspace
    campaign.find(name_of(1))
    build_mine(workspace, "second", [name_of(1)])
    later = Says(name_of(1), NOTHING, decided_at="2026-02-01T10:00:00+00:00")
    build_review(workspace, "second", [name_of(1)], [[later, Says(name_of(9), MISSED, GUN, BOB)]])

    said = said_in_all(workspace)

    assert [path.parent.parent.name for path in all_decision_files(workspace)] == [
        "first",
        "second",
    ]
    assert {image: [d.review for d in decisions] for image, decisions in said.items()} == {
        name_of(1): ["second"],  # the same reviewer's last word
        name_of(9): ["second"],
    }
    answers = answers_by(workspace, said, Rule.ADJUDICATOR)
    assert (answers[name_of(1)].found, answers[name_of(9)].labels) == (False, frozenset({"Gun"}))


def test_scores_of_a_mining(campaign):
    assert flagged_by(campaign.workspace, "first") == {
        name_of(n): pytest.approx(score) for n, score in ((1, 0.9), (2, 0.85), (3, 0.8), (4, 0.75))
    }
    path = campaign.workspace.folder("mine", "first") / "candidates.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(WorkspaceError) as caught:
        flagged_by(campaign.workspace, "first")
    assert str(caught.value).startswith(f"{path}: not a readable Parquet table (")
