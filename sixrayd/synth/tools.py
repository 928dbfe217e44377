"""Wrenches and pliers. Frame: x towards the working end, cm."""

import numpy as np

from sixrayd.synth.materials import ABS, PVC, STEEL
from sixrayd.synth.outlines import (
    Points,
    ellipse,
    flipped,
    moved,
    points,
    rounded,
    tapered,
)
from sixrayd.synth.solids import Part, Solid, Thing


def wrench(rng: np.random.Generator) -> Thing:
    """A combination, double open, ring or adjustable wrench."""
    length = rng.uniform(14, 23)
    head = length * rng.uniform(0.095, 0.125)
    kind = rng.random()
    if kind < 0.2:
        return _adjustable(length, head * 1.15, rng)
    left, right = ("ring", "jaw") if kind < 0.7 else ("jaw", "jaw")
    if kind > 0.92:
        left, right = "ring", "ring"
    thick = rng.uniform(0.55, 0.9)
    x = length / 2 - head
    parts = [
        _handle(length, head, thick * 0.75, rng),
        _end(right, head, (x, 0.0), 0, thick, rng),
        _end(left, head * rng.uniform(0.8, 1.0), (-x, 0.0), 180, thick, rng),
    ]
    return Thing("Wrench", tuple(parts))


def _handle(length: float, head: float, thick: float, rng: np.random.Generator) -> Solid:
    reach = length / 2 - head * 1.7
    half_width = head * rng.uniform(0.38, 0.55)
    line = points((-reach, 0), (-reach / 2, 0), (0, 0), (reach / 2, 0), (reach, 0))
    widths = tuple(half_width * share for share in (1.1, 1.0, 0.9, 1.0, 1.15))
    bar = tapered(line, widths)
    return Solid(STEEL, (bar,), thick, wedge_cm=half_width * 0.45)


def _end(
    kind: str,
    head: float,
    at: tuple[float, float],
    turn_deg: float,
    thick: float,
    rng: np.random.Generator,
) -> Solid:
    """A ring or an open jaw around `at`, opening along +x before the turn."""
    neck = points((-head * 2.2, -head * 0.5), (-head * 0.5, -head * 0.8),
                  (-head * 0.5, head * 0.8), (-head * 2.2, head * 0.5))  # fmt: skip
    if kind == "ring":
        outer, hole = ellipse(head * 0.95, head * 0.95), ellipse(head * 0.6, head * 0.6, corners=12)
    else:
        outer = ellipse(head * 1.08, head * 1.12)
        gape = head * rng.uniform(0.95, 1.15)
        hole = moved(_slot(gape, head * 2), turn_deg=rng.choice([-15, 15]))
    placed = [moved(outline, at, turn_deg) for outline in (outer, neck, hole)]
    return Solid(STEEL, (placed[0], placed[1]), thick, (placed[2],))


def _slot(gape: float, reach: float) -> Points:
    """The rounded slot of an open jaw, from the origin out along +x."""
    angle = np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    bottom = np.stack([gape / 2 * np.cos(angle), gape / 2 * np.sin(angle)], axis=1)
    mouth = points((reach, -gape / 2), (reach, gape / 2))
    return np.concatenate([bottom.astype(np.float32), mouth])


def _adjustable(length: float, head: float, rng: np.random.Generator) -> Thing:
    x = length / 2 - head
    gape = head * rng.uniform(0.4, 0.9)
    fixed = points((x - head * 1.1, -head * 0.7), (x + head * 0.9, -head * 1.15),
                   (x + head * 1.2, -gape / 2), (x - 0.1 * head, -gape / 2),
                   (x - 0.1 * head, head * 0.9), (x - head * 1.1, head * 0.7))  # fmt: skip
    sliding = points((x - 0.15 * head, gape / 2), (x + head * 1.1, gape / 2),
                     (x + head * 0.8, gape / 2 + head * 0.5),
                     (x - 0.15 * head, gape / 2 + head * 0.8))  # fmt: skip
    worm = rounded(head * 0.45, head * 0.5, 0.1, (x - head * 0.5, head * 0.35))
    bar = tapered(points((x - head, 0), (0, 0), (-length * 0.3, 0), (-length / 2, 0)),
                  (head * 0.75, head * 0.45, head * 0.5, head * 0.6))  # fmt: skip
    eye = ellipse(head * 0.28, head * 0.28, (-length / 2 + head * 0.6, 0))
    parts: list[Part] = [
        Solid(STEEL, (fixed,), rng.uniform(0.9, 1.2), (worm,)),
        Solid(STEEL, (sliding,), 0.8),
        Solid(STEEL, (worm,), 0.7, round_cm=head * 0.2),
        Solid(STEEL, (bar,), 0.6, (eye,), wedge_cm=head * 0.2),
    ]
    return Thing("Wrench", tuple(parts))


def pliers(rng: np.random.Generator) -> Thing:
    """Two crossing arms on a rivet: combination, long-nose or cutting."""
    length = rng.uniform(14.5, 21)
    opening_deg = rng.uniform(3, 17)
    nose = (rng.uniform(0.26, 0.34), rng.uniform(0.36, 0.42), 0.17)[int(rng.integers(3))]
    slim = 0.75 if nose > 0.35 else (1.25 if nose < 0.2 else 1.0)
    sleeved = rng.random() < 0.8
    parts: list[Part] = []
    for side in (1, -1):
        for part in _arm(length, nose, slim, sleeved, rng):
            parts.append(_mirrored(part, side, opening_deg))
    rivet = ellipse(length * 0.035, length * 0.035)
    parts.append(Solid(STEEL, (rivet,), 0.4))
    return Thing("Pliers", tuple(parts))


def _arm(
    length: float, nose: float, slim: float, sleeved: bool, rng: np.random.Generator
) -> list[Solid]:
    """The arm whose jaw lies at y < 0 and whose handle lies at y > 0."""
    unit = length / 18
    tip = length * nose
    jaw = tapered(points((tip, -0.28), (tip * 0.6, -0.62), (tip * 0.25, -0.8), (-0.9 * unit, 0.2)),
                  (0.3 * slim, 0.55 * slim, 0.95 * unit, 1.0 * unit))  # fmt: skip
    line = points((0.6 * unit, -0.4), (-2.0 * unit, 0.9 * unit), (-length * 0.28, 2.0 * unit),
                  (-length * 0.48, 2.3 * unit), (-length * 0.66, 1.7 * unit))  # fmt: skip
    steel = tapered(line, (0.9 * unit, 0.7 * unit, 0.5 * unit, 0.45 * unit, 0.4 * unit))
    parts = [Solid(STEEL, (jaw,), 0.75), Solid(STEEL, (steel,), 0.65, wedge_cm=0.2)]
    if sleeved:
        grip = tapered(line[1:], (0.75 * unit, 0.95 * unit, 0.9 * unit, 0.75 * unit))
        material = PVC if rng.random() < 0.7 else ABS
        parts.append(Solid(material, (grip,), 1.3, round_cm=0.8 * unit))
    return parts


def _mirrored(part: Solid, side: int, turn_deg: float) -> Solid:
    outers = tuple(outline if side > 0 else flipped(outline) for outline in part.outers)
    turned = tuple(moved(outline, turn_deg=-turn_deg * side) for outline in outers)
    return Solid(
        part.material,
        turned,
        part.depth_cm,
        round_cm=part.round_cm,
        wedge_cm=part.wedge_cm,
        lift_cm=0.2 * side,
    )
