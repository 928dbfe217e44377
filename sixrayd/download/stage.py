"""The ingest: a release becomes shards, index and annotations."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from sixrayd.core.errors import OtherWorkError, WorkspaceError
from sixrayd.core.files import remove, sha256_file, sweep
from sixrayd.core.progress import Report, untold
from sixrayd.core.store import Store, absolute_url
from sixrayd.core.typed import TYPED
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.asked_for import check_asked_for
from sixrayd.download.acquire import (
    acquire,
    archives_are_gone,
    remove_fetched,
    resolved,
    settings_of,
)
from sixrayd.download.delivery import deliver, put_shard, shards_store
from sixrayd.download.faults import Faults
from sixrayd.download.ingest import Ingest
from sixrayd.download.measuring import Measurer
from sixrayd.download.place import ReleasePlace, find_place
from sixrayd.download.release import (
    Release,
    check_apart,
    is_same_elsewhere,
    keep_listing,
    loose_listing,
    open_release,
    release_inputs,
)
from sixrayd.download.settings import DownloadResult, DownloadSettings
from sixrayd.download.sharding import PARTS
from sixrayd.download.tables import recall
from sixrayd.download.wholeness import is_whole

_TOLD = 3  # differences


class OtherIngestError(OtherWorkError):
    """A finished ingest of something else is there, and may not be replaced."""


def download(
    workspace: Workspace,
    settings: DownloadSettings,
    report: Report = untold,
) -> DownloadResult:
    """Take a release: check it, put its images into shards, index them, read its boxes.

    A finished ingest of the same release with the same settings is left as it is.

    Args:
        report: told of progress: of what, how much is done, of how much.

    Raises:
        ReleaseError: the release is incomplete or not what it says; see `on_error`.
        AnnotationError: an annotation cannot be used and faults are to stop.
        OtherIngestError: a finished ingest of something else is there and `force` is not set.
        SettingsError, WorkspaceError: shards cannot go to `shards_at`.
        WorkspaceError: a review did not ask for one of the classes.
        ServiceError: Ray is not installed, or its cluster does not answer.
    """
    place = find_place(settings.release, settings.source)
    if place.path:
        check_apart(place.path, workspace)
    with workspace.lock("shards"):
        settings = resolved(settings, place)
        store = shards_store(workspace.shards, settings.shards_at)
        run = _take(workspace, settings, place, store, report)
        if store:
            deliver(workspace.shards, run.outputs, store, settings.force)
        return _result(run.summary)


def _take(
    workspace: Workspace,
    settings: DownloadSettings,
    place: ReleasePlace,
    store: Store | None,
    report: Report,
) -> Run:
    """The finished ingest, which is left as it is where it was finished before."""
    faults = Faults(settings.on_error)
    run = Run("shards", "", settings_of(settings, place), workspace.removed_inputs())
    gone = archives_are_gone(place, workspace)
    if gone and _is_finished(workspace, run, settings.force):
        remove_fetched(place, workspace, settings)
        return workspace.run("shards")
    root = acquire(place, workspace, settings, faults, report)
    release = open_release(root, workspace, faults, place.entry)
    listing = loose_listing(root)
    run = replace(run, inputs=release_inputs(release, workspace, listing))
    if _is_finished(workspace, run, settings.force, release):
        sweep(workspace.shards / PARTS)
        remove_fetched(place, workspace, settings)
        return workspace.run("shards")
    workspace.check_own(workspace.shards)
    with _measurer(workspace, settings, store) as elsewhere:
        ingest = Ingest(workspace.shards, settings, faults, report, place, elsewhere)
        ingest.read_texts(release)
        held = _held(workspace)
        before = held.settings.get("classes", ()) if held else ()
        check_asked_for(workspace, settings.classes, before)
        _begin(workspace, run)
        keep_listing(workspace, listing)
        summary = ingest.take(release)
    paths = [p for p in workspace.shards.iterdir() if p.name not in ("plan.json", TYPED, PARTS)]
    outputs = {p.name: ingest.sha256.get(p.name) or sha256_file(p) for p in sorted(paths)}
    run = replace(run, outputs=outputs, summary=summary)
    workspace.finish(run)
    shutil.rmtree(workspace.shards / PARTS)
    remove_fetched(place, workspace, settings)
    return run


@contextmanager
def _measurer(
    workspace: Workspace, settings: DownloadSettings, store: Store | None
) -> Iterator[Measurer | None]:
    """Who measures shards in place of this machine, if anyone."""
    if settings.engine != "ray":
        yield None
        return
    from sixrayd.download.ray_engine import measuring_on_ray

    def put(shard: Path, sha256: str) -> None:
        if store:
            put_shard(store, shard, sha256, settings.force)

    seen = store or Store(absolute_url(str(workspace.shards)))
    with measuring_on_ray(settings.address, seen, put) as elsewhere:
        yield elsewhere


def _is_finished(
    workspace: Workspace, run: Run, force: bool, release: Release | None = None
) -> bool:
    """Whether the same work is there, and all that it wrote.

    Args:
        release: where its files can be looked at, which tells that they only lie elsewhere now.

    Raises:
        OtherIngestError: another finished ingest is there, and `force` is not set.
        WorkspaceError: it is not whole any more, and `audit --fix` changed it since.
    """
    other = _held(workspace)
    if other is None:
        return False
    run = _as_written_then(run, other)
    same = other.same_work(run) or (release is not None and is_same_elsewhere(other, run, release))
    if not same and not force:
        why = "; ".join(workspace.other_work(run).split("; ")[:_TOLD])
        raise OtherIngestError(
            f"{workspace.shards}: holds a finished ingest of {other.settings['release']} with "
            f"other files or settings ({why}); pass --force to replace it, or name another "
            "workspace with -w"
        )
    whole = same and is_whole(workspace, other)
    if same and not whole and any(name.startswith("fix/") for name in other.outputs):
        raise WorkspaceError(
            f"{workspace.shards}: files are gone or have changed, and a fix stands; run "
            f"`{workspace.command('sixrayd audit --undo')}` first"
        )
    return whole


def _held(workspace: Workspace) -> Run | None:
    """The finished ingest; None where there is none, or its `run.json` is broken."""
    try:
        return workspace.run("shards")
    except WorkspaceError as error:
        if error.__cause__ is None:  # of another format, which is not broken
            raise
        return None


def _as_written_then(run: Run, other: Run) -> Run:
    """The same work as an earlier version wrote it down, which knew shorter hashes: what it
    finished stays.
    """
    if "hash_bits" in other.settings:
        return run
    settings = {**run.settings, "hash_distance": other.settings.get("hash_distance")}
    del settings["hash_bits"]
    return replace(run, settings=settings)


def _begin(workspace: Workspace, run: Run) -> None:
    """Make the folder ready; what shards are there stays, to be kept where it is the same."""
    folder = workspace.shards
    if held := _held(workspace):
        with suppress(WorkspaceError, KeyError):  # without an index nothing is known of the shards
            recall(folder, held.outputs)
    (folder / "run.json").unlink(missing_ok=True)
    workspace.begin(run, keep=True)
    for path in folder.iterdir():  # what another ingest left
        if path.suffix != ".tar" and path.name not in ("plan.json", TYPED, PARTS):
            remove(path)


def _result(summary: Any) -> DownloadResult:
    # Earlier versions counted less; what has always been counted must be there.
    none = (MISSING, MISSING)
    known = {
        each.name: summary[each.name]
        for each in fields(DownloadResult)
        if each.name in summary or (each.default, each.default_factory) == none
    }
    return DownloadResult(**known)
