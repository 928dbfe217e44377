"""The worked changes of docs/changes.md, each applied to a copy of the source tree and used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.squares import ingest, squares
from tests.workspaces import Small

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(diff|python) title=(\S+)\n(.*?)^```$", re.M | re.S)


def _sections():
    """Blocks by heading: (kind, path, text)."""
    text = (ROOT / "docs" / "changes.md").read_text("utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.M)[1:]
    return {
        title: _BLOCK.findall(body) for title, body in zip(parts[::2], parts[1::2], strict=True)
    }


def _apply(tree, kind, path, text):
    target = tree / path
    if kind == "python":
        target.parent.mkdir(parents=True, exist_ok=True)
        assert not target.exists()
        target.write_text(text, "utf-8")
        return
    lines = text.splitlines()
    before = "\n".join(line[1:] for line in lines if line[:1] != "+")
    after = "\n".join(line[1:] for line in lines if line[:1] != "-")
    whole = target.read_text("utf-8")
    assert whole.count(before) == 1, f"{path}: {before!r} is there {whole.count(before)} times"
    target.write_text(whole.replace(before, after), "utf-8")


# Several commands in one process, for each of which torch would be loaded again.
_COMMANDS = """
import json, sys
from sixrayd.cli import cli
for words in json.loads(sys.argv[1]):
    cli(words, standalone_mode=False)
"""


def _commands(run, *lines):
    return run("-c", _COMMANDS, json.dumps([list(map(str, words)) for words in lines]))


@pytest.fixture
def changed(tmp_path):
    """Apply a change; what then runs code, or a command, on the changed tree."""

    def apply(title):
        tree = tmp_path / "tree"
        skip = shutil.ignore_patterns("__pycache__")
        for folder in ("sixrayd", "annotation", "manifests"):
            shutil.copytree(ROOT / folder, tree / folder, ignore=skip)
        blocks = _sections()[title]
        assert blocks
        for block in blocks:
            _apply(tree, *block)

        def run(*words):
            environment = os.environ | {"PYTHONPATH": str(tree)}
            command = [sys.executable, "-P", *words]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        return run

    return apply


def test_there_are_five():
    assert len(_sections()) == 5


def test_a_class(changed):
    run = changed("A class")
    code = (
        "from sixrayd.core.classes import ClassList; c = ClassList();"
        "from sixrayd.review.label_studio.labelling import labelling_configuration as page;"
        "from sixrayd.download.settings import DownloadSettings as D;"
        "print(c.canonical('mallet'), 'value=\"Hammer\"' in page(c), D('x').classes == c.names)"
    )
    assert run("-c", code) == "Hammer True True\n"
    assert "Hammer" in run("-m", "sixrayd", "download", "--help")
    assert "Hammer" not in run("-m", "sixrayd", "synth", "--help")  # which could not draw it


@pytest.mark.long
def test_a_detector(changed, tmp_path):
    run = changed("A detector")
    workspace = ingest(tmp_path, squares(positives=8, negatives=6, hidden=0))
    at = ("-w", str(workspace.root))
    words = ("--detector", "plain-small", "--epochs", "1", "--input-size", "96")
    said = _commands(run, ("train", *words, *at), ("mine", "--backend", "torch", *at))
    assert said.startswith("trained plain-small: ")
    assert "mined 6 negatives in 1 of 1 shard" in said


@pytest.mark.long
def test_an_export_format(changed, tmp_path):
    run = changed("An export format")
    workspace = Small().build(tmp_path / "workspace")
    out = tmp_path / "out"
    run("-m", "sixrayd", "export", "--csv", "--out", str(out), "-w", str(workspace.root))

    sides = [(out / f"csv/{side}.csv").read_text().splitlines() for side in ("train", "test")]
    images = {line.partition(",")[0] for side in sides for line in side}
    assert {path.name for path in (out / "csv/images").iterdir()} == images
    assert "P00001.jpg,5,6,30,40,Gun" in sides[0]
    listed = (out / "manifest.sha256").read_text()
    assert "csv/train.csv" in listed and not (out / "VOC2007").exists()


def test_the_labelling_page(changed):
    run = changed("The labelling page")
    code = (
        "from sixrayd.core.classes import ClassList;"
        "from sixrayd.review.label_studio.labelling import labelling_configuration as page;"
        'print(page(ClassList()).count(\'hotkey="f" hint="An adjudicator will look at it"\'))'
    )
    assert run("-c", code) == "1\n"


@pytest.mark.long
def test_a_review_server(changed, tmp_path):
    run = changed("A review server")
    workspace = Small().build(tmp_path / "workspace")
    shutil.rmtree(workspace.folder("review"))
    folder = tmp_path / "reviews"
    at = ("-w", str(workspace.root), "--server", "files", "--url", str(folder))
    said = _commands(run, ("review", "push", *at), ("review", "push", *at))
    assert re.findall(r"\d images added, \d were there", said) == [
        "7 images added, 0 were there",
        "0 images added, 7 were there",
    ]

    first, second, *_ = sorted((folder / "1/tasks").iterdir(), key=lambda path: int(path.stem))
    when = "2026-03-04T05:06:07+00:00"
    missed = {"verdict": "contraband missed", "boxes": [["Gun", 1, 2, 30, 40]]}
    for path, said in ((first, missed), (second, {"verdict": "nothing there", "boxes": []})):
        task = json.loads(path.read_text())
        assert Path(task["image"]).stat().st_size > 0
        assert task["drawn"] == [["Knife", 10.0, 20.0, 40.0, 50.0]]
        path.write_text(json.dumps(task | {"answer": {"by": "ann", "at": when, **said}}))
    pull = ("review", "pull", *at)
    said = _commands(run, pull, pull, ("review", "next", *at[:2]))
    assert re.findall(r"\d new or changed decisions", said) == [
        "2 new or changed decisions",
        "0 new or changed decisions",
    ]
    assert "1 positive (1 found" in said
