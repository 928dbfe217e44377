"""`sixrayd export`: write the corrected dataset."""

import shlex
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
from sixrayd.core.records import EMPTY_SETS
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.export.forms import FORMS, VOC
from sixrayd.export.image_files import ImagesBy
from sixrayd.export.settings import ExportSettings

option = options_of(ExportSettings)


def _form_options(command: F) -> F:
    """A flag for each form."""
    for form in reversed(FORMS):
        note = f"Write {FORMS[form].title}." + "  [default]" * (form == VOC)
        command = click.option(f"--{form}", form, is_flag=True, help=note)(command)
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
@option(
    "--with",
    "sets",
    metavar="SET,SET…",
    help="Write images that hold nothing, too, as image sets of their own: "
    f"{', '.join(EMPTY_SETS)}.",
)
@option("--with-negatives/--without-negatives", help="Copy images that hold nothing, too.")
@option(
    "--images",
    type=click.Choice([str(how) for how in ImagesBy]),
    default=str(ImagesBy.COPY),
    callback=lambda context, option, value: ImagesBy(value),
    help="How image files get there: links lead from one form to another, or to --images-from; a "
    "reflink shares blocks where the file system can.",
)
@option(
    "--images-from",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder with the release's images, for links to lead to.",
)
@option(
    "--with-trainval/--without-trainval",
    "trainval",
    help="Write VOC's list trainval, which equals train; Datumaro counts both.  [default: with]",
)
@option("--looks", help="Say in each XML who looked at its image, and when.")
@option(
    "--version",
    metavar="TEXT",
    help="What this version of the dataset is called, as 1.2.0.  [default: a hash of what it "
    "holds]",
)
@option(
    "--parent",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Export that this one is made from; CHANGELOG.md says what changed since.  [default: the "
    "one that it replaces]",
)
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
      sixrayd export --coco --yolo --with confusing,audited_empty --images hardlink
    """
    from sixrayd.export.stage import export as run_export

    asked = [form for form in FORMS if options.pop(form)]
    result = run_export(workspace, ExportSettings(forms=tuple(asked or [VOC]), **options))
    for note in result.notes:
        echo(f"note: {note}", err=True)
    if as_json:
        print_json(result)
        return
    if result.written:
        echo(f"wrote {result.tree}")
    else:
        echo(f"nothing to do, the same was written before: {result.tree}")
        echo(f"`sixrayd validate {shlex.quote(result.tree)}` checks its files; --force mends it")
    for state, count in result.states.items():
        echo(f"  {count:>9,}  {state}")
    images = ", ".join(f"{count:,} {split}" for split, count in result.images.items())
    what = "VOC tree" if result.forms == (VOC,) else ", ".join(result.forms)
    echo(f"{what}: {images} images, {counted(sum(result.origins.values()), 'box')}")
    for name, sides in result.sets.items():
        echo(f"{name}: " + ", ".join(f"{count:,} {side}" for side, count in sides.items()))
    echo_next(workspace)
