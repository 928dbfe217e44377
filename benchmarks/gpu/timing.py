"""Timing work that a GPU does by itself while the host goes on."""

import time
from collections.abc import Callable

import torch


def finish(device: torch.device) -> None:
    """Wait until all that was begun there is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(do: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    """Of each round, after one that warms up."""
    do()
    times = []
    for _ in range(rounds):
        finish(device)
        start = time.perf_counter()
        do()
        finish(device)
        times.append(time.perf_counter() - start)
    return times


def forget_peak(device: torch.device) -> None:
    """From now on `peak_gib` counts anew."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call] # before which there is nothing to reset
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float | None:
    """The most that torch's tensors took of a GPU's memory."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
