"""`sixrayd benchmark`."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from sixrayd.advice.next_step import echo_next
from sixrayd.benchmark.saying import lines_of
from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.core.command import json_option, options_of, print_json, workspace_option
from sixrayd.core.printing import echo
from sixrayd.core.settings_file import OutsideOption
from sixrayd.core.workspace import Workspace
from sixrayd.crop.options import canny_options, tdc_options
from sixrayd.crop.settings import EXACT

option = options_of(BenchmarkSettings)
_OF_TRAINING = ("epochs", "input_size", "window", "micro_batch", "amp")


@click.command()
@workspace_option
@option(
    "--voc",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A VOC tree.  [default: the newest export]",
)
@option("--name", help="Name of the result.  [default: the tree's folder]")
@option(
    "--protocol",
    help="Whose digits and rows: this project's, or those of the paper as its authors ran them.",
)
@option(
    "--detectors",
    help="Names with commas between; the last one also runs with crops.  "
    "[default: ssd512,retinanet512,rfb512; modern without a GPU their small forms]",
)
@option(
    "--models",
    help="Trained models by name, such as those of two rounds, in place of --detectors; the last "
    "one also runs with crops.",
)
@option("--classes", help="Classes in order.  [default: the tree's]")
@option(
    "--split",
    metavar="NAME|FILE",
    help="Judge by this split of the workspace, given or leak-free, or by that of a .csv or .json "
    "file, as of `sixrayd download`.  [default: the tree's lists]",
)
@click.option("--train-missing", is_flag=True, help="Train detectors that have no weights.")
@option(
    "--train-cropped", help="Also train the last detector on TDC's crops, for a row of its own."
)
@click.option(
    "--epochs", type=int, help="Of --train-missing.  [default: the recipe's, or the protocol's 200]"
)
@click.option("--input-size", type=int, help="Of --train-missing, see `sixrayd train`.")
@click.option("--window", type=float, help="Of --train-missing, see `sixrayd train`.")
@click.option("--micro-batch", type=int, help="Of --train-missing, see `sixrayd train`.")
@click.option("--amp", default="auto", help="Of --train-missing, see `sixrayd train`.")
@click.option(
    "--init",
    default="auto",
    show_default=True,
    metavar="SOURCE",
    cls=OutsideOption,
    help="Of --train-missing, see `sixrayd train`. One for all detectors, or one for each: "
    "ssd512=vgg16,retinanet512=resnet50; who is not named gets auto.",
)
@option(
    "--scale",
    help="Pixels of a dynamic input for a pixel of the image.  [default: makes a median image as "
    "large as the fixed input]",
)
@tdc_options(EXACT, k="the best on validation images")
@canny_options
@option("--margin", help="Mean AP that TDC may lose, 0 to 1.")
@option("--resamples", help="Resamples of the bootstrap.")
@option("--validation", help="Images that k is chosen on, at most.")
@option("--timing", help="Images that are timed, at most.")
@option(
    "--images",
    help="Test images with objects, and as many without, at most, for a first look."
    "  [default: all]",
)
@option(
    "--saliency",
    type=click.Path(path_type=Path, exists=True),
    help="Weights of the aesthetic crop's saliency network.  [default: none]",
)
@option(
    "--regression",
    type=click.Path(path_type=Path, exists=True),
    help="Weights of the aesthetic crop's regression network.  [default: none]",
)
@option("--seed", help="Seed of all that is drawn.")
@option("--device", help="Where to compute; auto takes the GPU where there is one.")
@option("--force", help="Replace a benchmark of other settings.")
@json_option
@click.pass_context
def benchmark(
    context: click.Context,
    /,
    workspace: Workspace,
    train_missing: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare detectors and crops on a VOC tree: accuracy, time, and what crops cost.

    \b
    Example:
      sixrayd benchmark --voc VOCdevkit/VOC2007 --train-missing --epochs 12
    """
    from sixrayd.benchmark.stage import benchmark as benchmark_stage
    from sixrayd.detectors.starts import check_starts, sources_of

    training = {key: options.pop(key) for key in _OF_TRAINING}
    sources = sources_of(options.pop("init"))

    def trainer(data: Workspace, detectors: Sequence[str]) -> None:
        root = context.find_root()
        train = root.command.get_command(root, "train")  # type: ignore[attr-defined]
        wishes = {**training, "seed": options["seed"], "device": options["device"]}
        starts = {detector: sources.get(detector, sources[""]) for detector in detectors}
        check_starts(data, starts)
        for detector, init in starts.items():
            with (
                click.Context(train, parent=context, info_name="train") as inner,
                redirect_stdout(sys.stderr),  # what training says is no result of the benchmark
            ):
                inner.invoke(train, workspace=data, detector=detector, init=init, **wishes)

    settings = BenchmarkSettings(**options)
    if settings.models and train_missing:
        raise click.UsageError("--models names trained models; leave --train-missing out")
    if training["epochs"] is None:
        training["epochs"] = settings.rules.epochs
    command = " ".join(["sixrayd", *sys.argv[1:]])
    result = benchmark_stage(workspace, settings, trainer, command, train_missing=train_missing)
    if as_json:
        print_json(result)
        return
    for line in lines_of(result):
        echo(line)
    if settings.voc is None:
        echo_next(workspace)
