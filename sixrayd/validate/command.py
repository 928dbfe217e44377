"""`sixrayd validate`: check an export wherever it lies."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sixrayd.core.command import json_option, options_of, print_json, reported
from sixrayd.core.printing import echo
from sixrayd.core.words import counted
from sixrayd.validate.settings import ValidateSettings

if TYPE_CHECKING:
    from sixrayd.validate.settings import Validation

option = options_of(ValidateSettings)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("place", metavar="DIR", type=_FOLDER)
@option("--most", help="Faults that are told; all are counted.")
@option("--follow", help="Read images through links that lead out of DIR.")
@json_option
@click.pass_context
def validate(context: click.Context, /, place: Path, as_json: bool, **options: Any) -> None:
    """Check an export: files, tables, lists and labels; exit with 3 where there are faults.

    No workspace is needed; DIR may have been moved, or be read-only.

    \b
    Example:
      sixrayd validate SIXray-D
      sixrayd validate SIXray-D --json --most 1000
    """
    from sixrayd.validate.stage import validate as run_validate

    with reported() as report:
        result = run_validate(place, ValidateSettings(**options), report)
    if as_json:
        print_json(result)
    else:
        _print(result)
    if result.faults:
        context.exit(3)


def _print(result: "Validation") -> None:
    for note in result.notes:
        echo(f"note: {note}", err=True)
    for fault in result.first:
        echo(f"fault: {fault}")
    if result.faults > len(result.first):
        echo(f"and {result.faults - len(result.first):,} more; --most tells them")
    if result.faults:
        for where, count in result.kinds.items():
            echo(f"{count:>9,}  {where}")
    echo(
        f"{counted(result.files, 'file')}, {counted(result.images, 'image')}, "
        f"{counted(result.boxes, 'box')}: {counted(result.faults, 'fault')}"
    )
    if not result.faults:
        name = f"version {result.version} in {', '.join(result.forms)}" if result.version else ""
        echo(f"sound: {result.place}" + f", {name}" * bool(name))
