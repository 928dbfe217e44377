"""`sixrayd download`."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from sixrayd.core.command import json_option, options_of, print_json, reported, workspace_option
from sixrayd.core.files import read_table
from sixrayd.core.printing import echo
from sixrayd.core.records import ANNOTATION_SCHEMA, MAX_NEAR_BITS
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings

option = options_of(DownloadSettings)


@click.command()
@workspace_option
@option(
    "--release",
    help="Folder with the archives or images, an archive, a URL, a name (sixray, sixray-d) or a "
    "manifest of your own (FILE.toml).",
)
@option(
    "--from",
    "source",
    help="Folder, archive or URL to take a release of a manifest from, instead of its mirrors.",
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
    type=click.IntRange(0, MAX_NEAR_BITS),
    help="Bits of 256 in which the perceptual hashes of near-duplicates may differ.",
)
@option(
    "--split",
    multiple=True,
    type=str,
    default=None,
    metavar="[NAME=]FILE",
    help="Take a given split from a CSV with columns image,side or an export's splits.json; may be "
    "repeated.",
)
@option("--on-error", help="Stop at the first fault, or list all in skipped.jsonl and exit with 3.")
@option("--connections", type=click.IntRange(1, 32), help="Files that are fetched at once.")
@option(
    "--keep-archives/--no-keep-archives",
    help="Keep the archives that were fetched, or remove them once they are taken in.",
)
@option("--force", help="Replace a finished ingest of something else.")
@json_option
@click.pass_context
def download(ctx: click.Context, /, workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Take a release: check it and write shards, index and annotations.

    \b
    Example:
      sixrayd download --release sixray/
      sixrayd download --release sixray/ --classes Gun,Knife --on-error skip
      sixrayd download --release sixray/ --split paper=splits.json
      sixrayd download --release sixray --no-keep-archives
      sixrayd download --release sixray-d --from SIXray-D.zip
    """
    from sixrayd.download.place import find_place
    from sixrayd.download.stage import download as take

    settings = DownloadSettings(**options)
    place = find_place(settings.release, settings.source)
    for notice in place.notices:
        echo(notice, err=True)
    with reported() as report:
        result = take(workspace, settings, report)
    if as_json:
        print_json(result)
    else:
        _print(workspace, result)
        _print_announced(workspace, place.expected, result)
    if result.skipped:
        ctx.exit(3)


def _print(workspace: Workspace, result: Any) -> None:
    echo(
        f"{result.images} images: {result.positives} positives, {result.negatives} negatives, "
        f"{result.unreadable} of them unreadable; {result.boxes} boxes"
    )
    echo(f"{result.train} train, {result.test} test")
    for name, counts in result.splits.items():
        echo(f"split {name}: {_in_words(counts)}")
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
            echo(f"{count} {text}")
    if result.passed_over:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in result.passed_over.items())
        echo(f"passed over, neither image nor annotation nor archive: {kinds}")
    echo(f"look: {workspace.command('sixrayd audit')}", err=True)
    echo(f"in {workspace.shards}; next: {workspace.command('sixrayd train')}", err=True)


def _in_words(split: Mapping[str, int]) -> str:
    """A given split's sizes, and what is doubtful about it."""
    remarks = {
        "groups of near-duplicates on both sides": split["groups_on_both_sides"],
        "listed images that are not in the release": split["not_in_release"],
    }
    said = [f"{count} {text}" for text, count in remarks.items() if count]
    return "; ".join([f"{split['train']} train, {split['test']} test", *said])


def _print_announced(workspace: Workspace, expected: Any, result: Any) -> None:
    """Where a manifest announces another count than was found, both."""
    names = ("images", "positives", "negatives", "boxes")
    counts = [(name, getattr(expected, name), getattr(result, name)) for name in names]
    if by_class := expected.boxes_by_class:
        path = workspace.shards / "annotations.parquet"
        found = Counter(read_table(path, ANNOTATION_SCHEMA)["label"].to_pylist())
        counts += [(f"boxes of {label}", by_class[label], found[label]) for label in by_class]
    for name, announced, count in counts:
        if announced and announced != count:
            echo(f"{count} {name}, where {announced} are announced")
