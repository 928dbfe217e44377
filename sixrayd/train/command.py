"""`sixrayd train`."""

import shlex
from typing import Any

import click

from sixrayd.advice.next_step import LEARNT, echo_next
from sixrayd.advice.rounds import is_outdated
from sixrayd.core.command import (
    is_part_of_another,
    json_option,
    options_of,
    print_json,
    split_option,
    workspace_option,
)
from sixrayd.core.errors import printable
from sixrayd.core.printing import echo
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.train.settings import TrainSettings


class _DecayOrOff(click.ParamType[float]):
    """A number, or "off" for 0."""

    name = "decay"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """As a number."""
        return click.FLOAT.convert(0 if value == "off" else value, param, ctx)


option = options_of(TrainSettings)


@click.command()
@workspace_option
@option(
    "--detector",
    type=click.Choice(["auto", *DETECTORS]),
    help="Detector to train; auto takes rfb512 on a GPU, else rfb-lite0.",
)
@option("--name", help="Name of the result.  [default: the detector's]")
@option(
    "--epochs",
    help="Passes over the positives; the recipe's steps and warm-up keep their places in "
    "proportion.  [default: the recipe's]",
)
@option("--batch", help="Images a step.  [default: the recipe's]")
@option(
    "--micro-batch",
    help="Images that are computed at once, for a GPU of little memory: the gradient stays that of "
    "the whole batch, batch norms go by their part, a step takes a third longer or more.  "
    "[default: a batch]",
)
@option(
    "--amp",
    help="Short numbers to multiply in: bf16, fp16 (GPU only, the loss is scaled), or off; auto "
    "takes bf16 on a GPU that has it, from Ampere on, else off.",
)
@option(
    "--learning-rate",
    "--rate",
    envvar="SIXRAYD_TRAIN_RATE",
    help="Peak learning rate.  [default: the recipe's]",
)
@option(
    "--background",
    help="Negatives shown for each positive; 0 learns from positives alone, as the paper does.  "
    "[default: the recipe's]",
)
@option(
    "--window",
    help="Side of a training view as a share of the image's, above 0; 0 draws SSD's views.  "
    "[default: the recipe's]",
)
@option(
    "--input-size",
    help="Side of the input, pixels, a multiple of 32; small detectors only.  "
    "[default: the detector's]",
)
@option(
    "--init",
    help="Weights to start from: auto, none for a random start, a file (RFBNet's, SSD's or "
    "torchvision's .pth, our .safetensors), a trained model's name, or vgg16-reduced, vgg16, "
    "resnet50 or retinanet, which lie in the folder that SIXRAYD_WEIGHTS names or are fetched. "
    "auto takes what the recipe expects: vgg16-reduced for SSD and RFB, resnet50 for RetinaNet, "
    "efficientnet-lite0 for -lite0 detectors, none for -small ones.",
)
@option(
    "--round",
    help="A review to learn from as well, after `sixrayd review next`: found boxes, and half of "
    "the backgrounds from images that people cleared.  [default: none]",
)
@option(
    "--ema",
    "ema_decay",
    type=_DecayOrOff(),
    metavar="DECAY|off",
    help="Decay of the moving average of the weights, which is what is kept, or off.  "
    "[default: the recipe's]",
)
@split_option
@option(
    "--validate-every",
    help="Epochs from one validation to the next: mean AP on what is held out, in the curves, and "
    "the best weights beside the last.  [default: at the end alone]",
)
@option("--weights", help="Which of these become weights.safetensors, that others use.")
@option("--validation", help="Share of near-duplicate groups held out, 0 to 1.")
@option("--seed", help="Seed of what is held out and of all that is drawn.")
@option("--device", help="Where to train; auto takes the GPU where there is one.")
@option("--force", help="Replace a training of other settings.")
@json_option
def train(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Train a detector on the release's positives; interrupted, it goes on.

    \b
    Example:
      sixrayd train --detector rfb512 --epochs 60
      sixrayd train --round first --init rfb-lite0 --name second --epochs 8 --learning-rate 5e-4
      torchrun --nproc-per-node 4 --master-port 29500 -m sixrayd train --detector rfb512
    """
    from sixrayd.train.stage import train as train_stage
    from sixrayd.train.team import is_silent

    if (review := options["round"]) and is_outdated(workspace, review):
        again = workspace.command(f"sixrayd review next --name {shlex.quote(review)}")
        echo(
            f"caution: --round {printable(review)}: decisions or the release have changed since it "
            f"was written, and it is learnt from as it is; `{again}` writes it anew",
            err=True,
        )
    result = train_stage(workspace, TrainSettings(**options))
    if is_silent():
        return
    if as_json:
        print_json(result)
        return
    what = "trained" if result.fresh else "already trained"
    echo(
        f"{what} {result.name}: {counted(result.positives, 'positive')}, "
        f"{counted(result.backgrounds, 'background')}, "
        f"{counted(result.epochs, 'epoch')}"
    )
    for what, count in result.round.items():
        echo(f"  of the round, {what}: {count}")
    if result.best_epoch:
        echo(f"  best of the validated epochs: {result.best_epoch}")
    for label, precision in result.validation.items():
        echo(f"  validation AP {label}: {precision:.3f}")
    if result.caution:
        echo(f"caution: {result.caution}")
    echo(f"weights and curves: {result.folder}")
    if is_part_of_another():
        return
    if result.validation.get("mean", 1.0) < LEARNT:
        echo("It has learnt next to nothing yet.", err=True)
    echo_next(workspace)
