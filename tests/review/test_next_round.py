import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.records import TRAINING_SCHEMA, Rule
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import said_in_all
from sixrayd.review.next_round import NextRound, next_round
from sixrayd.review.settings import NextSettings
from tests.workspaces import (
    BOB,
    MISSED,
    NOTHING,
    UNSURE,
    Picture,
    Says,
    Small,
    build_mine,
    build_review,
    build_shards,
    build_splits,
    finish,
)

GUN = ("Gun", 1, 2, 30, 40, "drawn", "")


def rows(result):
    return {
        row["image_id"]: (row["role"], [tuple(box.values()) for box in row["boxes"]])
        for row in read_table(Path(result.file), TRAINING_SCHEMA).to_pylist()
    }


def reviewed(root, *answers, flagged=("N0000001", "N0000002", "N0000003")):
    """Three flagged negatives, one that is not, one of the test side, and two positives."""
    workspace = Workspace(root)
    pictures = [Picture(f"N{n:07d}", "test" if n == 5 else "train") for n in range(1, 6)]
    pictures += [
        Picture("P00001", labels=("Gun",), boxes=(("Gun", 5, 6, 30, 40, False),)),
        Picture("P00002", error="truncated"),
    ]
    build_shards(workspace, pictures)
    build_mine(workspace, "first", flagged)
    build_review(workspace, "first", flagged, [answers])
    return workspace


def test_every_decided_image_is_counted_once(tmp_path):
    workspace = Small().build(tmp_path)

    result = next_round(workspace)

    assert result == NextRound(
        name="first",
        file=str(workspace.folder("review", "first") / "training.parquet"),
        boxes={"Gun": 1, "Knife": 1, "Wrench": 0, "Pliers": 1, "Scissors": 0},
        found=2,
        corrected=0,
        hard_negatives=1,
        left_out=3,
        cleared=1,
        test_side=1,
        not_in_release=0,
    )
    assert rows(result) == {
        "N0000001": ("positive", [("Knife", 10, 20, 40, 50), ("Gun", 50, 10, 70, 30)]),
        "N0000002": ("hard negative", []),
        "N0000004": ("left out", []),  # unsure
        "N0000005": ("left out", []),  # two reviewers differ
        "N0000011": ("left out", []),  # said to hold something, but no box
        "N0000012": ("positive", [("Pliers", 0, 3.4, 20.2, 64)]),  # an alias, cut at the edges
    }
    assert str(result) == (
        "first: 2 positives (2 found, 0 corrected), 1 hard negative, 3 left out; "
        "1 of the test side are not used"
    )
    assert said_in_all(workspace).keys() == {f"N{n:07d}" for n in (1, 2, 3, 4, 5, 10, 11, 12)}


def test_the_same_decisions_give_the_same_bytes(tmp_path):
    workspaces = [Small().build(tmp_path / name) for name in ("one", "two")]
    results = [next_round(workspace) for workspace in (*workspaces, workspaces[0])]

    for file in ("training.parquet", "training.json"):
        written = {(w.folder("review", "first") / file).read_bytes() for w in workspaces}
        assert len(written) == 1, file
    assert results[0] == results[2]


def test_what_it_was_made_of_lies_beside_it(tmp_path):
    workspace = Small().build(tmp_path)

    result = next_round(workspace, NextSettings(rule=Rule.STRICTEST))

    about = json.loads((workspace.folder("review", "first") / "training.json").read_text())
    assert about["settings"] == {"rule": "strictest"}
    decisions = [workspace.folder("review", "first") / f"decisions/0000{n}.parquet" for n in (1, 2)]
    assert about["inputs"] == workspace.inputs(workspace.shards / "run.json", *decisions)
    assert about["summary"]["found"] == result.found == 3  # of two who differ, the stricter


def test_decisions_of_all_reviews_count(tmp_path):
    workspace = reviewed(tmp_path, Says("N0000001", MISSED, (GUN,)))
    build_mine(workspace, "second", ["N0000004"])
    build_review(workspace, "second", ["N0000004"], [[Says("N0000004", NOTHING)]])

    result = next_round(workspace, NextSettings("first"))

    assert rows(result) == {
        "N0000001": ("positive", [("Gun", 1, 2, 30, 40)]),
        "N0000004": ("hard negative", []),  # the second mining flagged it
    }
    assert result.file.endswith("review/first/training.parquet")


def test_proposals_that_come_of_no_detector_flag_nothing(tmp_path):
    workspace = reviewed(tmp_path, Says("N0000001", NOTHING), Says("N0000004", NOTHING))
    drawn = workspace.folder("mine", "spots") / "candidates.parquet"
    build_mine(workspace, "spots", ["N0000004"])
    build_review(workspace, "spots", ["N0000004"], [])
    drawn.rename(workspace.folder("review", "spots") / "candidates.parquet")
    drawn.with_name("run.json").unlink()
    finish(workspace, "review", "spots")

    result = next_round(workspace, NextSettings("first"))

    assert rows(result) == {"N0000001": ("hard negative", [])}
    assert result.cleared == 1


def test_an_adjudicator_settles_what_reviewers_left_open(tmp_path):
    workspace = reviewed(
        tmp_path,
        Says("N0000001", NOTHING),
        Says("N0000001", MISSED, (GUN,), BOB),
        Says("N0000001", NOTHING, reviewer="eve@example.org", lane="adjudication"),
    )

    assert rows(next_round(workspace)) == {"N0000001": ("hard negative", [])}


def test_a_positive_reviewed_again_gets_its_new_boxes(tmp_path):
    knife = ("Knife", 50, 10, 70, 30, "drawn", "")

    result = next_round(reviewed(tmp_path, Says("P00001", MISSED, (GUN, knife))))

    assert (result.found, result.corrected) == (0, 1)
    assert rows(result) == {
        "P00001": ("positive", [("Gun", 1, 2, 30, 40), ("Knife", 50, 10, 70, 30)])
    }


@pytest.mark.parametrize(
    "says",
    [
        Says("P00001", NOTHING),  # the release says otherwise
        Says("P00001", UNSURE),
        Says("P00002", MISSED, (GUN,)),  # cannot be read
        Says("N0000001", MISSED, (GUN, ("Banana", 1, 2, 30, 40, "drawn", ""))),
        Says("N0000001", MISSED, (GUN, ("Gun", 96, 2, 99, 40, "drawn", ""))),  # outside
        Says("N0000001", MISSED, (("Gun", 95.5, 2, 99, 40, "drawn", ""),)),  # half a pixel
    ],
)
def test_what_cannot_be_trusted_is_left_out(tmp_path, says):
    result = next_round(reviewed(tmp_path, says))

    assert rows(result) == {says.image_id: ("left out", [])}
    assert (result.left_out, sum(result.boxes.values())) == (1, 0)


def test_withdrawn_unflagged_test_side_and_unknown_images_teach_nothing(tmp_path):
    result = next_round(
        reviewed(
            tmp_path,
            Says("N0000001", MISSED, (GUN,), withdrawn=True),
            Says("N0000004", NOTHING),
            Says("N0000005", MISSED, (GUN,)),
            Says("N0000077", MISSED, (GUN,)),
        )
    )

    assert rows(result) == {}
    assert (result.cleared, result.test_side, result.not_in_release) == (1, 1, 1)


def test_without_a_decision_or_a_review_the_message_says_what_to_run(tmp_path):
    workspace = reviewed(tmp_path)
    (workspace.folder("review", "first") / "decisions" / "00001.parquet").unlink()

    with pytest.raises(WorkspaceError) as caught:
        next_round(workspace)
    assert str(caught.value) == (
        f"{tmp_path / 'review'}: no decisions; once somebody has answered, run "
        f"`sixrayd review pull -w {tmp_path}`"
    )
    with pytest.raises(WorkspaceError, match=r"run\.json: missing; run `sixrayd review push -w "):
        next_round(workspace, NextSettings("other"))
    assert said_in_all(workspace) == {}


@pytest.mark.parametrize("rule", Rule)
def test_the_rule_settles_what_reviewers_differ_about(tmp_path, rule):
    answers = [Says("N0000001", MISSED, (GUN,)), Says("N0000001", NOTHING, (), BOB)]
    answers += [Says("N0000002", who, (), f"r{n}") for n, who in enumerate((NOTHING, NOTHING))]
    answers.append(Says("N0000002", MISSED, (GUN,), "cid"))
    result = next_round(reviewed(tmp_path, *answers), NextSettings(rule=rule))
    expected = {
        Rule.ADJUDICATOR: ("left out", "left out"),
        Rule.MAJORITY: ("left out", "hard negative"),
        Rule.STRICTEST: ("positive", "positive"),
    }
    roles = {image_id: role for image_id, (role, _) in rows(result).items()}
    assert (roles["N0000001"], roles["N0000002"]) == expected[rule]


def test_boxes_of_reviewers_who_agree_are_taught_once(tmp_path):
    near = ("Gun", 3, 2, 30, 42, "drawn", "")
    both = (Says("N0000001", MISSED, (GUN,)), Says("N0000001", MISSED, (near,), BOB))
    assert rows(next_round(reviewed(tmp_path, *both))) == {
        "N0000001": ("positive", [("Gun", 2, 2, 30, 41)])
    }


def test_a_second_set_replaces_the_first_and_says_of_what_it_is(tmp_path):
    workspace = reviewed(tmp_path, Says("N0000001", NOTHING))
    first = next_round(workspace)
    folder = workspace.folder("review", "first")
    before = json.loads((folder / "training.json").read_text())
    build_review(workspace, "first", ["N0000001"], [[Says("N0000001", MISSED, (GUN,), version=2)]])
    second = next_round(workspace)
    assert (first.hard_negatives, first.found) == (1, 0)
    assert (second.hard_negatives, second.found) == (0, 1)
    after = json.loads((folder / "training.json").read_text())
    assert after["inputs"] != before["inputs"]
    assert after["outputs"] == {"training.parquet": sha256_file(Path(second.file))}
    # The review itself is as finished as it was.
    assert workspace.run("review", "first").outputs == {}


def test_a_broken_table_writes_no_set(tmp_path):
    workspace = reviewed(tmp_path, Says("N0000001", NOTHING))
    path = workspace.folder("review", "first") / "decisions" / "00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WorkspaceError, match=r"00001\.parquet: not a readable Parquet table"):
        next_round(workspace)
    assert not (path.parents[1] / "training.parquet").exists()


answers_of_some = st.lists(
    st.tuples(
        st.sampled_from([*(f"N{n:07d}" for n in range(1, 6)), "N0000077", "P00001", "P00002"]),
        st.sampled_from([MISSED, NOTHING, UNSURE]),
        st.sampled_from([(), (GUN,), (("plier", 1, 2, 30, 40, "drawn", ""), GUN)]),
        st.sampled_from(["ann", "bob"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12)
@given(answers_of_some, st.sampled_from(Rule))
def test_every_image_decided_is_counted_once_whatever_was_said(said, rule):
    with TemporaryDirectory() as root:
        answers = [Says(i, v, b, who, withdrawn=w) for i, v, b, who, w in said]
        workspace = reviewed(root, *answers)
        result = next_round(workspace, NextSettings(rule=rule))
        decided = said_in_all(workspace)
        taught = rows(result)
    kept = (result.found, result.corrected, result.hard_negatives, result.left_out)
    apart = (result.cleared, result.test_side, result.not_in_release)
    assert sum(kept) + sum(apart) == len(decided)
    assert len(taught) == sum(kept)
    assert taught.keys() <= decided.keys() - {"N0000005", "N0000077"}  # test side, unknown
    roles = Counter(role for role, _ in taught.values())
    assert roles["positive"] == result.found + result.corrected
    assert (roles["hard negative"], roles["left out"]) == (result.hard_negatives, result.left_out)
    labels = Counter(box[0] for _, boxes in taught.values() for box in boxes)
    assert labels == Counter({label: n for label, n in result.boxes.items() if n})
    assert all(bool(boxes) == (role == "positive") for role, boxes in taught.values())


def test_by_a_given_split_nothing_but_its_training_side_is_learnt(tmp_path):
    said = [Says(f"N{n:07d}", MISSED, (GUN,)) for n in (1, 2, 3, 5)]
    workspace = reviewed(tmp_path, *said)
    own = next_round(workspace)
    assert (sorted(rows(own)), own.test_side, own.no_side) == (
        ["N0000001", "N0000002", "N0000003"],
        1,
        0,
    )
    before = json.loads(Path(own.file).with_suffix(".json").read_text())
    assert before["settings"] == {"rule": "adjudicator"}
    assert "no_side" not in before["summary"]

    build_splits(workspace, sixray10={"N0000001": "test", "N0000002": "train", "N0000005": "train"})
    result = next_round(workspace, NextSettings(split="sixray10"))

    assert sorted(rows(result)) == ["N0000002", "N0000005"]
    assert (result.found, result.test_side, result.no_side) == (2, 1, 1)
    assert str(result).endswith("1 of the test side are not used, 1 are on no side of the split")
    after = json.loads(Path(result.file).with_suffix(".json").read_text())
    assert after["settings"] == {"rule": "adjudicator", "split": "sixray10"}
    assert after["summary"]["no_side"] == 1
