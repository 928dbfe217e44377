"""Running task-driven cropping: apart from the detector (exact, fast), or within it (shared)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional

from sixrayd.core.arrays import FloatArray, RGBImage
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.crop.region import Region, bounded, size_wh
from sixrayd.crop.settings import TdcSettings
from sixrayd.crop.tdc import (
    Profile,
    average_map,
    axis_profile,
    cell_px,
    cell_regions,
    kernel_cells,
    regions,
    to_pixels,
)
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.predictor import DynamicInput, Precision, autocast, input_wh, normalise

Outputs = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class AxisFigure:
    """One axis of one image's profile; n cells.

    Args:
        difference, filtered, normalised: (n - 1,) Eq. (3), (4) and (5).
        kept: first cell and the one after the last.
    """

    difference: FloatArray
    filtered: FloatArray
    normalised: FloatArray
    kept: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TdcProfile:
    """What a figure of one image needs; the paper's figures 6 and 7.

    Args:
        average: (h, w) Eq. (1).
        columns, rows: along x and along y.
        kernel: in cells of the map.
        k: the threshold.
        region: in pixels of the image.
    """

    average: FloatArray
    columns: AxisFigure
    rows: AxisFigure
    kernel: int
    k: float
    region: Region


def locate(detector: Detector, settings: TdcSettings) -> tuple[int, nn.Module]:
    """The layer, and the position in the backbone's chain of the module that contains it.

    Raises:
        SettingsError: the backbone has no such layer.
    """
    chain = detector.sources.chain
    if settings.numbering == "module":
        if settings.layer >= len(chain):
            raise SettingsError(
                f"tdc: layer: no module {settings.layer}, the backbone's are 0 to {len(chain) - 1}"
            )
        return settings.layer, chain[settings.layer]
    met = 0
    for position, element in enumerate(chain):
        for module in element.modules():
            met += isinstance(module, nn.Conv2d)
            if met == settings.layer:
                return position, module
    raise SettingsError(f"tdc: layer: no convolution {settings.layer}, the backbone has {met}")


def shared_position(detector: Detector, settings: TdcSettings) -> int:
    """Position of the module whose output the shared form crops.

    Raises:
        SettingsError: the backbone has no such layer, or it lies after the first source map.
    """
    position, _ = locate(detector, settings)
    first = detector.sources.first_source
    if position >= first:
        raise SettingsError(
            f"tdc: layer: {settings.layer} lies in module {position} of the backbone, but "
            f"the shared form can only crop before its first source map, module {first}; "
            "choose an earlier layer or another form"
        )
    return position


def check_layer(build: Callable[[int], Detector], settings: TdcSettings) -> None:
    """Before anything is begun: a detector has the layer that is asked for.

    Args:
        build: makes the detector for a number of classes.

    Raises:
        SettingsError: it has not, or the shared form cannot crop there.
    """
    with torch.device("meta"):  # the layers without their weights
        detector = build(1)
    (shared_position if settings.form == "shared" else locate)(detector, settings)


def feature_map(detector: Detector, images: Tensor, settings: TdcSettings) -> Tensor:
    """The layer's map, (B, C, h, w); nothing after the layer's module of the chain is run.

    Args:
        images: (B, 3, H, W) normalised; already reduced where the form is fast.

    Raises:
        SettingsError: the backbone has no such layer.
    """
    return _run_to(detector, images, settings)[0]


class TdcCropper:
    """Task-driven cropping with a detector's own backbone: (H, W, 3) uint8 RGB → region.

    The shared form's cropper finds the region that `SharedTdc` would, at the exact form's cost.

    Args:
        detector: its weights are used as they are; it is put on the device, in evaluation mode.
        dynamic: what input an image becomes; the detector's square where left out.
        precision: of the backbone, so that it can be timed beside a `Predictor` of the same.

    Raises:
        SettingsError: the backbone has no such layer.
    """

    def __init__(
        self,
        detector: Detector,
        settings: TdcSettings = TdcSettings(),
        device: torch.device | None = None,
        *,
        dynamic: DynamicInput | None = None,
        precision: Precision = "fp32",
    ) -> None:
        locate(detector, settings)
        self.device = device or torch.device("cpu")
        self.detector = detector.eval().to(self.device)
        self.settings = settings
        self.dynamic = dynamic
        self.precision = precision

    def __call__(self, image: RGBImage) -> Region:
        """The region in the image's pixels."""
        return self.regions([image])[0]

    def regions(self, images: list[RGBImage]) -> list[Region]:
        """Of several images; those whose inputs have one shape are run together.

        Raises:
            ShapeError: an image is not (H, W, 3), or is empty.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for place, image in enumerate(images):
            groups.setdefault(self._input_wh(image), []).append(place)
        found: dict[int, Region] = {}
        for (width, height), places in groups.items():
            features = self.features([images[place] for place in places])
            kept = regions(features, (height, width), self.settings)
            for place, region in zip(places, kept, strict=True):
                found[place] = scaled(region, (width, height), size_wh(images[place]))
        return [found[place] for place in range(len(images))]

    def features(self, images: list[RGBImage]) -> Tensor:
        """Maps (B, C, h, w) of images whose inputs have one shape.

        Raises:
            ShapeError: their inputs differ in shape.
        """
        shapes = {self._input_wh(image) for image in images}
        if len(shapes) != 1:
            raise ShapeError(f"tdc: need images with one input shape, got {sorted(shapes)}")
        wh = shapes.pop()
        # Where sides shrink to less than half, averaging keeps thin edges that sampling skips.
        resized = [
            cv2.resize(
                image,
                wh,
                interpolation=cv2.INTER_AREA
                if max(wh) < max(size_wh(image)) / 2
                else cv2.INTER_LINEAR,
            )
            for image in images
        ]
        batch = torch.stack([torch.from_numpy(image) for image in resized]).to(self.device)
        with torch.inference_mode(), autocast(self.device, self.precision):
            x = normalise(batch, self.detector.form)
            x = x.contiguous(memory_format=torch.channels_last)
            return feature_map(self.detector, x, self.settings)

    def profile(self, image: RGBImage) -> TdcProfile:
        """What a figure needs; both axes, whichever are cropped."""
        width, height = self._input_wh(image)
        features = self.features([image])
        average = average_map(features)  # (1, h, w)
        stride = cell_px((height, width), (average.shape[1], average.shape[2]))
        kernel = kernel_cells(self.settings, stride)
        cells = cell_regions(features, kernel, self.settings)[0]
        region = regions(features, (height, width), self.settings)[0]
        return TdcProfile(
            average=_array(average[0]),
            columns=_figure(axis_profile(average, "columns", kernel), (cells.x1, cells.x2)),
            rows=_figure(axis_profile(average, "rows", kernel), (cells.y1, cells.y2)),
            kernel=kernel,
            k=self.settings.k,
            region=scaled(region, (width, height), size_wh(image)),
        )

    def _input_wh(self, image: RGBImage) -> tuple[int, int]:
        full = input_wh(size_wh(image), self.detector.form, self.dynamic)
        reduction = self.settings.reduction
        return (max(1, round(full[0] / reduction)), max(1, round(full[1] / reduction)))


class SharedTdc:
    """A detector's forward pass that goes on from a cropped map.

    The backbone sees the full input up to the module that contains the layer; that module's
    output is cropped by whole cells, and the rest sees the crop alone. Near the crop's edges the
    rest sees its padding where the full map would have been.

    Args:
        detector: used as it is, in evaluation mode; any device.

    Raises:
        SettingsError: the form is not "shared", the backbone has no such layer, or it lies
            after the first source map.
    """

    def __init__(self, detector: Detector, settings: TdcSettings) -> None:
        if settings.form != "shared":
            raise SettingsError(f'tdc: form: {settings.form!r}, expected "shared"')
        self.position = shared_position(detector, settings)
        self.detector = detector.eval()
        self.settings = settings
        self._least_cells = 0

    def __call__(self, images: Tensor) -> list[tuple[Outputs, Region]]:
        """Per image the detector's outputs, and the region in pixels of the input.

        Args:
            images: (B, 3, H, W) normalised.

        Returns:
            Offsets (1, P, 4), logits (1, P, outputs), and priors (P, 4) moved to where the crop
            lies, so that boxes come out in pixels of the full input.
        """
        input_hw = (images.shape[2], images.shape[3])
        with torch.inference_mode():
            features, output = _run_to(self.detector, images, self.settings)
            kept = regions(features, input_hw, self.settings)
            stride = cell_px(input_hw, (output.shape[2], output.shape[3]))
            return [
                self._go_on(output[b : b + 1], region, stride, input_hw)
                for b, region in enumerate(kept)
            ]

    def _go_on(
        self, output: Tensor, region: Region, stride: int, input_hw: tuple[int, int]
    ) -> tuple[Outputs, Region]:
        height, width = output.shape[2:]
        least = self._least(output, stride)
        x1, y1, x2, y2 = (edge / stride for edge in region.xyxy)
        cells = bounded(x1, y1, x2, y2, (width, height), least_px=least)
        x = output[:, :, cells.y1 : cells.y2, cells.x1 : cells.x2]
        kept = to_pixels(cells, stride, input_hw)
        offsets, logits, priors = self._rest(x, (kept.y2 - kept.y1, kept.x2 - kept.x1))
        moved = torch.tensor([kept.x1, kept.y1, 0, 0], dtype=priors.dtype, device=priors.device)
        return (offsets, logits, priors + moved), kept

    def _rest(self, x: Tensor, input_hw: tuple[int, int]) -> Outputs:
        sources = self.detector.sources
        for module in sources.chain[self.position + 1 : sources.first_source]:
            x = module(x)
        return self.detector.predict(sources.onward(x), input_hw)

    def _least(self, output: Tensor, stride: int) -> int:
        """Cells a side that the rest needs at least; found once, by trying zeros."""
        low, high = 1, min(output.shape[2:])
        while not self._least_cells and low < high:
            middle = (low + high) // 2
            try:
                zeros = output.new_zeros(1, output.shape[1], middle, middle)
                self._rest(zeros, (middle * stride, middle * stride))
            except RuntimeError:
                low = middle + 1
            else:
                high = middle
        self._least_cells = self._least_cells or low
        return self._least_cells


def scaled(region: Region, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> Region:
    """A region of an image in another resolution; at least 32 pixels a side where there are."""
    x, y = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
    return bounded(region.x1 * x, region.y1 * y, region.x2 * x, region.y2 * y, to_wh)


def _run_to(detector: Detector, images: Tensor, settings: TdcSettings) -> tuple[Tensor, Tensor]:
    """The layer's map, and the output of the chain's module that contains the layer."""
    position, layer = locate(detector, settings)
    elements = detector.sources.chain[: position + 1]
    captured: list[Tensor] = []

    def capture(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        captured.append(output.clone())  # the ReLU that follows writes into it

    x = images
    with ExitStack() as hooks:
        if settings.border == "edge":
            hooks.enter_context(_edge_padding(elements))
        hooks.callback(layer.register_forward_hook(capture).remove)
        for element in elements:
            x = element(x)
    return captured[0], x


@contextmanager
def _edge_padding(elements: list[nn.Module]) -> Iterator[None]:
    """Within, convolutions see their input's edge repeated beyond it, instead of zeros."""

    def widen(conv: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        y, x = _reach(cast(nn.Conv2d, conv))
        return functional.pad(inputs[0], (x, x, y, y), mode="replicate")

    def narrow(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        conv = cast(nn.Conv2d, module)
        first, size = [], []
        for axis, reach in enumerate(_reach(conv)):
            stride, pad = conv.stride[axis], cast(tuple[int, ...], conv.padding)[axis]
            side = inputs[0].shape[2 + axis] - 2 * reach
            taps = conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1
            first.append(reach // stride)
            size.append((side + 2 * pad - taps) // stride + 1)
        rows, columns = (slice(f, f + s) for f, s in zip(first, size, strict=True))
        return output[:, :, rows, columns]

    with ExitStack() as hooks:
        for module in (m for element in elements for m in element.modules()):
            if isinstance(module, nn.Conv2d) and any(_reach(module)):
                hooks.callback(module.register_forward_pre_hook(widen).remove)
                hooks.callback(module.register_forward_hook(narrow).remove)
        yield


def _reach(conv: nn.Conv2d) -> tuple[int, int]:
    """Pixels to widen either side by: the padding, rounded up to whole steps of the stride."""
    padding = cast(tuple[int, ...], conv.padding)
    pads = [-(-p // s) * s for p, s in zip(padding, conv.stride, strict=True)]
    return (pads[0], pads[1])


def _figure(profile: Profile, kept: tuple[int, int]) -> AxisFigure:
    return AxisFigure(
        difference=_array(profile.difference[0]),
        filtered=_array(profile.filtered[0]),
        normalised=_array(profile.normalised[0]),
        kept=kept,
    )


def _array(values: Tensor) -> FloatArray:
    return cast(FloatArray, values.double().cpu().numpy())
