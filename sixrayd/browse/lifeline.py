"""Processes that end with the one that started them, however that ends: its pipe closes."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sixrayd.core.children import module_command
from sixrayd.core.files import make_file, open_to_append
from sixrayd.core.memory import set_free

_PATIENCE_S = 10.0
LONGEST_LOG = 64 << 20  # bytes


class BoundLog(logging.Filter):
    """Has the log of such a process begin anew where it is long.

    Who has no token adds to it, too: an odd request of 70 bytes a traceback of 3 kB.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass everything on."""
        if os.fstat(2).st_size > LONGEST_LOG:
            os.ftruncate(2, 0)  # whoever writes to it appends
        return True


def start(module: str, words: Sequence[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A module of ours as a process; what it says goes to a file.

    Args:
        options: of `subprocess.Popen`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    make_file(log)
    with open_to_append(log) as said:
        process = subprocess.Popen(  # noqa: S603 - our own words, no shell
            module_command(module, *words),
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the caller, who ends it in turn
            **options,
        )
    set_free(process.pid)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Tell a process to end, with all that it has started, and wait."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def when_it_breaks(then: Callable[[], None]) -> None:
    """Call once whoever started this process has closed its pipe or ended."""

    def wait() -> None:
        while os.read(0, 1 << 12):  # not through `sys.stdin`, which would abort an end beside it
            pass
        then()

    threading.Thread(target=wait, daemon=True).start()


def _run(words: Sequence[str]) -> int:
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL)  # noqa: S603
    when_it_breaks(child.terminate)
    return child.wait()


if __name__ == "__main__":  # runs any program for as long as its own caller lives
    sys.exit(_run(sys.argv[1:]))
