"""RFB-Net: `rfb300` and `rfb512` as published, `rfb-lite0` and `rfb-small` for CPUs."""

from typing import cast

from torch import Tensor, nn

from sixrayd.detectors.blocks import ConvNorm, rfb, rfb_s
from sixrayd.detectors.detector import Detector, Sources, multibox_detector
from sixrayd.detectors.efficientnet import LITE_FORM, LiteSources
from sixrayd.detectors.narrow import SMALL_FORM, SMALL_PLAN, NarrowSources, enlarge
from sixrayd.detectors.ssd import plan_300, plan_512
from sixrayd.detectors.vgg import reduced_vgg16, vgg_form


class RfbSources(Sources):
    """conv4_3, conv7, and a map after each deeper block.

    Source: RFBNet (Liu et al. 2018), Sec. 3.3 and Fig. 5, as in the published code.
    """

    least_px = 257

    def __init__(self, channels: tuple[int, ...], deeper: list[nn.Module]) -> None:
        super().__init__()
        self.channels = channels
        self.lower, self.upper = reduced_vgg16()
        self.first_source = len(self.lower)
        self.first = rfb_s(512)
        self.deeper = nn.ModuleList(deeper)

    @property
    def chain(self) -> list[nn.Module]:
        """Reduced VGG-16."""
        return [*self.lower, *self.upper]

    def onward(self, x: Tensor) -> list[Tensor]:
        """conv4_3's map (B, 512, H / 8, W / 8) → the source maps, finest first."""
        maps = [self.first(x)]
        x = self.upper(x)
        for block in self.deeper:
            x = block(x)
            maps.append(x)
        return maps


class RfbSmallSources(NarrowSources):
    """Three source maps from a narrow residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.blocks = _descent()

    def onward(self, x: Tensor) -> list[Tensor]:
        """The map at stride 8 → maps of H / 8, H / 16 and H / 32 rows, rounded up."""
        return _descend(super().onward(x), self.down, self.blocks)


class RfbLiteSources(LiteSources):
    """Three source maps from EfficientNet-Lite0."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.blocks = _descent()

    def onward(self, x: Tensor) -> list[Tensor]:
        """The map at stride 8 → maps of H / 8, H / 16 and H / 32 rows, rounded up."""
        return _descend(super().onward(x), self.down, self.blocks)


def _descent() -> tuple[nn.ModuleList, nn.ModuleList]:
    down = nn.ModuleList([ConvNorm(96, 64, relu=False), ConvNorm(128, 96, relu=False)])
    return down, nn.ModuleList([rfb_s(64), rfb_s(96), rfb(128, 128, stride=1, dilation=1)])


def _descend(maps: list[Tensor], down: nn.ModuleList, blocks: nn.ModuleList) -> list[Tensor]:
    """Coarser maps are added to finer ones before their block, since what must be found is small
    and is told from clutter by what surrounds it."""
    fine, middle, coarse = maps
    middle = middle + enlarge(down[1](coarse), middle)
    fine = fine + enlarge(down[0](middle), fine)
    return [cast(Tensor, block(m)) for block, m in zip(blocks, (fine, middle, coarse), strict=True)]


def _narrowing(kernel: int, padding: int) -> nn.Module:
    return nn.Sequential(ConvNorm(256, 128), ConvNorm(128, 256, kernel, padding=padding))


_FEW, _MANY = (2.0,), (2.0, 3.0)


def rfb300(classes: int) -> Detector:
    """RFB-Net 300 on reduced VGG-16; 11,620 priors."""
    deeper: list[nn.Module] = [
        rfb(1024, 1024, stride=1, dilation=2),
        rfb(1024, 512, stride=2, dilation=2),
        rfb(512, 256, stride=2, dilation=2),
        _narrowing(3, 0),
        _narrowing(3, 0),
    ]
    sources = RfbSources((512, 1024, 512, 256, 256, 256), deeper)
    plan = plan_300((_MANY, _MANY, _MANY, _MANY, _FEW, _FEW))
    return multibox_detector(sources, plan, classes, vgg_form(300))


def rfb512(classes: int) -> Detector:
    """RFB-Net 512 on reduced VGG-16; 32,756 priors, 35.07 M parameters with five classes."""
    deeper: list[nn.Module] = [
        rfb(1024, 1024, stride=1, dilation=2),
        rfb(1024, 512, stride=2, dilation=2),
        rfb(512, 256, stride=2, dilation=2),
        rfb(256, 256, stride=2, dilation=1),
        rfb(256, 256, stride=2, dilation=1),
        _narrowing(4, 1),
    ]
    sources = RfbSources((512, 1024, 512, 256, 256, 256, 256), deeper)
    plan = plan_512((_MANY, _MANY, _MANY, _MANY, _MANY, _FEW, _FEW))
    return multibox_detector(sources, plan, classes, vgg_form(512))


def rfb_small(classes: int) -> Detector:
    """A narrow RFB-Net for CPUs, any input size."""
    return multibox_detector(RfbSmallSources(), SMALL_PLAN, classes, SMALL_FORM)


def rfb_lite0(classes: int) -> Detector:
    """RFB-Net on EfficientNet-Lite0, any input size."""
    return multibox_detector(RfbLiteSources(), SMALL_PLAN, classes, LITE_FORM)
