"""Files that their owner alone may know, and what others must not have written."""

import os
import stat
from pathlib import Path

from sixrayd.core.files import replacing


def write_private(path: Path, data: bytes) -> None:
    """Write a file that its owner alone can read, whole or not at all.

    Raises:
        WorkspaceError: it cannot be written.
    """
    with replacing(path, 0o600) as beside:
        beside.write_bytes(data)


def known_to_others(path: Path) -> str:
    """Why others may know what a file holds, empty where they do not."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return ""
    if not stat.S_ISREG(found.st_mode):
        return "no plain file"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, expected yours"
    return "others can read it" if found.st_mode & 0o077 else ""


def is_own(path: Path) -> bool:
    """Whether a folder is this user's and no other can write to it; what lies there is believed."""
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022
