"""Known positives in the queue: which ones, under which names, and what they measure."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sixrayd.core.boxes import Box
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.core.index import Index
from sixrayd.core.records import (
    CANDIDATE_SCHEMA,
    DECISION_SCHEMA,
    INDEX_SCHEMA,
    TASK_SCHEMA,
    Kind,
    Rule,
)
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.openly import LabelDraw, digest_of, label_draw_file, labelled_images
from sixrayd.estimate.planted import planted_counts
from sixrayd.mine.external import ExternalSettings, take_detections
from sixrayd.review.guidance import example_images
from sixrayd.review.planting.command import plant as command
from sixrayd.review.planting.known import KnownResult, plan_known, plant_known, shown_positives
from sixrayd.review.planting.plant import new_ids, plant
from sixrayd.review.planting.planted import planted_folder, planted_image, planted_rows
from sixrayd.review.planting.rates import hit_rates
from sixrayd.review.queue.plan import Pictures, planted
from sixrayd.review.settings import PlantSettings
from sixrayd.statistics.evidence import Planted, sensitivities
from sixrayd.statistics.sensitivity import known_for_width
from tests.review.planting.test_planting import ITEM, build, contents, positive
from tests.workspaces import MISSED, NOTHING, Picture, Says, build_review, build_shards

SETTINGS = PlantSettings(origin="positives", number=4, even_so=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Positives 1 to 6 are free; 7 trains, 9 was learnt from, and 8 has two boxes."""
    free = [positive(number) for number in range(1, 7)]
    two = positive(8)
    two.boxes = (*two.boxes, ("Wrench", 10, 10, 40, 40, False))
    folder = tmp_path_factory.mktemp("known")
    return build(folder, positives=[*free, positive(7, "train"), two, positive(9)])


@pytest.fixture
def workspace(built, tmp_path):
    shutil.copytree(built.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def known(workspace):
    return [row for row in planted_rows(workspace, "first") if row["kind"] == Kind.KNOWN]


def test_positives_as_they_are_under_names_like_the_others(workspace):
    assert plant_known(workspace, SETTINGS) == KnownResult("first", 4, 0, 0, True)
    rows, index = known(workspace), Index.load(workspace)
    assert len({row["target"] for row in rows}) == 4
    assert {row["target"] for row in rows} <= {f"P0000{n}" for n in range(1, 7)}
    for row in rows:
        assert row["image_id"] not in index
        assert (row["image_id"][0], len(row["image_id"])) == ("N", 8)
        assert planted_image(workspace, "first", row) == index.read(row["target"])
        assert row["item"] == f"{row['target']}/a0"
        assert Box.from_row(row) == Box("Wrench", *ITEM)
        record = index.record(row["target"])
        shown = Pictures(workspace, "first", []).size_wh(row["image_id"])
        assert shown == (record.width, record.height)
    assert sum(row["with_proposals"] for row in rows) == 2
    assert [item.kind for item in planted(workspace, "first")] == [Kind.KNOWN] * 4


def test_again_changes_nothing_and_an_interrupted_call_makes_the_same_bytes(workspace):
    plant_known(workspace, SETTINGS)
    before = contents(workspace)
    assert not plant_known(workspace, SETTINGS).fresh
    assert contents(workspace) == before
    folder = planted_folder(workspace, "first")
    (folder / "planted.parquet").unlink()  # as killed before it was written
    (folder / "images" / "N0099999.jpg").write_bytes(b"of other settings")
    assert plant_known(workspace, SETTINGS).fresh
    assert contents(workspace) == before


def test_one_of_a_near_duplicate_group_and_none_like_a_negative(workspace):
    path = workspace.shards / "index.parquet"
    table = pq.read_table(path).to_pylist()
    groups = {"P00002": "P00001", "P00003": "P00001", "N0000001": "P00004"}
    rows = [row | {"group": groups.get(row["image_id"], row["group"])} for row in table]
    write_table(path, rows, INDEX_SCHEMA)
    plant_known(workspace, PlantSettings(origin="positives", number=3, even_so=True))
    assert {row["target"] for row in known(workspace)} == {"P00001", "P00005", "P00006"}


def test_what_reviewers_have_seen_is_never_known_again(workspace):
    plant(workspace, PlantSettings(even_so=True))
    used = {row["item"][:6] for row in planted_rows(workspace, "first") if row["item"]}
    task = dict.fromkeys(TASK_SCHEMA.names, 0)
    sent = task | {"image_id": "P00006", "lane": "1", "kind": "positive", "candidates": []}
    path = workspace.folder("review", "positives") / "tasks.parquet"
    write_table(path, [sent], TASK_SCHEMA)
    free = {f"P0000{n}" for n in range(1, 6)} - used
    assert shown_positives(workspace) >= used | {"P00006"}
    with pytest.raises(WorkspaceError, match=rf"6 known positives wanted, {len(free)} of one box"):
        plant_known(workspace, PlantSettings(origin="positives", number=6, even_so=True))
    before = planted_rows(workspace, "first")
    plant_known(workspace, PlantSettings(origin="positives", number=len(free), even_so=True))
    assert {row["target"] for row in known(workspace)} == free
    assert [row for row in planted_rows(workspace, "first") if row["kind"] != "known positive"] == (
        before
    )


def test_projections_do_not_join_known_positives(workspace):
    plant_known(workspace, SETTINGS)
    with pytest.raises(WorkspaceError, match="known positives are there, which measure better"):
        plant(workspace, PlantSettings())


@pytest.mark.parametrize(
    ("plant_some", "origin"), [(plant, "projections"), (plant_known, "positives")]
)
def test_nothing_is_planted_for_a_mining_of_anothers_detections(
    workspace, tmp_path, plant_some, origin
):
    images = [{"id": 1, "file_name": "N0000001.jpg", "width": 96, "height": 64}]
    classes = [{"id": 1, "name": "Gun"}]
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 20], "score": 0.9}]
    write_json(tmp_path / "images.json", {"images": images, "categories": classes})
    write_json(tmp_path / "boxes.json", boxes)
    take_detections(
        workspace,
        ExternalSettings(tmp_path / "boxes.json", "theirs", tmp_path / "images.json"),
    )
    settings = PlantSettings("theirs", origin=origin, even_so=True)
    with pytest.raises(WorkspaceError, match="theirs: made of another detector's results; what"):
        plant_some(workspace, settings)
    assert not workspace.folder("review", "theirs").exists()
    assert plan_known(workspace, settings).available == 0


def answered(workspace, answers):
    """What one reviewer said of the known positives, kept where planted images' answers are."""
    build_review(workspace, "first", [], [answers])
    table = pq.read_table(workspace.folder("review", "first") / "decisions/00001.parquet")
    folder = planted_folder(workspace, "first")
    write_table(folder / "decisions" / "00001.parquet", table, DECISION_SCHEMA)
    build_review(workspace, "first", [], [])


def test_they_measure_with_the_boxes_that_were_shown_and_without(workspace):
    plant_known(workspace, SETTINGS)
    rows = known(workspace)
    folder = planted_folder(workspace, "first")
    mined = pq.read_table(workspace.folder("mine", "first") / "candidates.parquet").to_pylist()[0]
    seen = [mined | {"image_id": row["image_id"], "box_id": row["image_id"]} for row in rows]
    write_table(folder / "detections.parquet", seen, CANDIDATE_SCHEMA)
    there = (("Wrench", *ITEM, "drawn", ""),)
    shown = [row["image_id"] for row in rows if row["with_proposals"]]
    held_back = [row["image_id"] for row in rows if not row["with_proposals"]]
    answers = [Says(shown[0], MISSED, there), Says(shown[1], MISSED, there)]
    answered(workspace, [*answers, Says(held_back[0], MISSED, there), Says(held_back[1], NOTHING)])

    counts = planted_counts(workspace, Rule.ADJUDICATOR)
    kind = "known positive"
    assert counts == (
        Planted("Wrench", False, 2, 1, 1, kind),
        Planted("Wrench", True, 2, 2, 2, kind),
    )
    easy = Planted("Wrench", False, 90, 90, 90)  # projections, which count beside nothing better
    with_, without = sensitivities((easy, *counts), 1.0)
    assert (without.planted, without.hits, without.known) == (2, 1, True)
    assert (with_.planted, with_.hits, with_.known) == (2, 2, True)
    task = dict.fromkeys(TASK_SCHEMA.names, 0)
    target = {row["image_id"]: row["target"] for row in rows}
    sent = task | {"lane": "1", "kind": "positive", "candidates": []}
    tasks = workspace.folder("review", "open") / "tasks.parquet"
    write_table(tasks, [sent | {"image_id": target[held_back[1]]}], TASK_SCHEMA)
    assert planted_counts(workspace, Rule.ADJUDICATOR) == counts  # who missed it has missed it
    write_table(tasks, [sent | {"image_id": target[held_back[0]]}], TASK_SCHEMA)
    assert planted_counts(workspace, Rule.ADJUDICATOR)[0] == Planted("Wrench", False, 1, 0, 0, kind)


@pytest.mark.parametrize(("begun", "found"), [("2999-01-01", 2), ("1999-01-01", 0), ("", 0)])
def test_what_is_known_from_looking_at_labels_measures_nobody(workspace, begun, found):
    """All labelled images are drawn, after the answers or before."""
    plant_known(workspace, SETTINGS)
    there = (("Wrench", *ITEM, "drawn", ""),)
    rows = known(workspace)
    (planted_folder(workspace, "first") / "detections.parquet").unlink()
    verdicts = [Says(row["image_id"], MISSED, there) for row in rows[:2]]
    answered(workspace, [*verdicts, Says(rows[2]["image_id"], NOTHING)])
    ids = labelled_images(workspace)
    draw = LabelDraw("key", 1, 0.2, len(ids), digest_of(ids), begun)
    write_json(label_draw_file(workspace), asdict(draw))

    (counts,) = planted_counts(workspace, Rule.ADJUDICATOR)

    assert (counts.planted, counts.hits) == (1 + found, found)
    planted_folder(workspace, "first").rename(workspace.root / "aside")
    with pytest.raises(WorkspaceError, match="4 known positives wanted, 0 of one box"):
        plant_known(workspace, SETTINGS)


def test_what_the_examples_show_is_never_known(workspace):
    """The test side of a given split may be on the training side that examples are of."""
    assert {"P00007"} == example_images(workspace) <= shown_positives(workspace)


def test_rates_by_reviewer(workspace):
    plant_known(workspace, SETTINGS)
    stranger = known(workspace)[0] | {"image_id": "N-of-an-interrupted-call"}
    rates = hit_rates(known(workspace), [], [stranger])
    assert {(rate.who, rate.kind, rate.shown) for rate in rates if not rate.label} == {
        ("detector", Kind.KNOWN, 4)
    }


def test_as_many_as_a_width_takes():
    needed = known_for_width(0.95, 1.1, 0.005)
    lower = sensitivities((Planted("Gun", True, needed, round(0.95 * needed), 0),), 1.0)[0]
    assert lower.lower(0.005) * 1.1 == pytest.approx(0.95, abs=0.01)
    assert known_for_width(0.95, 1.25, 0.005) < needed < known_for_width(0.9, 1.1, 0.005)


def test_commands(workspace):
    runner = CliRunner()

    def printed(*words):
        result = runner.invoke(command, ["-w", str(workspace.root), *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    plan = json.loads(printed("--from", "positives", "--plan", "--json"))
    assert plan["available"] == 6
    assert plan["needed"]["1.1"]["0.95"] == known_for_width(0.95, 1.1, 0.005)
    assert "6 are left on the test side" in printed("--from", "positives", "--plan")
    few = ("--from", "positives", "--number", "4")
    refused = runner.invoke(command, ["-w", str(workspace.root), *few])
    assert str(refused.exception).startswith("planting 4: 2 planted of each kind, all found, prove")
    assert str(refused.exception).endswith("a greater --number, see --plan, or pass --even-so")
    assert known(workspace) == []
    assert printed(*few, "--even-so") == (
        "first: 4 known positives in the queue; the detector fires on 0, and 0 will show its "
        "boxes\n"
        f"next: sixrayd review serve --background -w {workspace.root}\n"
    )
    assert "in the queue, nothing added, as they are chosen once; the detector" in printed(*few)
    result = json.loads(printed(*few, "--json"))
    assert result == asdict(KnownResult("first", 4, 0, 0, False))
    refused = runner.invoke(command, ["-w", str(workspace.root), "--plan"])
    assert (refused.exit_code, "--plan: only with --from positives" in refused.output) == (2, True)


def test_a_number_is_of_positives():
    with pytest.raises(SettingsError, match=r"^--number 3: expected 1 or more, with --from posi"):
        PlantSettings(number=3)
    with pytest.raises(SettingsError, match=r"^--from 'dice': expected projections or positives$"):
        PlantSettings(origin="dice")


def test_ids_of_many_digits_are_drawn(tmp_path):
    build_shards(workspace := Workspace(tmp_path), [Picture(f"N{'9' * 40}")])
    ids = new_ids(Index.load(workspace), set(), 3, np.random.default_rng(0))
    assert len(set(ids)) == 3
    assert all(image_id.startswith(f"N{'9' * 22}") for image_id in ids)
