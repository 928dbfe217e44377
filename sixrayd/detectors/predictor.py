"""From encoded images to detections in the images' own pixels."""

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import cv2
import numpy as np
import torch
from torch import Tensor

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import RGBImage, pixel_count
from sixrayd.core.boxes import clip_xyxy
from sixrayd.core.cores import available_cores
from sixrayd.core.detections import Detections
from sixrayd.core.errors import SettingsError
from sixrayd.detectors.backends import Backend, Outputs, open_backend
from sixrayd.detectors.decoding import DecodeSettings, decode_batch, merge
from sixrayd.detectors.detector import Detector, InputForm

Precision = Literal["fp32", "bf16"]
# Pixels of inputs that go through a network at once; fewer of a detector of more classes.
_CPU_PIXELS, _CPU_OUTPUTS = 16 * 512 * 512, 30
_LEAST_SIDE_PX = 1.0  # thinner detections cannot be drawn


@dataclass(frozen=True, slots=True)
class DynamicInput:
    """An input that grows with the image and keeps its aspect ratio.

    Each side is rounded to the nearest multiple and the image stretched to it, by at most half a
    multiple (6 % of 256 pixels, 1.6 % of 1,000); padding would show the network borders that no
    scan has. Within the limits, the scale is lowered until the longer side fits `most_px`, else
    raised until the shorter reaches `least_px`; an image too long for both is stretched.

    Args:
        scale: input pixels per image pixel.
        least_px, most_px: limits of either side; multiples of `multiple`. RFB-Net 512 needs more
            than 256.

    Raises:
        SettingsError: a value out of range.
    """

    scale: float = 1.0
    multiple: int = 32
    least_px: int = 288
    most_px: int = 1024

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf") or self.multiple < 1:
            raise SettingsError(f"dynamic input: out of range: {self}")
        limits = (self.least_px, self.most_px)
        if any(limit % self.multiple for limit in limits) or not 0 < limits[0] <= limits[1]:
            raise SettingsError(
                f"dynamic input: limits {limits}: need multiples of {self.multiple}, least <= most"
            )


@dataclass(frozen=True, slots=True)
class InputBatch:
    """Images whose inputs have one shape.

    Args:
        places: of each image in the list that was prepared.
        scale_wh: (B, 2) pixels of each image per pixel of the input.
    """

    x: Tensor  # (B, 3, H, W) normalised
    places: tuple[int, ...]
    scale_wh: Tensor


def channels_last(detector: Detector) -> Detector:
    """Weights in the layout that convolutions run fastest in, in place."""
    for parameter in detector.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return detector


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """What a network runs within to have this precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def resized(images: list[RGBImage], wh: tuple[int, int], device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 on a device; for a GPU on all cores, in one copy of pinned memory."""
    on_gpu = device.type == "cuda"
    pixels = torch.empty(len(images), wh[1], wh[0], 3, dtype=torch.uint8, pin_memory=on_gpu)
    rows = pixels.numpy()

    def fill(row: int) -> None:
        cv2.resize(images[row], wh, dst=rows[row])

    if on_gpu:
        with ThreadPoolExecutor(min(len(images), available_cores())) as pool:
            list(pool.map(fill, range(len(images))))
    else:
        for row in range(len(images)):
            fill(row)
    return pixels.to(device, non_blocking=True)


def normalise(images: Tensor, form: InputForm) -> Tensor:
    """(B, H, W, 3) RGB of 0..255 → (B, 3, H, W) float32 as the network expects it."""
    mean, scale = _form_on(form, images.device)
    x = images.permute(0, 3, 1, 2)  # (B, 3, H, W), channels last in memory, as GPUs want it
    if x.device.type == "cpu":
        # Turned while it is small, then changed in place: each pass over new memory costs as much.
        x = x.contiguous()
    x = x.float() if x.dtype == torch.uint8 else x.clone()
    return x.sub_(mean).div_(scale)


@lru_cache
def _form_on(form: InputForm, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and scale, (3, 1, 1) each; sent once, since each sending waits for the device."""
    with torch.inference_mode(False):  # training takes them, too
        mean, scale = (torch.tensor(v, device=device) for v in (form.mean, form.scale))
        return mean[:, None, None], scale[:, None, None]


def input_wh(
    image_wh: tuple[int, int], form: InputForm, dynamic: DynamicInput | None = None
) -> tuple[int, int]:
    """Width and height of the input that an image becomes: the form's square, or dynamic."""
    if dynamic is None:
        return (form.size, form.size)
    scale = max(dynamic.scale, dynamic.least_px / min(image_wh))
    scale = min(scale, dynamic.most_px / max(image_wh))
    width, height = (_rounded(side * scale, dynamic) for side in image_wh)
    return (width, height)


class Predictor:
    """A detector ready to look at images.

    Args:
        detector: its weights are used as they are now.
        mirror: look at each image and its mirror image, and merge what is found.
        dynamic: inputs that grow with the images; the detector's square where left out.
            `detector.reading` says what its priors keep.
        backend: what runs the network of this detector; torch in float32 where left out.
    """

    def __init__(
        self,
        detector: Detector,
        settings: DecodeSettings = DecodeSettings(),
        *,
        device: torch.device | None = None,
        mirror: bool = False,
        dynamic: DynamicInput | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.detector = channels_last(detector.eval().to(self.device))
        self.settings = settings
        self.mirror = mirror
        self.dynamic = dynamic
        self.backend = backend or open_backend("torch", self.detector, self.device)

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        """Detections of each image, by falling score, in its own pixels.

        Args:
            images: (H, W, 3) uint8 RGB each, of any size.
        """
        found: dict[int, Detections] = {}
        for batch in self.batches(images):
            for place, one in zip(batch.places, self._look(batch, images), strict=True):
                found[place] = clipped(one, images[place])
        return [found[place] for place in range(len(images))]

    def _look(self, batch: InputBatch, images: list[RGBImage]) -> list[Detections]:
        if not self.mirror:
            return self.decode(self.forward(batch.x), batch.scale_wh)
        both = [batch.x, batch.x.flip(3)]
        if self.device.type == "cuda":  # where one large batch is faster than two
            both = [torch.cat(both)]
        count = len(batch.places)
        scale_wh = batch.scale_wh.to(self.device, non_blocking=True)
        seen = [
            found
            for x in both
            for found in self.decode(self.forward(x), scale_wh.repeat(len(x) // count, 1))
        ]
        widths = [images[place].shape[1] for place in batch.places]
        pairs = zip(seen[:count], seen[count:], widths, strict=True)
        return [merge([plain, flip(turned, w)], self.settings) for plain, turned, w in pairs]

    def detect_each(self, images: Iterable[RGBImage], batch: int) -> Iterator[Detections]:
        """Detections of a stream of images, `batch` at a time, in order."""
        for chunk in chunked(images, batch, pixel_count):
            yield from self.detect(chunk)

    def prepare(self, images: list[RGBImage]) -> list[InputBatch]:
        """The first step of `detect`: images resized and normalised, together by input shape."""
        return list(self.batches(images))

    def batches(self, images: list[RGBImage]) -> Iterator[InputBatch]:
        """As in `prepare`, one after another: not all of them need memory at once."""
        shapes: dict[tuple[int, int], list[int]] = {}
        for place, image in enumerate(images):
            size = (image.shape[1], image.shape[0])
            shapes.setdefault(input_wh(size, self.detector.form, self.dynamic), []).append(place)
        for wh, places in shapes.items():
            for some in chunked(places, self._most_at_once(wh)):
                yield self._batch(images, tuple(some), wh)

    def forward(self, x: Tensor) -> Outputs:
        """The second: (B, 3, H, W) normalised → the detector's outputs."""
        return self.backend(x)

    def decode(self, outputs: Outputs, scale_wh: Tensor | None = None) -> list[Detections]:
        """The third: outputs → detections, which may reach beyond the image.

        Args:
            scale_wh: (B, 2) pixels of each image per pixel of the input; in pixels of the input
                where left out.
        """
        with torch.inference_mode():
            return decode_batch(outputs, self.settings, self.detector.coding, scale_wh)

    def _most_at_once(self, wh: tuple[int, int]) -> int:
        """Inputs that go through the network together; a GPU's memory is for its caller to fill."""
        if self.device.type != "cpu":
            return sys.maxsize
        outputs = cast(int, self.detector.heads.outputs)
        return max(1, _CPU_PIXELS // (wh[0] * wh[1] * max(1, outputs // _CPU_OUTPUTS)))

    def _batch(
        self, images: list[RGBImage], places: tuple[int, ...], wh: tuple[int, int]
    ) -> InputBatch:
        chosen = [images[place] for place in places]
        with torch.inference_mode():
            x = normalise(resized(chosen, wh, self.device), self.detector.form)  # (B, 3, H, W)
        scale = [(image.shape[1] / wh[0], image.shape[0] / wh[1]) for image in chosen]
        return InputBatch(x, places, torch.tensor(scale, pin_memory=self.device.type == "cuda"))


def flip(found: Detections, width: float) -> Detections:
    """Detections of a mirrored image, put back."""
    x1, y1, x2, y2 = found.xyxy.T
    return Detections(np.stack([width - x2, y1, width - x1, y2], 1), found.scores, found.labels)


def clipped(found: Detections, image: RGBImage) -> Detections:
    """Boxes cut at the image's edges; what is then thinner than a pixel is dropped."""
    height, width = image.shape[:2]
    boxes = clip_xyxy(found.xyxy, width, height)
    kept = (boxes[:, 2:] - boxes[:, :2] >= _LEAST_SIDE_PX).all(axis=1)
    return Detections(boxes[kept], found.scores[kept], found.labels[kept])


def _rounded(side: float, dynamic: DynamicInput) -> int:
    nearest = round(side / dynamic.multiple) * dynamic.multiple
    return min(max(nearest, dynamic.least_px), dynamic.most_px)
