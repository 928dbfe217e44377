"""Measure what task-driven cropping costs beside a forward pass, and how far fast is from exact.

Example:
    python -m benchmarks.crop --images DIR --most 12 --out crop.json
"""

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.interleaved import interleaved_s
from sixrayd.core.arrays import FloatArray, RGBImage
from sixrayd.core.files import write_json
from sixrayd.crop.region import area_removed, cut, size_wh
from sixrayd.crop.settings import EXACT, FAST, SHARED, Border, TdcSettings
from sixrayd.crop.tdc_forms import SharedTdc, TdcCropper
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.predictor import DynamicInput, Predictor
from sixrayd.detectors.priors import make_priors
from sixrayd.imaging.decode import decode_rgb

CELL_PX = 8  # of the exact form's map
KERNEL_PX = 72  # the published kernel of 9 cells
FAST_LAYERS = (9, 7, 5)
FAST_REDUCTIONS = (2.5, 3.0, 4.0)


def ready(name: str, weights: Path | None) -> Detector:
    """A detector from a checkpoint, or with random weights after He."""
    if weights is not None:
        return load_checkpoint(weights).detector.eval()
    torch.manual_seed(0)
    detector = DETECTORS[name].build(5).eval()
    detector.initialise()
    return detector


def read_images(folder: Path, most: int) -> list[RGBImage]:
    """The first images of a folder by name."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png"))[:most]
    if not paths:
        raise click.UsageError(f"{folder}: no .jpg or .png")
    return [decode_rgb(path.read_bytes(), path.name) for path in paths]


def fast_forms(base: TdcSettings) -> Iterator[tuple[str, TdcSettings]]:
    """The fast form in several layers and reductions, with the published kernel in pixels."""
    for layer in FAST_LAYERS:
        for reduction in FAST_REDUCTIONS:
            settings = replace(
                base,
                form="fast",
                layer=layer,
                reduce=reduction,
                kernel=KERNEL_PX,
                kernel_unit="pixels",
            )
            yield f"fast, layer {layer}, 1/{reduction:g}", settings


def input_edges(cropper: TdcCropper, images: list[RGBImage]) -> FloatArray:
    """(N, 4) regions in the exact form's cells, whole-image sides being 0 and the last."""
    cells = cropper.detector.form.size / CELL_PX
    found = []
    for image in images:
        width, height = size_wh(image)
        found.append(np.array(cropper(image).xyxy) / [width, height, width, height] * cells)
    return np.array(found)


def compared(edges: FloatArray, exact: FloatArray, last: float) -> dict[str, float]:
    """How far edges are from exact's, in cells.

    Args:
        edges, exact: (N, 4).
        last: the image's far edge, in cells.
    """
    away = np.abs(edges - exact)  # (N, 4)
    inner = (exact > 0) & (exact < last)
    return {
        "median_of_edges": float(np.median(away)),
        "median_of_edges_that_exact_crops": float(np.median(away[inner])) if inner.any() else 0.0,
        "edges_that_exact_crops": int(inner.sum()),
        "median_of_worst_edges": float(np.median(away.max(axis=1))),
        "edges_within_2_cells": float((away < 2).mean()),
        "area_kept": _area(edges, last),
        "area_exact_keeps": _area(exact, last),
    }


def time_forms(
    detector: Detector, images: list[RGBImage], base: TdcSettings, rounds: int
) -> dict[str, Any]:
    """Seconds of each form for one image, and as a share of the forward pass."""
    predictor = Predictor(detector)
    image = images[0]
    x: Tensor = predictor.prepare([image])[0].x
    shared = SharedTdc(detector, replace(SHARED, k=base.k))
    work: dict[str, Callable[[], object]] = {
        "forward": lambda: predictor.forward(x),
        "shared forward": lambda: shared(x),
        "exact": lambda c=TdcCropper(detector, base): c(image),  # type: ignore[misc]
    }
    for name, settings in fast_forms(base):
        work[name] = lambda c=TdcCropper(detector, settings): c(image)  # type: ignore[misc]
    seconds = interleaved_s(work, rounds)
    region = shared(x)[0][1]
    return {
        "seconds": seconds,
        "share_of_forward": {name: s / seconds["forward"] for name, s in seconds.items()},
        "shared_kept_area": region.area / (x.shape[2] * x.shape[3]),
    }


def ways_together(
    detector: Detector, base: TdcSettings, dynamic: DynamicInput
) -> dict[str, Callable[[RGBImage], float]]:
    """Crop and network on an image, in each form; all give the share of the image that is kept."""
    predictor = Predictor(detector, dynamic=dynamic)
    shared = SharedTdc(detector, replace(SHARED, k=base.k))

    def looked_at(image: RGBImage) -> float:
        predictor.forward(predictor.prepare([image])[0].x)
        return 1.0

    def cropped(settings: TdcSettings) -> Callable[[RGBImage], float]:
        cropper = TdcCropper(detector, settings, dynamic=dynamic)

        def look(image: RGBImage) -> float:
            region = cropper(image)
            looked_at(cut(image, region))
            return 1 - area_removed(region, size_wh(image))

        return look

    def cropped_within(image: RGBImage) -> float:
        x = predictor.prepare([image])[0].x
        return 1 - area_removed(shared(x)[0][1], (x.shape[3], x.shape[2]))

    return {
        "no crop": looked_at,
        "exact": cropped(base),
        "fast": cropped(replace(FAST, k=base.k, border=base.border)),
        "shared": cropped_within,
    }


def time_together(
    detector: Detector, images: list[RGBImage], base: TdcSettings, scale: float, turns: int
) -> dict[str, Any]:
    """CPU seconds of crop and network together on dynamic input, in turns on each image."""
    ways = ways_together(detector, base, DynamicInput(scale, 32, 288, 1024))
    seconds: list[dict[str, float]] = []
    kept: list[dict[str, float]] = []
    for image in images:
        area: dict[str, float] = {}

        def look(way: str, image: RGBImage = image, area: dict[str, float] = area) -> None:
            area[way] = ways[way](image)

        work = {way: partial(look, way) for way in ways}
        seconds.append(interleaved_s(work, turns, time.process_time))
        kept.append(area)
    return {"scale": scale, "turns": turns, "ways": {way: _way(way, seconds, kept) for way in ways}}


def _way(
    way: str, seconds: list[dict[str, float]], kept: list[dict[str, float]]
) -> dict[str, float]:
    ratios = [of_one[way] / of_one["no crop"] for of_one in seconds]
    return {
        "median_s": statistics.median(of_one[way] for of_one in seconds),
        "of_no_crop": statistics.median(ratios),
        "of_no_crop_least": min(ratios),
        "of_no_crop_most": max(ratios),
        "area_kept": statistics.median(of_one[way] for of_one in kept),
    }


def table(together: dict[str, Any]) -> Iterator[str]:
    """The rows of `time_together`, for people."""
    yield "| way | median CPU s | of no crop, median (least to most) | area kept, median |"
    yield "|---|---|---|---|"
    for way, row in together["ways"].items():
        span = f"{row['of_no_crop_least']:.0%} to {row['of_no_crop_most']:.0%}"
        yield (
            f"| {way} | {row['median_s']:.3f} | {row['of_no_crop']:.1%} ({span}) "
            f"| {row['area_kept']:.1%} |"
        )


def time_priors(detector: Detector, forward_s: float, rounds: int) -> dict[str, float]:
    """What the priors of a shape never seen before cost, and of one seen before."""
    side = detector.form.size
    with torch.inference_mode():
        maps = detector.sources(torch.zeros(1, 3, side, side))
    shapes = tuple((m.shape[2], m.shape[3]) for m in maps)

    def new() -> None:
        make_priors.cache_clear()
        make_priors(detector.plan, shapes, (side, side))

    def cached() -> None:
        make_priors(detector.plan, shapes, (side, side))

    fresh, seen = (interleaved_s({"": do}, 10 * rounds)[""] for do in (new, cached))
    return {
        "new_shape_s": fresh,
        "cached_s": seen,
        "new_shape_share": fresh / forward_s,
        "cached_share": seen / forward_s,
    }


def dynamic_scale(images: list[RGBImage], detector: Detector) -> float:
    """What makes a median image as large as the detector's square."""
    sides = [float(np.sqrt(np.prod(size_wh(image)))) for image in images]
    return detector.form.size / statistics.median(sides)


def _area(edges: FloatArray, last: float) -> float:
    return float(((edges[:, 2:] - edges[:, :2]).prod(axis=1) / last**2).mean())


@click.command()
@click.option("--images", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--detector", "name", type=click.Choice(["rfb512", "ssd512"]), default="rfb512")
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="[default: random]")
@click.option("--most", type=int, default=100, show_default=True, help="Images.")
@click.option("--rounds", type=int, default=9, show_default=True)
@click.option("--turns", type=int, default=3, show_default=True, help="Of crop and network.")
@click.option("--threads", type=int, default=1, show_default=True)
@click.option(
    "--border", type=click.Choice(["zeros", "edge"]), default=EXACT.border, show_default=True
)
@click.option("-k", "k", type=float, default=0.15, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="crop.json", show_default=True)
def main(
    images: Path,
    name: str,
    weights: Path | None,
    most: int,
    rounds: int,
    turns: int,
    threads: int,
    border: Border,
    k: float,
    out: Path,
) -> None:
    """Time the forms of task-driven cropping and compare their regions: a table, and JSON."""
    torch.set_num_threads(threads)
    detector = ready(name, weights)
    pictures = read_images(images, most)
    base = TdcSettings(k=k, border=border)
    together = time_together(detector, pictures, base, dynamic_scale(pictures, detector), turns)
    for line in table(together):
        click.echo(line)
    times = time_forms(detector, pictures, base, rounds)
    exact = input_edges(TdcCropper(detector, base), pictures)
    last = detector.form.size / CELL_PX
    document = {
        "detector": name,
        "weights": "random after He" if weights is None else weights.name,
        "machine": f"{platform.machine()}, {threads} thread(s), torch {torch.__version__}, fp32",
        "images": len(pictures),
        "exact": asdict(base),
        "time": times,
        "together": together,
        "priors": time_priors(detector, times["seconds"]["forward"], rounds),
        "cells_from_exact": {
            form: compared(input_edges(TdcCropper(detector, settings), pictures), exact, last)
            for form, settings in fast_forms(base)
        },
    }
    write_json(out, document)


if __name__ == "__main__":
    main()
