"""What is measured: the parts, their limits, and how much each of them looks at."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is looked at.

    Args:
        detectors: the most wanted first; time that runs out takes the last.
        side: of the small detectors' input in pixels; None is their own.
        batch: images a step of mining.
        learner: detector of the training part, with its epochs and images a step (None: the
            recipe's).
        positives, scans: drawn images with boxes, and without.
        repeats: times that each scan without boxes is in the shards.
        shard: images a shard.
        decoded: images a thread that decoding is timed on.
        compared: images whose outputs are compared with the CPU's.
        rounds: of each timing.
    """

    detectors: tuple[str, ...]
    side: int | None
    batch: int
    learner: str
    learner_batch: int | None
    epochs: int
    positives: int
    scans: int
    repeats: int
    shard: int
    decoded: int
    compared: int
    rounds: int


FULL = Sizes(
    detectors=(
        *("rfb512", "rfb-small", "ssd512", "retinanet512", "rfb300", "ssd300"),
        *("ssd-small", "retinanet-small"),
    ),
    side=None,
    batch=64,
    learner="rfb512",
    learner_batch=None,
    epochs=6,
    positives=96,
    scans=128,
    repeats=32,
    shard=1024,
    decoded=256,
    compared=8,
    rounds=5,
)
TINY = Sizes(("rfb-small",), 128, 4, "rfb-small", 4, 2, 8, 6, 2, 6, 8, 2, 2)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the measurement, run in a process of its own.

    Args:
        function: "module:function", called with a `Measurement`.
        limit_s: after which its process is killed.
    """

    name: str
    function: str
    limit_s: float


# The most wanted first: where time runs out, it is the last that go without.
PARTS = (
    Part("machine", "benchmarks.gpu.networks:machine", 20),
    Part("matrices", "benchmarks.gpu.networks:matrices", 20),
    Part("outputs", "benchmarks.gpu.networks:outputs", 50),
    Part("training", "benchmarks.gpu.training:training", 60),
    Part("mining", "benchmarks.gpu.mining:mining", 120),
    Part("recorded", "benchmarks.gpu.networks:recorded", 90),
    Part("resume", "benchmarks.gpu.training:resume", 50),
    Part("torchrun", "benchmarks.gpu.training:torchrun", 25),
    Part("decoding", "benchmarks.gpu.mining:decoding", 20),
    Part("decoding on the GPU", "benchmarks.gpu.mining:decoding_on_gpu", 15),
)
ALL_S = 470.0  # in which everything ends, inputs included
# A CPU shares its cores with whatever else runs, and nobody waits for it by the minute.
PATIENCE = 4  # times these limits


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a run measures and what it keeps.

    Args:
        folder: of inputs and of what the parts leave.
        device: "cuda" or "cpu".
    """

    folder: Path
    device: str
    tiny: bool

    @property
    def sizes(self) -> Sizes:
        """How much is looked at."""
        return TINY if self.tiny else FULL

    @property
    def torch_device(self) -> "torch.device":
        """For torch, which who only runs parts need not load."""
        import torch

        return torch.device(self.device)
