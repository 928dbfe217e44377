"""Withdrawals: a version of their own, of whom and why, and nothing is deleted."""

from datetime import UTC, datetime

import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import ADJUDICATION
from sixrayd.core.workspace import Workspace
from sixrayd.decisions import decision
from sixrayd.decisions.decision import load_decisions, standing_decisions
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.settings import WithdrawSettings
from sixrayd.review.withdraw import WithdrawResult, withdraw
from tests.workspaces import (
    BOB,
    MISSED,
    NOTHING,
    UNSURE,
    Says,
    build_mine,
    build_review,
    decision_row,
)

ANN, EVE = "ann@example.org", "eve@example.org"
IMAGES = ["N0000001", "N0000002", "N0000003"]
GUN = ("Gun", 1, 2, 30, 40, "drawn", "")
ROUNDS = [
    [
        Says(IMAGES[0], MISSED, (GUN,), ANN, annotation=7),
        Says(IMAGES[0], NOTHING, (), BOB),
        Says(IMAGES[0], MISSED, (GUN,), EVE, lane=ADJUDICATION),
        Says(IMAGES[1], UNSURE, (), ANN),
    ],
    [Says(IMAGES[0], UNSURE, (), ANN, version=2, annotation=7)],
]


def reviewed(root, name="first"):
    workspace = Workspace(root)
    build_mine(workspace, name, IMAGES)
    build_review(workspace, name, IMAGES, ROUNDS)
    ReviewFolder(workspace, name).new_project("local")
    return workspace


def tables(workspace):
    folder = workspace.folder("review", "first") / "decisions"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stands(workspace, name="first"):
    return {
        image_id: [(d.reviewer, d.version) for d in said]
        for image_id, said in standing_decisions(load_decisions(workspace, name)).items()
    }


def asked(*images, **more):
    return WithdrawSettings(images, "wrong bag", "carl", **more)


def test_all_that_stands_on_an_image_ends_and_all_that_was_said_stays(tmp_path):
    workspace = reviewed(tmp_path)
    before, start = tables(workspace), datetime.now(UTC)

    result = withdraw(workspace, asked(IMAGES[0]))

    assert result == WithdrawResult("first", 3, "decisions/00003.parquet")
    after = tables(workspace)
    assert {name: after[name] for name in before} == before
    assert sorted(after) == ["00001.parquet", "00002.parquet", "00003.parquet"]
    fresh = ReviewFolder(workspace, "first").decisions()[-3:]
    assert [(r["reviewer"], r["version"], r["follows"], r["verdict"]) for r in fresh] == [
        (ANN, 3, 2, "unsure"),
        (BOB, 2, 1, "nothing there"),
        (EVE, 2, 1, "contraband missed"),
    ]
    assert {row["note"] for row in fresh} == {"withdrawn by carl: wrong bag"}
    assert all(row["withdrawn"] for row in fresh)
    assert all(start <= datetime.fromisoformat(row["decided_at"]) for row in fresh)
    assert stands(workspace) == {IMAGES[1]: [(ANN, 1)]}
    run = workspace.run("review", "first")
    assert "decisions/00003.parquet" in run.outputs and run.summary["decided"] == 1


def test_one_reviewers_answer_may_end_alone(tmp_path):
    workspace = reviewed(tmp_path)
    result = withdraw(workspace, asked(IMAGES[0], IMAGES[1], reviewer=ANN))
    assert result.withdrawn == 2
    assert stands(workspace) == {IMAGES[0]: [(BOB, 1), (EVE, 1)]}


def test_what_was_said_of_a_planted_image_ends_as_well(tmp_path):
    """`pull` names it among what needs a look, and says to withdraw it."""
    workspace = reviewed(tmp_path)
    folder = ReviewFolder(workspace, "first")
    folder.append_decisions([decision_row(Says("N0000900", MISSED), 9)], planted=True)

    result = withdraw(workspace, asked("N0000900", IMAGES[1]))

    files = "decisions/00003.parquet, planted/decisions/00002.parquet"
    assert result == WithdrawResult("first", 2, files)
    assert [row["withdrawn"] for row in folder.decisions(planted=True)] == [False, True]
    assert IMAGES[1] not in stands(workspace)


def test_an_image_named_twice_is_withdrawn_once(tmp_path):
    workspace = reviewed(tmp_path)
    assert withdraw(workspace, asked(IMAGES[1], IMAGES[1])).withdrawn == 1


@pytest.mark.parametrize(
    ("settings", "whose", "image"),
    [
        (asked(IMAGES[2]), "", IMAGES[2]),
        (asked("N0000099"), "", "N0000099"),
        (asked(IMAGES[0], IMAGES[2]), "", IMAGES[2]),
        (asked(IMAGES[1], reviewer=BOB), f" of {BOB}", IMAGES[1]),
        (asked(IMAGES[0], reviewer="Ann@example.org"), " of Ann@example.org", IMAGES[0]),
    ],
)
def test_where_one_has_nothing_to_withdraw_nothing_is(tmp_path, settings, whose, image):
    workspace = reviewed(tmp_path)
    before, run = tables(workspace), workspace.run("review", "first")
    with pytest.raises(WorkspaceError) as caught:
        withdraw(workspace, settings)
    folder = workspace.folder("review", "first")
    assert str(caught.value) == (
        f"{folder}: no decision{whose} on {image!r} stands; nothing withdrawn"
    )
    assert (tables(workspace), workspace.run("review", "first")) == (before, run)


def test_a_decision_of_another_review_is_told_of(tmp_path):
    workspace = reviewed(tmp_path)
    build_mine(workspace, "second", IMAGES)
    build_review(workspace, "second", IMAGES, [[Says(IMAGES[2], MISSED, (GUN,), ANN)]])
    with pytest.raises(WorkspaceError) as caught:
        withdraw(workspace, asked(IMAGES[2], name="first"))
    assert str(caught.value) == (
        f"{workspace.folder('review', 'first')}: no decision on {IMAGES[2]!r} stands; nothing "
        "withdrawn; one stands with --name second"
    )


def test_what_has_been_withdrawn_cannot_be_again(tmp_path):
    workspace = reviewed(tmp_path)
    withdraw(workspace, asked(IMAGES[1]))
    with pytest.raises(WorkspaceError, match=f"no decision on '{IMAGES[1]}' stands"):
        withdraw(workspace, asked(IMAGES[1]))
    assert len(tables(workspace)) == 3


def test_the_next_pull_asks_for_everything(tmp_path):
    workspace = reviewed(tmp_path)
    folder = ReviewFolder(workspace, "first")
    folder.write_cursors({})
    note = (folder.path / "pulled.json").read_bytes()
    withdraw(workspace, asked(IMAGES[1]))
    assert (folder.path / "pulled.json").read_bytes() == note
    assert folder.cursors() == {}


def test_a_review_that_was_not_pushed_has_nothing_to_withdraw(tmp_path):
    workspace = reviewed(tmp_path)
    folder = workspace.folder("review", "first")
    (folder / "project.json").unlink()
    before = tables(workspace)
    with pytest.raises(WorkspaceError) as caught:
        withdraw(workspace, asked(IMAGES[1], name="first"))
    assert str(caught.value) == (
        f"{folder}: nothing was pushed, or not to the end; run "
        f"`sixrayd review push -w {workspace.root}`"
    )
    assert tables(workspace) == before


def test_another_review_keeps_what_was_said_there(tmp_path):
    workspace = reviewed(tmp_path)
    reviewed(tmp_path, "second")
    assert withdraw(workspace, asked(IMAGES[1], name="second")).name == "second"
    assert stands(workspace)[IMAGES[1]] == [(ANN, 1)]
    assert IMAGES[1] not in stands(workspace, "second")


def test_while_somebody_else_writes_nothing_is_withdrawn(tmp_path):
    workspace = reviewed(tmp_path)
    with workspace.lock(), pytest.raises(WorkspaceError, match="in use by process"):
        withdraw(Workspace(tmp_path), asked(IMAGES[1]))
    assert len(tables(workspace)) == 2


def test_answers_that_nothing_reads_can_be_withdrawn(tmp_path, monkeypatch):
    workspace = reviewed(tmp_path)
    monkeypatch.setattr(decision, "MOST_BOXES", 0)
    (workspace.folder("review", "first") / "run.json").unlink()  # a pull ended once it had them

    assert withdraw(workspace, asked(IMAGES[0], reviewer=EVE)).withdrawn == 1
    assert stands(workspace) == {
        IMAGES[0]: [(ANN, 2), (BOB, 1)],
        IMAGES[1]: [(ANN, 1)],
    }
