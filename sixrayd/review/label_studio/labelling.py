"""The labelling page: configuration for the classes, instructions, regions drawn in advance."""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from lxml import etree
from markdown_it import MarkdownIt

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Verdict
from sixrayd.core.resources import resource

# Names in annotation/labelling.xml.
BOXES, VERDICT, MARK, IMAGE = "boxes", "verdict", "mark", "image"
ONLY_SELECTED = "only the selected box"  # of the verdicts: contraband missed, and so much of it
PROPOSALS = "proposals"  # version of the predictions of a project
_COLOURS = (
    *("#D81B60", "#1E88E5", "#8E24AA", "#F4511E", "#00897B", "#6D4C41", "#3949AB"),
    *("#7CB342", "#00ACC1", "#C0CA33"),
)


def labelling_configuration(classes: ClassList, examples: bytes = b"") -> str:
    """The XML of `annotation/labelling.xml` with a label, a colour and a key for each class.

    Args:
        examples: a JPEG, which travels inside it; without one there is no switch for it.

    Raises:
        SettingsError: the template has lost its boxes or its style, or its verdicts are not ours.
    """
    path = resource("annotation", "labelling.xml")
    parser = etree.XMLParser(
        remove_comments=True, resolve_entities=False, no_network=True, strip_cdata=False
    )
    root = etree.parse(path, parser).getroot()
    labels = root.find(f".//RectangleLabels[@name='{BOXES}'][@toName='{IMAGE}']")
    choices = root.findall(f".//Choices[@name='{VERDICT}']/Choice")
    style = root.find("Style")
    if labels is None or style is None or root.find(f".//Image[@name='{IMAGE}']") is None:
        raise SettingsError(
            f"{path}: expected RectangleLabels {BOXES!r}, Image {IMAGE!r} and a Style"
        )
    expected = [*Verdict, ONLY_SELECTED]
    if sorted(str(choice.get("value")) for choice in choices) != sorted(expected):
        raise SettingsError(f"{path}: the Choices must be exactly {', '.join(expected)}")
    for number, name in enumerate(classes.names):
        label = etree.SubElement(labels, "Label", value=name)
        label.set("background", _COLOURS[number % len(_COLOURS)])
        if number < 9:
            label.set("hotkey", str(number + 1))
    looks = root.find(".//Markdown[@className='looks']")
    if examples:
        style.text = f"{style.text}{_shown(examples)}"
    elif looks is not None:
        lines = (looks.text or "").splitlines(keepends=True)
        looks.text = etree.CDATA("".join(x for x in lines if 'class="examples"' not in x))
    return str(etree.tostring(root, encoding="unicode"))


def _shown(examples: bytes) -> str:
    """A rule of CSS, since Label Studio drops embedded images from all that is not CSS."""
    data = b64encode(examples).decode()
    return f".sixrayd .examples[open]::after {{ content: url(data:image/jpeg;base64,{data}); }}"


def instruction(guidelines: str) -> str:
    """Markdown as HTML, for Label Studio's page of instructions; images are left out."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    html = str(markdown.render(guidelines))
    # Label Studio drops all styles and margins, so blocks are set apart by empty lines.
    return re.sub(r"</(h1|p|table)>\n", r"</\1>\n<br>\n", html)


def region(region_id: str, box: Box, size_wh: tuple[int, int]) -> dict[str, Any]:
    """A box as Label Studio draws it: per cent of the image, from the top left."""
    width, height = size_wh
    return {
        "id": region_id,
        "from_name": BOXES,
        "to_name": IMAGE,
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * box.x1 / width,
            "y": 100 * box.y1 / height,
            "width": 100 * (box.x2 - box.x1) / width,
            "height": 100 * (box.y2 - box.y1) / height,
            "rotation": 0,
            "rectanglelabels": [box.label],
        },
    }


def verdict_region(verdict: Verdict) -> dict[str, Any]:
    """A verdict as Label Studio stores it."""
    return {
        "from_name": VERDICT,
        "to_name": IMAGE,
        "type": "choices",
        "value": {"choices": [str(verdict)]},
    }


def prediction(
    candidates: Iterable[Mapping[str, Any]], size_wh: tuple[int, int], version: str = PROPOSALS
) -> dict[str, Any]:
    """One prediction with a region for each candidate, its id the candidate's box id.

    Args:
        candidates: rows of `CANDIDATE_SCHEMA`, all of one image.
        version: a project shows the predictions of one alone, whatever model they are of.
    """
    # No score: the queue is sorted by it, so one out of order would be known to measure.
    regions = [region(row["box_id"], Box.from_row(row), size_wh) for row in candidates]
    return {"model_version": version, "result": regions}
