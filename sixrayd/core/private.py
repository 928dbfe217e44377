"""Files that their owner alone may know, and what others must not have written."""

import os
import stat
from pathlib import Path

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import replacing


def write_private(path: Path, data: bytes) -> None:
    """Write a file that its owner alone can read, whole or not at all.

    Raises:
        WorkspaceError: it cannot be written, or its file system keeps no modes.
    """
    with replacing(path, 0o600) as beside:
        check_closed(beside)
        beside.write_bytes(data)


def check_closed(path: Path) -> None:
    """After a file or folder was made for its owner alone.

    Raises:
        WorkspaceError: its file system, such as exFAT, keeps no modes and opens it to others.
    """
    if path.stat().st_mode & 0o077:
        raise WorkspaceError(
            f"{path.parent}: its file system keeps no modes and lets all users of this machine "
            "read what is secret; mount it with umask=077, or keep the workspace on another"
        )


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
