"""The systems of each table, and how one of them looks at an image."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from sixrayd.benchmark.protocol import Protocol
from sixrayd.benchmark.results import STEPS, Crop, System, Table
from sixrayd.benchmark.settings import LAYERS, BenchmarkSettings
from sixrayd.benchmark.tdc import tdc_settings
from sixrayd.core.arrays import RGBImage
from sixrayd.core.detections import Detections
from sixrayd.core.errors import CheckpointError, ServiceError
from sixrayd.core.extras import import_extra
from sixrayd.crop.aesthetic import MOST_PIXELS, WHERE_WEIGHTS, AestheticCropper
from sixrayd.crop.canny import canny_crop
from sixrayd.crop.region import Cropper, Region, cut, map_back, size_wh, whole
from sixrayd.crop.settings import Form
from sixrayd.crop.smart import smart_crop
from sixrayd.crop.tdc_forms import SharedTdc, TdcCropper, scaled
from sixrayd.detectors.backends import Outputs
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.predictor import DynamicInput, Predictor, clipped
from sixrayd.imaging.decode import decode_rgb

MULTIPLE_PX = 32
MOST_PX = 1536  # SIXray's longest side
_LABELS = {
    "fixed": "Fixed input (the paper's table 3)",
    "dynamic": "Dynamic input (the paper's table 4)",
    "layers": "The layer that TDC looks at (the paper's figure 10)",
    "forms": "TDC's three forms",
}


@dataclass(frozen=True, slots=True)
class SystemsPlan:
    """All systems to run, and the tables that show them."""

    systems: tuple[System, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Entrant:
    """Weights that compete: of which detector, and what they are called."""

    detector: str
    model: str


def plan_systems(
    entrants: Mapping[str, Entrant],
    wanted: tuple[str, ...],
    crops: Mapping[str, str],
    protocol: Protocol,
    k: float,
    cropped: str = "",
) -> SystemsPlan:
    """Every row of the protocol's tables.

    Args:
        entrants: by what was asked for, a detector or a model; those that have weights.
        wanted: what was asked for, in the order of the tables; the last one runs with crops.
        crops: method → why it cannot run, empty where it can.
        k: TDC's threshold.
        cropped: name of weights of the last entrant that learnt from TDC's crops, if any.
    """
    absent = {
        name: "no weights: the same command with --train-missing makes them"
        for name in wanted
        if name not in entrants
    }
    main, planner = wanted[-1], _Planner(entrants)
    plain, tdc = Crop(k=k), protocol.tdc_crop(k)
    rows: dict[str, list[str]] = {name: [] for name in protocol.tables}
    rows["fixed"] = [planner.add(name, plain, "fixed") for name in wanted if name in entrants]
    if main in entrants:
        able = [_crop(method, tdc) for method, why in crops.items() if not why]
        rows["fixed"] += [planner.add(main, crop, "fixed") for crop in able]
        if cropped:
            rows["fixed"].append(planner.add_learnt(main, tdc, cropped))
        rows["dynamic"] = [planner.add(main, crop, "dynamic") for crop in (plain, *able)]
        rows["dynamic"] += [
            planner.add(main, plain, "dynamic", reading) for reading in protocol.readings[1:]
        ]
        for name, chosen, kind in (
            ("layers", _layer_crops(protocol, k), "fixed"),
            ("forms", _form_crops(protocol, k), "dynamic"),
        ):
            if name in protocol.tables:
                rows[name] = [planner.add(main, crop, kind) for crop in chosen]
    unable = {f"{main} + {method}": why for method, why in crops.items() if why}
    missing = {"fixed": absent | unable, "dynamic": unable if main in entrants else absent}
    tables = tuple(
        Table(name, _LABELS[name], tuple(dict.fromkeys(keys)), missing.get(name, {}))
        for name, keys in rows.items()
    )
    return SystemsPlan(tuple(planner.found.values()), tables)


class _Planner:
    """The systems so far; one that several tables show is there once."""

    def __init__(self, entrants: Mapping[str, Entrant]) -> None:
        self.entrants = entrants
        self.found: dict[str, System] = {}

    def add(self, name: str, crop: Crop, kind: str, reading: str = "pixels") -> str:
        """Key of the system."""
        key, entrant = _key(name, crop, kind, reading), self.entrants[name]
        system = System(key, entrant.detector, entrant.model, crop, kind, reading, entry=name)
        return self.found.setdefault(key, system).key

    def add_learnt(self, name: str, crop: Crop, model: str) -> str:
        """Key of the system whose weights learnt from crops."""
        key = f"{_key(name, crop, 'fixed', 'pixels')}_learnt"
        detector = self.entrants[name].detector
        self.found[key] = System(key, detector, model, crop, "fixed", learnt="crops", entry=name)
        return key


def _crop(method: str, tdc: Crop) -> Crop:
    return tdc if method == "tdc" else Crop(method, k=tdc.k)


def _layer_crops(protocol: Protocol, k: float) -> list[Crop]:
    """The paper's ablation, with the protocol's own kernel and, it may be, one in pixels."""
    knobs = replace(protocol.knobs, tdc_form=None, tdc_kernel=None, tdc_numbering=None)
    tdc = replace(protocol, knobs=knobs).tdc_crop(k)
    crops = [replace(tdc, layer=layer) for layer in LAYERS]
    if "pixels" in protocol.kernel_units:  # 72 pixels are nine cells of conv4_2
        crops = [Crop(k=tdc.k), *crops]
        crops += [replace(tdc, layer=layer, kernel=72, kernel_unit="pixels") for layer in LAYERS]
    return crops


def _form_crops(protocol: Protocol, k: float) -> list[Crop]:
    exact, fast, shared = (protocol.form_crop(form, k) for form in get_args(Form))
    return [Crop(k=k), exact, replace(exact, border="zeros"), fast, shared]


def usable_crops(settings: BenchmarkSettings, largest: int = 0) -> dict[str, str]:
    """The protocol's methods → why each cannot run, empty where it can.

    Args:
        largest: pixels of the largest image that is looked at.
    """
    why = "" if settings.saliency else f"no weights: {WHERE_WEIGHTS}"
    if settings.saliency and largest > MOST_PIXELS:
        why = f"an image has {largest:,} pixels, its memory allows {MOST_PIXELS:,}: reduce it"
    try:
        import_extra("smartcrop", "benchmark")
        without = ""
    except ServiceError as error:
        without = str(error)
    unable = {"aesthetic": why, "smart": without}
    return {method: unable.get(method, "") for method in settings.rules.methods}


def decode_settings(protocol: Protocol) -> DecodeSettings:
    """Which detections are kept: 200 an image, scores above 0.01, overlaps up to 0.45.

    These are ours and those of RFBNet's test on VOC alike.
    """
    return DecodeSettings(legacy=protocol.nms == "legacy")


def _key(name: str, crop: Crop, kind: str, reading: str) -> str:
    parts = [name, kind]
    if reading != "pixels":
        parts.append(reading)
    if crop.method == "tdc":
        kernel = f"{crop.kernel}{crop.kernel_unit}"
        layer = f"{'conv' if crop.numbering == 'convolution' else 'module'}{crop.layer}"
        axes = "" if crop.axes == "both" else f"-{crop.axes}"
        parts.append(f"tdc-{crop.form}-{layer}-{kernel}-{crop.border}{axes}-k{crop.k:g}")
    elif crop.method != "none":
        parts.append(crop.method)
    return "_".join(parts)


class SystemRunner:
    """One system at work: encoded image → detections in the image's own pixels.

    Args:
        detector: the system's, with its weights; its reading of priors is set.
        eye: whose backbone TDC looks with; the detector's own where left out.
        scale: pixels of a dynamic input for a pixel of the image.
    """

    def __init__(
        self,
        system: System,
        detector: Detector,
        scale: float,
        settings: BenchmarkSettings,
        device: torch.device,
        eye: Detector | None = None,
    ) -> None:
        self.system = system
        self.detector = detector
        self.eye = eye or detector
        self.dynamic = None
        if system.input == "dynamic":
            least = -(-detector.sources.least_px // MULTIPLE_PX) * MULTIPLE_PX
            self.dynamic = DynamicInput(scale, MULTIPLE_PX, least, MOST_PX)
        rules = settings.rules
        self.cuts = rules.nms == "modern"  # boxes at the image's edges
        self.predictor = Predictor(
            detector, decode_settings(rules), device=device, dynamic=self.dynamic
        )
        self.device = device
        crop = system.crop
        self.shared = None
        if crop.method == "tdc" and crop.form == "shared":
            self.shared = SharedTdc(detector, tdc_settings(crop))
        self.cropper = self._cropper(settings)

    def look(self, data: bytes, where: str) -> tuple[Detections, Region, dict[str, float]]:
        """Detections by falling score, the region that was looked at, and seconds by step."""
        self.detector.reading = "fractions" if self.system.reading == "fractions" else "pixels"
        clock = [time.perf_counter()]
        image = decode_rgb(data, where)
        self._tick(clock)
        if self.shared is None:
            region = self.cropper(image)
            part = cut(image, region)
            self._tick(clock)
            batch = self.predictor.prepare([part])[0]
            outputs = self.predictor.forward(batch.x)
            self._tick(clock)
            found = map_back(self._decode(outputs, batch.scale_wh, part), region)
        else:
            self._tick(clock)  # cropping is a part of its forward pass
            batch = self.predictor.prepare([image])[0]
            outputs, kept = self.shared(batch.x)[0]
            self._tick(clock)
            found = self._decode(outputs, batch.scale_wh, image)
            region = scaled(kept, (batch.x.shape[3], batch.x.shape[2]), size_wh(image))
        self._tick(clock)
        steps = dict(zip(STEPS, np.diff(clock).tolist(), strict=False))
        return found, region, steps | {"total": clock[-1] - clock[0]}

    def _decode(self, outputs: Outputs, scale_wh: Tensor, image: RGBImage) -> Detections:
        found = self.predictor.decode(outputs, scale_wh)[0]
        return clipped(found, image) if self.cuts else found

    def _tick(self, clock: list[float]) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        clock.append(time.perf_counter())

    def _cropper(self, settings: BenchmarkSettings) -> Cropper:
        crop = self.system.crop
        if crop.method == "tdc":
            return TdcCropper(self.eye, tdc_settings(crop), self.device, dynamic=self.dynamic)
        if crop.method == "canny":
            return partial(canny_crop, settings=settings.canny)
        if crop.method == "smart":
            return smart_crop
        if crop.method == "aesthetic":
            if settings.saliency is None or settings.regression is None:
                raise CheckpointError(f"aesthetic crop: {WHERE_WEIGHTS}")
            return AestheticCropper(settings.saliency, settings.regression, device=self.device)
        return lambda image: whole(size_wh(image))
