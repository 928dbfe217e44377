"""`sixrayd mine`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sixrayd.advice.next_step import echo_next
from sixrayd.core.command import json_option, options_of, print_json, reported, workspace_option
from sixrayd.core.errors import SettingsError
from sixrayd.core.printing import echo
from sixrayd.core.settings_file import OutsideOption
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.crop.options import tdc_options
from sixrayd.detectors.catalogue import BACKENDS
from sixrayd.mine.settings import TDC, MineSettings

# The options of mining that say something of another model's detections as well.
_FOR_DETECTIONS = {"workspace", "as_json", "name", "threshold", "on_error", "force"}
_MANY = 1000  # flagged images; some hours' work of one person
if TYPE_CHECKING:
    from sixrayd.mine.stage import MineResult

option = options_of(MineSettings)


@click.command()
@click.argument("shards", nargs=-1)
@workspace_option
@option("--model", help="Name of a trained model.  [default: the newest]")
@option("--name", help="Name of the result.  [default: the model's]")
@option("--threshold", help="Least score of a candidate, 0 to 1.")
@option(
    "--mirror/--no-mirror",
    help="Look at mirror images too: twice the work, steadier scores.",
)
@option(
    "--crop",
    help="Look only where the bag is (tdc), or at overlapping parts and the whole (tiles).",
)
@tdc_options(TDC)
@option("--dynamic", help="Keep each image's aspect ratio.")
@option(
    "--cascade",
    help="A small trained model that looks first; --model sees what it doubts.  [default: none]",
)
@option("--keep", help="Share of --model's finds that --cascade may not lose, 0 to 1.")
@option("--batch", help="Images a step.  [default: 16; on a GPU 64, or what fits]")
@option("--device", help="Where to look; auto takes the GPU where there is one.")
@option("--backend", help=f"What runs the network: auto, or {', '.join(BACKENDS)}.")
@option("--threads", help="Cores a worker uses.  [default: all]")
@option("--workers", help="Shards at once.  [default: what the machine or cluster bears]")
@option("--engine", help="Where workers run: on this machine, or on a Ray cluster.")
@option("--address", help="Address of a Ray cluster.  [default: one on this machine]")
@option("--shards-at", help="URL of the shards, s3:// and gs:// too.  [default: the workspace]")
@option("--parts-at", help="URL that takes finished parts.  [default: the workspace]")
@option(
    "--on-error", help="What an unreadable image does; skips are listed and end in exit code 3."
)
@option("--force", help="Replace a mining of other settings, another model or other detections.")
@click.option(
    "--progress",
    type=click.Choice(["bar", "json"]),
    default="bar",
    show_default=True,
    help="On stderr: a bar, or a line of JSON a second.",
)
@click.option("--dry-run", is_flag=True, help="Say what is left, and how long it will take.")
@click.option(
    "--detections",
    cls=OutsideOption,
    type=click.Path(exists=True, path_type=Path),
    help="Take over another model's detections instead: COCO as JSON (results, or a dataset whose "
    "annotations carry scores), or a folder or zip of VOC XML.",
)
@click.option(
    "--coco-images",
    cls=OutsideOption,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The COCO dataset that names images and classes for a list of results.",
)
@click.option(
    "--model-name", default="", help="Name of what made the detections.  [default: --name]"
)
@json_option
@click.pass_context
def mine(
    context: click.Context,
    /,
    workspace: Workspace,
    as_json: bool,
    progress: str,
    dry_run: bool,
    **options: Any,
) -> None:
    """Run the detector over the negatives and rank candidates; interrupted, it goes on.

    SHARD names restrict this call to some of the shards.

    \b
    Example:
      sixrayd mine --dry-run
      sixrayd mine --threshold 0.2
      sixrayd mine --crop tdc --k 0.2 --dynamic
      sixrayd mine --engine ray --address auto
      sixrayd mine --detections results.json --coco-images images.json --name other
    """
    external = {key: options.pop(key) for key in ("detections", "coco_images", "model_name")}
    if external["detections"] is not None:
        _refuse_others(context, external)
        kept = {key: options[key] for key in ("name", "threshold", "on_error", "force")}
        _take(workspace, as_json, {**kept, **external})
        return
    if any(external.values()):
        raise SettingsError("--coco-images, --model-name: belong to --detections; add it")
    settings = MineSettings(**options)
    if dry_run:
        _tell(workspace, settings, as_json)
        return
    from sixrayd.mine.stage import mine as mine_stage

    result = mine_stage(workspace, settings, progress)
    if as_json:
        print_json(result)
    else:
        _print_mined(result)
        _tell_of_plan(workspace, result.flagged)
        echo_next(workspace)
    if result.skipped:
        sys.exit(3)


def _print_mined(result: "MineResult") -> None:
    echo(
        f"mined {counted(result.images, 'negative')} in {result.shards_done} of "
        f"{counted(result.shards, 'shard')}: "
        f"{counted(result.candidates, 'candidate')} in "
        f"{counted(result.flagged, 'image')}, {result.skipped} skipped"
    )
    for line in result.removed.lines():
        echo(line)
    if result.believed is not None:
        echo(
            f"believed to hold contraband: {result.believed:,.0f} of them, if what was missed "
            "scores as known contraband does; only a review can tell"
        )
    if result.drawn_from is not None and result.drawn_right is not None:
        none = f"; none of {', '.join(result.not_drawn)}" if result.not_drawn else ""
        echo(
            f"drawn for reviewers: boxes that score {result.drawn_from:.2g} or more, right in "
            f"{result.drawn_right:.0%} of cases on known contraband{none}"
        )
    elif result.not_drawn:
        echo(
            f"drawn for reviewers: no box of {', '.join(result.not_drawn)}, since on known "
            "contraband no score makes half of them right"
        )
    _tell_skipped(result.skipped, result.folder, "images")


def _tell_of_plan(workspace: Workspace, flagged: int) -> None:
    if flagged >= _MANY:
        line = workspace.command("sixrayd plan --reviewers 3 --days 10")
        echo(f"before so many go to people: `{line}` divides reviewers' hours over them")


def _tell_skipped(
    skipped: int, folder: str, what: str, reasons: Mapping[str, int] | None = None
) -> None:
    most_first = sorted((reasons or {}).items(), key=lambda each: -each[1])
    said = ": " * bool(most_first) + ", ".join(f"{n:,} × {why}" for why, n in most_first)
    if skipped:
        echo(f"skipped {what} are listed in {folder}/skipped.jsonl{said}", err=True)


def _refuse_others(context: click.Context, external: dict[str, Any]) -> None:
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") == ParameterSource.COMMANDLINE
        if given and parameter.name not in _FOR_DETECTIONS | external.keys():
            raise SettingsError(f"{parameter.opts[0]}: says nothing of --detections; leave it out")


def _take(workspace: Workspace, as_json: bool, options: dict[str, Any]) -> None:
    from sixrayd.mine.external import ExternalSettings, take_detections

    with reported() as report:
        result = take_detections(workspace, ExternalSettings(**options), report)
    if as_json:
        print_json(result)
    else:
        echo(
            f"taken over {result.name}: {counted(result.candidates, 'candidate')} in "
            f"{counted(result.flagged, 'negative')}; passed over "
            f"{result.below_threshold} below the threshold, "
            f"{result.not_negatives} on other images, {result.skipped} skipped"
        )
        if not any(
            (result.candidates, result.below_threshold, result.not_negatives, result.skipped)
        ):
            echo(
                f"caution: {options['detections']} holds no detection; the dataset that names "
                "images goes to --coco-images"
            )
        _tell_skipped(result.skipped, result.folder, "detections", result.reasons)
        _tell_of_plan(workspace, result.flagged)
        echo_next(workspace)
    if result.skipped:
        sys.exit(3)


def _tell(workspace: Workspace, settings: MineSettings, as_json: bool) -> None:
    from sixrayd.mine.forecast import forecast

    found = forecast(workspace, settings)
    if as_json:
        print_json(found)
        return
    for line in found.lines():
        echo(line)
