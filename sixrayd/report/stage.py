"""`report.html`: one page on a workspace, which needs no other file and no network."""

import re
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.files import refuse_others, write_bytes
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
    refuse_others(path, re.compile(rb"(?s).*" + re.escape(_MARK.encode())), "report")
    template = Path(__file__).with_name("page.html.jinja")
    page = page_of(template, contents=contents, mark=_MARK, kinds=(*KINDS.values(), UNSEEN))
    write_bytes(path, page.encode("utf-8"))
    return ReportResult(str(path), sum(len(each.cards) for each in contents.galleries))
