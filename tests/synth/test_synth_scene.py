"""Scenes: how many threats, how large, and boxes that fit their shadows."""

import numpy as np
import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.classes import default_classes
from sixrayd.synth.layout import LIMITS_WH, lay_out, picture_size
from sixrayd.synth.projection import DepthMap, Pose
from sixrayd.synth.scene import (
    BUILDERS,
    DAILY,
    DEVICES,
    LOOSE,
    METAL,
    SOFT,
    VISIBLE_DEPTH,
    Scene,
    Threat,
    build_scene,
    rescan,
    widen,
)

SEEDS = range(6)


def scenes(kind: str) -> list[Scene]:
    """A few scenes of one kind."""
    return [build_scene(kind, default_classes(), np.random.default_rng(seed)) for seed in SEEDS]


def tight(threat: Threat) -> Box:
    """The box of a mask, found pixel by pixel."""
    rows, columns = np.nonzero(threat.mask)
    return Box(threat.label, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_positive_boxes_are_tight_and_inside() -> None:
    found = scenes("positive")
    boxes = [box for scene in found for box in scene.boxes()]
    assert boxes == [tight(threat) for scene in found for threat in scene.threats]
    assert len(boxes) >= len(found)
    for scene in found:
        height, width = scene.depth.shape[1:]
        for box in scene.boxes():
            assert 0 <= box.x1 < box.x2 <= width
            assert 0 <= box.y1 < box.y2 <= height


@pytest.mark.long
def test_shadow_is_where_the_depth_is() -> None:
    for scene in scenes("positive"):
        assert all((scene.depth[0][t.mask] > VISIBLE_DEPTH).all() for t in scene.threats)


@pytest.mark.long
def test_kinds_differ_in_what_they_hold() -> None:
    assert [len(scene.threats) for scene in scenes("clean")] == [0] * 6
    assert {len(scene.threats) for scene in scenes("hidden")} <= {1, 2}
    assert max(len(scene.threats) for scene in scenes("positive")) > 1


def test_only_the_classes_asked_for() -> None:
    scene = build_scene("positive", ("Gun",), np.random.default_rng(4))
    assert {threat.label for threat in scene.threats} == {"Gun"}


@pytest.mark.parametrize("label", default_classes())
def test_every_class_draws_in_every_pose(label) -> None:
    rng = np.random.default_rng(7)
    for _ in range(12):
        item = BUILDERS[label](rng)
        assert item.name == label
        assert 9 <= max(item.extent_cm()) <= 36
        belt = DepthMap(240, 240)
        low, high = item.bounds_cm()
        scale = 200 / float(np.linalg.norm(high - low))
        pose = Pose((120, 120), scale, rng.uniform(0, 360), rng.uniform(0, 50), rng.uniform(0, 180))
        belt.add(item, pose)
        assert np.isfinite(belt.depth).all()
        assert (belt.depth >= -1e-4).all()
        assert (belt.depth[0] > VISIBLE_DEPTH).sum() > 400


@pytest.mark.parametrize(
    "build", dict.fromkeys((*SOFT, *DAILY, *DEVICES, *METAL, *LOOSE)), ids=lambda f: f.__name__
)
def test_clutter_draws_and_is_never_named_contraband(build) -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        item = build(rng)
        assert item.name not in default_classes()
        belt = DepthMap(300, 300)
        belt.add(item, Pose((150, 150), 6, rng.uniform(0, 360), 20, 30))
        assert (belt.depth >= -1e-4).all()
        assert (belt.depth[0] > 0).any()


@pytest.mark.long
def test_rescan_shows_nearly_the_same_bags() -> None:
    scene = scenes("positive")[0]
    again = rescan(scene, np.random.default_rng(2))
    assert [t.label for t in again.threats] == [t.label for t in scene.threats]
    assert again.boxes() == tuple(tight(threat) for threat in again.threats)
    moved = [np.subtract(a.xyxy, b.xyxy) for a, b in zip(again.boxes(), scene.boxes(), strict=True)]
    assert 0 < np.abs(moved).max() < 15
    assert np.corrcoef(again.depth[1].ravel(), scene.depth[1].ravel())[0, 1] > 0.8


def test_sizes_spread_as_in_the_release() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([picture_size(rng) for _ in range(4000)])
    assert np.median(sizes, axis=0) == pytest.approx([600, 572], rel=0.05)
    for side in (0, 1):
        assert sizes[:, side].min() >= LIMITS_WH[side][0]
        assert sizes[:, side].max() <= LIMITS_WH[side][1]


def test_bags_lie_in_the_picture_at_one_scale() -> None:
    rng = np.random.default_rng(1)
    counts = set()
    for _ in range(200):
        width, height = picture_size(rng)
        places = lay_out(width, height, rng)
        counts.add(len(places))
        assert len({place.scale for place in places}) == 1
        for place in places:
            assert 0 <= place.at[0] <= width
            assert 0 <= place.at[1] <= height
    assert counts == {1, 2, 3}


def test_same_generator_same_scene() -> None:
    first, second = (
        build_scene("hidden", default_classes(), np.random.default_rng(9)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.depth, second.depth)
    assert first.boxes() == second.boxes()


def test_a_wider_belt_moves_boxes_and_changes_nothing_else() -> None:
    scene = scenes("positive")[0]
    height, width = scene.depth.shape[1:]

    wide = widen(scene, 0.5, np.random.default_rng(1))

    rows, columns = wide.depth.shape[1:]
    assert (height, width) < (rows, columns) <= (2 * height, 2 * width)
    assert wide.depth.sum(dtype=np.float64) == scene.depth.sum(dtype=np.float64)
    moved = {
        (new.x1 - old.x1, new.y1 - old.y1, new.x2 - old.x2, new.y2 - old.y2)
        for old, new in zip(scene.boxes(), wide.boxes(), strict=True)
    }
    assert len(moved) == 1
    dx, dy = next(iter(moved))[:2]
    assert 0 < dx <= 0.5 * width and 0 < dy <= 0.5 * height
    assert (wide.depth[:, :, : int(dx)] == 0).all()
