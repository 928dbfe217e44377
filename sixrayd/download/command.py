"""`sixrayd download`."""

from typing import Any

import click

from sixrayd.core.command import json_option, options_of, print_json, progress, workspace_option
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings

option = options_of(DownloadSettings)


@click.command()
@workspace_option
@option(
    "--release",
    help="Folder with the archives or images, URL of one, or a name of manifests/sources.toml.",
)
@option("--classes", help="Classes in the order of the models' outputs.")
@option("--seed", help="Seed of the draw of the test side.")
@option(
    "--test-share",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of near-duplicate groups on the test side, 0 to 1.",
)
@option("--images-per-shard", type=click.IntRange(1), help="Images in a shard, at most.")
@option(
    "--hash-distance",
    type=click.IntRange(0, 16),
    help="Bits in which the perceptual hashes of near-duplicates may differ.",
)
@option("--on-error", help="Stop at the first fault, or list all in skipped.jsonl and exit with 3.")
@option("--force", help="Replace a finished ingest of something else.")
@json_option
@click.pass_context
def download(ctx: click.Context, /, workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Take a release: check it and write shards, index and annotations.

    \b
    Example:
      sixrayd download --release sixray/
      sixrayd download --release sixray/ --classes Gun,Knife --on-error skip
    """
    from sixrayd.download.stage import download as take

    settings = DownloadSettings(**options)
    with progress() as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, note="")
            bars.update(tasks[what], completed=done, total=total or None)

        result = take(workspace, settings, show)
    if as_json:
        print_json(result)
    else:
        _print(workspace, result)
    if result.skipped:
        ctx.exit(3)


def _print(workspace: Workspace, result: Any) -> None:
    click.echo(
        f"{result.images} images: {result.positives} positives, {result.negatives} negatives, "
        f"{result.unreadable} of them unreadable; {result.boxes} boxes"
    )
    click.echo(f"{result.train} train, {result.test} test")
    remarks = {
        "near-duplicate groups": result.duplicate_groups,
        "negatives that look like a positive": result.negatives_like_positives,
        "positives without a usable annotation": result.unannotated,
        "positives whose annotation holds no box": result.boxless,
        "negatives of the image sets that their boxes make positives": result.negatives_with_boxes,
        "listed images of which lists contradict each other": result.contradictions,
        "notes on annotations and lists (notes.txt)": result.notes,
        "files that repeat another": result.merged,
        "listed images that are not in the release": result.absent,
        "faults passed over (skipped.jsonl)": result.skipped,
    }
    for text, count in remarks.items():
        if count:
            click.echo(f"{count} {text}")
    if result.passed_over:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in result.passed_over.items())
        click.echo(f"passed over, neither image nor annotation nor archive: {kinds}")
    click.echo(f"look: {workspace.command('sixrayd audit')}", err=True)
    click.echo(f"in {workspace.shards}; next: {workspace.command('sixrayd train')}", err=True)
