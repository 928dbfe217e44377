"""Negatives that resemble positives: hashes against brute force, features on real images."""

import io
import tracemalloc
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, save_weights
from sixrayd.imaging import hashes as hashing
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import perceptual_hash
from sixrayd.review.queue import duplicates
from sixrayd.review.queue.duplicates import (
    DuplicateSettings,
    near_pairs,
    near_positives,
    positive_boxes,
    scaled_boxes,
)
from tests.workspaces import (
    BOB,
    MISSED,
    NOTHING,
    UNSURE,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
    finish,
    jpeg,
)

LOOSE = DuplicateSettings(min_similarity=0.0)


@dataclass
class Scan(Picture):
    """A picture of a bag, at a size, a quality and a brightness."""

    bag: int = 0
    size_wh: tuple = (96, 64)
    quality: int = 90
    gain: float = 1.0

    @property
    def data(self):
        pixels = np.asarray(Image.open(io.BytesIO(jpeg(self.bag))), float) * self.gain
        pixels = cv2.resize(pixels.astype(np.uint8), self.size_wh, interpolation=cv2.INTER_CUBIC)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=self.quality)
        return file.getvalue()


def build(root, scans):
    """A workspace whose index has the scans' own sizes and hashes, and a detector of chance."""
    workspace = Workspace(root)
    build_shards(workspace, scans)
    index = Index.load(workspace)
    sizes = {scan.image_id: scan.size_wh for scan in scans}
    rows = index.table.to_pylist()
    for row in rows:
        image = decode_rgb(index.read(row["image_id"]), row["image_id"])
        row["phash"] = perceptual_hash(image)
        row["width"], row["height"] = sizes[row["image_id"]]
    write_table(workspace.shards / "index.parquet", rows, INDEX_SCHEMA)
    torch.manual_seed(0)
    detector = build_detector("ssd-small", ClassList(("Gun", "Knife")), 96)
    detector.initialise()
    checkpoint = Checkpoint("ssd-small", detector, ClassList(("Gun", "Knife")))
    weights = workspace.folder("models", "chance") / "weights.safetensors"
    save_weights(weights, checkpoint, detector.state_dict())
    finish(workspace, "models", "chance")
    return workspace


SCANS = [
    Scan("P00001", labels=("Gun",), boxes=(("Gun", 5, 6, 30, 40, False),), bag=1),
    Scan("P00002", labels=("Gun",), boxes=(("Gun", 60, 6, 96, 64, False),), bag=2),
    Scan("P00003", labels=("Gun",), bag=3),
    Scan("N0000001", bag=1, size_wh=(192, 96), quality=60),
    Scan("N0000002", bag=4),
    Scan("N0000003", bag=2, gain=0.97),
    Scan("N0000004", bag=4, quality=70),
    Scan("N0000005", bag=3),
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return build(tmp_path_factory.mktemp("duplicates") / "workspace", SCANS)


def test_copies_are_found_with_their_boxes(workspace):
    found = near_positives(workspace)

    assert [(each.image_id, each.positive) for each in found] == [
        ("N0000005", "P00003"),
        ("N0000001", "P00001"),
        ("N0000003", "P00002"),
    ]
    exact, wider, paler = found
    assert (exact.distance, exact.boxes) == (0, ())
    assert exact.similarity == pytest.approx(1, abs=1e-5)
    assert paler.boxes == (Box("Gun", 60, 6, 96, 64),)
    assert wider.boxes == (Box("Gun", 10, 9, 60, 60),)
    assert all(each.distance <= 6 and 0.95 <= each.similarity <= 1 for each in found)
    assert near_positives(workspace) == found


def test_batches_change_nothing_but_rounding(workspace):
    one, many = (near_positives(workspace, replace(LOOSE, batch=size)) for size in (1, 16))

    assert len(one) == len(many) >= 3
    for first, second in zip(one, many, strict=True):
        assert replace(first, similarity=0) == replace(second, similarity=0)
        assert first.similarity == pytest.approx(second.similarity, abs=1e-5)


def test_found_images_are_positives_too(tmp_path):
    workspace = build(tmp_path / "workspace", SCANS)
    build_mine(workspace, "first", ["N0000002"])
    gun = ("Gun", -3, 5, 20, 30, "drawn", "")
    build_review(workspace, "first", ["N0000002"], [[Says("N0000002", MISSED, (gun,))]])

    found = {each.image_id: each for each in near_positives(workspace)}

    assert sorted(found) == ["N0000001", "N0000003", "N0000004", "N0000005"]
    assert found["N0000004"].positive == "N0000002"
    assert found["N0000004"].boxes == (Box("Gun", 0, 5, 20, 30),)


def test_what_reviewers_must_say_for_an_image_to_be_a_positive(tmp_path):
    workspace = build(tmp_path / "workspace", SCANS)
    gun, knife = (
        (("Gun", 1, 2, 3, 4, "drawn", ""),),
        (("Knife", 5, 6, 7, 8, "confirmed", "N0000001/rfb/0"),),
    )
    names = [f"N000000{n}" for n in range(1, 6)]
    build_mine(workspace, "first", names)
    later = {"reviewer": BOB, "decided_at": "2026-01-03T10:00:00+00:00"}
    rounds = [
        [Says(name, MISSED, gun) for name in names],
        [
            Says(names[0], MISSED, knife, **later),
            Says(names[1], NOTHING, **later),
            Says(names[2], UNSURE, **later),
            Says(names[3], NOTHING, **later, lane="adjudication"),
        ],
        [Says(names[1], MISSED, knife, "eve@example.org", lane="adjudication")],
    ]
    build_review(workspace, "first", names, rounds)

    boxes = positive_boxes(workspace, Index.load(workspace))

    assert boxes == {
        "P00001": (Box("Gun", 5, 6, 30, 40),),
        "P00002": (Box("Gun", 60, 6, 96, 64),),
        "P00003": (),
        names[0]: (Box("Knife", 5, 6, 7, 8),),
        names[1]: (Box("Knife", 5, 6, 7, 8),),
        names[4]: (Box("Gun", 1, 2, 3, 4),),
    }


def test_adjudicators_who_differ_make_no_positive_whoever_came_last(tmp_path):
    workspace = build(tmp_path / "workspace", SCANS)
    build_mine(workspace, "first", ["N0000001"])
    gun = (("Gun", 1, 2, 3, 4, "drawn", ""),)
    first = Says("N0000001", NOTHING, (), "dora@example.org", lane="adjudication")
    last = Says("N0000001", MISSED, gun, "eve@example.org", lane="adjudication")
    build_review(workspace, "first", ["N0000001"], [[first], [last]])

    assert "N0000001" not in positive_boxes(workspace, Index.load(workspace))


def test_without_anything_near_no_model_is_needed(tmp_path):
    workspace = build(tmp_path / "workspace", SCANS[:3])
    (workspace.folder("models", "chance") / "run.json").unlink()

    assert near_positives(workspace) == []

    workspace = build(tmp_path / "other", SCANS)
    (workspace.folder("models", "chance") / "run.json").unlink()
    with pytest.raises(WorkspaceError, match=r"nothing yet; run `sixrayd train -w "):
        near_positives(workspace)


def test_boxes_outside_the_image_are_dropped(workspace):
    index = Index.load(workspace)
    small, wide = (index.record(name) for name in ("P00001", "N0000001"))
    boxes = (Box("Gun", -9, 0, 0, 9), Box("Knife", 90, 60, 99, 70))

    assert scaled_boxes(boxes, small, wide) == (Box("Knife", 180, 90, 192, 96),)


def test_a_hash_that_too_many_share_says_nothing(workspace, monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_GROUP", 0)

    assert near_positives(workspace, LOOSE) == []
    assert hashing.MAX_GROUP == 500


def brute_force(hashes, known, max_distance, nearest):
    """(place, known place, bits), by comparing all."""
    found = []
    for place, value in enumerate(hashes):
        bits = [(int(a ^ b).bit_count(), n) for n, (a, b) in enumerate((value, k) for k in known)]
        near = [(place, n, d) for d, n in sorted(bits) if d <= max_distance]
        found += near[:nearest]
    return found


@pytest.mark.parametrize("max_distance", [0, 1, 6, 16])
@pytest.mark.parametrize("at_once", [7, 1 << 22])
def test_near_pairs_are_those_of_comparing_all(max_distance, at_once, monkeypatch):
    monkeypatch.setattr(duplicates, "_PAIRS", at_once)
    rng = np.random.default_rng(max_distance)
    seeds = rng.integers(0, 2**63, 12, np.uint64)
    hashes = np.repeat(seeds, 8)
    for _ in range(6):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes), np.uint64))

    pairs, distances = near_pairs(hashes[:60], hashes[40:], max_distance, 3)

    found = [(int(a), int(b), int(d)) for (a, b), d in zip(pairs, distances, strict=True)]
    assert found == brute_force(hashes[:60], hashes[40:], max_distance, 3)
    assert len(found) >= 20


def test_crowd_of_near_keys_takes_little_memory(monkeypatch):
    monkeypatch.setattr(duplicates, "_PAIRS", 1 << 16)
    rng = np.random.default_rng(0)
    keys = np.zeros(800, np.uint64)  # 640,000 pairs, each near
    for _ in range(3):
        keys ^= np.uint64(1) << rng.integers(0, 64, len(keys), np.uint64)
    tracemalloc.start()
    try:
        pairs, _ = near_pairs(keys, keys, 6, 3)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert len(pairs) == 3 * len(keys)


@pytest.mark.parametrize(("hashes", "known"), [(0, 3), (3, 0), (0, 0)])
def test_no_pairs_of_nothing(hashes, known):
    pairs, distances = near_pairs(*(np.zeros(n, np.uint64) for n in (hashes, known)), 6, 3)

    assert pairs.shape == (0, 2)
    assert distances.shape == (0,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_distance": 17}, "distance 17 and similarity 0.95: need 0 to 16 bits"),
        ({"min_similarity": 1.5}, "distance 6 and similarity 1.5: need 0 to 16 bits and 0 to 1"),
        ({"nearest": 0}, "nearest 0: needs to be at least 1"),
        ({"batch": 0}, "batch 0: needs to be at least 1"),
    ],
)
def test_settings_out_of_range(wrong, message):
    with pytest.raises(SettingsError, match=message):
        DuplicateSettings(**wrong)
