"""Training by a split that the release gives."""

import shutil
from dataclasses import replace

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import write_bytes, write_json
from sixrayd.core.index import Index
from sixrayd.core.records import TRAINING_SCHEMA
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.lineage import lineage_of, split_of
from sixrayd.train.stage import train
from tests.squares import QUICK, ingest, squares
from tests.workspaces import build_splits

OWN = replace(QUICK, name="own", epochs=1, batch=4, input_size=96)
GIVEN = replace(OWN, name="theirs", split="given")


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """The given split tests on what the ingest's own trains on, and lists three in four; one model
    is trained by the own."""
    folder = tmp_path_factory.mktemp("given")
    workspace = ingest(folder, squares(positives=16, negatives=16, hidden=0))
    ids = Index.load(workspace).table["image_id"].to_pylist()
    sides = {i: ("test", "train", "train", "")[n % 4] for n, i in enumerate(ids)}
    build_splits(workspace, given={i: side for i, side in sides.items() if side})
    train(workspace, OWN)
    return workspace


@pytest.fixture
def workspace(ingested, tmp_path):
    shutil.copytree(ingested.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def side(workspace, name, split="given"):
    return set(Index.load(workspace, split).rows(split=name)["image_id"].to_pylist())


def test_only_the_training_side_is_learnt_from(workspace):
    folder = workspace.folder("review", "first")
    write_table(folder / "training.parquet", [], TRAINING_SCHEMA)
    write_json(folder / "training.json", {"settings": {"split": "given"}})

    assert train(workspace, replace(GIVEN, round="first")).fresh

    seen = lineage_of(workspace, "theirs").images
    assert len(seen) >= 8
    assert seen <= side(workspace, "train")
    assert seen & side(workspace, "test", "")  # which the own split keeps away
    assert workspace.run("models", "theirs").settings["split"] == "given"
    assert split_of(workspace, "theirs") == "given"


def test_the_own_split_by_its_name_is_the_same_work(workspace):
    assert not train(workspace, replace(OWN, split="leak-free")).fresh
    assert "split" not in workspace.run("models", "own").settings
    assert (split_of(workspace, "own"), split_of(workspace, "nobody")) == ("", "")


def test_an_unknown_split_replaces_nothing(workspace, runner):
    before = (workspace.folder("models", "own") / "run.json").read_bytes()
    line = ["train", "-w", str(workspace.root), "--name", "own", "--force"]

    done = runner.invoke(cli, [*line, "--split", "sixray10"])

    assert (done.exit_code, str(done.exception)) == (
        1,
        f"{workspace.shards}: no split 'sixray10'; there is leak-free, given",
    )
    assert (workspace.folder("models", "own") / "run.json").read_bytes() == before


def test_weights_that_know_the_test_side_are_no_start(workspace):
    both = sorted(lineage_of(workspace, "own").images & side(workspace, "test"))
    assert both

    with pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(GIVEN, init="own"))

    assert str(caught.value) == (
        f"--init own: learnt from {len(both)} images of the test side of split given, first "
        f"{both[0]}; start from weights that have not"
    )
    assert workspace.names("models") == ["own"]


def test_a_round_is_learnt_from_by_the_split_that_sorted_it(workspace):
    folder = workspace.folder("review", "first")
    write_table(folder / "training.parquet", [], TRAINING_SCHEMA)
    write_json(folder / "training.json", {"settings": {"rule": "adjudicator"}})

    with pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(GIVEN, round="first"))
    assert str(caught.value) == (
        f"{folder}/training.json: sorted by split leak-free, this training goes by given; run "
        "`sixrayd review next --name first --split given` first"
    )

    write_json(folder / "training.json", {"settings": {"split": "given"}})
    with pytest.raises(WorkspaceError, match="sorted by split given, this training goes by leak-f"):
        train(workspace, replace(OWN, round="first", name="new"))


def test_a_broken_note_of_the_split_is_one_line(workspace):
    folder = workspace.folder("review", "first")
    write_table(folder / "training.parquet", [], TRAINING_SCHEMA)
    write_bytes(folder / "training.json", b"[]")
    with pytest.raises(WorkspaceError, match="not what `sixrayd review next` wrote; run it again"):
        train(workspace, replace(OWN, round="first", name="new"))
