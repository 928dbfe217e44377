"""A backup that is half put back: its files lie beside the reviews, on the way to their places."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.stages import SERVER
from sixrayd.core.workspace import Workspace

RESTORED = ".restored-"  # in the server's folder: what a restore has proved, and its moment
REPLACED = "replaced-"  # there: what it has moved aside, and its moment
_MOMENT = "%Y%m%dT%H%M%S.%fZ"


def moment_now() -> str:
    """What is in the names of both."""
    return datetime.now(UTC).strftime(_MOMENT)


def restored_at(workspace: Workspace) -> str:
    """When a backup took the place of other data last, ISO 8601; empty where none did."""
    moments = []
    for path in (workspace.folder("review") / SERVER).glob(f"{REPLACED}*"):
        with suppress(ValueError):  # somebody else's folder
            moment = datetime.strptime(path.name.removeprefix(REPLACED), _MOMENT)
            moments.append(moment.replace(tzinfo=UTC))
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
