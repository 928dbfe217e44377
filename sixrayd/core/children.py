"""Processes that this one starts. None takes a module or a library from the folder that it is
started in: beside a stranger's workspace may lie a stranger's code.
"""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # of their environment


def module_command(module: str, *words: str, python: str = sys.executable) -> list[str]:
    """What runs a module."""
    return [python, "-P", "-m", module, *words]


def keep_to_safe_paths() -> None:
    """Also what libraries start from here on; call before any is loaded.

    OpenCV puts a folder before what LD_LIBRARY_PATH holds. Where that is nothing, the list ends in
    an empty name, which stands for the folder that a program is started in.
    """
    os.environ |= SAFE_PATH
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    absolute = [folder for folder in folders if folder.startswith("/")]
    os.environ["LD_LIBRARY_PATH"] = ":".join(absolute or [os.devnull])


def end_as_by_ctrl_c() -> None:
    """Take SIGTERM, and the end of the terminal, for Ctrl-C: whoever has started a server in a
    session of its own ends it then. What `nohup` began goes on.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def end_with_parent() -> None:
    """Have a process of a pool end with the one that made the pool, though that be killed.

    Each of a pool can write to the queue that all wait for, so that none sees its end.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None  # it was started by `multiprocessing`

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
