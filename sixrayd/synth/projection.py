"""Line integrals: how many optical depths lie between source and detector at every pixel."""

import math
from dataclasses import dataclass, replace
from itertools import accumulate

import cv2
import numpy as np

from sixrayd.synth.materials import Material, linear_attenuation
from sixrayd.synth.outlines import Points
from sixrayd.synth.solids import Part, Solid, Thing, Wire

Image = np.ndarray[tuple[int, ...], np.dtype[np.floating]]
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

SUPERSAMPLED_AREA = 60_000
SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True)
class Pose:
    """How an object lies before the beam: in-plane turn, then a tilt about an axis.

    Args:
        at: pixel of the object's origin.
        scale: pixels per cm.
        turn_deg: in-plane turn of the object.
        tilt_deg: angle between the object's plane and the detector's, 0..80.
        axis_deg: direction of the tilt's axis.
    """

    at: tuple[float, float]
    scale: float
    turn_deg: float = 0.0
    tilt_deg: float = 0.0
    axis_deg: float = 0.0
    mirrored: bool = False

    def pixels(self, outlines: tuple[Points, ...], lift_cm: float = 0.0) -> list[Points]:
        """Outlines of (N, 2) cm in the object's frame → as many of (N, 2) pixels."""
        if not outlines:
            return []
        shift = np.array(self.at) + lift_cm * self.lean()
        placed = (np.concatenate(outlines) @ self._matrix().T + shift).astype(np.float32)
        ends = list(accumulate(len(outline) for outline in outlines))
        return [placed[end - len(o) : end] for o, end in zip(outlines, ends, strict=True)]

    def magnified(self, corner: tuple[int, int], zoom: int) -> "Pose":
        """The pose on a finer raster of `zoom` squared cells a pixel, from pixel `corner` on."""
        x, y = (
            (place - first + 0.5) * zoom - 0.5 for place, first in zip(self.at, corner, strict=True)
        )
        return replace(self, at=(x, y), scale=self.scale * zoom)

    def lean(self) -> Points:
        """(2,) pixels that one cm along the object's normal moves a point."""
        axis = math.radians(self.axis_deg)
        length = self.scale * math.sin(math.radians(self.tilt_deg))
        return np.array([-math.sin(axis) * length, math.cos(axis) * length], dtype=np.float32)

    def stretch(self) -> float:
        """Factor by which the tilt lengthens the beam's way through a plate."""
        return 1 / math.cos(math.radians(self.tilt_deg))

    def _matrix(self) -> Points:
        squeeze = np.diag([1.0, math.cos(math.radians(self.tilt_deg))])
        flip = np.diag([-1.0 if self.mirrored else 1.0, 1.0])
        plane = _rotation(self.axis_deg) @ squeeze @ _rotation(self.turn_deg - self.axis_deg)
        matrix: Points = self.scale * plane @ flip
        return matrix


def _rotation(angle_deg: float) -> Points:
    angle = math.radians(angle_deg)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


@dataclass(frozen=True, slots=True)
class Patch:
    """Thickness in cm, (h, w) float32, of one part; `x` and `y` place its first pixel."""

    x: int
    y: int
    thickness: Image


class DepthMap:
    """Optical depth of both bands, (2, H, W) float32: -ln of the transmission, low band first.

    Beer-Lambert makes overlapping objects multiply, so their depths add.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.depth: Image = np.zeros((2, height, width), dtype=np.float32)

    def add(self, item: Thing, pose: Pose) -> None:
        """Put an object into the beam."""
        for part in item.parts:
            patch = thickness_patch(part, pose, self.width, self.height)
            if patch is not None:
                self.add_patch(patch, part.material)

    def add_patch(self, patch: Patch, material: Material) -> None:
        """Put a thickness of one material into the beam."""
        height, width = patch.thickness.shape
        window = (slice(patch.y, patch.y + height), slice(patch.x, patch.x + width))
        for band, attenuation in enumerate(linear_attenuation(material)):
            self.depth[band][window] += patch.thickness * np.float32(attenuation)


def thickness_patch(part: Part, pose: Pose, width: int, height: int) -> Patch | None:
    """The beam's way through one part, where that lies inside the picture.

    Returns:
        None when all of it lies outside.
    """
    if isinstance(part, Wire):
        return _wire_patch(part, pose, width, height)
    sweep = pose.lean() * part.depth_cm if _is_prism(part) else np.zeros(2, np.float32)
    margin = float(np.abs(sweep).max()) / 2 + 2
    window = _window(pose.pixels(part.outers, part.lift_cm), margin, width, height)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    zoom = 2 if (x1 - x0) * (y1 - y0) < SUPERSAMPLED_AREA else 1
    size = ((y1 - y0) * zoom, (x1 - x0) * zoom)
    close = pose.magnified((x0, y0), zoom)
    rings, cuts = (close.pixels(lines, part.lift_cm) for lines in (part.outers, part.holes))
    if _is_prism(part):
        thickness: Image = _prism(rings, cuts, sweep * zoom, size) * (
            part.depth_cm * pose.stretch()
        )
    else:
        mask = _filled(rings, cuts, size)
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / np.float32(zoom * pose.scale)
        thickness = _profile(part, distance) * pose.stretch()
    if zoom > 1:
        thickness = _resized(thickness, (x1 - x0, y1 - y0), cv2.INTER_AREA)
    if part.folds:
        thickness = thickness * _creases(thickness.shape, pose.scale, part.folds)
    return Patch(x0, y0, thickness.astype(np.float32, copy=False))


def _is_prism(solid: Solid) -> bool:
    return not (solid.round_cm or solid.wedge_cm or solid.wall_cm)


def _window(
    lines: list[Points], margin: float, width: int, height: int
) -> tuple[int, int, int, int] | None:
    corners = np.concatenate(lines)
    low = np.floor(corners.min(axis=0) - margin).astype(int)
    high = np.ceil(corners.max(axis=0) + margin).astype(int) + 1
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(width, int(high[0])), min(height, int(high[1]))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _fixed(line: Points) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.rint(line * (1 << SUBPIXEL_BITS)).astype(np.int32)


def _filled(
    rings: list[Points], cuts: list[Points], size: tuple[int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mask = np.zeros(size, dtype=np.uint8)
    for ring in rings:
        cv2.fillPoly(mask, [_fixed(ring)], (1,), shift=SUBPIXEL_BITS)
    for cut in cuts:
        cv2.fillPoly(mask, [_fixed(cut)], (0,), shift=SUBPIXEL_BITS)
    return mask


def _prism(rings: list[Points], cuts: list[Points], sweep: Points, size: tuple[int, int]) -> Image:
    """Share of a prism's depth that the beam passes: its outline swept along the lean, (h, w)."""
    steps = min(12, 1 + math.ceil(float(np.linalg.norm(sweep)) / 1.5))
    if steps == 1:
        return _filled(rings, cuts, size).astype(np.float32)
    pad = 1 + math.ceil(float(np.abs(sweep).max()) / 2)
    height, width = size
    padded = (height + 2 * pad, width + 2 * pad)
    mask = _filled([ring + pad for ring in rings], [cut + pad for cut in cuts], padded)
    total = np.zeros(size, dtype=np.uint8)
    for place in np.linspace(-0.5, 0.5, steps):
        x, y = pad + round(float(sweep[0] * place)), pad + round(float(sweep[1] * place))
        total += mask[y : y + height, x : x + width]
    return total * np.float32(1 / steps)


def _profile(solid: Solid, distance: Image) -> Image:
    """Thickness in cm from the distance to the rim in cm."""
    if solid.wedge_cm:
        ground: Image = np.minimum(distance / np.float32(solid.wedge_cm), 1)
        return ground * np.float32(solid.depth_cm)
    outside = _bulge(distance, solid.depth_cm, solid.round_cm)
    if not solid.wall_cm:
        return outside
    inner_depth = max(0.0, solid.depth_cm - 2 * solid.wall_cm)
    inner_round = max(0.0, solid.round_cm - solid.wall_cm)
    return outside - _bulge(distance - np.float32(solid.wall_cm), inner_depth, inner_round)


def _bulge(distance: Image, depth_cm: float, round_cm: float) -> Image:
    if not round_cm:
        return (distance > 0).astype(np.float32) * np.float32(depth_cm)
    inward = 1 - np.clip(distance / np.float32(round_cm), 0, 1)
    chord: Image = np.sqrt(1 - inward * inward)
    return chord * np.float32(depth_cm)


def _creases(shape: tuple[int, ...], scale: float, seed: int) -> Image:
    """Factor around 1, (h, w): soft hills, with sharp folds where coarse noise changes sign."""
    rng = np.random.default_rng(seed)
    height, width = shape
    half = (1 + width // 2, 1 + height // 2)
    factor = np.full(half[::-1], 0.55, dtype=np.float32)
    for period_cm, gain, fold in ((9.0, 0.22, 0.30), (3.5, 0.12, 0.45), (1.6, 0.08, 0.50)):
        cells = (2 + int(height / scale / period_cm), 3 + int(width / scale / period_cm * 1.7))
        noise = rng.standard_normal(cells, dtype=np.float32)
        hills = _resized(noise, half, cv2.INTER_CUBIC)
        factor += gain * hills
        factor += fold * np.maximum(0, 1 - np.abs(hills) * 6)
    return _resized(np.maximum(factor, 0.1), (width, height), cv2.INTER_LINEAR)


def _resized(image: Image, size_wh: tuple[int, int], how: int) -> Image:
    return np.asarray(cv2.resize(image, size_wh, interpolation=how), dtype=np.float32)


def _wire_patch(wire: Wire, pose: Pose, width: int, height: int) -> Patch | None:
    lines = pose.pixels(wire.lines, wire.lift_cm)
    true_width = 2 * wire.radius_cm * pose.scale
    window = _window(lines, true_width / 2 + 2, width, height)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    close = pose.magnified((x0, y0), 2)
    strokes = [_fixed(line) for line in close.pixels(wire.lines, wire.lift_cm)]
    mask = np.zeros((2 * (y1 - y0), 2 * (x1 - x0)), dtype=np.uint8)
    drawn = _odd(2 * true_width)
    # Nested strokes give a thick wire its round profile; a thin one is a grey line.
    levels = ((1.0, 115), (0.75, 204), (0.45, 246)) if drawn >= 5 else ((1.0, 200),)
    for share, level in levels:
        # OpenCV draws strokes of even thickness one pixel wider than asked.
        breadth = max(1, _odd(drawn * share) - 1)
        cv2.polylines(mask, strokes, False, (level,), breadth, cv2.LINE_8, SUBPIXEL_BITS)
    full = 2 * wire.radius_cm * 2 * true_width / drawn / 255
    fine = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return Patch(x0, y0, fine * np.float32(full))


def _odd(width: float) -> int:
    return 2 * max(0, round((width - 1) / 2)) + 1
