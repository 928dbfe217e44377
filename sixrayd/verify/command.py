"""`sixrayd verify`: compute a certificate's bound again."""

import json
from pathlib import Path

import click

from sixrayd.core.command import json_option, print_json, reported
from sixrayd.core.printing import echo


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--commitment", default="", help="The line that was published with the last draw.")
@json_option
@click.pass_context
def verify(context: click.Context, file: Path, commitment: str, as_json: bool) -> None:
    """Compute a certificate's bound again; no workspace is needed.

    \b
    Example:
      sixrayd verify missed.certificate
    """
    from sixrayd.verify.stage import verify as run_verify

    with reported() as report:
        result = run_verify(file, commitment, report)
    if as_json:
        print_json(result)
    else:
        for line in result.checked:
            echo(f"checked  {line}")
        for line in result.draws:
            echo(f"drawn    {line}")
        for line in result.rests_on:
            echo(f"rests on  {line}")
    if result.fault:
        echo(f"{file}: {result.fault}", err=True)
        context.exit(3)
    if not as_json:
        # In quotes, which their own words cannot leave.
        name, signer = (
            json.dumps(said, ensure_ascii=False) for said in (result.name, result.signed_by)
        )
        echo(f"sound: {name}, names {signer} as signer (not proven), at {result.signed_at}")
        echo(f"SHA-256 {result.sha256}")
