"""The browse stage: an export opened in FiftyOne."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sixrayd.browse.samples import collect_samples, media_folders
from sixrayd.browse.settings import BrowseSettings
from sixrayd.core.files import sha256_file
from sixrayd.core.workspace import Workspace

_LAYOUT = 1  # raise when the dataset's fields change


@dataclass(frozen=True, slots=True)
class BrowseSession:
    """An app that answers."""

    url: str
    dataset: str
    samples: int
    rebuilt: bool  # False when the dataset was there already


@contextmanager
def open_browser_session(workspace: Workspace, settings: BrowseSettings) -> Iterator[BrowseSession]:
    """FiftyOne with an export; it is closed when the block ends. Does not wait by itself.

    The dataset persists and is built again when the export has changed.

    Raises:
        ServiceError: FiftyOne is missing, does not start, or the port is taken.
        WorkspaceError: there is no finished export.
    """
    from sixrayd.browse import fiftyone_adapter as adapter

    export = settings.export or workspace.newest("export")
    work = _fingerprint(workspace, export, settings.max_negatives)
    name = dataset_name(workspace, export)
    fiftyone = adapter.load_fiftyone(workspace.root / "browse" / "database")
    rebuilt = not adapter.has_dataset(fiftyone, name, work)
    if rebuilt:
        with workspace.lock():
            samples = collect_samples(workspace, export, settings.max_negatives)
        adapter.write_dataset(fiftyone, name, work, samples)
    count = len(fiftyone.load_dataset(name))
    folders = media_folders(workspace, export)
    log = workspace.root / "browse" / "app.log"
    with adapter.serve_app(name, settings.port, folders, log) as url:
        yield BrowseSession(url, name, count, rebuilt)


def browse(
    workspace: Workspace,
    settings: BrowseSettings,
    opened: Callable[[BrowseSession], None] = lambda session: None,
) -> BrowseSession:
    """Open an export in FiftyOne and stay until Ctrl-C, the timeout, or not at all.

    Args:
        opened: called once the app answers.
    """
    with open_browser_session(workspace, settings) as session, suppress(KeyboardInterrupt):
        opened(session)
        if settings.wait:
            _stay(settings.timeout_s)
    return session


def dataset_name(workspace: Workspace, export: str) -> str:
    """The dataset's name in FiftyOne; workspaces of the same name do not share one."""
    path = workspace.root.resolve()
    mark = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    return f"sixrayd-{path.name}-{export}-{mark}"


def _fingerprint(workspace: Workspace, export: str, max_negatives: int) -> str:
    workspace.run("export", export)
    digest = sha256_file(workspace.folder("export", export) / "run.json")
    plan = [_LAYOUT, digest, max_negatives, str(workspace.root.resolve())]
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()


def _stay(timeout_s: float) -> None:
    end = time.monotonic() + timeout_s if timeout_s else float("inf")
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
