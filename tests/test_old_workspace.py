"""A workspace that version 0.1.0 made, with options as they were named then, goes on working.

`workspace-0.1.0.tar.xz` holds the squares of `tests/squares.py` through all stages up to the
certificate. Left out are the server's folder and the weights, those of `tests/detectors/learnt.py`.
"""

import json
import tarfile
from pathlib import Path

import pytest

from sixrayd.cli import cli
from sixrayd.core.classes import ClassList
from sixrayd.core.files import sha256_file
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.checkpoints import Checkpoint, save_weights
from sixrayd.verify.stage import verify
from tests.detectors.learnt import THINGS, learnt

ARCHIVE = Path(__file__).with_name("workspace-0.1.0.tar.xz")
MODELS = ("rfb-small", "second")
TRAIN = "--detector rfb-small --epochs 1 --batch 8 --rate 1e-5 --input-size 192"

MINE = "mine --model rfb-small --backend torch --device cpu --threshold 0.12 --mirror"


@pytest.fixture
def workspace(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    workspace = Workspace(tmp_path / "workspace")
    detector = learnt()
    for name in MODELS:
        path = workspace.folder("models", name) / "weights.safetensors"
        save_weights(
            path, Checkpoint("rfb-small", detector, ClassList(THINGS)), detector.state_dict()
        )
    return workspace


@pytest.fixture
def said(workspace, runner):
    """What a command prints for people, run on the workspace."""

    def run(line):
        done = runner.invoke(cli, [*line.split(), "-w", str(workspace.root)])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_nothing_is_stale(workspace, said):
    results = json.loads(said("status --json"))["results"]
    assert {f"{each['stage']}/{each['name']}": each["progress"] for each in results} == {
        "shards/": "done",
        "models/rfb-small": "done",
        "models/second": "done",
        "mine/first": "done",
        "review/first": "done",
        "estimate/": "missing",
        "export/first": "done",
        "benchmark/": "missing",
    }


def test_what_was_done_is_not_done_again(workspace, said):
    before = {path: sha256_file(path) for path in sorted(workspace.root.rglob("run.json"))}
    assert len(before) == 6

    assert said(f"train {TRAIN} --seed 3").startswith("already trained rfb-small: 15 positives")
    second = f"train {TRAIN} --seed 4 --init rfb-small --round first --name second"
    assert said(second).startswith("already trained second: 20 positives")
    said(f"{MINE} --name first")
    said("export --voc")

    assert {path: sha256_file(path) for path in before} == before


def test_the_same_work_gives_the_same_bytes(workspace, said, tmp_path):
    tree = workspace.folder("export", "first")
    before = {path: path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}
    assert len(before) == 73
    said("export --voc --force")
    assert {path: path.read_bytes() for path in before} == before

    kept = workspace.folder("review", "first")
    training = (kept / "training.parquet").read_bytes()
    said("review next")
    assert (kept / "training.parquet").read_bytes() == training

    certificate = tmp_path / "again.zip"
    said(f"estimate --certify {certificate} --by Us")
    assert verify(certificate, "").fault == ""


def test_its_mining_can_be_done_anew(workspace, said):
    said(f"{MINE} --name again")
    first, again = (workspace.run("mine", name).summary for name in ("first", "again"))
    assert (again["flagged"], again["images"]) == (first["flagged"], first["images"])
