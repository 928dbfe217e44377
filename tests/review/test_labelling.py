"""The labelling page and what it says."""

from lxml import etree

from sixrayd.core.classes import ClassList
from sixrayd.review.labelling import instruction, labelling_configuration, prediction


def test_configuration_has_each_class_in_order_with_colour_and_key():
    names = ("Gun", 'A "quoted" & <odd> one', *(f"C{n}" for n in range(10)))
    root = etree.fromstring(labelling_configuration(ClassList(names)))
    labels = root.findall(".//RectangleLabels/Label")
    assert [label.get("value") for label in labels] == list(names)
    assert [label.get("hotkey") for label in labels] == [*"123456789", None, None, None]
    assert all(label.get("background") for label in labels)
    choices = {c.get("value"): c.get("hotkey") for c in root.findall(".//Choice")}
    assert choices == {"contraband missed": "a", "nothing there": "s", "unsure": "d"}
    assert root.find(".//Choices").get("required") == "true"
    assert root.find(".//RectangleLabels").get("canRotate") == "false"


def test_instruction_is_html_with_the_keys():
    html = instruction()
    assert html.startswith("<h1>Is something prohibited in this bag?</h1>\n<br>\n<p>")
    assert "<td>Pliers</td>" in html and "Ctrl+Enter" in html


def test_a_prediction_holds_all_regions_of_an_image():
    row = {"label": "Gun", "x1": 10.0, "y1": 20.0, "x2": 60.0, "y2": 40.0, "model": "m"}
    rows = [row | {"box_id": f"N1/m/{n}", "score": 0.5 + n / 4} for n in range(2)]
    made = prediction(rows, (200, 100))
    assert (made["model_version"], made["score"]) == ("m", 0.75)
    assert [(r["id"], r["score"]) for r in made["result"]] == [("N1/m/0", 0.5), ("N1/m/1", 0.75)]
    assert made["result"][0]["value"] == {
        "x": 5.0,
        "y": 20.0,
        "width": 25.0,
        "height": 20.0,
        "rotation": 0,
        "rectanglelabels": ["Gun"],
    }
