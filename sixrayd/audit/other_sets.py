"""A set that is no workspace's: taken into one of its own, then audited there."""

from collections.abc import Callable
from pathlib import Path

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.opening import open_set
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download


def take_set(
    place: Path,
    workspace: Workspace,
    classes: tuple[str, ...] = (),
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> None:
    """Take a set in, whatever its form; what is wrong with it is passed over and written down.

    A set that has changed since is taken in again.

    Args:
        place: a folder, or an archive.
        classes: empty for SIXray's where they cover what the labels name, else what these name.
        report: told of progress: of what, how much is done, of how much.

    Raises:
        AnnotationError: the labels are of no form, or of two.
        ReleaseError: nothing there can be taken in.
        WorkspaceError: the workspace holds another release.
    """
    folder, release = workspace.shards, str(place.resolve())
    held = (folder / "run.json").exists()
    if held and (other := workspace.run("shards").settings["release"]) != release:
        raise WorkspaceError(f"{folder}: holds {other}; name another workspace with -w")
    names = classes or open_set(place, with_images=False).classes.names
    settings = DownloadSettings(release=release, classes=names, on_error="skip", force=held)
    download(workspace, settings, report)
