"""Images that people tagged for review while they looked; one file for each thing looked at."""

from collections.abc import Iterable
from pathlib import Path

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import WorkspaceError, printable
from sixrayd.core.files import plain_text, write_json
from sixrayd.core.workspace import Workspace

TAG = "review"


def tag_file(workspace: Workspace, export: str) -> Path:
    """Where the ids of tagged images are; without an export, of the workspace as it stands."""
    folder = workspace.root / "browse"
    return folder / "tagged" / f"{export}.json" if export else folder / "tagged.json"


def read_tagged(path: Path) -> list[str]:
    """Ids in a file, none where there is no file.

    Raises:
        WorkspaceError: it is broken.
    """
    try:
        ids = parse_json(plain_text(path))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise WorkspaceError(f"{path}: broken ({printable(error, 200)}); remove it") from error
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise WorkspaceError(f"{path}: not a list of image ids; remove it")
    return ids


def write_tagged(path: Path, ids: Iterable[str]) -> None:
    """Replace a file's ids, if they are others."""
    wanted = sorted(set(ids))
    if wanted != read_tagged(path):
        write_json(path, wanted)


def tagged_ids(workspace: Workspace) -> dict[str, Path]:
    """All images that are tagged, by id, and the file that says so.

    Raises:
        WorkspaceError: a file is broken.
    """
    files = [tag_file(workspace, ""), *(workspace.root / "browse" / "tagged").glob("[!.]*.json")]
    return dict(sorted((image_id, path) for path in files for image_id in read_tagged(path)))
