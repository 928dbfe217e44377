"""The processes of one training: alone, or as many as `torchrun` starts."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import cast

import torch
from torch import distributed, nn

from sixrayd.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Team:
    """A place among processes that train one detector together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """Of each batch, the examples that this process learns from."""
        return slice(self.rank, None, self.size)

    def share(self, detector: nn.Module) -> nn.Module:
        """The network to train: its gradients are the mean over the team, and on GPUs its batch
        norms see the whole batch."""
        if self.size == 1:
            return detector
        on_gpu = next(detector.parameters()).is_cuda
        if on_gpu:
            convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
            detector = convert(detector)
        places = [torch.cuda.current_device()] if on_gpu else None
        shared = nn.parallel.DistributedDataParallel(detector, device_ids=places)
        return cast(nn.Module, shared)

    def apart(self, network: nn.Module) -> AbstractContextManager[None]:
        """Within, gradients stay with the process and add up, until they are shared later."""
        if isinstance(network, nn.parallel.DistributedDataParallel):
            return network.no_sync()
        return nullcontext()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()


ALONE = Team()


def is_silent() -> bool:
    """Whether another of the processes that `torchrun` started tells people what came out."""
    return os.environ.get("RANK", "0") != "0"


@contextmanager
def join(device: torch.device) -> Iterator[Team]:
    """Take the place that `torchrun` gives in the environment; alone without it.

    Raises:
        SettingsError: its processes met where whoever reaches the port runs code.
    """
    _refuse_open_meeting(os.environ.get("TORCHELASTIC_RUN_ID", ""))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def _refuse_open_meeting(run_id: str) -> None:
    """Refuse `torchrun` without a port, or `--standalone`: it unpickles, every few seconds, what
    lies at a port of every address that asks nobody. These alone call a run by a random UUID.
    """
    with suppress(ValueError):
        uuid.UUID(run_id)
        raise SettingsError(
            "torchrun without --master-port, or with --standalone: whoever reaches this machine "
            "by the network could run code as you; start it with --master-port 29500, where no "
            "other machine reaches that port"
        )
