"""The projector against Beer-Lambert, hand-worked chords and volumes."""

import math

import numpy as np
import pytest

from sixrayd.synth.materials import (
    ALUMINIUM,
    HIGH_BAND,
    LOW_BAND,
    MASS_ATTENUATION,
    STEEL,
    WATER,
    linear_attenuation,
)
from sixrayd.synth.outlines import ellipse, points, rectangle
from sixrayd.synth.projection import DepthMap, Pose
from sixrayd.synth.solids import Solid, Thing, Wire

POSE = Pose((100.0, 80.0), 10.0)


def depth_of(*parts: Solid | Wire, pose: Pose = POSE) -> np.ndarray:
    """(2, 160, 200) optical depth of parts before the beam."""
    belt = DepthMap(200, 160)
    belt.add(Thing("thing", parts), pose)
    return belt.depth


def test_bands_are_means_over_energies() -> None:
    assert sum(LOW_BAND) == pytest.approx(1)
    assert sum(HIGH_BAND) == pytest.approx(1)
    assert {len(row) for row in MASS_ATTENUATION.values()} == {6}
    # 2.70 g/cm3 x (0.25 x 0.5685 + 0.35 x 0.3681 + 0.25 x 0.2778 + 0.15 x 0.2018)
    assert linear_attenuation(ALUMINIUM)[0] == pytest.approx(1.000836, abs=1e-6)
    # 2.70 g/cm3 x (0.05 x 0.2778 + 0.25 x 0.2018 + 0.35 x 0.1704 + 0.35 x 0.1378)
    assert linear_attenuation(ALUMINIUM)[1] == pytest.approx(0.464967, abs=1e-6)


def test_ratio_of_bands_orders_materials() -> None:
    ratios = [low / high for low, high in map(linear_attenuation, (WATER, ALUMINIUM, STEEL))]
    assert ratios == pytest.approx([1.337, 2.152, 4.855], abs=0.001)


@pytest.mark.parametrize("material", [WATER, ALUMINIUM, STEEL])
def test_slab_transmits_as_beer_lambert_says(material) -> None:
    belt = DepthMap(200, 160)
    belt.add(Thing("slab", (Solid(material, (rectangle(12, 8),), 0.7),)), POSE)
    inside = np.exp(-belt.depth)[:, 80, 100]
    expected = [math.exp(-mu * 0.7) for mu in linear_attenuation(material)]
    assert inside == pytest.approx(expected, rel=1e-5)
    assert np.exp(-belt.depth)[:, 5, 5].tolist() == [1.0, 1.0]


def test_overlapping_objects_multiply() -> None:
    water = Solid(WATER, (rectangle(12, 8),), 3.0)
    steel = Solid(STEEL, (ellipse(3, 3),), 0.2)
    both, first, second = (np.exp(-depth_of(*p)) for p in ((water, steel), (water,), (steel,)))
    np.testing.assert_allclose(both, first * second, rtol=1e-5)


def test_cylinder_has_the_chord_of_a_circle() -> None:
    bar = Solid(WATER, (rectangle(16, 6),), 6.0, round_cm=3.0)
    column = depth_of(bar)[0, :, 100] / linear_attenuation(WATER)[0]
    for offset_cm in (0.0, 1.0, 2.0, 2.5):
        chord = 2 * math.sqrt(9 - offset_cm**2)
        assert column[80 + round(offset_cm * 10)] == pytest.approx(chord, rel=0.06)


def test_wall_leaves_two_sheets_in_the_middle() -> None:
    case = Solid(ALUMINIUM, (rectangle(10, 10),), 4.0, wall_cm=0.25)
    depth = depth_of(case)[0] / linear_attenuation(ALUMINIUM)[0]
    assert depth[80, 100] == pytest.approx(0.5, rel=1e-5)
    assert depth[80, 51] == pytest.approx(4.0, rel=1e-5)


def test_hole_lets_the_beam_through() -> None:
    ring = Solid(STEEL, (ellipse(4, 4),), 0.5, holes=(ellipse(2, 2),))
    depth = depth_of(ring)
    assert depth[:, 80, 100].tolist() == [0.0, 0.0]
    assert depth[0, 80, 130] == pytest.approx(0.5 * linear_attenuation(STEEL)[0], rel=1e-5)


@pytest.mark.parametrize("tilt_deg", [0.0, 20.0, 45.0])
def test_tilt_keeps_the_volume(tilt_deg) -> None:
    plate = Solid(WATER, (rectangle(8, 6),), 1.5)
    depth = depth_of(plate, pose=Pose((100.0, 80.0), 10.0, 30.0, tilt_deg, 70.0))
    volume_cm3 = depth[0].sum() / linear_attenuation(WATER)[0] / 100
    assert volume_cm3 == pytest.approx(8 * 6 * 1.5, rel=0.04)


def test_tilt_lengthens_the_way_through_a_plate() -> None:
    plate = Solid(WATER, (rectangle(10, 10),), 0.4)
    depth = depth_of(plate, pose=Pose((100.0, 80.0), 10.0, tilt_deg=60.0))
    assert depth[0, 80, 100] == pytest.approx(0.8 * linear_attenuation(WATER)[0], rel=1e-4)


def test_lift_moves_a_tilted_part_sideways() -> None:
    pose = Pose((100.0, 80.0), 10.0, tilt_deg=30.0, axis_deg=0.0)
    low, high = (pose.pixels((points((0, 0)),), lift)[0][0] for lift in (0.0, 2.0))
    assert (high - low).tolist() == pytest.approx([0.0, 10.0], abs=1e-4)


@pytest.mark.parametrize("radius_cm", [0.03, 0.1, 0.15, 0.25, 0.5, 0.7])
def test_wire_keeps_its_section(radius_cm) -> None:
    wire = Wire(STEEL, (points((-6, 0), (6, 0)),), radius_cm)
    column = depth_of(wire)[0, :, 100] / linear_attenuation(STEEL)[0]
    assert column.sum() / 10 == pytest.approx(math.pi * radius_cm**2, rel=0.12)
    assert column.max() <= 2.4 * radius_cm


def test_what_lies_outside_is_left_out() -> None:
    far = Pose((900.0, 80.0), 10.0)
    belt = DepthMap(200, 160)
    belt.add(Thing("far", (Solid(STEEL, (rectangle(4, 4),), 1.0),)), far)
    belt.add(Thing("far", (Wire(STEEL, (points((0, 0), (3, 3)),), 0.2),)), far)
    assert float(belt.depth.max()) == 0.0


def test_cut_by_the_edge_is_the_same_as_inside() -> None:
    plate = Solid(STEEL, (rectangle(6, 4),), 1.2)
    inside = depth_of(plate, pose=Pose((100.0, 80.0), 10.0, 10.0, 25.0, 40.0))
    cut = depth_of(plate, pose=Pose((0.0, 80.0), 10.0, 10.0, 25.0, 40.0))
    # OpenCV rounds an outline that it clips a little otherwise.
    assert np.abs(cut[:, :, :90] - inside[:, :, 100:190]).sum() < 0.01 * cut.sum()
