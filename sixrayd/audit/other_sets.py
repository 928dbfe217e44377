"""A set that is no workspace's: taken into one of its own, then audited there."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sixrayd.audit.fix import fix_stands
from sixrayd.core.errors import AnnotationError, ReleaseError, WorkspaceError
from sixrayd.core.progress import Report, untold
from sixrayd.core.workspace import STAGES, Workspace
from sixrayd.datasets.opening import open_set
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import OtherIngestError, download

_MADE_BY = "audit --set"
_OURS = ("shards", "audit")


def take_set(
    place: Path,
    workspace: Workspace,
    classes: tuple[str, ...] = (),
    report: Report = untold,
) -> None:
    """Take a set in, whatever its form; what is wrong with it is passed over and written down.

    A set that has changed since is taken in again, where nothing but such an ingest is replaced.

    Args:
        place: a folder, or an archive.
        classes: empty for SIXray's where they cover what the labels name, else what these name.
        report: told of progress: of what, how much is done, of how much.

    Raises:
        AnnotationError: the labels are of no form, or of two.
        ReleaseError: nothing there can be taken in.
        WorkspaceError: the workspace holds another release, or what must not be replaced.
    """
    release = str(place.resolve())
    there = workspace.held("shards")
    held = there.settings if there else {}
    if held and (other := held.get("release")) != release:
        raise WorkspaceError(f"{workspace.shards}: holds {other}; name another workspace with -w")
    why = _why_not(workspace, held)
    finished = (workspace.shards / "run.json").exists()
    if why and not finished:
        raise WorkspaceError(why)
    names = classes or open_set(place, with_images=False, report=report).classes.names
    made_by = "" if held and held.get("made_by") != _MADE_BY else _MADE_BY
    settings = DownloadSettings(
        release=release,
        classes=names,
        on_error="skip",
        force=not why,
        chosen=bool(classes),
        made_by=made_by,
    )
    is_new = not workspace.root.exists()
    try:
        download(workspace, settings, report)
    except OtherIngestError as error:
        raise WorkspaceError(why) from error
    except (AnnotationError, ReleaseError):
        if is_new and workspace.root.exists():  # what cannot be taken in leaves nothing
            shutil.rmtree(workspace.root)
        raise


def _why_not(workspace: Workspace, held: Mapping[str, Any]) -> str:
    """Why an ingest of the same place may not be replaced; empty where it may."""
    folder = workspace.shards
    here = f"`{workspace.command('sixrayd audit')}` audits what is there"
    advice = f"name another workspace with -w; {here}"
    later = [s for s in STAGES if s not in _OURS and any((workspace.root / s).glob("*"))]
    if later:
        return f"{workspace.root}: holds {', '.join(later)} beside an ingest; {advice}"
    if held and held.get("made_by") != _MADE_BY:
        text = "holds an ingest of the set with other files or settings"
        return f"{folder}: {text}, which `{_MADE_BY}` did not make; {advice}"
    if fix_stands(workspace):
        undo = workspace.command("sixrayd audit --undo")
        return f"{folder}: the set or its classes have changed and a fix stands; run `{undo}` first"
    return ""
