"""Cutting a known item out of one scan and projecting it into another.

What an item absorbs is what its pixels lost beside the background around them; laid into a target
it is lost there again. Nothing is scaled, and nothing but absorption is ever added. Scanners
sharpen, which is undone on the item and done again as the target's scanner does.
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin

from sixrayd.core.arrays import BoolArray, FloatArray, RGBImage
from sixrayd.core.boxes import Box
from sixrayd.core.errors import ImageError
from sixrayd.imaging.palette import Channels, Levels, Palette, check_size, read_palette

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_RING = 0.15  # of the box's longer side, around it
_LEAST_RING_PX = 8
_LEAST_SIDE_PX = 8
_SPECK = 0.04  # of the largest part; smaller ones are dropped
_FILLED = 0.6  # of each side of the box that the mask must reach over
_ROUNDS = 4  # of GrabCut
_GRID_PX = 16  # blocks of colour at half resolution
_SIZE_LEVELS = 40.0  # that a scan e times as large counts as unlike
_FRINGE_PX = 3  # around an item, where sharpening has changed the background
_EDGE_PX = 0.8  # sigma of the mask's edge


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """A thing cut out of a scan.

    Args:
        picture: (h, w, 3) uint8 pixels of the scan around it.
        background: (h, w, 3) float32 levels of what would be there without it.
        mask: (h, w) float32, 1 inside, 0 outside, soft along the edge.
        palette: of the scan.
        origin: x and y of the cutting's top left corner in the scan.
        scan_wh: width and height of the scan.
    """

    picture: RGBImage
    background: FloatArray
    mask: FloatArray
    palette: Palette | Channels
    origin: tuple[int, int]
    scan_wh: tuple[int, int]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the cutting."""
        return self.mask.shape[1], self.mask.shape[0]

    def box_xyxy(self, at: tuple[int, int]) -> tuple[int, int, int, int]:
        """The mask's bounding box when the cutting's top left corner lies at `at` (x, y)."""
        x1, y1, x2, y2 = _extent(self.mask > 0.5)
        return x1 + at[0], y1 + at[1], x2 + at[0], y2 + at[1]


def cut_item(scan: RGBImage, box: Box) -> Cutting:
    """Cut out what a box holds.

    Pixels that absorb more than the background inside the box begin GrabCut, which parts item
    from background; behind the item, the background is interpolated from around the mask.

    Args:
        scan: (H, W, 3) uint8 RGB.
        box: tight around the item.

    Raises:
        ImageError: the box is tiny, or no item stands out that fills it, or see `check_size`.
    """
    check_size(scan)
    height, width = scan.shape[:2]
    ring = max(_LEAST_RING_PX, round(_RING * max(box.x2 - box.x1, box.y2 - box.y1)))
    x1, y1 = max(0, int(box.x1)), max(0, int(box.y1))
    x2, y2 = min(width, round(box.x2)), min(height, round(box.y2))
    if min(x2 - x1, y2 - y1) < _LEAST_SIDE_PX:
        raise ImageError(f"box {box.xyxy}: under {_LEAST_SIDE_PX} pixels, too small to cut out")
    left, top = max(0, x1 - ring), max(0, y1 - ring)
    picture = scan[top : y2 + ring, left : x2 + ring]
    inside = np.zeros(picture.shape[:2], bool)
    inside[y1 - top : y2 - top, x1 - left : x2 - left] = True
    solid = _segment(picture, inside)
    left_px, top_px, right_px, bottom_px = _extent(solid)
    if right_px - left_px < _FILLED * (x2 - x1) or bottom_px - top_px < _FILLED * (y2 - y1):
        raise ImageError(f"box {box.xyxy}: nothing that fills it stands out of the background")
    soft = np.asarray(cv2.GaussianBlur(solid.astype(np.float32), (0, 0), _EDGE_PX), np.float32)
    background = _behind(picture, _grown(solid, _FRINGE_PX))
    return Cutting(
        picture.copy(), background, soft, read_palette(scan), (left, top), (width, height)
    )


def project(
    target: RGBImage, item: Cutting, at: tuple[int, int], palette: Palette | Channels
) -> RGBImage:
    """The target with the item in it, at its own scale.

    Args:
        target: (H, W, 3) uint8 RGB.
        at: x and y of the cutting's top left corner; the cutting needs to lie inside.
        palette: of the target before anything was projected into it.

    Returns:
        (H, W, 3) uint8; equal to the target more than 4 pixels outside the mask. Lighter than it
        only beside the item, as the target's scanner draws edges (`Sharpening.limit`).

    Raises:
        ImageError: the cutting reaches beyond the target.
    """
    (x, y), (w, h) = at, item.size_wh
    window = target[y : y + h, x : x + w]
    if min(at) < 0 or window.shape[:2] != (h, w):
        raise ImageError(f"item of {w} x {h} at {at}: reaches beyond {target.shape[1::-1]}")
    absorbed = _absorbed(item, palette)
    if isinstance(palette, Palette) and isinstance(item.palette, Palette):
        palette = palette.joined(item.palette)
    result = target.copy()
    result[y : y + h, x : x + w] = np.rint(palette.darkened(window, absorbed)).astype(np.uint8)
    return result


def unlike(target: RGBImage, palette: Palette | Channels, item: Cutting) -> float:
    """How far a target, with its palette, is from the scan in which an item lay.

    Returns:
        Levels by which the palettes differ, and more the more the sizes do: an item is not scaled.
        Infinite where one scan has a palette and the other none.
    """
    (height, width), (w, h) = target.shape[:2], item.scan_wh
    return palette.unlike(item.palette) + _SIZE_LEVELS * abs(
        float(np.log(width * height / (w * h)))
    )


def choose_place(
    target: RGBImage, item: Cutting, rng: np.random.Generator, tries: int = 160
) -> tuple[int, int] | None:
    """Of random places the one most like where the item lay.

    Around the mask, absorption and texture should be as they were; under it, absorption should be
    that of the background, and texture little, as the item brings along its own background's.

    Returns:
        x and y of the cutting's top left corner; None when the target is hardly larger than it.
    """
    (w, h), (height, width) = item.size_wh, target.shape[:2]
    if w + _GRID_PX > width or h + _GRID_PX > height:
        return None
    lost, texture = _relief(target)  # (H, W) each
    around, rough = _relief(item.picture)  # (h, w) each
    behind, _ = _relief(item.background)
    under = item.mask / item.mask.sum()
    outside = (1 - item.mask) / max(float((1 - item.mask).sum()), 1)
    wanted = (under * behind).sum(), (outside * around).sum(), (outside * rough).sum()

    def unlike(at: tuple[int, int]) -> float:
        window = (slice(at[1], at[1] + h), slice(at[0], at[0] + w))
        there = (under, lost), (outside, lost), (outside, texture)
        means = [float((weight * values[window]).sum()) for weight, values in there]
        differences = [abs(float(a - b)) for a, b in zip(means, wanted, strict=True)]
        return sum(differences) + float((under * texture[window]).sum())

    # On the grid of its own JPEG's blocks, so that the second encoding leaves the same traces.
    xs, ys = (
        rng.integers(0, (room - edge % _GRID_PX) // _GRID_PX + 1, tries) * _GRID_PX
        + edge % _GRID_PX
        for room, edge in zip((width - w, height - h), item.origin, strict=True)
    )
    return min(((int(x), int(y)) for x, y in zip(xs, ys, strict=True)), key=unlike)


def reencode(picture: RGBImage, like: bytes, where: str) -> bytes:
    """A JPEG with the quantisation tables and the chroma subsampling of another.

    Args:
        picture: (H, W, 3) uint8 RGB; encoded as grey where the other is.
        like: the other's bytes.

    Raises:
        ImageError: the other is no JPEG.
    """
    try:
        with Image.open(io.BytesIO(like), formats=("JPEG",)) as other:
            tables, mode = other.quantization, other.mode  # type: ignore[attr-defined]
            sampling = JpegImagePlugin.get_sampling(other)
    except Exception as error:  # the one place where the reader's failures are translated
        raise ImageError(
            f"{where}: no JPEG, whose tables are to be used again ({error})"
        ) from error
    image = Image.fromarray(picture).convert("L" if mode == "L" else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", qtables=tables, subsampling=sampling)
    return buffer.getvalue()


def _absorbed(item: Cutting, palette: Palette | Channels) -> FloatArray:
    """What the item alone absorbs before sharpening, in the bands or channels of the target."""
    coloured = isinstance(item.palette, Palette), isinstance(palette, Palette)
    reader = item.palette if all(coloured) else Channels()
    lost = reader.absorption(item.picture) - reader.absorption(item.background)
    if coloured == (True, False):  # colour does not belong into a grey scan
        lost = np.repeat(lost @ _LUMA[:, None], 3, axis=2)
    return item.palette.sharpening.undone(lost, item.mask[..., None])


def _segment(picture: RGBImage, inside: BoolArray) -> BoolArray:
    """(h, w) the pixels of the item that fills the box `inside`."""
    lost = Channels().absorption(cv2.GaussianBlur(picture, (0, 0), 1) @ _LUMA)  # (h, w)
    levels = np.clip(lost / max(float(lost[inside].max()), 1e-6) * 255, 0, 255).astype(np.uint8)
    split, _ = cv2.threshold(levels[inside], 0, 255, cv2.THRESH_OTSU)
    state = np.full(inside.shape, cv2.GC_BGD, np.uint8)
    state[inside] = np.where(levels[inside] > split, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    if len(np.unique(state)) < 3:  # GrabCut needs something of each
        return np.zeros_like(inside)
    cv2.setRNGSeed(0)  # it draws at random
    models = np.zeros((2, 1, 65))
    cv2.grabCut(picture, state, (0, 0, 1, 1), models[0], models[1], _ROUNDS, cv2.GC_INIT_WITH_MASK)
    solid: BoolArray = (state == cv2.GC_PR_FGD) & inside
    _, parts, stats, _ = cv2.connectedComponentsWithStats(solid.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA] * (np.arange(len(stats)) > 0)
    solid &= (areas >= _SPECK * areas.max(initial=1))[parts]
    return solid


def _relief(picture: Levels) -> tuple[FloatArray, FloatArray]:
    """(h, w) absorption, and how steeply it changes from pixel to pixel."""
    sharp = Channels().absorption(picture @ _LUMA)
    lost = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 1), np.float32)
    across, down = np.gradient(lost)
    return lost, np.hypot(across, down)


def _behind(picture: RGBImage, covered: BoolArray) -> FloatArray:
    """(h, w, 3) levels: the picture, interpolated from around where it is covered."""
    hidden = cv2.inpaint(picture, covered.astype(np.uint8), 5, cv2.INPAINT_TELEA)
    return np.asarray(hidden, np.float32)


def _extent(mask: BoolArray) -> tuple[int, int, int, int]:
    """The bounding box, xyxy; zeros for an empty mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _grown(mask: BoolArray, pixels: int) -> BoolArray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)
