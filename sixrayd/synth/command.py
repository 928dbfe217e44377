"""`sixrayd synth`: a synthetic release on the command line."""

from pathlib import Path
from typing import Any

import click

from sixrayd.core.command import json_option, options_of, print_json
from sixrayd.core.printing import echo
from sixrayd.synth.settings import SynthSettings

option = options_of(SynthSettings)
SHARE = click.FloatRange(0, 1)


@click.command(epilog="Example:  sixrayd synth release/ --images 1200 --seed 7 --workers 4")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@option("--images", type=click.IntRange(1), help="Images in the release.")
@option("--seed", type=click.IntRange(0), help="Seed; the same one gives the same bytes.")
@option("--positives", type=SHARE, help="Share of images that are labelled positive, 0 to 1.")
@option(
    "--hidden", type=SHARE, help="Share of negatives that hold contraband nobody labelled, 0 to 1."
)
@option(
    "--duplicates", type=SHARE, help="Share of images that show another image's bags again, 0 to 1."
)
@option(
    "--hidden-copies", type=SHARE, help="Share of the hidden that show a positive's bags again."
)
@option(
    "--margins",
    type=SHARE,
    help="Most empty belt added on each side, as a share of the picture's, 0 to 1.",
)
@option("--part-bytes", type=click.IntRange(1), help="Bytes of a piece of the archive.")
@option("--jpeg-quality", type=click.IntRange(1, 95), help="Quality of the JPEGs, 1 to 95.")
@option("--classes", help="Classes to hide, in the order of the label columns.")
@option("--workers", type=click.IntRange(1), help="Processes that draw.")
@click.option("--force", is_flag=True, help="Replace OUT and its truth.")
@json_option
def synth(out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Write a synthetic release to OUT in SIXray's format; the truth goes to OUT-truth."""
    from sixrayd.synth import synthesize

    settings = SynthSettings(**options)
    result = synthesize(out, settings, force=force, show_progress=True)
    if as_json:
        print_json(result)
    else:
        for line in result.lines():
            echo(line)
