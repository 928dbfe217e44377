"""Which classes reviewers were asked for: of others their answers say nothing."""

from collections.abc import Sequence

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.workspace import Workspace


def check_asked_for(workspace: Workspace, classes: Sequence[str], before: Sequence[str]) -> None:
    """See to it that no image counts as cleared of a class that nobody looked for in it.

    Args:
        classes: that the release is to be taken in with.
        before: those of the ingest that is there, for which reviews of earlier versions asked,
            since these did not note it; empty where nobody knows.

    Raises:
        WorkspaceError: a review was begun without one of them; reviewers cannot even box it there.
    """
    for path in sorted(workspace.folder("review").glob("[!.]*/project.json")):
        try:
            books = list(parse_json(plain_text(path)).get("books") or [{}])
            pages = [set(map(str, book.get("classes") or before)) for book in books]
        except (OSError, *NONSENSE):
            continue  # a push says what is wrong with it
        for asked in filter(None, pages):
            if new := [name for name in classes if name not in asked]:
                known = [name for name in (*classes, *before) if name in asked]
                raise WorkspaceError(
                    f"{path.parent}: reviewers were not asked for {', '.join(new)}, so that what "
                    "they cleared would count as cleared of it, too; take these classes in into "
                    "another workspace with -w, or here with --classes "
                    f"{','.join(dict.fromkeys(known))}"
                )
