"""Solids and wires in an object's own frame: what they are made of and how thick they are."""

from dataclasses import dataclass, field

import numpy as np

from sixrayd.synth.materials import Material
from sixrayd.synth.outlines import Points


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """An outline given depth along the beam.

    Plain, it is a prism. `round_cm` lets the thickness rise from the rim as on a cylinder of
    that radius, `wedge_cm` as on a ground blade. `wall_cm` makes it hollow.

    Args:
        outers: outlines whose union is filled, each (N, 2) cm.
        depth_cm: thickness in the middle.
        holes: outlines cut out of the union.
        lift_cm: height of the solid's middle above the object's plane.
        folds: seed of the creases in cloth; 0 is smooth.
    """

    material: Material
    outers: tuple[Points, ...]
    depth_cm: float
    holes: tuple[Points, ...] = ()
    round_cm: float = 0.0
    wedge_cm: float = 0.0
    wall_cm: float = 0.0
    lift_cm: float = 0.0
    folds: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Wire:
    """Round wires along lines, each (N, 2) cm; crossings of one Wire do not add up."""

    material: Material
    lines: tuple[Points, ...]
    radius_cm: float
    lift_cm: float = 0.0


Part = Solid | Wire


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A thing in a bag: parts that move together."""

    name: str
    parts: tuple[Part, ...] = field(default_factory=tuple)

    def extent_cm(self) -> tuple[float, float]:
        """Width and height of all parts together."""
        low, high = self.bounds_cm()
        return float(high[0] - low[0]), float(high[1] - low[1])

    def bounds_cm(self) -> tuple[Points, Points]:
        """Smallest and largest x and y, each (2,)."""
        every = [line for part in self.parts for line in lines_of(part)]
        corners = np.concatenate(every)
        return corners.min(axis=0), corners.max(axis=0)


def lines_of(part: Part) -> tuple[Points, ...]:
    """The outlines or centre lines that bound a part."""
    return part.outers if isinstance(part, Solid) else part.lines
