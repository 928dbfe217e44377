"""Processes of tests: each ends with what started it, and hears Ctrl-C as in a terminal.

They are known by their folder for temporary files, which is nobody else's. What they start in turn
has it too, even a server in a session of its own that sees little else of the environment.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# What a terminal's signals do, where nobody has had them ignored.
_USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}


def watch_over() -> None:
    """Have what this process starts end with it, were it killed itself."""
    folder = _new_folder()
    command = [sys.executable, "-P", __file__, str(os.getpid()), folder]
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen(command, start_new_session=True, **quiet)
    os.environ["TMPDIR"] = folder  # `tempfile` in this process stays with what it had


@contextmanager
def contained() -> Iterator[dict[str, str]]:
    """An environment; all that ever had it ends with the block."""
    folder = _new_folder()
    try:
        yield {**os.environ, "TMPDIR": folder}
    finally:
        end_all(folder)


@contextmanager
def started(command: list[str], **options) -> Iterator[subprocess.Popen]:
    """A process that ends with the block, and all that it starts.

    A shell that starts tests in the background has them ignore Ctrl-C, `nohup` the end of the
    terminal, and children inherit that; this one does not.

    Args:
        options: of `subprocess.Popen`; what `env` names is added to the environment.
    """
    with contained() as environment:
        environment = {**environment, **options.pop("env", {})}
        before = {number: signal.signal(number, usual) for number, usual in _USUAL.items()}
        try:
            process = subprocess.Popen(command, env=environment, **options)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        try:
            yield process
        finally:
            process.kill()  # one that has just begun has no environment yet, and is not found by it
            end_all(environment["TMPDIR"])
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()


def ran(command: list[str], **options) -> subprocess.CompletedProcess:
    """What `started` starts, once it has ended, and what it said as text."""
    pipe = subprocess.PIPE
    with started(command, stdout=pipe, stderr=pipe, text=True, **options) as process:
        out, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def end_all(folder: str) -> None:
    """End every process that has this folder, or one made for a part of it."""
    end = time.monotonic() + 60  # for one that the kernel does not let go of
    while (found := _living(folder)) and time.monotonic() < end:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)
    for path in Path(folder).parent.glob(f"{Path(folder).name}*"):
        shutil.rmtree(path, ignore_errors=True)


def _living(folder: str) -> set[psutil.Process]:
    found = set()
    for process in psutil.process_iter():
        if _temporary_folder(process.pid).startswith(folder):
            found.add(process)
            with suppress(psutil.NoSuchProcess):
                # Some overwrite their environment with a title.
                found.update(process.children(recursive=True))
    return {process for process in found if process.pid != os.getpid()}


def _temporary_folder(pid: int) -> str:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return ""
    named = [v.partition(b"=")[2] for v in variables if v.startswith(b"TMPDIR=")]
    return os.fsdecode(named[0]) if named else ""


def _new_folder() -> str:
    # Beside the one that this process was given and named after it; Ray allows no long paths.
    given = os.environ.get("TMPDIR", "")
    own = Path(given).name.startswith("s-")
    tempfile.gettempdir()
    return tempfile.mkdtemp(
        prefix=f"{Path(given).name}-" if own else "s-", dir=Path(given).parent if own else None
    )


def _watch(parent: int, folder: str) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    end_all(folder)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), sys.argv[2])
