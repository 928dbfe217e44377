"""Why each box is there, and who has seen that nothing else is."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lxml import etree

from sixrayd.core.records import ADJUDICATION
from sixrayd.core.workspace import Run, Workspace
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.workspaces import BOB, FLAGGED, MISSED, NOTHING, Says, Small, build_review, finish

ANN, NOON, NEXT = "ann@example.org", "2026-01-02T11:00:00+00:00", "2026-01-03T10:00:00+00:00"
WEIGHTS = "ab" * 32


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One whose mining says which weights it used; where ann and bob differ, bob decides."""
    workspace = Small().build(tmp_path_factory.mktemp("evidence") / "ws")
    outputs = {"curves.png": "cd" * 32, "weights.safetensors": WEIGHTS}
    model = workspace.folder("models", "rfb")
    model.mkdir(parents=True)
    workspace.finish(Run("models", "rfb", {}, {}, outputs))
    finish(workspace, "mine", "first", workspace.upstream(("models", "rfb")))
    build_review(workspace, "first", FLAGGED, Small().rounds)
    return workspace


@pytest.fixture(scope="module")
def tree(workspace, tmp_path_factory):
    out = tmp_path_factory.mktemp("evidence") / "out"
    return Path(export(workspace, ExportSettings(out=out, looks=True, sets=("confusing",))).tree)


def rows(tree, name, **wanted):
    found = pq.read_table(tree / f"{name}.parquet").to_pylist()
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def answer(reviewer, verdict, decided_at, lane="1", version=1):
    said = {"reviewer": reviewer, "verdict": verdict, "decided_at": decided_at}
    return said | {"round": "first", "lane": lane, "version": version}


def test_a_confirmed_box_names_detection_weights_and_answer(tree):
    assert rows(tree, "provenance", image_id="N0000001", object=1) == [
        {
            **{"image_id": "N0000001", "object": 1, "label": "Knife"},
            **{"x1": 10.0, "y1": 20.0, "x2": 40.0, "y2": 50.0},
            **{"difficult": False, "truncated": False},
            **{"split": "train", "state": "found positive", "origin": "confirmed"},
            **{"candidate": "N0000001/rfb/0", "model": "rfb", "model_sha256": WEIGHTS},
            **{"score": 0.9, "mining": "first", "round": "first", "decided_at": NOON},
            **{"reviewers": [ANN], "answers": [answer(ANN, MISSED, NOON, version=2)]},
        }
    ]


def test_an_adjudicated_box_follows_the_adjudicator_and_names_all_answers(tree):
    (row,) = rows(tree, "provenance", image_id="N0000010")

    assert (row["origin"], row["reviewers"]) == ("relabelled", [BOB])
    assert row["answers"] == [
        answer(ANN, MISSED, "2026-01-02T10:00:00+00:00"),
        answer(BOB, MISSED, NEXT, ADJUDICATION),
    ]


def test_boxes_of_the_release_and_drawn_ones_go_back_to_no_detection(tree):
    source = rows(tree, "provenance", image_id="P00002")
    (drawn,) = rows(tree, "provenance", image_id="N0000012")

    assert [(row["object"], row["label"], row["origin"]) for row in source] == [
        (1, "Knife", "source"),
        (2, "Gun", "source"),
    ]
    for row in (*source, drawn):
        keys = ("candidate", "model", "model_sha256", "score")
        assert [row[key] for key in keys] == ["", "", "", None]
    assert [row["answers"] for row in source] == [[], []]
    assert (drawn["x1"], drawn["y1"], drawn["x2"], drawn["y2"]) == (0, 3, 20, 64)  # as in the XML


def test_a_model_that_was_trained_anew_since_has_no_hash(workspace, tmp_path):
    shutil.copytree(workspace.root, tmp_path / "ws")
    other = Workspace(tmp_path / "ws")
    other.finish(Run("models", "rfb", {"epochs": 2}, {}, {"weights.safetensors": "ef" * 32}))

    tree = Path(export(other, ExportSettings()).tree)

    (row,) = rows(tree, "provenance", image_id="N0000001", object=1)
    assert (row["model"], row["model_sha256"]) == ("rfb", "")


def test_verified_absence_says_who_when_and_of_which_classes(tree):
    found = pq.read_table(tree / "absence.parquet").to_pylist()

    classes = ["Gun", "Knife", "Wrench", "Pliers", "Scissors"]
    said = [(row["image_id"], row["state"], row["reviewer"], row["absent"]) for row in found]
    assert said == [
        ("N0000001", "found positive", ANN, ["Wrench", "Pliers", "Scissors"]),
        ("N0000002", "confusing negative", ANN, classes),
        ("N0000003", "audited empty", ANN, classes),
        ("N0000010", "found positive", ANN, classes[:4]),
        ("N0000010", "found positive", BOB, classes[:4]),
        ("N0000012", "found positive", ANN, ["Gun", "Knife", "Wrench", "Scissors"]),
    ]
    assert found[1] == {
        **{"image_id": "N0000002", "split": "train", "state": "confusing negative"},
        **{"reviewer": ANN, "verdict": NOTHING, "decided_at": "2026-01-02T10:00:00+00:00"},
        **{"round": "first", "lane": "1", "absent": classes},
    }


def test_what_the_release_names_but_nobody_boxed_is_not_absent(tmp_path):
    small = Small()
    small.rounds[0].append(Says("P00003", MISSED, (("Gun", 1, 1, 9, 9, "drawn", ""),)))
    small.rounds[0].append(Says("P00002", NOTHING))
    tree = Path(export(small.build(tmp_path), ExportSettings()).tree)

    (row,) = rows(tree, "absence", image_id="P00003")
    assert row["absent"] == ["Knife", "Pliers", "Scissors"]
    assert rows(tree, "absence", image_id="P00002") == []  # undecided: the release says otherwise


def test_the_xml_says_on_request_who_looked(tree, workspace, tmp_path):
    root = etree.parse(tree / "VOC2007/Annotations/N0000002.xml").getroot()
    said = [{child.tag: child.text for child in each} for each in root.findall("sixrayd")]
    settings = ExportSettings(out=tmp_path / "plain", sets=("confusing",))
    plain = Path(export(workspace, settings).tree)

    assert said == [
        {"state": "confusing negative"},
        {
            **{"reviewer": ANN, "verdict": NOTHING, "decided_at": "2026-01-02T10:00:00+00:00"},
            **{"round": "first", "lane": "1"},
        },
    ]
    assert b"sixrayd" not in (plain / "VOC2007/Annotations/N0000002.xml").read_bytes()


def test_pseudonyms_reach_every_table(workspace, tmp_path):
    settings = ExportSettings(out=tmp_path / "out", pseudonyms=True, looks=True)
    tree = Path(export(workspace, settings).tree)

    names = {row["reviewer"] for row in rows(tree, "absence")}
    assert len(names) == 2
    assert all(name.startswith("reviewer-") for name in names)
    for path in filter(Path.is_file, tree.rglob("*")):
        for told in (b"@example.org", bytes(tmp_path)):  # where a user's name may stand
            assert told not in path.read_bytes()
    assert not export(workspace, settings).written
    written = pq.read_table(tree / "provenance.parquet").to_pylist()
    assert {name for row in written for name in row["reviewers"]} == names
