"""How a step's gradient is computed: in which numbers, and of how many images at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sixrayd.core.errors import SettingsError
from sixrayd.detectors.devices import computes_bfloat16
from sixrayd.train.settings import Amp


@dataclass(frozen=True, slots=True)
class Computing:
    """What changes a gradient by rounding and by what batch norms see, and by nothing else.

    Args:
        micro_batch: images at once, of each process; None takes all of its part of the batch.
    """

    amp: Amp = "auto"
    micro_batch: int | None = None

    def half(self, device: torch.device) -> torch.dtype | None:
        """The short numbers that convolutions multiply there; None is float32."""
        if self.amp == "auto":
            return torch.bfloat16 if computes_bfloat16(device) else None
        return {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[self.amp]

    def parts(self, images: int) -> int:
        """Into how many parts of about one size so many images go."""
        return -(-images // (self.micro_batch or images))

    def check(self, device: torch.device) -> None:
        """Insist that the device does it.

        Raises:
            SettingsError: it does not.
        """
        if self.amp == "fp16" and device.type != "cuda":
            raise SettingsError(
                f"amp fp16: needs a GPU, and this training would run on {device.type}; pass "
                "--amp bf16 or --amp off"
            )


@contextmanager
def untracked(network: nn.Module) -> Iterator[None]:
    """Within, batch norms go by the batch as ever, and leave their running statistics alone."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
