"""What planted threats say of reviewers, and what that makes of the bound."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import CANDIDATE_SCHEMA, DECISION_SCHEMA, TASK_SCHEMA, Rule
from sixrayd.core.tables import read_table, write_table
from sixrayd.estimate.planted import planted_counts
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import SampleSettings
from sixrayd.estimate.stage import estimate, gather
from sixrayd.statistics.assumptions import assumptions
from sixrayd.statistics.evidence import Planted
from sixrayd.statistics.missed import percent_down
from sixrayd.statistics.sensitivity import Sensitivity
from sixrayd.statistics.settings import BoundSettings
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.workspaces import BOB, MISSED, NOTHING, UNSURE, Says, build_mine, build_review

COLUMNS = ("image_id", "kind", "label", "x1", "y1", "x2", "y2", "with_proposals")


@pytest.fixture
def campaign(tmp_path):
    """Forty single images, four of them flagged and reviewed; twelve of the others drawn."""
    campaign = Campaign.build(tmp_path / "ws", [1] * 40, [1, 2, 3, 4])
    campaign.find(name_of(1))
    campaign.clear(*map(name_of, (2, 3, 4)))
    draw_sample(campaign.workspace, SampleSettings(units=12, seed="dice"))
    return campaign


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


def test_a_threat_that_is_listed_twice_measures_once(campaign):
    """Rows that are repeated, or a copy of the folder, would narrow the bound."""
    rows = [(f"N{n:07d}", "planted", "Gun", 10, 10, 30, 30, True) for n in (900, 901)]
    answers = [Says("N0000900", MISSED, (("Gun", 10, 10, 30, 30, "drawn", ""),))]
    plant(campaign, [*rows, *rows[:1] * 9], [*answers, Says("N0000901", NOTHING)])
    folder = campaign.workspace.folder("review", "first")
    shutil.copytree(folder, folder.with_name("copy"))

    counts = planted_counts(campaign.workspace, Rule.ADJUDICATOR)

    assert counts == (Planted("Gun", False, 2, 1, 1),)


def test_a_miss_that_is_ended_stays_a_miss(campaign):
    """Whoever withdrew or took back what missed a threat would make reviewers seem better."""
    rows = [(f"N{n:07d}", "planted", "Gun", 10, 10, 30, 30, True) for n in (900, 901, 902)]
    ended = Says("N0000901", NOTHING, version=2, annotation=7, withdrawn=True)
    hit = Says("N0000900", MISSED, (("Gun", 10, 10, 30, 30, "drawn", ""),))
    plant(campaign, rows, [hit, Says("N0000901", NOTHING, annotation=7), ended])
    assert planted_counts(campaign.workspace, Rule.ADJUDICATOR) == (Planted("Gun", False, 2, 1, 1),)


def test_planted_threats_measure_and_widen(campaign):
    campaign.clear(*(row[0] for row in sample_rows(campaign.workspace)))
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

    counts = planted_counts(campaign.workspace, Rule.ADJUDICATOR)
    assert counts == (Planted("Gun", False, 3, 1, 1), Planted("Gun", True, 2, 1, 1))
    result = estimate(campaign.workspace)
    assert result.found == perfect.found  # decisions on planted images are nobody's finds
    assert result.upper > perfect.upper
    seen = [Sensitivity(1, 2, 1).lower(0.005), Sensitivity(1, 3, 1).lower(0.005)]
    assert result.rests_on[5:7] == (
        "sensitivity with proposals: measured, 1 of 2 planted threats found; counts as "
        f"{percent_down(seen[0])}",
        "sensitivity without proposals: measured, 1 of 3 planted threats found; counts as "
        f"{percent_down(seen[1])}",
    )
    assert result.planting_helps
    strict = planted_counts(campaign.workspace, Rule.STRICTEST)
    assert strict == (Planted("Gun", False, 3, 1, 1), Planted("Gun", True, 2, 2, 2))
    (campaign.workspace.folder("review", "first") / "planted/detections.parquet").unlink()
    plant(campaign, rows, answers, None)
    assert planted_counts(campaign.workspace, Rule.ADJUDICATOR) == (Planted("Gun", False, 6, 3, 3),)


def test_planted_threats_that_nobody_was_sent_are_counted(campaign):
    """What was sent, answered or not, needs no more of the queue."""
    rows = [(f"N{n:07d}", "planted", "Gun", 10, 10, 30, 30, True) for n in (900, 901, 902)]
    plant(campaign, rows, [Says("N0000900", NOTHING)])
    path = campaign.workspace.folder("review", "first") / "tasks.parquet"
    sent = read_table(path, TASK_SCHEMA).to_pylist()
    sent += [sent[0] | {"image_id": image_id} for image_id in ("N0000900", "N0000901")]
    write_table(path, sent, TASK_SCHEMA)
    assert estimate(campaign.workspace).planted_unsent == {"first": 1}


def test_planted_threats_are_settled_like_any_other_image(campaign):
    box = (1, 1, 9, 9)
    rows = [(f"N{n:07d}", "planted", "Gun", *box, False) for n in range(900, 905)]
    answers = [
        Says("N0000900", MISSED, (("Knife", *box, "drawn", ""),)),
        Says("N0000901", MISSED, (("Bomb", *box, "drawn", ""),)),
        Says("N0000902", MISSED, GUN),
        Says("N0000902", NOTHING, reviewer=BOB),
        Says("N0000903", MISSED, (("Pistol", *box, "drawn", ""), ("Gun", *box, "drawn", ""))),
        Says("N0000904", UNSURE),
    ]
    plant(campaign, rows, answers)

    counts = {rule: planted_counts(campaign.workspace, rule) for rule in Rule}
    assert counts[Rule.ADJUDICATOR] == (Planted("Gun", False, 5, 2, 1),)
    assert counts[Rule.MAJORITY] == (Planted("Gun", False, 5, 2, 1),)
    assert counts[Rule.STRICTEST] == (Planted("Gun", False, 5, 3, 2),)


def test_a_new_review_does_not_forget_what_was_planted_before(campaign):
    plant(
        campaign, [("N0000900", "planted", "Gun", 1, 1, 9, 9, False)], [Says("N0000900", NOTHING)]
    )
    first = estimate(campaign.workspace)
    build_mine(campaign.workspace, "second", [name_of(30)])
    build_review(campaign.workspace, "second", [name_of(30)], [])

    second = gather(campaign.workspace, "second", Rule.ADJUDICATOR)

    assert second.planted == (Planted("Gun", False, 1, 0, 0),)
    assert second.outcome(BoundSettings()).evidence.without_proposals == Sensitivity(1, 1, 0)
    assert first.evidence["without_proposals"]["planted"] == 1


def test_nothing_planted_or_answered(campaign):
    assert planted_counts(campaign.workspace, Rule.ADJUDICATOR) == ()
    plant(campaign, [("N0000900", "planted", "Gun", 1, 1, 9, 9, True)], [])
    assert planted_counts(campaign.workspace, Rule.ADJUDICATOR) == ()
    path = campaign.workspace.folder("review", "first") / "planted/planted.parquet"
    threat = pq.read_table(path).to_pylist()[0]
    for changed in ({"x1": "left"}, {"x1": None}, {"label": {"a": 1}}):
        pq.write_table(pa.Table.from_pylist([threat | changed]), path)
        with pytest.raises(WorkspaceError, match=r"not a readable table of planted threats$"):
            planted_counts(campaign.workspace, Rule.ADJUDICATOR)
    path.write_bytes(b"x")
    with pytest.raises(WorkspaceError, match=r"not a readable table of planted threats$"):
        planted_counts(campaign.workspace, Rule.ADJUDICATOR)


@pytest.mark.parametrize("again", [{"units": 3}, {"looks": (3,)}])
def test_checks_of_a_sample_that_is_gone_are_not_counted_as_the_queue(campaign, again):
    """What is seen with proposals would stand for them, which is four times as much."""
    checks = [row[0] for row in sample_rows(campaign.workspace)]
    campaign.clear(*checks[5:])
    campaign.find(*checks[:5])
    names = [f"N{n:07d}" for n in range(500, 900)]
    rows = [(name, "planted", "Gun", 1, 1, 9, 9, True) for name in names]
    answers = [Says(name, MISSED, GUN) for name in names[:250]]
    plant(campaign, rows, [*answers, *(Says(name, NOTHING) for name in names[250:])], names[:200])
    tasks = campaign.workspace.folder("review", "first") / "tasks.parquet"
    sent = read_table(tasks, TASK_SCHEMA).to_pylist()
    checked = [sent[0] | {"image_id": image, "kind": "spot check"} for image in checks]
    write_table(tasks, [*sent, *checked], TASK_SCHEMA)
    before = estimate(campaign.workspace)
    shutil.rmtree(campaign.workspace.folder("estimate", "first"))

    draw_sample(campaign.workspace, SampleSettings(seed="other dice", **again))
    material = gather(campaign.workspace, "", Rule.ADJUDICATOR)
    after = material.outcome(BoundSettings())

    assert (after.bound.found, after.bound.upper >= before.upper) == (6, True)
    assert after.bound.sensitivity_with == after.bound.sensitivity_without < 0.25
    assert "count at the lower of both" in " ".join(assumptions(after, BoundSettings()))
