"""The narrow residual network of the small detectors, which learn on two CPU cores."""

from torch import Tensor, nn
from torch.nn import functional

from sixrayd.detectors.blocks import ConvNorm
from sixrayd.detectors.detector import InputForm, Sources
from sixrayd.detectors.priors import PriorPlan, ssd_level

SMALL_FORM = InputForm(384, (215.0, 215.0, 215.0), (60.0, 60.0, 60.0))
SMALL_PLAN = PriorPlan(
    (
        ssd_level(8, 20.0, 40.0, (2.0,)),
        ssd_level(16, 45.0, 90.0, (2.0,)),
        ssd_level(32, 100.0, 200.0, (2.0,)),
    )
)


class Residual(nn.Module):
    """Two 3 × 3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        return functional.relu(x + self.second(self.first(x)))


class NarrowSources(Sources):
    """Maps of 64, 96 and 128 channels at strides 8, 16 and 32, for a detector to go on from."""

    channels: tuple[int, ...] = (64, 96, 128)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 16, 3, stride=2), ConvNorm(16, 32, 3, stride=2), Residual(32)
        )
        self.stride8 = nn.Sequential(ConvNorm(32, 64, 3, stride=2), Residual(64), Residual(64))
        self.stride16 = nn.Sequential(ConvNorm(64, 96, 3, stride=2), Residual(96), Residual(96))
        self.stride32 = nn.Sequential(ConvNorm(96, 128, 3, stride=2), Residual(128))
        self.first_source = len(self.stem) + len(self.stride8)

    @property
    def chain(self) -> list[nn.Module]:
        """The residual network's modules."""
        return [*self.stem, *self.stride8, *self.stride16, *self.stride32]

    def onward(self, x: Tensor) -> list[Tensor]:
        """The map at stride 8 → maps of H / 8, H / 16 and H / 32 rows, rounded up."""
        middle = self.stride16(x)
        return [x, middle, self.stride32(middle)]


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, H, W) → as many rows and columns as `like` has, each cell repeated."""
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")
