"""Training views a second, by cores: one core with one thread against several with as many.

Example:
    python -m benchmarks.views --images DIR --side 512 --rounds 7

All take turns, so that drift hits all alike; the process is held to the cores that it is to use.
Images are real or any others; each is read, decoded, cut, resized and lit as in training.
"""

import json
import os
from itertools import count
from pathlib import Path

import click

from benchmarks.interleaved import interleaved_s
from sixrayd.imaging.decode import decode_rgb
from sixrayd.train.examples import Example, ExampleSet

BATCH = 32


def examples_of(folder: Path, side: int, window: float) -> ExampleSet:
    """A set in which every image of a folder has a box in its middle."""
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    boxed = []
    for name, path in files.items():
        height, width = decode_rgb(path.read_bytes(), name).shape[:2]
        boxed.append(Example(name, ((0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height),), (1,)))
    return ExampleSet(
        tuple(boxed),
        (),
        lambda name: decode_rgb(files[name].read_bytes(), name),
        0.0,
        window,
        side,
        0,
    )


@click.command()
@click.option("--images", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--side", default=512, show_default=True, help="Of a view, in pixels.")
@click.option("--window", default=0.0, show_default=True, help="As of `sixrayd train`.")
@click.option("--rounds", default=7, show_default=True)
def main(images: Path, side: int, window: float, rounds: int) -> None:
    """Print one JSON document."""
    examples = examples_of(images, side, window)
    cores = sorted(os.sched_getaffinity(0))
    epochs = count()
    made = len(examples.positives) // BATCH * BATCH

    def views(of: int) -> None:
        os.sched_setaffinity(0, cores[:of])
        total = sum(len(b.images) for b in examples.batches(next(epochs), BATCH, workers=of))
        if total != made:
            raise click.ClickException(f"{total} views, expected {made}; give at least {BATCH}")

    sizes = sorted({1, 2, len(cores)} & set(range(1, len(cores) + 1)))
    times = interleaved_s({str(of): lambda of=of: views(of) for of in sizes}, rounds)
    rates = {of: round(made / seconds, 1) for of, seconds in times.items()}
    scaling = {of: round(rates[of] / rates["1"] / int(of), 3) for of in rates}
    click.echo(json.dumps({"views_per_s": rates, "of_perfect_scaling": scaling}, indent=2))


if __name__ == "__main__":
    main()
