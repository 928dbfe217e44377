"""Where a process computes: devices by name, and the cores that it may use and shares."""

import os
from typing import Literal, get_args

from sixrayd.core.errors import SettingsError

Device = Literal["auto", "cpu", "cuda"]  # auto: the GPU where there is one
Engine = Literal["local", "ray"]  # on this machine, or on a Ray cluster


def check_engine(engine: str, address: str) -> None:
    """Refuse settings that say nothing of where to work.

    Raises:
        SettingsError: there is no such engine, or an address without a cluster.
    """
    if engine not in get_args(Engine):
        raise SettingsError(f"engine {engine!r}: is none of {', '.join(get_args(Engine))}")
    if address and engine != "ray":
        raise SettingsError("address: only the ray engine joins a cluster; add --engine ray")


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
