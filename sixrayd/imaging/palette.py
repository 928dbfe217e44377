"""A scanner's colours read backwards: from pixels to what the beam lost, which adds up.

Dual-energy scanners colour by material (organic orange, inorganic green, metal blue) and shade by
how much is absorbed. Neither palette nor tone curve is published, so lightness is taken for
absorption, hue for material, and the colours themselves are read from the scan at hand.

Source: transmissions multiply, as in Rogers et al. 2016, "Threat Image Projection (TIP) into X-ray
images of cargo containers for training humans and machines"; reading palettes backwards is ours.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from sixrayd.core.boxes import FloatArray
from sixrayd.imaging.decode import RGBImage

Levels = RGBImage | FloatArray  # 0..255

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Organic, inorganic, metal, dense metal: hue in degrees, and low-band over high-band absorption
# (polymer 1.2, aluminium 2.1, steel 4.9 when alone; something always lies around it).
_HUES = (32.0, 105.0, 203.0, 240.0)
_RATIOS = (1.2, 2.1, 3.9, 5.0)
_PLACES = range(4)
_RED = 290.0  # from here on hues belong to orange again
_LOW, _HIGH = 0.25, 0.75  # of the bands in lightness
# Screens show dark tones apart by less than they absorb: absorption is -ln(lightness) to this.
_TONE = 1.3
_SHAPE = (49, 64)  # materials and shades that a palette tells apart
_FILLS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # cells from which an empty one takes its colour
_FADE = 6.6  # so that a cell's own pixels outweigh any farther ones
_LENT = 0.05  # weight of another scan's pixels
_VIVID = 60  # levels between the channels
_COLOURED = 0.01  # share of vivid pixels from which a scan counts as coloured


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """A scan without a palette: each channel absorbs on its own."""

    def absorption(self, picture: Levels) -> FloatArray:
        """(H, W, 3) levels → (H, W, 3) float32, 0 or more; what lies behind each other adds up."""
        lost: FloatArray = -np.log(np.clip(picture.astype(np.float32), 0.5, 255) / 255)
        return lost

    def darkened(self, picture: RGBImage, added: FloatArray) -> FloatArray:
        """(H, W, 3) levels of the picture where (H, W, 3) more is absorbed; never lighter."""
        darker: FloatArray = picture * np.exp(-added)
        return darker

    def unlike(self, other: "Palette | Channels") -> float:
        """0 for another scan without a palette, infinite for one with."""
        return 0.0 if isinstance(other, Channels) else np.inf


@dataclass(frozen=True, eq=False)  # no slots: the table is kept once made
class Palette:
    """The palette of one scan.

    Args:
        white: lightness of the empty belt.
        black: lightness that the scan does not go below.
        counted: (materials, shades, 4) sums of red, green, blue and pixels.
    """

    white: float
    black: float
    counted: FloatArray

    @cached_property
    def table(self) -> FloatArray:
        """(materials, shades, 3) colours; each has exactly its shade's lightness."""
        near = np.zeros_like(self.counted)
        for reach in _FILLS:
            spread = cv2.GaussianBlur(self.counted, (0, 0), reach, borderType=cv2.BORDER_CONSTANT)
            near += spread / reach**_FADE
        table: FloatArray = near[..., :3] / np.maximum(near[..., 3:], 1e-12)
        shades = (np.arange(_SHAPE[1], dtype=np.float32) + 0.5) * 256 / _SHAPE[1]
        table *= (shades / np.maximum(table @ _LUMA, 1e-3))[..., None]
        return table

    def joined(self, other: "Palette") -> "Palette":
        """This palette, with another's colours where it has few of its own."""
        black = min(self.black, other.black)
        return Palette(self.white, black, self.counted + _LENT * other.counted)

    def unlike(self, other: "Palette | Channels") -> float:
        """Mean difference in levels of the colours that both scans show; infinite beside a scan
        without a palette."""
        if isinstance(other, Channels):
            return np.inf
        share = np.minimum(self.counted[..., 3], other.counted[..., 3])
        difference = np.abs(self.table - other.table).mean(axis=2)
        return float((share * difference).sum() / max(share.sum(), 1))

    def absorption(self, picture: Levels) -> FloatArray:
        """(H, W, 3) levels → (H, W, 2) float32 of the low and the high band, 0 or more."""
        light, material = _read(picture)
        return _bands(self._depth(light), np.interp(material, _PLACES, _RATIOS))

    def darkened(self, picture: RGBImage, added: FloatArray) -> FloatArray:
        """(H, W, 3) levels of the picture where (H, W, 2) more is absorbed.

        The colour moves along the palette, with the pixel's own deviation from it. No pixel gets
        lighter (by ITU-R BT.601 luma; one channel may rise as the hue turns), and one that
        absorbs nothing more keeps its value.
        """
        light, material = _read(picture)
        depth = self._depth(light)
        low, high = np.moveaxis(self.absorption(picture) + added, 2, 0)
        deeper = _LOW * low + _HIGH * high
        share = np.exp(depth ** (1 / _TONE) - np.maximum(deeper, depth) ** (1 / _TONE))
        darker = np.maximum(light * share, np.minimum(light, self.black))
        turned = np.interp(low / np.maximum(high, 1e-6), _RATIOS, _PLACES)
        rest = (picture - self._colour(material, light)) * share[..., None]
        moved = np.clip(self._colour(turned, darker) + rest, 0, 255)
        # What was cut off at 0 makes a colour lighter than its shade.
        moved *= np.minimum(1, light / np.maximum(moved @ _LUMA, 1e-6))[..., None]
        touched = (added > 0).any(axis=2, keepdims=True)  # (H, W, 1)
        return np.where(touched, moved, picture)

    def _depth(self, light: FloatArray) -> FloatArray:
        depth: FloatArray = -np.log(np.clip(light / self.white, 1e-3, 1))
        return depth**_TONE

    def _colour(self, material: FloatArray, light: FloatArray) -> FloatArray:
        row = material.astype(np.float32) / _PLACES[-1] * (_SHAPE[0] - 1)
        column = np.clip(light.astype(np.float32) / 256 * _SHAPE[1] - 0.5, 0, _SHAPE[1] - 1)
        return np.asarray(cv2.remap(self.table, column, row, cv2.INTER_LINEAR))  # (H, W, 3)


def read_palette(picture: RGBImage) -> Palette | Channels:
    """The palette of a pseudo-coloured scan, or single channels where it has next to no colour.

    Args:
        picture: (H, W, 3) uint8 RGB.
    """
    if np.mean(np.ptp(picture, axis=2) > _VIVID) < _COLOURED:
        return Channels()
    light, material = _read(picture)
    row = np.rint(material / _PLACES[-1] * (_SHAPE[0] - 1)).astype(np.int64)
    column = (light / 256 * _SHAPE[1]).astype(np.int64).clip(0, _SHAPE[1] - 1)
    cell = (row * _SHAPE[1] + column).ravel()  # (H * W,)
    values = np.concatenate([picture.reshape(-1, 3).T, np.ones((1, len(cell)))])  # (4, H * W)
    sums = [np.bincount(cell, value, _SHAPE[0] * _SHAPE[1]) for value in values]
    counted = np.stack(sums, 1).reshape(*_SHAPE, 4).astype(np.float32)
    return Palette(float(np.percentile(light, 99)), float(np.percentile(light, 0.05)), counted)


def _read(picture: Levels) -> tuple[FloatArray, FloatArray]:
    """(H, W) lightness, and (H, W) material: 0 organic, 1 inorganic, 2 metal, 3 dense metal."""
    levels = picture.astype(np.float32)
    soft = (cv2.blur(levels, (3, 3)) / 255).astype(np.float32)
    hue = cv2.cvtColor(soft, cv2.COLOR_RGB2HSV)[..., 0]  # degrees
    return levels @ _LUMA, np.interp(np.where(hue > _RED, 0, hue), _HUES, _PLACES)


def _bands(depth: FloatArray, ratio: FloatArray) -> FloatArray:
    high = depth / (_LOW * ratio + _HIGH)
    return np.stack([ratio * high, high], axis=2).astype(np.float32)
