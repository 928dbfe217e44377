"""Pickles of tensors: torch runs no code of theirs, but a few bytes may ask it for any memory and
any time. Each is therefore read first by a process that may take little of either.
"""

import faulthandler
import os
import pickle
import resource
import signal
import warnings
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch

from sixrayd.core.files import check_plain, open_plain
from sixrayd.core.memory import check_free, grow_by, is_of_memory

_SAVE = "save its state_dict alone, by torch.save"
_MORE_BYTES, _TIMES_ITS_SIZE = 512 << 20, 3  # that reading takes: the file, its parts, tensors
_MOST_S, _BYTES_A_SECOND = 10, 64 << 20  # of a core
_WAIT = 600  # s; a process that has another's locks may wait for ever
_LONGEST = 4_000  # signs of an error
# How reading ends in a process of its own, which says so in a word, and an error's own words after.
_READ, _MEMORY, _MORE_THAN_TENSORS, _BROKEN = "read", "memory", "more than tensors", "broken"


def read_tensors(path: Path) -> Any:
    """What `torch.load` gives of tensors alone, on the CPU.

    Raises:
        OSError: the file cannot be read.
        MemoryError: there is too little to look at it.
        pickle.UnpicklingError: it asks for more than tensors need.
        ValueError: it is broken, or takes more memory or time than its size explains.
    """
    with open_plain(path) as file:
        size = file.seek(0, os.SEEK_END)
    _try_apart(path, size)
    return _load(path)


def _load(path: Path) -> Any:
    check_plain(path)
    with warnings.catch_warnings(action="ignore"):  # torch asks to be told of strange protocols
        return torch.load(path, map_location="cpu", weights_only=True)


def _try_apart(path: Path, size: int) -> None:
    """Have a process of its own read a file; for errors see `read_tensors`."""
    seconds, most = _MOST_S + size // _BYTES_A_SECOND, _MORE_BYTES + _TIMES_ITS_SIZE * size
    reading, writing = os.pipe()
    with warnings.catch_warnings(action="ignore"):  # of threads, whose locks `_load` does not take
        child = os.fork()
    if not child:
        _read_within(path, most, seconds, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as answers:
            done = wait([answers.fileno()], _WAIT + seconds)
            said = answers.read() if done else ""
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    how, _, text = said.partition("\n")
    if how == _READ:
        return
    if how == _MEMORY:
        check_free(most)
        raise ValueError(f"it takes more than {most >> 20:,} MB of memory to read; {_SAVE}")
    if how == _MORE_THAN_TENSORS:
        raise pickle.UnpicklingError(text)
    if how == _BROKEN:
        raise ValueError(text)
    if os.waitstatus_to_exitcode(status) == -signal.SIGXCPU:
        raise ValueError(f"it takes more than {seconds} s to read; {_SAVE}")
    raise ValueError(f"torch ends, or waits for ever, as it reads it; {_SAVE}")


def _read_within(path: Path, most_bytes: int, seconds: int, answer: int) -> None:
    """Read a file within limits, say how that ended, and end this process."""
    said = _MEMORY
    with suppress(BaseException):
        for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds)):
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(
                kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
            )
        grow_by(most_bytes)
        faulthandler.disable()
        torch.set_num_threads(1)  # the pool's threads are the parent's
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        try:
            _load(path)
            said = _READ
        except MemoryError:
            pass
        except pickle.UnpicklingError as error:
            said = f"{_MORE_THAN_TENSORS}\n{str(error)[:_LONGEST]}"
        except Exception as error:
            if not (isinstance(error, RuntimeError) and is_of_memory(error)):
                said = f"{_BROKEN}\n{str(error)[:_LONGEST]}"
    os.write(answer, said.encode("utf-8", "replace"))
    os._exit(0)
