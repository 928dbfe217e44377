"""Bags, cases and trays. Frame: origin in the middle, cm."""

from dataclasses import dataclass

import numpy as np

from sixrayd.synth.materials import (
    ABS,
    ALUMINIUM,
    CLOTH,
    FILLED,
    NYLON,
    PVC,
    RUBBER,
    STEEL,
    ZINC,
)
from sixrayd.synth.outlines import (
    XY,
    Points,
    blob,
    ellipse,
    moved,
    points,
    rectangle,
    rounded,
    smooth,
    stroke,
)
from sixrayd.synth.solids import Part, Solid, Thing, Wire


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """A bag and the room inside it.

    Args:
        inside_cm: width and height of the rectangle that holds the contents.
    """

    item: Thing
    size_cm: XY
    inside_cm: XY


def trolley(width: float, height: float, rng: np.random.Generator) -> Bag:
    """A wheeled case: shell, wire frame, two rods, wheels, screws, handle."""
    shell = rounded(width, height, rng.uniform(2, 4))
    material = (FILLED, PVC, ABS, FILLED)[int(rng.integers(4))]
    parts: list[Part] = [
        Solid(material, (shell,), 18, wall_cm=rng.uniform(0.15, 0.32), round_cm=1.2),
        Solid(CLOTH, (rounded(width * 0.96, height * 0.94, 3),), 1.5, folds=_folds(rng)),
        *_panels(width, height, rng),
        *_frame_wires(width, height, rng),
        *_rods(width, height, rng),
        *_wheels(width, height, rng),
        *_screws(width, height, int(rng.integers(14, 40)), rng),
        *_handle(width, height, rng),
        *_zippers(rounded(width, height, 3), int(rng.integers(2, 6)), rng),
    ]
    return Bag(Thing("trolley", tuple(parts)), (width, height), (width * 0.86, height * 0.84))


def soft_bag(width: float, height: float, rng: np.random.Generator) -> Bag:
    """A backpack or holdall: thin cloth with seams, straps, zip pullers and buckles."""
    outline = blob(width / 2, height / 2, 0.03, rng)
    material, depth = ((NYLON, 0.3), (PVC, 0.2), (FILLED, 0.28), (NYLON, 0.4))[rng.integers(4)]
    inset = blob(width * 0.42, height * 0.40, 0.04, rng)
    parts: list[Part] = [
        Solid(material, (outline,), depth, folds=_folds(rng)),
        Solid(CLOTH, (outline,), rng.uniform(1.2, 3.0), folds=_folds(rng), round_cm=4),
        Solid(CLOTH, (inset,), rng.uniform(0.6, 2.0), folds=_folds(rng), round_cm=2),
        *_panels(width * 0.9, height * 0.9, rng),
        *_seams(outline, int(rng.integers(14, 30)), rng),
        *_zippers(outline, int(rng.integers(4, 9)), rng),
        *_buckles(width, height, int(rng.integers(1, 6)), rng),
        *_straps(width, height, rng),
    ]
    if rng.random() < 0.4:
        parts += _frame_wires(width * 0.94, height * 0.94, rng)
    return Bag(Thing("soft bag", tuple(parts)), (width, height), (width * 0.8, height * 0.76))


def tray(width: float, height: float, rng: np.random.Generator) -> Bag:
    """An open plastic tray."""
    outline = rounded(width, height, 3)
    lip = rounded(width * 0.96, height * 0.94, 2.5)
    parts: list[Part] = [
        Solid(ABS, (outline,), 0.3, round_cm=0.4),
        Solid(ABS, (outline,), rng.uniform(1.2, 2.2), (lip,), round_cm=0.6),
        Solid(ABS, (outline, rounded(width * 0.98, height * 0.97, 3)), 0.35, (lip,)),
    ]
    return Bag(Thing("tray", tuple(parts)), (width, height), (width * 0.84, height * 0.8))


def carrier_bag(width: float, height: float, rng: np.random.Generator) -> Bag:
    """A thin plastic carrier bag with crumpled handles."""
    outline = blob(width / 2, height / 2, 0.07, rng)
    parts: list[Part] = [
        Solid(ABS, (outline,), 0.08, folds=_folds(rng)),
        *_seams(outline, int(rng.integers(10, 20)), rng),
        *_straps(width, height, rng),
    ]
    return Bag(Thing("carrier bag", tuple(parts)), (width, height), (width * 0.76, height * 0.72))


def _folds(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 2**31))


def _frame_wires(width: float, height: float, rng: np.random.Generator) -> list[Part]:
    parts: list[Part] = []
    metal = STEEL if rng.random() < 0.6 else ALUMINIUM
    for _ in range(int(rng.integers(2, 5))):
        shrink = rng.uniform(0.9, 1.0, 2)
        at = (rng.normal(0, width * 0.012), rng.normal(0, height * 0.02))
        ring = rounded(width * shrink[0], height * shrink[1], rng.uniform(2, 4), at)
        loop = np.concatenate([ring, ring[:1]])
        radius = rng.uniform(0.05, 0.12) if metal is STEEL else rng.uniform(0.1, 0.22)
        parts.append(Wire(metal, (loop,), radius))
    return parts


def _panels(width: float, height: float, rng: np.random.Generator) -> list[Part]:
    """Dividers, pockets, foam and stiffeners: large light patches with a hem."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(2, 6))):
        w, h = rng.uniform(0.25, 0.8) * width, rng.uniform(0.2, 0.7) * height
        x, y = rng.uniform(-0.5, 0.5, 2) * (width - w, height - h)
        shape = moved(rounded(w, h, rng.uniform(0.5, 4)), (x, y), rng.normal(0, 3))
        material, depth = ((FILLED, 0.28), (ABS, 0.4), (PVC, 0.16), (NYLON, 0.4))[rng.integers(4)]
        parts += [
            Solid(material, (shape,), depth * rng.uniform(0.5, 1.6)),
            Wire(NYLON, (np.concatenate([shape, shape[:1]]),), rng.uniform(0.06, 0.14)),
        ]
    return parts


def _rods(width: float, height: float, rng: np.random.Generator) -> list[Part]:
    breadth = rng.uniform(1.6, 3.2)
    reach = width * rng.uniform(0.8, 0.95)
    gap = height * rng.uniform(0.12, 0.22)
    tubes = tuple(rectangle(reach, breadth, (0, side * gap)) for side in (-1, 1))
    inner = tuple(rectangle(reach * 0.97, breadth * 0.7, (0, side * gap)) for side in (-1, 1))
    metal, wall = (ALUMINIUM, rng.uniform(0.18, 0.32)) if rng.random() < 0.8 else (STEEL, 0.05)
    parts: list[Part] = [
        Solid(metal, tubes, 1.6, wall_cm=wall, round_cm=0.2),
        Solid(ALUMINIUM, inner, 0.12),
    ]
    if rng.random() < 0.3:
        outside = width * rng.uniform(0.15, 0.4)
        pulled = rectangle(outside, 2 * gap, (width / 2 + outside / 2, 0))
        parts.append(Wire(ALUMINIUM, (pulled,), 0.5))
    return parts


def _wheels(width: float, height: float, rng: np.random.Generator) -> list[Part]:
    radius = rng.uniform(2.0, 3.0)
    corners = [(-width / 2 + radius * 0.2, side * height * 0.42) for side in (-1, 1)]
    squash = rng.uniform(0.5, 1.0)
    tyres = tuple(ellipse(radius, radius * squash, at) for at in corners)
    hubs = tuple(ellipse(radius * 0.28, radius * 0.5 * squash, at) for at in corners)
    bolts = tuple(
        rounded(0.8, 0.6, 0.2, (x + dx, y + dy))
        for x, y in corners
        for dx, dy in rng.normal(0, radius * 0.3, (3, 2))
    )
    return [
        Solid(RUBBER, tyres, 2.2, round_cm=radius),
        Solid(STEEL, hubs, 1.2, round_cm=0.6),
        Solid(STEEL, bolts, 0.7),
    ]


def _screws(width: float, height: float, count: int, rng: np.random.Generator) -> list[Part]:
    heads, shafts = [], []
    for _ in range(count):
        at = _near_edge(width, height, rng)
        heads.append(ellipse(0.3, 0.3, at, corners=8))
        shafts.append(moved(rectangle(0.9, 0.24), at, rng.uniform(0, 180)))
    rings = [ellipse(0.5, 0.4, _inside(width, height, rng)) for _ in range(4)]
    holes = [ellipse(0.3, 0.22, (float(r[:, 0].mean()), float(r[:, 1].mean()))) for r in rings]
    return [
        Solid(STEEL, tuple(heads), 0.35),
        Solid(STEEL, tuple(shafts), 0.2),
        Solid(ZINC, tuple(rings), 0.2, tuple(holes)),
    ]


def _near_edge(width: float, height: float, rng: np.random.Generator) -> XY:
    along = rng.uniform(-0.48, 0.48)
    side = rng.choice([-1, 1]) * rng.uniform(0.42, 0.49)
    if rng.random() < 0.6:
        return (float(along * width), float(side * height))
    return (float(side * width), float(along * height))


def _inside(width: float, height: float, rng: np.random.Generator) -> XY:
    return (float(rng.uniform(-0.45, 0.45) * width), float(rng.uniform(-0.45, 0.45) * height))


def _handle(width: float, height: float, rng: np.random.Generator) -> list[Part]:
    x, span = width / 2, height * rng.uniform(0.14, 0.24)
    line = smooth(points((x, -span), (x + 2.5, -span * 0.8), (x + 2.5, span * 0.8), (x, span)))
    lugs = tuple(rounded(1.6, 1.0, 0.3, (x + 0.4, side * span)) for side in (-1, 1))
    eyes = tuple(rounded(0.9, 0.5, 0.2, (x + 0.4, side * span)) for side in (-1, 1))
    return [
        Solid(RUBBER, (stroke(line, 0.9),), 1.0, round_cm=0.9),
        Solid(ZINC, lugs, 0.5, eyes),
    ]


def _zippers(outline: Points, count: int, rng: np.random.Generator) -> list[Part]:
    """Pullers with their sliders, hanging about the rim."""
    plates, eyes, sliders = [], [], []
    for _ in range(count):
        x, y = outline[int(rng.integers(len(outline)))] * rng.uniform(0.72, 1.04)
        turn = rng.uniform(0, 360)
        at = (float(x), float(y))
        length = rng.uniform(1.8, 3.2)
        plates.append(moved(rounded(length, 0.8, 0.35, (length / 2, 0)), at, turn))
        eyes.append(moved(rounded(length * 0.45, 0.35, 0.15, (length * 0.65, 0)), at, turn))
        sliders.append(moved(rounded(1.0, 0.9, 0.3), at, turn))
    return [
        Solid(ZINC, tuple(plates), rng.uniform(0.14, 0.3), tuple(eyes)),
        Solid(ZINC, tuple(sliders), 0.4),
    ]


def _buckles(width: float, height: float, count: int, rng: np.random.Generator) -> list[Part]:
    rings, holes = [], []
    for _ in range(count):
        at, turn = _near_edge(width * 1.04, height * 1.04, rng), rng.uniform(0, 180)
        rings.append(moved(rounded(2.8, 1.9, 0.4), at, turn))
        holes.append(moved(rounded(2.1, 1.2, 0.3), at, turn))
    metal, depth = (STEEL, 0.3) if rng.random() < 0.6 else (ABS, 0.7)
    return [Solid(metal, tuple(rings), depth, tuple(holes))]


def _seams(outline: Points, count: int, rng: np.random.Generator) -> list[Part]:
    """Thread lines that follow the rim at several heights of the collapsed cloth."""
    lines = []
    for _ in range(count):
        scale = rng.uniform(0.72, 1.03, 2)
        shift = rng.normal(0, 0.02, 2) * np.ptp(outline, axis=0)
        ripple = smooth(rng.normal(0, 0.5, (16, 2)).astype(np.float32), closed=True, rounds=3)
        steps = np.linspace(0, len(ripple) - 1, len(outline)).astype(int)
        line = (outline * scale + shift + ripple[steps]).astype(np.float32)
        start, stop = sorted(rng.integers(0, len(line), 2))
        lines.append(line[start : stop + 2])
    half = len(lines) // 2
    return [
        Wire(PVC, tuple(lines[:half]), rng.uniform(0.05, 0.09)),
        Wire(NYLON, tuple(lines[half:]), rng.uniform(0.08, 0.18)),
    ]


def _straps(width: float, height: float, rng: np.random.Generator) -> list[Part]:
    parts: list[Part] = []
    for _ in range(int(rng.integers(1, 4))):
        side = rng.choice([-1.0, 1.0])
        x = rng.uniform(-0.3, 0.1, 2) * width
        x[1] += width * rng.uniform(0.15, 0.4)
        out = height * rng.uniform(0.52, 0.68) * side
        root = height * 0.42 * side
        line = smooth(points((x[0], root), (x[0], out), (x[1], out), (x[1], root)))
        parts.append(Solid(NYLON, (stroke(line, rng.uniform(0.5, 1.3)),), rng.uniform(0.15, 0.4)))
    return parts
