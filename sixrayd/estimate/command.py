"""`sixrayd estimate`: what is still missed."""

import shlex
from pathlib import Path
from typing import Any

import click

from sixrayd.advice.next_step import echo_next
from sixrayd.core.command import (
    consensus_option,
    json_option,
    options_of,
    print_json,
    reported,
    workspace_option,
)
from sixrayd.core.printing import echo
from sixrayd.core.settings_file import OutsideOption
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.settings import EstimateSettings, LabelSettings, SampleSettings, Target
from sixrayd.statistics.settings import BoundSettings

bound, target = options_of(BoundSettings), options_of(Target)
labels = options_of(LabelSettings)


@click.command()
@workspace_option
@options_of(EstimateSettings)("--name", help="Name of the review.  [default: the newest]")
@click.option("--plan", is_flag=True, help="Say what a bound costs, before anyone starts.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N more units at random for spot checks; `sixrayd review push` sends them.",
)
@options_of(SampleSettings)("--seed", help="With a draw: new dice throws, for instance.")
@click.option(
    "--looks",
    metavar="N,N,…",
    default="",
    help="With the first draw: plan looks at about so many groups in all, which halves the bound, "
    "and draw the first.",
)
@click.option("--next-look", is_flag=True, help="Draw for the next planned look.")
@click.option(
    "--certify",
    cls=OutsideOption,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write one file from which `sixrayd verify` computes the bound again.",
)
@labels(
    "--labels",
    "number",
    type=click.IntRange(1),
    default=None,
    show_default=False,
    metavar="N",
    help="Have N labelled images drawn at random looked at, and say how many have a faulty label; "
    "again says how far that is.",
)
@labels(
    "--blind",
    type=click.FloatRange(0, 1),
    help="With --labels: share of the images that is shown without its boxes.",
)
@labels("--url", help="With --labels: another Label Studio.  [default: the workspace's]")
@labels(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --labels: file that holds a token for --url.",
)
@click.option("--by", default="", cls=OutsideOption, help="With --certify: who signs it off.")
@click.option(
    "--force", is_flag=True, cls=OutsideOption, help="With --certify: replace another certificate."
)
@bound("--confidence", help="Confidence level of the bound, 0 to 1.")
@bound(
    "--sensitivity",
    help="Share of contraband that reviewers see, 0 to 1, as stated; planted threats can only "
    "lower it.",
)
@bound(
    "--gamma",
    help="How many times better the odds to see known contraband are than those to see hidden, at "
    "most, as claimed; the bound is shown at 1, 2 and 4.",
)
@bound("--confirmed", help="Subtract only finds that two readers saw; with planned looks.")
@bound("--once", help="Look once, at one draw that is checked to the end.")
@consensus_option
@target(
    "--target-left",
    "left",
    type=click.IntRange(0),
    help="Enough when at most so many units are left.",
)
@target("--target-recall", "recall", help="Enough when this share is found, 0 to 1.")
@json_option
def estimate(
    workspace: Workspace,
    plan: bool,
    sample: int | None,
    looks: str,
    next_look: bool,
    certify: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say how much contraband is still missed.

    \b
    Example:
      sixrayd estimate --looks 500,1500,5000 && sixrayd review push
      sixrayd estimate --next-look && sixrayd review push
      sixrayd estimate --target-recall 0.95
      sixrayd estimate --labels 100
    """
    asked = {key: options.pop(key) for key in ("number", "blind", "url", "token_file")}
    draws = (sample is not None, bool(looks), next_look)
    if sum((plan, *draws, certify is not None, asked["number"] is not None)) > 1:
        raise click.UsageError(
            "--plan, --sample, --looks, --next-look, --labels and --certify: one at a time"
        )
    if options["seed"] and not any(draws):
        raise click.UsageError("--seed: only with --sample, --looks and --next-look")
    if (options["by"] or options["force"]) and certify is None:
        raise click.UsageError("--by and --force: only with --certify")
    if asked["number"] is not None:
        _labels(workspace, LabelSettings(**asked), as_json)
    elif any(draws):
        settings = SampleSettings(
            name=options["name"],
            **({} if sample is None else {"units": sample}),
            seed=options["seed"],
            looks=_numbers(looks),
            next_look=next_look,
        )
        _draw(workspace, settings, as_json)
    elif certify is not None:
        _certify(workspace, certify, options, as_json)
    else:
        _estimate(workspace, _settings(options), plan, as_json)


def _labels(workspace: Workspace, settings: LabelSettings, as_json: bool) -> None:
    from sixrayd.estimate.labels import estimate_labels
    from sixrayd.estimate.printing import print_labels

    result = estimate_labels(workspace, settings)
    if as_json:
        print_json(result)
    else:
        print_labels(workspace, result)
        echo_next(workspace)


def _settings(options: dict[str, Any]) -> EstimateSettings:
    kept = ("confidence", "sensitivity", "once", "consensus", "gamma", "confirmed")
    return EstimateSettings(
        name=options["name"],
        bound=BoundSettings(**{key: options[key] for key in kept}),
        target=Target(options["left"], options["recall"]),
    )


def _numbers(looks: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in looks.split(",") if looks)
    except ValueError as error:
        raise click.UsageError(f"--looks {looks}: expected whole numbers and commas") from error


def _draw(workspace: Workspace, settings: SampleSettings, as_json: bool) -> None:
    from sixrayd.estimate.printing import print_sample
    from sixrayd.estimate.sample import draw_sample

    with reported():
        result = draw_sample(workspace, settings)
    if as_json:
        print_json(result)
    else:
        print_sample(result)
        echo_next(workspace)


def _estimate(workspace: Workspace, settings: EstimateSettings, plan: bool, as_json: bool) -> None:
    from sixrayd.estimate.plan import plan_costs
    from sixrayd.estimate.printing import print_costs, print_estimate
    from sixrayd.estimate.stage import estimate as run_estimate

    if plan:
        with reported():
            costs = plan_costs(workspace, settings)
        (print_json if as_json else print_costs)(costs)
    else:
        with reported():
            result = run_estimate(workspace, settings)
        if as_json:
            print_json(result)
        else:
            print_estimate(workspace, result)
            echo_next(workspace)


def _certify(workspace: Workspace, file: Path, options: dict[str, Any], as_json: bool) -> None:
    from sixrayd.estimate.certify import certify
    from sixrayd.statistics.missed import percent_down

    with reported():
        result = certify(workspace, _settings(options), file, options["by"], options["force"])
    if as_json:
        print_json(result)
        return
    echo(
        f"{result.file}: {counted(result.found, 'group')} found, at most {result.upper:,} "
        f"missed, at least "
        f"{percent_down(result.recall)} found; names {result.signed_by} as signer (not proven)"
    )
    for line in result.rests_on:
        echo(f"rests on  {workspace.commands_in(line)}")
    echo(f"commitment {result.commitment}")
    echo(f"SHA-256 {result.sha256}")
    echo(f"check it: sixrayd verify {shlex.quote(str(result.file))}")
    echo_next(workspace)
