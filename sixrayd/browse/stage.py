"""The browse stage: a workspace, after whatever stage, or an export of it opened in FiftyOne."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sixrayd.browse.media import ShardImages
from sixrayd.browse.samples import collect_samples
from sixrayd.browse.settings import BrowseSettings
from sixrayd.browse.standing import known_of, newest_export, read_files
from sixrayd.core.errors import SixraydError
from sixrayd.core.index import Index
from sixrayd.core.tags import read_tagged, tag_file, write_tagged
from sixrayd.core.workspace import Workspace

_LAYOUT = 2  # raise when the dataset's fields change
_LOOK_S = 1.0  # how often tags are written down


@dataclass(frozen=True, slots=True)
class BrowseSession:
    """An app that answers."""

    url: str
    dataset: str
    samples: int
    rebuilt: bool  # False when the dataset was there already
    export: str  # that is shown; empty for the workspace as it stands


@contextmanager
def open_browser_session(workspace: Workspace, settings: BrowseSettings) -> Iterator[BrowseSession]:
    """FiftyOne with a workspace; it is closed when the block ends. Does not wait by itself.

    The dataset persists and is built again when what it shows has changed. Images tagged for
    review are written down within a second.

    Raises:
        ServiceError: FiftyOne is missing, does not start, or the port is taken.
        WorkspaceError: the release has not been ingested, there is no such export, or a link
            leads out of the workspace to where files would be replaced.
    """
    from sixrayd.browse import fiftyone_adapter as adapter

    workspace.run("shards")
    export = settings.export or newest_export(workspace)
    tags = tag_file(workspace, export)
    for folder in (workspace.root / "browse", tags.parent):
        workspace.check_own(folder)
    work = _fingerprint(workspace, export, settings.max_negatives)
    name = dataset_name(workspace, export)
    index = Index.load(workspace)
    fiftyone = adapter.load_fiftyone(workspace.root / "browse" / "database")

    def keep_tags() -> None:
        write_tagged(tags, filter(index.__contains__, adapter.tagged_images(fiftyone, name)))

    if adapter.is_built(fiftyone, name):
        keep_tags()  # a killed one may have left some
    rebuilt = not adapter.has_dataset(fiftyone, name, work)
    if rebuilt:
        known = known_of(workspace, export)
        images = ShardImages(known.index)
        tagged = frozenset(read_tagged(tags))
        samples = collect_samples(known, images.path, settings.max_negatives, tagged)
        adapter.write_dataset(fiftyone, name, work, samples)
    count = len(fiftyone.load_dataset(name))
    log = workspace.root / "browse" / "app.log"
    serving = adapter.serve_app(name, settings.port, workspace.root, log)
    with _again_and_again(keep_tags), serving as url:
        yield BrowseSession(url, name, count, rebuilt, export)


def browse(
    workspace: Workspace,
    settings: BrowseSettings,
    opened: Callable[[BrowseSession], None] = lambda session: None,
) -> BrowseSession:
    """Open a workspace in FiftyOne and stay until Ctrl-C, the timeout, or not at all.

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
    return "-".join(filter(None, ("sixrayd", path.name, export, mark)))


def _fingerprint(workspace: Workspace, export: str, max_negatives: int) -> str:
    if export:
        workspace.run("export", export)
    files = workspace.inputs(*read_files(workspace, export))
    plan = [_LAYOUT, files, max_negatives, str(workspace.root.resolve())]
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()


@contextmanager
def _again_and_again(note: Callable[[], None]) -> Iterator[None]:
    """Call now and then during a `with` block, and at its end."""
    over = threading.Event()

    def look() -> None:
        with suppress(SixraydError):  # which the last call tells of
            while not over.wait(_LOOK_S):
                note()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        note()


def _stay(timeout_s: float) -> None:
    end = time.monotonic() + timeout_s if timeout_s else float("inf")
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
