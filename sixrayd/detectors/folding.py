"""A detector made ready to be run fast: its own copy, batch norms folded into convolutions."""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from sixrayd.detectors.detector import Detector, map_shapes

Shapes = tuple[tuple[int, int], ...]
_LAST = ("classes", "offsets")  # parts of a detector's heads whose results nothing else reads


class Network(nn.Module):
    """What of a detector a backend runs: images → offsets and logits; priors need no network.

    The weights are a copy, so the detector may be trained on without changing this.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.sources = copy.deepcopy(detector.sources)
        self.heads = copy.deepcopy(detector.heads)
        self.eval().requires_grad_(False)
        fold_norms(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) normalised → offsets (B, P, 4), logits (B, P, outputs)."""
        return self.look(images)[:2]

    def look(self, images: Tensor) -> tuple[Tensor, Tensor, Shapes]:
        """What `forward` gives, and height and width of each source map."""
        maps = self.sources(images)
        offsets, logits = self.heads(maps)
        return offsets, logits, map_shapes(maps)


class _FullPrecision(nn.Module):
    """A convolution in float32 whatever surrounds it."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H', W') float32."""
        with torch.autocast(x.device.type, enabled=False):
            result: Tensor = self.convolution(x.float())
        return result


def fold_norms(network: nn.Module) -> None:
    """Fold each batch norm that follows a convolution into it, in place.

    An identity takes its place, so that a chain keeps its length.
    """
    for block in [m for m in network.modules() if isinstance(m, nn.Sequential)]:
        for place, (first, second) in enumerate(pairwise(list(block))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                block[place] = fuse_conv_bn_eval(first, second)
                block[place + 1] = nn.Identity()


def to_bfloat16(network: Network) -> None:
    """Weights of convolutions in bfloat16, in place, to be run within autocast.

    The last convolutions stay in float32: a logit of 4 in bfloat16 comes in steps of 1/64, so
    that the scores of rivals tie and suppression keeps another box.
    """
    for name, module in list(network.heads.named_modules()):
        if name.split(".")[0] in _LAST and isinstance(module, nn.Conv2d):
            network.heads.set_submodule(name, _FullPrecision(module))
    kept = {m.convolution for m in network.modules() if isinstance(m, _FullPrecision)}
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module not in kept:
            module.to(torch.bfloat16)
