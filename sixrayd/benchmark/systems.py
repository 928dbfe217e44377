"""The systems of each table, and how one of them looks at an image."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import get_args

import numpy as np
import torch

from sixrayd.benchmark.results import STEPS, Crop, System, Table
from sixrayd.benchmark.settings import LAYERS, BenchmarkSettings
from sixrayd.core.detections import Detections
from sixrayd.core.errors import CheckpointError, ServiceError
from sixrayd.core.extras import import_extra
from sixrayd.crop.aesthetic import WHERE_WEIGHTS, AestheticCropper
from sixrayd.crop.canny import canny_crop
from sixrayd.crop.region import Cropper, Region, cut, map_back, size_wh, whole
from sixrayd.crop.settings import EXACT, Form, TdcKnobs, TdcSettings
from sixrayd.crop.smart import smart_crop
from sixrayd.crop.tdc_forms import SharedTdc, TdcCropper, scaled
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


def plan_systems(
    models: Mapping[str, str],
    wanted: tuple[str, ...],
    crops: Mapping[str, str],
    k: float,
    cropped: str = "",
    knobs: TdcKnobs = TdcKnobs(),
) -> SystemsPlan:
    """Every row of the paper's tables and of its ablation.

    Args:
        models: detector → name of its weights, for those that have any.
        wanted: detectors in the order of the tables; the last one runs with crops.
        crops: method → why it cannot run, empty where it can.
        k: TDC's threshold.
        cropped: name of weights of the last detector that learnt from TDC's crops, if any.
        knobs: what else is asked of TDC.
    """
    absent = {
        detector: "no weights: run `sixrayd benchmark --train-missing`"
        for detector in wanted
        if detector not in models
    }
    main, planner = wanted[-1], _Planner(models)
    fixed = [planner.add(d, Crop(k=k), "fixed") for d in wanted if d in models]
    rows: dict[str, list[str]] = {"dynamic": [], "layers": [], "forms": []}
    if main in models:
        tdc = tdc_crop(knobs, k)
        able = [tdc if m == "tdc" else Crop(m, k=k) for m, why in crops.items() if not why]
        fixed += [planner.add(main, crop, "fixed") for crop in able]
        if cropped:
            fixed.append(planner.add_learnt(main, tdc, cropped))
        rows["dynamic"] = [planner.add(main, crop, "dynamic") for crop in (Crop(k=k), *able)]
        rows["dynamic"].append(planner.add(main, Crop(k=k), "dynamic", "fractions"))
        rows["layers"] = [planner.add(main, crop, "fixed") for crop in _layer_crops(knobs, k)]
        rows["forms"] = [planner.add(main, crop, "dynamic") for crop in _form_crops(knobs, k)]
    unable = {f"{main} + {method}": why for method, why in crops.items() if why}
    missing = {"fixed": absent | unable, "dynamic": unable if main in models else absent}
    tables = tuple(
        Table(name, _LABELS[name], tuple(keys), missing.get(name, {}))
        for name, keys in ({"fixed": fixed} | rows).items()
    )
    return SystemsPlan(tuple(planner.found.values()), tables)


class _Planner:
    """The systems so far; one that several tables show is there once."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self.models = models
        self.found: dict[str, System] = {}

    def add(self, detector: str, crop: Crop, kind: str, reading: str = "pixels") -> str:
        """Key of the system."""
        key = _key(detector, crop, kind, reading)
        system = System(key, detector, self.models[detector], crop, kind, reading)
        return self.found.setdefault(key, system).key

    def add_learnt(self, detector: str, crop: Crop, model: str) -> str:
        """Key of the system whose weights learnt from crops."""
        key = f"{_key(detector, crop, 'fixed', 'pixels')}_learnt"
        self.found[key] = System(key, detector, model, crop, "fixed", learnt="crops")
        return key


def tdc_crop(knobs: TdcKnobs, k: float) -> Crop:
    """TDC as it is asked for, with this threshold where none is."""
    settings = asdict(knobs.over(replace(EXACT, k=k)))
    del settings["reduce"]
    return Crop("tdc", **settings)


def _layer_crops(knobs: TdcKnobs, k: float) -> list[Crop]:
    """The paper's ablation, with the kernel fixed in cells and then in pixels."""
    base = tdc_crop(replace(knobs, tdc_form=None, tdc_kernel=None, tdc_numbering=None), k)
    in_cells = [replace(base, layer=layer) for layer in LAYERS]
    in_pixels = [replace(crop, kernel=72, kernel_unit="pixels") for crop in in_cells]
    return [Crop(k=k), *in_cells, *in_pixels]  # 72 pixels are nine cells of conv4_2


def _form_crops(knobs: TdcKnobs, k: float) -> list[Crop]:
    exact, fast, shared = (form_crop(knobs, form, k) for form in get_args(Form))
    return list(dict.fromkeys([Crop(k=k), exact, replace(exact, border="zeros"), fast, shared]))


def form_crop(knobs: TdcKnobs, form: Form, k: float) -> Crop:
    """TDC in a form, with the layer that is asked for where that is one of this form's map."""
    if (form == "fast") != (knobs.tdc_form == "fast"):
        knobs = replace(knobs, tdc_layer=None, tdc_kernel=None, tdc_numbering=None)
    border = None if form == "shared" else knobs.tdc_border
    return tdc_crop(replace(knobs, tdc_form=form, tdc_border=border), k)


def usable_crops(settings: BenchmarkSettings) -> dict[str, str]:
    """Method → why it cannot run, empty where it can."""
    why = "" if settings.saliency else f"no weights: {WHERE_WEIGHTS}"
    try:
        import_extra("smartcrop", "benchmark")
        without = ""
    except ServiceError as error:
        without = str(error)
    return {"canny": "", "aesthetic": why, "smart": without, "tdc": ""}


def _key(detector: str, crop: Crop, kind: str, reading: str) -> str:
    parts = [detector, kind]
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
        self.predictor = Predictor(detector, device=device, dynamic=self.dynamic)
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
            inside = clipped(self.predictor.decode(outputs, batch.scale_wh)[0], part)
            found = map_back(inside, region)
        else:
            self._tick(clock)  # cropping is a part of its forward pass
            batch = self.predictor.prepare([image])[0]
            outputs, kept = self.shared(batch.x)[0]
            self._tick(clock)
            found = clipped(self.predictor.decode(outputs, batch.scale_wh)[0], image)
            region = scaled(kept, (batch.x.shape[3], batch.x.shape[2]), size_wh(image))
        self._tick(clock)
        steps = dict(zip(STEPS, np.diff(clock).tolist(), strict=False))
        return found, region, steps | {"total": clock[-1] - clock[0]}

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


def tdc_settings(crop: Crop) -> TdcSettings:
    """The crop's part that `sixrayd.crop.tdc` reads."""
    return TdcSettings(
        layer=crop.layer,
        kernel=crop.kernel,
        kernel_unit="pixels" if crop.kernel_unit == "pixels" else "cells",
        k=crop.k,
        form=crop.form,  # type: ignore[arg-type]
        border=crop.border,  # type: ignore[arg-type]
        axes=crop.axes,  # type: ignore[arg-type]
        numbering=crop.numbering,  # type: ignore[arg-type]
    )
