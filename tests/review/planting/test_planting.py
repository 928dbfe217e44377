"""Planting threats: which items, which scans, what is kept, and who found what."""

import hashlib
import shutil
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sixrayd.core.boxes import Box, iou_matrix
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file, write_bytes
from sixrayd.core.index import Annotation, Index
from sixrayd.core.records import CANDIDATE_SCHEMA, DECISION_SCHEMA, Kind, Verdict
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.decision import DecidedBox, Decision
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, save_weights
from sixrayd.imaging.decode import decode_rgb
from sixrayd.review.planting.plant import choose_alone, detect_planted, plant
from sixrayd.review.planting.planted import (
    PLANTED_SCHEMA,
    planted_decisions,
    planted_folder,
    planted_image,
    planted_rows,
)
from sixrayd.review.planting.rates import HitRate, hit_rates
from sixrayd.review.settings import PlantSettings
from tests.releases import encode
from tests.workspaces import (
    NOTHING,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
    build_splits,
)

SIZE_WH = (240, 200)
ITEM = (60, 70, 126, 94)


class Bag(Picture):
    """A scan of its own: orange cloth on white, in positives a blue bar."""

    @property
    def data(self):
        number = int(self.image_id[1:]) + 10_000 * (self.image_id[0] == "P")
        return scan_of(number, bool(self.boxes))


@cache
def scan_of(number, barred):
    rng = np.random.default_rng(number)
    scan = np.full((SIZE_WH[1], SIZE_WH[0], 3), 255.0)
    scan[15:185, 15:225] = (244, 190, 120)
    x, y = rng.integers(20, 160, 2)
    scan[y : y + 20, x : x + 40] *= 0.8
    if barred:
        scan[70:94, 60:126] *= np.array((28, 112, 178)) / 255
    scan = np.clip(scan + rng.normal(0, 2, scan.shape), 0, 255).astype(np.uint8)
    return encode(Image.fromarray(scan), "JPEG")


def positive(number, split="test", box=ITEM, **more):
    return Bag(f"P{number:05d}", split, ("Wrench",), (("Wrench", *box, False),), **more)


def save_model(workspace, name="rfb", seen=()):
    """Weights that nobody trained: they fire on next to nothing."""
    torch.manual_seed(0)
    detector = build_detector("rfb-small", workspace.classes(), 128)
    folder = workspace.folder("models", name)
    save_weights(
        folder / "weights.safetensors",
        Checkpoint("rfb-small", detector, workspace.classes()),
        detector.state_dict(),
    )
    write_bytes(folder / "seen.txt", "".join(f"{i}\n" for i in seen).encode())
    files = ("weights.safetensors", "seen.txt")
    outputs = {file: sha256_file(folder / file) for file in files}
    workspace.finish(Run("models", name, {}, {}, outputs))


def build(root, *, flagged=100, negatives=112, positives=None, seen=("P00009",), threshold=0.3):
    """A mining that flags the first negatives; the last twelve are unflagged."""
    workspace = Workspace(root)
    positives = positives or [positive(1), positive(2), positive(3, "train"), positive(9)]
    pictures = [*positives, *(Bag(f"N{n:07d}") for n in range(1, negatives + 1))]
    build_shards(workspace, pictures, images_per_shard=50)
    save_model(workspace, seen=seen)
    build_mine(workspace, "first", [f"N{n:07d}" for n in range(1, flagged + 1)])
    settings = {"model": "rfb", "threshold": threshold, "mirror": False}
    workspace.finish(Run("mine", "first", settings, {}))
    return workspace


class Strip(Bag):
    """An image longer than OpenCV remaps, and brightly coloured at an end."""

    @property
    def data(self):
        strip = np.full((16, 33_000, 3), 255, np.uint8)
        strip[4:12, :9000] = (28, 112, 178)
        return encode(Image.fromarray(strip), "JPEG")


def test_too_large_scans_are_passed_over(tmp_path):
    workspace = Workspace(tmp_path / "w")
    strips = [Strip(f"N{n:07d}") for n in range(101, 113)]
    clean = [Bag(f"N{n:07d}") for n in range(1, 101)]
    build_shards(workspace, [positive(1), positive(2), *clean, *strips], images_per_shard=50)
    save_model(workspace)
    build_mine(workspace, "first", [f"N{n:07d}" for n in range(1, 101)])
    settings = {"model": "rfb", "threshold": 0.3, "mirror": False}
    workspace.finish(Run("mine", "first", settings, {}))
    plant(workspace, PlantSettings(name="first", even_so=True))
    targets = {row["target"] for row in planted_rows(workspace, "first")}
    assert targets
    assert not targets & {strip.image_id for strip in strips}


def contents(workspace):
    folder = planted_folder(workspace, "first")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def planted(built, tmp_path_factory):
    workspace = Workspace(shutil.copytree(built.root, tmp_path_factory.mktemp("planted") / "ws"))
    return workspace, plant(workspace, PlantSettings(even_so=True))


@pytest.fixture
def workspace(built, tmp_path):
    """A copy of its own, nothing planted yet."""
    return Workspace(shutil.copytree(built.root, tmp_path / "workspace"))


def test_items_are_of_the_test_side_that_the_model_goes_by(workspace):
    build_splits(workspace, given={"P00001": "train", "P00003": "test", "P00009": "test"})
    run = workspace.run("models", "rfb")
    workspace.finish(replace(run, settings={"split": "given"}))

    plant(workspace, PlantSettings(even_so=True))

    items = {row["item"] for row in planted_rows(workspace, "first")}
    assert items == {"P00003/a0", ""}  # shams have none; P00009 was learnt from


def test_two_per_cent_are_planted_and_as_many_shams(planted):
    workspace, result = planted
    rows = planted_rows(workspace, "first")

    assert (result.name, result.planted, result.shams) == ("first", 2, 2)
    assert (result.with_proposals, result.fresh) == (1, True)
    assert [row["kind"] for row in rows].count(Kind.PLANTED) == 2
    assert [row["kind"] for row in rows].count(Kind.SHAM) == 2


def test_items_are_of_test_positives_that_no_model_has_seen(planted):
    workspace, _ = planted
    items = {row["item"] for row in planted_rows(workspace, "first") if row["kind"] == "planted"}

    assert items == {"P00001/a0", "P00002/a0"}


def test_targets_are_unflagged_negatives_each_used_once(planted):
    workspace, _ = planted
    targets = [row["target"] for row in planted_rows(workspace, "first")]

    assert len(set(targets)) == 4
    assert all("N0000101" <= target <= "N0000112" for target in targets)


def test_ids_look_like_the_releases_and_are_new(planted):
    workspace, _ = planted
    ids = [row["image_id"] for row in planted_rows(workspace, "first")]

    assert len(set(ids)) == 4
    assert all(i[0] == "N" and len(i) == 8 and int(i[1:]) > 112 for i in ids)
    assert ids == sorted(ids)


def test_the_item_is_in_its_box_and_shams_hold_nothing(planted):
    workspace, _ = planted
    index_rows = planted_rows(workspace, "first")
    index = Index.load(workspace)
    for row in index_rows:
        data = planted_image(workspace, "first", row)
        scan, target = decode_rgb(data, "a"), decode_rgb(index.read(row["target"]), "b")
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert scan.shape == (row["height"], row["width"], 3) == target.shape
        darker = np.abs(target.astype(int) - scan).max(axis=2) > 40
        if row["kind"] == Kind.SHAM:
            assert not darker.any()
            assert (row["item"], row["label"], row["size"], row["with_proposals"]) == (
                "",
                "",
                "",
                False,
            )
            continue
        y, x = np.nonzero(
            cv2.morphologyEx(darker.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
        )
        seen = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], float)
        box = np.array([[row[k] for k in ("x1", "y1", "x2", "y2")]])
        assert iou_matrix(seen, box)[0, 0] > 0.75
        assert (row["label"], row["size"], row["scale"]) == ("Wrench", "medium", 1.0)


def test_planting_again_adds_nothing(planted):
    workspace, result = planted
    before = contents(workspace)

    again = plant(workspace, PlantSettings(seed=5, even_so=True))

    assert len(before) == 6
    assert contents(workspace) == before
    assert (again.planted, again.fresh) == (result.planted, False)


def test_an_interrupted_planting_ends_in_the_same_bytes(planted, workspace):
    folder = planted_folder(workspace, "first")
    write_bytes(folder / "images" / "N0000900.jpg", b"left by a planting that was killed")

    plant(workspace, PlantSettings(even_so=True))

    assert contents(workspace) == contents(planted[0])
    (folder / "planted.parquet").unlink()
    plant(workspace, PlantSettings(even_so=True))
    assert contents(workspace) == contents(planted[0])


def test_cleared_images_serve_where_unflagged_ones_are_used_up(tmp_path):
    workspace = build(tmp_path, negatives=102)
    cleared, unsure = "N0000001", "N0000002"
    answers = [Says(f"N{n:07d}", NOTHING) for n in (1, 3, 4, 5)] + [Says(unsure, "unsure")]
    build_review(workspace, "first", [cleared, unsure], [answers])

    plant(workspace, PlantSettings(even_so=True))

    targets = {row["target"] for row in planted_rows(workspace, "first")}
    assert {"N0000101", "N0000102"} <= targets | {"N0000001", "N0000003", "N0000004", "N0000005"}
    assert len(targets) == 4
    assert targets <= {"N0000101", "N0000102", "N0000001", "N0000003", "N0000004", "N0000005"}


@pytest.mark.parametrize(
    ("build_with", "message"),
    [
        ({"flagged": 49}, "49 images are flagged, and a share of 0.02 of them is not one"),
        ({"seen": ("P00001", "P00002", "P00009")}, "0 boxes of test images that no model"),
    ],
)
def test_what_is_missing_is_said(tmp_path, build_with, message):
    workspace = build(tmp_path, **build_with)

    with pytest.raises(WorkspaceError, match=message):
        plant(workspace, PlantSettings(even_so=True))
    assert planted_rows(workspace, "first") == []


@pytest.mark.parametrize("wrong", [{"share": 0.03}, {"share": 0.0}, {"shams": -1.0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="need"):
        PlantSettings(**wrong)


def test_an_image_that_was_changed_is_not_shown(workspace):
    plant(workspace, PlantSettings(even_so=True))
    row = planted_rows(workspace, "first")[0]
    (planted_folder(workspace, "first") / "images" / f"{row['image_id']}.jpg").unlink()

    with pytest.raises(WorkspaceError, match="not the image that was planted"):
        planted_image(workspace, "first", row)


def test_answers_are_kept_beside_what_was_planted(workspace):
    folder = planted_folder(workspace, "first") / "decisions"
    row = {
        "image_id": "N0000120", "version": 1, "verdict": "unsure", "reviewer": "ann",
        "decided_at": "2026-01-02T10:00:00+00:00", "lead_time_s": 2.0, "server": "s", "task": 1,
        "annotation": 1, "lane": "1", "follows": 0, "withdrawn": False, "boxes": [],
        **({"note": ""} if "note" in DECISION_SCHEMA.names else {}),
    }  # fmt: skip
    write_table(folder / "00001.parquet", [row], DECISION_SCHEMA)

    (decision,) = planted_decisions(workspace, "first")

    assert (decision.image_id, decision.verdict) == ("N0000120", Verdict.UNSURE)


def test_duplicates_of_positives_are_no_targets(workspace):
    path = workspace.shards / "index.parquet"
    table = pq.read_table(path)
    near = {f"N{n:07d}" for n in range(101, 109)}
    groups = ["P00003" if i in near else i for i in table["image_id"].to_pylist()]
    place = table.schema.get_field_index("group")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(groups)), path)

    plant(workspace, PlantSettings(even_so=True))

    targets = {row["target"] for row in planted_rows(workspace, "first")}
    assert len(targets) == 4 and targets.isdisjoint(near)


def test_where_all_is_flagged_the_faintest_are_targets(tmp_path):
    workspace = build(tmp_path, negatives=100)
    rows = pq.read_table(workspace.folder("mine", "first") / "candidates.parquet").to_pylist()
    scores = {row["image_id"]: row["image_score"] for row in rows}

    plant(workspace, PlantSettings(even_so=True))

    targets = {row["target"] for row in planted_rows(workspace, "first")}
    middle = sorted(scores.values())[len(scores) // 2]
    assert len(targets) == 4 and all(scores[target] < middle for target in targets)


def test_only_things_whole_and_alone_are_taken():
    def annotated(number, box, difficult=False, truncated=False):
        return Annotation(f"P1/a{number}", "P1", Box("Gun", *box), difficult, truncated)

    boxes = [
        annotated(0, (0, 0, 10, 10)),
        annotated(1, (9, 9, 20, 20)),  # touches the first
        annotated(2, (30, 30, 40, 40), difficult=True),
        annotated(3, (50, 50, 60, 60), truncated=True),
        annotated(4, (70, 70, 80, 80)),
    ]

    assert [a.box_id for a in choose_alone(boxes)] == ["P1/a4"]
    assert choose_alone([]) == []


def test_the_minings_model_looks_at_what_was_planted(tmp_path):
    """Untrained weights give every class about the same score, which passes a low threshold."""
    workspace = build(tmp_path, threshold=0.05)

    result = plant(workspace, PlantSettings(even_so=True))

    path = planted_folder(workspace, "first") / "detections.parquet"
    rows = pq.read_table(path).to_pylist()
    assert result.detected == 2
    assert {row["image_id"] for row in rows} == {
        row["image_id"] for row in planted_rows(workspace, "first")
    }
    assert len({row["box_id"] for row in rows}) == len(rows) > 4
    assert all(row["box_id"].startswith(f"{row['image_id']}/first/") for row in rows)
    better = pq.read_table(workspace.folder("mine", "first") / "candidates.parquet")["score"]
    for row in rows:
        assert row["image_score"] >= row["score"] > 0.05
        above = sum(score > row["image_score"] for score in better.to_pylist())
        assert row["rank"] == above + 1
    again = detect_planted(workspace, "first")
    assert [row["box_id"] for row in again] == [row["box_id"] for row in rows]


def shown(image_id, kind=Kind.PLANTED, label="Gun", size="small"):
    box = (10.0, 10.0, 50.0, 30.0) if kind == Kind.PLANTED else (0.0,) * 4
    known = {"image_id": image_id, "kind": str(kind), "label": label, "size": size}
    return known | dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))


def says(image_id, reviewer, verdict, *boxes, withdrawn=False):
    drawn = tuple(DecidedBox(Box("Knife", *box), "drawn", "") for box in boxes)
    return Decision(
        image_id, "first", 1, verdict, reviewer, "2026-01-02T10:00:00+00:00", 1.0, "s",
        int(image_id[1:]), len(reviewer) + ord(reviewer[0]), "1", withdrawn, drawn,
    )  # fmt: skip


def test_hit_rates_are_counted_by_hand():
    rows = [
        shown("N1"),
        shown("N2", label="Knife", size="large"),
        shown("N3", Kind.SHAM, "", ""),
        shown("N4", Kind.SHAM, "", ""),
    ]
    near, off = (12.0, 8.0, 60.0, 34.0), (40.0, 20.0, 80.0, 60.0)
    decisions = [
        says("N1", "ann", Verdict.MISSED, near),
        says("N2", "ann", Verdict.MISSED, off),
        says("N3", "ann", Verdict.MISSED, off),
        says("N4", "ann", Verdict.NOTHING),
        says("N1", "bob", Verdict.UNSURE),
        says("N2", "bob", Verdict.MISSED, off, near),
        says("N4", "bob", Verdict.MISSED, near, withdrawn=True),
    ]
    detection = {
        "image_id": "N1",
        "label": "Gun",
        **dict(zip(("x1", "y1", "x2", "y2"), near, strict=True)),
    }

    rates = {(r.who, r.kind, r.label, r.size): r for r in hit_rates(rows, decisions, [detection])}

    counted = {key: (r.hits, r.shown) for key, r in rates.items() if key[2:] == ("", "")}
    assert counted == {
        ("ann", Kind.PLANTED, "", ""): (1, 2),
        ("ann", Kind.SHAM, "", ""): (1, 2),
        ("bob", Kind.PLANTED, "", ""): (1, 2),
        ("detector", Kind.PLANTED, "", ""): (1, 2),
        ("detector", Kind.SHAM, "", ""): (0, 2),
    }
    assert rates["ann", Kind.PLANTED, "Gun", "small"].hits == 1
    assert rates["ann", Kind.PLANTED, "Knife", ""].hits == 0
    assert rates["bob", Kind.PLANTED, "", "large"].hits == 1
    whole = rates["detector", Kind.PLANTED, "", ""]
    assert whole == HitRate(
        "detector", Kind.PLANTED, "", "", 1, 2, 0.5, pytest.approx(0.09453, abs=1e-5),
        pytest.approx(0.90547, abs=1e-5),
    )  # fmt: skip
    assert hit_rates([], [], []) == ()


def test_schemas_of_the_files(planted):
    workspace, _ = planted
    folder = planted_folder(workspace, "first")
    assert pq.read_schema(folder / "planted.parquet").equals(PLANTED_SCHEMA)
    assert pq.read_schema(folder / "detections.parquet").equals(CANDIDATE_SCHEMA)
