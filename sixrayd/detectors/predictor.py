"""From encoded images to detections in the images' own pixels."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor

from sixrayd.core.boxes import clip_xyxy
from sixrayd.detectors.decoding import DecodeSettings, decode_batch, merge
from sixrayd.detectors.detector import Detector, InputForm
from sixrayd.evaluation.matching import Detections
from sixrayd.imaging.decode import RGBImage

_LEAST_SIDE_PX = 1.0  # thinner detections cannot be drawn


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def channels_last(detector: Detector) -> Detector:
    """Weights in the layout that convolutions run fastest in, in place."""
    for parameter in detector.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return detector


def normalise(images: Tensor, form: InputForm) -> Tensor:
    """(B, H, W, 3) uint8 RGB → (B, 3, H, W) float32 as the network expects it."""
    mean, scale = (torch.tensor(v, device=images.device) for v in (form.mean, form.scale))
    return ((images.float() - mean) / scale).permute(0, 3, 1, 2)


class Predictor:
    """A detector ready to look at images.

    Args:
        detector: its weights are used as they are.
        mirror: look at each image and its mirror image, and merge what is found.
    """

    def __init__(
        self,
        detector: Detector,
        settings: DecodeSettings = DecodeSettings(),
        *,
        device: torch.device | None = None,
        mirror: bool = False,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.detector = channels_last(detector.eval().to(self.device))
        self.settings = settings
        self.mirror = mirror

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        """Detections of each image, by falling score, in its own pixels.

        Args:
            images: (H, W, 3) uint8 RGB each, of any size.
        """
        if not images:
            return []
        side = self.detector.form.size
        resized = np.stack([cv2.resize(image, (side, side)) for image in images])
        batch = torch.from_numpy(resized).to(self.device)  # (B, S, S, 3)
        found = self._look(batch)
        if self.mirror:
            mirrored = [flip(d, side) for d in self._look(batch.flip(2))]
            found = [merge(pair, self.settings) for pair in zip(found, mirrored, strict=True)]
        return [_scaled(d, image, side) for d, image in zip(found, images, strict=True)]

    def detect_each(self, images: Iterable[RGBImage], batch: int) -> Iterator[Detections]:
        """Detections of a stream of images, `batch` at a time, in order."""
        for chunk in chunked(images, batch):
            yield from self.detect(chunk)

    def _look(self, batch: Tensor) -> list[Detections]:
        with torch.inference_mode():
            x = normalise(batch, self.detector.form)
            outputs = self.detector(x.contiguous(memory_format=torch.channels_last))
            return decode_batch(outputs, self.settings, self.detector.coding)


def flip(found: Detections, width: float) -> Detections:
    """Detections of a mirrored image, put back."""
    x1, y1, x2, y2 = found.xyxy.T
    return Detections(np.stack([width - x2, y1, width - x1, y2], 1), found.scores, found.labels)


def _scaled(found: Detections, image: RGBImage, side: int) -> Detections:
    height, width = image.shape[:2]
    scale = np.array([width / side, height / side] * 2)
    boxes = clip_xyxy(found.xyxy * scale, width, height)
    kept = (boxes[:, 2:] - boxes[:, :2] >= _LEAST_SIDE_PX).all(axis=1)
    return Detections(boxes[kept], found.scores[kept], found.labels[kept])
