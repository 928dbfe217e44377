"""From files to the bound: evidence worked by hand, planted threats, figure, and the command."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import binom

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import write_table
from sixrayd.core.records import CANDIDATE_SCHEMA, DECISION_SCHEMA, Rule
from sixrayd.estimate.command import estimate as command
from sixrayd.estimate.plan import Cost, plan_costs
from sixrayd.estimate.planted import planted_counts
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings, Target
from sixrayd.estimate.stage import course, estimate, gather
from sixrayd.statistics.certificate import BoundSettings, Planted
from sixrayd.statistics.recapture import recapture
from sixrayd.statistics.sensitivity import Sensitivity
from sixrayd.status.report import Progress, status_report
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.workspaces import BOB, MISSED, NOTHING, UNSURE, Says, build_mine

COLUMNS = ("image_id", "kind", "label", "x1", "y1", "x2", "y2", "with_proposals")


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


def plant(campaign, rows, answers, detected=()):
    """Planted images, what reviewers said of them, and those that the detector fires on."""
    folder = campaign.workspace.folder("review", "first") / "planted"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows]),
        folder / "planted.parquet",
    )
    if detected is not None:
        mined = pq.read_table(campaign.workspace.folder("mine", "first") / "candidates.parquet")
        row = mined.to_pylist()[0]
        found = [row | {"image_id": image_id, "box_id": image_id} for image_id in detected]
        write_table(folder / "detections.parquet", found, CANDIDATE_SCHEMA)
    other = Campaign(campaign.workspace, campaign.flagged, name="first")
    before = [*campaign.rounds]
    other.pull(*answers)
    table = pq.read_table(campaign.workspace.folder("review", "first") / "decisions/00001.parquet")
    write_table(folder / "decisions" / "00001.parquet", table, DECISION_SCHEMA)
    campaign.rounds = before
    campaign.pull()


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
    assert "3 units are in strata without a check: any may be contraband" in result.rests_on
    settled = estimate(campaign.workspace, strict)
    assert (settled.found, settled.upper, settled.images) == (1, 2, 3)


def test_all_checked_leaves_nothing(campaign):
    draw_sample(campaign.workspace, SampleSettings(units=99))
    campaign.clear(*drawn(campaign))

    result = estimate(campaign.workspace, EstimateSettings(target=Target(left=0, recall=1.0)))

    assert (result.upper, result.images, result.recall) == (0, 0, 1.0)
    assert result.target_met
    assert result.checks_to_halve == 0


def test_planted_threats_measure_and_widen(campaign):
    campaign.clear(*drawn(campaign))
    perfect = estimate(campaign.workspace)
    near = (("Gun", 12, 12, 30, 30, "drawn", ""),)  # 0.81 of the box below
    far = (("Gun", 60, 10, 80, 30, "drawn", ""),)
    box = (10, 10, 30, 30)
    rows = [
        *((f"N{n:07d}", "planted", "Gun", *box, n % 2 == 0) for n in range(900, 908)),
        ("N0000950", "sham", "", 0, 0, 0, 0, False),
    ]
    answers = [
        Says("N0000900", MISSED, near),  # shown with proposals
        Says("N0000901", MISSED, near),  # not shown with what the detector saw: left out
        Says("N0000902", NOTHING),  # with proposals, but the detector saw nothing
        Says("N0000903", MISSED, far),
        Says("N0000904", MISSED, far),
        Says("N0000904", MISSED, near, reviewer=BOB),
        Says("N0000905", MISSED, near),
        Says("N0000950", MISSED, near),
    ]
    plant(campaign, rows, answers, [f"N{n:07d}" for n in (900, 901, 904, 906)])

    counts = planted_counts(campaign.workspace, "first")
    assert counts == (Planted("Gun", False, 3, 1), Planted("Gun", True, 2, 2))
    result = estimate(campaign.workspace)
    assert result.found == perfect.found  # decisions on planted images are nobody's finds
    assert result.upper > perfect.upper
    seen = [Sensitivity(1, 2, 2).lower(0.005), Sensitivity(1, 3, 1).lower(0.005)]
    assert result.rests_on[2:] == (
        f"with proposals reviewers see {seen[0]:.1%} or more, measured: they found 2 of 2 "
        "planted threats",
        f"without proposals reviewers see {seen[1]:.1%} or more, measured: they found 1 of 3 "
        "planted threats",
    )
    (campaign.workspace.folder("review", "first") / "planted/detections.parquet").unlink()
    plant(campaign, rows, answers, None)
    assert planted_counts(campaign.workspace, "first") == (Planted("Gun", False, 6, 4),)


def test_nothing_planted_or_answered(campaign):
    assert planted_counts(campaign.workspace, "first") == ()
    plant(campaign, [("N0000900", "planted", "Gun", 1, 1, 9, 9, True)], [])
    assert planted_counts(campaign.workspace, "first") == ()
    path = campaign.workspace.folder("review", "first") / "planted/planted.parquet"
    path.write_bytes(b"x")
    with pytest.raises(WorkspaceError, match=r"not a readable table of planted threats$"):
        planted_counts(campaign.workspace, "first")


def test_two_minings_recapture(campaign):
    build_mine(campaign.workspace, "second", [name_of(n) for n in (1, 2, 30)], model="other")
    assert estimate(campaign.workspace).recapture == recapture(1, 1, 1)
    campaign.find(name_of(30))
    assert estimate(campaign.workspace).recapture == recapture(2, 1, 1)


def test_a_single_look(campaign):
    once = EstimateSettings(bound=BoundSettings(once=True))
    with pytest.raises(SettingsError, match=r"12 of their units wait; leave out --once$"):
        estimate(campaign.workspace, once)
    campaign.clear(*drawn(campaign))

    result = estimate(campaign.workspace, once)

    assert result.upper < estimate(campaign.workspace).upper
    assert result.checks_to_halve is None
    assert result.rests_on[0] == "a single look at a number of checks announced in advance"


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
        (Progress.STALE, ("estimate/first/draws.json", "estimate/first/sample.parquet"))
    ]


def test_a_sample_that_was_changed(campaign):
    path = campaign.workspace.folder("estimate", "first") / "sample.parquet"
    table = pq.read_table(path)
    write_table(path, table.slice(1), table.schema)

    with pytest.raises(WorkspaceError, match=r"^sample: unit N\d+ was drawn and is not in it$"):
        estimate(campaign.workspace)


def test_what_a_bound_costs(campaign):
    target = Target(left=4, recall=0.25)
    costs = plan_costs(campaign.workspace, EstimateSettings(target=target))

    assert (costs.undecided, costs.found) == (36, 1)
    assert costs.rows[-1] == Cost(36, 0, 0)
    assert costs.rows[0] == Cost(30, 1, 1)  # two of 36 escape 30 checks with a chance of 15 in 630
    assert costs.target_left == 3  # one found of four at most
    once, every = costs.target_checks
    assert 0 < once <= every < 36


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
    assert lines[1] == "found so far        1  units"
    assert lines[2] == "probably left     0.0"
    assert lines[3] == f"at most left       {result.upper}  units, {result.upper} images (95 %)"
    assert lines[5] == f"recall at least  {result.recall:.1%}"
    assert "spot checks: 8 of 12 units drawn count" in lines
    assert "1 more are answered but wait for one before them" in lines
    assert f"{result.checks_to_halve} more checks would halve the bound" in lines
    assert "target (at most 5 left and recall 0.9): not met yet" in lines
    assert f"{order[8]}  unsure: ann@example.org" in lines
    document = json.loads(runner.invoke(command, [*base, "--json"]).stdout)
    assert (document["upper"], document["target_met"]) == (result.upper, None)


def test_what_the_plan_prints(campaign, runner):
    words = ["-w", str(campaign.workspace.root), "--plan", "--target-left", "3"]
    said = runner.invoke(command, words, catch_exceptions=False)

    costs = plan_costs(campaign.workspace, EstimateSettings(target=Target(left=3)))
    assert said.stdout.splitlines() == [
        "random checks  left at most, one look  left at most, every look",
        "30                                  1                         1",
        "36                                  0                         0",
        "36 undecided units, 1 found; 0.95 confidence, if no check finds anything and ",
        "reviewers overlook nothing",
        "at most 3 left: {} checks at one look, {} at every look".format(*costs.target_checks),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plan", "--sample", "3"], "--plan, --sample and --certify: one at a time"),
        (["--seed", "dice"], "--seed: only with --sample"),
        (["--by", "Ann"], "--by and --force: only with --certify"),
        (["--sample", "0"], "0 is not in the range x>=1."),
    ],
)
def test_usage(runner, tmp_path, words, message):
    said = runner.invoke(command, ["-w", str(tmp_path), *words])

    assert said.exit_code == 2
    assert message in said.stderr


def test_the_bound_from_files_covers_at_every_look(tmp_path):
    alpha, campaigns, covered = 0.2, 20, 0
    for seed in range(campaigns):
        rng = np.random.default_rng(seed)
        campaign = Campaign.build(tmp_path / str(seed), [1] * 24, [1, 2, 3, 4])
        hidden = {name_of(n) for n in range(1, 25) if rng.random() < (0.5 if n < 5 else 0.1)}
        asked, good = set(), True
        for _ in range(3):
            draw_sample(
                campaign.workspace, SampleSettings(units=5, seed="" if asked else f"{seed}")
            )
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
