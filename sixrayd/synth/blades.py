"""Knives and scissors. Frame: x towards the tip, cm."""

import numpy as np

from sixrayd.synth.materials import ABS, FILLED, PVC, STAINLESS, STEEL, WOOD
from sixrayd.synth.outlines import (
    Points,
    ellipse,
    flipped,
    moved,
    points,
    rounded,
    smooth,
    stroke,
)
from sixrayd.synth.solids import Part, Solid, Thing

GRIP_MATERIALS = (ABS, FILLED, WOOD, PVC)


def knife(rng: np.random.Generator) -> Thing:
    """A kitchen knife, a cleaver, a dagger or an open folding knife."""
    kinds = (_kitchen, _kitchen, _cleaver, _dagger, _dagger, _folding)
    return kinds[int(rng.integers(len(kinds)))](rng)


def _kitchen(rng: np.random.Generator) -> Thing:
    length, width = rng.uniform(12, 18), rng.uniform(2.4, 4.6)
    blade = smooth(
        points((-0.3, -width / 2), (length * 0.7, -width * 0.42), (length, width * 0.3),
               (length * 0.75, width * 0.46), (-0.3, width / 2)), closed=True, rounds=1,
    )  # fmt: skip
    ground = Solid(STAINLESS, (blade,), rng.uniform(0.22, 0.36), wedge_cm=width * 0.16)
    return Thing("Knife", (ground, *_handle(rng, width * 0.36)))


def _cleaver(rng: np.random.Generator) -> Thing:
    length, width = rng.uniform(12, 16), rng.uniform(6, 8)
    blade = rounded(length, width, 0.8, (length / 2, width * 0.3))
    nick = ellipse(0.35, 0.35, (length - 1.2, -width * 0.05))
    parts: list[Part] = [Solid(STEEL, (blade,), rng.uniform(0.2, 0.34), (nick,), wedge_cm=0.5)]
    return Thing("Knife", (*parts, *_handle(rng, 1.1)))


def _dagger(rng: np.random.Generator) -> Thing:
    length, width = rng.uniform(12, 18), rng.uniform(2.2, 3.4)
    clip = rng.uniform(0.6, 0.8)
    blade = points(
        (-0.2, -width / 2), (length * clip, -width / 2), (length, width * 0.1),
        (length * 0.88, width * 0.42), (length * 0.6, width / 2), (-0.2, width / 2),
    )  # fmt: skip
    parts: list[Part] = [Solid(STEEL, (blade,), rng.uniform(0.32, 0.5), wedge_cm=width * 0.18)]
    if rng.random() < 0.5:
        teeth = [moved(points((0, 0), (0.5, 0), (0.25, 0.5)), (length * 0.25 + 0.6 * k, -width / 2))
                 for k in range(9)]  # fmt: skip
        parts.append(Solid(STEEL, tuple(teeth), 0.25))
    guard = rounded(0.8, width * rng.uniform(1.6, 2.4), 0.3)
    parts.append(Solid(STEEL, (guard,), 1.0))
    return Thing("Knife", (*parts, *_handle(rng, width * 0.42, pommel=True)))


def _folding(rng: np.random.Generator) -> Thing:
    length, width = rng.uniform(9, 12), rng.uniform(2.0, 2.8)
    blade = smooth(
        points((-1.0, -width * 0.4), (length * 0.75, -width * 0.5), (length, width * 0.1),
               (length * 0.6, width * 0.5), (-1.0, width * 0.4)), closed=True, rounds=1,
    )  # fmt: skip
    bend = rng.uniform(-35, 35)
    ground = Solid(STAINLESS, (moved(blade, turn_deg=bend),), 0.32, wedge_cm=width * 0.16)
    pivot = Solid(STEEL, (ellipse(0.55, 0.55),), 1.0)
    return Thing("Knife", (ground, pivot, *_handle(rng, width * 0.5, liners=True)))


def _handle(
    rng: np.random.Generator, half_width: float, pommel: bool = False, liners: bool = False
) -> list[Part]:
    """Handle from x = 0 backwards, with tang and rivets; sometimes all of metal."""
    length = rng.uniform(9.5, 12.5)
    spine = smooth(
        points((0, 0), (-length * 0.5, rng.uniform(-0.2, 0.3)), (-length, rng.uniform(0, 1)))
    )
    half_width = max(1.0, half_width)
    grip = stroke(spine, half_width)
    if rng.random() < 0.25:
        return [Solid(STAINLESS, (grip,), 1.9, round_cm=half_width, wall_cm=0.14)]
    tang = stroke(spine, half_width * (0.75 if liners else rng.uniform(0.35, 0.7)))
    rivets = tuple(ellipse(0.35, 0.35, _xy(spine[int(len(spine) * f)])) for f in (0.2, 0.5, 0.8))
    material = GRIP_MATERIALS[int(rng.integers(len(GRIP_MATERIALS)))]
    parts: list[Part] = [
        Solid(material, (grip,), 1.9, round_cm=half_width),
        Solid(STEEL, (tang,), 0.3),
        Solid(STEEL, rivets, 0.9),
    ]
    if pommel:
        end = rounded(1.0, half_width * 2.1, 0.4, _xy(spine[-1]))
        parts.append(Solid(STEEL, (end,), 1.0, round_cm=0.5))
    return parts


def _xy(point: Points) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def scissors(rng: np.random.Generator) -> Thing:
    """Two crossing blades on a pivot, each running into a finger loop."""
    length = rng.uniform(14, 21)
    opening_deg = rng.uniform(2, 26)
    all_metal = rng.random() < 0.3
    loop = (rng.uniform(2.4, 3.1), rng.uniform(1.6, 2.2))
    parts: list[Part] = []
    for side, turn in ((1, opening_deg), (-1, -opening_deg)):
        for part in _scissor_half(length, loop, all_metal, rng):
            parts.append(_on_side(part, side, turn))
    parts.append(Solid(STEEL, (ellipse(0.5, 0.5),), 0.6))
    return Thing("Scissors", tuple(parts))


def _scissor_half(
    length: float, loop: tuple[float, float], all_metal: bool, rng: np.random.Generator
) -> list[Solid]:
    """The half whose loop lies at y > 0 and whose blade lies at y < 0."""
    reach = length * 0.55
    blade = points(
        (-1.0, -0.5), (0.5, -1.0), (reach * 0.5, -0.85), (reach, -0.05), (0.2, 0.35), (-1.0, 0.6)
    )
    centre = (-length * 0.30 - loop[0] * 0.6, loop[1] + 0.35)
    arm = smooth(
        points((-0.4, 0), (-length * 0.14, 0.5), (centre[0] + loop[0] * 0.75, centre[1] - 0.9))
    )
    outer = moved(ellipse(*loop), centre, rng.uniform(-12, 12))
    rim = 0.45 if all_metal else rng.uniform(0.5, 0.75)
    inner = moved(ellipse(loop[0] - rim, loop[1] - rim), centre)
    steel = Solid(STAINLESS, (blade, stroke(arm, 0.5)), 0.3)
    if all_metal:
        return [steel, Solid(STAINLESS, (outer,), 0.5, (inner,))]
    material = (FILLED, PVC, ABS)[int(rng.integers(3))]
    sleeve = stroke(arm, 0.8)
    tang = stroke(
        smooth(points((-1, 0.1), (centre[0] + loop[0] * 0.6, centre[1] - loop[1] * 0.8))), 0.3
    )
    return [
        steel,
        Solid(material, (outer, sleeve), 1.3, (inner,), round_cm=0.5),
        Solid(STAINLESS, (tang,), 0.25),
    ]


def _on_side(part: Solid, side: int, turn_deg: float) -> Solid:
    def carried(outline: Points) -> Points:
        return moved(outline if side > 0 else flipped(outline), turn_deg=-turn_deg)

    return Solid(
        part.material,
        tuple(carried(outline) for outline in part.outers),
        part.depth_cm,
        tuple(carried(outline) for outline in part.holes),
        round_cm=part.round_cm,
        wedge_cm=part.wedge_cm,
        lift_cm=0.15 * side,
    )
