"""From files to the bound: evidence worked by hand, planted threats, figure, and the command."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import binom

from sixrayd.advice.results import StageProgress
from sixrayd.core.errors import SettingsError, UnknownStateError, WorkspaceError
from sixrayd.core.records import Rule
from sixrayd.core.tables import write_table
from sixrayd.estimate.command import estimate as command
from sixrayd.estimate.plan import Cost, plan_costs
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings, Target
from sixrayd.estimate.stage import course, estimate, gather
from sixrayd.statistics.finite import Block, Stratum, joint_limits
from sixrayd.statistics.hypergeometric import once_limits
from sixrayd.statistics.missed import percent_down
from sixrayd.statistics.planned import LookPlan, total_upper
from sixrayd.statistics.recapture import recapture
from sixrayd.statistics.sampling import allocate
from sixrayd.statistics.settings import BoundSettings
from sixrayd.status.report import status_report
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.workspaces import BOB, MISSED, NOTHING, UNSURE, Says, build_mine, build_review


@pytest.fixture
def campaign(tmp_path):
    """Forty single images, four of them flagged and reviewed; twelve of the others drawn."""
    campaign = Campaign.build(tmp_path / "ws", [1] * 40, [1, 2, 3, 4])
    campaign.find(name_of(1))
    campaign.clear(*map(name_of, (2, 3, 4)))
    draw_sample(campaign.workspace, SampleSettings(units=12, seed="dice"))
    return campaign


def drawn(campaign):
    return [row[0] for row in sample_rows(campaign.workspace)]


def test_evidence_worked_by_hand(campaign):
    order = drawn(campaign)
    campaign.clear(*order[:5], order[8])
    campaign.find(order[5])
    campaign.pull(Says(order[6], UNSURE))

    result = estimate(campaign.workspace)

    assert result.evidence["strata"] == [
        {
            "name": "unflagged",
            "pool_now": 36 - 7,
            "blocks": [{"pool": 36, "checks": 6, "finds": 1, "found_since": 1}],
        }
    ]
    assert (result.evidence["reviewed"], result.evidence["found"]) == (4, 1)
    assert (result.found, result.lower) == (2, 0)
    assert result.estimate == pytest.approx(36 / 6 - 1)
    assert result.images == result.upper <= 29
    assert result.recall == 2 / (2 + result.upper)
    spots = result.spots
    assert (spots.draws, spots.drawn, spots.counted, spots.behind) == (1, 12, 6, 1)
    assert spots.unanswered == 5
    assert spots.to_settle == {order[6]: "unsure: ann@example.org"}
    assert result.by_class["Gun"]["found"] == 2
    assert result.by_class["Knife"]["found"] == 0


def test_conflicts_wait_and_another_rule_may_settle_them(campaign):
    order = drawn(campaign)
    campaign.pull(Says(order[0], MISSED, GUN), Says(order[0], NOTHING, reviewer=BOB))

    waiting = estimate(campaign.workspace)
    assert waiting.spots.counted == 0
    assert waiting.spots.to_settle == {
        order[0]: "reviewers disagree: ann@example.org: contraband missed; "
        "bob@example.org: nothing there"
    }
    strict = EstimateSettings(bound=BoundSettings(consensus=Rule.STRICTEST))
    settled = estimate(campaign.workspace, strict)
    assert (settled.spots.counted, settled.found, settled.spots.to_settle) == (1, 2, {})


def test_another_pull_order_gives_the_same(campaign):
    order = drawn(campaign)
    campaign.clear(*order[:4])
    campaign.find(order[5])
    campaign.clear(order[4])
    first = estimate(campaign.workspace)
    campaign.rounds = [[says for pull in reversed(campaign.rounds) for says in pull]]
    for path in campaign.workspace.folder("review", "first").glob("decisions/*"):
        path.unlink()
    campaign.pull()

    again = estimate(campaign.workspace)

    assert again.evidence == first.evidence
    assert again.upper == first.upper


def test_before_anything_is_drawn_all_that_is_undecided_may_be_left(tmp_path):
    campaign = Campaign.build(tmp_path / "ws", [1, 2, 1], [1])
    campaign.pull(Says(name_of(1), MISSED, GUN), Says(name_of(1), NOTHING, reviewer=BOB))

    result = estimate(campaign.workspace)
    strict = EstimateSettings(bound=BoundSettings(consensus=Rule.STRICTEST))

    assert (result.found, result.estimate, result.upper, result.images) == (0, None, 3, 4)
    assert "strata without a check: any of their 3 groups may be one" in result.rests_on
    settled = estimate(campaign.workspace, strict)
    assert (settled.found, settled.upper, settled.images) == (1, 2, 3)


def test_all_checked_leaves_nothing(campaign):
    draw_sample(campaign.workspace, SampleSettings(units=99))
    campaign.clear(*drawn(campaign))

    result = estimate(campaign.workspace, EstimateSettings(target=Target(left=0, recall=1.0)))

    assert (result.upper, result.images, result.recall) == (0, 0, 1.0)
    assert result.target_met
    assert result.checks_to_halve == 0


def test_two_minings_recapture(campaign):
    build_mine(campaign.workspace, "second", [name_of(n) for n in (1, 2, 30)], model="other")
    assert estimate(campaign.workspace).recapture is None
    campaign.find(name_of(30))
    assert estimate(campaign.workspace).recapture is None  # all of the first's are the second's
    campaign.find(name_of(3))
    assert estimate(campaign.workspace).recapture == recapture(2, 2, 1)


def test_a_single_look_waits_for_what_says_whether_there_was_another(campaign):
    campaign.clear(*drawn(campaign))
    path = campaign.workspace.folder("estimate", estimate(campaign.workspace).name)
    path = path / "estimate.json"
    path.unlink()
    path.symlink_to("/proc/self/mem")  # no byte of which can be read
    with pytest.raises(UnknownStateError, match="cannot be read"):
        estimate(campaign.workspace, EstimateSettings(bound=BoundSettings(once=True)))


def test_a_single_look_is_none_where_the_bound_was_read_before(campaign):
    order = drawn(campaign)
    campaign.clear(*order[:5])
    assert estimate(campaign.workspace).read_at == (5,)
    campaign.clear(*order[5:])
    assert estimate(campaign.workspace).read_at == (5, 12)
    with pytest.raises(SettingsError) as caught:
        estimate(campaign.workspace, EstimateSettings(bound=BoundSettings(once=True)))
    assert str(caught.value) == (
        "--once: the bound was read before, at 5 of 12 checks; leave --once out, the bound holds "
        "at every look then"
    )


def test_the_first_sample_serves_all_rounds(campaign):
    build_mine(campaign.workspace, "second", [name_of(30)], model="other")
    build_review(campaign.workspace, "second", [name_of(30)], [])
    assert estimate(campaign.workspace).name == "first"
    other = estimate(campaign.workspace, EstimateSettings("second"))
    assert other.others == {"first": estimate(campaign.workspace).upper}


def test_a_single_look(campaign):
    once = EstimateSettings(bound=BoundSettings(once=True))
    with pytest.raises(SettingsError, match=r"12 of their units wait; leave out --once$"):
        estimate(campaign.workspace, once)
    campaign.clear(*drawn(campaign))

    result = estimate(campaign.workspace, once)

    assert result.upper < estimate(campaign.workspace).upper
    assert result.checks_to_halve is None
    assert result.rests_on[1] == ("looks: a single one, at a number of checks announced in advance")


def test_the_course_of_the_bound(campaign):
    order = drawn(campaign)
    campaign.clear(*order[:7])

    looks = course(gather(campaign.workspace, "", Rule.ADJUDICATOR), BoundSettings())

    assert [look.checks for look in looks] == list(range(8))
    assert looks[0].upper == 36
    assert [look.upper for look in looks] == sorted((look.upper for look in looks), reverse=True)
    assert looks[-1].upper == estimate(campaign.workspace).upper


def test_files_and_staleness(campaign):
    first = estimate(campaign.workspace)
    folder = campaign.workspace.folder("estimate", "first")
    written = {name: (folder / name).read_bytes() for name in ("estimate.json", "run.json")}

    document = json.loads(written["estimate.json"])
    assert (document["upper"], document["name"]) == (first.upper, "first")
    with Image.open(folder / "estimate.png") as picture:
        assert picture.size == (960, 540)
    run = campaign.workspace.run("estimate", "first")
    assert run.summary == {"found": 1, "upper": 36, "recall": 1 / 37}
    assert set(run.inputs) == {
        "shards/run.json",
        "mine/first/run.json",
        "review/first/run.json",
        "review/first/decisions/00001.parquet",
        "review/first/decisions/00002.parquet",
        "estimate/first/draws.json",
        "estimate/first/sample.parquet",
    }
    estimate(campaign.workspace)
    assert {name: (folder / name).read_bytes() for name in written} == written
    assert (folder / "draws.json").exists()
    draw_sample(campaign.workspace, SampleSettings(units=1))
    found = [r for r in status_report(campaign.workspace).results if r.stage == "estimate"]
    assert [(r.progress, r.changed) for r in found] == [
        (StageProgress.STALE, ("estimate/first/draws.json", "estimate/first/sample.parquet"))
    ]


def test_a_sample_that_was_changed(campaign):
    path = campaign.workspace.folder("estimate", "first") / "sample.parquet"
    table = pq.read_table(path)
    write_table(path, table.slice(1), table.schema)

    with pytest.raises(WorkspaceError, match=r"sample: unit N\d+ was drawn and is not in it; put"):
        estimate(campaign.workspace)


def test_what_a_bound_costs(campaign):
    target = Target(left=4, recall=0.25)
    costs = plan_costs(campaign.workspace, EstimateSettings(target=target))

    assert (costs.undecided, costs.found) == (36, 1)
    assert costs.rows[-1] == Cost(36, 0, 0, 0)
    # Two of 36 escape 30 checks with a chance of 15 in 630.
    assert costs.rows[0] == Cost(30, 1, 1, 1, planned_most=1)
    assert costs.target_left == 3  # one found of four at most
    once, every = costs.target_checks
    assert 0 < once <= every < 36


def test_a_bound_costs_what_the_strata_make_of_it(tmp_path):
    campaign = Campaign.build(tmp_path / "ws", [1] * 200, range(1, 81))

    costs = plan_costs(campaign.workspace, EstimateSettings(target=Target(left=20)))

    pools = {"flagged, 1 of 2": 40, "flagged, 2 of 2": 40, "unflagged": 120}
    given = allocate(pools, 100)
    strata = [Stratum(n, p - given[n], (Block(p, given[n], 0, 0),)) for n, p in pools.items()]
    assert costs.undecided == 200
    assert [row.checks for row in costs.rows] == [30, 100, 200]
    assert costs.rows[1] == Cost(
        100,
        once_limits(strata, 0.05).upper,
        total_upper([0] * 5, LookPlan((0.05, 0.1, 0.2, 0.35, 0.5)), 200, 0.05),
        joint_limits(strata, 0.05).upper,
        planned_most=costs.rows[1].planned,  # nothing is expected to be found
    )
    assert costs.rows[2] == Cost(200, 0, 0, 0)
    once, every = costs.target_checks
    assert 20 < once <= 30  # strata taken as one
    assert 30 < every <= 100


@pytest.mark.parametrize("values", [(-1, None), (None, 0.0), (None, 1.5)])
def test_targets_out_of_range(values):
    with pytest.raises(SettingsError, match=r"^targets: need --target-left of 0 or more"):
        Target(*values)


def test_what_the_command_prints(campaign, runner):
    order = drawn(campaign)
    campaign.clear(*order[:8], order[9])
    campaign.pull(Says(order[8], UNSURE))
    base = ["-w", str(campaign.workspace.root)]

    words = [*base, "--target-recall", "0.9", "--target-left", "5"]
    said = runner.invoke(command, words, catch_exceptions=False)
    result = estimate(campaign.workspace)

    lines = [line.strip("│ ") for line in said.stdout.splitlines()]
    assert "what first still misses" in lines[0]
    text = " ".join(lines)
    assert (
        f"Groups of near-identical images. Found: 1. At most {result.upper} may be missed (95 % "
        "sure), best guess 0.0. "
        f"At least {percent_down(result.recall)} of all contraband groups are found. "
        f"Missed are 0 groups at least, and {result.upper} images at most. "
    ) in text
    assert "that all hold at once; they may exceed the total and do not add up." in text
    assert "8 of 12 drawn groups are answered without a gap, in 1 draw; 1 behind a gap, 3 " in text
    more = result.checks_to_halve
    assert f"About {more} more checks would halve it, if they find as often as so far." in text
    assert "Target (at most 5 missed and 90 % found): not met yet." in text
    assert "NOT MEASURED, taken as 100 %; `sixrayd review plant -w " in text
    assert f"{order[8]}  unsure: ann@example.org" in lines
    document = json.loads(runner.invoke(command, [*base, "--json"]).stdout)
    assert (document["upper"], document["target_met"]) == (result.upper, None)


def test_what_the_plan_prints(campaign, runner):
    words = ["-w", str(campaign.workspace.root), "--plan", "--target-left", "3"]
    said = runner.invoke(command, words, catch_exceptions=False)

    costs = plan_costs(campaign.workspace, EstimateSettings(target=Target(left=3)))
    # However wide the terminal is.
    assert " ".join(said.stdout.split()) == (
        "checks finds left at most, one look five planned (90 %) every look 30 0 1 1 1 1 "
        "36 0 0 0 0 0 36 undecided groups, 1 found; 95 % sure, if checks find at the rate so far "
        "and reviewers overlook nothing "
        "(90 %): chance brings more finds, and so a higher bound, in one of ten draws "
        "at most 3 left: {} checks at one look, {} at every look".format(*costs.target_checks)
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plan", "--sample", "3"], "and --certify: one at a time"),
        (["--seed", "dice"], "--seed: only with --sample"),
        (["--by", "Ann"], "--by and --force: only with --certify"),
        (["--sample", "0"], "0 is not in the range x>=1."),
    ],
)
def test_usage(runner, tmp_path, words, message):
    said = runner.invoke(command, ["-w", str(tmp_path), *words])

    assert said.exit_code == 2
    assert message in said.stderr


@pytest.mark.long
def test_the_bound_from_files_covers_at_every_look(tmp_path):
    alpha, campaigns, covered = 0.2, 20, 0
    for seed in range(campaigns):
        rng = np.random.default_rng(seed)
        campaign = Campaign.build(tmp_path / str(seed), [1] * 24, [1, 2, 3, 4])
        hidden = {name_of(n) for n in range(1, 25) if rng.random() < (0.5 if n < 5 else 0.1)}
        asked, good = set(), True
        for number in range(3):
            draw_sample(campaign.workspace, SampleSettings(units=5, seed=f"{seed} {number}"))
            queue = [name_of(n) for n in range(1, 25) if rng.random() < 0.1]
            waiting = sorted({*drawn(campaign), *queue} - asked)
            answered = [image_id for image_id in waiting if rng.random() < 0.8]
            said = [Says(i, MISSED, GUN) if i in hidden else Says(i, NOTHING) for i in answered]
            campaign.pull(*said)
            asked.update(answered)
            material = gather(campaign.workspace, "", Rule.ADJUDICATOR)
            bound = material.outcome(BoundSettings(1 - alpha)).bound
            good &= bound.lower <= len(hidden - asked) <= bound.upper
        covered += good

    assert covered >= binom.ppf(0.01, campaigns, 1 - alpha)
