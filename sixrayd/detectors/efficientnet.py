"""EfficientNet-Lite0's convolutions, and detectors on them for CPUs that start from ImageNet."""

from typing import Self, cast

from torch import Tensor, nn

from sixrayd.detectors.blocks import ConvNorm
from sixrayd.detectors.detector import InputForm, Sources

LITE_FORM = InputForm(384, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
# Widening of the first 1 × 1 convolution, kernel, stride, channels and blocks of each stage.
# The published network has one more, of 320 channels, whose map is no finer than the last here.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
)
_EPSILON = 1e-3  # of its batch norms
_STRIDE8, _STRIDE16 = 5, 11  # blocks before the maps at these strides end
_FIXED = 3  # blocks after the stem that keep ImageNet's weights: edges look alike everywhere


class _Conv(nn.Sequential):
    """Convolution, batch norm and, unless `relu` is off, ReLU up to 6."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        relu: bool = True,
    ) -> None:
        convolution = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        norm = nn.BatchNorm2d(channels_out, eps=_EPSILON, momentum=0.01)
        layers: list[nn.Module] = [convolution, norm]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if relu else []))


class InvertedResidual(nn.Module):
    """Widen, look at each channel alone, narrow; plus the input where shapes agree.

    Source: MobileNetV2 (Sandler et al. 2018), Sec. 3.3, as in EfficientNet-Lite: without squeeze
    and excitation, ReLU6 for swish.
    """

    def __init__(self, channels: int, widen: int, kernel: int, stride: int, after: int) -> None:
        super().__init__()
        wide = widen * channels
        self.expand: nn.Module = _Conv(channels, wide) if widen > 1 else nn.Identity()
        self.depthwise = _Conv(wide, wide, kernel, stride, groups=wide)
        self.project = _Conv(wide, after, relu=False)
        self.adds = stride == 1 and channels == after

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H / stride, W / stride), rounded up."""
        result = cast(Tensor, self.project(self.depthwise(self.expand(x))))
        return x + result if self.adds else result


class LiteSources(Sources):
    """Maps of 64, 96 and 128 channels at strides 8, 16 and 32 from EfficientNet-Lite0.

    Source: EfficientNet (Tan and Le 2019), Tab. 1, in its Lite form.
    """

    channels: tuple[int, ...] = (64, 96, 128)
    first_source = 1 + _STRIDE8

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, 32, 3, stride=2)
        self.trunk = nn.ModuleList()
        channels = 32
        for widen, kernel, stride, after, count in STAGES:
            for n in range(count):
                step = 1 if n else stride
                self.trunk.append(InvertedResidual(channels, widen, kernel, step, after))
                channels = after
        self.laterals = nn.ModuleList(
            ConvNorm(c, width)
            for c, width in zip((40, 112, 192), LiteSources.channels, strict=True)
        )
        self._keeps = False

    @property
    def chain(self) -> list[nn.Module]:
        """EfficientNet-Lite0's stem and blocks."""
        return [self.stem, *self.trunk]

    def onward(self, x: Tensor) -> list[Tensor]:
        """The map at stride 8 → maps of H / 8, H / 16 and H / 32 rows, rounded up."""
        maps = [x]
        for first, last in ((_STRIDE8, _STRIDE16), (_STRIDE16, len(self.trunk))):
            for block in self.trunk[first:last]:
                x = block(x)
            maps.append(x)
        return [cast(Tensor, lateral(m)) for lateral, m in zip(self.laterals, maps, strict=True)]

    def keep_pretrained(self) -> None:
        """Leave the stem, the first blocks and the trunk's statistics as they are.

        Fixed statistics with a learnt scale and shift cost a step less than ones that follow.
        """
        self._keeps = True
        for module in self.chain[: 1 + _FIXED]:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As any module's, but for the statistics that are kept."""
        super().train(mode)
        if self._keeps:
            for module in self.chain:
                module.eval()
        return self
