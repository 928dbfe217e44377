"""What a training starts from when nobody says it, and what older trainings said."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from sixrayd.cli import cli
from sixrayd.core.errors import CheckpointError, WorkspaceError
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.lineage import Lineage, lineage_of, lineage_of_start
from sixrayd.detectors.pretrained import WEIGHTS, WeightsFile
from sixrayd.detectors.vgg import reduced_vgg16
from sixrayd.train.settings import TrainSettings
from sixrayd.train.stage import train
from tests.squares import ingest, squares

SSD = TrainSettings(detector="ssd300")
# As version 0.1.0 wrote it.
OLD = {
    **dict.fromkeys(("background", "batch", "epochs", "input_size", "rate", "window")),
    **{"detector": "ssd300", "device": "auto", "init": "", "name": "", "seed": 0},
    "validation": 0.1,
    "recipe": {
        **{"average": 0.0, "background": 1.0, "batch": 32, "doubtful": 0.5, "epochs": 200},
        **{"matched": 0.5, "optimizer": "sgd", "rate": 0.001, "steps": [155, 193]},
        **{"warmup_epochs": 0, "weight_decay": 0.0005, "window": 0.0},
    },
}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    return ingest(tmp_path_factory.mktemp("squares"), squares(positives=8, negatives=4, hidden=0))


@pytest.fixture
def workspace(ingested, tmp_path, monkeypatch):
    monkeypatch.delenv("SIXRAYD_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    nowhere = WeightsFile("https://127.0.0.1:9/vgg16_reducedfc.pth", "0" * 64)
    monkeypatch.setitem(WEIGHTS, "vgg16-reduced", nowhere)
    return Workspace(shutil.copytree(ingested.root, tmp_path / "workspace"))


def finished(workspace, name, settings, inputs=None, **more):
    """A training that is said to have ended."""
    folder = workspace.folder("models", name)
    folder.mkdir(parents=True)
    (folder / "seen.txt").write_text("P00001\n")
    outputs = {"seen.txt": hashlib.sha256(b"P00001\n").hexdigest()}
    summary = {"positives": 1, "backgrounds": 1, "validation": {"mean": 0.5}, **more}
    inputs = workspace.upstream(("shards", "")) | (inputs or {})
    workspace.finish(Run("models", name, settings, inputs, outputs, summary))


def test_weights_that_cannot_be_had_stop_a_published_detector_in_one_line(workspace, runner):
    done = runner.invoke(cli, ["train", "--detector", "ssd300", "-w", str(workspace.root)])

    line = str(done.exception)  # which the program prints
    assert line.startswith("--init vgg16-reduced: https://127.0.0.1:9/vgg16_reducedfc.pth: not f")
    assert "pass --init FILE, " in line and "--init none, which costs precision" in line
    assert "\n" not in line
    assert not workspace.folder("models").exists()


def test_a_training_is_not_replaced_by_one_that_cannot_begin(workspace):
    finished(workspace, "ssd300", OLD)

    with pytest.raises(CheckpointError, match=r"^--init vgg16-reduced: .* not fetched"):
        train(workspace, replace(SSD, force=True))

    assert not train(workspace, replace(SSD, init="none")).fresh


def test_an_older_random_training_is_the_same_work_as_init_none(workspace):
    finished(workspace, "ssd300", OLD)

    result = train(workspace, replace(SSD, init="none"))

    assert (result.fresh, result.validation, result.best_epoch) == (False, {"mean": 0.5}, 0)
    assert workspace.stale("models", "ssd300") == []
    assert lineage_of(workspace, "ssd300") == Lineage(frozenset({"P00001"}))


def published(monkeypatch, tmp_path):
    """A folder with a reduced VGG-16 under the names of the published file, of its hash."""
    folder = tmp_path / "mine"
    folder.mkdir()
    torch.manual_seed(0)
    lower, upper = reduced_vgg16()
    torch.save(nn.Sequential(*lower, *upper).state_dict(), folder / "vgg16_reducedfc.pth")
    digest = hashlib.sha256((folder / "vgg16_reducedfc.pth").read_bytes()).hexdigest()
    nowhere = WeightsFile("https://127.0.0.1:9/vgg16_reducedfc.pth", digest)
    monkeypatch.setitem(WEIGHTS, "vgg16-reduced", nowhere)
    monkeypatch.setenv("SIXRAYD_WEIGHTS", str(folder))
    return folder / "vgg16_reducedfc.pth", digest


def test_an_older_random_training_is_not_gone_on_with_by_other_weights(
    workspace, tmp_path, monkeypatch
):
    finished(workspace, "ssd300", OLD)
    published(monkeypatch, tmp_path)

    with pytest.raises(WorkspaceError) as caught:
        train(workspace, SSD)

    assert str(caught.value) == (
        f"{workspace.folder('models', 'ssd300')}: holds another training (init none there, "
        "vgg16-reduced asked for); pass --force to replace it, or --name for a new one"
    )


def test_published_weights_that_moved_are_the_same(workspace, tmp_path, monkeypatch):
    path, digest = published(monkeypatch, tmp_path)
    there = "/elsewhere/vgg16_reducedfc.pth"
    finished(workspace, "ssd300", {**OLD, "init": "vgg16-reduced"}, {there: digest})

    assert not train(workspace, SSD).fresh
    path.unlink()
    assert not train(workspace, replace(SSD, init="vgg16-reduced")).fresh
    assert lineage_of(workspace, "ssd300").unknown == ()
    assert lineage_of_start(workspace, "vgg16-reduced") == Lineage()


@pytest.mark.long
def test_a_published_detector_starts_from_the_folder_s_weights(workspace, tmp_path, monkeypatch):
    path, digest = published(monkeypatch, tmp_path)

    wanted = replace(SSD, epochs=1, batch=1, background=0.0, validation=0.8)
    result = train(workspace, wanted)

    run = workspace.run("models", "ssd300")
    assert result.fresh and result.caution == ""
    assert run.settings["init"] == "vgg16-reduced"
    assert run.summary["published"] == {path.name: digest}
    assert list(run.inputs) == ["shards/run.json"]
    path.unlink()
    assert not train(workspace, wanted).fresh and workspace.stale("models", "ssd300") == []
    assert (run.summary["init"]["layout"], run.summary["init"]["loaded"]) == (
        "VGG-16 as reduced for SSD",
        30,
    )
    assert run.settings["recipe"]["steps"] == [0.775, 0.965]
    assert (Path(result.folder) / "inherited.txt").read_text() == ""
