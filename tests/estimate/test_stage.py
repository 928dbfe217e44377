"""Estimates of releases of every shape: numbers that agree with each other and with the file."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.records import Rule
from sixrayd.core.tables import table_bytes, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings, Target
from sixrayd.estimate.stage import EstimateInputs, course, estimate, estimate_from, gather
from sixrayd.statistics.population import POPULATION_SCHEMA, Population
from sixrayd.statistics.sampling import GONE_SCHEMA, Drawn
from sixrayd.statistics.settings import BoundSettings
from sixrayd.statistics.standing import Answer
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.workspaces import (
    MISSED,
    NOTHING,
    UNSURE,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
)


def now(workspace, rule=Rule.ADJUDICATOR, **bound):
    """What an estimate would say, without a file written."""
    material = gather(workspace, "", rule)
    settings = EstimateSettings(bound=BoundSettings(consensus=rule, **bound))
    return estimate_from(workspace, material, settings)


def drawn(campaign):
    return [row[0] for row in sample_rows(campaign.workspace)]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Thirty single images, three of them flagged; ten of the others drawn."""
    campaign = Campaign.build(tmp_path_factory.mktemp("begun") / "ws", [1] * 30, [1, 2, 3])
    campaign.clear(*map(name_of, (1, 2, 3)))
    draw_sample(campaign.workspace, SampleSettings(units=10, seed="dice"))
    return campaign


@pytest.fixture
def campaign(begun, tmp_path):
    """A copy that may go on."""
    shutil.copytree(begun.workspace.root, tmp_path / "ws")
    return Campaign(Workspace(tmp_path / "ws"), begun.flagged, [*begun.rounds])


def test_one_image_before_and_after_its_check(tmp_path):
    campaign = Campaign.build(tmp_path / "ws", [1])
    before = now(campaign.workspace)
    draw_sample(campaign.workspace, SampleSettings(units=1))
    campaign.find(name_of(1))
    after = now(campaign.workspace)

    assert (before.found, before.upper, before.images, before.recall) == (0, 1, 1, 0.0)
    assert (before.estimate, before.checks_to_halve) == (None, 1)
    assert (after.found, after.upper, after.images, after.recall) == (1, 0, 0, 1.0)
    assert (after.estimate, after.checks_to_halve) == (0.0, 0)


def test_a_release_without_negatives_or_without_readable_ones(tmp_path):
    for name, picture in (
        ("positives", Picture("P1", boxes=(("Gun", 1, 1, 9, 9, False),))),
        ("unreadable", Picture("N1", error="truncated")),
    ):
        workspace = Workspace(tmp_path / name)
        build_shards(workspace, [picture])
        build_mine(workspace, "first", [])
        build_review(workspace, "first", [], [])
        result = now(workspace)
        assert (result.found, result.upper, result.images, result.recall) == (0, 0, 0, 1.0)
        assert (result.estimate, result.checks_to_halve) == (0.0, 0)
        assert (result.spots.draws, result.spots.drawn) == (0, 0)


def test_the_file_says_what_was_returned(campaign):
    campaign.pull(Says(drawn(campaign)[0], UNSURE, reviewer="鲍勃 <b>"))
    result = estimate(
        campaign.workspace,
        EstimateSettings(bound=BoundSettings(0.9, 0.8), target=Target(recall=0.5)),
    )

    path = campaign.workspace.folder("estimate", "first") / "estimate.json"
    document = json.loads(path.read_text("utf-8"))
    assert document == json.loads(json.dumps(asdict(result))) | {"folder": "first"}
    assert document["settings"] == {
        "confidence": 0.9,
        "sensitivity": 0.8,
        "once": False,
        "consensus": "adjudicator",
        "gamma": 1.0,
        "confirmed": False,
        "one_set": True,
    }
    assert document["spots"]["to_settle"] == {drawn(campaign)[0]: "unsure: 鲍勃 <b>"}
    assert "鲍勃" in path.read_text("utf-8")
    assert document["target_met"] is False


def test_a_stated_sensitivity_is_named_and_widens(campaign):
    campaign.clear(*drawn(campaign))
    campaign.find(name_of(30) if name_of(30) not in drawn(campaign) else name_of(29))
    perfect, stated = now(campaign.workspace), now(campaign.workspace, sensitivity=0.5)

    assert stated.found == perfect.found == 1
    assert stated.upper > perfect.upper
    sides = ("sensitivity with proposals", "sensitivity without proposals")
    taken = "NOT MEASURED, taken as 100 %; `sixrayd review plant` measures it"
    assert perfect.rests_on[5:7] == tuple(f"{side}: {taken}" for side in sides)
    lower = "NOT MEASURED, counts as 50.0 %: stated, of the other side, or capped by double reading"
    assert stated.rests_on[5:7] == tuple(f"{side}: {lower}" for side in sides)
    assert not stated.planting_helps


def test_reviewers_who_see_nothing_leave_everything_open(campaign):
    campaign.clear(*drawn(campaign))
    result = now(campaign.workspace, sensitivity=0.0)

    assert (result.upper, result.images, result.checks_to_halve) == (30, 30, None)


def test_more_confidence_never_leaves_less(campaign):
    campaign.clear(*drawn(campaign)[:7])
    uppers = [now(campaign.workspace, confidence=c).upper for c in (0.1, 0.9, 0.9999)]

    assert uppers == sorted(uppers)
    assert len(set(uppers)) > 1


def test_an_answer_behind_a_gap_waits_and_counts_once_it_is_closed(campaign):
    order = drawn(campaign)
    campaign.clear(*order[1:4])
    waiting = now(campaign.workspace).spots
    campaign.clear(order[0])
    closed = now(campaign.workspace).spots

    assert (waiting.counted, waiting.behind, waiting.unanswered) == (0, 3, 7)
    assert (closed.counted, closed.behind, closed.unanswered) == (4, 0, 6)
    assert waiting.drawn == closed.drawn == 10


def test_a_withdrawn_answer_opens_the_gap_again(campaign):
    order = drawn(campaign)
    campaign.pull(*(Says(image_id, NOTHING, annotation=50) for image_id in order[:5]))
    before = now(campaign.workspace)
    campaign.pull(Says(order[2], NOTHING, version=2, annotation=50, withdrawn=True))
    after = now(campaign.workspace)

    assert (before.spots.counted, before.spots.behind) == (5, 0)
    assert (after.spots.counted, after.spots.behind) == (2, 2)
    assert after.upper > before.upper
    assert after.spots.to_settle == {}  # nobody says anything of it
    assert (before.spots.withdrawn, after.spots.withdrawn) == ((), (order[2],))


def test_what_the_queue_decided_before_the_first_draw_may_be_withdrawn(campaign):
    said = Says(name_of(2), NOTHING, version=2, annotation=1002, withdrawn=True)
    campaign.pull(said)
    result = now(campaign.workspace)

    names = [stratum["name"] for stratum in result.evidence["strata"]]
    assert names == ["unflagged", "reopened"]
    assert (result.evidence["reviewed"], result.upper) == (2, 28)
    assert result.rests_on[-1] == ("strata without a check: any of their 28 groups may be one")


def test_contraband_of_no_known_class_or_without_a_box_settles_nothing(campaign):
    first, second, third = drawn(campaign)[:3]
    bomb = (("Bomb", 1, 1, 9, 9, "drawn", ""),)
    campaign.pull(Says(first, MISSED), Says(second, MISSED, bomb), Says(third, MISSED, GUN))

    result = now(campaign.workspace)

    assert (result.found, result.spots.counted, result.spots.behind) == (1, 0, 1)
    assert list(result.spots.to_settle) == sorted((first, second))
    assert all(reason for reason in result.spots.to_settle.values())


def test_classes_are_told_apart(campaign):
    first, second = drawn(campaign)[:2]
    both = (*GUN, ("Knife", 20, 20, 40, 40, "drawn", ""))
    campaign.find(first, boxes=both)
    campaign.find(second, boxes=(("scissor", 1, 1, 9, 9, "drawn", ""),))

    result = now(campaign.workspace)

    assert {label: row["found"] for label, row in result.by_class.items()} == {
        "Gun": 1,
        "Knife": 1,
        "Wrench": 0,
        "Pliers": 0,
        "Scissors": 1,
    }
    assert result.found == 2


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target(), None),
        (Target(left=27), True),
        (Target(left=26), False),
        (Target(recall=0.01), False),
        (Target(left=27, recall=0.01), False),
    ],
)
def test_targets_are_met_or_not(campaign, target, met):
    material = gather(campaign.workspace, "", Rule.ADJUDICATOR)
    result = estimate_from(campaign.workspace, material, EstimateSettings(target=target))

    assert (result.upper, result.found) == (27, 0)
    assert result.target_met is met


def test_the_course_begins_and_ends_where_the_bound_does(campaign):
    order = drawn(campaign)
    campaign.clear(*order[:3], *order[4:])
    material = gather(campaign.workspace, "", Rule.ADJUDICATOR)

    looks = course(material, BoundSettings())

    assert [look.checks for look in looks] == [0, 1, 2, 3]
    assert (looks[0].estimate, looks[0].upper) == (None, 27)
    assert looks[-1].upper >= now(campaign.workspace).upper


def test_the_course_before_a_draw_is_one_look(tmp_path):
    campaign = Campaign.build(tmp_path / "ws", [1, 1], [1])

    looks = course(gather(campaign.workspace, "", Rule.ADJUDICATOR), BoundSettings())

    assert [(look.checks, look.estimate, look.upper) for look in looks] == [(0, None, 2)]


def test_a_single_look_after_two_draws(campaign):
    campaign.clear(*drawn(campaign))
    draw_sample(campaign.workspace, SampleSettings(units=1))

    with pytest.raises(SettingsError) as caught:
        now(campaign.workspace, once=True)
    assert str(caught.value) == (
        "a single look takes one draw, checked to the end; there are 2, and 1 of their units "
        "wait; leave out --once"
    )


def test_files_of_the_sample_that_were_changed(campaign):
    folder = campaign.workspace.folder("estimate", "first")
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refusal(name, data):
        (folder / name).write_bytes(data)
        with pytest.raises(WorkspaceError) as caught:
            now(campaign.workspace)
        (folder / name).write_bytes(kept[name])
        return str(caught.value)

    plan = json.loads(kept["draws.json"])
    plan["draws"][0]["seed"] = "chosen"
    said = refusal("draws.json", json.dumps(plan).encode())
    assert said.startswith(f"{folder / 'sample.parquet'}: sample: unit N")
    for broken in (b"", b"{}", b"null", b"\xff", kept["draws.json"] + b"}"):
        assert refusal("draws.json", broken) == (
            f"{folder / 'draws.json'}: broken; put it back from a backup, the sample hangs on it"
        )
    for edges in ([float("nan")], [float("inf"), 0.5], [0.1, 0.9]):
        said = refusal("draws.json", json.dumps(plan | {"edges": edges}).encode())
        assert said.startswith(f"{folder / 'draws.json'}: broken; put it back from a backup")
    plan["draws"][0]["units"] = {"unflagged": 99}
    assert refusal("draws.json", json.dumps(plan).encode()).startswith(
        f"{folder / 'draws.json'}: draw 1: 99 units of "
    )
    twice = pa.concat_tables([pq.read_table(folder / "sample.parquet")] * 2)
    assert refusal("sample.parquet", table_bytes(twice)) == (
        f"{folder / 'sample.parquet'}: sample: an image occurs twice; put it and draws.json back "
        "from a backup"
    )
    assert refusal("population.parquet", kept["population.parquet"] + b"x") == (
        f"{folder / 'population.parquet'}: not the file that the sample was drawn from; put it "
        "back from a backup"
    )
    for name in ("gone.parquet", "sample.parquet"):
        assert refusal(name, kept[name][:-9]).startswith(
            f"{folder / name}: not a readable Parquet table ("
        )
    write_table(folder / "gone.parquet", [{"group": "X", "draw": 1}], GONE_SCHEMA)
    with pytest.raises(WorkspaceError) as caught:
        now(campaign.workspace)
    assert str(caught.value) == (
        f"{folder / 'draws.json'}: sample: units that left it are unknown or occur twice, first X; "
        "put it and gone.parquet back from a backup"
    )


@st.composite
def materials(draw):
    """Any small population, what was drawn of it, and what is said of its images."""
    strata = ("", "flagged, 1 of 2", "unflagged")
    units = draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(strata)), max_size=9))
    rows = [
        (f"N{number}{image}", f"N{number}0", stratum)
        for number, (size, stratum) in enumerate(units)
        for image in range(size)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    population = Population(pa.table(columns, schema=POPULATION_SCHEMA))
    drawn = Drawn.nothing(population)
    for number in range(draw(st.integers(1, 2))):
        pools = drawn.after(population, {}, NOBODY).pools(population, number + 1)
        wanted = {name: draw(st.integers(0, pool)) for name, pool in pools.items()}
        drawn = drawn.after(population, wanted, NOBODY, f"dice {number}")
    answers = {
        image_id: draw(st.sampled_from((OPEN, CLEARED, FOUND)))
        for image_id in columns[0]
        if draw(st.booleans())
    }
    return EstimateInputs("any", None, population, drawn, {}, answers, (), ("Gun", "Knife"))


NOBODY = np.array([], np.int64)
OPEN, CLEARED = Answer(False, reason="unsure: Ann"), Answer(True)
FOUND = Answer(True, True, frozenset({"Gun"}))


@given(materials(), st.floats(0.01, 0.99), st.sampled_from((1.0, 0.5)))
def test_whatever_is_answered_the_numbers_agree(material, confidence, sensitivity):
    bound = BoundSettings(confidence, sensitivity)

    result = estimate_from(Workspace("nowhere"), material, EstimateSettings(bound=bound))

    units, images = len(material.population.groups), len(material.population.table)
    assert 0 <= result.lower <= result.upper <= units - result.found
    assert result.upper <= result.images <= images
    assert result.estimate is None or 0 <= result.estimate <= units - result.found
    there = result.found + result.upper
    assert result.recall == (result.found / there if there else 1)
    spots = result.spots
    assert spots.drawn == spots.counted + spots.behind + spots.unanswered
    assert set(spots.to_settle.values()) <= {"unsure: Ann"}
    assert result.by_class["Gun"]["found"] == result.found
    assert result.by_class["Knife"]["found"] == 0
