"""`sixrayd review plant` and `rates`: planted threats, and who overlooks them."""

from dataclasses import asdict
from typing import Any

import click
from rich.table import Column, Table

from sixrayd.advice.next_step import echo_next
from sixrayd.core.command import json_option, options_of, print_json, workspace_option
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.printing import Terminal, echo
from sixrayd.core.records import CANDIDATE_SCHEMA, POSITIVES, Kind
from sixrayd.core.tables import read_table
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.review.settings import MOST_SHARE, PlantSettings

option = options_of(PlantSettings)


@click.command(short_help="Plant known threats in clean negatives.")
@workspace_option
@option("--name", help="Name of the mining.  [default: the newest]")
@option(
    "--from",
    "origin",
    help="Plant projections in negatives, or strew in labelled positives of the test side.",
)
@option("--number", help="Of positives, instead of a share.", show_default=False)
@click.option("--plan", is_flag=True, help="Of positives: say how many a width of the bound takes.")
@option(
    "--share",
    type=click.FloatRange(0, MOST_SHARE, min_open=True),
    help="Planted threats as a share of the flagged images.",
)
@option("--seed", help="Seed of what is planted where.")
@option("--even-so", help="Plant even where so few can only widen the bound.")
@json_option
def plant(workspace: Workspace, plan: bool, as_json: bool, **options: Any) -> None:
    """Project known items into clean negatives, to learn what detector and reviewers overlook.

    The next `review push` strews them into the queue; they are never exported.

    \b
    Example:
      sixrayd review plant && sixrayd review push
      sixrayd review plant --from positives --plan
    """
    from sixrayd.review.planting.plant import plant as project

    if options["origin"] == POSITIVES:
        _plant_known(workspace, PlantSettings(**options), plan, as_json)
        return
    if plan:
        raise click.UsageError(f"--plan: only with --from {POSITIVES}")
    result = project(workspace, PlantSettings(**options))
    if as_json:
        print_json(result)
    else:
        echo(
            f"{result.name}: {result.planted} planted, {result.shams} shams; the detector fires "
            f"on {result.detected} of the planted, and {result.with_proposals} will show its boxes"
        )
        if result.caution:
            echo(f"caution: {result.caution}")
        echo_next(workspace)


def _plant_known(workspace: Workspace, settings: PlantSettings, plan: bool, as_json: bool) -> None:
    from sixrayd.review.planting.known import RATES, plan_known, plant_known

    if not plan:
        result = plant_known(workspace, settings)
        words = (
            f"{result.name}: {counted(result.known, 'known positive')} in the queue"
            f"{'' if result.fresh else ', nothing added, as they are chosen once'}; "
            f"the detector fires on {result.detected}, and {result.with_proposals} will show its "
            "boxes"
        )
        if as_json:
            print_json(result)
        else:
            echo(words)
            echo_next(workspace)
        return
    costs = plan_known(workspace, settings)
    if as_json:
        print_json(costs)
        return
    table = Table("bound wider by", *(f"{rate:.0%} found" for rate in RATES), box=None)
    for width, needed in costs.needed.items():
        table.add_row(f"{width} times", *(f"{number:,}" for number in needed.values()))
    Terminal().print(
        "known positives that it takes, with proposals and as many without:",
        table,
        f"{costs.available:,} are left on the test side; --number takes both: half, and those that "
        "the detector does not fire on, come without",
        sep="\n",
    )


@click.command(short_help="Say who found what was planted.")
@workspace_option
@option("--name", help="Name of the mining.  [default: the newest]")
@json_option
def rates(workspace: Workspace, name: str, as_json: bool) -> None:
    """Say how often detector and reviewers found what was planted, by class and size.

    \b
    Example:
      sixrayd review rates
    """
    from sixrayd.review.planting.planted import planted_decisions, planted_folder, planted_rows
    from sixrayd.review.planting.rates import hit_rates

    name = name or workspace.newest("mine")
    rows = planted_rows(workspace, name)
    path = planted_folder(workspace, name) / "detections.parquet"
    seen = read_table(path, CANDIDATE_SCHEMA).to_pylist() if path.exists() else []
    answers = planted_decisions(workspace, name)
    if strangers := {d.image_id for d in answers} - {row["image_id"] for row in rows}:
        raise WorkspaceError(
            f"{planted_folder(workspace, name)}: {counted(len(strangers), 'image')} with answers, "
            "but not in planted.parquet; put it back from a backup"
        )
    found = hit_rates(rows, answers, seen)
    if as_json:
        print_json([asdict(rate) for rate in found])
        return
    table = Table(
        Column("who", overflow="fold"), "class", "size", "found", "of", "rate", "95 %", box=None
    )
    for rate in found:
        what = rate.label or ("false alarms on shams" if rate.kind == Kind.SHAM else "all")
        what += " (known positives)" * (rate.kind == Kind.KNOWN)
        low, high = f"{rate.low:.0%}", f"{rate.high:.0%}"
        cells = (what, rate.size or "all", str(rate.hits), str(rate.shown))
        table.add_row(rate.who, *cells, f"{rate.rate:.0%}", f"{low} to {high}")
    Terminal().print(table if rows else f"{name}: nothing is planted")
