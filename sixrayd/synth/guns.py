"""Pistols and revolvers. Frame: x towards the muzzle, y down, cm."""

import numpy as np

from sixrayd.synth.materials import (
    ABS,
    ALUMINIUM,
    BRASS,
    FILLED,
    LEAD,
    STEEL,
    WOOD,
    ZINC,
    Material,
)
from sixrayd.synth.outlines import (
    Points,
    ellipse,
    moved,
    points,
    rectangle,
    rounded,
    smooth,
    stroke,
)
from sixrayd.synth.solids import Part, Solid, Thing, Wire


def gun(rng: np.random.Generator) -> Thing:
    """A pistol or, less often, a revolver."""
    return pistol(rng) if rng.random() < 0.68 else revolver(rng)


def pistol(rng: np.random.Generator) -> Thing:
    """A self-loading pistol: slide, barrel, frame, hollow grip, magazine, trigger guard."""
    length = rng.uniform(15.5, 20.5)
    slide_height = rng.uniform(2.3, 3.0)
    grip_length = rng.uniform(7.5, 9.5)
    rake_deg = rng.uniform(8, 22)
    parts = [
        *_slide(length, slide_height, rng),
        *_frame(length, rng),
        *_grip(length, grip_length, rake_deg, rng),
    ]
    guard_x = length * rng.uniform(0.0, 0.06)
    parts += _trigger(guard_x, 1.1)
    if rng.random() < 0.6:
        hammer = moved(points((-0.6, -1.0), (0.3, -1.3), (0.5, 0.5), (-0.3, 0.5)), (-length / 2, 0))
        parts.append(Solid(STEEL, (hammer,), 0.9))
    return Thing("Gun", tuple(parts))


def _slide(length: float, height: float, rng: np.random.Generator) -> list[Part]:
    body = rounded(length, height, 0.35, (0, -height / 2))
    port = rectangle(length * 0.16, 0.9, (length * 0.05, -height + 0.6))
    sights = (
        rectangle(0.7, 0.6, (length * 0.47, -height - 0.2)),
        rectangle(0.9, 0.6, (-length * 0.44, -height - 0.2)),
    )
    bore = rng.uniform(0.45, 0.6)
    barrel = rectangle(length * 0.72, 1.4, (length * 0.14, -height * 0.55))
    spring = rectangle(length * 0.5, 0.8, (length * 0.2, -0.3))
    slots = tuple(
        rectangle(0.16, height * 0.7, (-length * 0.46 + 0.4 * k, -height * 0.5)) for k in range(6)
    )
    return [
        Solid(STEEL, (body,), 2.4, holes=(port,), wall_cm=rng.uniform(0.14, 0.26), round_cm=0.3),
        Solid(STEEL, (barrel,), 1.4, round_cm=0.7, wall_cm=0.55 - bore * 0.75),
        Solid(STEEL, (spring,), 0.5),
        Solid(STEEL, (*sights, *slots), 0.5),
    ]


def _frame(length: float, rng: np.random.Generator) -> list[Part]:
    dust = points(
        (-length * 0.48, 0), (length * 0.44, 0), (length * 0.43, 1.2), (length * 0.1, 1.5),
        (-length * 0.1, 2.0), (-length * 0.46, 1.6),
    )  # fmt: skip
    material = (STEEL, ALUMINIUM, FILLED)[int(rng.integers(3))]
    rails = rectangle(length * 0.8, 0.5, (-length * 0.02, 0.2))
    return [Solid(material, (dust,), 2.2, wall_cm=0.18, round_cm=0.3), Solid(STEEL, (rails,), 0.6)]


def _grip(
    length: float, grip_length: float, rake_deg: float, rng: np.random.Generator
) -> list[Part]:
    top = (-length * 0.30, 0.6)
    shape = smooth(
        points(
            (-2.3, 0), (2.2, 0), (2.1, grip_length * 0.5), (2.4, grip_length),
            (-2.2, grip_length), (-2.5, grip_length * 0.55),
        ), closed=True, rounds=1,
    )  # fmt: skip
    magazine = rounded(3.2, grip_length - 0.4, 0.2, (0, grip_length / 2))
    shots = int(rng.integers(5, 10))
    step = (grip_length - 2.0) / 9
    rounds = [moved(rounded(2.0, 0.85, 0.2), (-0.3, 1.2 + step * k), -8) for k in range(shots)]
    tips = [moved(ellipse(0.55, 0.42), (0.9, 1.05 + step * k)) for k in range(shots)]
    foot = rounded(4.4, 0.7, 0.2, (0.1, grip_length + 0.2))
    material = (STEEL, ALUMINIUM, ABS, WOOD)[int(rng.integers(4))]
    loaded = [
        Solid(BRASS, tuple(_turned(rounds, top, rake_deg)), 0.35),
        Solid(LEAD, tuple(_turned(tips, top, rake_deg)), 0.5, round_cm=0.4),
    ]
    parts: list[Part] = [
        Solid(
            material,
            tuple(_turned([shape], top, rake_deg)),
            2.8,
            wall_cm=rng.uniform(0.14, 0.3),
            round_cm=0.5,
        ),
        Solid(STEEL, tuple(_turned([magazine], top, rake_deg)), 2.0, wall_cm=0.12, round_cm=0.2),
        Solid(STEEL, tuple(_turned([foot], top, rake_deg)), 0.5),
    ]
    return parts + (loaded if rng.random() < 0.7 else [])


def _turned(outlines: list[Points], at: tuple[float, float], turn_deg: float) -> list[Points]:
    return [moved(outline, at, turn_deg) for outline in outlines]


def _trigger(x: float, y: float) -> list[Part]:
    guard = smooth(
        points(
            (x - 2.6, y), (x - 2.4, y + 2.5), (x + 0.4, y + 2.7), (x + 1.6, y + 1.8), (x + 1.7, y)
        )
    )
    blade = stroke(smooth(points((x - 1.0, y), (x - 0.7, y + 1.0), (x - 1.3, y + 2.0))), 0.28)
    return [Wire(STEEL, (guard,), 0.3), Solid(STEEL, (blade,), 0.6)]


def revolver(rng: np.random.Generator) -> Thing:
    """Barrel, drum with chambers, frame, curved grip, trigger guard, hammer."""
    barrel_length = rng.uniform(6, 13)
    metal = ZINC if rng.random() < 0.2 else STEEL
    start = 4.4
    barrel = rectangle(barrel_length, 1.8, (start + barrel_length / 2, -1.5))
    rib = rectangle(barrel_length, 0.5, (start + barrel_length / 2, -2.5))
    rod = rounded(barrel_length * 0.55, 0.8, 0.3, (start + barrel_length * 0.3, -0.3))
    sight = points((start + barrel_length - 1.4, -2.7), (start + barrel_length - 0.3, -3.4),
                   (start + barrel_length - 0.1, -2.7))  # fmt: skip
    corners = points((-4.2, -2.6), (4.6, -3.0), (4.8, 1.2), (0.5, 1.6), (-2.4, 2.2), (-4.4, 0.2))
    frame = smooth(corners, closed=True, rounds=1)
    window = rectangle(4.3, 3.6, (1.6, -0.9))
    hammer = points((-4.6, -1.4), (-5.6, -3.2), (-4.6, -3.0), (-3.6, -2.0))
    parts: list[Part] = [
        Solid(metal, (barrel,), 1.8, round_cm=0.9, wall_cm=0.3),
        Solid(metal, (rib, sight), 0.5),
        Solid(metal, (rod,), 0.7, round_cm=0.4),
        Solid(metal, (frame,), 0.7, holes=(window,)),
        Solid(metal, (hammer,), 0.7),
        *_drum(metal, rng),
        *_curved_grip(metal, rng),
        *_trigger(0.2, 1.2),
    ]
    return Thing("Gun", tuple(parts))


def _drum(metal: Material, rng: np.random.Generator) -> list[Part]:
    rows = tuple(rounded(4.0, 1.1, 0.15, (1.6, -0.9 + 1.25 * k)) for k in (-1, 0, 1))
    parts: list[Part] = [
        Solid(metal, (rounded(4.1, 3.9, 0.3, (1.6, -0.9)),), 0.9, round_cm=1.9),
        Solid(metal, rows, 1.1, round_cm=0.55, wall_cm=0.2),
    ]
    if rng.random() < 0.6:
        parts.append(Solid(BRASS, rows, 0.25))
    return parts


def _curved_grip(metal: Material, rng: np.random.Generator) -> list[Part]:
    drop = rng.uniform(6.0, 8.5)
    spine = smooth(points((-3.0, 0.6), (-4.6, drop * 0.45), (-5.6, drop), (-5.4, drop + 1.0)))
    widths = np.interp(np.linspace(0, 1, len(spine)), [0, 0.4, 0.9, 1], [1.7, 1.5, 2.0, 1.3])
    scales = (WOOD, ABS, FILLED)[int(rng.integers(3))]
    core = stroke(spine, (widths * 0.62).astype(np.float32))
    return [
        Solid(scales, (stroke(spine, widths.astype(np.float32)),), 2.8, round_cm=1.0),
        Solid(metal, (core,), 1.0, wall_cm=0.35, round_cm=0.1),
    ]
