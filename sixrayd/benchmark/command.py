"""`sixrayd benchmark`."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from sixrayd.core.command import json_option, print_json, workspace_option
from sixrayd.core.workspace import Workspace


def _names(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.command()
@workspace_option
@click.option(
    "--voc",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A VOC tree.  [default: the newest export]",
)
@click.option("--name", default="", help="Of the result.  [default: the tree's folder]")
@click.option(
    "--detectors",
    default="",
    callback=_names,
    help="Names with commas between; the last one also runs with crops.  "
    "[default: ssd512,retinanet512,rfb512 on a GPU, else their small forms]",
)
@click.option("--classes", default="", callback=_names, help="In order.  [default: the tree's]")
@click.option("--train-missing", is_flag=True, help="Train detectors that have no weights.")
@click.option(
    "--train-cropped",
    is_flag=True,
    help="Also train the last detector on TDC's crops, for a row of its own.",
)
@click.option("--epochs", type=int, help="Of --train-missing.  [default: the recipe's]")
@click.option("--input-size", type=int, help="Of --train-missing, see `sixrayd train`.")
@click.option("--window", type=float, help="Of --train-missing, see `sixrayd train`.")
@click.option("--init", default="", help="Of --train-missing, see `sixrayd train`.")
@click.option(
    "--scale",
    type=float,
    default=0.0,
    help="Pixels of a dynamic input for a pixel of the image.  [default: makes a median image as "
    "large as the fixed input]",
)
@click.option(
    "--margin", type=float, default=0.005, show_default=True, help="Mean AP that TDC may lose."
)
@click.option(
    "--resamples", type=int, default=1000, show_default=True, help="Of the bootstrap's groups."
)
@click.option(
    "--validation", type=int, default=200, show_default=True, help="Images that k is chosen on."
)
@click.option("--timing", type=int, default=50, show_default=True, help="Images that are timed.")
@click.option("--saliency", type=click.Path(path_type=Path, exists=True), help="Aesthetic crop's.")
@click.option(
    "--regression", type=click.Path(path_type=Path, exists=True), help="Aesthetic crop's."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option("--force", is_flag=True, help="Replace a benchmark of other settings.")
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
    from sixrayd.benchmark.settings import BenchmarkSettings
    from sixrayd.benchmark.stage import benchmark as benchmark_stage

    training = {key: options.pop(key) for key in ("epochs", "input_size", "window", "init")}

    def trainer(data: Workspace, detector: str) -> None:
        root = context.find_root()
        train = root.command.get_command(root, "train")  # type: ignore[attr-defined]
        wishes = {**training, "seed": options["seed"], "device": options["device"]}
        with (
            click.Context(train, parent=context, info_name="train") as inner,
            redirect_stdout(sys.stderr),  # what training says is no result of the benchmark
        ):
            inner.invoke(train, workspace=data, detector=detector, **wishes)

    settings = BenchmarkSettings(**options)
    command = " ".join(["sixrayd", *sys.argv[1:]])
    result = benchmark_stage(workspace, settings, trainer, command, train_missing=train_missing)
    if as_json:
        print_json(result)
        return
    for key, mean in result.means.items():
        click.echo(f"{mean:7.2%}  {key}")
    for label, why in result.absent.items():
        click.echo(f"     –   {label}: {why}")
    click.echo(f"k chosen on validation images: {result.chosen_k:g}")
    click.echo(f"look at it: {result.folder}/report.html")
