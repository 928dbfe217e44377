"""The account of a workspace's own server, in files that nobody else may know."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import ServiceError
from sixrayd.core.files import make_folder, plain_text
from sixrayd.core.private import check_closed, known_to_others, write_private

USER = "reviewer@sixrayd.local"


def private_folder(path: Path) -> None:
    """Make a folder that its owner alone may enter, or close one that is there.

    Raises:
        ServiceError: it is another user's.
        WorkspaceError: its file system keeps no modes.
    """
    make_folder(path, 0o700)
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise ServiceError(
            f"{path}: belongs to user {found.st_uid}, expected yours; copy the workspace, then "
            "use the copy"
        )
    if found.st_mode & 0o077:
        path.chmod(0o700)
        check_closed(path)


def account_of(folder: Path, database: Path, say: Callable[[str], None]) -> dict[str, str]:
    """User, password and token of the server in a folder; new ones where there are none.

    Those that others may know are not taken: where there is no database yet, new ones are made.

    Args:
        say: told of that.

    Raises:
        ServiceError: the file is spoilt, or others may know it and there is a database.
    """
    path = folder / "secret.json"
    if reason := known_to_others(path):
        if database.exists():
            raise ServiceError(
                f"{path}: {reason}, so others may sign in; if all in {folder} is your own, run "
                f"`chmod 600 {path}`; if not, delete {folder}"
            )
        say(f"{path}: {reason}; replaced by a new password and token")
    if reason or not path.exists():
        _make(path)
        (folder / "data" / ".env").unlink(missing_ok=True)  # a key that signs who is signed in
    try:
        known: dict[str, Any] = parse_json(plain_text(path))
        return {key: str(known[key]) for key in ("user", "password", "token")}
    except NONSENSE as error:
        raise ServiceError(
            f"{path}: expected user, password and token; put the file back from a backup"
        ) from error


def _make(path: Path) -> None:
    secret = {"user": USER, "password": secrets.token_urlsafe(18), "token": secrets.token_hex(20)}
    write_private(path, json.dumps(secret, indent=2).encode())
