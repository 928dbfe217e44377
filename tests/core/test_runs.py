"""A run.json that somebody else wrote."""

import json
import string
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ReleaseError, SettingsError, WorkspaceError
from sixrayd.core.image_ids import image_id
from sixrayd.core.names import check_names
from sixrayd.core.records import Kind
from sixrayd.core.runs import Run
from sixrayd.core.workspace import Workspace

GOOD = {"stage": "mine", "name": "a", "settings": {"model": "m"}, "inputs": {"a": "0"}}
TABLE = "expected an object of objects of numbers"


def said_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine/a/run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(WorkspaceError) as caught:
        Workspace(tmp_path).run("mine", "a")
    head, tail = f"{path}: not a run.json (", f"); run `sixrayd mine -w {tmp_path}"
    said = str(caught.value)
    assert (said[: len(head)], said.count(tail)) == (head, 1)
    return said[len(head) :].partition(tail)[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"settings": []}, "settings is [], expected an object"),
        ({"settings": None}, "settings is None, expected an object"),
        ({"format": True}, "format is True, expected a number"),
        ({"name": 3}, "name is 3, expected a text"),
        ({"inputs": {"a": 1}}, "inputs, outputs: expected a hash for each path"),
        ({"outputs": {"a\0b": "1"}}, "inputs, outputs: a path that no file can have"),
        ({"outputs": {"\ud800": "1"}}, "inputs, outputs: a path that no file can have"),
        ({"settings": {"classes": "Gun"}}, "classes is 'Gun', expected a list of texts"),
        ({"settings": {"classes": [1]}}, "classes is [1], expected a list of texts"),
        ({"settings": {"model": {}}}, "model is {}, expected a text"),
        ({"settings": {"classes": None}}, "classes is None, expected a list of texts"),
        ({"settings": {"recipe": {"epochs": "1"}}}, "epochs is '1', expected a number"),
        ({"stage": "shards", "summary": {"splits": None}}, f"splits is None, {TABLE}"),
        (
            {"stage": "shards", "summary": {"splits": {"a": "b"}}},
            f"splits is {{'a': 'b'}}, {TABLE}",
        ),
        (
            {"stage": "shards", "summary": {"splits": {"a": {"train": None}}}},
            "splits is {'a': {'train': None}}, e",
        ),
        (
            {"stage": "shards", "summary": {"left_out": "abc"}},
            "left_out is 'abc', expected a number",
        ),
        (
            {"stage": "shards", "summary": {"unannotated_ids": None}},
            "unannotated_ids is None, expected a list of texts",
        ),
        (
            {"stage": "models", "summary": {"validation": {"mean": "x"}}},
            "validation is {'mean': 'x'}, expected an o",
        ),
        ({"stage": "shards", "summary": {"images": {}}}, "images is {}, expected a number"),
        (
            {"stage": "export", "summary": {"images": 1}},
            "images is 1, expected an object of numbers",
        ),
        ({"stage": "shards"}, "stage is 'shards', expected 'mine'"),
        (
            {"colour": 1},
            "expected an object with stage, name, settings, inputs, outputs, ",
        ),
    ],
)
def test_values_of_another_kind(tmp_path: Path, change: dict[str, object], why: str) -> None:
    assert said_of(tmp_path, json.dumps(GOOD | change)).startswith(why)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"stage": "mine", "stage": "\\u001b"}', "'stage' is given twice"),
        ("[" * 100_000, "nested too deeply"),
        (
            json.dumps(GOOD)[:-1] + ', "summary": {"a": ' + "[" * 30 + "]" * 30 + "}}",
            "nested too deeply",
        ),
        (f'{{"format": {"9" * 5000}}}', "Exceeds the limit (4300 digits) for integer string"),
    ],
)
def test_documents_that_are_odd_as_a_whole(tmp_path: Path, text: str, why: str) -> None:
    assert said_of(tmp_path, text).startswith(why)


def test_what_a_run_lacks_is_named(tmp_path: Path) -> None:
    run = Run.of({**GOOD, "summary": {"images": {}}}, tmp_path / "run.json")
    for read in (lambda: run.settings["classes"], lambda: run.summary["images"]["train"]):
        with pytest.raises(WorkspaceError, match=r"run\.json: lacks '(classes|train)'; run the"):
            read()


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    PLAIN,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(sorted(Run.__slots__))


@given(st.dictionaries(FIELDS, JSON, max_size=8) | JSON)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_document_is_a_traceback(document: object) -> None:
    try:
        run = Run.of(document, Path("run.json"))
    except ValueError as error:
        assert len(str(error)) < 300
    else:
        assert run.same_work(run)


ODD = st.text(string.ascii_letters + string.digits + "/\\.\x1b\n\0 ,-_\u202eä", max_size=12)


@given(ODD)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_id_leaves_its_folder(name: str) -> None:
    try:
        found = image_id(name)
    except ReleaseError as error:
        assert str(error).isprintable()
        if name:
            with pytest.raises(WorkspaceError, match="no plain name"):
                check_names(pa.table({"image_id": [name]}), "t")
    else:
        assert Path("a", f"{found}.jpg").name == f"{found}.jpg"
        assert "\\" not in found
        assert found.isprintable()
        check_names(pa.table({"image_id": [name]}), "t")


@given(ODD)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_class_leaves_its_folder(name: str) -> None:
    row = pa.table({"boxes": [[{"label": name}]], "labels": [[name]]})
    try:
        (found,) = ClassList((name,)).names
    except SettingsError as error:
        assert str(error).isprintable()
        if name:
            with pytest.raises(WorkspaceError, match="no plain name"):
                check_names(row, "t")
    else:
        assert Path("a", f"{found}_train.txt").name == f"{found}_train.txt"
        assert "\\" not in found
        check_names(row, "t")


@pytest.mark.parametrize("kind", ["", "planted\n", "kn\x1bown", "x" * 100_000])
def test_no_image_is_of_an_unknown_kind(kind: str) -> None:
    check_names(pa.table({"kind": [*map(str, Kind), None]}), "t")
    with pytest.raises(WorkspaceError, match=r"^t: kind '.*: no known kind; refused, since"):
        check_names(pa.table({"kind": ["sham", kind]}), "t")


@pytest.mark.parametrize("name", ["../a", "a/b", ".a", "a\\b", "a\x1b", "a\n", 3])
def test_no_result_is_kept_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(WorkspaceError, match="needs to be a plain folder name") as caught:
        Workspace(tmp_path).folder("mine", name)
    assert str(caught.value).isprintable()


def test_a_run_of_millions_of_values_is_not_read(tmp_path):
    """Commands read it many times."""
    text = json.dumps(GOOD | {"summary": {"a": "@"}}).replace('"@"', "[" + "[]," * 600_000 + "[]]")
    assert said_of(tmp_path, text) == ("78001380 bytes of values, at most 67108864 are read")
