"""The pictures of a report: what TDC sees in a few images, and where each system does worst."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from sixrayd.benchmark.judging import Judged
from sixrayd.benchmark.parts import Part
from sixrayd.benchmark.report.parts import Axis, CropExample, ReportPictures, WorstPicture
from sixrayd.benchmark.results import Results, Row
from sixrayd.benchmark.settings import LAYERS
from sixrayd.benchmark.systems import SystemRunner
from sixrayd.benchmark.tdc import tdc_settings
from sixrayd.core.arrays import FloatArray, IntArray, RGBImage
from sixrayd.crop.tdc_forms import AxisFigure, TdcCropper
from sixrayd.imaging.decode import decode_rgb

EXAMPLES = 4
_SHOWN = 0.3  # least score of a box that is drawn
_MOST_PX = 1600  # of a side: a page shows no more, and rows times worst cases are kept in memory
_DRAWN = 10  # boxes of one image at most, the likeliest: more hide it


def take_pictures(
    results: Results, images: Judged, runners: list[SystemRunner], parts: Mapping[str, Part]
) -> ReportPictures:
    """Examples spread over the shares of area that TDC removes, and every row's worst cases."""
    return ReportPictures(
        tuple(_examples(results, images, runners, parts)),
        tuple(p for row in results.rows for p in _worst(row, images, parts[row.system.key])),
    )


def _examples(
    results: Results, images: Judged, runners: list[SystemRunner], parts: Mapping[str, Part]
) -> Iterator[CropExample]:
    fixed = [x for x in runners if x.system.input == "fixed"]
    tdc = next((x for x in fixed if x.system.crop.method == "tdc"), None)
    if tdc is None:
        return
    crops = {x.system.crop.method: x for x in fixed if x.detector is tdc.detector}
    crops = {method: x for method, x in crops.items() if method not in ("none", "tdc")}
    regions = parts[tdc.system.key].regions
    settings = tdc_settings(replace(tdc.system.crop, k=results.chosen_k))
    for image_id in _spread(images, regions):
        image = _read(images, image_id)
        looks = {n: replace(settings, layer=n, numbering="convolution") for n in LAYERS}
        looks[settings.layer] = settings
        croppers = {n: TdcCropper(tdc.detector, look, tdc.device) for n, look in looks.items()}
        profiles = {layer: cropper.profile(image) for layer, cropper in croppers.items()}
        chosen = profiles[settings.layer]
        yield CropExample(
            image_id,
            reduced(image),
            images.sizes_wh[image_id],
            images.truths[image_id].xyxy,
            {layer: profile.average for layer, profile in profiles.items()},
            settings.layer,
            _axis(chosen.columns),
            _axis(chosen.rows),
            chosen.k,
            chosen.region.xyxy,
            {method: parts[x.system.key].regions[image_id] for method, x in crops.items()}
            | {"tdc": chosen.region.xyxy},
        )


def _axis(figure: AxisFigure) -> Axis:
    return Axis(figure.difference, figure.normalised)


def _spread(images: Judged, regions: Mapping[str, tuple[int, int, int, int]]) -> list[str]:
    """Images from the one that loses least area to the one that loses most."""

    def kept(image_id: str) -> float:
        x1, y1, x2, y2 = regions[image_id]
        width, height = images.sizes_wh[image_id]
        return (x2 - x1) * (y2 - y1) / (width * height)

    order = sorted(images.ids, key=lambda i: (-kept(i), i))
    places = np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).round().astype(int)
    return [order[place] for place in dict.fromkeys(places.tolist())]


def _worst(row: Row, images: Judged, part: Part) -> Iterator[WorstPicture]:
    for case in row.worst:
        found = part.detections[case.image_id]
        shown = likeliest(found.scores)
        yield WorstPicture(
            row.system.key,
            case,
            reduced(_read(images, case.image_id)),
            images.sizes_wh[case.image_id],
            images.truths[case.image_id].xyxy,
            found.xyxy[shown],
            found.scores[shown],
        )


def likeliest(scores: FloatArray) -> IntArray:
    """Places of the boxes to draw, the likeliest first.

    Args:
        scores: (N,) of an image's boxes, 0..1.
    """
    order = np.argsort(-scores, kind="stable")[:_DRAWN]
    chosen: IntArray = order[scores[order] >= _SHOWN]
    return chosen


def reduced(image: RGBImage) -> RGBImage:
    """(H, W, 3) → the same, its longer side at most `_MOST_PX`."""
    if max(image.shape[:2]) <= _MOST_PX:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((_MOST_PX, _MOST_PX))
    return np.asarray(picture)


def _read(images: Judged, image_id: str) -> RGBImage:
    return decode_rgb(images.read(image_id), image_id)
