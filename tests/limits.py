"""A disk that is full, memory that is short, and time that runs out, without any of them."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def largest_file(most_bytes: int) -> Iterator[None]:
    """Writes beyond a size fail within the block, as they do where no room is left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def no_more_files() -> Iterator[None]:
    """No file can be opened within the block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def address_space(more_bytes: int) -> Iterator[None]:
    """Memory beyond what is in use, and so many bytes more, cannot be had within the block."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


_LITTLE = """
{before}
said = "nothing"
try:
    with address_space({more_mib} << 20):
        {call}
except BaseException as error:
    said = "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
print(said)
"""


def raised_in_little_memory(before: str, call: str, more_mib: int = 32) -> str:
    """What an expression raises, by name, "MemoryError" of any such; in a process of its own, since
    in one that has done much else memory that was freed and kept may do for it.

    Args:
        before: statements that run before memory is short.
        more_mib: what may be had then.
    """
    before = f"from tests.limits import address_space\n{before}"
    code = _LITTLE.format(before=before, call=call, more_mib=more_mib)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class TooLate(BaseException):
    """Nobody who handles errors of files, or any, takes it for one of theirs."""


@contextmanager
def within(seconds: int, case: str) -> Iterator[None]:
    """End what takes longer, with an error."""

    def late(*_: object) -> None:
        raise TooLate(f"{case}: more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# What is said where a file would be larger than `ulimit -f` allows.
TOO_LARGE = (
    "cannot be written (File too large); raise `ulimit -f`, or name a place for larger files, then "
    "run the same command again; what is finished is kept"
)
