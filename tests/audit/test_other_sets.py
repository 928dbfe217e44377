"""`sixrayd audit --set`: sets that no workspace holds yet."""

import json

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import SixraydError, WorkspaceError
from tests.datasets.sets import as_coco, as_voc, as_yolo, write
from tests.releases import jpeg, voc


@pytest.fixture
def said(runner, tmp_path, monkeypatch):
    """The exit code and the JSON document of an audit that is run in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words):
        done = runner.invoke(cli, ["audit", "--json", *words])
        if isinstance(done.exception, SixraydError):
            raise done.exception
        return done.exit_code, json.loads(done.stdout) if done.exit_code != 2 else done.stderr

    return run


@pytest.mark.parametrize("form", [as_voc, as_coco, as_yolo])
def test_a_set_of_any_form_is_audited_in_a_workspace_of_its_own(said, tmp_path, form):
    form(tmp_path / "scans")

    code, document = said("--set", str(tmp_path / "scans"))

    assert (code, document["images"], document["boxes"]) == (0, 4, 6)
    assert document["page"] == "scans-audit/audit/report.html"
    assert (tmp_path / "here/scans-audit/audit/report.html").exists()
    found = {kind["flaw"]: kind["count"] for kind in document["kinds"]}
    assert found == {"box of few pixels": 2}


def test_a_set_that_has_changed_is_taken_in_again(said, tmp_path):
    tree = tmp_path / "scans"
    as_voc(tree)
    said("--set", str(tree))
    twice = ("Saw", 3, 3, 40, 50)
    write(tree / "train/Annotations/x1.xml", voc("x1", twice, twice))
    write(tree / "train/JPEGImages/x1.jpg", jpeg(7))

    code, document = said("--set", str(tree))

    assert (code, document["images"]) == (3, 5)
    (fault,) = [kind for kind in document["kinds"] if kind["severity"] == "fault"]
    assert (fault["flaw"], fault["count"]) == ("box that repeats another", 1)
    code, document = said("--set", str(tree), "--classes", "Gun,Knife,Wrench")
    assert [kind["flaw"] for kind in document["kinds"] if kind["severity"] == "fault"] == [
        "positive without an annotation",
        "class that is not known",
    ]


def test_a_release_is_never_replaced(said, tmp_path):
    as_voc(tmp_path / "scans")
    as_coco(tmp_path / "others")
    ours = str(tmp_path / "ours")
    assert said("--set", str(tmp_path / "scans"), "-w", ours)[0] == 0

    with pytest.raises(WorkspaceError) as raised:
        said("--set", str(tmp_path / "others"), "-w", ours)

    text = f"holds {tmp_path / 'scans'}; name another workspace with -w"
    assert str(raised.value) == f"{ours}/shards: {text}"
    assert said("-w", ours)[1]["images"] == 4


def test_classes_of_nothing(said):
    code, line = said("--classes", "Gun")
    assert (code, line.splitlines()[-1]) == (2, "Error: --classes: goes with --set")
