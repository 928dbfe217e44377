"""JSON and TOML of anybody: what would take too much memory or time is not parsed."""

import json
import tracemalloc

import pytest

from sixrayd.core import documents
from sixrayd.core.documents import MOST_TOML, memory_of, parse_json, parse_toml
from sixrayd.core.errors import AnnotationError
from sixrayd.datasets.coco_json import read_json
from tests.limits import within

SAID = "its values would take up to 2 MiB of memory, at most 1 are read; split it"
MANY = b"[" + b",".join([b"{}"] * 8000) + b"]"


@pytest.mark.parametrize(
    "one",
    ["{}", "[]", "-6", "999999", "1.5", '"ab"', '{"a":0}', '{"a":-6,"b":1.5}', "[[0]]"],
)
def test_values_take_no_more_than_is_guessed(one):
    text = "[" + ",".join([one] * 20_000) + "]"
    tracemalloc.start()
    try:
        found = json.loads(text)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(found) == 20_000
    assert taken < memory_of(text) + 20_000


@pytest.mark.parametrize("data", [MANY, MANY.decode()])
def test_what_takes_too_much_is_not_parsed(monkeypatch, data):
    assert len(parse_json(data)) == 8000
    monkeypatch.setattr(documents, "MOST_MEMORY", 1 << 20)
    with pytest.raises(ValueError, match=f"^{SAID}$"):
        parse_json(data)


def test_labels_that_take_too_much_are_named(monkeypatch):
    monkeypatch.setattr(documents, "MOST_MEMORY", 1 << 20)
    with pytest.raises(AnnotationError) as caught:
        read_json("a.json", MANY, [])
    assert str(caught.value) == f"a.json: {SAID}"


def test_labels_of_a_million_images_are_read():
    image = {"id": 123456, "file_name": "P0123456.jpg", "width": 640, "height": 480}
    box = {"id": 1, "image_id": 2, "category_id": 3, "bbox": [1.5, 2.5, 3.5, 4.5], "area": 9.0}
    outline = {"segmentation": [[1.5] * 40], "iscrowd": 0}
    row = json.dumps(image) + json.dumps(box | outline)

    assert memory_of(row) * 1_000_000 < documents.MOST_MEMORY


LONG = ".".join(["a"] * 1000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n" + "a." * 500_000 + "a = 1", "line 2 has 500000 dots; break long lines"),
        (".".join(['"\u2028"'] * 100_000) + " = 1", "line 1 has 99999 dots; break long lines"),
        (
            f"[{LONG}]\n" + "".join(f"b{n} = 1\n" for n in range(90_000)),
            "line 1 has 999 dots; break long lines",
        ),
        ("x = " + "[" * 9000, "nested too deeply"),
        ("#" * (MOST_TOML + 1), "more than 1048576 bytes"),
    ],
)
def test_toml_that_would_take_long_is_not_parsed(text, said):
    with within(20, said), pytest.raises(ValueError, match=f"^{said}"):
        parse_toml(text.encode())


def test_toml_of_many_lines_and_some_parts_is_parsed():
    many = "".join(f"b{n} = 1.5\n" for n in range(80_000))
    assert len(parse_toml(f"[{'a.' * 9}a]\n{many}".encode())) == 1
    assert parse_toml(f"x = '{LONG}'\n[{LONG}]".encode())["x"] == LONG
