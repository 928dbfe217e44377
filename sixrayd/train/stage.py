"""The stage: choose examples, fit, validate, write the result."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sixrayd.core.classes import ClassList
from sixrayd.core.cores import available_cores
from sixrayd.core.errors import (
    ServiceError,
    SettingsError,
    SixraydError,
    WorkspaceError,
)
from sixrayd.core.files import remove, sha256_file
from sixrayd.core.index import Index, split_setting
from sixrayd.core.progress import progress
from sixrayd.core.records import LEAK_FREE, Split
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.catalogue import DETECTORS, Recipe, start_of
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, load_checkpoint, save_weights
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.devices import out_of_memory, pick_device, tuned
from sixrayd.detectors.lineage import (
    INHERITED,
    KEPT,
    SEEN,
    Lineage,
    lineage_of,
    lineage_of_start,
    write_ids,
)
from sixrayd.detectors.pretrained import WEIGHTS, initialise_from, is_published
from sixrayd.detectors.starts import start_weights
from sixrayd.train.curves import draw_curves
from sixrayd.train.data import TrainingData
from sixrayd.train.examples import ExampleSet
from sixrayd.train.fit import Fit, best_epoch, write_metrics
from sixrayd.train.gradient import Computing
from sixrayd.train.round import load_round, round_file
from sixrayd.train.settings import TrainSettings, as_saved
from sixrayd.train.team import Team, join
from sixrayd.train.validation import validate

_MOST_PIXELS = 1024 * 512 * 512  # of the views of a step


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained detector.

    Args:
        backgrounds: the hard ones among them.
        validation: VOC 2007 average precision on the held-out tenth, 0..1, by class and mean.
        best_epoch: the best of the validated epochs; 0 where only the end was validated.
        round: how many images the decisions of a review added or took away; empty without one.
        fresh: False when the same work had been done before.
        caution: where nobody knows what the weights learnt from that it started from.
    """

    name: str
    detector: str
    folder: str
    positives: int
    backgrounds: int
    epochs: int
    validation: dict[str, float]
    round: dict[str, int]
    fresh: bool
    caution: str = ""
    best_epoch: int = 0


def train(workspace: Workspace, settings: TrainSettings = TrainSettings()) -> TrainResult:
    """Train a detector on the training side of the release, or finish an interrupted training.

    Raises:
        WorkspaceError: nothing is ingested, no positive of the training side has boxes, there is
            no such split, what it starts from knows the test side, or the name is taken by a
            training on other settings.
        SettingsError: the weights to start from are in the folder that is to be replaced.
        AnnotationError: a box is thinner than a pixel.
        CheckpointError: the weights to start from do not fit.
        ServiceError: a GPU's memory does not take a step.
        SixraydError: the loss stops being finite.
    """
    device = pick_device(settings.device)
    Computing(settings.amp).check(device)
    with join(device) as team:
        return _train_in_team(workspace, settings, device, team)


def _train_in_team(
    workspace: Workspace, settings: TrainSettings, device: torch.device, team: Team
) -> TrainResult:
    detector = settings.detector
    if detector == "auto":
        detector = "rfb512" if device.type == "cuda" else "rfb-lite0"
    settings = replace(settings, detector=detector, init=start_of(detector, settings.init))
    recipe = _recipe(settings)
    if recipe.batch < team.size:
        raise SettingsError(
            f"batch {recipe.batch}: fewer images than the {team.size} processes that train; pass "
            "a larger --batch, or start fewer"
        )
    lasting = _lasting(settings, recipe)
    # Only the leader writes; the others wait until the folder is ready, and until it is finished.
    with workspace.lock("models") if team.leads else nullcontext():
        inputs = workspace.upstream(("shards", ""))
        lasting |= split_setting(workspace, settings.split)
        name = settings.name or detector
        if settings.init:
            inputs |= _start_inputs(workspace, name, settings.init)
            _refuse_tested(workspace, settings)
        if settings.round:
            inputs |= workspace.inputs(round_file(workspace, settings.round))
            load_round(workspace, settings.round, lasting.get("split", ""))
        run = Run("models", name, lasting, inputs)
        if not settings.force:
            workspace.refuse_other_work(run, "training")
        if is_published(settings.init) and not workspace.is_done(run):
            _weights_before(workspace, name, settings.init)  # or say now that it cannot be had
        # What cannot be learnt from is said before anything is begun, let alone replaced.
        ready = None if workspace.is_done(run) else _prepared(workspace, run, recipe, team)
        fresh = _begin(workspace, run, team)
        if fresh and ready:
            try:
                _train(workspace, run, ready, device, team)
            except SixraydError:
                # Nothing was learnt: the name is free for another try.
                folder = workspace.folder("models", run.name)
                if team.leads and not (folder / "checkpoint.pt").exists():
                    remove(folder)
                raise
        team.wait()
        done = workspace.run("models", run.name)
    return _result(workspace, done, fresh)


def _lasting(settings: TrainSettings, recipe: Recipe) -> dict[str, Any]:
    """What tells a training from others, as `run.json` has had it since the first version."""
    lasting = as_saved(settings) | {"recipe": as_saved(recipe)}
    del lasting["force"], lasting["split"]
    lasting["device"] = "auto"  # as is recorded from when it counted: where one trains does not
    if not settings.round:  # as trainings were recorded before there were rounds
        del lasting["round"]
    return lasting


def _result(workspace: Workspace, done: Run, fresh: bool) -> TrainResult:
    summary = done.summary
    return TrainResult(
        done.name,
        done.settings["detector"],
        str(workspace.folder("models", done.name)),
        summary["positives"],
        summary["backgrounds"],
        done.settings["recipe"]["epochs"],
        dict(summary["validation"]),
        dict(summary.get("round", {})),
        fresh,
        lineage_of(workspace, done.name).caution(done.name),
        summary.get("best_epoch", 0),
    )


def _start_inputs(workspace: Workspace, name: str, source: str) -> dict[str, str]:
    """The weights that a training starts from, by path. Published ones are known by their name and
    hash, wherever they lie; trainings of earlier versions recorded a place, which stands."""
    if not is_published(source):
        return workspace.inputs(_weights_before(workspace, name, source))
    before = workspace.held("models", name)
    file = WEIGHTS[source].name
    return {
        p: digest for p, digest in (before.inputs if before else {}).items() if p.endswith(file)
    }


def _weights_before(workspace: Workspace, name: str, source: str) -> Path:
    """The weights that the training of a model starts from, which are not its own."""
    path = start_weights(workspace, source)
    if path.resolve().is_relative_to(workspace.folder("models", name).resolve()):
        raise SettingsError(
            f"--init {source}: is what this training would replace; give it another --name"
        )
    return path


def _refuse_tested(workspace: Workspace, settings: TrainSettings) -> None:
    """Weights that know the test side are no start: what they led to could not be tested."""
    tested = Index.load(workspace, settings.split).rows(split=Split.TEST)["image_id"].to_pylist()
    both = sorted(lineage_of_start(workspace, settings.init).images.intersection(tested))
    if both:
        raise WorkspaceError(
            f"--init {settings.init}: learnt from {len(both)} images of the test side of split "
            f"{settings.split or LEAK_FREE}, first {both[0]}; start from weights that have not"
        )


def _begin(workspace: Workspace, run: Run, team: Team) -> bool:
    if team.leads:
        fresh = workspace.begin(run)
        team.wait()
        return fresh
    team.wait()
    return not (workspace.folder("models", run.name) / "run.json").exists()


def _recipe(settings: TrainSettings) -> Recipe:
    recipe = DETECTORS[settings.detector].recipe
    keys = ("batch", "learning_rate", "background", "window", "ema_decay")
    wishes = {key: getattr(settings, key) for key in keys}
    return replace(
        recipe.lasting(settings.epochs or recipe.epochs),
        **{key: value for key, value in wishes.items() if value is not None},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """All that a training takes before its first step."""

    recipe: Recipe
    data: TrainingData
    inherited: Lineage
    detector: Detector
    start: Mapping[str, Any]  # what `run.json` says of its weights
    examples: ExampleSet
    computing: Computing


def _prepared(workspace: Workspace, run: Run, recipe: Recipe, team: Team) -> _Ready:
    settings = run.settings
    data = TrainingData(workspace, run, recipe)
    if (every := settings.get("validate_every")) and not data.validation:
        raise SettingsError(
            f"validate-every {every}: nothing is held out to validate on; pass a larger "
            "--validation"
        )
    inherited = lineage_of_start(workspace, settings["init"])
    detector, start = _initialised(workspace, run, data.classes)
    side = max(1, round((recipe.window or 1.0) * detector.form.size / 32)) * 32
    if recipe.batch * side**2 > _MOST_PIXELS:
        raise SettingsError(
            f"batch {recipe.batch}: of {side} × {side} pixels each, a step takes "
            f"{_MOST_PIXELS // side**2} at most; pass a smaller --batch or --input-size"
        )
    examples = ExampleSet(
        *(data.positives, data.backgrounds, data.decode, recipe.background, recipe.window, side),
        *(settings["seed"], data.hard),
    )
    computing = computing_of(run, min(recipe.batch, len(examples.order(0))), side, team)
    return _Ready(recipe, data, inherited, detector, start, examples, computing)


def _train(workspace: Workspace, run: Run, ready: _Ready, device: torch.device, team: Team) -> None:
    try:
        _learn(workspace, run, ready, device, team)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        batch = ready.recipe.batch
        images = run.settings.get("micro_batch") or -(-batch // team.size)
        raise too_large(run.settings["detector"], device, images, batch) from error


def too_large(detector: str, device: torch.device, images: int, batch: int) -> ServiceError:
    """What to say where a GPU's memory does not take so many images at once."""
    if images > 1:
        way = f"pass --micro-batch {images // 2}, which keeps the batch of {batch},"
    else:
        way = "take a smaller detector,"
    return ServiceError(
        f"device {device.type}: its memory does not take the training of {detector} on {images} "
        f"images at once; {way} or end what else runs there"
    )


def _learn(workspace: Workspace, run: Run, ready: _Ready, device: torch.device, team: Team) -> None:
    folder, settings = workspace.folder("models", run.name), run.settings
    recipe, data, detector = ready.recipe, ready.data, ready.detector
    every = settings.get("validate_every")
    steps = max(1, len(ready.examples.order(0)) // recipe.batch)
    fit = Fit(detector, recipe, steps, device, team, _loaders(device, team), ready.computing)

    def judge() -> None:
        if every and (len(fit.results) % every == 0 or len(fit.results) == recipe.epochs):
            copy = build_detector(settings["detector"], data.classes)
            copy.form = detector.form
            copy.load_state_dict(fit.weights())
            fit.judge(validate(copy, data, device)["mean"])

    with tuned(device):
        _fit(fit, ready.examples, folder / "checkpoint.pt", run.name, judge)
    if not team.leads:
        return
    about = Checkpoint(settings["detector"], detector, data.classes)
    for name, weights in kept_weights(fit, settings.get("weights", "best")):
        save_weights(folder / name, about, weights)
    write_metrics(folder / "metrics.csv", fit.results)
    draw_curves(folder / "curves.png", fit.results)
    write_ids(folder / SEEN, data.seen())
    if settings["init"]:
        write_ids(folder / INHERITED, ready.inherited.images)
    validation = validate(load_checkpoint(folder / KEPT[0]).detector, data, device)
    (folder / "checkpoint.pt").unlink()
    workspace.finish(
        replace(
            run,
            outputs={path.name: sha256_file(path) for path in _results(folder)},
            summary={
                "positives": len(data.positives),
                "backgrounds": len(data.backgrounds) + len(data.hard),
                "validation_images": len(data.validation),
                "validation": validation,
                **ready.start,
                **({"unknown_origin": ready.inherited.unknown} if settings["init"] else {}),
                **({"round": data.added} if data.added else {}),
                **(_judged(fit) if every else {}),
            },
        )
    )


def _initialised(
    workspace: Workspace, run: Run, classes: ClassList
) -> tuple[Detector, dict[str, Any]]:
    """The detector before its first step, and what `run.json` says of its weights."""
    torch.manual_seed(run.settings["seed"])
    detector = build_detector(run.settings["detector"], classes, run.settings["input_size"])
    detector.initialise()
    if not (source := run.settings["init"]):
        return detector, {"init": {}}
    weights = _weights_before(workspace, run.name, source)
    start = {"init": asdict(initialise_from(detector, weights))}
    detector.sources.keep_pretrained()
    if is_published(source):
        start["published"] = {weights.name: sha256_file(weights)}
    return detector, start


def computing_of(run: Run, batch: int, side: int, team: Team) -> Computing:
    """How gradients are computed, on parts of batches that batch norms can go by.

    Args:
        batch: images of a step.
        side: of a view, in pixels.
    """
    computing = Computing(run.settings.get("amp", "auto"), run.settings.get("micro_batch"))
    if computing.micro_batch and batch % team.size:
        raise SettingsError(
            f"micro-batch {computing.micro_batch}: {team.size} processes share no batch of "
            f"{batch} evenly; pass a --batch that they do"
        )
    each = max(1, batch // team.size)
    least = each // computing.parts(each)
    if least * (side // 32) ** 2 < 2:  # a map of one cell has no variance
        what = f"micro-batch {computing.micro_batch}" if least < each else f"batch {batch}"
        raise SettingsError(
            f"{what} of views of {side} x {side} pixels: too little to normalise by; pass a larger "
            f"--{what.split()[0]}, --window or --input-size"
        )
    return computing


def kept_weights(fit: Fit, used: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Weights by file: those that are used, and of a validated training the best and the last."""
    last = fit.weights()
    best = fit.best or last
    yield KEPT[0], best if used == "best" else last
    if fit.best:
        yield from zip(KEPT[1:], (best, last), strict=True)


def _judged(fit: Fit) -> dict[str, Any]:
    """What validation said on the way, by epoch."""
    by_epoch = {r.epoch: r.validation for r in fit.results if r.validation is not None}
    return {"validation_by_epoch": by_epoch, "best_epoch": best_epoch(fit.results)}


def _loaders(device: torch.device, team: Team) -> int:
    """Threads that make views: all cores beside a GPU, fewer where the cores learn as well."""
    return max(1, available_cores() // team.size - (device.type == "cpu"))


def _fit(
    fit: Fit, examples: ExampleSet, checkpoint: Path, name: str, judge: Callable[[], None]
) -> None:
    """Train the epochs that are left, each judged and then kept in a checkpoint."""
    if checkpoint.exists():
        fit.load(checkpoint)
    fit.team.wait()  # nobody writes a checkpoint that somebody still has to read
    with progress() if fit.team.leads else nullcontext() as bar:
        epochs, steps = fit.recipe.epochs, fit.steps
        if bar:
            done = len(fit.results) * steps
            task = bar.add_task(f"training {name}", total=epochs * steps, completed=done, note="")
        while len(fit.results) < epochs:
            result = fit.epoch(examples, lambda: bar.advance(task) if bar else None)
            if bar:
                loss = result.offset_loss + result.class_loss
                bar.update(task, note=f"epoch {result.epoch}/{epochs}, loss {loss:.2f}")
                judge()
                fit.save(checkpoint)


def _results(folder: Path) -> Iterator[Path]:
    names = (*KEPT, "metrics.csv", "curves.png", SEEN, INHERITED)
    return (folder / name for name in names if (folder / name).exists())
