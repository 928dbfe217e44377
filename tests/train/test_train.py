import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from sixrayd.core.errors import (
    AnnotationError,
    CheckpointError,
    SettingsError,
    SixraydError,
    WorkspaceError,
)
from sixrayd.core.index import Index
from sixrayd.core.records import ANNOTATION_SCHEMA
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.predictor import Predictor
from sixrayd.imaging.decode import decode_rgb
from sixrayd.train.fit import Fit
from sixrayd.train.settings import TrainSettings
from sixrayd.train.stage import train
from tests.limits import TOO_LARGE, largest_file
from tests.processes import started
from tests.releases import encode
from tests.squares import QUICK, ingest, squares

TINY = replace(QUICK, input_size=96)  # a quarter of the work, where what is learnt is no matter


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    return ingest(tmp_path_factory.mktemp("squares"), squares(positives=24, negatives=8, hidden=0))


@pytest.fixture
def workspace(ingested, tmp_path):
    shutil.copytree(ingested.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def test_train_writes_weights_curves_and_what_it_saw(workspace):
    settings = replace(TINY, epochs=2)

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
    train(workspace, replace(TINY, epochs=1, validation=0.3))

    seen = (workspace.folder("models", "rfb-small") / "seen.txt").read_text().split()
    index = Index.load(workspace)
    assert {index.record(i).split for i in seen} == {"train"}
    held = json.loads((workspace.folder("models", "rfb-small") / "run.json").read_text())
    positives = index.select(source="positive", split="train")
    of_positives = sum(i.startswith("P") for i in seen)
    assert held["summary"]["validation_images"] == len(positives) - of_positives > 0


@pytest.mark.long
def test_killed_and_run_again_it_ends_in_the_same_bytes(workspace, tmp_path):
    undisturbed = Workspace(tmp_path / "undisturbed")
    shutil.copytree(workspace.root, undisturbed.root)
    settings = replace(TINY, epochs=3)
    train(undisturbed, settings)
    command = [sys.executable, "-m", "sixrayd", "train", "-w", str(workspace.root)]
    command += ["--detector", "rfb-small", "--epochs", "3", "--batch", "8"]
    command += ["--rate", "4e-3", "--input-size", "96"]
    checkpoint = workspace.folder("models", "rfb-small") / "checkpoint.pt"

    with started(command, stderr=subprocess.DEVNULL) as running:
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


def test_where_no_room_is_left_for_its_state_it_says_so(workspace):
    with largest_file(100_000), pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(TINY, epochs=1))

    folder = workspace.folder("models", "rfb-small")
    assert str(caught.value) == f"{folder / 'checkpoint.pt'}: {TOO_LARGE}"
    assert not folder.exists()  # nothing was learnt: the name is free


def test_a_state_that_may_not_be_read_is_not_told_to_be_deleted(tmp_path):
    with pytest.raises(IsADirectoryError):  # `cli.main` says what to do
        Fit.load(None, tmp_path)


def test_other_settings_do_not_replace_a_training_unasked(workspace):
    train(workspace, replace(TINY, epochs=1))

    with pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(TINY, epochs=1, seed=1))
    assert str(caught.value) == (
        f"{workspace.folder('models', 'rfb-small')}: holds another training (seed 0 there, "
        "1 asked for); pass --force to replace it, or --name for a new one"
    )
    with pytest.raises(WorkspaceError, match=r"\(epochs 1 there, none asked for\)"):
        train(workspace, replace(TINY, epochs=None))
    assert train(workspace, replace(TINY, epochs=1, seed=1, force=True)).fresh


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line_and_leaves_nothing(workspace):
    with pytest.raises(SettingsError) as caught:
        train(workspace, replace(QUICK, epochs=1, device="cuda"))

    assert str(caught.value).startswith("device cuda: torch sees no GPU here (torch is built ")
    assert str(caught.value).endswith("); pass --device cpu")
    assert not workspace.folder("models").exists()
    assert train(workspace, replace(QUICK, epochs=1)).fresh


@pytest.mark.long
def test_where_a_training_ran_is_no_setting_of_it(workspace):
    assert train(workspace, replace(QUICK, epochs=1, device="cpu")).fresh

    assert not train(workspace, replace(QUICK, epochs=1)).fresh


def test_a_rate_that_blows_up_stops_with_the_batch(workspace):
    with pytest.raises(
        SixraydError, match=r"loss is not finite .* batch .*P0.*; lower --learning-rate"
    ):
        train(workspace, replace(TINY, epochs=60, learning_rate=1e30))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<!DOCTYPE html><title>Virus scan warning</title>", "a web page under the file's name"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n", "a Git LFS pointer"),
    ],
)
def test_weights_that_are_none_are_named_and_leave_the_name_free(workspace, tmp_path, data, reason):
    path = tmp_path / "page.pth"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        train(workspace, replace(TINY, init=str(path), name="i-page"))
    assert str(caught.value).startswith(f"{path}: not readable weights ({reason}")
    assert not workspace.folder("models", "i-page").exists()


def test_views_too_small_to_normalise_by_are_refused(workspace):
    with pytest.raises(SettingsError, match=r"^batch 1 of views of 32 x 32 pixels: too little"):
        train(workspace, replace(TINY, batch=1, input_size=64, window=0.1, name="small"))


def test_nothing_ingested(tmp_path):
    with pytest.raises(WorkspaceError, match=r"run\.json: missing; run `sixrayd download"):
        train(Workspace(tmp_path / "none"), QUICK)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"detector": "yolo"}, f"detector 'yolo': is none of auto, {', '.join(DETECTORS)}"),
        ({"learning_rate": 0}, "learning-rate 0: needs to be above 0, nothing would be learnt"),
        ({"learning_rate": float("nan")}, "learning-rate nan: expected 0 to 1e+30"),
        ({"epochs": 0}, "epochs 0: expected 1 to 1,000,000"),
        ({"validation": 1.0}, "validation 1.0: needs to lie between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError) as caught:
        TrainSettings(**wrong)
    assert str(caught.value) == message


def test_a_step_holds_few_pixels(workspace):
    """Threads make the views of three steps at once."""
    with pytest.raises(SettingsError) as caught:
        train(workspace, replace(QUICK, batch=1024, input_size=2048))
    assert str(caught.value) == (
        "batch 1024: of 1024 × 1024 pixels each, a step takes 256 at most; pass a smaller "
        "--batch or --input-size"
    )
    assert not workspace.folder("models").exists()


def test_weights_that_are_a_pickle_or_garbage_are_refused(tmp_path):
    pickled, garbage = tmp_path / "pickle.pt", tmp_path / "garbage.safetensors"
    torch.save({"a": torch.zeros(1)}, pickled)
    garbage.write_bytes(b"\x00" * 100)

    for path in (pickled, garbage, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="not readable weights"):
            load_checkpoint(path)


def test_a_box_thinner_than_a_pixel_is_refused_at_load(workspace):
    path = workspace.shards / "annotations.parquet"
    rows = read_table(path, ANNOTATION_SCHEMA).to_pylist()
    write_table(path, [{**row, "x2": row["x1"] + 0.5} for row in rows], ANNOTATION_SCHEMA)

    with pytest.raises(AnnotationError) as caught:
        train(workspace, TINY)

    row = next(row for row in rows if str(caught.value).startswith(row["image_id"]))
    assert str(caught.value) == (
        f"{row['image_id']}: object 1: {row['label']} is 0.5 x {row['y2'] - row['y1']:g} pixels, "
        "expected at least 1 x 1; mend its annotation and run `sixrayd download` again"
    )


def test_training_starts_from_given_weights(workspace):
    first = train(workspace, replace(TINY, epochs=2))
    weights = Path(first.folder) / "weights.safetensors"

    warm = train(workspace, replace(TINY, epochs=1, name="warm", init=str(weights)))
    cold = train(workspace, replace(TINY, epochs=1, name="cold"))

    warm_run, cold_run = (workspace.run("models", r.name) for r in (warm, cold))
    assert warm_run.summary["init"]["loaded"] > 100
    assert warm_run.summary["init"]["at_random"] == []
    assert cold_run.summary["init"] == {}
    assert set(warm_run.inputs) - set(cold_run.inputs) == {"models/rfb-small/weights.safetensors"}
    losses = [
        float(next(csv.DictReader((Path(r.folder) / "metrics.csv").open()))["class_loss"])
        for r in (warm, cold)
    ]
    assert losses[0] < 0.8 * losses[1]  # 0.31 to 0.64 with five seeds


def _red(data):
    """The picture with its blue things in red: what people clear, and a detector may fire on."""
    return encode(Image.fromarray(decode_rgb(data, "picture")[..., ::-1]), "JPEG")


@pytest.mark.long
def test_cleared_negatives_are_doubted_less(tmp_path):
    release = squares(positives=32, negatives=16, hidden=16)
    release.images = {
        stem: _red(data) if stem.startswith("N") else data for stem, data in release.images.items()
    }
    workspace = ingest(tmp_path, release)
    blind = train(workspace, replace(QUICK, epochs=12, name="blind", background=0))

    taught = train(workspace, replace(QUICK, epochs=12, name="taught", background=1))

    index = Index.load(workspace)
    records = index.select(source="negative", split="train")
    images = [decode_rgb(index.read(r.image_id), r.image_id) for r in records]
    assert len(images) >= 12
    doubts = {}
    for result in (blind, taught):
        detector = load_checkpoint(Path(result.folder) / "weights.safetensors").detector
        predictor = Predictor(detector)
        (batch,) = predictor.prepare(images)
        # Of all priors: how sure the surest is, so short a training leaves to chance.
        doubts[result.name] = -predictor.forward(batch.x)[1].log_softmax(2)[..., 0].mean()
    assert doubts["taught"] < doubts["blind"]


@pytest.mark.long
@pytest.mark.parametrize("detector", ["ssd-small", "retinanet-small"])
def test_the_other_small_detectors_learn(workspace, detector):
    result = train(workspace, replace(QUICK, detector=detector, name=detector))

    rows = list(csv.DictReader((Path(result.folder) / "metrics.csv").open()))
    assert float(rows[-1]["class_loss"]) < 0.7 * float(rows[0]["class_loss"])


@pytest.mark.long
@pytest.mark.parametrize("more", [[], ["--micro-batch", "2"]])
def test_two_processes_train_one_detector(workspace, more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", port, "-m", "sixrayd", "train", "-w", str(workspace.root)]
    command += ["--detector", "rfb-small", "--epochs", "6", "--batch", "8", "--input-size", "192"]
    command += more
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    ran = subprocess.run(command, capture_output=True, text=True, env=environment)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("next: ") == 1  # one of them tells what came out
    folder = workspace.folder("models", "rfb-small")
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert float(rows[-1]["class_loss"]) < float(rows[0]["class_loss"])
    assert load_checkpoint(folder / "weights.safetensors").name == "rfb-small"
