"""How mining looks at images: plain, mirrored, on dynamic input, cropped, tiled, in a cascade."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import get_args

import numpy as np

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import RGBImage
from sixrayd.core.detections import Detections
from sixrayd.core.errors import SettingsError
from sixrayd.crop.region import area_removed, cut, map_back, size_wh
from sixrayd.crop.settings import TdcSettings
from sixrayd.crop.tdc_forms import SharedTdc, TdcCropper
from sixrayd.detectors.backends import Outputs, open_backend
from sixrayd.detectors.checkpoints import Checkpoint, load_checkpoint
from sixrayd.detectors.decoding import DecodeSettings, merge
from sixrayd.detectors.devices import pick_device
from sixrayd.detectors.predictor import (
    DynamicInput,
    InputBatch,
    Precision,
    Predictor,
    autocast,
    clipped,
    flip,
)
from sixrayd.mine.settings import TDC, Crop, refuse_form
from sixrayd.mine.tiles import chosen, merge_tiles, tile_regions

GRID = 2  # tiles along each side
_MULTIPLE_PX = 32
_MOST_PX = 1536  # SIXray's longest side
_SCALES_AN_OCTAVE = 8  # so that images of nearly one size share a batch
# The first detector of a cascade only says how likely an image holds anything: its best box,
# however weak. A few are kept, since one that lies beyond the image's edge is dropped.
_FIRST = DecodeSettings(threshold=1e-4, most=8)
_NOTHING = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """How a detector looks at images.

    Args:
        threshold: scores at or below it are dropped.
        mirror: look at each image's mirror image too, and merge what is found.
        crop: "tdc" looks at the region where the detector's own features begin to change, "tiles"
            at overlapping parts as well as at the whole.
        tdc: how "tdc" finds its region.
        dynamic: the input keeps the image's aspect ratio.
        backend: what runs the network, of `sixrayd.detectors.backends`.
        device: "cpu" or "cuda".
        threads: cores that the backend uses; 0 means all.
        batch: images a step, for which a GPU keeps the network ready; 0 keeps nothing.
        scale: of dynamic input, its pixels for an image pixel; 0 gives every image about as many
            pixels as the detector's square has.
        first_threshold: of a cascade; the second detector looks where the first one's best score
            is at least this.

    Raises:
        SettingsError: out of range, or a scale that would make tiles no larger than the whole.
    """

    threshold: float
    mirror: bool
    crop: Crop = "none"
    dynamic: bool = False
    backend: str = "torch"
    device: str = "cpu"
    threads: int = 0
    batch: int = 0
    scale: float = 0.0
    first_threshold: float = 0.0
    tdc: TdcSettings = TDC

    def __post_init__(self) -> None:
        if self.crop not in get_args(Crop):
            raise SettingsError(f"crop {self.crop!r}: is none of {', '.join(get_args(Crop))}")
        if not 0 < self.threshold < 1:
            raise SettingsError(f"threshold {self.threshold}: needs to lie between 0 and 1")
        if not 0 <= self.first_threshold <= 1:
            raise SettingsError(f"first threshold {self.first_threshold}: needs to be 0 to 1")
        if not 0 <= self.scale < math.inf:
            raise SettingsError(f"scale {self.scale}: needs to be a positive number, or 0")
        if self.scale and (self.crop == "tiles" or not self.dynamic):
            raise SettingsError(
                f"scale {self.scale:g}: is for dynamic input without tiles; leave it at 0"
            )
        if self.crop == "tdc":
            refuse_form(self.tdc, self.backend)

    @property
    def shared(self) -> bool:
        """Whether the network goes on from a cropped map."""
        return self.crop == "tdc" and self.tdc.form == "shared"


@dataclass(frozen=True, slots=True)
class Look:
    """What an image showed.

    Args:
        removed: share of its area that a crop took away, 0..1; None where it was not cropped.
    """

    found: Detections
    removed: float | None = None


class Inference(ABC):
    """A way to look at images."""

    classes: tuple[str, ...]  # what labels are positions of

    @abstractmethod
    def detect(self, images: list[RGBImage]) -> list[Detections]:
        """Detections of each image, by falling score, in its own pixels. Which other images are
        in the list changes nothing but rounding. Several threads may call it."""

    def look(self, images: list[RGBImage]) -> list[Look]:
        """As `detect`, with what a crop took away."""
        return [Look(found) for found in self.detect(images)]


def open_inference(
    weights: Path,
    settings: InferenceSettings,
    first: Path | None = None,
    quantised: Path | None = None,
) -> Inference:
    """Load what a kind of inference needs; each worker opens its own.

    Args:
        weights: of the detector whose detections are reported.
        first: weights of a cascade's first detector.
        quantised: what `quantise` made of `weights`, for int8.

    Raises:
        CheckpointError: weights cannot be read.
        SettingsError: a first threshold without a first detector, or an unknown backend.
        ServiceError: the backend is not installed.
    """
    if settings.first_threshold and first is None:
        raise SettingsError(f"first threshold {settings.first_threshold:g}: needs a cascade")
    decoding = DecodeSettings(threshold=settings.threshold)
    inference = _open(weights, settings, decoding, quantised)
    if first is None:
        return inference
    return Cascade(open_first(first, settings), inference, settings.first_threshold)


def open_first(weights: Path, settings: InferenceSettings) -> Inference:
    """A cascade's first look: once at each whole image, and only at how likely it holds anything.

    Args:
        settings: of the cascade; backend, device and threads are taken, and bfloat16 for int8,
            which is made for one detector.

    Raises:
        CheckpointError, SettingsError, ServiceError: as `open_inference`.
    """
    plain = replace(
        settings,
        mirror=False,
        crop="none",
        dynamic=False,
        scale=0.0,
        backend=settings.backend.replace("int8", "bf16"),
    )
    return _open(weights, plain, _FIRST, None)


def image_score(found: Detections) -> float:
    """The best detection's score; 0 where there is none."""
    return float(found.scores.max(initial=0.0))


class Cascade(Inference):
    """Two looks: the second one's detections where the first one's best score is at least
    `threshold`, none elsewhere."""

    def __init__(self, first: Inference, second: Inference, threshold: float) -> None:
        self.first, self.second, self.threshold = first, second, threshold
        self.classes = second.classes

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        """As in `Inference`; long lists make long batches for the second detector."""
        return [one.found for one in self.look(images)]

    def look(self, images: list[RGBImage]) -> list[Look]:
        """As in `Inference`; what the second one did not see was not cropped."""
        scores = [image_score(found) for found in self.first.detect(images)]
        doubtful = [place for place, score in enumerate(scores) if score >= self.threshold]
        seen = self.second.look([images[place] for place in doubtful])
        found = dict(zip(doubtful, seen, strict=True))
        return [found.get(place, Look(_NOTHING)) for place in range(len(images))]


class _Network(Inference):
    """A detector on images as they are, at the scale that each is to have."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: InferenceSettings,
        decoding: DecodeSettings,
        int8: Path | None,
    ) -> None:
        self.classes = checkpoint.classes.names
        self.detector = checkpoint.detector
        self.settings, self.decoding = settings, decoding
        self.device = pick_device(settings.device)
        self.backend = open_backend(
            settings.backend,
            self.detector,
            self.device,
            threads=settings.threads,
            quantised=int8,
            batch=0
            if settings.dynamic or settings.shared
            else settings.batch * (1 + settings.mirror),
        )
        self.predictors: dict[float, Predictor] = {}  # by scale of dynamic input

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        found: dict[int, Detections] = {}
        for predictor, alike in self.by_scale(images):
            seen = predictor.detect([images[place] for place in alike])
            found |= zip(alike, map(self.above, seen), strict=True)
        return [found[place] for place in range(len(images))]

    def by_scale(self, images: list[RGBImage]) -> Iterator[tuple[Predictor, list[int]]]:
        """The predictor of each scale, and the places of its images."""
        places: dict[float, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(self._scale(image), []).append(place)
        for scale, alike in places.items():
            if scale not in self.predictors:
                self.predictors[scale] = self._predictor(scale)
            yield self.predictors[scale], alike

    def above(self, found: Detections) -> Detections:
        """Those above the threshold: mirrored looks that disagree leave scores of half of it."""
        return chosen(found, found.scores > self.decoding.threshold)

    def _scale(self, image: RGBImage) -> float:
        if self.settings.scale or not self.settings.dynamic:
            return self.settings.scale
        octaves = math.log2(self.detector.form.size / math.sqrt(math.prod(size_wh(image))))
        return float(2 ** (round(octaves * _SCALES_AN_OCTAVE) / _SCALES_AN_OCTAVE))

    def _predictor(self, scale: float) -> Predictor:
        dynamic = None
        if self.settings.dynamic:
            least = -(-self.detector.sources.least_px // _MULTIPLE_PX) * _MULTIPLE_PX
            dynamic = DynamicInput(scale, _MULTIPLE_PX, least, _MOST_PX)
        return Predictor(
            self.detector,
            self.decoding,
            device=self.device,
            mirror=self.settings.mirror,
            dynamic=dynamic,
            backend=self.backend,
        )


class _Cropped(Inference):
    """The detector on what task-driven cropping keeps of each image."""

    def __init__(self, network: _Network, cropper: TdcCropper) -> None:
        self.network, self.cropper = network, cropper
        self.classes = network.classes
        self.lock = Lock()  # the cropper borrows the detector's convolutions

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        return [one.found for one in self.look(images)]

    def look(self, images: list[RGBImage]) -> list[Look]:
        with self.lock:
            regions = self.cropper.regions(images)
        found = self.network.detect([cut(i, r) for i, r in zip(images, regions, strict=True)])
        return [
            Look(map_back(d, r), area_removed(r, size_wh(i)))
            for d, r, i in zip(found, regions, images, strict=True)
        ]


class _Shared(Inference):
    """The detector going on from the cropped map of a whole image's forward pass.

    Up to the map, images of one input shape run together; from there each runs alone.
    """

    def __init__(self, network: _Network, settings: InferenceSettings) -> None:
        self.network, self.mirror = network, settings.mirror
        self.classes = network.classes
        self.shared = SharedTdc(network.detector, settings.tdc)
        self.precision: Precision = "bf16" if settings.backend.endswith("bf16") else "fp32"
        self.lock = Lock()  # it borrows the detector's convolutions

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        return [one.found for one in self.look(images)]

    def look(self, images: list[RGBImage]) -> list[Look]:
        looks: dict[int, Look] = {}
        for predictor, alike in self.network.by_scale(images):
            some = [images[place] for place in alike]
            for batch in predictor.batches(some):
                seen = self._seen(predictor, batch, [some[place] for place in batch.places])
                looks |= zip([alike[place] for place in batch.places], seen, strict=True)
        return [looks[place] for place in range(len(images))]

    def _seen(
        self, predictor: Predictor, batch: InputBatch, images: list[RGBImage]
    ) -> Iterator[Look]:
        views = [batch.x, batch.x.flip(3)] if self.mirror else [batch.x]
        with self.lock, autocast(self.network.device, self.precision):
            passed = [self.shared(x) for x in views]
        input_wh = (batch.x.shape[3], batch.x.shape[2])
        for row, image in enumerate(images):
            scale = batch.scale_wh[row : row + 1]
            found = [predictor.decode(_full(outputs[row][0]), scale)[0] for outputs in passed]
            if self.mirror:
                both = [found[0], flip(found[1], size_wh(image)[0])]
                found = [merge(both, self.network.decoding)]
            removed = area_removed(passed[0][row][1], input_wh)
            yield Look(self.network.above(clipped(found[0], image)), removed)


class _Tiled(Inference):
    """The detector on each image and on its tiles."""

    def __init__(self, network: _Network) -> None:
        self.network, self.classes = network, network.classes

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        tiles = [tile_regions(size_wh(image), GRID) for image in images]
        parts = [cut(i, tile) for i, of_one in zip(images, tiles, strict=True) for tile in of_one]
        # As many at a time as there are images: whoever chose their number chose the memory.
        chunks = chunked([*images, *parts], max(1, len(images)))
        seen = (found for chunk in chunks for found in self.network.detect(chunk))
        wholes = list(itertools.islice(seen, len(images)))
        return [
            merge_tiles(
                found,
                {tile: map_back(next(seen), tile) for tile in of_one},
                size_wh(image),
                self.network.decoding,
            )
            for image, of_one, found in zip(images, tiles, wholes, strict=True)
        ]


def _open(
    weights: Path, settings: InferenceSettings, decoding: DecodeSettings, int8: Path | None
) -> Inference:
    network = _Network(load_checkpoint(weights), settings, decoding, int8)
    if settings.crop == "tiles":
        return _Tiled(network)
    if settings.shared:
        return _Shared(network, settings)
    if settings.crop == "tdc":
        # The region hardly depends on the input's shape, so the cropper looks at the square.
        return _Cropped(network, TdcCropper(network.detector, settings.tdc, network.device))
    return network


def _full(outputs: Outputs) -> Outputs:
    offsets, logits, priors = outputs
    return offsets.float(), logits.float(), priors
