"""Sizes of pictures and the places of bags on the belt."""

import math
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator

# Log-normal fit to SIXray's pictures: medians, spreads, correlation, limits.
MEDIAN_WH = (600.0, 572.0)
SPREAD_WH = (0.38, 0.27)
CORRELATION = 0.35
LIMITS_WH = ((152, 1536), (180, 1330))


@dataclass(frozen=True, slots=True)
class Place:
    """Where one bag lies.

    Args:
        at: pixel of its middle.
        scale: pixels per cm.
        size_cm: width and height of the bag in its own frame.
    """

    at: tuple[float, float]
    scale: float
    turn_deg: float
    size_cm: tuple[float, float]

    def point(
        self, offset_cm: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    ) -> tuple[float, float]:
        """Pixel of a point (2,) given in the bag's frame."""
        angle = math.radians(self.turn_deg)
        x, y = float(offset_cm[0]) * self.scale, float(offset_cm[1]) * self.scale
        turned = (
            x * math.cos(angle) - y * math.sin(angle),
            x * math.sin(angle) + y * math.cos(angle),
        )
        return self.at[0] + turned[0], self.at[1] + turned[1]


def picture_size(rng: Rng) -> tuple[int, int]:
    """Width and height in pixels, spread as in the real release."""
    first, second = rng.standard_normal(2)
    second = CORRELATION * first + math.sqrt(1 - CORRELATION**2) * second
    size = []
    for z, median, spread, limits in zip(
        (first, second), MEDIAN_WH, SPREAD_WH, LIMITS_WH, strict=True
    ):
        size.append(int(np.clip(median * math.exp(spread * z), *limits)))
    return size[0], size[1]


def lay_out(width: int, height: int, rng: Rng) -> tuple[Place, ...]:
    """One bag, or on long pictures up to three side by side, all at one scale."""
    long_side, short_side = max(width, height), min(width, height)
    most = 1 + (long_side > 640) + (long_side > 950)
    count = int(rng.integers(1, most + 1)) if rng.random() < 0.4 else 1
    fill = rng.uniform(0.86, 0.98) if rng.random() < 0.7 else rng.uniform(0.6, 0.86)
    slot = (long_side / count, float(short_side))
    bags = [_bag_size(slot, long_side / count, rng) for _ in range(count)]
    scale = min(min(slot[0] / along, slot[1] / across) for along, across in bags) * fill
    places = []
    for k, (along, across) in enumerate(bags):
        slack = np.maximum(0, np.array(slot) - np.array([along, across]) * scale)
        x, y = np.array([(k + 0.5) * slot[0], slot[1] / 2]) + slack * rng.uniform(-0.45, 0.45, 2)
        turn = float(rng.normal(0, 5)) + (180 if rng.random() < 0.5 else 0)
        at = (float(x), float(y)) if width >= height else (float(y), float(x))
        if width < height:
            turn += 90
        places.append(Place(at, float(scale), turn, (along, across)))
    return tuple(places)


def _bag_size(slot: tuple[float, float], room_px: float, rng: Rng) -> tuple[float, float]:
    """Bag size in cm along and across the belt's long side."""
    longest = rng.uniform(44, 62) if room_px > 380 else rng.uniform(30, 42)
    shape = min(1.15, max(0.6, slot[1] / slot[0])) * rng.uniform(0.82, 1.0)
    return (longest, longest * shape) if shape <= 1 else (longest / shape, longest)
