"""A backup that is half put back: its files lie beside the reviews, on the way to their places."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.stages import SERVER
from sixrayd.core.workspace import Workspace

RESTORED = ".restored-"  # in the server's folder: what a restore has proved, and its moment
REPLACED = "replaced-"  # there: what it has moved aside, and its moment
LATEST = ".last-restore.json"  # there: the moment of the last, also where nothing was moved aside
_MOMENT = "%Y%m%dT%H%M%S.%fZ"


def moment_now() -> str:
    """What is in the names of both."""
    return datetime.now(UTC).strftime(_MOMENT)


def restored_at(workspace: Workspace) -> str:
    """When a backup was put back last, ISO 8601; empty where none was."""
    server, moments = workspace.folder("review") / SERVER, []
    # Earlier versions noted none, and what was moved aside may have been removed.
    said = [path.name.removeprefix(REPLACED) for path in server.glob(f"{REPLACED}*")]
    with suppress(OSError, *NONSENSE):
        said.append(str(parse_json(plain_text(server / LATEST))))
    for text in said:
        with suppress(ValueError):  # somebody else's folder
            moments.append(datetime.strptime(text, _MOMENT).replace(tzinfo=UTC))
    return max(moments).isoformat() if moments else ""


def half_restored(server: Path) -> list[Path]:
    """Restores that were decided and have not ended, the earliest first."""
    return sorted(server.glob(f"{RESTORED}*"))


def check_restored(workspace: Workspace) -> None:
    """Refuse reviews while files of a backup are still on their way.

    Raises:
        WorkspaceError: a backup is half put back.
    """
    server = workspace.folder("review") / SERVER
    if half_restored(server):
        raise WorkspaceError(
            f"{server}: a backup is half put back; wait for its restore; if that was killed, "
            f"`{workspace.command('sixrayd review serve --background')}` ends it"
        )
