"""`sixrayd report`."""

from pathlib import Path

import click

from sixrayd.core.command import json_option, print_json, reported, workspace_option
from sixrayd.core.printing import echo
from sixrayd.core.settings_file import OutsideOption
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace


@click.command()
@workspace_option
@click.option(
    "--out",
    cls=OutsideOption,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: report.html of the workspace]",
)
@click.option(
    "--most", type=click.IntRange(0, 500), default=24, show_default=True, help="Pictures of a kind."
)
@json_option
def report(workspace: Workspace, out: Path | None, most: int, as_json: bool) -> None:
    """Write one page on the whole workspace: counts, scores, reviewers, the bound, pictures.

    The file needs no other and no network. It holds scans, and reviewers by name whatever `export
    --pseudonyms` says: share it as the release and these names may be shared.

    \b
    Example:
      sixrayd report && xdg-open workspace/report.html
    """
    from sixrayd.report.stage import report as write

    with reported():
        result = write(workspace, out, most)
    if as_json:
        print_json(result)
    else:
        echo(f"{result.file}: {counted(result.pictures, 'picture')}; open it in a browser")
