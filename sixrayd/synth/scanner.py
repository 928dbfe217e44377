"""From optical depth to the picture an operator sees: noise, logarithm, colour by material."""

from dataclasses import dataclass

import cv2
import numpy as np

from sixrayd.core.arrays import RGBImage
from sixrayd.synth.palettes import DEEPEST, RATIO_RANGE, TABLE, Colour, colour_table
from sixrayd.synth.projection import Image

Rng = np.random.Generator


ELECTRONIC_NOISE = 2.0  # variance in photons
FEWEST_PHOTONS = 1.5  # below this the logarithm would run away


@dataclass(frozen=True, slots=True)
class Scanner:
    """How one machine turns X-rays into a picture.

    Args:
        background: colour of the empty belt.
        photons: count per pixel and band of the open beam.
        blur_px: sigma of focus and detector.
        sharpen: share of the detail that is added again.
        bars: lines across the belt that the machine always shows.
        stripes: short bright rows where the detector's calibration drifted.
    """

    palette: str
    background: Colour
    photons: float
    blur_px: float
    sharpen: float
    grey: bool = False
    bars: int = 0
    stripes: int = 0


def choose_scanner(rng: Rng) -> Scanner:
    """One of the machines of a release, with its own settings."""
    blur, sharpen = rng.uniform(0.4, 0.6), rng.uniform(1.0, 1.8)
    stripes = int(rng.integers(6, 24)) if rng.random() < 0.45 else 0
    kind = rng.random()
    if kind < 0.50:
        photons = rng.uniform(2_000, 6_000)
        return Scanner("vivid", (255, 255, 255), photons, blur, sharpen, stripes=stripes)
    photons, bars = rng.uniform(6_000, 20_000), int(rng.integers(0, 3))
    if kind < 0.90:
        shade = int(rng.integers(222, 232))
        tint = (shade, shade, shade - int(rng.integers(0, 4)))
        return Scanner("muted", tint, photons, blur + 0.15, sharpen, bars=bars)
    if kind < 0.95:
        pink = (226, 198 + int(rng.integers(0, 22)), 226)
        return Scanner("muted", pink, photons, blur + 0.1, sharpen, bars=bars)
    return Scanner("vivid", (250, 250, 250), photons, blur, sharpen, grey=True, stripes=stripes)


def scan(depth: Image, scanner: Scanner, rng: Rng) -> RGBImage:
    """Expose, digitise and colour.

    Args:
        depth: (2, H, W) optical depth, low band first.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    measured = _expose(_with_bars(depth, scanner, rng), scanner, rng)  # (2, H, W)
    _streak(measured, scanner, rng)
    return coloured(measured, scanner)


def _with_bars(depth: Image, scanner: Scanner, rng: Rng) -> Image:
    """Lines across the belt: a seam, or a rail at the picture's edge."""
    if not scanner.bars:
        return depth
    barred = depth.copy()
    height = depth.shape[1]
    for _ in range(scanner.bars):
        place = rng.uniform(0.01, 0.12) if rng.random() < 0.7 else rng.uniform(0.90, 0.98)
        row, gain = int(height * place), rng.uniform(0.02, 0.14)
        rows = slice(row, row + 1 + int(rng.integers(2)))
        barred[0, rows] += np.float32(gain * 1.25)
        barred[1, rows] += np.float32(gain)
    return barred


def _expose(depth: Image, scanner: Scanner, rng: Rng) -> Image:
    """Measured optical depth, (2, H, W): blur, photon noise, uneven detectors, logarithm."""
    height, width = depth.shape[1:]
    measured = np.empty_like(depth)
    for band in range(2):
        beam = cv2.GaussianBlur(np.exp(-depth[band]), (0, 0), scanner.blur_px)
        beam *= np.float32(scanner.photons)
        # A Poisson count of this size is normal to within a per cent, and ten times faster to draw.
        noise = rng.standard_normal((height, width), dtype=np.float32)
        noise *= np.sqrt(beam + np.float32(ELECTRONIC_NOISE))
        beam += noise
        beam *= rng.normal(1, 0.0025, (height, 1)).astype(np.float32)
        beam *= rng.normal(1, 0.0012, (1, width)).astype(np.float32)
        np.maximum(beam, np.float32(FEWEST_PHOTONS), out=beam)
        np.subtract(np.float32(np.log(scanner.photons)), np.log(beam), out=measured[band])
    return measured


def _streak(measured: Image, scanner: Scanner, rng: Rng) -> None:
    """Lighten pieces of neighbouring rows in place, as a drifted calibration does."""
    height, width = measured.shape[1:]
    if not scanner.stripes:
        return
    low, high = rng.uniform(0.55, 0.8), rng.uniform(0.85, 1.0)
    for _ in range(scanner.stripes):
        row = int(height * rng.uniform(low, high))
        start, stop = sorted(rng.uniform(0, width, 2).astype(int))
        measured[:, row, start:stop] -= np.float32(rng.uniform(0.02, 0.07))


def coloured(measured: Image, scanner: Scanner) -> RGBImage:
    """(2, H, W) measured optical depth → (H, W, 3) uint8 RGB by material and thickness."""
    low, high = measured
    # Colour is read from a wider neighbourhood than brightness, as noise would speckle it.
    soft_low, soft_high = cv2.blur(low, (3, 3)), cv2.blur(high, (3, 3))
    ratio = (np.maximum(soft_low, 0) + np.float32(0.016)) / (
        np.maximum(soft_high, 0) + np.float32(0.010)
    )
    depth = 0.25 * low + 0.75 * high
    detail = depth - cv2.GaussianBlur(depth, (0, 0), 1.4)
    # Edges are drawn darker, never lighter than the object allows.
    depth += np.float32(scanner.sharpen) * np.clip(detail, -0.3, 1.5)
    # Dense matter starves the low band; machines show it as metal.
    ratio += np.maximum(depth - np.float32(2.6), 0)
    row = (ratio - RATIO_RANGE[0]) * ((TABLE[0] - 1) / (RATIO_RANGE[1] - RATIO_RANGE[0]))
    column = np.sqrt(np.clip(depth / DEEPEST, 0, 1)) * (TABLE[1] - 1)
    index = np.clip(row, 0, TABLE[0] - 1).astype(np.int32) * TABLE[1] + column.astype(np.int32)
    picture: RGBImage = colour_table(scanner.palette, scanner.background)[index]  # (H, W, 3)
    if scanner.grey:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.repeat(grey[..., None], 3, axis=2)  # (H, W, 3)
    return picture
