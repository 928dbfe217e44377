"""Depthwise convolutions that learn fast on a CPU."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

_WIDTH = 5


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """What `conv2d` gives, padded by half the kernel.

    Where a kernel of five columns learns on a CPU in float32, its gradient comes from kernels of
    three: torch takes 15 ms for five columns there and 2 for three (672 channels of 16 × 16 in a
    batch of 8, one thread).

    Args:
        x: (B, C, H, W).
        weight: (C, 1, K, K), K odd.
        bias: (C,).
    """
    learns = torch.is_grad_enabled() and weight.requires_grad
    plain = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    if weight.shape[-1] == _WIDTH and learns and plain:
        return cast(Tensor, _FiveColumns.apply(x, weight, bias, stride))  # type: ignore[no-untyped-call]
    return functional.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, groups=len(weight))


class _FiveColumns(torch.autograd.Function):
    """The convolution, and a gradient of its weights from three looks three columns wide."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, bias, stride, _WIDTH // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        (after,) = gradients
        x, weight = ctx.saved_tensors
        shape = (*weight.shape[:3], 3)
        rows = weight.shape[2] // 2

        def three(x: Tensor) -> Any:
            return conv2d_weight(  # type: ignore[no-untyped-call]
                x, shape, after, ctx.stride, (rows, 1), groups=len(weight)
            )

        before = None
        if ctx.needs_input_grad[0]:
            before = conv2d_input(  # type: ignore[no-untyped-call]
                x.shape, weight, after, ctx.stride, rows, groups=len(weight)
            )
        first, last = functional.pad(x, (1, -1)), functional.pad(x, (-1, 1))
        columns = [three(first)[..., :1], three(x), three(last)[..., 2:]]
        return before, torch.cat(columns, -1), after.sum((0, 2, 3)), None
