"""Choosing TDC's threshold on validation images, never on those that are reported."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sixrayd.benchmark.judging import Judged
from sixrayd.benchmark.results import SweepPoint
from sixrayd.benchmark.settings import KERNELS, THRESHOLDS
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections
from sixrayd.crop.region import Region, crop_cost, cut, map_back, size_wh
from sixrayd.crop.settings import EXACT, TdcSettings
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
    seen: Callable[[], None] = lambda: None,
    tdc: TdcSettings = EXACT,
) -> tuple[SweepPoint, ...]:
    """Mean AP and cost of every threshold and kernel, on the fixed input.

    Args:
        seen: called after each image, for progress.
        tdc: what k and the kernel are changed in; of the exact form.
    """
    points = [(k, kernel) for k in THRESHOLDS for kernel in KERNELS]
    found: dict[tuple[float, int], dict[str, Detections]] = {point: {} for point in points}
    kept: dict[tuple[float, int], dict[str, Region]] = {point: {} for point in points}
    cropper = TdcCropper(predictor.detector, tdc, predictor.device)
    side = predictor.detector.form.size
    for image_id in images.ids:
        image = decode_rgb(images.read(image_id), image_id)
        features = cropper.features([image])  # one pass serves all points
        known: dict[Region, Detections] = {}  # many points agree on a region
        for point in points:
            settings = replace(tdc, k=point[0], kernel=point[1], kernel_unit="cells")
            inside = regions(features, (side, side), settings)[0]
            region = kept[point][image_id] = scaled(inside, (side, side), size_wh(image))
            if region not in known:
                known[region] = map_back(predictor.detect([cut(image, region)])[0], region)
            found[point][image_id] = known[region]
        seen()
    return tuple(_point(point, found[point], kept[point], images, classes) for point in points)


def choose_k(points: tuple[SweepPoint, ...]) -> float:
    """The threshold of the best mean AP with the published kernel, the smallest of equals."""
    of_kernel = [point for point in points if point.kernel == PUBLISHED_KERNEL]
    return max(of_kernel, key=lambda p: (p.mean, -p.k)).k if of_kernel else DEFAULT_K


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
