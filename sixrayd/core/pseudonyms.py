"""Names for reviewers that do not tell who they are, the same in every export of a workspace."""

import hmac
import re
import secrets
from collections.abc import Callable

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_bytes
from sixrayd.core.private import known_to_others, write_private
from sixrayd.core.workspace import Workspace

KEY_FILE = ".pseudonyms.key"
DIGITS = 6


def pseudonym(workspace: Workspace, digits: int = DIGITS) -> Callable[[str], str]:
    """What turns a reviewer's name into his pseudonym; call under the workspace's lock.

    The key is made on first use and never leaves the workspace: whoever has it can test whether
    a pseudonym is somebody's, and without it pseudonyms cannot be made again.

    Args:
        digits: of the pseudonym; two of a large team may have the same few.

    Raises:
        WorkspaceError: the key's file is not one, cannot be written, or others may know it.
    """
    path = workspace.root / KEY_FILE
    if not path.exists():
        write_private(path, secrets.token_hex(32).encode() + b"\n")
    if reason := known_to_others(path):
        raise WorkspaceError(
            f"{path}: {reason}, so others may tell whose a pseudonym is; run `chmod 600 {path}` if "
            "the key is your own, or remove it to give every reviewer a new pseudonym"
        )
    text = plain_bytes(path).decode("ascii", "replace").strip()
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise WorkspaceError(
            f"{path}: not a key of 64 hex digits; put it back from a backup, or remove it to give "
            "every reviewer a new pseudonym"
        )
    key = bytes.fromhex(text)
    return lambda name: "reviewer-" + hmac.digest(key, name.encode(), "sha256").hex()[:digits]
