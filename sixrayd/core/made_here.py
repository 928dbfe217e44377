"""Folders of files that can run code where they are read: only their maker reads them again.

A mark in the folder says who made it. It is made with a key that stays in the user's home, from the
folder's number on its disk and from a file beside it, of which the system alone says when it came
there: a workspace from elsewhere, or a copy of one's own, has none that fits, were it given the
same number again. A seal in the folder says in the same way which files it held when it was left:
what is unpacked into it later, by whomever, has other numbers or times.
"""

import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import make_file, make_folder, plain_bytes, replacing

_MARK = "made-here"
_BORN = f".{_MARK}.born"  # empty, and never touched again
_SEAL = f"{_MARK}.files"
_KEY_BYTES = 32


def claim_folder(folder: Path) -> bool:
    """Make a folder that is closed to others, or take one that this user made by this function.

    Returns:
        False where another made it, where it was copied, something was put into it since it was
        left, or is a link; nothing is changed then.

    Raises:
        WorkspaceError: it, or the key in the user's home, cannot be written or read.
    """
    if folder.is_symlink():
        return False  # it may lead to a folder of the user's
    if folder.exists() and not all(_is_unfinished(each) for each in folder.iterdir()):
        return _fits(folder / _MARK, _mark_of) and (
            not os.path.lexists(folder / _SEAL) or _fits(folder / _SEAL, _seal_of)
        )
    make_folder(folder, 0o700)
    folder.chmod(0o700)
    make_file(folder / _BORN, 0o600)
    with replacing(folder / _MARK, 0o600) as beside:
        beside.write_text(_mark_of(folder), "ascii")
    return True


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Change what is in a claimed folder; after the block, what others change is noticed.

    Who is killed within it leaves no seal, and the mark alone counts.
    """
    (folder / _SEAL).unlink(missing_ok=True)
    try:
        yield
    finally:
        if (folder / _MARK).exists():
            with suppress(WorkspaceError, OSError), replacing(folder / _SEAL, 0o600) as beside:
                beside.write_text(_seal_of(folder), "ascii")


def _fits(path: Path, made: Callable[[Path], str]) -> bool:
    try:
        said, ours = plain_bytes(path, 1 << 10), made(path.parent)
    except OSError:
        return False
    return hmac.compare_digest(said, ours.encode())


def _mark_of(folder: Path) -> str:
    return _signed([folder.stat().st_ino, *_state(folder / _BORN)])


def _seal_of(folder: Path) -> str:
    """Of all that is in a folder, but for its lock and our own files."""
    ours = (".", _MARK)
    found = [
        Path(inside, name)
        for inside, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if inside != str(folder) or not name.startswith(ours)
    ]
    return _signed(sorted([str(path.relative_to(folder)), *_state(path)] for path in found))


def _state(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_ino, found.st_ctime_ns  # which no archive brings and no program sets


def _signed(said: list[Any]) -> str:
    return hmac.digest(_key(), json.dumps(said).encode(), "sha256").hex()


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
