"""The labelling page and what it says."""

import base64
import re

import pytest
from lxml import etree, html
from PIL import Image

from sixrayd.core.classes import ClassList, default_classes
from sixrayd.core.errors import SettingsError
from sixrayd.core.resources import resource
from sixrayd.review.label_studio import labelling
from sixrayd.review.label_studio.labelling import (
    MARK,
    ONLY_SELECTED,
    instruction,
    labelling_configuration,
    prediction,
)

FOLDER = resource("annotation", "guidelines.html").parent
# What Label Studio 1.23 itself binds on a page with an image, from its keymap and its tools.
KEYS_OF_LABEL_STUDIO = {
    *"vhrobekpwmu[]",
    *("left", "right", "up", "down", "backspace", "delete", "enter", "escape", "tab", "space"),
    *("shift+1", "shift+2", "shift+r", "ctrl+enter", "ctrl+space", "ctrl+plus", "ctrl+minus"),
    *("ctrl+left", "ctrl+right", "ctrl+backspace", "ctrl+z", "ctrl+d", "ctrl+h"),
    *(f"alt+{key}" for key in (*"adhlmr.", "left", "right", "enter")),
}
ZOOM = {"Ctrl+Plus", "Ctrl+Minus", "Shift+1"}
KEYS_OF_BROWSERS = {f"alt+{key}" for key in ("d", "e", "f", "left", "right", "home")}


def page():
    return html.parse(FOLDER / "guidelines.html").getroot()


def test_configuration_has_each_class_in_order_with_colour_and_key():
    names = ("Gun", 'A "quoted" & <odd> one', *(f"C{n}" for n in range(10)))
    root = etree.fromstring(labelling_configuration(ClassList(names)))
    labels = root.findall(".//RectangleLabels/Label")
    assert [label.get("value") for label in labels] == list(names)
    assert [label.get("hotkey") for label in labels] == [*"123456789", None, None, None]
    assert all(label.get("background") for label in labels)
    choices = {c.get("value"): c.get("hotkey") for c in root.findall(".//Choice")}
    assert choices == {
        "contraband missed": "a",
        "nothing there": "s",
        "unsure": "d",
        "only the selected box": "q",
        "this box": "q",
    }
    verdict, mark = root.findall(".//Choices")
    assert (verdict.get("required"), verdict.get("choice")) == ("true", "single-radio")
    assert (mark.get("name"), mark.get("perRegion")) == (MARK, "true")
    assert (verdict[-1].get("value"), mark.getparent().get("className")) == (ONLY_SELECTED, "marks")
    assert root.find(".//RectangleLabels").get("canRotate") == "false"


def test_no_key_means_two_things():
    classes = ClassList(tuple(f"C{n}" for n in range(12)))
    root = etree.fromstring(labelling_configuration(classes, b"a sheet"))
    keys = [item.get("hotkey") for item in root.iter("Choice", "Label") if item.get("hotkey")]
    looks = html.fromstring(root.findtext(".//Markdown[@className='looks']"))
    keys += [f"alt+{item.get('accesskey')}" for item in looks.iter("summary")]
    # One key says that only the selected box stands, and marks it.
    assert keys == [*"asdqq", *"123456789", *(f"alt+{key}" for key in "igptbcx")]
    assert not set(keys) & (KEYS_OF_LABEL_STUDIO | KEYS_OF_BROWSERS)
    shown = [item.text for item in looks.iter("summary")]
    assert [text[-7:] for text in shown] == [f"[Alt+{key}]" for key in "IGPTBCX"]


def test_each_look_has_its_switch_and_its_filter():
    text = labelling_configuration(ClassList(), b"a sheet")
    assert "<![CDATA[\n<div>\n<details" in text  # escaped, it would be shown as text
    root = etree.fromstring(text)
    style, looks = root.findtext("Style"), html.fromstring(root.findtext(".//Markdown"))
    switches = [item.get("class") for item in looks.iter("details")]
    assert switches == ["negative", "grey", "dark", "pale", "bright", "contrast", "examples"]
    for name in switches[:6]:
        assert f":has(.{name}[open]) {{ --{name}: " in style and f"var(--{name},)" in style
    filters = [item.get("id") for item in looks.iter("filter")]
    assert [f"url(#{name})" in style for name in filters] == [True, True]
    assert not set("<>\"'") & set(style)  # Label Studio would escape them


def test_examples_travel_in_the_configuration():
    root = etree.fromstring(labelling_configuration(ClassList(), b"a sheet"))
    (data,) = re.findall(
        r"\.examples\[open\]::after \{ content: url\(data:(.+?)\); \}", root.findtext("Style")
    )
    kind, encoded = data.split(",")
    assert (kind, base64.b64decode(encoded)) == ("image/jpeg;base64", b"a sheet")


def test_without_examples_there_is_no_switch_for_them():
    text = labelling_configuration(ClassList())
    assert "examples" not in text and "<![CDATA[\n<div>\n<details" in text


@pytest.mark.parametrize(
    "before, after, said",
    [
        ("<Style>", "<Header>", "expected RectangleLabels 'boxes', Image 'image' and a Style"),
        ('name="boxes"', 'name="b"', "expected RectangleLabels 'boxes', Image 'image' and a Style"),
        (
            'value="unsure"',
            'value="?"',
            "must be exactly contraband missed, nothing there, unsure, only the selected box",
        ),
    ],
)
def test_a_spoilt_template_is_refused(tmp_path, monkeypatch, before, after, said):
    text = (FOLDER / "labelling.xml").read_text("utf-8").replace(before, after)
    text = text.replace("</Style>", after.replace("<", "</")) if before == "<Style>" else text
    (tmp_path / "labelling.xml").write_text(text, "utf-8")
    monkeypatch.setattr(labelling, "resource", lambda _, name: tmp_path / name)
    with pytest.raises(SettingsError, match=re.escape(said)):
        labelling_configuration(ClassList())


def test_the_page_has_every_class_and_every_picture():
    root = page()
    ids = [item.get("id") for item in root.iter("h2")]
    assert ids == [
        "answer",
        "boxes",
        "looks",
        *default_classes(),
        "unsure",
        "disagreement",
        "positives",
    ]
    sources = [item.get("src") for item in root.iter("img")]
    assert sources == [
        f"images/{n}.jpg" for n in ("boxes", "looks", *map(str.lower, default_classes()))
    ]
    for item in root.iter("img"):
        picture = Image.open(FOLDER / item.get("src"))
        assert (picture.format, picture.width) == ("JPEG", int(item.get("width")))
        assert item.get("alt")
    kept = sorted(path.name for path in (FOLDER / "images").iterdir())
    assert kept == sorted(source.removeprefix("images/") for source in sources)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1_500_000


def test_the_page_stands_alone_and_names_the_keys():
    root = page()
    links = [item.get("href") for item in root.iter("a", "link")] + list(root.iter("script"))
    assert links == ["#unsure"]
    keys = {item.text for item in root.iter("kbd")}
    looks = {f"Alt+{key}" for key in "IGPTBCX"}
    assert keys == {*"ASDQ", *looks, "Alt+.", "Ctrl+Enter", "Ctrl+Option", *ZOOM}


def test_an_instruction_is_html_without_markup_or_images_from_elsewhere():
    text = (
        "# A *bag*\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<b>x</b> ![y](http://z/) [n](javascript:m)"
    )
    html = instruction(text)
    assert html.startswith("<h1>A <em>bag</em></h1>\n<br>\n<table>")
    assert "&lt;b&gt;x" in html and "<img" not in html and 'href="javascript' not in html


def test_a_prediction_holds_all_regions_of_an_image():
    row = {"label": "Gun", "x1": 10.0, "y1": 20.0, "x2": 60.0, "y2": 40.0, "model": "m"}
    rows = [row | {"box_id": f"N1/m/{n}", "score": 0.5 + n / 4} for n in range(2)]
    made = prediction(rows, (200, 100))
    assert (made["model_version"], "score" in made) == ("proposals", False)
    assert [(r["id"], "score" in r) for r in made["result"]] == [
        ("N1/m/0", False),
        ("N1/m/1", False),
    ]
    assert made["result"][0]["value"] == {
        "x": 5.0,
        "y": 20.0,
        "width": 25.0,
        "height": 20.0,
        "rotation": 0,
        "rectanglelabels": ["Gun"],
    }
