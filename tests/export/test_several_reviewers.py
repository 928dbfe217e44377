"""What an export makes of several reviewers, of reviewed positives, and of reviewers' names."""

import json
import re
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sixrayd.cli import cli
from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.records import Rule
from sixrayd.core.voc import Provenance, VocObject, read_voc
from sixrayd.core.workspace import Workspace
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.workspaces import (
    MISSED,
    NOTHING,
    UNSURE,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
    finish,
)

ANN, BOB, CID = "ann@example.org", "bob@example.org", "cid@example.org"
CONFIRMED = ("Knife", 10, 20, 40, 50, "confirmed", "N0000001/rfb/0")
MOVED = ("Knife", 12, 20, 40, 52, "moved", "N0000001/rfb/0")
PICTURES = (
    Picture("P00001", labels=("Gun",), boxes=(("Gun", 5, 6, 30, 40, True),)),
    Picture("P00002", labels=("Gun",), boxes=(("Gun", 1, 2, 9, 9, False),)),
    Picture("N0000001"),
    Picture("N0000002"),
)
FLAGGED = ["N0000001"]


def hours(*answers):
    """Answers one after the other, each an hour later."""
    for hour, answer in enumerate(answers):
        answer.decided_at = f"2026-01-02T{hour + 10}:00:00+00:00"
    return answers


def exported(root, answers, **settings):
    workspace = Workspace(root / "workspace")
    build_shards(workspace, PICTURES)
    build_mine(workspace, "first", FLAGGED)
    build_review(workspace, "first", FLAGGED, [hours(*answers)])
    return export(workspace, ExportSettings(**settings)), workspace


def state(result, image_id):
    rows = pq.read_table(Path(result.tree) / "states.parquet").to_pylist()
    (row,) = (row for row in rows if row["image_id"] == image_id)
    return row["state"], row["reason"]


def objects(result, image_id):
    path = Path(result.tree) / f"VOC2007/Annotations/{image_id}.xml"
    return read_voc(path.read_bytes(), path.name, ClassList()).objects


def test_reviewers_who_agree_are_all_named(tmp_path):
    answers = [Says("N0000001", MISSED, (CONFIRMED,)), Says("N0000001", MISSED, (CONFIRMED,), BOB)]
    result, _ = exported(tmp_path, answers)
    assert state(result, "N0000001") == ("found positive", "")
    assert objects(result, "N0000001") == (
        VocObject(
            Box("Knife", 10, 20, 40, 50),
            provenance=Provenance(
                "confirmed",
                "N0000001/rfb/0",
                "rfb",
                0.9,
                f"{ANN}, {BOB}",
                MISSED,
                "2026-01-02T11:00:00+00:00",
                1,
            ),
        ),
    )


@pytest.mark.parametrize("rule", [Rule.MAJORITY, Rule.STRICTEST])
def test_a_box_names_those_who_drew_it_and_nobody_else(tmp_path, rule):
    alone = ("Gun", 60, 10, 80, 30, "drawn", "")
    shown = [(MOVED,), (MOVED,), (alone,)]
    said = zip(shown, (ANN, BOB, CID), strict=True)
    answers = [Says("N0000001", MISSED, boxes, who) for boxes, who in said]
    result, _ = exported(tmp_path, answers, consensus=rule)
    expected = {"Knife": [ANN, BOB]} | ({"Gun": [CID]} if rule == Rule.STRICTEST else {})
    found = objects(result, "N0000001")
    assert {item.box.label: item.provenance.reviewer for item in found} == {
        label: ", ".join(names) for label, names in expected.items()
    }
    rows = pq.read_table(Path(result.tree) / "provenance.parquet").to_pylist()
    rows = [row for row in rows if row["image_id"] == "N0000001"]
    assert {row["label"]: row["reviewers"] for row in rows} == expected
    hours = {"Knife": "11", "Gun": "12"}  # cid came after those who drew the knife
    assert {row["label"]: row["decided_at"][11:13] for row in rows} == {
        label: hours[label] for label in expected
    }
    assert [item.provenance.decided_at for item in found] == [row["decided_at"] for row in rows]


def test_boxes_that_differ_a_little_become_one(tmp_path):
    answers = [Says("N0000001", MISSED, (CONFIRMED,)), Says("N0000001", MISSED, (MOVED,), BOB)]
    (item,) = objects(exported(tmp_path, answers)[0], "N0000001")
    assert item.box == Box("Knife", 11, 20, 40, 51)
    assert (item.provenance.origin, item.provenance.model) == ("agreed", "rfb")


THREE = [
    Says("N0000001", MISSED, (CONFIRMED,), ANN),
    Says("N0000001", MISSED, (CONFIRMED,), BOB),
    Says("N0000001", NOTHING, (), CID),
]
WORDS = f"{ANN}: {MISSED}; {BOB}: {MISSED}; {CID}: {NOTHING}"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule.ADJUDICATOR, ("undecided", f"reviewers disagree: {WORDS}")),
        (Rule.MAJORITY, ("found positive", f"by majority: {WORDS}")),
        (Rule.STRICTEST, ("found positive", f"by strictest: {WORDS}")),
    ],
)
def test_the_rule_settles(tmp_path, rule, expected):
    result, _ = exported(tmp_path, THREE, consensus=rule)
    assert state(result, "N0000001") == expected


def test_the_last_one_does_not_win(tmp_path):
    drawn = ("Gun", 50, 10, 70, 30, "drawn", "")
    answers = [Says("N0000001", MISSED, (CONFIRMED,)), Says("N0000001", MISSED, (drawn,), BOB)]
    result, _ = exported(tmp_path, answers)
    assert state(result, "N0000001") == (
        "undecided",
        f"reviewers disagree: boxes that others lack: {BOB}: Gun at (50, 10, 70, 30); "
        f"{ANN}: Knife at (10, 20, 40, 50)",
    )


def test_what_was_withdrawn_does_not_count(tmp_path):
    withdrawn = Says("N0000001", NOTHING, (), CID, withdrawn=True)
    result, _ = exported(tmp_path, [*THREE[:2], withdrawn])
    assert state(result, "N0000001") == ("found positive", "")


def test_reviewers_of_two_reviews_and_the_detections_of_both(tmp_path):
    _, workspace = exported(tmp_path, [Says("N0000001", MISSED, (CONFIRMED,))])
    build_mine(workspace, "second", FLAGGED, model="rfb2")
    other = Says("N0000001", MISSED, (MOVED,), BOB, decided_at="2026-02-01T10:00:00+00:00")
    build_review(workspace, "second", FLAGGED, [[other]])
    result = export(workspace, ExportSettings())
    (item,) = objects(result, "N0000001")
    # Only the first review's mining knows the detection that both go back to.
    assert (item.provenance.reviewer, item.provenance.model) == (f"{ANN}, {BOB}", "rfb")


@pytest.mark.parametrize(
    ("answers", "expected", "boxes"),
    [
        ([], ("source positive", ""), [Box("Gun", 5, 6, 30, 40)]),
        (
            [Says("P00001", UNSURE)],
            ("source positive", f"unsure: {ANN}"),
            [Box("Gun", 5, 6, 30, 40)],
        ),
        (
            [Says("P00001", MISSED)],
            ("source positive", f"{ANN}: contraband missed, but no box"),
            [Box("Gun", 5, 6, 30, 40)],
        ),
        (
            [Says("P00001", MISSED, (("Gun", 1, 1, 9, 9, "drawn", ""),)), *THREE[2:0:-1]],
            ("source positive", ""),
            [Box("Gun", 1, 1, 9, 9)],
        ),
        (
            [Says("P00001", NOTHING), Says("P00001", UNSURE, (), BOB)],
            ("source positive", f"reviewers disagree: {ANN}: {NOTHING}; {BOB}: {UNSURE}"),
            [Box("Gun", 5, 6, 30, 40)],
        ),
    ],
)
def test_reviewed_positives(tmp_path, answers, expected, boxes):
    result, _ = exported(tmp_path, answers)
    assert state(result, "P00001") == expected
    assert [item.box for item in objects(result, "P00001")] == boxes


def test_a_corrected_positive_keeps_what_the_release_says_of_its_boxes(tmp_path):
    kept = ("Gun", 5, 6, 30, 41, "moved", "P00001/a0")
    added = ("Knife", 50, 10, 96, 30, "drawn", "")
    result, _ = exported(tmp_path, [Says("P00001", MISSED, (kept, added))])
    ann = {
        "reviewer": ANN,
        "verdict": MISSED,
        "decided_at": "2026-01-02T10:00:00+00:00",
        "version": 1,
    }
    assert objects(result, "P00001") == (
        VocObject(
            Box("Gun", 5, 6, 30, 41),
            difficult=True,
            provenance=Provenance("moved", "P00001/a0", **ann),
        ),
        VocObject(
            Box("Knife", 50, 10, 96, 30), truncated=True, provenance=Provenance("drawn", **ann)
        ),
    )
    assert result.notes[-1] == "1 flagged images are not reviewed and in none of the lists"


def test_a_positive_in_which_nobody_sees_anything(tmp_path):
    answers = [Says("P00001", NOTHING), Says("P00001", NOTHING, (), BOB)]
    result, _ = exported(tmp_path, [*answers, Says("P00002", NOTHING), THREE[0]])
    assert state(result, "P00001") == ("undecided", "labelled positive, reviewers see nothing")
    tree = Path(result.tree)
    assert (tree / "undecided.txt").read_text() == "P00001\nP00002\n"
    assert sorted(path.stem for path in (tree / "VOC2007/JPEGImages").iterdir()) == ["N0000001"]


def test_a_review_without_a_mining_flags_nothing(tmp_path):
    _, workspace = exported(tmp_path, [Says("N0000001", NOTHING)])
    build_mine(workspace, "second", FLAGGED)
    build_review(workspace, "second", [], [[Says("P00001", NOTHING)], [THREE[2]]])
    workspace.folder("review", "second").rename(workspace.folder("review", "positives"))
    finish(workspace, "review", "positives", workspace.upstream(("shards", "")))
    result = export(workspace, ExportSettings(review=("positives",)))
    assert result.states == {
        "source positive": 1,
        "found positive": 0,
        "confusing negative": 0,
        "audited empty": 1,
        "undecided": 1,
        "flagged but unreviewed": 0,
        "unflagged": 1,
        "unreadable": 0,
    }


def everything(tree):
    rows = pq.read_table(tree / "states.parquet").to_pylist()
    parts = [path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()]
    return b"".join(parts) + json.dumps(rows).encode()


def test_pseudonyms(tmp_path):
    result, workspace = exported(
        tmp_path, [*THREE, Says("N0000002", UNSURE)], consensus=Rule.MAJORITY, pseudonyms=True
    )
    alias = pseudonym(workspace)
    names = [alias(name) for name in (ANN, BOB, CID)]
    assert [name for name in names if not re.fullmatch("reviewer-[0-9a-f]{6}", name)] == []
    assert len(set(names)) == 3
    (item,) = objects(result, "N0000001")
    assert item.provenance.reviewer == ", ".join(sorted(names[:2]))
    assert state(result, "N0000002") == ("undecided", f"unsure: {names[0]}")
    written = everything(Path(result.tree))
    assert [name for name in (ANN, BOB, CID) if name.encode() in written] == []
    assert names[2].encode() in written
    assert pseudonym(workspace)(ANN) == names[0]
    assert not export(workspace, ExportSettings(consensus=Rule.MAJORITY, pseudonyms=True)).written
    with pytest.raises(WorkspaceError, match="other inputs or settings"):
        export(workspace, ExportSettings(consensus=Rule.MAJORITY))


@pytest.mark.parametrize("access", [0o644, 0o640, 0o620])
def test_a_key_of_pseudonyms_that_others_may_know_is_not_taken(tmp_path, access):
    workspace = Workspace(tmp_path)
    before, key = pseudonym(workspace)(ANN), tmp_path / ".pseudonyms.key"
    key.chmod(access)  # as unpacked from an archive or a repository
    with pytest.raises(WorkspaceError, match="others can read it, so others may tell whose a ps"):
        pseudonym(workspace)
    key.chmod(0o600)
    assert pseudonym(workspace)(ANN) == before
    key.rename(tmp_path / "theirs")
    key.symlink_to("theirs")
    with pytest.raises(WorkspaceError, match=r"pseudonyms.key: no plain file, so others may"):
        pseudonym(workspace)


def test_the_key_of_pseudonyms(tmp_path):
    first, second = Workspace(tmp_path / "first"), Workspace(tmp_path / "second")
    assert pseudonym(first)(ANN) != pseudonym(second)(ANN)
    key = first.root / ".pseudonyms.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.name for path in first.root.iterdir()] == [".pseudonyms.key"]
    key.write_text("0" * 63)
    with pytest.raises(WorkspaceError) as caught:
        pseudonym(first)
    assert str(caught.value) == (
        f"{key}: not a key of 64 hex digits; put it back from a backup, or remove it to give "
        "every reviewer a new pseudonym"
    )
    key.write_text("0" * 64)
    assert pseudonym(first)("") == "reviewer-b61367"


def test_command(tmp_path, runner):
    _, workspace = exported(tmp_path, THREE)
    words = ["export", "--json", "-w", str(workspace.root), "--out", str(tmp_path / "D")]
    words += ["--consensus", "strictest", "--pseudonyms", "--force"]
    done = runner.invoke(cli, words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["states"]["found positive"] == 1
    settings = json.loads((tmp_path / "D/run.json").read_text())["settings"]
    assert (settings["consensus"], settings["pseudonyms"]) == ("strictest", True)
