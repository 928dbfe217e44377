"""What memory a command may take: a bomb that no limit on files foresaw ends in one line there."""

import mmap
import os
import re
import resource
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

_USUAL = 4 << 30  # bytes; a command takes up to 2 for a release of a million images
_OTHER = {"export": 8 << 30}
_DETECTING = {"train", "mine", "benchmark", "demo"}
_GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # of NVIDIA, of Windows' Linux, of AMD
_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CORE = 32 << 20  # bytes that pools of threads map for each core
_LEAST = 256 << 20  # bytes; with fewer, libraries do not even load
_SIZE = re.compile(r"(\d{1,6})\s*([MGT])I?B?", re.IGNORECASE)
_SPARE = 16 << 20  # bytes; where fewer are left, nothing small can be had for sure either
_PEAK = re.compile(r"^VmPeak:\s*(\d+) kB", re.MULTILINE)
_OWN = re.compile(r"^VmData:\s*(\d+) kB", re.MULTILINE)  # which the limit counts
# As seen of torch and OpenVINO, of oneDNN within both, of OpenVINO and ONNX Runtime.
_NONE_LEFT = re.compile(
    "can't alloc|could not create a primitive(?! descriptor)|Failed to allocate"
)
_before: list[int] = []  # soft limit of this process, before one of ours
_UNITS = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class MemorySize(click.ParamType[int]):
    """Bytes written as `8GB`, of 1024 × 1024 × 1024 each; 0 for `none`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes of what was typed."""
        if isinstance(value, int):
            return value
        if value == "none":
            return 0
        found = _SIZE.fullmatch(value)
        size = int(found[1]) * _UNITS[found[2].upper()] if found else 0
        if size < _LEAST:
            expected = (
                "here or in SIXRAYD_MEMORY, expected a size such as 8GB, 256MB at least, or none"
            )
            self.fail(f"{value!r}: {expected}", param, ctx)
        return size


def usual_limit(command: str) -> int:
    """Bytes that a command may take; 0 where a driver maps what nobody can foretell.

    What a detector takes depends on its size, the images' and how many a step has: it gets all
    that the machine has, beyond which the system would end it, or another program, without a word.
    """
    most = _OTHER.get(command, _USUAL)
    if command in _DETECTING:
        if any(Path(gpu).exists() for gpu in _GPUS):
            return 0
        most = max(most, _of_machine())
    return most + (os.cpu_count() or 1) * _CORE


def _of_machine() -> int:
    """Bytes of memory of the machine, or of the container if it has fewer."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for place in _CONTAINERS:
        with suppress(OSError, ValueError):  # another kind of container, or none; no limit
            sizes.append(int(Path(place).read_text()))
    return min(sizes)


def keep_within(most_bytes: int) -> None:
    """Have mappings of this process's own beyond a limit fail; a lower one of the user's stays.

    Call before numpy is loaded: OpenBLAS maps 40 MB for each core and each library that brings it,
    and waits for ever where it gets none. No command computes much with it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    _before.append(soft)
    limits = (each for each in (soft, hard) if each != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (min([most_bytes, *limits]), hard))


def grow_by(most_bytes: int) -> None:
    """Have this process take so much more than it has already; a lower limit stays.

    Nothing where a system has no /proc, and no such limit either.
    """
    with suppress(OSError):
        if found := _OWN.search(Path("/proc/self/status").read_text()):
            keep_within((int(found[1]) << 10) + most_bytes)


def set_free(process_id: int = 0) -> None:
    """Take a command's own limit from a program that was just started, by default from this one
    itself; one that whoever calls us has set stays.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.prlimit(process_id, resource.RLIMIT_DATA, ((*_before, soft)[0], hard))


def check_free(size: int) -> None:
    """Before a failure is taken for a file's own: whether so many bytes are there to read it with.

    Raises:
        MemoryError: they are not, and the file may be sound.
    """
    try:
        mmap.mmap(-1, size + _SPARE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError(str(error)) from error


def is_near_limit() -> bool:
    """Whether a limit may have kept a thread's stack from being mapped: as large as this process
    was at most, which counts more than the limit does, with one stack more it is beyond it.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    peak, stack = 0, resource.getrlimit(resource.RLIMIT_STACK)[0]
    with suppress(OSError):  # a system without /proc
        found = _PEAK.search(Path("/proc/self/status").read_text())
        peak = int(found[1]) << 10 if found else 0
    stack = threading.stack_size() or max(stack, 0)
    return soft != resource.RLIM_INFINITY and peak + stack > soft


def is_of_memory(error: RuntimeError) -> bool:
    """Whether a library that computes got no memory: each says so in words of its own, or raises
    what does not say it, because of what does."""
    causes: list[BaseException] = [error]
    while (before := causes[-1].__cause__ or causes[-1].__context__) and before not in causes:
        causes.append(before)
    return any(isinstance(e, MemoryError) or _NONE_LEFT.search(str(e)) for e in causes)


def limit_reached() -> str:
    """What to tell people of a MemoryError."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY:
        return "the machine has no memory left; end what else runs there, or take a larger one"
    return (
        f"more is needed than the {soft >> 20:,} MB of memory that it may take; look at what it "
        "was given, or allow more before the command: SIXRAYD_MEMORY=16GB, or none"
    )
