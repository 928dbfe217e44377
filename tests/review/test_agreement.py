"""Agreement of a review's reviewers, by hand on a few images, and as a file."""

import json
from dataclasses import asdict, astuple, replace

import pytest

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.records import ADJUDICATION, INDEX_SCHEMA, Rule
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import said_in_all
from sixrayd.evaluation.bootstrap import Interval
from sixrayd.review import agreement as agreements
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


def test_who_changed_anothers_answer_is_not_compared_with_him(tmp_path):
    change = Says(IDS[0], NOTHING, (), CID, annotation=1001, decided_at="2026-01-02T10:01:00Z")
    result = agreement(built(tmp_path, [*ANSWERS, change]), AgreementSettings(resamples=20))
    pairs = {pair.reviewers: pair.coefficients.images for pair in result.pairs}
    assert pairs == {(ANN, BOB): 5, (ANN, CID): 1, (BOB, CID): 1}


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


def test_no_older_review_stands_for_one_that_was_killed(tmp_path):
    workspace = built(tmp_path)
    folder = tmp_path / "review/second"
    folder.mkdir()
    (folder / "project.json").write_text("{}")
    with pytest.raises(WorkspaceError) as caught:
        agreement(workspace)
    assert str(caught.value).startswith(
        f"{folder / 'run.json'}: missing; what was begun is not finished; `sixrayd status -w "
    )


def test_it_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_agreement(agreement(built(tmp_path), AgreementSettings(resamples=200)))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "conflicts open 2" in lines
    assert f"{ANN} 5 0.60 0.80 0.50 0.33 0.38 0.44 0.20" in lines
    assert f"{ANN} 1 1.00 none 1.00 none none 1.00 none" in lines
    assert f"{BOB} 1 0 2 0 0" in lines
    assert any(line.startswith("AC1 0.") and " to " in line for line in lines)


def test_a_kappa_that_few_images_do_not_define_is_said_to_be_none(tmp_path, capsys):
    alone = [Says(image_id, NOTHING, (), ANN) for image_id in IDS]
    result = agreement(built(tmp_path, [*alone, Says(IDS[0], MISSED, (GUN,), BOB)]))
    print_agreement(result)
    assert result.overall.kappa is None
    assert (
        "kappa is not defined: two or more answered 1 image, too few, unlike the others, or all "
        "alike\n"
    ) in capsys.readouterr().out


def two_say(root, cells):
    """A review of two people; `cells` counts images by what the one and the other said."""
    answers, ids = [], []
    for (first, second), count in cells.items():
        for _ in range(count):
            ids.append(f"N{len(ids) + 1:07d}")
            answers += [Says(ids[-1], first, (), ANN), Says(ids[-1], second, (), BOB)]
    workspace = Workspace(root)
    build_shards(workspace, [Picture(IDS[0])])  # groups of the others are their own
    build_mine(workspace, "first", ids)
    build_review(workspace, "first", ids, [answers])
    return workspace


def table(*rows):
    """Cells of a table of three categories, the first reviewer's in rows."""
    verdicts = (MISSED, NOTHING, UNSURE)
    return {
        (one, two): count
        for one, row in zip(verdicts, rows, strict=True)
        for two, count in zip(verdicts, row, strict=True)
    }


@pytest.mark.parametrize(
    ("cells", "percent", "kappa"),
    [
        # Cohen 1960, Educ. Psychol. Meas. 20:37-46.
        (table((88, 10, 2), (14, 40, 6), (18, 10, 12)), 0.70, 0.492),
        # Fleiss, Cohen and Everitt 1969, Psychol. Bull. 72:323-327.
        (table((106, 10, 4), (22, 28, 10), (2, 12, 6)), 0.70, 0.429),
        # Feinstein and Cicchetti 1990: the same agreement, and another prevalence.
        (table((40, 9, 0), (6, 45, 0), (0, 0, 0)), 0.85, 0.700),
        (table((80, 10, 0), (5, 5, 0), (0, 0, 0)), 0.85, 0.318),
    ],
)
def test_published_tables_of_two(tmp_path, cells, percent, kappa):
    result = agreement(two_say(tmp_path, cells), AgreementSettings(resamples=20))
    (pair,) = result.pairs
    assert pair.coefficients.images == result.shared == sum(cells.values())
    found = values(pair.coefficients)
    assert (round(found["percent"], 6), round(found["kappa"], 3)) == (percent, kappa)
    # Of two who answer everything, percent and alpha of all are those of the pair.
    overall = values(result.overall)
    assert {k: overall[k] for k in found if k != "kappa"} == {
        k: found[k] for k in found if k != "kappa"
    }


def test_two_who_always_agree(tmp_path):
    cells = {(MISSED, MISSED): 4, (NOTHING, NOTHING): 6}
    result = agreement(two_say(tmp_path, cells), AgreementSettings(resamples=50))
    found = result.pairs[0].coefficients
    for name in ("percent", "positive", "negative", "kappa", "alpha", "ac1"):
        assert getattr(found, name) == Interval(1.0, 1.0, 1.0), name
    assert found.iou is None  # nobody drew a box
    assert (result.open_conflicts, result.settled_conflicts) == (0, 0)


def test_two_who_never_agree(tmp_path):
    result = agreement(two_say(tmp_path, {(MISSED, NOTHING): 5, (NOTHING, MISSED): 5}))
    found = values(result.pairs[0].coefficients)
    assert (found["percent"], found["positive"], found["negative"]) == (0, 0, 0)
    assert found["kappa"] == pytest.approx(-1)
    assert (result.open_conflicts, len(result.scores)) == (10, 2)
    # Nothing is settled, so nobody is compared with it.
    assert {astuple(score)[1:] for score in result.scores} == {(0, 0, 0, 0, 0)}


def test_where_nobody_sees_contraband_there_is_no_positive_agreement(tmp_path):
    result = agreement(two_say(tmp_path, {(NOTHING, NOTHING): 5, (NOTHING, UNSURE): 1}))
    found = result.pairs[0].coefficients
    assert found.positive is None
    assert found.negative.value == pytest.approx(10 / 11)
    assert found.kappa.value == pytest.approx(0)


def test_another_seed_draws_other_intervals_of_the_same_values(tmp_path):
    workspace = two_say(tmp_path, table((8, 2, 1), (3, 6, 2), (1, 1, 4)))
    one, two = (agreement(workspace, AgreementSettings(seed=n, resamples=99)) for n in (0, 1))
    assert values(one.overall) == values(two.overall)
    assert one.overall != two.overall
    assert agreement(workspace, AgreementSettings(seed=0, resamples=99)) == one


def test_a_broken_table_of_decisions_leaves_the_last_result(tmp_path):
    workspace = built(tmp_path)
    agreement(workspace, AgreementSettings(resamples=20))
    folder = workspace.folder("review", "first")
    before = (folder / "agreement.json").read_bytes()
    (folder / "decisions" / "00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkspaceError, match=r"00001\.parquet: not a readable Parquet table"):
        agreement(workspace, AgreementSettings(resamples=20))
    assert (folder / "agreement.json").read_bytes() == before


def test_a_review_that_is_not_there_is_named(tmp_path):
    workspace = built(tmp_path)
    with pytest.raises(WorkspaceError) as caught:
        agreement(workspace, AgreementSettings("other"))
    path = workspace.folder("review", "other") / "run.json"
    assert str(caught.value) == (
        f"{path}: missing; run `sixrayd review push -w {tmp_path}` first, or name one that is "
        "there: first"
    )
    assert not path.parent.exists()


def test_a_long_name_is_folded_and_cuts_no_number(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    long = f"{'a' * 40}@example.org"
    answers = [replace(says, reviewer=long) if says.reviewer == ANN else says for says in ANSWERS]
    print_agreement(agreement(built(tmp_path, answers), AgreementSettings(resamples=20)))
    said = capsys.readouterr().out
    assert "…" not in said
    assert all(len(line) <= 80 for line in said.splitlines())
    shown = "".join(line.split()[0] for line in said.splitlines() if line.strip())
    assert long in shown


def test_one_reviewer_alone_is_printed_without_pairs(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_agreement(agreement(built(tmp_path, [Says(IDS[0], NOTHING)])))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:5] == [
        "of the agreement images",
        "answered 1",
        "by two or more 0",
        "conflicts open 0",
        "conflicts settled 0",
    ]
    assert "agree none" in lines and "IoU none" in lines
    assert not any(line.startswith("pair ") for line in lines)
    assert f"{ANN} 0 0 0 0 0" in lines


def test_pairs_that_share_the_most_images_are_shown_and_others_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(agreements, "_MOST_PAIRS", 1)
    result = agreement(built(tmp_path), AgreementSettings(resamples=20))

    assert [pair.reviewers for pair in result.pairs] == [(ANN, BOB)]
    assert result.pairs_left_out == 2


def test_many_people_who_answer_the_same_images_are_refused(tmp_path):
    crowd = [f"{n:03d}@example.org" for n in range(100)]
    answers = [Says(image_id, MISSED, (), who) for image_id in IDS for who in crowd]
    workspace = built(tmp_path, answers)
    agreements._check_pairs(tmp_path, said_in_all(workspace))
    more = {
        f"{k}{image_id}": said
        for k in range(9)
        for image_id, said in said_in_all(workspace).items()
    }

    with pytest.raises(WorkspaceError) as error:
        agreements._check_pairs(tmp_path, more)
    assert str(error.value) == (
        f"{tmp_path}: 311,850 pairs of answers, 311,850 of them of two who saw contraband; at most "
        "3,000,000 and 300,000 are compared: have fewer people answer the same images"
    )
