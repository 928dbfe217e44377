"""`report.html`: one page on a workspace, which needs no other file and no network."""

from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.errors import SettingsError
from sixrayd.core.files import read_plain, write_bytes
from sixrayd.core.resources import page_of
from sixrayd.core.workspace import Workspace
from sixrayd.report.contents import KINDS, UNSEEN, read_contents

_MARK = '<meta name="generator" content="sixrayd report">'


@dataclass(frozen=True, slots=True)
class ReportResult:
    """A page that was written, and how many pictures it shows."""

    file: str
    pictures: int


def report(workspace: Workspace, out: Path | None = None, most: int = 24) -> ReportResult:
    """Write the page; an older page of ours is replaced.

    Args:
        out: file; None is `report.html` in the workspace.
        most: pictures in a gallery.

    Raises:
        SettingsError: something else is there.
        WorkspaceError: the release has not been ingested, or a file is broken.
        ShardError: a shard has changed since it was indexed.
    """
    path = out or workspace.root / "report.html"
    contents = read_contents(workspace, most)
    if path.exists() and _MARK.encode() not in read_plain(path, 1000):
        raise SettingsError(f"{path}: no report of sixrayd; name another file with --out")
    template = Path(__file__).with_name("page.html.jinja")
    page = page_of(template, contents=contents, mark=_MARK, kinds=(*KINDS.values(), UNSEEN))
    write_bytes(path, page.encode("utf-8"))
    return ReportResult(str(path), sum(len(each.cards) for each in contents.galleries))
