"""Choosing TDC's threshold on validation images, never on those that are reported."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sixrayd.benchmark.judging import Judged
from sixrayd.benchmark.results import Crop, SweepPoint
from sixrayd.benchmark.settings import KERNELS, THRESHOLDS
from sixrayd.benchmark.tdc import tdc_settings
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections
from sixrayd.crop.region import Region, crop_cost, cut, map_back, size_wh
from sixrayd.crop.tdc import regions
from sixrayd.crop.tdc_forms import TdcCropper, scaled
from sixrayd.detectors.predictor import Predictor
from sixrayd.evaluation.average_precision import mean_average_precision
from sixrayd.imaging.decode import decode_rgb

DEFAULT_K = 0.15  # the paper's
PUBLISHED_KERNEL = 9


def sweep_tdc(
    predictor: Predictor,
    images: Judged,
    classes: ClassList,
    crop: Crop,
    seen: Callable[[], None] = lambda: None,
) -> tuple[SweepPoint, ...]:
    """Mean AP and cost of every threshold and kernel, on the fixed input.

    Args:
        crop: what k and the kernel are changed in; of the exact form.
        seen: called after each image, for progress.
    """
    kernels = sorted({*KERNELS, kernel_of(crop)})
    points = [(k, kernel) for k in THRESHOLDS for kernel in kernels]
    base = replace(tdc_settings(crop), kernel_unit="cells", kernel=kernel_of(crop))
    found: dict[tuple[float, int], dict[str, Detections]] = {point: {} for point in points}
    kept: dict[tuple[float, int], dict[str, Region]] = {point: {} for point in points}
    cropper = TdcCropper(predictor.detector, base, predictor.device)
    side = predictor.detector.form.size
    for image_id in images.ids:
        image = decode_rgb(images.read(image_id), image_id)
        features = cropper.features([image])  # one pass serves all points
        known: dict[Region, Detections] = {}  # many points agree on a region
        for point in points:
            settings = replace(base, k=point[0], kernel=point[1])
            inside = regions(features, (side, side), settings)[0]
            region = kept[point][image_id] = scaled(inside, (side, side), size_wh(image))
            if region not in known:
                known[region] = map_back(predictor.detect([cut(image, region)])[0], region)
            found[point][image_id] = known[region]
        seen()
    return tuple(_point(point, found[point], kept[point], images, classes) for point in points)


def kernel_of(crop: Crop) -> int:
    """The kernel in cells by which k is chosen: the crop's own, or the published one."""
    return crop.kernel if crop.kernel_unit == "cells" else PUBLISHED_KERNEL


def choose_k(points: tuple[SweepPoint, ...], kernel: int = PUBLISHED_KERNEL) -> float:
    """The threshold of the best mean AP with this kernel, the smallest of equals."""
    of_kernel = [point for point in points if point.kernel == kernel]
    return max(of_kernel, key=lambda p: (p.mean, -p.k)).k if of_kernel else DEFAULT_K


def edge_of_sweep(points: tuple[SweepPoint, ...], k: float) -> str:
    """What is to be said where the k chosen is the first or the last that was tried; else empty."""
    tried = sorted({point.k for point in points})
    if k not in (tried[:1] + tried[-1:]):
        return ""
    if k == 0:
        return "k = 0 was chosen, the least there is: no threshold that crops more did better"
    which = "smallest" if k == tried[0] else "greatest"
    return f"k = {k:g} was chosen, the {which} tried: the best may lie beyond it"


def _point(
    point: tuple[float, int],
    found: dict[str, Detections],
    kept: dict[str, Region],
    images: Judged,
    classes: ClassList,
) -> SweepPoint:
    costs = [crop_cost(images.truths[i].xyxy, kept[i], images.sizes_wh[i]) for i in images.ids]
    return SweepPoint(
        *point,
        mean_average_precision(found, images.truths, classes).mean,
        float(np.mean([cost.area_removed for cost in costs])),
        sum(cost.objects_cut for cost in costs),
        sum(cost.objects_lost for cost in costs),
    )
