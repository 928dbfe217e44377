"""From what was asked for to a folder with the release's files, and what becomes of them after."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sixrayd.core.classes import default_classes
from sixrayd.core.progress import Report
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.split_files import SplitFile
from sixrayd.download.faults import Faults
from sixrayd.download.fetch import fetch_release
from sixrayd.download.given import given_folder
from sixrayd.download.place import ReleasePlace
from sixrayd.download.settings import DownloadSettings
from sixrayd.imaging.hashes import BITS

# That classes are a choice is no part either: without it, the same set is the same or stops.
_NO_PART_OF_THE_WORK = (
    *("release", "source", "force", "connections", "keep_archives", "chosen"),
    *("engine", "address", "shards_at"),
)


def resolved(settings: DownloadSettings, place: ReleasePlace) -> DownloadSettings:
    """The settings with the classes of the release's manifest, where none were named."""
    if place.entry and place.entry.classes and settings.classes == default_classes():
        return replace(settings, classes=place.entry.classes)
    return settings


def settings_of(settings: DownloadSettings, place: ReleasePlace) -> dict[str, Any]:
    """What an ingest is known by: the same again is the same work."""
    kept = {k: v for k, v in asdict(settings).items() if k not in _NO_PART_OF_THE_WORK}
    entry = {"entry": place.entry.name} if place.entry else {}
    files = [SplitFile.of(text) for text in kept.pop("split")]
    made_by = {"made_by": by} if (by := kept.pop("made_by")) else {}
    splits = {"split": [(file.name, file.sha256()) for file in files]} if files else {}
    return {"release": place.name, **entry, **kept, "hash_bits": BITS, **splits, **made_by}


def acquire(
    place: ReleasePlace,
    workspace: Workspace,
    settings: DownloadSettings,
    faults: Faults,
    report: Report,
) -> Path:
    """The folder with the files: the user's own, or the workspace's once they are fetched.

    Raises:
        ReleaseError: they cannot be had, or a fault stops.
    """
    if place.path is None:
        return fetch_release(place, workspace, settings, faults, report)
    return given_folder(place.path, place.archives, workspace, faults)


def archives_are_gone(place: ReleasePlace, workspace: Workspace) -> bool:
    """Whether archives that were fetched have been removed since, and not come again."""
    removed = workspace.removed_inputs() if place.mirrors else {}
    return any(not (workspace.root / key).exists() for key in removed)


def remove_fetched(place: ReleasePlace, workspace: Workspace, settings: DownloadSettings) -> None:
    """Remove archives that were fetched and are taken in, unless they are to be kept."""
    if not place.mirrors or settings.keep_archives:
        return
    workspace.remove_inputs(workspace.run("shards").inputs)
    release = workspace.root / "release"
    for rar in release.glob("*.rar") if workspace.is_own(release) else ():  # which served as tar
        rar.unlink()
