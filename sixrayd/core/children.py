"""Processes of Python that this one starts. None takes a module from the folder it is started in:
beside a stranger's workspace may lie a stranger's code.
"""

import os
import sys

SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # of their environment


def module_command(module: str, *words: str, python: str = sys.executable) -> list[str]:
    """What runs a module."""
    return [python, "-P", "-m", module, *words]


def keep_to_safe_paths() -> None:
    """Also what libraries start from here on."""
    os.environ |= SAFE_PATH
