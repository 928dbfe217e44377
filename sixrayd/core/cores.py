"""Where a process computes: devices by name, and the cores that it may use and shares."""

import os
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]  # auto: the GPU where there is one


def available_cores() -> int:
    """Cores that the system lets this process run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def share_cores() -> None:
    """Have OpenMP's threads sleep soon where they wait for each other; call before torch is loaded.

    They spin for about a millisecond otherwise, which beside other work keeps those that they wait
    for from the cores: training takes ten times as long. Not to spin at all costs a tenth where
    the cores are free.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
