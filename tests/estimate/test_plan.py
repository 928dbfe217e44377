"""What a bound costs, for releases of every shape."""

import pytest
from scipy.stats import binom

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.plan import Cost, plan_costs
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings, Target
from sixrayd.statistics.planned import LookPlan, total_upper
from sixrayd.statistics.settings import BoundSettings
from tests.estimate.campaigns import Campaign, name_of
from tests.workspaces import NOTHING, Picture, Says, build_mine, build_review, build_shards


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A hundred single images, twenty flagged, two of them found, three cleared."""
    campaign = Campaign.build(tmp_path_factory.mktemp("plan") / "ws", [1] * 100, range(1, 21))
    campaign.find(name_of(1), name_of(2))
    campaign.clear(*map(name_of, (3, 4, 5)))
    return campaign


def costs(campaign, confidence=0.95, **target):
    bound = BoundSettings(confidence=confidence)
    return plan_costs(campaign.workspace, EstimateSettings("", bound, Target(**target)))


def test_rows_end_with_all_that_is_undecided(campaign):
    found = costs(campaign)

    assert (found.name, found.undecided, found.found, found.confidence) == ("first", 95, 2, 0.95)
    assert [row.checks for row in found.rows] == [30, 95]
    assert [row.finds for row in found.rows] == [2, 6]  # two of five in what was flagged
    assert found.rows[-1] == Cost(95, 0, 0, 0, 6)
    assert 0 < found.rows[0].once < 65
    assert 0 < found.rows[0].every < 65
    assert (found.target_left, found.target_checks) == (None, None)


def test_more_confidence_costs_more(campaign):
    rows = [costs(campaign, confidence).rows[0] for confidence in (0.5, 0.95, 0.999)]

    assert [row.once for row in rows] == sorted({row.once for row in rows})
    assert [row.every for row in rows] == sorted({row.every for row in rows})


@pytest.mark.parametrize(
    ("target", "left"),
    [
        ({"left": 7}, 7),
        ({"recall": 1.0}, 0),
        ({"recall": 0.5}, 2),
        ({"recall": 0.4}, 3),
        ({"recall": 0.41}, 2),
        ({"left": 1, "recall": 0.4}, 1),
        ({"left": 9, "recall": 0.4}, 3),
        ({"left": 95}, 95),
    ],
)
def test_what_targets_come_to(campaign, target, left):
    found = costs(campaign, **target)

    once, every = found.target_checks
    assert found.target_left == left
    for checks in (once, every):
        assert 0 <= checks <= 95
        assert (checks == 0) == (left == 95)
    assert (once > 90) == (left == 0)


def test_the_fewest_checks_are_the_fewest(campaign):
    """One check less would leave more than is wanted: read off the rows of smaller releases."""
    found = costs(campaign, left=10)
    once, every = found.target_checks

    assert found.rows[0].once <= 10 or once > 30
    assert found.rows[0].every <= 10 or every > 30
    assert costs(campaign, left=found.rows[0].every).target_checks[1] <= 30
    assert costs(campaign, left=found.rows[0].every - 1).target_checks[1] > 30


def test_a_draw_changes_nothing_before_it_is_answered(tmp_path):
    campaign = Campaign.build(tmp_path / "ws", [1, 2, 3], [1])
    before = costs(campaign, left=1)
    draw_sample(campaign.workspace, SampleSettings(units=2, seed="dice"))

    assert costs(campaign, left=1) == before
    assert (before.undecided, before.rows) == (3, (Cost(3, 0, 0, 0),))


def test_nothing_is_undecided(tmp_path):
    campaign = Campaign.build(tmp_path / "ws", [1, 1], [1])
    campaign.clear(name_of(1))
    campaign.find(name_of(2))

    found = costs(campaign, left=0, recall=0.5)

    assert (found.undecided, found.found, found.rows) == (0, 1, (Cost(0, 0, 0, 0),))
    assert (found.target_left, found.target_checks) == (0, (0, 0))


def test_a_release_without_negatives(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    build_shards(workspace, [Picture("P1", boxes=(("Gun", 1, 1, 9, 9, False),))])
    build_mine(workspace, "first", [])
    build_review(workspace, "first", [], [])

    found = plan_costs(workspace, EstimateSettings(target=Target(recall=0.9)))

    assert (found.undecided, found.found, found.rows) == (0, 0, (Cost(0, 0, 0, 0),))
    assert found.target_checks == (0, 0)
    with pytest.raises(WorkspaceError) as caught:
        draw_sample(workspace, SampleSettings())
    assert str(caught.value) == (
        f"{tmp_path}/ws/estimate/first: every unit has been drawn or decided"
    )


def test_nothing_is_mined_yet(tmp_path):
    with pytest.raises(WorkspaceError) as caught:
        plan_costs(Workspace(tmp_path), EstimateSettings())
    assert str(caught.value) == (
        f"{tmp_path}/mine: nothing yet; run `sixrayd mine -w {tmp_path}` first"
    )


def test_what_no_number_of_checks_gives_is_said(tmp_path):
    """An answer that is withdrawn after a draw leaves an image that no draw takes."""
    campaign = Campaign.build(tmp_path / "ws", [1] * 10, [1, 2])
    campaign.clear(name_of(1), name_of(2))
    draw_sample(campaign.workspace, SampleSettings(units=3, seed="dice"))
    campaign.pull(Says(name_of(2), NOTHING, version=2, annotation=1002, withdrawn=True))

    assert costs(campaign, left=0).target_checks == (None, None)
    assert costs(campaign, left=1).target_checks == (8, 8)


def test_chance_brings_more_finds_in_one_of_ten(campaign):
    """Two of five were found among the flagged: 6 of the 15 left, 30 of 95 drawn."""
    row = costs(campaign).rows[0]

    assert binom.cdf([2, 3], 6, 30 / 95).round(3).tolist() == [0.715, 0.916]
    looks = LookPlan(tuple(share * 30 / 95 for share in (0.1, 0.2, 0.4, 0.7, 1)))
    assert row.planned == total_upper([0, 0, 1, 1, 2], looks, 95, 0.05) - 2
    assert row.planned_most == total_upper([0, 1, 1, 2, 3], looks, 95, 0.05) - 3
    assert row.planned < row.planned_most
