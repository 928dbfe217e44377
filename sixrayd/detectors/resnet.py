"""ResNet-50, the backbone of RetinaNet."""

import torch
from torch import Tensor, nn

from sixrayd.detectors.blocks import ConvNorm

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, first stride
WIDEN = 4


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions around a shortcut; the middle one has the stride.

    Source: ResNet (He et al. 2016), Fig. 5, with the stride where torchvision has it.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, width)
        self.second = ConvNorm(width, width, 3, stride=stride)
        self.third = ConvNorm(width, WIDEN * width, relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if channels != WIDEN * width:
            self.shortcut = ConvNorm(channels, WIDEN * width, stride=stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, 4 * width, H / stride, W / stride)."""
        return torch.relu(self.third(self.second(self.first(x))) + self.shortcut(x))


def resnet50() -> tuple[nn.Sequential, nn.ModuleList]:
    """The stem (64 channels, stride 4), and stages of 256, 512, 1,024 and 2,048 channels at
    strides 4, 8, 16 and 32.

    Its batch norm is the plain one. Torchvision freezes the statistics that it loads; here they
    go on adapting in training, since X-ray images have others than photographs. In evaluation
    both compute the same.
    """
    stem = nn.Sequential(*ConvNorm(3, 64, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1))
    channels = 64
    stages = nn.ModuleList()
    for width, blocks, stride in STAGES:
        layers: list[nn.Module] = [Bottleneck(channels, width, stride)]
        channels = WIDEN * width
        layers += [Bottleneck(channels, width, 1) for _ in range(blocks - 1)]
        stages.append(nn.Sequential(*layers))
    return stem, stages
