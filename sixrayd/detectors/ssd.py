"""SSD: `ssd300` and `ssd512` as published, `ssd-lite0` and `ssd-small` for CPUs."""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sixrayd.detectors.detector import Detector, Sources, multibox_detector
from sixrayd.detectors.efficientnet import LITE_FORM, LiteSources
from sixrayd.detectors.narrow import SMALL_FORM, SMALL_PLAN, NarrowSources
from sixrayd.detectors.priors import PriorPlan, ssd_level
from sixrayd.detectors.vgg import reduced_vgg16, vgg_form

# Channels between and after the two convolutions of a deeper step, stride and padding of the
# second; its kernel is 3 but for the last step at 512.
_Step = tuple[int, int, int, int, int]
_STEPS_300: tuple[_Step, ...] = (
    (256, 512, 3, 2, 1),
    (128, 256, 3, 2, 1),
    (128, 256, 3, 1, 0),
    (128, 256, 3, 1, 0),
)
_STEPS_512: tuple[_Step, ...] = (
    (256, 512, 3, 2, 1),
    (128, 256, 3, 2, 1),
    (128, 256, 3, 2, 1),
    (128, 256, 3, 2, 1),
    (128, 256, 4, 1, 1),
)


class L2Norm(nn.Module):
    """Each cell's channels scaled to length one, then each channel by a learned factor.

    Source: SSD (Liu et al. 2016), Sec. 3.1, after ParseNet; 20 is the factor to start from.
    """

    def __init__(self, channels: int, scale: float = 20.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        # Whose gradient is finite where all channels are zero, unlike a square root's.
        return functional.normalize(x, dim=1, eps=1e-10) * self.weight[:, None, None]


class SsdSources(Sources):
    """conv4_3, conv7, and a map after each deeper step of two convolutions.

    Source: SSD (Liu et al. 2016), Sec. 3.1 and Fig. 2.
    """

    least_px = 257

    def __init__(self, steps: tuple[_Step, ...]) -> None:
        super().__init__()
        self.lower, self.upper = reduced_vgg16()
        self.first_source = len(self.lower)
        self.first = L2Norm(512)
        self.channels = (512, 1024, *(step[1] for step in steps))
        self.deeper = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, between, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(between, after, kernel, stride, padding),
                nn.ReLU(inplace=True),
            )
            for before, (between, after, kernel, stride, padding) in zip(
                self.channels[1:-1], steps, strict=True
            )
        )

    @property
    def chain(self) -> list[nn.Module]:
        """Reduced VGG-16."""
        return [*self.lower, *self.upper]

    def onward(self, x: Tensor) -> list[Tensor]:
        """conv4_3's map (B, 512, H / 8, W / 8) → the source maps, finest first."""
        # VGG's pooling comes first, so no ReLU in place can touch what is normalised here.
        maps = [self.first(x), self.upper(x)]
        for step in self.deeper:
            maps.append(cast(Tensor, step(maps[-1])))
        return maps


def plan_300(ratios: tuple[tuple[float, ...], ...]) -> PriorPlan:
    """Priors of the published 300 models.

    Args:
        ratios: of each of the six source maps.
    """
    sizes = (30.0, 60.0, 111.0, 162.0, 213.0, 264.0, 315.0)
    strides = (8, 16, 32, 64, None, None)  # the last two are 100 and 300 at 300 pixels
    return PriorPlan(tuple(map(ssd_level, strides, sizes, sizes[1:], ratios)))


def plan_512(ratios: tuple[tuple[float, ...], ...]) -> PriorPlan:
    """Priors of the published 512 models.

    The last map's one cell is centred at 256 pixels. On larger inputs it has more cells, 256
    pixels apart, which the published stride of 512 would put outside the image.

    Args:
        ratios: of each of the seven source maps.
    """
    sizes = (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6)
    strides = (8, 16, 32, 64, 128, 256, 256)
    levels = list(map(ssd_level, strides, sizes, sizes[1:], ratios))
    levels[-1] = replace(levels[-1], middle=1.0)
    return PriorPlan(tuple(levels))


_FEW, _MANY = (2.0,), (2.0, 3.0)


def ssd300(classes: int) -> Detector:
    """SSD300 on reduced VGG-16; 8,732 priors."""
    plan = plan_300((_FEW, _MANY, _MANY, _MANY, _FEW, _FEW))
    return multibox_detector(SsdSources(_STEPS_300), plan, classes, vgg_form(300))


def ssd512(classes: int) -> Detector:
    """SSD512 on reduced VGG-16; 24,564 priors."""
    plan = plan_512((_FEW, _MANY, _MANY, _MANY, _MANY, _FEW, _FEW))
    return multibox_detector(SsdSources(_STEPS_512), plan, classes, vgg_form(512))


def ssd_small(classes: int) -> Detector:
    """SSD's plain heads on a narrow residual network, for CPUs, any input size."""
    return multibox_detector(NarrowSources(), SMALL_PLAN, classes, SMALL_FORM)


def ssd_lite0(classes: int) -> Detector:
    """SSD's plain heads on EfficientNet-Lite0, any input size."""
    return multibox_detector(LiteSources(), SMALL_PLAN, classes, LITE_FORM)
