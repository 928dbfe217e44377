"""The crop that aesthetics guide, the paper's reference [24]: saliency, a rectangle, offsets.

Reproduced as the authors' code has it, oddities included; each is named where it happens. Their x
counts rows and their y columns; here rows are top and bottom, columns left and right.

Source: Lu et al. 2019 (arXiv:1907.01432); code at CVBase-Bupt/aesthetics-guided-crop.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sixrayd.core.arrays import FloatArray, RGBImage
from sixrayd.core.errors import CheckpointError, ShapeError
from sixrayd.crop.aesthetic_nets import DEEPEST_STRIDE, OffsetNet, SaliencyNet
from sixrayd.crop.keras_weights import read_keras_weights
from sixrayd.crop.region import Region, bounded, cut, size_wh

WHERE_WEIGHTS = (
    "saliency.h5 and regression.h5, linked under 'Weight File' in the README of "
    "https://github.com/CVBase-Bupt/aesthetics-guided-crop"
)
_ENERGY = 0.9
_MAP_WH, _FAST_MAP_WH = (224, 224), (60, 40)
_SIDE_PX = 224  # the shorter side of what the regression sees
_LONGEST = 16  # sides' ratio beyond which it is squeezed; the authors' memory is the only limit
_NO_RECTANGLE = 9_999_999_999  # the sides that the authors' search begins with
_MARGIN = 0.05  # of the rectangle that stands in where the search finds none
MOST_PIXELS = 4_000_000  # of an image: the saliency network takes 10 GB of memory for them
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The rectangle of the salient, as shares of the image, and its sides in cells of the map."""

    top: float
    bottom: float
    left: float
    right: float
    rows: int
    columns: int


class AestheticCropper:
    """The crop with the authors' weights: (H, W, 3) uint8 RGB → region.

    The saliency network sees the whole image at its own size: about 2.5 kB of memory a pixel, of
    which an image has `MOST_PIXELS` at most.

    Args:
        saliency: the authors' `saliency.h5`.
        regression: the authors' `regression.h5`.
        fast: search the rectangle in a map of 60 × 40 cells instead of 224 × 224.

    Raises:
        CheckpointError: a file is missing, or holds other weights; when called, an output is
            not finite.
        ServiceError: h5py is not installed.
    """

    def __init__(
        self,
        saliency: Path,
        regression: Path,
        *,
        fast: bool = False,
        device: torch.device | None = None,
    ) -> None:
        for path in (saliency, regression):
            if not path.is_file():
                raise CheckpointError(f"{path}: no weights for the aesthetic crop; {WHERE_WEIGHTS}")
        self.device = device or torch.device("cpu")
        self.paths = (saliency, regression)
        self.saliency_net = _loaded(SaliencyNet, saliency, self.device)
        self.offset_net = _loaded(OffsetNet, regression, self.device)
        self.map_wh = _FAST_MAP_WH if fast else _MAP_WH

    def __call__(self, image: RGBImage) -> Region:
        """The final crop, its edges cut to whole pixels as the authors draw them.

        Raises:
            ShapeError: the image is of more than `MOST_PIXELS`.
        """
        width, height = size = size_wh(image)
        if width * height > MOST_PIXELS:
            raise ShapeError(
                f"image: {width} x {height} pixels, the aesthetic crop's memory allows "
                f"{MOST_PIXELS:,}; reduce it, or leave --saliency and --regression out"
            )
        anchor = find_anchor(salient_map(self.saliency(image), size, self.map_wh))
        left, top, right, bottom = widen(anchor, self.offsets(cut(image, anchor_px(anchor, size))))
        edges = (int(left * width), int(top * height), int(right * width), int(bottom * height))
        return bounded(*edges, size)

    def saliency(self, image: RGBImage) -> FloatArray:
        """How much each pixel draws the eye.

        The image is padded with black at the right and the bottom to the *next* multiple of 16,
        so by 16 pixels where a side is a multiple already.

        Returns:
            (H', W') float32 in 0..1, of the padded image.
        """
        width, height = size_wh(image)
        padding = [DEEPEST_STRIDE - side % DEEPEST_STRIDE for side in (height, width)]
        padded = np.pad(image, ((0, padding[0]), (0, padding[1]), (0, 0)))
        return self._forward(self.saliency_net, padded, self.paths[0])

    def offsets(self, crop: RGBImage) -> tuple[float, float, float, float]:
        """How far to widen what is seen, as shares of the final crop: top, bottom, left, right.

        It is scaled until its shorter side is 224 pixels.
        """
        shorter, longest = min(size_wh(crop)), _SIDE_PX * _LONGEST
        width, height = (min(side * _SIDE_PX // shorter, longest) for side in size_wh(crop))
        resized = Image.fromarray(crop).resize((width, height), Image.Resampling.LANCZOS)
        top, bottom, left, right = self._forward(
            self.offset_net, np.array(resized), self.paths[1]
        ).tolist()
        return top, bottom, left, right

    def _forward(self, net: nn.Module, image: RGBImage, path: Path) -> FloatArray:
        x = torch.from_numpy(image).to(self.device)  # (H, W, 3)
        with torch.inference_mode():
            output: Tensor = net((x.float() / 255).permute(2, 0, 1)[None])[0]
        values: FloatArray = output.cpu().numpy()
        if not np.isfinite(values).all():
            raise CheckpointError(f"{path}: the network's output is not finite; weights are broken")
        return values


def salient_map(
    saliency: FloatArray, image_wh: tuple[int, int], map_wh: tuple[int, int]
) -> FloatArray:
    """The saliency as the search for the rectangle takes it.

    Its maximum becomes 255 and the rest is cut to whole numbers. The padded map is *squeezed* to
    the image's size, where cutting the padding off would have kept places, and then reduced.

    Args:
        saliency: (H', W') in 0..1, of the padded image.

    Returns:
        (rows, columns) float64 of `map_wh`, whole numbers in 0..255.
    """
    scaled = saliency.astype(np.float32) * np.float32(255)
    most = scaled.max()
    if most > 0:
        scaled = scaled / most
    grey = Image.fromarray((scaled * np.float32(255)).astype(np.uint8))
    for size in (image_wh, map_wh):
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(grey).astype(np.float64)


def find_anchor(energy: FloatArray) -> Anchor:
    """The smallest rectangle with 90 % of the map's energy, as the authors' search finds it.

    Where it finds none, the middle 90 % of either side.

    Args:
        energy: (rows, columns) not negative.
    """
    found = smallest_rectangle(energy, _ENERGY, border=False)
    if found is None:
        low, high = _MARGIN, 1 - _MARGIN
        return Anchor(low, high, low, high, _NO_RECTANGLE, _NO_RECTANGLE)
    top, left, rows, columns = found
    height, width = energy.shape
    return Anchor(
        top / height,
        (top + rows) / height,
        left / width,
        (left + columns) / width,
        rows,
        columns,
    )


def anchor_px(anchor: Anchor, image_wh: tuple[int, int]) -> Region:
    """What the regression sees, by the authors' rounding: down, with the sides less one pixel.

    An anchor thinner than a pixel, which stops the authors' code, is one pixel here.
    """
    width, height = image_wh[0] - 1, image_wh[1] - 1
    return bounded(
        int(anchor.left * width),
        int(anchor.top * height),
        int(anchor.right * width),
        int(anchor.bottom * height),
        image_wh,
        least_px=1,
    )


def widen(
    anchor: Anchor, offsets: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """The final crop, as shares of the image: left, top, right, bottom.

    The offsets are applied on a grid of the *anchor's* cells, as if the image had as many rows and
    columns as the anchor, so that its sides are cut to whole cells of that coarser grid.

    Args:
        offsets: top, bottom, left, right: shares of the final crop that lie beyond the anchor.
    """
    top, bottom = _widen_side(anchor.top, anchor.bottom, anchor.rows, offsets[0], offsets[1])
    left, right = _widen_side(anchor.left, anchor.right, anchor.columns, offsets[2], offsets[3])
    return left, top, right, bottom


def smallest_rectangle(
    energy: FloatArray, share: float, *, border: bool = True
) -> Rectangle | None:
    """The rectangle of least area that holds a share of a map's energy.

    Of several, the one with most energy; then the topmost, the lowest, the leftmost. For each
    height the least width that suffices only shrinks as heights grow, so rows + columns sums over
    a summed-area table find it.

    Args:
        energy: (rows, columns) not negative; whole numbers are summed exactly.
        share: 0..1, of all energy.
        border: off, as the authors' loops have it: no rectangle in the first row; and of the
            shortest spans of a range of rows, when the first of most energy begins in the first
            column, the range is passed over.

    Returns:
        Top, left, rows, columns; None where nothing holds the share, or there is no energy.

    Raises:
        ShapeError: energy is not 2-D, is empty, or is negative or not finite somewhere.
    """
    if energy.ndim != 2 or energy.size == 0:
        raise ShapeError(f"energy: need (rows>=1, columns>=1), got {energy.shape}")
    if not (np.isfinite(energy).all() and (energy >= 0).all()):
        raise ShapeError("energy: values must be finite and not negative")
    target = share * float(energy.sum(dtype=np.float64))
    first_row = 0 if border else 1
    table = _summed_areas(energy[first_row:])
    rows, columns = table.shape[0] - 1, table.shape[1] - 1
    best: tuple[float, ...] | None = None
    width = columns + 1  # the least that suffices, from the height before
    for height in range(1, rows + 1) if target > 0 else ():
        while width > 1 and _windows(table, height, width - 1).max() >= target:
            width -= 1
        limit = columns if best is None else min(columns, int(best[0]) // height)
        found = _narrowest(table, height, (width, limit), target, border)
        if found is not None:
            sum_, top, left, least = found
            key = (height * least, -sum_, top, height, left)
            best = key if best is None else min(best, key)
    if best is None:
        return None
    area, _, top, height, left = (int(value) for value in best)
    return top + first_row, left, height, area // height


def _narrowest(
    table: FloatArray, height: int, widths: tuple[int, int], target: float, border: bool
) -> tuple[float, int, int, int] | None:
    """Energy, top, left and width of the best window of a height; None if none is allowed."""
    refused = np.zeros(table.shape[0] - height, bool)  # (ranges of rows,)
    for width in range(widths[0], widths[1] + 1):
        sums = _windows(table, height, width)  # (ranges of rows, columns - width + 1)
        left = sums.argmax(axis=1)
        most = np.where(refused, -1.0, sums.max(axis=1))
        refused |= (most >= target) & (left == 0) & (not border)
        most[refused] = -1
        top = int(most.argmax())
        if most[top] >= target:
            return float(most[top]), top, int(left[top]), width
        if refused.all():
            return None
    return None


def _windows(table: FloatArray, height: int, width: int) -> FloatArray:
    """Energy of every window: (rows - height + 1, columns - width + 1)."""
    tall = table[height:] - table[:-height]
    sums: FloatArray = tall[:, width:] - tall[:, :-width]
    return sums


def _summed_areas(energy: FloatArray) -> FloatArray:
    table = np.zeros((energy.shape[0] + 1, energy.shape[1] + 1))
    table[1:, 1:] = energy.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    return table


def _widen_side(
    low: float, high: float, cells: int, before: float, after: float
) -> tuple[float, float]:
    side = int(cells * (high - low)) / (1 - before - after + 1e-10)
    side = min(cells, max(0.0, side))
    start = max(0.0, cells * low - side * before)
    return start / cells, min(cells, start + side) / cells


def _loaded(kind: type[nn.Module], path: Path, device: torch.device) -> nn.Module:
    with torch.device("meta"):  # weights are read, so none need be drawn first
        net = kind()
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    net.load_state_dict(read_keras_weights(path, expected), assign=True)
    return net.eval().to(device)
