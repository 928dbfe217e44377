"""Validation on the way: what is recorded, which weights are kept, and a kill in between."""

import csv
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.lineage import KEPT, lineage_of, lineage_of_start
from sixrayd.detectors.starts import start_weights
from sixrayd.train.curves import draw_curves
from sixrayd.train.data import TrainingData
from sixrayd.train.fit import Fit, best_epoch, write_metrics
from sixrayd.train.kept_state import EpochResult
from sixrayd.train.settings import TrainSettings, as_saved
from sixrayd.train.stage import kept_weights, train
from sixrayd.train.validation import validate
from tests.processes import started
from tests.squares import QUICK, ingest, squares

EVERY = replace(QUICK, epochs=3, input_size=96, validate_every=2, validation=0.3)
FILES = ("best.safetensors", "curves.png", "last.safetensors", "metrics.csv", "run.json")


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    return ingest(tmp_path_factory.mktemp("squares"), squares(positives=16, negatives=4, hidden=0))


@pytest.fixture(scope="module")
def validated(ingested, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("validated") / "workspace"
    workspace = Workspace(shutil.copytree(ingested.root, workspace))
    return workspace, train(workspace, EVERY)


@pytest.fixture
def workspace(validated, tmp_path):
    return Workspace(shutil.copytree(validated[0].root, tmp_path / "workspace"))


def mean_of(workspace, file):
    """What these weights reach on what the training held out."""
    run = workspace.run("models", "rfb-small")
    data = TrainingData(workspace, run, replace(DETECTORS["rfb-small"].recipe, epochs=3))
    detector = load_checkpoint(workspace.folder("models", "rfb-small") / file).detector
    return validate(detector, data, torch.device("cpu"))


def test_the_curve_the_table_and_the_record_say_the_same(validated):
    workspace, result = validated
    folder, run = Path(result.folder), workspace.run("models", "rfb-small")

    by_epoch = run.summary["validation_by_epoch"]
    assert list(by_epoch) == ["2", "3"]  # every second, and the last
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert list(rows[0]) == ["epoch", "rate", "offset_loss", "class_loss", "validation"]
    assert [row["validation"] for row in rows] == [
        "" if number not in by_epoch else str(by_epoch[number]) for number in "123"
    ]
    best = run.summary["best_epoch"]
    assert by_epoch[str(best)] == max(by_epoch.values()) == run.summary["validation"]["mean"]
    assert (result.best_epoch, result.validation["mean"]) == (best, by_epoch[str(best)])
    assert run.settings["validate_every"] == 2
    assert set(run.outputs) == {*FILES, "weights.safetensors", "seen.txt"} - {"run.json"}


def test_best_and_last_weights_are_those_epochs(validated):
    workspace, result = validated
    folder = Path(result.folder)
    by_epoch = workspace.run("models", "rfb-small").summary["validation_by_epoch"]

    assert mean_of(workspace, "best.safetensors")["mean"] == max(by_epoch.values())
    assert mean_of(workspace, "last.safetensors")["mean"] == by_epoch["3"]
    used = (folder / "weights.safetensors").read_bytes()
    assert used == (folder / "best.safetensors").read_bytes()


def test_each_of_these_weights_has_the_model_s_lineage(validated):
    workspace, result = validated
    known = lineage_of(workspace, "rfb-small")
    assert known.images

    for name in KEPT:
        path = Path(result.folder) / name
        assert lineage_of_start(workspace, str(path)) == known
        assert start_weights(workspace, str(path)) == path
    assert start_weights(workspace, "rfb-small").name == "weights.safetensors"


@pytest.mark.long
def test_validating_changes_nothing_in_what_is_learnt(validated, workspace):
    train(workspace, replace(EVERY, validate_every=None, name="plain"))

    plain, folder = workspace.folder("models", "plain"), Path(validated[1].folder)
    last = (folder / "last.safetensors").read_bytes()
    assert (plain / "weights.safetensors").read_bytes() == last
    assert not {"best.safetensors", "last.safetensors"} & {p.name for p in plain.iterdir()}
    assert "best_epoch" not in workspace.run("models", "plain").summary


def test_the_last_weights_are_used_where_that_is_asked_for():
    recipe = replace(DETECTORS["ssd-small"].recipe, ema_decay=0.0)
    fit = Fit(DETECTORS["ssd-small"].build(2), recipe, 1, torch.device("cpu"))
    assert [name for name, _ in kept_weights(fit, "best")] == ["weights.safetensors"]
    key, live = next(iter(fit.detector.named_parameters()))
    for epoch, mean in ((1, 0.5), (2, 0.25)):
        fit.results.append(result_of(epoch))
        live.data.fill_(epoch)
        fit.judge(mean)

    kept = {used: dict(kept_weights(fit, used)) for used in ("best", "last")}
    assert {used: {n: w[key].mean().item() for n, w in kept[used].items()} for used in kept} == {
        "best": {"weights.safetensors": 1, "best.safetensors": 1, "last.safetensors": 2},
        "last": {"weights.safetensors": 2, "best.safetensors": 1, "last.safetensors": 2},
    }


@pytest.mark.long
def test_killed_and_run_again_it_ends_in_the_same_bytes(validated, ingested, tmp_path):
    workspace = Workspace(shutil.copytree(ingested.root, tmp_path / "killed"))
    command = [sys.executable, "-m", "sixrayd", "train", "-w", str(workspace.root)]
    command += ["--detector", "rfb-small", "--epochs", "3", "--batch", "8", "--rate", "4e-3"]
    command += ["--input-size", "96", "--validate-every", "2", "--validation", "0.3"]
    checkpoint = workspace.folder("models", "rfb-small") / "checkpoint.pt"

    def epochs_done():
        if not checkpoint.exists():
            return 0
        return len(torch.load(checkpoint, weights_only=True)["results"])

    with started(command, stderr=subprocess.DEVNULL) as running:
        while epochs_done() < 2:
            assert running.poll() is None, "ended before it could be killed"
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert not (checkpoint.parent / "run.json").exists()
    train(workspace, EVERY)

    for name in (*FILES, "weights.safetensors"):
        killed = workspace.folder("models", "rfb-small") / name
        assert killed.read_bytes() == (Path(validated[1].folder) / name).read_bytes(), name


def test_nothing_held_out_cannot_be_validated(workspace):
    with pytest.raises(SettingsError) as caught:
        train(workspace, replace(EVERY, validation=1e-9, name="none"))
    assert str(caught.value) == (
        "validate-every 2: nothing is held out to validate on; pass a larger --validation"
    )
    assert not workspace.folder("models", "none").exists()


def result_of(epoch, validation=None):
    return EpochResult(epoch, 1e-3, 2.0, 3.0, validation)


def test_of_equal_epochs_the_latest_is_best():
    assert best_epoch([result_of(1), result_of(2)]) == 0
    assert best_epoch([result_of(1, 0.0), result_of(2), result_of(3, 0.0)]) == 3
    assert best_epoch([result_of(1, 0.5), result_of(2, 0.75), result_of(3, 0.25)]) == 2


def test_the_table_and_picture_of_a_training_without_validation_are_as_before(tmp_path):
    write_metrics(tmp_path / "metrics.csv", [result_of(1), result_of(2)])
    assert (tmp_path / "metrics.csv").read_text() == (
        "epoch,rate,offset_loss,class_loss\n1,0.001,2.0,3.0\n2,0.001,2.0,3.0\n"
    )
    write_metrics(tmp_path / "metrics.csv", [result_of(1), result_of(2, 0.5)])
    assert (tmp_path / "metrics.csv").read_text() == (
        "epoch,rate,offset_loss,class_loss,validation\n1,0.001,2.0,3.0,\n2,0.001,2.0,3.0,0.5\n"
    )
    heights = []
    for results in ([result_of(1), result_of(2)], [result_of(1), result_of(2, 0.5)]):
        draw_curves(tmp_path / "curves.png", results)
        head = (tmp_path / "curves.png").read_bytes()
        heights.append(int.from_bytes(head[20:24], "big"))
    assert heights == [540, 900]


def test_a_checkpoint_of_before_validation_is_gone_on_from(tmp_path):
    torch.manual_seed(0)
    recipe = DETECTORS["ssd-small"].recipe
    fits = [Fit(DETECTORS["ssd-small"].build(2), recipe, 1, torch.device("cpu")) for _ in "ab"]
    fits[0].results = [result_of(1)]
    fits[0].save(tmp_path / "new.pt")
    state = torch.load(tmp_path / "new.pt", weights_only=True)
    assert (state.pop("best"), state.pop("scaler")) == (None, None)
    state["results"] = [row[:4] for row in state["results"]]
    torch.save(state, tmp_path / "old.pt")

    fits[1].load(tmp_path / "old.pt")

    assert (fits[1].results, fits[1].best) == ([result_of(1)], None)
    first, second = (fit.weights() for fit in fits)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_new_settings_are_recorded_only_where_they_say_something():
    plain = as_saved(TrainSettings("rfb-small"))
    younger = {"micro_batch", "amp", "average", "validate_every", "weights"}
    assert not younger & plain.keys()
    assert not younger & as_saved(TrainSettings("rfb-small", weights="last")).keys()
    said = TrainSettings("rfb-small", ema_decay=0.0, micro_batch=2, amp="off", validate_every=1)
    assert as_saved(said) == {
        **plain,
        **{"average": 0.0, "micro_batch": 2, "amp": "off", "validate_every": 1},
    }


@pytest.mark.long
def test_the_moving_average_is_an_option(workspace, runner):
    command = "train --detector rfb-small --epochs 1 --batch 8 --input-size 96 --name e --ema"
    done = runner.invoke(cli, [*command.split(), "off", "-w", str(workspace.root)])

    assert done.exit_code == 0, done.output
    assert workspace.run("models", "e").settings["recipe"]["average"] == 0.0
    another = runner.invoke(cli, [*command.split(), "0.9", "-w", str(workspace.root)])
    assert "(average 0.0 there, 0.9 asked for)" in str(another.exception)
    wrong = runner.invoke(cli, [*command.split(), "never", "-w", str(workspace.root)])
    assert "Invalid value for '--ema': 'never' is not a valid float" in wrong.output


def test_without_an_average_the_live_weights_are_kept():
    torch.manual_seed(0)
    recipe = replace(DETECTORS["ssd-small"].recipe, ema_decay=0.0)
    fit = Fit(DETECTORS["ssd-small"].build(2), recipe, 1, torch.device("cpu"))
    with torch.no_grad():
        for parameter in fit.detector.parameters():
            parameter.add_(1.0)

    live = dict(fit.detector.named_parameters())
    assert all(torch.equal(fit.weights()[key], live[key]) for key in live)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ema_decay": 1.0}, "ema 1.0: needs to be at least 0 and less than 1"),
        ({"ema_decay": float("nan")}, "ema nan: needs to be at least 0 and less than 1"),
        ({"micro_batch": 0}, "micro-batch 0: expected 1 to 1,024"),
        ({"validate_every": 0}, "validate-every 0: expected 1 to 1,000,000"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError) as caught:
        TrainSettings("rfb-small", **wrong)
    assert str(caught.value) == message
