import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from sixrayd.core.errors import CheckpointError, SettingsError, SixraydError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.train.settings import RECIPES, TrainSettings
from sixrayd.train.stage import train
from tests.squares import QUICK, ingest, squares


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    return ingest(tmp_path_factory.mktemp("squares"), squares(positives=24, negatives=8, hidden=0))


@pytest.fixture
def workspace(ingested, tmp_path):
    shutil.copytree(ingested.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def test_train_writes_weights_curves_and_what_it_saw(workspace):
    settings = replace(QUICK, epochs=2)

    result = train(workspace, settings)

    folder = workspace.folder("models", "rfb-small")
    assert sorted(path.name for path in folder.iterdir()) == [
        "curves.png",
        "metrics.csv",
        "run.json",
        "seen.txt",
        "weights.safetensors",
    ]
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    seen = (folder / "seen.txt").read_text().split()
    assert len(seen) == result.positives + result.backgrounds
    run = json.loads((folder / "run.json").read_text())
    assert run["settings"]["detector"] == "rfb-small"
    assert run["settings"]["recipe"]["epochs"] == 2
    checkpoint = load_checkpoint(folder / "weights.safetensors")
    assert (checkpoint.name, checkpoint.classes.names) == ("rfb-small", ("Gun", "Knife"))
    assert set(result.validation) <= {"Gun", "Knife", "mean"}
    assert not train(workspace, settings).fresh


def test_no_image_of_the_test_side_or_the_held_out_tenth_is_learnt_from(workspace):
    from sixrayd.core.index import Index

    train(workspace, replace(QUICK, epochs=1, validation=0.3))

    seen = (workspace.folder("models", "rfb-small") / "seen.txt").read_text().split()
    index = Index.load(workspace)
    assert {index.record(i).split for i in seen} == {"train"}
    held = json.loads((workspace.folder("models", "rfb-small") / "run.json").read_text())
    positives = index.select(source="positive", split="train")
    of_positives = sum(i.startswith("P") for i in seen)
    assert held["summary"]["validation_images"] == len(positives) - of_positives > 0


def test_killed_and_run_again_it_ends_in_the_same_bytes(workspace, tmp_path):
    undisturbed = Workspace(tmp_path / "undisturbed")
    shutil.copytree(workspace.root, undisturbed.root)
    settings = replace(QUICK, epochs=3)
    train(undisturbed, settings)
    command = [sys.executable, "-m", "sixrayd", "train", "-w", str(workspace.root)]
    command += ["--detector", "rfb-small", "--epochs", "3", "--batch", "8"]
    command += ["--rate", "4e-3", "--input-size", "192"]
    checkpoint = workspace.folder("models", "rfb-small") / "checkpoint.pt"

    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not checkpoint.exists():
        assert running.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (checkpoint.parent / "run.json").exists()
    train(workspace, settings)

    for name in ("weights.safetensors", "metrics.csv", "curves.png", "run.json"):
        first, second = (w.folder("models", "rfb-small") / name for w in (workspace, undisturbed))
        assert first.read_bytes() == second.read_bytes(), name


def test_other_settings_do_not_replace_a_training_unasked(workspace):
    train(workspace, replace(QUICK, epochs=1))

    with pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(QUICK, epochs=1, seed=1))
    assert str(caught.value) == (
        f"{workspace.folder('models', 'rfb-small')}: holds a training on other settings or "
        "another release; pass --force to replace it, or --name for a new one"
    )
    assert train(workspace, replace(QUICK, epochs=1, seed=1, force=True)).fresh


def test_a_rate_that_blows_up_stops_with_the_batch(workspace):
    with pytest.raises(SixraydError, match=r"loss is not finite .* batch .*P0.*; lower --rate"):
        train(workspace, replace(QUICK, epochs=60, rate=1e30))


def test_nothing_ingested(tmp_path):
    with pytest.raises(WorkspaceError, match=r"run\.json: missing; run `sixrayd download"):
        train(Workspace(tmp_path / "none"), QUICK)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"detector": "yolo"}, f"detector 'yolo': is none of auto, {', '.join(RECIPES)}"),
        ({"epochs": 0}, "epochs 0: needs to be at least 1"),
        ({"validation": 1.0}, "validation 1.0: needs to lie between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError) as caught:
        TrainSettings(**wrong)
    assert str(caught.value) == message


def test_weights_that_are_a_pickle_or_garbage_are_refused(tmp_path):
    pickled, garbage = tmp_path / "pickle.pt", tmp_path / "garbage.safetensors"
    torch.save({"a": torch.zeros(1)}, pickled)
    garbage.write_bytes(b"\x00" * 100)

    for path in (pickled, garbage, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="not readable weights"):
            load_checkpoint(path)
