"""Soft and everyday things: clothes, books, bottles, shoes, cosmetics, food. Unit cm."""

import numpy as np

from sixrayd.synth.materials import (
    ABS,
    ALUMINIUM,
    CLOTH,
    FILLED,
    FOOD,
    GLASS,
    LEATHER,
    NYLON,
    PAPER,
    RUBBER,
    SOAP,
    STEEL,
    WATER,
    WOOD,
    ZINC,
    Material,
)
from sixrayd.synth.outlines import (
    Points,
    blob,
    ellipse,
    points,
    rectangle,
    rounded,
    smooth,
    stroke,
)
from sixrayd.synth.solids import Part, Solid, Thing, Wire

Rng = np.random.Generator


def clothes(rng: Rng) -> Thing:
    """A folded or crumpled garment with seams and buttons."""
    rx, ry = rng.uniform(8, 20), rng.uniform(6, 13)
    shape = blob(rx, ry, 0.06, rng)
    folds = int(rng.integers(1, 2**31))
    buttons = tuple(
        ellipse(0.5, 0.5, (float(x), float(y)), corners=12)
        for x, y in rng.uniform(-0.7, 0.7, (int(rng.integers(0, 7)), 2)) * (rx, ry)
    )
    parts: list[Part] = [
        Solid(CLOTH, (shape,), rng.uniform(2, 7), round_cm=3, folds=folds),
        Wire(NYLON, tuple(_seam(rx, ry, rng) for _ in range(4)), 0.07),
    ]
    if buttons:
        parts.append(Solid(ABS if rng.random() < 0.6 else ZINC, buttons, 0.18))
    return Thing("clothes", tuple(parts))


def _seam(radius_x: float, radius_y: float, rng: Rng) -> Points:
    corners = rng.uniform(-1, 1, (5, 2)) * (radius_x, radius_y)
    return smooth(corners.astype(np.float32))


def thread(rng: Rng) -> Thing:
    """Loose tapes, laces and hems: long thin curves."""
    lines = tuple(_seam(16, 11, rng) for _ in range(int(rng.integers(2, 6))))
    return Thing("thread", (Wire(NYLON, lines, rng.uniform(0.06, 0.2)),))


def book(rng: Rng) -> Thing:
    """A closed book or a stack of paper."""
    width, height = rng.uniform(12, 21), rng.uniform(17, 27)
    pages = Solid(PAPER, (rectangle(width, height),), rng.uniform(0.8, 2.6))
    cover = Solid(PAPER, (rectangle(width + 0.6, height + 0.6),), 0.3)
    return Thing("book", (pages, cover))


def bottle(rng: Rng) -> Thing:
    """A bottle of plastic or glass, partly full."""
    radius, length = rng.uniform(2.4, 4.2), rng.uniform(14, 24)
    body = _bottle_outline(radius, length)
    wall: tuple[Material, float] = (GLASS, 0.25) if rng.random() < 0.25 else (ABS, 0.06)
    level = rng.uniform(-0.2, 0.9) * length / 2
    inside = _bottle_outline(radius * 0.93, length * 0.98)
    inside = np.minimum(inside, np.array([level, 99], dtype=np.float32))
    cap = rounded(1.6, 2.6, 0.2, (length / 2 + 0.4, 0))
    parts: list[Part] = [
        Solid(wall[0], (body,), 2 * radius, round_cm=radius, wall_cm=wall[1]),
        Solid(WATER, (inside,), 1.8 * radius, round_cm=radius * 0.93),
        Solid(FILLED, (cap,), 1.4, round_cm=0.8),
    ]
    return Thing("bottle", tuple(parts))


def _bottle_outline(radius: float, length: float) -> Points:
    end, neck = length / 2, radius * 0.42
    top = points((-end, radius * 0.8), (-end * 0.9, radius), (end * 0.35, radius),
                 (end * 0.65, neck * 1.4), (end, neck))  # fmt: skip
    return smooth(np.concatenate([top, (top * np.array([1, -1], np.float32))[::-1]]), True, 2)


def can(rng: Rng) -> Thing:
    """A drink or spray can, or a vacuum flask of steel."""
    radius, length = rng.uniform(2.4, 3.6), rng.uniform(10, 17)
    metal, wall = ((ALUMINIUM, 0.05), (STEEL, 0.025), (STEEL, 0.06))[int(rng.integers(3))]
    body = rounded(length, 2 * radius, 0.8)
    rims = tuple(rectangle(0.3, 2 * radius, (x * length / 2, 0)) for x in (-0.92, 0.92))
    parts: list[Part] = [
        Solid(metal, (body,), 2 * radius, round_cm=radius, wall_cm=wall),
        Solid(metal, rims, wall * 3),
    ]
    if rng.random() < 0.6:
        fill = rounded(length * rng.uniform(0.5, 0.94), 2 * radius * 0.96, 0.6)
        parts.append(Solid(WATER, (fill,), 1.9 * radius, round_cm=radius))
    return Thing("can", tuple(parts))


def shoe(rng: Rng) -> Thing:
    """A shoe from above or from the side, with a steel shank now and then."""
    length, width = rng.uniform(24, 29), rng.uniform(8.5, 10)
    outline = smooth(
        points((-length / 2, -width * 0.35), (0, -width * 0.33), (length * 0.3, -width / 2),
               (length / 2, -width * 0.1), (length * 0.4, width * 0.42), (0, width * 0.28),
               (-length * 0.35, width * 0.4)), closed=True,
    )  # fmt: skip
    heel = ellipse(length * 0.13, width * 0.33, (-length * 0.33, 0))
    parts: list[Part] = [
        Solid(RUBBER, (outline,), 0.8, round_cm=0.5),
        Solid(LEATHER, (outline,), 3.5, round_cm=3, wall_cm=0.25),
        Solid(RUBBER, (heel,), 1.5, round_cm=0.6),
    ]
    if rng.random() < 0.5:
        shank = rounded(length * 0.4, 1.2, 0.5, (-length * 0.08, 0))
        parts.append(Solid(STEEL, (shank,), 0.12))
    return Thing("shoe", tuple(parts))


def tube(rng: Rng) -> Thing:
    """A tube or jar of cosmetics, or a bar of soap."""
    length, width = rng.uniform(6, 14), rng.uniform(3, 5.5)
    body = points((-length / 2, -width / 2), (length / 2, -width * 0.3),
                  (length / 2, width * 0.3), (-length / 2, width / 2))  # fmt: skip
    cap = rounded(2.0, width * 0.7, 0.3, (length / 2 + 1, 0))
    filling = Solid(SOAP, (body,), rng.uniform(1.5, 3), round_cm=width / 2)
    return Thing("tube", (filling, Solid(FILLED, (cap,), 1.6, round_cm=1, wall_cm=0.2)))


def food(rng: Rng) -> Thing:
    """Fruit or a packed meal."""
    if rng.random() < 0.5:
        radius = rng.uniform(3, 4.2)
        spots = [(float(x), float(y)) for x, y in rng.uniform(-7, 7, (int(rng.integers(1, 5)), 2))]
        balls = tuple(ellipse(radius, radius * 0.95, at) for at in spots)
        return Thing(
            "fruit", tuple(Solid(FOOD, (b,), 1.7 * radius, round_cm=radius) for b in balls)
        )
    shape = blob(rng.uniform(5, 10), rng.uniform(4, 7), 0.05, rng)
    folds = int(rng.integers(1, 2**31))
    return Thing("meal", (Solid(FOOD, (shape,), rng.uniform(2, 4), round_cm=2, folds=folds),))


def box(rng: Rng) -> Thing:
    """A carton or a case of leather with something even inside."""
    width, height = rng.uniform(8, 20), rng.uniform(6, 14)
    material = (PAPER, LEATHER, WOOD)[int(rng.integers(3))]
    shell = Solid(material, (rounded(width, height, 0.5),), 4, round_cm=0.3, wall_cm=0.25)
    filling = Solid(PAPER, (rectangle(width * 0.8, height * 0.8),), rng.uniform(0.3, 1.5))
    return Thing("box", (shell, filling))


def belt(rng: Rng) -> Thing:
    """A coiled leather belt with its buckle."""
    turns, radius = rng.uniform(1.5, 3.0), rng.uniform(3.5, 5.5)
    angle = np.linspace(0, 2 * np.pi * turns, int(40 * turns))
    reach = radius * (0.6 + 0.4 * angle / angle[-1])
    coil = np.stack([reach * np.cos(angle), reach * np.sin(angle) * 0.9], axis=1)
    at = (float(coil[-1, 0]), float(coil[-1, 1]))
    ring, hole = rounded(5, 3.8, 0.7, at), rounded(4.0, 2.8, 0.5, at)
    return Thing(
        "belt",
        (
            Solid(LEATHER, (stroke(coil.astype(np.float32), 0.22),), 3.2),
            Solid(ZINC, (ring,), 0.35, (hole,)),
            Solid(ZINC, (rectangle(0.4, 3.2, at),), 0.3),
        ),
    )


def umbrella(rng: Rng) -> Thing:
    """A folded umbrella: shaft, ribs, cloth, handle."""
    length = rng.uniform(22, 30)
    cloth = rounded(length, rng.uniform(4, 5.5), 1.5)
    shaft = rectangle(length * 0.96, 0.9)
    handle = rounded(5, 2.8, 1.0, (-length / 2 - 2, 0))
    ribs = []
    for y in rng.uniform(-1.8, 1.8, 8):
        ribs.append(points((-length * 0.42, y), (length * 0.46, y * rng.uniform(0.3, 0.8))))
    return Thing(
        "umbrella",
        (
            Solid(NYLON, (cloth,), 0.9, round_cm=2, folds=int(rng.integers(1, 2**31))),
            Solid(STEEL, (shaft,), 0.8, round_cm=0.45, wall_cm=0.05),
            Wire(STEEL, tuple(ribs), 0.09),
            Solid(FILLED, (handle,), 2.2, round_cm=1.2),
        ),
    )


def hanger(rng: Rng) -> Thing:
    """A clothes hanger with a wire hook."""
    width = rng.uniform(30, 40)
    bar = smooth(points((-width / 2, 6), (0, 0), (width / 2, 6)))
    hook = smooth(points((0, 0), (0, -4), (3, -5), (3, -8), (-1, -8), (-2, -6)))
    material, depth = (WOOD, 1.2) if rng.random() < 0.5 else (ABS, 0.6)
    parts: list[Part] = [
        Solid(material, (stroke(bar, 0.8),), depth, round_cm=0.8),
        Wire(STEEL, (hook,), 0.18),
    ]
    return Thing("hanger", tuple(parts))
