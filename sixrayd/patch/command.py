"""`sixrayd patch`: show a patch of labels, or apply it."""

from pathlib import Path

import click

from sixrayd.core.command import json_option, options_of, print_json, reported
from sixrayd.core.errors import printable
from sixrayd.core.printing import echo
from sixrayd.core.words import counted
from sixrayd.patch.settings import PatchSettings

option = options_of(PatchSettings)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def patch() -> None:
    """Show a patch that `sixrayd diff --patch` wrote, or apply it.

    \b
    Example:
      sixrayd patch apply sixray-d.patch workspace --out SIXray-D
    """


@patch.command()
@click.argument("file", type=_FILE)
@click.argument("place", metavar="SET", type=click.Path(exists=True, path_type=Path))
@option("--out", type=click.Path(path_type=Path), help="Folder to write; it must not exist.")
@option("--reverse", help="Go back: SET has the labels that the patch leads to.")
@option("--images", help="Copy the images of SET that have boxes, too.")
@json_option
def apply(file: Path, place: Path, out: Path, reverse: bool, images: bool, as_json: bool) -> None:
    """Write the labels that a patch leads to from those of SET, as a VOC tree.

    SET is the very set that the patch was made from. A workspace and a release say of negatives
    that they hold nothing, an archive of annotations says nothing of them: take the one that was
    compared. Where it is another, the first difference is named and nothing is written.

    \b
    Example:
      sixrayd patch apply sixray-d.patch workspace --out SIXray-D
    """
    from sixrayd.patch.stage import patch as run_patch

    with reported() as report:
        result = run_patch(file, place, PatchSettings(out, reverse, images), report)
    for name in result.other_splits:
        echo(f"note: split {printable(name)} is not written, VOC has place for one", err=True)
    if result.other_classes:
        text = (
            f"{counted(result.other_classes, 'image')} with other classes alone: other_classes.txt"
        )
        echo(f"note: {text}", err=True)
    if as_json:
        print_json(result)
        return
    counts = result.labels
    copied = f", {result.images:,} copied" if images else ""
    echo(f"wrote {result.tree}: {counted(result.changed, 'image')} changed{copied}")
    echo(
        f"{counted(counts.positives, 'image')} with {counted(counts.boxes, 'box')}, label "
        f"hash {counts.labels}"
    )


@patch.command()
@click.argument("file", type=_FILE)
@click.option("--limit", default=20, show_default=True, help="Images that are shown; 0 shows all.")
@json_option
def show(file: Path, limit: int, as_json: bool) -> None:
    """Print what a patch holds, for people.

    \b
    Example:
      sixrayd patch show sixray-d.patch
    """
    from sixrayd.datasets.patch_file import header_line, image_line, read_patch
    from sixrayd.datasets.patches import image_words

    said = read_patch(file)
    if as_json:
        images = [image_line(image) for image in said.images]
        print_json({**header_line(said), "images": images})
        return
    echo(f"classes {', '.join(map(printable, said.classes.names))}")
    for name, counts in (("before", said.before), ("after ", said.after)):
        words = f"{counted(counts.images, 'image')}, {counts.positives:,} positive"
        boxes = counted(counts.boxes, "box")
        echo(f"{name}  {words}, {boxes}, label hash {counts.labels}")
    shown = said.images[: limit or None]
    for image in shown:
        echo(image.image_id)
        for line in image_words(image):
            echo(f"  {line}")
    if len(said.images) > len(shown):
        echo(f"and {len(said.images) - len(shown):,} more images; --limit 0 shows all")
