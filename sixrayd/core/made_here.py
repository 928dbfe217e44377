"""Folders of files that can run code where they are read: only their maker reads them again.

A mark in the folder says who made it. It is made with a key that stays in the user's home, from the
folder's number on its disk and from a file beside it, of which the system alone says when it came
there: a workspace from elsewhere, or a copy of one's own, has none that fits, were it given the
same number again.
"""

import hmac
import os
import secrets
from pathlib import Path

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import make_file, make_folder, plain_bytes, replacing

_MARK = "made-here"
_BORN = f".{_MARK}.born"  # empty, and never touched again
_KEY_BYTES = 32


def claim_folder(folder: Path) -> bool:
    """Make a folder that is closed to others, or take one that this user made by this function.

    Returns:
        False where another made it, where it was copied, or is a link; nothing is changed then.

    Raises:
        WorkspaceError: it, or the key in the user's home, cannot be written or read.
    """
    if folder.is_symlink():
        return False  # it may lead to a folder of the user's
    if folder.exists() and not all(_is_unfinished(each) for each in folder.iterdir()):
        return _is_marked(folder)
    make_folder(folder, 0o700)
    folder.chmod(0o700)
    make_file(folder / _BORN, 0o600)
    with replacing(folder / _MARK, 0o600) as beside:
        beside.write_text(_mark_of(folder), "ascii")
    return True


def _is_marked(folder: Path) -> bool:
    try:
        said, mark = plain_bytes(folder / _MARK, 1 << 10), _mark_of(folder)
    except OSError:
        return False
    return hmac.compare_digest(said, mark.encode())


def _mark_of(folder: Path) -> str:
    born = (folder / _BORN).lstat()  # whose last change no archive brings and no program sets
    said = f"{folder.stat().st_ino} {born.st_ino} {born.st_ctime_ns}"
    return hmac.digest(_key(), said.encode(), "sha256").hex()


def _key() -> bytes:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "sixrayd" / "made-here.key"
    try:
        if not path.exists():
            make_folder(path.parent, 0o700)
            with replacing(path, 0o600) as beside:
                beside.write_bytes(secrets.token_bytes(_KEY_BYTES))
        key = plain_bytes(path, 1 << 10)
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be made or read ({error.strerror or error}); name a folder of yours "
            "for it in XDG_STATE_HOME"
        ) from error
    if len(key) < _KEY_BYTES:
        raise WorkspaceError(f"{path}: {len(key)} bytes, expected {_KEY_BYTES}; remove it")
    return key


def _is_unfinished(path: Path) -> bool:
    """Whether a kill left it before there was a mark."""
    return path.name.startswith(f".{_MARK}.")
