"""Random views of a training image: where to look, how large, mirrored, in which light."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from sixrayd.core.arrays import IntArray, RGBImage
from sixrayd.core.boxes import iou_matrix

Boxes = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

_EMPTY_BELT = (255, 255, 255)  # what lies beyond a scan's edge
_TRIES = 50  # pieces drawn before the whole image is taken
_MOST_WARPED = 32_766  # pixels of a side; an image may have twice as many
_LEAST_VISIBLE = 0.4  # share of a box's area inside the view for it to count


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One training example."""

    image: RGBImage  # (S, S, 3)
    boxes: Boxes  # (N, 4) xyxy pixels of the view
    labels: IntArray  # (N,) 1-based


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of the image, in its pixels; it may reach beyond the edges."""

    x: float
    y: float
    width: float
    height: float


def draw_view(size_wh: tuple[int, int], boxes: Boxes, rng: np.random.Generator) -> View:
    """SSD's choice of a view: the whole, a piece around some object, or a larger empty canvas.

    Source: SSD (Liu et al. 2016), Sec. 2.2 "Data augmentation" and Sec. 3.6 (zoom out).
    """
    width, height = size_wh
    if rng.random() < 0.5:
        ratio = rng.uniform(1, 4)
        w, h = width * ratio, height * ratio
        return View(-rng.uniform(0, w - width), -rng.uniform(0, h - height), w, h)
    least = rng.choice([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    if least < 1:
        whole = np.array(size_wh)
        wh = whole * rng.uniform(0.3, 1, (_TRIES, 2))  # (T, 2)
        xy = (whole - wh) * rng.uniform(0, 1, (_TRIES, 2))
        good = np.abs(np.log2(wh[:, 0] / wh[:, 1])) <= 1
        if len(boxes):
            pieces = np.concatenate([xy, xy + wh], axis=1)  # (T, 4)
            good &= iou_matrix(pieces, boxes.astype(np.float64)).max(axis=1) >= least
        if good.any():
            first = int(good.argmax())
            return View(*xy[first].tolist(), *wh[first].tolist())
    return View(0, 0, width, height)


def draw_window(
    size_wh: tuple[int, int], boxes: Boxes, window: float, rng: np.random.Generator
) -> View:
    """A view of about the scale that the detector will meet, around one of the boxes if any.

    Args:
        window: side of the view as a share of the image's, before jitter.
    """
    width, height = size_wh
    zoom = math.exp(rng.uniform(-0.25, 0.25))
    stretch = math.exp(rng.uniform(-0.1, 0.1))
    w, h = width * window * zoom * stretch, height * window * zoom / stretch
    if len(boxes) == 0:
        return View(_place(0, width, w, rng), _place(0, height, h, rng), w, h)
    x1, y1, x2, y2 = boxes[rng.integers(len(boxes))].tolist()
    return View(_around(x1, x2, w, width, rng), _around(y1, y2, h, height, rng), w, h)


def _place(low: float, high: float, length: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(min(low, high - length), max(low, high - length)))


def _around(low: float, high: float, length: float, limit: int, rng: np.random.Generator) -> float:
    """A start so that low..high lies within start..start + length, inside the image if it can."""
    first, last = sorted((high - length, low))
    inside = (max(first, min(0.0, limit - length)), min(last, max(0.0, limit - length)))
    return float(rng.uniform(*(inside if inside[0] <= inside[1] else (first, last))))


def take_view(
    sample: LabelledImage, view: View, side: int, rng: np.random.Generator
) -> LabelledImage:
    """Cut, resize and mirror in one interpolation; boxes that are mostly outside are dropped.

    Args:
        side: of the square result, in pixels.
    """
    sx, sy = side / view.width, side / view.height
    matrix = np.array([[sx, 0, -view.x * sx], [0, sy, -view.y * sy]])
    boxes = (sample.boxes - np.array([view.x, view.y] * 2)) * np.array([sx, sy] * 2)  # (N, 4)
    for axis in (0, 1):
        if rng.random() < 0.5:
            matrix[axis] = -matrix[axis]
            matrix[axis, 2] += side
            boxes[:, [axis, axis + 2]] = side - boxes[:, [axis + 2, axis]]
    source = _warpable(sample.image)
    matrix[:, 0] *= sample.image.shape[1] / source.shape[1]
    matrix[:, 1] *= sample.image.shape[0] / source.shape[0]
    # Half a pixel each way: our coordinates are edges, OpenCV's are pixel centres.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    image = cv2.warpAffine(
        source, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=_EMPTY_BELT
    )
    inside = np.clip(boxes, 0, side)
    area, seen = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, inside))
    kept = seen >= _LEAST_VISIBLE * area
    return LabelledImage(
        np.asarray(image, np.uint8), inside[kept].astype(np.float32), sample.labels[kept]
    )


def _warpable(image: RGBImage) -> RGBImage:
    """The same picture with no side of more pixels than OpenCV warps; few have one."""
    height, width = (min(side, _MOST_WARPED) for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def change_light(image: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Brightness, contrast and tint, as a table of 256 values a channel."""
    ramp = np.arange(256, dtype=np.float32)[:, None]  # (256, 1)
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3)  # (3,)
    table = 255 - (255 - ramp) * gain + rng.uniform(-12, 4)  # (256, 3); white stays about white
    return np.asarray(cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None]), np.uint8)
