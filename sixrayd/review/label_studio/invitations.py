"""Invitations that were ended stay so: a backup of before brings the old one back."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.files import plain_text, write_json
from sixrayd.core.storage import check_known
from sixrayd.review.label_studio.connection import Connection

if TYPE_CHECKING:
    from sixrayd.review.label_studio.client import LabelStudio

ENDED = "ended-invitations.json"  # hashes, since a link is a key
_MOST = 1000  # the latest


def end_invitation(client: "LabelStudio", folder: Path) -> None:
    """Have no invitation given so far let anybody in, and note in a server's folder that it ended.

    Raises:
        ServiceError: the server is down, or refuses.
        WorkspaceError: what was ended cannot be read.
    """
    ended = _hash(client.sign_up_page())
    write_json(folder / ENDED, [*_ended(folder), ended][-_MOST:])
    client.sign_up_page(renew=True)


def end_again(connection: Connection, folder: Path) -> bool:
    """End the invitation that a backup brought back, if it had been ended; whether it had.

    Raises:
        ServiceError: the server is down, or refuses.
        WorkspaceError: what was ended cannot be read.
    """
    ended = _ended(folder)
    if not ended:
        return False
    from sixrayd.review.label_studio.client import LabelStudio  # takes its time

    with LabelStudio(connection) as client:
        if _hash(client.sign_up_page()) not in ended:
            return False
        client.sign_up_page(renew=True)
    return True


def _ended(folder: Path) -> list[str]:
    try:
        return list(map(str, parse_json(plain_text(folder / ENDED))))
    except (OSError, *NONSENSE) as error:
        check_known(error, folder / ENDED)
        return []


def _hash(invitation: str) -> str:
    """Of an invitation, by whatever port it is given out."""
    return sha256(invitation.partition("?")[2].encode()).hexdigest()
