"""Convolution with batch norm, and the two receptive field blocks of RFBNet."""

import torch
from torch import Tensor, nn

Pair = int | tuple[int, int]


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, unless `relu` is off, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: Pair = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: Pair | None = None,
        relu: bool = True,
    ) -> None:
        # By default a stride-1 convolution keeps height and width.
        size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        same = (dilation * (size[0] // 2), dilation * (size[1] // 2))
        convolution = nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride,
            same if padding is None else padding,
            dilation,
            bias=False,
        )
        layers: list[nn.Module] = [convolution, nn.BatchNorm2d(channels_out, momentum=0.01)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class ReceptiveFieldBlock(nn.Module):
    """Branches of growing kernel and dilation, joined by a 1 × 1 convolution, plus a shortcut.

    Source: RFBNet (Liu et al. 2018), Sec. 3.2 and Fig. 4.
    """

    def __init__(
        self, branches: list[nn.Module], joined: int, channels: tuple[int, int], stride: int = 1
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = ConvNorm(joined, channels[1], relu=False)
        self.shortcut = ConvNorm(*channels, stride=stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H / stride, W / stride)."""
        joined = self.join(torch.cat([branch(x) for branch in self.branches], dim=1))
        return torch.relu(joined + self.shortcut(x))


def rfb(channels_in: int, channels_out: int, *, stride: int, dilation: int) -> ReceptiveFieldBlock:
    """The block of the deeper source maps; three branches.

    Args:
        dilation: of the first branch's last convolution (1 or 2 as published).
    """
    c = channels_in // 8
    d = dilation
    branches: list[nn.Module] = [
        nn.Sequential(
            ConvNorm(channels_in, 2 * c, stride=stride),
            ConvNorm(2 * c, 2 * c, 3, dilation=d, relu=False),
        ),
        nn.Sequential(
            ConvNorm(channels_in, c),
            ConvNorm(c, 2 * c, 3, stride=stride),
            ConvNorm(2 * c, 2 * c, 3, dilation=d + 1, relu=False),
        ),
        nn.Sequential(
            ConvNorm(channels_in, c),
            ConvNorm(c, c // 2 * 3, 3),
            ConvNorm(c // 2 * 3, 2 * c, 3, stride=stride),
            ConvNorm(2 * c, 2 * c, 3, dilation=2 * d + 1, relu=False),
        ),
    ]
    return ReceptiveFieldBlock(branches, 6 * c, (channels_in, channels_out), stride)


def rfb_s(channels: int) -> ReceptiveFieldBlock:
    """The block of the first source map, for small objects; four branches, asymmetric kernels."""
    c = channels // 4
    branches: list[nn.Module] = [
        nn.Sequential(ConvNorm(channels, c), ConvNorm(c, c, 3, relu=False)),
        nn.Sequential(
            ConvNorm(channels, c),
            ConvNorm(c, c, (3, 1)),
            ConvNorm(c, c, 3, dilation=3, relu=False),
        ),
        nn.Sequential(
            ConvNorm(channels, c),
            ConvNorm(c, c, (1, 3)),
            ConvNorm(c, c, 3, dilation=3, relu=False),
        ),
        nn.Sequential(
            ConvNorm(channels, c // 2),
            ConvNorm(c // 2, c // 4 * 3, (1, 3)),
            ConvNorm(c // 4 * 3, c, (3, 1)),
            ConvNorm(c, c, 3, dilation=5, relu=False),
        ),
    ]
    return ReceptiveFieldBlock(branches, 4 * c, (channels, channels))
