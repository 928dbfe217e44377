"""`sixrayd diff`: what changed between two sets."""

from pathlib import Path
from typing import Any

import click

from sixrayd.core.command import json_option, options_of, print_json, reported
from sixrayd.core.printing import echo
from sixrayd.core.words import counted
from sixrayd.diff.settings import DiffSettings

option = options_of(DiffSettings)
_PLACE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("a", type=_PLACE)
@click.argument("b", type=_PLACE)
@click.option(
    "--patch",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what leads from A's labels to B's; `sixrayd patch` shows and applies it.",
)
@option("--iou", help="Overlap from which two boxes show one thing.")
@option("--classes", help="Compare these alone.  [default: all that the sets name]")
@option("--images/--no-images", help="Compare images, too, or labels alone.")
@option("--examples", help="How many of each kind are shown.")
@option("--force", help="Let --patch replace another patch.")
@click.option("--check", is_flag=True, help="Exit with 3 unless there is no difference.")
@json_option
@click.pass_context
def diff(
    context: click.Context,
    /,
    a: Path,
    b: Path,
    patch: Path | None,
    check: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what changed from A to B: images, boxes, sides of splits.

    A and B are workspaces (the release as it was taken in), exports, or other sets: folders or
    zips, with images or with labels alone. Boxes are compared in whole pixels.

    \b
    Example:
      sixrayd diff workspace SIXray-D --patch sixray-d.patch
    """
    from sixrayd.diff.printing import diff_document, diff_lines, finding_lines
    from sixrayd.diff.stage import compare_places

    settings = DiffSettings(**options)
    with reported() as report:
        result = compare_places(a, b, settings, patch, report)
    for place, labelled in ((a, result.a), (b, result.b)):
        for line in finding_lines(labelled.findings, settings.examples):
            echo(f"note: {place}: {line}", err=True)
    forms = (result.a.form, result.b.form)
    if as_json:
        print_json(diff_document(result.diff, (result.a, result.b)))
    else:
        for line in diff_lines(result.diff, forms, settings.examples):
            echo(line)
    if patch is not None:
        echo(f"wrote {patch}: {counted(result.patched or 0, 'image')}", err=as_json)
    if check and result.diff.differs:
        context.exit(3)
