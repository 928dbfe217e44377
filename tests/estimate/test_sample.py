"""Drawing spot checks: what is drawn, what a killed draw leaves, and what is refused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.command import estimate as command
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import SampleSettings
from sixrayd.estimate.stage import estimate
from tests.estimate.campaigns import Campaign, name_of, sample_rows, set_groups
from tests.workspaces import UNSURE, Says, build_mine

SIZES = [1, 1, 2, 1, 3, 1, 1, 1, 1, 1, 1, 1]  # of twelve groups: fifteen images
FLAGGED = [1, 2, 3, 6, 10]  # of the groups 1, 2, 3, 6 and 10


@pytest.fixture
def campaign(tmp_path):
    return Campaign.build(tmp_path / "ws", SIZES, FLAGGED)


def draw(campaign, units, seed="", name=""):
    return draw_sample(campaign.workspace, SampleSettings(name, units, seed))


def test_the_first_draw_fixes_strata_seed_and_order(campaign):
    campaign.clear(name_of(1))
    result = draw(campaign, 6, "dice")

    folder = campaign.workspace.folder("estimate", "first")
    population = pq.read_table(folder / "population.parquet").to_pylist()
    strata = {row["group"]: row["stratum"] for row in population}
    assert strata == {name_of(1): ""} | {
        name_of(n): "flagged, 1 of 2" if n in (2, 3) else "flagged, 2 of 2" for n in (2, 3, 6, 10)
    } | {name_of(n): "unflagged" for n in (5, 9, 11, 12, 13, 14, 15)}
    assert len(population) == 15
    plan = json.loads((folder / "draws.json").read_text("utf-8"))
    assert plan["draws"][0]["seed"] == "dice"
    assert (
        plan["population"]
        == hashlib.sha256((folder / "population.parquet").read_bytes()).hexdigest()
    )
    assert plan["edges"] == [pytest.approx(0.775)]  # half-way between 0.8 and 0.75
    assert result.units == {"flagged, 1 of 2": 1, "flagged, 2 of 2": 1, "unflagged": 4}
    assert result.pools == {"flagged, 1 of 2": 2, "flagged, 2 of 2": 2, "unflagged": 7}
    order = sorted(
        (name_of(n) for n in (5, 9, 11, 12, 13, 14, 15)),
        key=lambda unit: hashlib.sha256(f"dice/{unit}".encode()).digest(),
    )
    rows = sample_rows(campaign.workspace)
    drawn = [group for _, group, stratum, _, _ in rows if stratum == "unflagged"]
    assert list(dict.fromkeys(drawn)) == order[:4]
    assert len(rows) == result.images
    assert result.units_in_all == 6
    assert not result.finished


def test_further_draws_leave_what_was_drawn(campaign):
    draw(campaign, 4, "dice")
    before = sample_rows(campaign.workspace)
    drawn = {group for _, group, _, _, _ in before}
    others = [name_of(n) for n in (9, 11, 12, 13, 14, 15) if name_of(n) not in drawn]
    campaign.clear(*others[:2])

    result = draw(campaign, 3)

    rows = sample_rows(campaign.workspace)
    assert rows[: len(before)] == before
    added = {group for _, group, _, _, number in rows if number == 2}
    assert len(added) == 3
    assert not added & (drawn | set(others[:2]))
    assert (result.draw, result.units_in_all, sum(result.pools.values())) == (2, 7, 6)
    gone = pq.read_table(campaign.workspace.folder("estimate", "first") / "gone.parquet")
    assert gone.to_pylist() == [{"group": unit, "draw": 2} for unit in others[:2]]
    assert draw(campaign, 99).units_in_all == 10
    with pytest.raises(WorkspaceError, match=r"every unit has been drawn or decided$"):
        draw(campaign, 1)


def test_each_draw_has_a_fresh_seed(campaign):
    for _ in range(3):
        draw(campaign, 2)

    folder = campaign.workspace.folder("estimate", "first")
    plan = json.loads((folder / "draws.json").read_text("utf-8"))
    seeds = [made["seed"] for made in plan["draws"]]
    assert len(set(seeds)) == 3
    assert all(len(seed) == 32 for seed in seeds)
    assert "seed" not in plan


def test_nobody_is_asked_twice_about_an_image(campaign):
    campaign.clear(name_of(7))
    campaign.pull(Says(name_of(8), UNSURE))  # in one group with 6 and 7

    draw(campaign, 12)

    asked = [row[0] for row in sample_rows(campaign.workspace) if row[1] == name_of(6)]
    assert asked == [name_of(6), name_of(8)]


def test_equal_seeds_draw_alike_and_others_do_not(tmp_path):
    samples = []
    for n, seed in enumerate(("dice", "dice", "other", "")):
        campaign = Campaign.build(tmp_path / str(n), SIZES, FLAGGED)
        draw(campaign, 6, seed)
        folder = campaign.workspace.folder("estimate", "first")
        samples.append((folder / "sample.parquet").read_bytes())

    assert samples[0] == samples[1]
    assert len(set(samples)) == 3


_KILLED = """
import os, sys
from pathlib import Path
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import SampleSettings

root, draw, seed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for dies_at in range(12):  # two folders are synced, then each of five files and its folder
    if os.fork():
        os.wait()
        continue
    synced = iter(range(99))
    sync = os.fsync
    os.fsync = lambda handle: os._exit(9) if next(synced) == dies_at else sync(handle)
    draw_sample(Workspace(root / str(dies_at)), SampleSettings("", 3, seed))
    os._exit(0)
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_draw_ends_in_the_same_bytes(tmp_path, number):
    campaign = Campaign.build(tmp_path / "ws", SIZES, FLAGGED)
    if number == 2:
        draw(campaign, 4, "dice")
        campaign.clear(name_of(15), name_of(14))
    seed = "dice" if number == 1 else "more dice"
    for dies_at in range(12):
        shutil.copytree(tmp_path / "ws", tmp_path / "killed" / str(dies_at))
    draw(campaign, 3, seed)
    whole = campaign.workspace.folder("estimate", "first")

    words = [sys.executable, "-c", _KILLED, str(tmp_path / "killed"), str(number), seed]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[2])

    finished = []
    # A second draw makes no folder and writes no population.
    for dies_at in range(12 if number == 1 else 8):
        workspace = Workspace(tmp_path / "killed" / str(dies_at))
        folder = workspace.folder("estimate", "first")
        if dies_at < (11 if number == 1 else 7):  # else only the folder's sync was missing
            finished.append(draw_sample(workspace, SampleSettings("", 3, seed)).finished)
        for name in ("population.parquet", "gone.parquet", "sample.parquet"):
            assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(finished) == [False] * (7 if number == 1 else 3) + [True] * 4


def test_a_finished_draw_keeps_what_was_counted_at_its_time(campaign):
    draw(campaign, 4, "dice")
    folder = campaign.workspace.folder("estimate", "first")
    (folder / "sample.parquet").unlink()
    plan = (folder / "draws.json").read_bytes()
    with pytest.raises(WorkspaceError, match=r"draw 1 was interrupted; run `sixrayd estimate --s"):
        estimate(campaign.workspace)

    result = draw(campaign, 9)

    assert result.finished
    assert result.units_in_all == 4
    assert (folder / "draws.json").read_bytes() == plan


def test_what_is_refused(campaign):
    with pytest.raises(SettingsError, match=r"^--sample 0: expected 1 or more$"):
        SampleSettings(units=0)
    draw(campaign, 2, "dice")
    with pytest.raises(SettingsError, match=r"^--seed: draw 1 had it, so everybody knows what"):
        draw(campaign, 2, "dice")
    with pytest.raises(
        WorkspaceError, match=r"^--name x: neither a review nor a mining; there are "
    ):
        draw(campaign, 2, name="x")
    folder = campaign.workspace.folder("estimate", "first")
    sample = (folder / "sample.parquet").read_bytes()
    (folder / "sample.parquet").unlink()
    with pytest.raises(SettingsError, match=r"^--seed: the interrupted draw 1 has another; leave"):
        draw(campaign, 2, "other")
    (folder / "sample.parquet").write_bytes(sample)
    plan = (folder / "draws.json").read_bytes()
    for broken in (plan[:50], b"[]", plan.replace(b'"number": 1', b'"number": 1.0')):
        (folder / "draws.json").write_bytes(broken)
        with pytest.raises(WorkspaceError, match=r"draws\.json: broken; put it back from a back"):
            draw(campaign, 2)
    (folder / "draws.json").write_bytes(plan)
    set_groups(campaign.workspace, [2, *SIZES[2:]])
    with pytest.raises(WorkspaceError, match="the release has other negatives or near-duplicates"):
        draw(campaign, 2)
    (folder / "population.parquet").write_bytes(b"x")
    with pytest.raises(WorkspaceError, match="not the file that the sample was drawn from"):
        draw(campaign, 2)


def test_a_sample_that_was_drawn_serves_whatever_is_reviewed_later(campaign):
    assert draw(campaign, 1).name == "first"
    begun = campaign.workspace.folder("review", "second")
    begun.mkdir(parents=True)
    (begun / "project.json").write_text("{}")
    result = draw(campaign, 12)
    assert (result.name, result.draw) == ("first", 2)


def test_before_any_sample_the_name_is_the_review_begun_last_else_the_newest_mining(campaign):
    folder = campaign.workspace.folder("review", "first")
    shutil.rmtree(folder)
    begun = campaign.workspace.folder("review", "second")
    begun.mkdir(parents=True)
    (begun / "project.json").write_text("{}")
    result = draw(campaign, 12)  # a review without a mining, but no other was begun
    assert (result.name, dict(result.units)) == ("second", {"unflagged": 12})


def test_the_sample_drawn_last_serves_though_a_clock_was_ahead_at_the_first(campaign):
    draw(campaign, 2)
    plan = campaign.workspace.folder("estimate", "first") / "draws.json"
    (plan.parents[1] / ".dates.json").unlink()
    os.utime(plan, (2**32, 2**32))
    build_mine(campaign.workspace, "second", campaign.flagged)
    draw(campaign, 2, name="second")
    assert draw(campaign, 2).name == "second"


def test_nothing_mined_yet(tmp_path):
    with pytest.raises(WorkspaceError, match=r"nothing yet; run `sixrayd mine -w .*` first$"):
        draw_sample(Workspace(tmp_path), SampleSettings())


def test_what_the_command_prints(campaign, runner):
    words = ["-w", str(campaign.workspace.root), "--sample", "6", "--seed", "dice"]
    said = runner.invoke(command, words, catch_exceptions=False)

    folder = campaign.workspace.folder("estimate", "first")
    rows = sample_rows(campaign.workspace)
    lines = said.stdout.splitlines()
    assert lines[:5] == [
        f"draw 1: 6 groups, {len(rows)} images",
        "          2 of 3 undecided  flagged, 1 of 2",
        "          1 of 2 undecided  flagged, 2 of 2",
        "          3 of 7 undecided  unflagged",
        f"6 groups drawn in all: {folder / 'sample.parquet'}",
    ]
    assert lines[5].startswith("commitment, to be published before these are reviewed: ")
    assert lines[6:] == [f"next: sixrayd review serve --background {' '.join(words[:2])}"]
    document = json.loads(runner.invoke(command, [*words[:2], "--sample", "2", "--json"]).stdout)
    assert (document["draw"], document["units_in_all"]) == (2, 8)
    assert document["commitment"] != lines[5].split()[-1]


@pytest.mark.parametrize("kept", [None, 2, 3])
def test_nothing_is_drawn_beside_a_sample_that_lost_rows(campaign, kept):
    draw(campaign, 2)
    draw(campaign, 2)
    folder = campaign.workspace.folder("estimate", "first")
    sample, plan = folder / "sample.parquet", (folder / "draws.json").read_bytes()
    rows = pq.read_table(sample)
    assert rows.num_rows > 3
    sample.unlink()
    if kept:
        pq.write_table(rows.slice(rows.num_rows - kept), sample)
    lost = r"was drawn and is not in it; put it and draws.json back from a backup$"
    for go_on in (lambda: draw(campaign, 2), lambda: estimate(campaign.workspace)):
        with pytest.raises(WorkspaceError, match=lost):
            go_on()
    assert (folder / "draws.json").read_bytes() == plan
    pq.write_table(rows, sample)
    assert draw(campaign, 2).draw == 3
