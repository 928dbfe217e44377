"""Two-dimensional outlines that solids are cut from. Unit cm, x to the right, y down."""

import math

import numpy as np

Points = np.ndarray[tuple[int, ...], np.dtype[np.floating]]
XY = tuple[float, float]


def points(*coordinates: XY) -> Points:
    """(N, 2) float32 of the corners given."""
    return np.array(coordinates, dtype=np.float32)  # (N, 2)


def moved(outline: Points, at: XY = (0.0, 0.0), turn_deg: float = 0.0) -> Points:
    """The outline turned about the origin (clockwise as seen), then shifted."""
    angle = math.radians(turn_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]], dtype=np.float32)
    return outline @ turn + np.array(at, dtype=np.float32)


def flipped(outline: Points) -> Points:
    """Mirrored at the x axis."""
    return outline * np.array([1, -1], dtype=np.float32)


def rectangle(width: float, height: float, at: XY = (0.0, 0.0)) -> Points:
    """(4, 2), centred at `at`."""
    x, y = width / 2, height / 2
    return moved(points((-x, -y), (x, -y), (x, y), (-x, y)), at)


def rounded(width: float, height: float, radius: float, at: XY = (0.0, 0.0)) -> Points:
    """Rectangle with round corners, (24, 2)."""
    radius = min(radius, width / 2, height / 2)
    corner = np.linspace(0, np.pi / 2, 6)
    parts = []
    for k, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        centre = np.array([sx * (width / 2 - radius), sy * (height / 2 - radius)])
        angle = corner + k * np.pi / 2
        parts.append(centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return moved(np.concatenate(parts).astype(np.float32), at)


def ellipse(radius_x: float, radius_y: float, at: XY = (0.0, 0.0), corners: int = 36) -> Points:
    """(corners, 2); six corners make a hexagon."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    circle = np.stack([radius_x * np.cos(angle), radius_y * np.sin(angle)], axis=1)
    return moved(circle.astype(np.float32), at)


def smooth(line: Points, closed: bool = False, rounds: int = 3) -> Points:
    """Corner cutting after Chaikin; an open line keeps its ends."""
    for _ in range(rounds):
        following = np.roll(line, -1, axis=0)
        cut = np.stack([0.75 * line + 0.25 * following, 0.25 * line + 0.75 * following], axis=1)
        cut = cut.reshape(-1, line.shape[1])
        line = cut if closed else np.concatenate([line[:1], cut[1:-3], line[-1:]])
    return line.astype(np.float32)


def stroke(line: Points, half_width: float | Points) -> Points:
    """Outline of a line with breadth.

    Args:
        line: (N, 2) centre line.
        half_width: one number, or one for every point (N,).

    Returns:
        (2 N, 2).
    """
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)  # (N, 2)
    offset = normal * np.broadcast_to(half_width, (len(line),))[:, None]
    outline: Points = np.concatenate([line + offset, (line - offset)[::-1]])
    return outline.astype(np.float32)


def tapered(line: Points, half_widths: tuple[float, ...]) -> Points:
    """A smooth stroke whose half-widths are given at the line's corners."""
    spine = smooth(np.column_stack([line, np.array(half_widths, dtype=np.float32)]))
    return stroke(spine[:, :2], spine[:, 2])


def blob(radius_x: float, radius_y: float, wobble: float, rng: np.random.Generator) -> Points:
    """A closed soft shape between an ellipse and a rectangle, (96, 2)."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    power = rng.uniform(2.2, 5.0)
    radius = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
    radius *= 1 + wobble * rng.normal(0, 1, len(angle)).clip(-1.5, 1.5)
    shape = np.stack([radius_x * radius * np.cos(angle), radius_y * radius * np.sin(angle)], axis=1)
    return smooth(shape.astype(np.float32), closed=True, rounds=2)
