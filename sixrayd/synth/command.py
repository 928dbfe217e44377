"""`sixrayd synth`: a synthetic release on the command line."""

from pathlib import Path

import click

from sixrayd.core.command import json_option, print_json
from sixrayd.synth.settings import SynthSettings

DEFAULTS = SynthSettings()


@click.command(
    epilog="Example:  sixrayd synth release/ --images 1200 --seed 7 --workers 4",
    context_settings={"show_default": True},
)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--images", type=click.IntRange(1), default=DEFAULTS.images, help="How many.")
@click.option(
    "--seed", type=click.IntRange(0), default=DEFAULTS.seed, help="Same seed, same bytes."
)
@click.option(
    "--positives",
    type=click.FloatRange(0, 1),
    default=DEFAULTS.positives,
    help="Share of images that are labelled positive.",
)
@click.option(
    "--hidden",
    type=click.FloatRange(0, 1),
    default=DEFAULTS.hidden,
    help="Share of negatives that hold contraband nobody labelled.",
)
@click.option(
    "--duplicates",
    type=click.FloatRange(0, 1),
    default=DEFAULTS.duplicates,
    help="Share of images that show another image's bags again.",
)
@click.option(
    "--hidden-copies",
    type=click.FloatRange(0, 1),
    default=DEFAULTS.hidden_copies,
    help="Share of the hidden that show a positive's bags again.",
)
@click.option(
    "--margins",
    type=click.FloatRange(0, 1),
    default=DEFAULTS.margins,
    help="Most empty belt added on each side, as a share of the picture's.",
)
@click.option(
    "--part-bytes",
    type=click.IntRange(1),
    default=DEFAULTS.part_bytes,
    help="Size of a piece of the archive.",
)
@click.option(
    "--jpeg-quality", type=click.IntRange(1, 95), default=DEFAULTS.jpeg_quality, help="Of images."
)
@click.option(
    "--classes",
    default=",".join(DEFAULTS.classes),
    help="What to hide, in the order of the label columns.",
)
@click.option("--workers", type=click.IntRange(1), default=DEFAULTS.workers, help="Processes.")
@click.option("--force", is_flag=True, help="Replace OUT and its truth.")
@json_option
def synth(out: Path, classes: str, force: bool, as_json: bool, **options: float) -> None:
    """Write a synthetic release to OUT in SIXray's format; the truth goes to OUT-truth."""
    from sixrayd.synth import synthesize

    names = tuple(name.strip() for name in classes.split(","))
    settings = SynthSettings(classes=names, **options)  # type: ignore[arg-type]
    result = synthesize(out, settings, force=force, show_progress=True)
    if as_json:
        print_json(result)
    else:
        click.echo("\n".join(result.lines()))
