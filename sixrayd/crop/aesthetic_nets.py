"""The two networks of the aesthetic crop, their layers named as the authors' Keras code does."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

_DOWN = ("block1", "block2", "block3", "unet_block4", "unet_block5")
_UP = ("unet_block6", "unet_block7", "unet_block8", "unet_block9")
_VGG = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # channels in widths, convolutions of each block
_PYRAMID = (1, 2, 4)
DEEPEST_STRIDE = 16  # the saliency network takes sides that are multiples of this


class SaliencyNet(nn.ModuleDict):
    """A U-Net on VGG-like blocks: how much each pixel draws the eye.

    Four halvings by maximum pooling; doublings repeat each pixel, and a convolution follows
    before the map of the way down is put in front of it. A last 3 × 3 convolution with ReLU
    leaves two channels, of which a 1 × 1 convolution and a sigmoid make one.

    Args:
        width: channels of the first block; 64 as published.

    Source: Lu et al. 2019 (arXiv:1907.01432), as CVBase-Bupt/aesthetics-guided-crop has it.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = 3
        for level, name in enumerate(_DOWN):
            self[f"{name}_conv1"] = _conv(channels, width << level)
            channels = width << level
            self[f"{name}_conv2"] = _conv(channels, channels)
        for name in _UP:
            self[f"{name}_conv1"] = _conv(channels, channels // 2)
            self[f"{name}_conv2"] = _conv(channels, channels // 2)
            channels //= 2
            self[f"{name}_conv3"] = _conv(channels, channels)
        self["unet_block9_conv4"] = _conv(channels, 2)
        self["segmentation"] = nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1, sides multiples of 16 → (B, H, W) in 0..1."""
        ways: list[Tensor] = []
        for name in _DOWN:
            x = self._relu(f"{name}_conv1", max_pool2d(x, 2) if ways else x)
            x = self._relu(f"{name}_conv2", x)
            ways.append(x)
        ways.pop()
        for name in _UP:
            x = self._relu(f"{name}_conv1", interpolate(x, scale_factor=2, mode="nearest"))
            x = self._relu(f"{name}_conv2", torch.cat([ways.pop(), x], dim=1))
            x = self._relu(f"{name}_conv3", x)
        x = self._relu("unet_block9_conv4", x)  # (B, 2, H, W)
        saliency: Tensor = torch.sigmoid(self["segmentation"](x))[:, 0]  # (B, H, W)
        return saliency

    def _relu(self, layer: str, x: Tensor) -> Tensor:
        return torch.relu(self[layer](x))


class OffsetNet(nn.ModuleDict):
    """VGG-16, spatial pyramid pooling and two dense layers: how far to widen what it sees.

    Args:
        width: channels of the first block; 64 as published.
        dense: width of the dense layers; 4,096 as published.

    Source: Lu et al. 2019 (arXiv:1907.01432), as CVBase-Bupt/aesthetics-guided-crop has it.
    """

    def __init__(self, width: int = 64, dense: int = 4096) -> None:
        super().__init__()
        channels = 3
        for block, (widths, convolutions) in enumerate(_VGG, start=1):
            for k in range(1, convolutions + 1):
                self[f"block{block}_conv{k}"] = _conv(channels, width * widths)
                channels = width * widths
        cells = sum(side * side for side in _PYRAMID)
        self["fc1"] = nn.Linear(channels * cells, dense)
        self["fc2"] = nn.Linear(dense, dense)
        self["prediction"] = nn.Linear(dense, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H>=128, W>=128) RGB in 0..1 → (B, 4) offsets: top, bottom, left, right."""
        for block, (_, convolutions) in enumerate(_VGG, start=1):
            for k in range(1, convolutions + 1):
                x = torch.relu(self[f"block{block}_conv{k}"](x))
            x = max_pool2d(x, 2)
        pooled = pyramid_pool(x)  # (B, 21 C)
        hidden = torch.relu(self["fc2"](torch.relu(self["fc1"](pooled))))
        offsets: Tensor = self["prediction"](hidden)
        return offsets


def pyramid_pool(x: Tensor) -> Tensor:
    """The maximum of each channel in 1, 2 × 2 and 4 × 4 parts of a map.

    Parts end at the nearest cell, halves at the even one; a part's channels stay together, so
    dense weights need no reordering beyond their transposition.

    Args:
        x: (B, C, H>=4, W>=4).

    Returns:
        (B, 21 C): part by part, row by row within a level, its channels in order.
    """
    height, width = x.shape[2:]
    parts = []
    for side in _PYRAMID:
        rows = [round(height / side * k) for k in range(side + 1)]
        columns = [round(width / side * k) for k in range(side + 1)]
        parts += [
            x[:, :, rows[j] : rows[j + 1], columns[i] : columns[i + 1]].amax(dim=(2, 3))
            for j in range(side)
            for i in range(side)
        ]
    return torch.cat(parts, dim=1)


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)
