"""`sixrayd download`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from sixrayd.advice.next_step import Judgement
from sixrayd.core.command import json_option, options_of, print_json, reported, workspace_option
from sixrayd.core.errors import printable
from sixrayd.core.printing import echo
from sixrayd.core.records import ANNOTATION_SCHEMA, LEAK_FREE, MAX_NEAR_BITS
from sixrayd.core.store import Store
from sixrayd.core.tables import read_table
from sixrayd.core.words import counted
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
@option(
    "--classes",
    help="Classes in the order of the models' outputs; a choice from those of the labels.",
)
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
@option("--engine", help="Where images are measured: on this machine, or on a Ray cluster.")
@option("--address", help="Address of a Ray cluster.  [default: one on this machine]")
@option(
    "--shards-at",
    metavar="URL",
    help="Put the shards there as well, s3:// and gs:// too; a Ray cluster reads them there.",
)
@option("--force", help="Replace a finished ingest of something else, and shards of it at a URL.")
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
      sixrayd download --release sixray/ --engine ray --address auto --shards-at s3://bucket/sixray
    """
    from sixrayd.download.place import find_place
    from sixrayd.download.stage import download as take

    chosen = ctx.get_parameter_source("classes") is not ParameterSource.DEFAULT
    settings = DownloadSettings(**options, chosen=chosen)
    place = find_place(settings.release, settings.source)
    for notice in place.notices:
        echo(notice, err=True)
    with reported() as report:
        result = take(workspace, settings, report)
    if as_json:
        print_json(result)
    else:
        if settings.shards_at:
            echo(f"shards also at {Store(settings.shards_at).place}", err=True)
        _print(workspace, place.expected, result)
    if result.skipped:
        ctx.exit(3)


def _print(workspace: Workspace, expected: Any, result: Any) -> None:
    echo(
        f"{counted(result.images, 'image')}: {counted(result.positives, 'positive')}, "
        f"{counted(result.negatives, 'negative')}, {result.unreadable:,} of them unreadable; "
        f"{counted(result.boxes, 'box')}"
    )
    echo(f"split {LEAK_FREE}: {result.train:,} train, {result.test:,} test")
    for name, counts in result.splits.items():
        echo(f"split {name}: {_in_words(counts)}")
    others = ", ".join(f"{printable(name, 40)} {n:,}" for name, n in result.other_classes.items())
    remarks = (
        (result.duplicate_groups, "near-duplicate group", ""),
        (result.negatives_like_positives, "negative", "like a positive"),
        (result.unannotated, "positive", "without a usable annotation"),
        (result.boxless, "positive", "whose annotation holds no box"),
        (
            result.negatives_with_boxes,
            "negative",
            "of the image sets with boxes: taken as positive",
        ),
        (result.contradictions, "listed image", "of which lists contradict each other"),
        (sum(result.other_classes.values()), "box", f"of other classes left out: {others}"),
        (result.notes, "note", "on annotations and lists (notes.txt)"),
        (result.merged, "repeated file", ""),
        (result.absent, "listed image", "not in the release"),
        (result.skipped, "fault", "passed over (skipped.jsonl)"),
    )
    for line in _remarks(remarks):
        echo(line)
    if result.passed_over:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in result.passed_over.items())
        echo(f"passed over, neither image nor annotation nor archive: {printable(kinds)}")
    _print_announced(workspace, expected, result)
    echo(f"look: {workspace.command('sixrayd audit')}", err=True)
    echo(f"in {workspace.shards}; next: {Judgement(workspace).step}", err=True)


def _in_words(split: Mapping[str, int]) -> str:
    """A given split's sizes, and what is doubtful about it."""
    remarks = (
        (split["groups_on_both_sides"], "group", "of near-duplicates on both sides"),
        (split["not_in_release"], "listed image", "not in the release"),
    )
    return "; ".join([f"{split['train']:,} train, {split['test']:,} test", *_remarks(remarks)])


def _remarks(remarks: Iterable[tuple[int, str, str]]) -> list[str]:
    """Count, noun and what of it, in words, of what there is."""
    return [f"{counted(n, noun)} {rest}".rstrip() for n, noun, rest in remarks if n]


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
            echo(f"{name}: {count:,} found, {announced:,} announced")
