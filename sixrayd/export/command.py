"""`sixrayd export`: write the corrected dataset."""

from pathlib import Path
from typing import Any

import click

from sixrayd.core.command import consensus_option, json_option, print_json, workspace_option
from sixrayd.core.workspace import Workspace


@click.command()
@workspace_option
@click.option(
    "--voc",
    "form",
    flag_value="voc",
    default="voc",
    show_default=True,
    help="Write PASCAL VOC 2007, the only form there is.",
)
@click.option(
    "--review",
    multiple=True,
    metavar="NAME",
    help="Use this review's decisions; may be repeated.  [default: all reviews]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write.  [default: export/NAME of the workspace]",
)
@click.option(
    "--with-negatives/--without-negatives",
    default=False,
    show_default=True,
    help="Copy images that hold nothing, too.",
)
@consensus_option
@click.option(
    "--pseudonyms",
    is_flag=True,
    help="Replace reviewers' names, by the same pseudonyms in every export of the workspace.",
)
@click.option("--force", is_flag=True, help="Replace an export of other inputs or settings.")
@json_option
def export(
    workspace: Workspace,
    form: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the corrected dataset as PASCAL VOC.

    \b
    Example:
      sixrayd export --voc --out SIXray-D
    """
    from sixrayd.export.stage import ExportSettings
    from sixrayd.export.stage import export as run_export

    result = run_export(workspace, ExportSettings(**options))
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        print_json(result)
        return
    verb = "wrote" if result.written else "nothing to do, unchanged:"
    click.echo(f"{verb} {result.tree}")
    for state, count in result.states.items():
        click.echo(f"  {count:>9,}  {state}")
    images = ", ".join(f"{count:,} {split}" for split, count in result.images.items())
    click.echo(f"VOC tree: {images} images, {sum(result.origins.values()):,} boxes")
