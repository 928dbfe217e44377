"""What all detectors have in common: source maps, heads, priors."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from sixrayd.detectors.coding import SSD_CODING, Coding
from sixrayd.detectors.losses import Loss, multibox_loss
from sixrayd.detectors.priors import PriorPlan, make_priors


@dataclass(frozen=True, slots=True)
class InputForm:
    """How an image becomes the network's input: (pixel - mean) / scale, channel by channel."""

    size: int  # pixels, square
    mean: tuple[float, float, float]  # RGB, 0..255
    scale: tuple[float, float, float]


class Sources(nn.Module, ABC):
    """A backbone and what follows it, giving the maps that a detector's heads look at.

    The backbone is a chain of modules, one after another, so that it can be left and entered
    between any two of them: task-driven cropping looks at a map half-way and goes on from it.
    """

    channels: tuple[int, ...]  # of each source map
    first_source: int  # modules of the chain before the first source map
    least_px: int = 1  # a smaller input, in either direction, leaves no cell on the last map

    @property
    @abstractmethod
    def chain(self) -> list[nn.Module]:
        """The backbone's modules from the image to its last map."""

    @abstractmethod
    def onward(self, x: Tensor) -> list[Tensor]:
        """Source maps from what the first `first_source` modules of the chain give."""

    def keep_pretrained(self) -> None:
        """Hold what the backbone need not learn again once it starts from weights: nothing."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → source maps (B, C_i, H_i, W_i)."""
        for module in self.chain[: self.first_source]:
            x = module(x)
        return self.onward(x)


class ConvHeads(nn.Module):
    """A pair of 3 × 3 convolutions on each source map.

    Args:
        channels: of each source map.
        counts: priors a cell of each source map.
        outputs: logits a prior.
    """

    def __init__(self, channels: tuple[int, ...], counts: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        pairs = list(zip(channels, counts, strict=True))
        self.offsets = nn.ModuleList(nn.Conv2d(c, k * 4, 3, padding=1) for c, k in pairs)
        self.classes = nn.ModuleList(nn.Conv2d(c, k * outputs, 3, padding=1) for c, k in pairs)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Source maps → offsets (B, P, 4) and logits (B, P, outputs)."""
        offsets = [rows(head(m), 4) for head, m in zip(self.offsets, maps, strict=True)]
        logits = [rows(head(m), self.outputs) for head, m in zip(self.classes, maps, strict=True)]
        return torch.cat(offsets, 1), torch.cat(logits, 1)

    def initialise(self, background: float) -> None:
        """Random weights that say background with this probability, whatever they look at."""
        for head in [*self.classes, *self.offsets]:
            nn.init.normal_(cast(nn.Conv2d, head).weight, std=0.01)
        for head in self.classes:
            bias = cast(Tensor, head.bias).data.view(-1, self.outputs)
            bias[:, 0] = math.log(background / (1 - background) * (self.outputs - 1))


class Detector(nn.Module):
    """Source maps, heads on them, and priors.

    Args:
        heads: source maps → offsets (B, P, 4) and logits (B, P, outputs); has `initialise`.
        form: the input it was made for.
        loss: of its predictions against targets.
    """

    def __init__(
        self,
        sources: Sources,
        heads: nn.Module,
        plan: PriorPlan,
        form: InputForm,
        coding: Coding = SSD_CODING,
        loss: Loss = multibox_loss,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.heads = heads
        self.plan = plan
        self.form = form
        self.coding = coding
        self.loss = loss
        # What priors keep on another input than `form.size` square: their pixels, or their
        # fractions of its width and height. The paper does not say which.
        self.reading: Literal["pixels", "fractions"] = "pixels"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict for every prior.

        Args:
            images: (B, 3, H, W) normalised.

        Returns:
            offsets (B, P, 4), logits (B, P, outputs), for softmax with background first, and the
            priors (P, 4) as centre x, centre y, width, height in pixels of the input.
        """
        return self.predict(self.sources(images), (images.shape[2], images.shape[3]))

    def predict(
        self, maps: list[Tensor], input_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` gives, from source maps of an input of this size in pixels."""
        offsets, logits = self.heads(maps)
        return offsets, logits, self.priors(map_shapes(maps), input_hw, maps[0].device)

    def priors(
        self, shapes: tuple[tuple[int, int], ...], input_hw: tuple[int, int], device: torch.device
    ) -> Tensor:
        """(P, 4) priors of source maps of these heights and widths, as `forward` gives them."""
        height, width = input_hw
        scale_wh = (1.0, 1.0)
        if self.reading == "fractions":
            scale_wh = (width / self.form.size, height / self.form.size)
        return make_priors(self.plan, shapes, input_hw, scale_wh, device)

    def initialise(self, background: float = 0.95) -> None:
        """Random weights, and class heads that start out saying background.

        Args:
            background: probability of background before any training, so that the first steps
                do not drown in the loss of tens of thousands of empty priors.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                module.weight.data *= math.sqrt(module.groups)  # a group's outputs are its fan
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        cast(ConvHeads, self.heads).initialise(background)


def map_shapes(maps: list[Tensor]) -> tuple[tuple[int, int], ...]:
    """Height and width of each map."""
    return tuple((m.shape[2], m.shape[3]) for m in maps)


def multibox_detector(sources: Sources, plan: PriorPlan, classes: int, form: InputForm) -> Detector:
    """SSD's way to look at source maps: a pair of convolutions on each, softmax scores."""
    counts = tuple(level.count for level in plan.levels)
    return Detector(
        sources, ConvHeads(sources.channels, counts, SSD_CODING.outputs(classes)), plan, form
    )


def rows(head_map: Tensor, width: int) -> Tensor:
    """(B, K * width, H, W) → (B, H * W * K, width)."""
    batch = head_map.shape[0]
    return head_map.permute(0, 2, 3, 1).reshape(batch, -1, width)
