"""`sixrayd browse`: look at a workspace in FiftyOne."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sixrayd.browse.settings import BrowseSettings
from sixrayd.core.children import end_as_by_ctrl_c
from sixrayd.core.command import json_option, options_of, print_json, workspace_option
from sixrayd.core.printing import echo
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace

if TYPE_CHECKING:
    from sixrayd.browse.stage import BrowseSession


option = options_of(BrowseSettings)


@click.command()
@workspace_option
@option(
    "--export",
    metavar="NAME",
    help="Show this export as it was made.  "
    "[default: the newest, if nothing was mined or decided since; else all as it stands]",
)
@option("--port", type=click.IntRange(0, 65535), help="Port on this machine; 0 takes a free one.")
@option(
    "--max-negatives",
    type=click.IntRange(min=0),
    help="Most images that are not positive: decided ones first, then by rank, then others.",
)
@option("--wait/--no-wait", help="Stay until Ctrl-C, or only build.")
@option("--timeout-s", type=click.FloatRange(min=0), help="Seconds to stay; 0 means no limit.")
@json_option
def browse(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Open the workspace in FiftyOne, after any stage, with candidates and decisions.

    Saved views lead to what is worth a look. Images that you tag `review` are sent to reviewers by
    `sixrayd review push --from tags`.

    The address that is printed lets in whoever has it. Where a browser cannot find its host, put
    127.0.0.1 in its place. Ctrl-C closes it; begun in the background, SIGTERM does.

    \b
    Example:
      sixrayd browse --port 5151
    """
    from sixrayd.browse.stage import browse as run_browse

    settings = BrowseSettings(**options)
    end_as_by_ctrl_c()

    def opened(session: "BrowseSession") -> None:
        # One that does not stay is dead before anybody could open it.
        where = f" at {session.url}" if settings.wait else f" in dataset {session.dataset}"
        if as_json:
            print_json(session if settings.wait else replace(session, url=""))
        else:
            what = f" of export {session.export}" if session.export else ""
            echo(f"{counted(session.samples, 'image')}{what}{where}")
        if settings.wait:
            echo("Ctrl-C closes it.", err=True)

    run_browse(workspace, settings, opened)
