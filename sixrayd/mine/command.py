"""`sixrayd mine`."""

import sys
from typing import Any

import click

from sixrayd.core.command import json_option, print_json, workspace_option
from sixrayd.core.workspace import Workspace
from sixrayd.mine.settings import MineSettings


@click.command()
@click.argument("shards", nargs=-1)
@workspace_option
@click.option("--model", default="", help="A trained model.  [default: the newest]")
@click.option("--name", default="", help="Of the result.  [default: the model's]")
@click.option(
    "--threshold", type=float, default=0.1, show_default=True, help="Least score of a candidate."
)
@click.option(
    "--mirror/--no-mirror",
    default=True,
    show_default=True,
    help="Look at mirror images too: twice the work, steadier scores.",
)
@click.option("--batch", type=int, default=16, show_default=True, help="Images a step.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="What an unreadable image does; skips are listed and end in exit code 3.",
)
@json_option
def mine(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Run the detector over the negatives and rank candidates; interrupted, it goes on.

    SHARD names restrict this call to some of the shards.

    \b
    Example:
      sixrayd mine --threshold 0.2
    """
    from sixrayd.mine.stage import mine as mine_stage

    result = mine_stage(workspace, MineSettings(**options))
    if as_json:
        print_json(result)
    else:
        click.echo(
            f"mined {result.images} negatives in {result.shards_done} of {result.shards} shards: "
            f"{result.candidates} candidates in {result.flagged} images, {result.skipped} skipped"
        )
        done = result.shards_done == result.shards
        click.echo("next: sixrayd review push" if done else "next: sixrayd mine")
    if result.skipped:
        click.echo(f"skipped images are listed in {result.folder}/skipped.jsonl", err=True)
        sys.exit(3)
