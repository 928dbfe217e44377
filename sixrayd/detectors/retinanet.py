"""RetinaNet: `retinanet512` as torchvision has it, `retinanet-lite0` and `-small` for CPUs."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sixrayd.detectors.coding import Coding
from sixrayd.detectors.detector import Detector, InputForm, Sources, rows
from sixrayd.detectors.efficientnet import LITE_FORM, LiteSources
from sixrayd.detectors.focal import focal_loss
from sixrayd.detectors.narrow import SMALL_FORM, SMALL_PLAN, NarrowSources, enlarge
from sixrayd.detectors.priors import PriorLevel, PriorPlan
from sixrayd.detectors.resnet import resnet50

RETINA_CODING = Coding(1.0, 1.0, "sigmoid", math.log(1000 / 16))
IMAGENET_FORM = InputForm(512, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_RATIOS = (0.5, 1.0, 2.0)  # height by width


class RetinaSources(Sources):
    """P3 to P7, 256 channels each, at strides 8 to 128, over ResNet-50.

    Source: RetinaNet (Lin et al. 2017), Sec. 4; P6 is made from P5, as in torchvision.
    """

    channels: tuple[int, ...] = (256,) * 5

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stages = resnet50()
        self.first_source = len(self.stem) + sum(len(self._stage(i)) for i in (0, 1))
        self.pyramid = Pyramid((512, 1024, 2048), 256)
        self.further = nn.ModuleList(nn.Conv2d(256, 256, 3, 2, 1) for _ in range(2))

    def _stage(self, index: int) -> nn.Sequential:
        return cast(nn.Sequential, self.stages[index])

    @property
    def chain(self) -> list[nn.Module]:
        """ResNet-50: the stem's layers, then each block."""
        return [*self.stem, *(block for i in range(4) for block in self._stage(i))]

    def onward(self, x: Tensor) -> list[Tensor]:
        """C3 (B, 512, H / 8, W / 8) → P3 to P7."""
        middle = self.stages[2](x)
        maps = self.pyramid([x, middle, self.stages[3](middle)])
        sixth = self.further[0](maps[-1])
        return [*maps, sixth, self.further[1](functional.relu(sixth))]


class RetinaSmallSources(NarrowSources):
    """A pyramid of 64 channels over the narrow residual network, at strides 8, 16 and 32."""

    channels = (64,) * 3

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid(NarrowSources.channels, 64)

    def onward(self, x: Tensor) -> list[Tensor]:
        """The map at stride 8 → maps of H / 8, H / 16 and H / 32 rows, rounded up."""
        return cast(list[Tensor], self.pyramid(super().onward(x)))


class RetinaLiteSources(LiteSources):
    """A pyramid of 64 channels over EfficientNet-Lite0, at strides 8, 16 and 32."""

    channels = (64,) * 3

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid(LiteSources.channels, 64)

    def onward(self, x: Tensor) -> list[Tensor]:
        """The map at stride 8 → maps of H / 8, H / 16 and H / 32 rows, rounded up."""
        return cast(list[Tensor], self.pyramid(super().onward(x)))


class Pyramid(nn.Module):
    """Maps brought to one width, each with the coarser ones added to it.

    Source: Feature Pyramid Networks (Lin et al. 2017), Sec. 3.
    """

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.smooths = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, C_i, H_i, W_i), finest first → (B, width, H_i, W_i)."""
        merged = [lateral(m) for lateral, m in zip(self.laterals, maps, strict=True)]
        for i in range(len(merged) - 2, -1, -1):
            merged[i] = merged[i] + enlarge(merged[i + 1], merged[i])
        return [smooth(m) for smooth, m in zip(self.smooths, merged, strict=True)]


class RetinaHeads(nn.Module):
    """Two towers of convolutions, the same for every source map.

    Args:
        channels: of every source map.
        count: priors a cell.
        outputs: logits a prior, one a class.
        depth: convolutions of a tower before its last.
        spread: standard deviation of a tower's weights at first; 0.01 as published keeps the
            signal with 256 channels, fewer need more.

    Source: RetinaNet (Lin et al. 2017), Sec. 4 and 4.1.
    """

    def __init__(
        self, channels: int, count: int, outputs: int, depth: int = 4, spread: float = 0.01
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.spread = spread
        self.class_tower, self.offset_tower = (_tower(channels, depth) for _ in range(2))
        self.classes = nn.Conv2d(channels, count * outputs, 3, padding=1)
        self.offsets = nn.Conv2d(channels, count * 4, 3, padding=1)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Source maps → offsets (B, P, 4) and logits (B, P, outputs)."""
        offsets = [rows(self.offsets(self.offset_tower(m)), 4) for m in maps]
        logits = [rows(self.classes(self.class_tower(m)), self.outputs) for m in maps]
        return torch.cat(offsets, 1), torch.cat(logits, 1)

    def initialise(self, background: float) -> None:
        """Random weights; the classes share what background leaves: 0.01 each, as published,
        where five classes leave it 0.95."""
        for tower in (self.class_tower, self.offset_tower):
            for i in range(0, len(tower), 2):
                nn.init.normal_(cast(nn.Conv2d, tower[i]).weight, std=self.spread)
        for head in (self.classes, self.offsets):
            nn.init.normal_(head.weight, std=0.01)
        prior = (1 - background) / self.outputs
        nn.init.constant_(cast(Tensor, self.classes.bias), math.log(prior / (1 - prior)))


def _tower(channels: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _level(stride: int) -> PriorLevel:
    # Torchvision's: whole scales, corners rounded to pixels, centred at the cell's corner. On
    # sides that are no multiples of 128 it also shrinks the strides; here they stay.
    base = 4 * stride
    scales = (base, int(base * 2 ** (1 / 3)), int(base * 2 ** (2 / 3)))
    shapes = [
        (2.0 * round(scale / math.sqrt(ratio) / 2), 2.0 * round(scale * math.sqrt(ratio) / 2))
        for ratio in _RATIOS
        for scale in scales
    ]
    return PriorLevel(stride, tuple(shapes), middle=0.0)


def retinanet512(classes: int) -> Detector:
    """RetinaNet on ResNet-50 with a feature pyramid; 49,104 priors, one sigmoid a class."""
    plan = PriorPlan(tuple(_level(stride) for stride in (8, 16, 32, 64, 128)), clipped=False)
    heads = RetinaHeads(256, plan.levels[0].count, RETINA_CODING.outputs(classes))
    return Detector(RetinaSources(), heads, plan, IMAGENET_FORM, RETINA_CODING, focal_loss)


def retinanet_small(classes: int) -> Detector:
    """Shared heads on a narrow pyramid, for CPUs, any input size; priors as `rfb-small`'s."""
    return _on_narrow_pyramid(RetinaSmallSources(), classes, SMALL_FORM)


def retinanet_lite0(classes: int) -> Detector:
    """The same heads on a pyramid over EfficientNet-Lite0."""
    return _on_narrow_pyramid(RetinaLiteSources(), classes, LITE_FORM)


def _on_narrow_pyramid(sources: Sources, classes: int, form: InputForm) -> Detector:
    count = SMALL_PLAN.levels[0].count
    spread = math.sqrt(2 / (9 * 64))
    heads = RetinaHeads(64, count, RETINA_CODING.outputs(classes), depth=2, spread=spread)
    return Detector(sources, heads, SMALL_PLAN, form, RETINA_CODING, focal_loss)
