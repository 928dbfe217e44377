"""What reviewers are told: guidelines for the classes in use, and examples from the release."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sixrayd.core.classes import ClassList, default_classes
from sixrayd.core.errors import SettingsError
from sixrayd.core.files import plain_bytes, write_bytes
from sixrayd.core.index import Annotation, Index, load_annotations
from sixrayd.core.records import Source, Split
from sixrayd.core.resources import resource_text
from sixrayd.core.workspace import Workspace
from sixrayd.imaging.decode import decode_rgb

GUIDELINES = "guidelines.md"  # in a review's folder: what `review push --guidelines` was given
MOST_CHARACTERS = 100_000
_SIDE_PX, _LABEL_PX, _GAP_PX, _FONT_PX = 100, 18, 4, 13
_EACH, _MOST = 6, 60  # crops of a class, and of all
_MARGIN = 0.3  # of the box's longer side, on each side of it


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a project shows beside its tasks: Markdown, and a JPEG that may be empty."""

    guidelines: str
    examples: bytes = b""


def guidance(workspace: Workspace, review: Path) -> Guidance:
    """The team's own guidelines where a review has them, else ours for the workspace's classes.

    Args:
        review: folder of the review.

    Raises:
        SettingsError: its guidelines are no text, too long, or elsewhere.
        ShardError: a shard is gone or has changed since it was indexed.
    """
    classes, examples = workspace.classes(), example_sheet(workspace)
    own = review / GUIDELINES
    if own.is_symlink() or (own.exists() and not workspace.is_own(own)):
        # A stranger's; the workspace's own server has its password in the workspace as well.
        raise SettingsError(f"{own}: a link leads elsewhere; put the file itself there")
    text = read_guidelines(own) if own.exists() else _ours(classes, bool(examples))
    return Guidance(text, examples)


def keep_guidelines(review: Path, path: Path) -> None:
    """Take a team's guidelines over into a review's folder.

    Raises:
        SettingsError: they are no text, or too long.
    """
    write_bytes(review / GUIDELINES, read_guidelines(path).encode())


def read_guidelines(path: Path) -> str:
    """Markdown of a file.

    Raises:
        SettingsError: it is no text in UTF-8, or longer than 100,000 characters.
    """
    try:
        text = plain_bytes(path, 4 * MOST_CHARACTERS).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8; save it as Markdown in UTF-8") from error
    if len(text) > MOST_CHARACTERS:
        raise SettingsError(
            f"{path}: {len(text):,} characters; expected at most {MOST_CHARACTERS:,}"
        )
    return text


def _ours(classes: ClassList, examples: bool) -> str:
    """`annotation/guidelines.md.jinja` for some classes."""
    from jinja2 import Environment, StrictUndefined

    source = resource_text("annotation", "guidelines.md.jinja")
    # Markdown: what becomes of it escapes all HTML.
    template = Environment(trim_blocks=True, undefined=StrictUndefined)  # noqa: S701
    return template.from_string(source).render(
        classes=[_escaped(name) for name in classes.names],
        described=not set(classes.names).isdisjoint(default_classes()),
        known=set(classes.names) >= set(default_classes()),
        examples=examples,
    )


def _escaped(name: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&-])", r"\\\1", name)


def example_sheet(workspace: Workspace) -> bytes:
    """Crops of labelled objects, a row a class, as a JPEG; empty where nothing is labelled.

    They come from the training side, one of a group, small to large. `review plant --from
    positives` leaves out what is shown here, since its test side may be that of a given split.

    Raises:
        ShardError: a shard is gone or has changed since it was indexed.
    """
    index, rows = Index.load(workspace), _examples(workspace)
    if not rows:
        return b""
    each = _each(workspace)
    height = _LABEL_PX + _SIDE_PX + _GAP_PX
    sheet = Image.new("RGB", (each * (_SIDE_PX + _GAP_PX), len(rows) * height), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for row, (title, annotations) in enumerate(rows):
        canvas.text((0, row * height), title, fill="black", font=font)
        for column, annotation in enumerate(annotations):
            at = column * (_SIDE_PX + _GAP_PX), row * height + _LABEL_PX
            sheet.paste(_crop(index, annotation), at)
    packed = io.BytesIO()
    sheet.save(packed, "JPEG", quality=75)
    return packed.getvalue()


def example_images(workspace: Workspace) -> set[str]:
    """Images that `example_sheet` shows crops of."""
    return {each.image_id for _, annotations in _examples(workspace) for each in annotations}


def _examples(workspace: Workspace) -> list[tuple[str, list[Annotation]]]:
    """The rows of the sheet, each with its title."""
    found = objects_by_class(Index.load(workspace), load_annotations(workspace))
    return [
        (f"{number}  {name}", list(examples_of(found[name], _each(workspace))))
        for number, name in enumerate(workspace.classes().names[:_MOST], 1)
        if name in found
    ]


def _each(workspace: Workspace) -> int:
    """Crops of a class at most."""
    return max(1, min(_EACH, _MOST // len(workspace.classes())))


def objects_by_class(
    index: Index, annotations: dict[str, tuple[Annotation, ...]]
) -> dict[str, list[Annotation]]:
    """Whole objects of the training side, one of a class and a group of near-duplicates."""
    rows = index.rows(source=Source.POSITIVE, split=Split.TRAIN).select(["image_id", "group"])
    found: dict[str, dict[str, Annotation]] = {}
    for row in rows.to_pylist():
        for annotation in annotations.get(row["image_id"], ()):
            if not (annotation.difficult or annotation.truncated):
                found.setdefault(annotation.box.label, {}).setdefault(row["group"], annotation)
    return {name: list(groups.values()) for name, groups in found.items()}


def examples_of(annotations: list[Annotation], count: int) -> Iterator[Annotation]:
    """Some from small to large, without the very smallest and largest."""
    order = sorted(annotations, key=lambda found: (found.box.area, found.box_id))
    places = np.linspace(0.2, 0.9, min(count, len(order))) * (len(order) - 1)
    for place in dict.fromkeys(places.round().astype(int).tolist()):
        yield order[place]


def _crop(index: Index, annotation: Annotation) -> Image.Image:
    box = annotation.box
    pixels = decode_rgb(index.read(annotation.image_id), annotation.image_id)
    side = (1 + 2 * _MARGIN) * max(box.x2 - box.x1, box.y2 - box.y1)
    middle_x, middle_y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    height, width = pixels.shape[:2]
    edges = (
        max(0, round(middle_x - side / 2)),
        max(0, round(middle_y - side / 2)),
        min(width, round(middle_x + side / 2)),
        min(height, round(middle_y + side / 2)),
    )
    crop = Image.fromarray(pixels).crop(edges)
    crop.thumbnail((_SIDE_PX, _SIDE_PX))
    return crop
