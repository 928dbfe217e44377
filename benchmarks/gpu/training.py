"""Training: how fast its halves are and both together, what waits, and whether it resumes."""

import csv
import math
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.gpu.inputs import cores_tried, scans, workspace_of
from benchmarks.gpu.plan import Setting
from benchmarks.gpu.running import ROOT, Measurement
from benchmarks.gpu.timing import finish, forget_peak, peak_gib, seconds
from sixrayd.core.cores import available_cores
from sixrayd.core.workspace import Run
from sixrayd.detectors.catalogue import DETECTORS, Recipe
from sixrayd.detectors.checkpoints import build_detector, load_checkpoint
from sixrayd.detectors.devices import tuned
from sixrayd.detectors.predictor import Predictor
from sixrayd.train.data import TrainingData
from sixrayd.train.examples import ExampleSet
from sixrayd.train.fit import Fit
from sixrayd.train.settings import TrainSettings
from sixrayd.train.stage import train

_RESUMED = "rfb-small"  # an optimiser with moments, batch norms, and a moving average of weights
_RESUMED_EPOCHS = 6


def training(part: Measurement) -> None:
    """The loader alone, the step alone, both, what waits, and a whole training."""
    examples, recipe = _examples(part.setting)
    _loader(part, examples, recipe)
    fit = _fit(part.setting, examples, recipe)
    with tuned(fit.device):  # as in the stage
        _step(part, fit, examples)
        _both(part, fit, examples)
        _waits(part, fit, examples)
    del fit
    for number in (1, 2):
        if part.left_s < 15:
            part.trim(f"whole training {number}")
        else:
            _whole(part, number)


def _examples(setting: Setting) -> tuple[ExampleSet, Recipe]:
    """What the stage would learn from, each positive a few times so that an epoch lasts."""
    sizes, workspace = setting.sizes, workspace_of(setting)
    recipe = replace(DETECTORS[sizes.learner].recipe, batch=_batch(setting), epochs=sizes.epochs)
    settings = asdict(TrainSettings(sizes.learner))
    data = TrainingData(workspace, Run("models", "", settings, {}), recipe)
    size = build_detector(sizes.learner, data.classes, sizes.side and _side(setting)).form.size
    side = round((recipe.window or 1.0) * size / 32) * 32
    decks = (data.positives * 4, data.backgrounds)
    return ExampleSet(*decks, data.decode, recipe.background, recipe.window, side, 0), recipe


def _batch(setting: Setting) -> int:
    return setting.sizes.learner_batch or DETECTORS[setting.sizes.learner].recipe.batch


def _side(setting: Setting) -> int | None:
    """Only the small detectors take another input than theirs."""
    return setting.sizes.side if DETECTORS[setting.sizes.learner].any_size else None


def _loader(part: Measurement, examples: ExampleSet, recipe: Recipe) -> None:
    pinned = part.setting.device == "cuda"
    for workers in cores_tried():
        start, images = time.perf_counter(), 0
        # Few threads get few batches: all take about a second.
        batches = examples.batches(0, recipe.batch, workers=workers, pinned=pinned)
        for batch in islice(batches, 4 + workers):
            images += len(batch.images)
        rate = images / (time.perf_counter() - start)
        part.row(views_alone_by_threads=workers, images_per_s=rate, images=images)


def _fit(setting: Setting, examples: ExampleSet, recipe: Recipe) -> Fit:
    sizes, device = setting.sizes, setting.torch_device
    torch.manual_seed(0)
    detector = build_detector(sizes.learner, workspace_of(setting).classes(), _side(setting))
    detector.initialise()
    steps = max(1, len(examples.order(0)) // recipe.batch)
    return Fit(detector, recipe, steps, device, workers=available_cores())


def _step(part: Measurement, fit: Fit, examples: ExampleSet) -> None:
    forget_peak(fit.device)
    batch = next(iter(examples.batches(0, fit.recipe.batch, workers=fit.workers)))
    there = batch.to(fit.device)
    fit.detector.train()
    times = seconds(lambda: fit.step(there, 1e-5), fit.device, 2 * part.setting.sizes.rounds)
    part.row(
        step_alone=part.setting.sizes.learner,
        batch=len(there.images),
        ms_a_step=1e3 * median(times),
        images_per_s=len(there.images) / median(times),
        rounds=len(times),
        peak_GiB=peak_gib(fit.device),
    )


def _both(part: Measurement, fit: Fit, examples: ExampleSet) -> None:
    rates = []
    forget_peak(fit.device)
    for _ in range(min(3, part.setting.sizes.rounds)):
        finish(fit.device)
        start = time.perf_counter()
        fit.epoch(examples, lambda: None)
        finish(fit.device)
        rates.append(fit.steps * fit.recipe.batch / (time.perf_counter() - start))
    part.row(
        views_and_steps=part.setting.sizes.learner,
        threads=fit.workers,
        images_per_s=median(rates),
        rounds=len(rates),
        steps_a_round=fit.steps,
        peak_GiB=peak_gib(fit.device),
    )


def _waits(part: Measurement, fit: Fit, examples: ExampleSet) -> None:
    """Where torch says that the host waited for the GPU, in one epoch."""
    if fit.device.type != "cuda":
        part.note("Waits of the host for the device: no GPU here.")
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            fit.epoch(examples, lambda: None)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [w for w in said if "called a synchronizing" in str(w.message)]
    places = Counter("/".join((*Path(w.filename).parts[-2:], str(w.lineno))) for w in waits)
    part.note(f"The host waited {len(waits)} times in an epoch of {fit.steps} steps.")
    for place, count in places.most_common(20):
        part.row(waits_at=place, times=count)


def _whole(part: Measurement, seed: int) -> None:
    """The stage, as `sixrayd train` runs it, and whether the loss falls."""
    setting, sizes = part.setting, part.setting.sizes
    settings = TrainSettings(
        *(sizes.learner, f"whole-{seed}", sizes.epochs, sizes.learner_batch),
        init="none",
        input_size=_side(setting),
        seed=seed,
        device=setting.device,
        force=True,
    )
    forget_peak(setting.torch_device)
    start = time.perf_counter()
    result = train(workspace_of(setting), settings)
    taken_s = time.perf_counter() - start
    with (Path(result.folder) / "metrics.csv").open(encoding="utf-8", newline="") as file:
        losses = [float(r["offset_loss"]) + float(r["class_loss"]) for r in csv.DictReader(file)]
    if not all(map(math.isfinite, losses)):
        raise ArithmeticError(f"losses of the epochs: {losses}, expected finite ones")
    part.row(
        whole_training=sizes.learner,
        seed=seed,
        epochs=len(losses),
        first_loss=losses[0],
        last_loss=losses[-1],
        falls=losses[-1] < losses[0],
        seconds=taken_s,
        peak_GiB=peak_gib(setting.torch_device),
    )


def resume(part: Measurement) -> None:
    """A training that is killed after an epoch and goes on, beside one that was not."""
    whole = _trained(part.setting, "whole")
    cut = _command(part.setting, "cut")
    checkpoint = workspace_of(part.setting).folder("models", "cut") / "checkpoint.pt"
    child = subprocess.Popen(cut, cwd=ROOT)  # noqa: S603 - our own words
    while not checkpoint.exists() and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    if child.wait() != -signal.SIGKILL:
        raise ChildProcessError(f"the training ended with {child.returncode} before it was killed")
    done = len(torch.load(checkpoint, map_location="cpu", weights_only=True)["results"])
    if not 0 < done < _RESUMED_EPOCHS:
        raise ChildProcessError(f"killed after {done} of {_RESUMED_EPOCHS} epochs")
    pairs = {f"killed after epoch {done}, resumed": _trained(part.setting, "cut")}
    if part.setting.device == "cuda" and part.left_s > 15:
        pairs["not killed, run once more"] = _trained(part.setting, "again")
    for what, weights in pairs.items():
        part.row(training=what, **_difference(weights, whole))


def _command(setting: Setting, name: str) -> list[str]:
    """`sixrayd train` of a small detector, the arguments after `python -m`."""
    size = ["--input-size", str(setting.sizes.side)] if setting.sizes.side else []
    return [
        *(sys.executable, "-m", "sixrayd", "train", "-w", str(workspace_of(setting).root)),
        *("--detector", _RESUMED, "--epochs", str(_RESUMED_EPOCHS), "--batch", "8"),
        *("--device", setting.device, "--name", name, *size),
    ]


def _trained(setting: Setting, name: str) -> Path:
    return _weights(setting, name, _command(setting, name))


def _weights(setting: Setting, name: str, command: list[str]) -> Path:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [""]
        raise ChildProcessError(f"training {name} ended with {done.returncode}: {lines[-1]}")
    return workspace_of(setting).output("models", name, "weights.safetensors")


def _difference(one: Path, other: Path) -> dict[str, Any]:
    ours, theirs = load_file(one), load_file(other)
    if ours.keys() != theirs.keys():
        raise ValueError(f"{one} and {other}: their tensors have other names")
    away = [float((ours[k].double() - theirs[k].double()).abs().max()) for k in ours]
    size = [float(theirs[k].double().abs().max()) for k in ours]
    return {
        "equal_bytes": one.read_bytes() == other.read_bytes(),
        "largest_difference_of_weights": max(away),
        "largest_weight": max(size),
    }


def torchrun(part: Measurement) -> None:
    """One process of torchrun trains, and its weights can be used."""
    setting, name = part.setting, "team"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])  # free: who trains beside it has torchrun's own
    launcher = ["torch.distributed.run", "--nproc-per-node", "1", "--master-port", port, "-m"]
    python, _, *arguments = _command(setting, name)
    os.environ["OMP_NUM_THREADS"] = str(available_cores())  # else torchrun takes one
    start = time.perf_counter()
    weights = _weights(setting, name, [python, "-m", *launcher, *arguments])
    taken_s = time.perf_counter() - start
    detector = load_checkpoint(weights).detector
    finite = all(bool(t.isfinite().all()) for t in detector.state_dict().values())
    if not finite:
        raise ArithmeticError(f"{weights}: not all weights are finite")
    images = scans(setting, 2)
    found = Predictor(detector, device=setting.torch_device).detect(images)
    part.row(
        processes=1,
        epochs=_RESUMED_EPOCHS,
        seconds=taken_s,
        weights_finite=finite,
        images_looked_at=len(found),
    )
