"""Agreement of a review's reviewers, by hand on a few images, and as a file."""

import json
from dataclasses import asdict

import pytest

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import read_table, write_table
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.records import ADJUDICATION, INDEX_SCHEMA, Rule
from sixrayd.core.workspace import Workspace
from sixrayd.evaluation.bootstrap import Interval
from sixrayd.review.agreement import Coefficients, ReviewerScore, agreement, print_agreement
from sixrayd.review.settings import AgreementSettings
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

ANN, BOB, CID, DORA = (f"{name}@example.org" for name in ("ann", "bob", "cid", "dora"))
IDS = [f"N{n:07d}" for n in range(1, 8)]
KNIFE = ("Knife", 10, 20, 40, 50, "drawn", "")
LOW = ("Knife", 10, 20, 40, 44, "drawn", "")  # IoU 0.8 with it
WRENCH = ("Wrench", 10, 20, 40, 50, "drawn", "")
GUN = ("Gun", 60, 10, 80, 30, "drawn", "")
ANSWERS = [
    # ann and bob: yes yes, yes yes, yes no, no no, no unsure; cid answers two images, one alone.
    *(Says(IDS[0], MISSED, (KNIFE, GUN), ANN), Says(IDS[0], MISSED, (LOW,), BOB)),
    *(Says(IDS[1], MISSED, (KNIFE,), ANN), Says(IDS[1], MISSED, (WRENCH,), BOB)),
    *(Says(IDS[2], MISSED, (GUN,), ANN), Says(IDS[2], NOTHING, (), BOB)),
    *(Says(IDS[3], NOTHING, (), ANN), Says(IDS[3], NOTHING, (), BOB)),
    *(Says(IDS[4], NOTHING, (), ANN), Says(IDS[4], UNSURE, (), BOB)),
    *(Says(IDS[3], NOTHING, (), CID), Says(IDS[5], NOTHING, (), CID)),
    # The adjudicator settles two, and looks at one more of her own accord.
    Says(IDS[2], NOTHING, (), DORA, lane=ADJUDICATION),
    Says(IDS[0], MISSED, (KNIFE,), DORA, lane=ADJUDICATION),
    Says(IDS[5], MISSED, (GUN,), DORA, lane=ADJUDICATION),
]


def built(root, answers=ANSWERS):
    workspace = Workspace(root)
    build_shards(workspace, [Picture(image_id) for image_id in IDS])
    build_mine(workspace, "first", IDS)
    build_review(workspace, "first", IDS, [answers] if answers else [])
    return workspace


def values(coefficients):
    found = {key: value for key, value in asdict(coefficients).items() if isinstance(value, dict)}
    return {key: value["value"] for key, value in found.items()}


def test_a_pair_by_hand(tmp_path):
    result = agreement(built(tmp_path), AgreementSettings(resamples=200))
    assert [pair.reviewers for pair in result.pairs] == [(ANN, BOB), (ANN, CID), (BOB, CID)]
    pair = result.pairs[0].coefficients
    assert (pair.images, pair.clashes) == (5, 1)
    # Shares of yes, no, unsure: ann 3/5, 2/5, 0; bob 2/5, 2/5, 1/5; both 5/10, 4/10, 1/10.
    chance, habits = 0.6 * 0.4 + 0.4 * 0.4, 0.5 * 0.5 + 0.4 * 0.6 + 0.1 * 0.9
    assert values(pair) == pytest.approx(
        {
            "percent": 3 / 5,
            "positive": 4 / 5,
            "negative": 2 / 4,
            "kappa": (0.6 - chance) / (1 - chance),
            "alpha": 1 - 9 * 4 / (100 - 25 - 16 - 1),
            "ac1": (0.6 - habits / 2) / (1 - habits / 2),
            # Image 1: 0.8 and a gun alone; image 2: a knife alone, a wrench alone.
            "iou": 0.8 / 4,
        }
    )


def test_two_who_share_one_image(tmp_path):
    result = agreement(built(tmp_path), AgreementSettings(resamples=20))
    one = Interval(1.0, 1.0, 1.0)
    assert result.pairs[1].coefficients == Coefficients(1, 0, one, None, one, None, None, one, None)


def test_overall_counts_conflicts_and_scores(tmp_path):
    result = agreement(built(tmp_path), AgreementSettings(resamples=200))
    assert (result.name, result.images, result.shared) == ("first", 6, 5)
    assert (result.overall.images, result.overall.clashes) == (5, 1)
    assert result.overall.percent.value == pytest.approx(3 / 5)
    # Of nothing: image 3 has one who is alone in it, 4 has three in agreement, 5 one alone.
    assert result.overall.negative.value == pytest.approx(6 / 8)
    low, value, high = (getattr(result.overall.percent, k) for k in ("low", "value", "high"))
    assert 0 <= low < value < high <= 1
    # Images 1, 2, 3 and 5 are conflicts; 1 and 3 have been settled.
    assert (result.open_conflicts, result.settled_conflicts) == (2, 2)
    # Settled: 1 yes, 3 no, 4 no, 6 yes by the adjudicator against cid.
    assert result.scores == (
        ReviewerScore(ANN, found=1, missed=0, cleared=1, false_alarms=1, unsure=0),
        ReviewerScore(BOB, found=1, missed=0, cleared=2, false_alarms=0, unsure=0),
        ReviewerScore(CID, found=0, missed=1, cleared=1, false_alarms=0, unsure=0),
    )


def test_the_rule_decides_what_is_a_conflict(tmp_path):
    result = agreement(built(tmp_path), AgreementSettings(rule=Rule.STRICTEST, resamples=20))
    assert (result.open_conflicts, result.settled_conflicts) == (0, 0)
    assert result.scores[1] == ReviewerScore(BOB, 2, 0, 2, 0, 1)


def test_an_adjudicator_may_have_been_a_reviewer(tmp_path):
    ruling = Says(IDS[4], MISSED, (GUN,), ANN, lane=ADJUDICATION)
    ruling.decided_at = "2026-02-01T10:00:00+00:00"
    result = agreement(built(tmp_path, [*ANSWERS, ruling]), AgreementSettings(resamples=20))
    assert result.pairs[0].coefficients.images == 5
    assert result.scores[0] == ReviewerScore(ANN, 1, 1, 1, 1, 0)


def test_what_was_withdrawn_is_not_compared(tmp_path):
    again = Says(IDS[0], MISSED, (), BOB, version=2, annotation=1002, withdrawn=True)
    result = agreement(built(tmp_path, [*ANSWERS, again]), AgreementSettings(resamples=20))
    assert result.pairs[0].coefficients.images == 4


def test_near_duplicates_are_drawn_together(tmp_path):
    workspace = built(tmp_path)
    alone = agreement(workspace, AgreementSettings(resamples=400)).overall.percent
    path = workspace.shards / "index.parquet"
    rows = read_table(path, INDEX_SCHEMA).to_pylist()
    write_table(path, [{**row, "group": IDS[0]} for row in rows], INDEX_SCHEMA)
    together = agreement(workspace, AgreementSettings(resamples=400)).overall.percent
    assert together == Interval(alone.value, alone.value, alone.value)
    assert alone.low < alone.value < alone.high


def test_the_file(tmp_path):
    workspace = built(tmp_path / "one")
    result = agreement(workspace, AgreementSettings(resamples=50, seed=3))
    path = workspace.folder("review", "first") / "agreement.json"
    assert result.file == str(path)
    document = json.loads(path.read_text())
    assert document["inputs"].keys() == {"review/first/decisions/00001.parquet"}
    assert (document["rule"], document["seed"]) == ("adjudicator", 3)
    assert document["overall"] == asdict(result.overall)
    assert document["pairs"][1]["coefficients"]["alpha"] is None
    other = built(tmp_path / "two")
    agreement(other, AgreementSettings(resamples=50, seed=3))
    assert (other.root / path.relative_to(workspace.root)).read_bytes() == path.read_bytes()


def test_pseudonyms(tmp_path):
    workspace = built(tmp_path)
    result = agreement(workspace, AgreementSettings(resamples=20, pseudonyms=True))
    alias = pseudonym(workspace)
    assert {score.reviewer for score in result.scores} == {alias(ANN), alias(BOB), alias(CID)}
    text = (workspace.folder("review", "first") / "agreement.json").read_text()
    assert "example.org" not in text


def test_nothing_to_compare(tmp_path):
    with pytest.raises(WorkspaceError) as caught:
        agreement(built(tmp_path / "none", []))
    folder = tmp_path / "none/review/first"
    assert str(caught.value) == (
        f"{folder}: no decisions; once somebody has answered, run "
        f"`sixrayd review pull -w {tmp_path / 'none'}`"
    )
    alone = agreement(built(tmp_path / "alone", [Says(IDS[0], NOTHING)]))
    assert (alone.images, alone.shared, alone.pairs) == (1, 0, ())
    assert alone.overall == Coefficients(0, 0, *[None] * 7)
    assert alone.scores == (ReviewerScore(ANN, 0, 0, 0, 0, 0),)
    with pytest.raises(SettingsError, match=r"^resamples: need 1 or more, got 0$"):
        AgreementSettings(resamples=0)


def test_it_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_agreement(agreement(built(tmp_path), AgreementSettings(resamples=200)))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "conflicts open 2" in lines
    assert f"{ANN} 5 0.60 0.80 0.50 0.33 0.38 0.44 0.20" in lines
    assert f"{ANN} 1 1.00 none 1.00 none none 1.00 none" in lines
    assert f"{BOB} 1 0 2 0 0" in lines
    assert any(line.startswith("AC1 0.") and " to " in line for line in lines)
