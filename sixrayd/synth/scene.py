"""Bags on the belt: what lies where, its optical depth, and where the contraband is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from sixrayd.core.arrays import FloatArray
from sixrayd.core.boxes import Box
from sixrayd.synth import blades, clutter, gadgets, guns, luggage, tools
from sixrayd.synth.layout import Place, lay_out, picture_size
from sixrayd.synth.projection import DepthMap, Image, Mask, Pose
from sixrayd.synth.solids import Thing

Rng = np.random.Generator
Kind = Literal["positive", "hidden", "clean"]

VISIBLE_DEPTH = 0.06  # low-band optical depth from which a thing counts as seen
BUILDERS: dict[str, Callable[[Rng], Thing]] = {
    "Gun": guns.gun,
    "Knife": blades.knife,
    "Wrench": tools.wrench,
    "Pliers": tools.pliers,
    "Scissors": blades.scissors,
}
COMMONNESS = {"Gun": 0.26, "Knife": 0.21, "Wrench": 0.18, "Pliers": 0.21, "Scissors": 0.14}
SOFT = (clutter.clothes, clutter.clothes, clutter.clothes, clutter.book, clutter.box)
DAILY = (
    clutter.bottle, clutter.bottle, clutter.can, clutter.shoe, clutter.tube, clutter.food,
    clutter.belt, clutter.umbrella, clutter.hanger, gadgets.glasses, gadgets.pens,
)  # fmt: skip
DEVICES = (
    gadgets.laptop, gadgets.circuit, gadgets.circuit, gadgets.phone, gadgets.charger,
    gadgets.cable, gadgets.camera, gadgets.dryer, gadgets.batteries,
)  # fmt: skip
METAL = (
    gadgets.screwdriver, gadgets.cutlery, gadgets.keys, gadgets.coins, gadgets.rods,
    gadgets.hex_keys, gadgets.batteries,
)  # fmt: skip
LOOSE = (gadgets.hardware, gadgets.hardware, clutter.thread, gadgets.zip_chain)
BAGS = (luggage.trolley, luggage.trolley, luggage.soft_bag, luggage.soft_bag, luggage.soft_bag,
        luggage.tray, luggage.carrier_bag)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Threat:
    """One piece of contraband and the pixels its shadow covers, (H, W) bool."""

    label: str
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A belt before the beam: (2, H, W) optical depth and the contraband in it."""

    depth: Image
    threats: tuple[Threat, ...]

    def boxes(self) -> tuple[Box, ...]:
        """Tight boxes around the threats' shadows."""
        return tuple(box for box in map(_tight, self.threats) if box is not None)


def _tight(threat: Threat) -> Box | None:
    columns = np.flatnonzero(threat.mask.any(axis=0))
    rows = np.flatnonzero(threat.mask.any(axis=1))
    if len(columns) == 0:
        return None
    return Box(threat.label, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def build_scene(kind: Kind, classes: tuple[str, ...], rng: Rng) -> Scene:
    """Pack bags, then put contraband into them where `kind` asks for it."""
    width, height = picture_size(rng)
    belt = DepthMap(width, height)
    places = lay_out(width, height, rng)
    for place in places:
        _pack(belt, place, kind, rng)
    threats: list[Threat] = []
    for label in _threat_labels(kind, classes, rng):
        place = places[int(rng.integers(len(places)))]
        threats.append(_hide(belt, label, place, threats, kind, rng))
    return Scene(belt.depth, tuple(threats))


def _threat_labels(kind: Kind, classes: tuple[str, ...], rng: Rng) -> list[str]:
    """About 2.35 objects in a positive, about one in a hidden image."""
    if kind == "clean":
        return []
    count = 1 + (min(5, int(rng.poisson(1.37))) if kind == "positive" else int(rng.random() < 0.06))
    share = np.array([COMMONNESS[name] for name in classes])
    return [str(name) for name in rng.choice(classes, count, p=share / share.sum())]


def _pack(belt: DepthMap, place: Place, kind: Kind, rng: Rng) -> None:
    """Draw one bag and its clutter."""
    bag = BAGS[int(rng.integers(len(BAGS)))](*place.size_cm, rng)
    belt.add(bag.item, Pose(place.at, place.scale, place.turn_deg))
    room = place.size_cm[0] * place.size_cm[1] / 1500 * (1.25 if kind == "hidden" else 1.0)
    busy = rng.uniform(0.5, 1.5) * room
    for shelf, mean in ((SOFT, 3.0), (DAILY, 2.0), (DEVICES, 1.6), (METAL, 1.8), (LOOSE, 2.4)):
        for _ in range(int(rng.poisson(mean * busy))):
            item = shelf[int(rng.integers(len(shelf)))](rng)
            if max(item.extent_cm()) <= 0.8 * max(bag.inside_cm):
                belt.add(item, _lying(item, place, bag.inside_cm, rng))


def _lying(item: Thing, place: Place, inside_cm: tuple[float, float], rng: Rng) -> Pose:
    """Somewhere inside the bag; large flat things lie along it."""
    turn = rng.uniform(0, 360)
    if max(item.extent_cm()) > 20:
        turn = place.turn_deg + rng.normal(0, 12) + rng.choice([0, 180])
    tilt = min(65.0, abs(float(rng.normal(0, 16))))
    room = np.maximum(0.15, 1 - 0.6 * max(item.extent_cm()) / np.array(inside_cm))
    offset = rng.uniform(-0.5, 0.5, 2) * inside_cm * room
    return _centred(item, place.point(offset), place.scale, (turn, tilt), rng)


def _centred(
    item: Thing, at: tuple[float, float], scale: float, angles: tuple[float, float], rng: Rng
) -> Pose:
    """A pose that brings the middle of the item to `at`."""
    mirrored, axis = bool(rng.integers(2)), float(rng.uniform(0, 180))
    loose = Pose((0.0, 0.0), scale, angles[0], angles[1], axis, mirrored)
    low, high = item.bounds_cm()
    middle = loose.pixels((((low + high) / 2)[None],))[0][0]
    return Pose((at[0] - float(middle[0]), at[1] - float(middle[1])), scale, angles[0], angles[1],
                axis, mirrored)  # fmt: skip


def _hide(
    belt: DepthMap, label: str, place: Place, threats: list[Threat], kind: Kind, rng: Rng
) -> Threat:
    """Draw one piece of contraband where it is not buried, and record its shadow."""
    item = BUILDERS[label](rng)
    scale = place.scale * _size_factor(item, place.scale, belt, kind, rng)
    angles = (float(rng.uniform(0, 360)), min(50.0, abs(float(rng.normal(0, 17)))))
    reach = max(item.extent_cm()) * scale
    at = _open_spot(belt, place, threats, reach, rng)
    alone = DepthMap(belt.width, belt.height)
    alone.add(item, _centred(item, at, scale, angles, rng))
    belt.depth += alone.depth
    return Threat(label, alone.depth[0] > VISIBLE_DEPTH)


def _size_factor(item: Thing, scale: float, belt: DepthMap, kind: Kind, rng: Rng) -> float:
    """Keeps contraband between a tenth and two fifths of the picture, by model size."""
    factor = rng.uniform(0.8, 1.0) * (0.9 if kind == "hidden" else 1.0)
    pixels = max(item.extent_cm()) * scale * factor
    largest = 0.36 * max(belt.width, 0.8 * belt.height)
    smallest = max(36.0, 0.10 * belt.width)
    return float(factor * min(max(pixels, smallest), largest) / pixels)


def _open_spot(
    belt: DepthMap, place: Place, threats: list[Threat], reach: float, rng: Rng
) -> tuple[float, float]:
    """Of a few random spots in the bag, one with little dense matter and no other threat."""
    best, lowest = place.at, np.inf
    half = reach * 0.5
    limit = np.array([belt.width, belt.height])
    for _ in range(7):
        spot = np.array(place.point(rng.uniform(-0.40, 0.40, 2) * place.size_cm))
        spot = np.clip(
            spot, np.minimum(half * 0.9, limit / 2), np.maximum(limit - half * 0.9, limit / 2)
        )
        x0, y0 = np.maximum(spot - half * 0.7, 0).astype(int)
        x1, y1 = np.minimum(spot + half * 0.7, limit).astype(int) + 1
        window = (slice(y0, y1), slice(x0, x1))
        dense = float(np.minimum(belt.depth[1][window][::3, ::3], 4).mean())
        taken = sum(float(threat.mask[window].mean()) for threat in threats)
        cost = max(0.0, dense - 0.5) + 3 * taken
        if cost < lowest:
            best, lowest = (float(spot[0]), float(spot[1])), cost
    return best


def rescan(scene: Scene, rng: Rng) -> Scene:
    """The same bags once more: slightly shifted, turned and scaled, sometimes mirrored."""
    height, width = scene.depth.shape[1:]
    centre, turn, scale = (width / 2, height / 2), rng.normal(0, 0.35), 1 + rng.normal(0, 0.004)
    matrix: FloatArray = np.asarray(cv2.getRotationMatrix2D(centre, turn, scale), dtype=np.float64)
    matrix[:, 2] += rng.normal(0, 1.6, 2)
    if rng.random() < 0.12:
        matrix = matrix @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    depth = np.stack([_warped(band, matrix) for band in scene.depth])  # (2, H, W)
    threats = []
    for threat in scene.threats:
        shadow = _warped(threat.mask.astype(np.float32), matrix)
        threats.append(Threat(threat.label, shadow > 0.5))
    return Scene(depth, tuple(threats))


def widen(scene: Scene, share: float, rng: Rng) -> Scene:
    """The same bags on a larger piece of empty belt.

    Args:
        share: most that is added on each side, as a share of the picture's width or height.
    """
    height, width = scene.depth.shape[1:]
    top, bottom = (rng.uniform(0, share, 2) * height).astype(int)
    left, right = (rng.uniform(0, share, 2) * width).astype(int)
    around = ((top, bottom), (left, right))
    threats = tuple(Threat(t.label, np.pad(t.mask, around)) for t in scene.threats)
    return Scene(np.pad(scene.depth, ((0, 0), *around)), threats)


def _warped(image: Image, matrix: FloatArray) -> Image:
    warped = cv2.warpAffine(image, matrix, image.shape[::-1])
    return np.asarray(warped, dtype=np.float32)
