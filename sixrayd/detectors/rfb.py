"""RFB-Net: `rfb512` as published, and `rfb-small`, which learns on two CPU cores."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from sixrayd.detectors.blocks import ConvNorm, rfb, rfb_s
from sixrayd.detectors.coding import SSD_CODING
from sixrayd.detectors.detector import ConvHeads, Detector, InputForm, Sources
from sixrayd.detectors.priors import PriorPlan, ssd_level
from sixrayd.detectors.vgg import reduced_vgg16


class Rfb512Sources(Sources):
    """Seven source maps: conv4_3, conv7 and five more, from stride 8 to stride 512.

    Source: RFBNet (Liu et al. 2018), Sec. 3.3, the 512 model of the published code.
    """

    channels = (512, 1024, 512, 256, 256, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = reduced_vgg16()
        self.first_source = len(self.lower)
        self.first = rfb_s(512)
        self.deeper = nn.ModuleList(
            [
                rfb(1024, 1024, stride=1, dilation=2),
                rfb(1024, 512, stride=2, dilation=2),
                rfb(512, 256, stride=2, dilation=2),
                rfb(256, 256, stride=2, dilation=1),
                rfb(256, 256, stride=2, dilation=1),
                nn.Sequential(ConvNorm(256, 128), ConvNorm(128, 256, 4, padding=1)),
            ]
        )

    @property
    def chain(self) -> list[nn.Module]:
        """Reduced VGG-16."""
        return [*self.lower, *self.upper]

    def onward(self, x: Tensor) -> list[Tensor]:
        """conv4_3's map (B, 512, 64, 64) → maps of 64, 32, 16, 8, 4, 2 and 1 cells a side."""
        maps = [self.first(x)]
        x = self.upper(x)
        for block in self.deeper:
            x = block(x)
            maps.append(x)
        return maps


class RfbSmallSources(Sources):
    """Three source maps at strides 8, 16 and 32 from a narrow residual network.

    Coarser maps are added to finer ones before their block, since what must be found is small
    and is told from clutter by what surrounds it.
    """

    channels = (64, 96, 128)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 16, 3, stride=2), ConvNorm(16, 32, 3, stride=2), Residual(32)
        )
        self.stride8 = nn.Sequential(ConvNorm(32, 64, 3, stride=2), Residual(64), Residual(64))
        self.stride16 = nn.Sequential(ConvNorm(64, 96, 3, stride=2), Residual(96), Residual(96))
        self.stride32 = nn.Sequential(ConvNorm(96, 128, 3, stride=2), Residual(128))
        self.down = nn.ModuleList([ConvNorm(96, 64, relu=False), ConvNorm(128, 96, relu=False)])
        self.first_source = len(self.stem) + len(self.stride8)
        self.blocks = nn.ModuleList([rfb_s(64), rfb_s(96), rfb(128, 128, stride=1, dilation=1)])

    @property
    def chain(self) -> list[nn.Module]:
        """The residual network's modules."""
        return [*self.stem, *self.stride8, *self.stride16, *self.stride32]

    def onward(self, x: Tensor) -> list[Tensor]:
        """The map at stride 8 → maps of H / 8, H / 16 and H / 32 rows, rounded up."""
        fine = x
        middle = self.stride16(fine)
        coarse = self.stride32(middle)
        middle = middle + _enlarge(self.down[1](coarse), middle)
        fine = fine + _enlarge(self.down[0](middle), fine)
        maps = zip(self.blocks, (fine, middle, coarse), strict=True)
        return [cast(Tensor, block(m)) for block, m in maps]


class Residual(nn.Module):
    """Two 3 × 3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        return functional.relu(x + self.second(self.first(x)))


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")


# Sizes in pixels at 512, strides and ratios as in the published configuration.
_RFB512_LEVELS = tuple(
    ssd_level(stride, low, high, ratios)
    for stride, low, high, ratios in (
        (8, 35.84, 76.8, (2.0, 3.0)),
        (16, 76.8, 153.6, (2.0, 3.0)),
        (32, 153.6, 230.4, (2.0, 3.0)),
        (64, 230.4, 307.2, (2.0, 3.0)),
        (128, 307.2, 384.0, (2.0, 3.0)),
        (256, 384.0, 460.8, (2.0,)),
        (512, 460.8, 537.6, (2.0,)),
    )
)
_RFB_SMALL_LEVELS = (
    ssd_level(8, 20.0, 40.0, (2.0,)),
    ssd_level(16, 45.0, 90.0, (2.0,)),
    ssd_level(32, 100.0, 200.0, (2.0,)),
)


def rfb512(classes: int) -> Detector:
    """RFB-Net 512 on reduced VGG-16; 32,756 priors, 35.07 M parameters with five classes."""
    form = InputForm(512, (123.0, 117.0, 104.0), (1.0, 1.0, 1.0))
    return _detector(Rfb512Sources(), PriorPlan(_RFB512_LEVELS), classes, form)


def rfb_small(classes: int) -> Detector:
    """A narrow RFB-Net for CPUs, any input size."""
    form = InputForm(384, (215.0, 215.0, 215.0), (60.0, 60.0, 60.0))
    return _detector(RfbSmallSources(), PriorPlan(_RFB_SMALL_LEVELS), classes, form)


def _detector(sources: Sources, plan: PriorPlan, classes: int, form: InputForm) -> Detector:
    counts = tuple(level.count for level in plan.levels)
    heads = ConvHeads(sources.channels, counts, SSD_CODING.outputs(classes))
    return Detector(sources, heads, plan, form)
