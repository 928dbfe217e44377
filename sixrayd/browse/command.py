"""`sixrayd browse`: look at an export in FiftyOne."""

from typing import TYPE_CHECKING

import click

from sixrayd.core.command import json_option, print_json, workspace_option
from sixrayd.core.workspace import Workspace

if TYPE_CHECKING:
    from sixrayd.browse.stage import BrowseSession


@click.command()
@workspace_option
@click.option("--export", default="", metavar="NAME", help="Which export.  [default: newest]")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5151, show_default=True, help="0: a free one."
)
@click.option(
    "--max-negatives",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    help="Most images that are not positive, decided ones first, then by rank.",
)
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Stay until Ctrl-C, or only build."
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Stay no longer; 0 means no limit.",
)
@json_option
def browse(
    workspace: Workspace,
    export: str,
    port: int,
    max_negatives: int,
    wait: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Open an export in FiftyOne, with candidates and decisions.

    \b
    Example:
      sixrayd browse --port 5151
    """
    from sixrayd.browse.stage import BrowseSettings
    from sixrayd.browse.stage import browse as run_browse

    def opened(session: "BrowseSession") -> None:
        if as_json:
            print_json(session)
        else:
            click.echo(f"{session.samples} images at {session.url}")
        if wait:
            click.echo("Ctrl-C closes it.", err=True)

    run_browse(workspace, BrowseSettings(export, port, max_negatives, wait, timeout_s), opened)
