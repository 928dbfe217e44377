"""Planned looks from the first draw to the certificate."""

import hashlib
import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.estimate.certify import certify
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings
from sixrayd.estimate.stage import estimate
from sixrayd.statistics.planned import LookPlan, total_upper
from sixrayd.statistics.settings import BoundSettings
from sixrayd.verify.stage import verify
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.estimate.test_planted import plant
from tests.workspaces import BOB, MISSED, UNSURE, Says

UNITS = 40


@pytest.fixture
def campaign(tmp_path):
    """Forty single images, five of them flagged; the first is decided before any draw."""
    campaign = Campaign.build(tmp_path / "ws", [1] * UNITS, [1, 2, 3, 4, 5])
    campaign.find(name_of(1))
    return campaign


def first_look(campaign, looks=(10, 20, 39), seed="dice"):
    return draw_sample(campaign.workspace, SampleSettings(seed=seed, looks=looks))


def next_look(campaign, seed="more dice"):
    return draw_sample(campaign.workspace, SampleSettings(seed=seed, next_look=True))


def drawn(campaign, number):
    return {group for _, group, _, _, draw in sample_rows(campaign.workspace) if draw == number}


def below(seed, share):
    """The units whose number is below a share, from the definition."""
    names = [name_of(n) for n in range(2, UNITS + 1)]
    numbers = {n: hashlib.sha256(f"{seed}/{n}".encode()).digest() for n in names}
    return {n for n, digest in numbers.items() if int.from_bytes(digest) / 2**256 < share}


def test_a_look_takes_each_unit_by_its_own_chance(campaign):
    first = first_look(campaign)
    assert drawn(campaign, 1) == below("dice", 10 / 39)
    assert (first.looks, first.draw, sum(first.pools.values())) == (3, 1, 39)

    next_look(campaign)
    chance = (20 / 39 - 10 / 39) / (1 - 10 / 39)
    assert drawn(campaign, 2) == below("more dice", chance) - drawn(campaign, 1)
    last = next_look(campaign, "even more")  # of all the units
    assert last.units_in_all == 39
    with pytest.raises(WorkspaceError, match=r"draw 4: all 3 looks that were planned are drawn"):
        next_look(campaign, "again")


def test_units_that_the_queue_decides_are_drawn_all_the_same(campaign):
    first_look(campaign)
    others = sorted(below("more dice", 0.3) - drawn(campaign, 1))
    assert len(others) > 2
    campaign.clear(*others[:2])
    next_look(campaign)
    assert set(others) <= drawn(campaign, 2)
    gone = campaign.workspace.folder("estimate", "first") / "gone.parquet"
    assert not gone.exists()


def test_the_bound_counts_what_is_drawn_and_found(campaign):
    first_look(campaign)
    taken = sorted(drawn(campaign, 1))
    campaign.find(taken[0])
    campaign.clear(*taken[1:])
    result = estimate(campaign.workspace)
    total = total_upper([1], LookPlan((10 / 39, 20 / 39, 1.0)), 39, 0.05)
    assert (result.found, result.lower, result.upper) == (2, 0, total - 1)
    assert result.spots.looks == (10, 20, 39)
    assert result.checks_to_halve is None
    assert result.after_next_look is not None


def test_what_is_not_settled_counts_as_contraband_until_it_is(campaign):
    first_look(campaign)
    taken = sorted(drawn(campaign, 1))
    campaign.find(taken[0])
    campaign.clear(*taken[3:])
    campaign.pull(Says(taken[1], UNSURE))
    plan = LookPlan((10 / 39, 20 / 39, 1.0))
    result = estimate(campaign.workspace)
    assert result.upper == total_upper([3], plan, 39, 0.05) - 1
    assert (result.spots.counted, result.spots.unanswered) == (len(taken) - 2, 2)
    assert list(result.spots.to_settle) == [taken[1]]
    campaign.clear(taken[1], taken[2])
    assert estimate(campaign.workspace).upper == total_upper([1], plan, 39, 0.05) - 1


def test_before_any_answer_all_that_is_left_may_be_contraband(campaign):
    first_look(campaign)
    result = estimate(campaign.workspace)
    assert (result.upper, result.estimate) == (39, None)


def test_its_certificate_verifies_and_names_the_looks(campaign, tmp_path):
    first_look(campaign)
    campaign.clear(*sorted(drawn(campaign, 1)))
    next_look(campaign)
    campaign.clear(*sorted(drawn(campaign, 2)))
    file = tmp_path / "missed.certificate"
    certified = certify(campaign.workspace, EstimateSettings(), file, "Ann")
    result = verify(file, certified.commitment)
    assert result.fault == ""
    assert result.bound["upper"] == estimate(campaign.workspace).upper
    assert "evidence: 2 of 3 planned looks, and all decisions" in result.checked
    assert "looks: 2 of those planned, at 25.6, 51.3, 100 % of the groups" in result.rests_on


def test_what_one_reader_alone_found_counts_as_missed_where_that_is_asked(campaign, tmp_path):
    first_look(campaign)
    taken = sorted(drawn(campaign, 1))
    campaign.clear(*taken[2:])
    both = (Says(taken[0], MISSED, GUN, reviewer=BOB, lane="2"),)
    campaign.pull(*(Says(one, MISSED, GUN) for one in taken[:2]), *both)
    plain = estimate(campaign.workspace)
    settings = EstimateSettings(bound=BoundSettings(confirmed=True))
    sure = estimate(campaign.workspace, settings)
    assert (plain.found, sure.found) == (3, 1)
    assert (sure.upper, sure.images) == (plain.upper + 2, plain.images + 2)
    assert (
        "finds: all 3 are subtracted, 2 of them seen by one reader alone; each that is none makes "
        "the bound too low by one; --confirmed leaves them out"
    ) in plain.rests_on
    said = "finds: 1 that two readers saw are subtracted; 2 that one alone saw count as missed"
    assert said in sure.rests_on
    assert plain.double_reading.both == 1
    file = tmp_path / "missed.certificate"
    certify(campaign.workspace, settings, file, "Ann")
    result = verify(file)
    assert (result.fault, result.bound["upper"]) == ("", sure.upper)
    assert said in result.rests_on


def test_only_planned_looks_can_leave_out_what_nobody_confirmed(campaign):
    settings = EstimateSettings(bound=BoundSettings(confirmed=True))
    with pytest.raises(SettingsError, match=r"^--confirmed: only with planned looks"):
        estimate(campaign.workspace, settings)


def test_the_bound_stands_at_every_odds_ratio_and_one_is_claimed(campaign, tmp_path):
    rows = [(f"N{n:07d}", "planted", "Gun", 1, 1, 9, 9, False) for n in range(900, 930)]
    plant(campaign, rows, [Says(f"N{n:07d}", MISSED, GUN) for n in range(900, 929)])
    first_look(campaign, (25, 30))
    campaign.clear(*sorted(drawn(campaign, 1)))
    plain = estimate(campaign.workspace)
    assert plain.upper == plain.by_gamma["1"] < plain.by_gamma["2"] < plain.by_gamma["4"]
    settings = EstimateSettings(bound=BoundSettings(gamma=2.0))
    claimed = estimate(campaign.workspace, settings)
    assert (claimed.by_gamma, claimed.upper) == (plain.by_gamma, plain.by_gamma["2"])
    lines = [f"{claimed.by_gamma[gamma]} at {gamma}" for gamma in ("1", "2", "4")]
    words = "odds ratio of known to hidden contraband: 2 is claimed; left at most "
    assert words + ", ".join(lines) in claimed.rests_on
    file = tmp_path / "missed.certificate"
    certify(campaign.workspace, settings, file, "Ann")
    checked = verify(file)
    assert (checked.fault, checked.bound["upper"]) == ("", claimed.upper)
    # Method, looks, assumptions and odds ratio are named to whoever has the file alone.
    assert checked.rests_on == claimed.rests_on
    assert [line.split(":")[0] for line in checked.rests_on] == [
        "confidence",
        "looks",
        "method",
        "rule where reviewers differ",
        "checks",
        "sensitivity with proposals",
        "sensitivity without proposals",
        "finds",
        "odds ratio of known to hidden contraband",
        "false finds",
    ]
    assert checked.rests_on[1:3] == (
        "looks: 1 of those planned, at 64.1, 76.9 % of the groups",
        "method: exact binomial limits, their error spent by the share that is drawn",
    )
    with pytest.raises(SettingsError, match=r"^--gamma 0\.5: expected a number of 1 or more$"):
        BoundSettings(gamma=0.5)


def test_looks_stand_in_the_commitment_of_the_first_draw(tmp_path):
    found = []
    for number, looks in enumerate([(10, 20), (10, 21), ()]):
        campaign = Campaign.build(tmp_path / str(number), [1] * UNITS, [1])
        settings = SampleSettings(seed="dice", looks=looks)
        found.append(draw_sample(campaign.workspace, settings).commitment)
    assert len(set(found)) == 3


def test_a_plan_changed_after_the_draw_is_found_out(campaign):
    first_look(campaign)
    file = campaign.workspace.folder("estimate", "first") / "draws.json"
    plan = json.loads(file.read_text("utf-8"))
    plan["looks"]["fractions"][0] = 0.5
    file.write_text(json.dumps(plan), "utf-8")
    with pytest.raises(WorkspaceError, match=r"draw 1: says it took .* units, its seed "):
        estimate(campaign.workspace)


def test_an_interrupted_look_is_finished_alone(campaign):
    first_look(campaign)
    folder = campaign.workspace.folder("estimate", "first")
    whole = (folder / "sample.parquet").read_bytes()
    (folder / "sample.parquet").unlink()
    with pytest.raises(WorkspaceError, match=r"interrupted; run `sixrayd estimate --next-look`,"):
        estimate(campaign.workspace)
    with pytest.raises(SettingsError, match=r"^--looks: looks are planned with the first draw"):
        first_look(campaign, (10, 21))
    assert first_look(campaign).finished  # by the same command
    assert (folder / "sample.parquet").read_bytes() == whole
    (folder / "sample.parquet").unlink()
    result = next_look(campaign, "dice")
    assert result.finished
    assert result.draw == 1
    assert (folder / "sample.parquet").read_bytes() == whole


def test_a_look_that_is_asked_for_again_is_drawn_once(campaign):
    """Killed before it has said what it drew, it would lose a look of the plan, and its line."""
    folder = campaign.workspace.folder("estimate", "first")

    def ask(**options):
        result = draw_sample(campaign.workspace, SampleSettings(**options))
        return replace(result, again=False), result.again, (folder / "draws.json").read_bytes()

    first, again, plan = ask(looks=(10, 20, 39))
    assert not again
    assert ask(looks=(10, 20, 39)) == (first, True, plan)
    second, again, plan = ask(next_look=True, seed="dice")
    assert (second.draw, again) == (2, False)
    assert ask(next_look=True) == ask(next_look=True, seed="dice") == (second, True, plan)
    with pytest.raises(SettingsError, match=r"^--looks: looks are planned with the first draw"):
        ask(looks=(10, 20, 39))
    campaign.clear(min(drawn(campaign, 2)))
    third, again, plan = ask(next_look=True)
    assert (third.draw, again) == (3, False)
    assert ask(next_look=True) == (third, True, plan)
    with pytest.raises(WorkspaceError, match=r"draw 4: all 3 looks that were planned are drawn"):
        next_look(campaign, "other")


def test_a_sample_whose_plan_is_gone_is_not_forgotten(campaign):
    first_look(campaign)
    folder = campaign.workspace.folder("estimate", "first")
    (folder / "draws.json").unlink()
    campaign.clear(name_of(3))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for ask in (lambda: estimate(campaign.workspace), lambda: first_look(campaign)):
        with pytest.raises(
            WorkspaceError, match=r"draws\.json: missing, and sample\.parquet hangs"
        ):
            ask()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_looks_are_planned_with_the_first_draw_or_never(campaign, tmp_path):
    first_look(campaign)
    with pytest.raises(SettingsError, match=r"^--looks: looks are planned with the first draw"):
        first_look(campaign, (10, 20), "other")
    with pytest.raises(SettingsError, match=r"^--sample 5: looks were planned .*--next-look$"):
        draw_sample(campaign.workspace, SampleSettings("", 5))
    other = Campaign.build(tmp_path / "other", [1] * UNITS, [1])
    with pytest.raises(SettingsError, match=r"^--next-look: plan the looks first, with --looks"):
        next_look(other)
    with pytest.raises(SettingsError, match=r"^--looks: the last is 41, and 40 groups are undec"):
        first_look(other, (10, 41))
    draw_sample(other.workspace, SampleSettings("", 5))
    with pytest.raises(SettingsError, match=r"^--next-look: no looks were planned with the first"):
        next_look(other)
    with pytest.raises(SettingsError, match=r"^--looks 5,5: expected numbers above 0 that grow$"):
        SampleSettings(looks=(5, 5))


def test_a_single_look_is_one_planned_look(campaign):
    first_look(campaign)
    once = EstimateSettings(bound=BoundSettings(once=True))
    with pytest.raises(SettingsError, match=r"^--once: looks were planned at the first draw"):
        estimate(campaign.workspace, once)


def test_groups_reopened_since_the_first_draw_may_all_be_contraband(campaign):
    first_look(campaign, (10, 39))
    campaign.clear(*sorted(drawn(campaign, 1)))
    before = estimate(campaign.workspace).upper
    campaign.rounds[0] = [Says(name_of(1), UNSURE)]  # which had been decided before it
    campaign.pull()
    assert estimate(campaign.workspace).upper == before + 1


def test_the_table_has_every_image_once(campaign):
    first_look(campaign)
    next_look(campaign)
    table = pq.read_table(campaign.workspace.folder("estimate", "first") / "sample.parquet")
    ids = table["image_id"].to_pylist()
    assert len(ids) == len(set(ids))
    assert set(table["draw"].to_pylist()) == {1, 2}
