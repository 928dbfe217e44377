"""A scanner's colours read backwards: from pixels to what the beam lost, which adds up.

Dual-energy scanners colour by material (organic orange, inorganic green, metal blue) and shade by
how much is absorbed. Neither palette nor tone curve is published, so lightness is taken for
absorption, hue for material, and the colours themselves are read from the scan at hand.

Source: transmissions multiply, as in Rogers et al. 2016, "Threat Image Projection (TIP) into X-ray
images of cargo containers for training humans and machines"; reading palettes backwards is ours.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from scipy.special import ndtr

from sixrayd.core.arrays import FloatArray, RGBImage
from sixrayd.core.errors import ImageError

Levels = RGBImage | FloatArray  # 0..255

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Organic, inorganic, metal, dense metal: hue in degrees, and low-band over high-band absorption
# (polymer 1.2, aluminium 2.1, steel 4.9 when alone; something always lies around it).
_HUES = (32.0, 105.0, 203.0, 240.0)
_RATIOS = (1.2, 2.1, 3.9, 5.0)
_PLACES = range(4)
_RED = 290.0  # from here on hues belong to orange again
_LOW, _HIGH = 0.25, 0.75  # of the bands in lightness
_WEIGHTS = np.array([_LOW, _HIGH], np.float32)
_SIGMA = 1.4  # of the blur that a scanner's unsharp mask subtracts
_KERNEL = (9, 9)  # so that a fringe reaches 4 pixels
_STEPS = 12  # that undo a sharpening
_REACH = 6  # pixels to both sides of an edge that tell how it was sharpened
_STEEP = 0.06  # absorption a pixel
_LEAST_EDGES, _MOST_EDGES = 30, 30_000  # remap takes no more rows than 32,767
_STRONGEST = 1.5
_BLURS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6)
_DIPS = 85  # percentile of the lighter fringes' depths
# Screens show dark tones apart by less than they absorb: absorption is -ln(lightness) to this.
_TONE = 1.3
MOST_PX, _LONGEST_PX = 6_000_000, 32_766  # of a scan, and of its sides, as OpenCV remaps them
_SHAPE = (49, 64)  # materials and shades that a palette tells apart
_FILLS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # cells from which an empty one takes its colour
_FADE = 6.6  # so that a cell's own pixels outweigh any farther ones
_LENT = 0.05  # weight of another scan's pixels
_VIVID = 60  # levels between the channels
_COLOURED = 0.01  # share of vivid pixels from which a scan counts as coloured


@dataclass(frozen=True, slots=True)
class Sharpening:
    """How a scanner draws edges: what absorption differs from its surroundings by is added again.

    Args:
        strength: of the difference, 0 or more.
        limit: absorption by which a pixel beside an edge is lightened at most.
    """

    strength: float = 0.0
    limit: float = 0.0

    def detail(self, lost: FloatArray) -> FloatArray:
        """(h, w, C) absorption → what is added to it; 0 more than 4 pixels from any."""
        blurred = cv2.GaussianBlur(lost, _KERNEL, _SIGMA, borderType=cv2.BORDER_CONSTANT)
        rest = lost - blurred.reshape(lost.shape)
        return np.asarray(np.maximum(self.strength * rest, -self.limit), np.float32)

    def undone(self, lost: FloatArray, mask: FloatArray) -> FloatArray:
        """(h, w, C) absorption, 0 or more, that looks like `lost` once it is sharpened.

        Args:
            lost: (h, w, C) what a scan shows.
            mask: (h, w, 1) 0..1, the share that may absorb anything.
        """
        before = np.clip(lost, 0, None) * mask
        for _ in range(_STEPS):
            missing = lost - before - self.detail(before)
            before = np.clip(before + missing * mask / (1 + self.strength), 0, None)
        return before * (mask > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """A scan without a palette: each channel absorbs on its own."""

    sharpening: Sharpening = Sharpening()

    def absorption(self, picture: Levels) -> FloatArray:
        """(H, W, 3) levels → (H, W, 3) float32, 0 or more; what lies behind each other adds up."""
        lost: FloatArray = -np.log(np.clip(picture.astype(np.float32), 0.5, 255) / 255)
        return lost

    def darkened(self, picture: RGBImage, added: FloatArray) -> FloatArray:
        """(H, W, 3) levels of the picture where (H, W, 3) more is absorbed, sharpened."""
        shown = added + self.sharpening.detail(added)
        darker: FloatArray = np.minimum(picture * np.exp(-shown), 255)
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
        sharpening: of the scanner.
    """

    white: float
    black: float
    counted: FloatArray
    sharpening: Sharpening = Sharpening()

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
        return Palette(self.white, black, self.counted + _LENT * other.counted, self.sharpening)

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

        The colour moves along the palette, with the pixel's own deviation from it, and what is
        added is sharpened: beside it a pixel may get lighter, by no more than `Sharpening.limit`
        of absorption. One that neither absorbs more nor lies beside such keeps its value, as do
        black ones.
        """
        light, material = _read(picture)
        depth = self._depth(light)
        low, high = np.moveaxis(self.absorption(picture) + added, 2, 0)
        detail = self.sharpening.detail(added) @ _WEIGHTS
        deeper = np.maximum(_LOW * low + _HIGH * high + detail, 0)
        share = np.exp(depth ** (1 / _TONE) - deeper ** (1 / _TONE))
        darker = np.maximum(light * share, np.minimum(light, self.black))
        turned = np.interp(low / np.maximum(high, 1e-6), _RATIOS, _PLACES)
        rest = (picture - self._colour(material, light)) * np.minimum(share, 1)[..., None]
        moved = np.clip(self._colour(turned, darker) + rest, 0, 255)
        # What was cut off at 0 makes a colour lighter than its shade.
        most = np.maximum(light, darker)
        moved *= np.minimum(1, most / np.maximum(moved @ _LUMA, 1e-6))[..., None]
        black = (light <= self.black) & (share > 1)
        touched = ((added > 0).any(axis=2) | (detail != 0)) & ~black
        return np.where(touched[..., None], moved, picture)

    def _depth(self, light: FloatArray) -> FloatArray:
        depth: FloatArray = -np.log(np.clip(light / self.white, 1e-3, 1))
        return depth**_TONE

    def _colour(self, material: FloatArray, light: FloatArray) -> FloatArray:
        row = material.astype(np.float32) / _PLACES[-1] * (_SHAPE[0] - 1)
        column = np.clip(light.astype(np.float32) / 256 * _SHAPE[1] - 0.5, 0, _SHAPE[1] - 1)
        return np.asarray(cv2.remap(self.table, column, row, cv2.INTER_LINEAR))  # (H, W, 3)


def check_size(picture: RGBImage) -> None:
    """Before a scan is looked at in floating point, which takes 130 bytes of memory a pixel, and
    to part an item from it 220.

    Raises:
        ImageError: it is larger than things are planted in.
    """
    height, width = picture.shape[:2]
    if height * width > MOST_PX or max(height, width) > _LONGEST_PX:
        raise ImageError(
            f"{width} x {height} pixels, planted in are at most {MOST_PX:,}, of a side at most "
            f"{_LONGEST_PX:,}"
        )


def read_palette(picture: RGBImage) -> Palette | Channels:
    """The palette of a pseudo-coloured scan, or single channels where it has next to no colour.

    Args:
        picture: (H, W, 3) uint8 RGB.

    Raises:
        ImageError: see `check_size`.
    """
    check_size(picture)
    if np.mean(np.ptp(picture, axis=2) > _VIVID) < _COLOURED:
        return Channels(_read_sharpening(Channels().absorption(picture @ _LUMA)))
    light, material = _read(picture)
    row = np.rint(material / _PLACES[-1] * (_SHAPE[0] - 1)).astype(np.int64)
    column = (light / 256 * _SHAPE[1]).astype(np.int64).clip(0, _SHAPE[1] - 1)
    cell = (row * _SHAPE[1] + column).ravel()  # (H * W,)
    values = np.concatenate([picture.reshape(-1, 3).T, np.ones((1, len(cell)))])  # (4, H * W)
    sums = [np.bincount(cell, value, _SHAPE[0] * _SHAPE[1]) for value in values]
    counted = np.stack(sums, 1).reshape(*_SHAPE, 4).astype(np.float32)
    plain = Palette(float(np.percentile(light, 99)), float(np.percentile(light, 0.05)), counted)
    return replace(plain, sharpening=_read_sharpening(plain.absorption(picture) @ _WEIGHTS))


def _read(picture: Levels) -> tuple[FloatArray, FloatArray]:
    """(H, W) lightness, and (H, W) material: 0 organic, 1 inorganic, 2 metal, 3 dense metal."""
    levels = picture.astype(np.float32)
    soft = (cv2.blur(levels, (3, 3)) / 255).astype(np.float32)
    hue = cv2.cvtColor(soft, cv2.COLOR_RGB2HSV)[..., 0]  # degrees
    return levels @ _LUMA, np.interp(np.where(hue > _RED, 0, hue), _HUES, _PLACES)


def _bands(depth: FloatArray, ratio: FloatArray) -> FloatArray:
    high = depth / (_LOW * ratio + _HIGH)
    return np.stack([ratio * high, high], axis=2).astype(np.float32)


def _read_sharpening(lost: FloatArray) -> Sharpening:
    """How a scan's (H, W) absorption was sharpened: what fits the median profile of its edges.

    Returns:
        No sharpening where too few clean edges tell.
    """
    across = _edges(lost.astype(np.float32))  # (N, 13) from the lighter side to the darker
    base, top = across[:, :3].mean(axis=1), across[:, -3:].mean(axis=1)
    height = top - base
    flat = [np.ptp(side, axis=1) < 0.2 * height for side in (across[:, :3], across[:, -3:])]
    # Where next to nothing is absorbed, a lighter fringe is cut off; thin lines are no edges.
    line = across.max(axis=1) > base + 1.5 * height
    good = flat[0] & flat[1] & (base > 0.25) & (height > 0.2) & ~line
    if good.sum() < _LEAST_EDGES:
        return Sharpening()
    across, base, height = across[good], base[good], height[good]
    profile = np.median((across - base[:, None]) / height[:, None], axis=0)[2:-2]  # (9,)
    places = np.arange(2 - _REACH, _REACH - 1)
    fits = []
    for blur in _BLURS:
        edge = ndtr(places / blur)
        detail = edge - ndtr(places / np.hypot(blur, _SIGMA))
        strength = float(np.clip((profile - edge) @ detail / (detail @ detail), 0, _STRONGEST))
        fits.append((float(((edge + strength * detail - profile) ** 2).sum()), strength))
    dip = base - across[:, 2:_REACH].min(axis=1)
    return Sharpening(min(fits)[1], max(0.0, float(np.percentile(dip, _DIPS))))


def _edges(lost: FloatArray) -> FloatArray:
    """(N, 13) absorption along lines across the steepest pixels, from light to dark."""
    soft = cv2.GaussianBlur(lost, (0, 0), 0.8)
    down, right = np.gradient(soft)
    steep = np.hypot(right, down)
    rows, columns = np.nonzero(steep > _STEEP)
    if not len(rows):
        return np.zeros((0, 2 * _REACH + 1), np.float32)
    chosen = slice(None, None, 1 + len(rows) // _MOST_EDGES)
    rows, columns = rows[chosen], columns[chosen]
    steps = np.arange(-_REACH, _REACH + 1, dtype=np.float32)  # (13,)
    there = steep[rows, columns]
    x = columns[:, None] + (right[rows, columns] / there)[:, None] * steps
    y = rows[:, None] + (down[rows, columns] / there)[:, None] * steps
    along = [cv2.remap(v, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
             for v in (lost, steep)]  # fmt: skip
    middle = along[1][:, _REACH]
    ridge = (middle >= along[1][:, _REACH - 1]) & (middle > along[1][:, _REACH + 1])
    return np.asarray(along[0][ridge], np.float32)
