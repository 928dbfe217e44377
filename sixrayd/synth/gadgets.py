"""Metal and electronic things that are no contraband but look the part. Unit cm."""

import numpy as np

from sixrayd.synth.materials import (
    ABS,
    ALUMINIUM,
    BOARD,
    BRASS,
    CELL,
    COPPER,
    FILLED,
    GLASS,
    NYLON,
    PVC,
    STAINLESS,
    STEEL,
    WOOD,
    ZINC,
)
from sixrayd.synth.outlines import (
    XY,
    Points,
    ellipse,
    moved,
    points,
    rectangle,
    rounded,
    smooth,
    stroke,
    tapered,
)
from sixrayd.synth.solids import Part, Solid, Thing, Wire

Rng = np.random.Generator


def laptop(rng: Rng) -> Thing:
    """A laptop: shells, boards with parts, cells, hinges, fan."""
    width, height = rng.uniform(27, 36), rng.uniform(19, 25)
    cells = tuple(
        rounded(width * 0.13, height * 0.28, 0.2, (width * (k - 2.5) * 0.15, height * 0.3))
        for k in range(6)
    )
    shell = ALUMINIUM if rng.random() < 0.5 else FILLED
    board = rectangle(width * 0.8, height * 0.42, (0, -height * 0.16))
    parts: list[Part] = [
        Solid(shell, (rounded(width, height, 1),), 1.8, round_cm=0.2, wall_cm=0.1),
        Solid(GLASS, (rectangle(width * 0.94, height * 0.9),), 0.14),
        Solid(BOARD, (board,), 0.2),
        Solid(CELL, cells, 0.45),
        *_components(width * 0.78, height * 0.4, (0, -height * 0.16), rng),
        *_fan((width * 0.28, -height * 0.2), rng),
    ]
    hinges = tuple(rounded(2.4, 1.0, 0.2, (x * width, -height * 0.48)) for x in (-0.3, 0.3))
    parts.append(Solid(STEEL, hinges, 0.5))
    return Thing("laptop", tuple(parts))


def circuit(rng: Rng) -> Thing:
    """A circuit board full of parts, as of a computer or an instrument."""
    width, height = rng.uniform(10, 24), rng.uniform(8, 17)
    parts: list[Part] = [
        Solid(BOARD, (rectangle(width, height),), 0.25),
        *_components(width * 0.95, height * 0.95, (0, 0), rng),
    ]
    if rng.random() < 0.4:
        parts += _fan((float(rng.uniform(-0.3, 0.3) * width), 0.0), rng)
    return Thing("circuit", tuple(parts))


def _components(width: float, height: float, at: XY, rng: Rng) -> list[Part]:
    """Chips, capacitors, solder rows and connectors scattered on a board."""

    def spread(count: int, low: float, high: float) -> tuple[Points, ...]:
        shapes = []
        for _ in range(count):
            size = rng.uniform(low, high, 2)
            x, y = rng.uniform(-0.5, 0.5, 2) * (width - size[0], height - size[1])
            shapes.append(rectangle(size[0], size[1], (at[0] + x, at[1] + y)))
        return tuple(shapes)

    rounds = tuple(
        ellipse(0.4, 0.4, (at[0] + x * width, at[1] + y * height), corners=10)
        for x, y in rng.uniform(-0.46, 0.46, (int(rng.integers(4, 14)), 2))
    )
    return [
        Solid(BOARD, spread(int(rng.integers(10, 22)), 0.6, 2.4), 0.35),
        Solid(COPPER, spread(int(rng.integers(20, 50)), 0.15, 0.8), 0.04),
        Solid(STEEL, spread(int(rng.integers(4, 12)), 0.3, 1.6), 0.12),
        Solid(ALUMINIUM, rounds, 0.8),
    ]


def _fan(at: XY, rng: Rng) -> list[Part]:
    radius = rng.uniform(2, 3)
    ring, hole = ellipse(radius, radius, at), ellipse(radius * 0.86, radius * 0.86, at)
    hub = ellipse(radius * 0.3, radius * 0.3, at)
    return [Solid(FILLED, (ring,), 1.0, (hole,)), Solid(COPPER, (hub,), 0.25)]


def phone(rng: Rng) -> Thing:
    """A telephone or a power bank."""
    width, height = rng.uniform(6.5, 8), rng.uniform(13, 16)
    cell = rectangle(width * 0.75, height * rng.uniform(0.4, 0.7), (0, height * 0.08))
    top = _components(width * 0.85, height * 0.22, (0, -height * 0.34), rng)
    return Thing(
        "phone",
        (
            Solid(ALUMINIUM, (rounded(width, height, 0.9),), 0.8, round_cm=0.1, wall_cm=0.06),
            Solid(GLASS, (rounded(width * 0.95, height * 0.97, 0.8),), 0.12),
            Solid(CELL, (cell,), rng.uniform(0.4, 0.9)),
            *top,
        ),
    )


def charger(rng: Rng) -> Thing:
    """A power supply with transformer, plug and its cable."""
    width, height = rng.uniform(5, 11), rng.uniform(4, 6)
    coil = rounded(width * 0.3, height * 0.5, 0.2, (width * 0.1, 0))
    pins = tuple(rectangle(2.0, 0.4, (-width / 2 - 1, y)) for y in (-0.7, 0.7))
    cord = _tangle(width * 1.2, (width / 2, 0.0), rng)
    return Thing(
        "charger",
        (
            Solid(FILLED, (rounded(width, height, 0.6),), 2.6, round_cm=0.4, wall_cm=0.25),
            Solid(BOARD, (rectangle(width * 0.85, height * 0.8),), 0.2),
            Solid(COPPER, (coil,), 0.5, round_cm=0.4),
            Solid(BRASS, pins, 0.35),
            Wire(COPPER, (cord,), 0.09),
            Wire(PVC, (cord,), 0.25),
        ),
    )


def _tangle(reach: float, start: XY, rng: Rng) -> Points:
    corners = rng.normal(0, reach * 0.5, (9, 2)) + np.array([reach * 0.6, 0])
    corners[0] = 0
    return moved(smooth(corners.astype(np.float32)), start)


def cable(rng: Rng) -> Thing:
    """A coiled cable; every turn lies a little otherwise."""
    radius, turns = rng.uniform(4, 9), int(rng.integers(3, 12))
    squash = rng.uniform(0.6, 1.0)
    wire, coat = rng.uniform(0.06, 0.14), rng.uniform(0.2, 0.3)
    parts: list[Part] = []
    for _ in range(turns):
        rx, ry = radius * rng.uniform(0.82, 1.05, 2) * (1, squash)
        at = (float(rng.normal(0, 0.4)), float(rng.normal(0, 0.4)))
        turn = moved(ellipse(rx, ry, at, corners=40), turn_deg=rng.uniform(-8, 8))
        closed = np.concatenate([turn, turn[:1]])
        parts += [Wire(COPPER, (closed,), wire), Wire(PVC, (closed,), coat)]
    return Thing("cable", tuple(parts))


def screwdriver(rng: Rng) -> Thing:
    """A round shaft with a plastic handle."""
    shaft, grip = rng.uniform(7, 14), rng.uniform(8, 11)
    bar = rectangle(shaft, rng.uniform(0.5, 0.8), (shaft / 2, 0))
    flutes = tapered(points((0.5, 0), (-grip * 0.2, 0), (-grip * 0.7, 0), (-grip, 0)),
                     (0.8, 1.3, 1.5, 1.2))  # fmt: skip
    return Thing(
        "screwdriver",
        (
            Solid(STEEL, (bar,), 0.6, round_cm=0.35),
            Solid(STEEL, (rectangle(grip * 0.5, 0.5, (-grip * 0.25, 0)),), 0.5, round_cm=0.25),
            Solid(ABS, (flutes,), 2.8, round_cm=1.4),
        ),
    )


def cutlery(rng: Rng) -> Thing:
    """A spoon or a fork."""
    length = rng.uniform(14, 20)
    handle = tapered(points((0, 0), (-length * 0.3, 0), (-length * 0.75, 0)), (0.4, 0.45, 0.95))
    bowl = ellipse(length * 0.16, length * 0.1, (length * 0.13, 0))
    tines: tuple[Points, ...] = ()
    if rng.random() < 0.5:
        tines = tuple(
            rectangle(length * 0.16, 0.28, (length * 0.24, y)) for y in np.linspace(-0.7, 0.7, 3)
        )
    return Thing("cutlery", (Solid(STAINLESS, (handle, bowl), 0.16, tines),))


def keys(rng: Rng) -> Thing:
    """A bunch of keys on a ring."""
    bows, bits, eyes = [], [], []
    for turn in rng.uniform(0, 360, int(rng.integers(2, 6))):
        bows.append(moved(ellipse(1.2, 1.1, (2.4, 0)), turn_deg=turn))
        eyes.append(moved(ellipse(0.35, 0.5, (1.8, 0)), turn_deg=turn))
        bits.append(moved(rectangle(3.0, 0.7, (4.8, 0)), turn_deg=turn))
    ring = ellipse(1.6, 1.6)
    wire = Wire(STEEL, (np.concatenate([ring, ring[:1]]),), 0.12)
    return Thing("keys", (Solid(BRASS, (*bows, *bits), 0.22, tuple(eyes)), wire))


def coins(rng: Rng) -> Thing:
    """Loose change."""
    parts = []
    for x, y in rng.normal(0, 3, (int(rng.integers(3, 9)), 2)):
        radius = rng.uniform(0.8, 1.2)
        parts.append(Solid(COPPER, (ellipse(radius, radius, (x, y)),), rng.uniform(0.15, 0.25)))
    return Thing("coins", tuple(parts))


def batteries(rng: Rng) -> Thing:
    """A row of round cells."""
    cells = tuple(rounded(5.0, 1.4, 0.2, (0, 1.6 * k)) for k in range(int(rng.integers(2, 5))))
    caps = tuple(rectangle(0.3, 0.6, (2.6, 1.6 * k)) for k in range(len(cells)))
    return Thing(
        "batteries",
        (
            Solid(STEEL, cells, 1.4, round_cm=0.7, wall_cm=0.04),
            Solid(ZINC, cells, 0.45, round_cm=0.6),
            Solid(STEEL, caps, 0.3),
        ),
    )


def rods(rng: Rng) -> Thing:
    """A bundle of thin rods: tent poles, drill bits, welding wire, pencils."""
    length = rng.uniform(12, 26)
    metal = (STEEL, ALUMINIUM, ALUMINIUM, WOOD)[int(rng.integers(4))]
    radius = rng.uniform(0.1, 0.2) if metal is STEEL else rng.uniform(0.25, 0.4)
    parts: list[Part] = []
    for y in rng.normal(0, 1.3, int(rng.integers(4, 14))):
        x, lean = rng.normal(0, 1.0), rng.normal(0, 0.6)
        parts.append(
            Wire(metal, (points((x - length / 2, y - lean), (x + length / 2, y + lean)),), radius)
        )
    return Thing("rods", tuple(parts))


def hex_keys(rng: Rng) -> Thing:
    """Angled hexagon keys."""
    parts: list[Part] = []
    for k in range(int(rng.integers(1, 5))):
        long_leg, short_leg = rng.uniform(7, 15), rng.uniform(2.5, 4.5)
        line = points((0, 0), (long_leg - 0.6, 0), (long_leg, 0.6), (long_leg, short_leg))
        parts.append(Wire(STEEL, (moved(line, (0, 1.4 * k)),), rng.uniform(0.15, 0.4)))
    return Thing("hex keys", tuple(parts))


def glasses(rng: Rng) -> Thing:
    """Spectacles."""
    rims = [ellipse(2.5, 2.0, (side * 3.2, 0)) for side in (-1, 1)]
    lines = [np.concatenate([rim, rim[:1]]) for rim in rims]
    arms = [smooth(points((s * 5.7, 0), (s * 6.0, 6), (s * 4.5, 12))) for s in (-1, 1)]
    bridge = points((-0.7, -0.4), (0.7, -0.4))
    return Thing(
        "glasses",
        (
            Wire(STAINLESS, (*lines, *arms, bridge), rng.uniform(0.08, 0.16)),
            Solid(GLASS, tuple(rims), 0.18),
        ),
    )


def camera(rng: Rng) -> Thing:
    """A camera: body, board, lens rings."""
    width, height = rng.uniform(10, 14), rng.uniform(7, 9)
    radius = height * 0.36
    ring, hole = ellipse(radius, radius), ellipse(radius * 0.8, radius * 0.8)
    return Thing(
        "camera",
        (
            Solid(FILLED, (rounded(width, height, 1),), 4, round_cm=0.5, wall_cm=0.25),
            Solid(ALUMINIUM, (ring,), 4, (hole,)),
            Solid(GLASS, (hole,), 2.0, round_cm=radius),
            Solid(CELL, (rectangle(width * 0.2, height * 0.8, (width * 0.36, 0)),), 1.4),
            *_components(width * 0.9, height * 0.8, (0, 0), rng),
        ),
    )


def pens(rng: Rng) -> Thing:
    """Pens with metal refills and clips."""
    parts: list[Part] = []
    for k in range(int(rng.integers(1, 4))):
        y = 1.5 * k
        parts += [
            Solid(ABS, (rounded(14, 1.0, 0.4, (0, y)),), 0.9, round_cm=0.5, wall_cm=0.15),
            Wire(BRASS, (points((-5, y), (6.8, y)),), 0.1),
            Solid(STEEL, (rectangle(3.6, 0.3, (-4.5, y + 0.4)),), 0.08),
        ]
    return Thing("pens", tuple(parts))


def dryer(rng: Rng) -> Thing:
    """A hair dryer: motor, coil, handle, cable."""
    barrel = tapered(points((9, 0), (4, 0), (-4, 0), (-7, 0)), (2.6, 3.2, 4.0, 3.4))
    grip = stroke(smooth(points((-3, 2), (-2.2, 8), (-3.2, 13))), 1.8)
    loops = tuple(stroke(points((x, -2.2), (x + 0.6, 2.2)), 0.12) for x in np.linspace(1, 7, 8))
    motor = rounded(4.5, 3.6, 0.6, (-3.4, 0))
    cord = _tangle(rng.uniform(7, 10), (-3.2, 13.0), rng)
    return Thing(
        "dryer",
        (
            Solid(ABS, (barrel,), 6, round_cm=3, wall_cm=0.25),
            Solid(ABS, (grip,), 3.2, round_cm=1.6, wall_cm=0.25),
            Solid(STEEL, (motor,), 1.2, round_cm=1.6, wall_cm=0.4),
            Solid(COPPER, loops, 0.2),
            Wire(COPPER, (cord,), 0.1),
            Wire(PVC, (cord,), 0.28),
        ),
    )


def hardware(rng: Rng) -> Thing:
    """Screws, eyelets, rivets, hooks and chips of metal strewn about."""
    count = int(rng.integers(8, 26))
    spots = [(float(x), float(y)) for x, y in rng.normal(0, 8, (count, 2))]
    third = count // 3
    turns = rng.uniform(0, 180, count)
    pins = [
        moved(rectangle(w, 0.28), at, turn)
        for w, at, turn in zip(rng.uniform(0.6, 2.2, third), spots, turns, strict=False)
    ]
    plates = [
        moved(rounded(w, 0.8, 0.3), at, turn)
        for w, at, turn in zip(rng.uniform(0.5, 1.5, third), spots[third:], turns, strict=False)
    ]
    rings = [ellipse(0.55, 0.45, at, corners=12) for at in spots[2 * third :]]
    eyes = [ellipse(0.3, 0.22, at, corners=10) for at in spots[2 * third :]]
    return Thing(
        "hardware",
        (
            Solid(STEEL, tuple(pins), 0.2),
            Solid(ZINC, tuple(plates), 0.15),
            Solid(BRASS, tuple(rings), 0.15, tuple(eyes)),
        ),
    )


def zip_chain(rng: Rng) -> Thing:
    """An open metal zip: two rows of teeth along a curve."""
    spine = smooth(rng.uniform(-11, 11, (4, 2)).astype(np.float32), rounds=4)
    reach = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(spine, axis=0), axis=1))])
    steps = np.arange(0, reach[-1], 0.5)
    xs, ys = (np.interp(steps, reach, spine[:, k]) for k in (0, 1))
    teeth = [rectangle(0.25, 0.3, (float(x), float(y))) for x, y in zip(xs, ys, strict=True)]
    return Thing("zip", (Solid(BRASS, tuple(teeth), 0.2), Wire(NYLON, (spine,), 0.35)))
