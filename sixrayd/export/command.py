"""`sixrayd export`: write the corrected dataset."""

from pathlib import Path
from typing import Any

import click

from sixrayd.advice.next_step import echo_next
from sixrayd.core.command import (
    F,
    consensus_option,
    json_option,
    options_of,
    print_json,
    split_option,
    workspace_option,
)
from sixrayd.core.printing import echo
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.export.forms import FORMS, VOC
from sixrayd.export.settings import ExportSettings

option = options_of(ExportSettings)


def _form_options(command: F) -> F:
    """A flag for each form."""
    for form in reversed(FORMS):
        note = f"Write {FORMS[form].title}." + "  [default]" * (form == VOC)
        command = click.option(f"--{form}", "form", flag_value=form, default=VOC, help=note)(
            command
        )
    return command


@click.command()
@workspace_option
@_form_options
@option(
    "--review",
    multiple=True,
    type=str,
    default=None,
    metavar="NAME",
    help="Use this review's decisions; may be repeated.  [default: all reviews]",
)
@option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write.  [default: export/NAME of the workspace]",
)
@option("--with-negatives/--without-negatives", help="Copy images that hold nothing, too.")
@consensus_option
@split_option
@option(
    "--pseudonyms",
    help="Replace reviewers' names, by the same pseudonyms in every export of the workspace.",
)
@option("--force", help="Replace an export of other inputs or settings.")
@json_option
def export(
    workspace: Workspace,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the corrected dataset.

    \b
    Example:
      sixrayd export --voc --out SIXray-D
    """
    from sixrayd.export.stage import export as run_export

    result = run_export(workspace, ExportSettings(**options))
    for note in result.notes:
        echo(f"note: {note}", err=True)
    if as_json:
        print_json(result)
        return
    verb = "wrote" if result.written else "nothing to do, unchanged:"
    echo(f"{verb} {result.tree}")
    for state, count in result.states.items():
        echo(f"  {count:>9,}  {state}")
    images = ", ".join(f"{count:,} {split}" for split, count in result.images.items())
    echo(f"VOC tree: {images} images, {counted(sum(result.origins.values()), 'box')}")
    echo_next(workspace)
