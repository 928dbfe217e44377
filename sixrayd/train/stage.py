"""The stage: choose examples, fit, validate, write the result."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from sixrayd.core.command import progress
from sixrayd.core.cores import available_cores
from sixrayd.core.errors import ServiceError, SettingsError, SixraydError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.index import Index, split_setting
from sixrayd.core.records import LEAK_FREE, Split
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.catalogue import DETECTORS, Recipe
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, load_checkpoint, save_weights
from sixrayd.detectors.devices import out_of_memory, pick_device, tuned
from sixrayd.detectors.lineage import (
    INHERITED,
    SEEN,
    lineage_of,
    lineage_of_start,
    trained_model,
    write_ids,
)
from sixrayd.detectors.predictor import Predictor
from sixrayd.detectors.pretrained import find_weights, initialise_from
from sixrayd.evaluation.average_precision import MeanAveragePrecision, mean_average_precision
from sixrayd.train.curves import draw_curves
from sixrayd.train.data import TrainingData
from sixrayd.train.examples import ExampleSet
from sixrayd.train.fit import Fit, write_metrics
from sixrayd.train.round import load_round, round_file
from sixrayd.train.settings import TrainSettings, as_saved
from sixrayd.train.team import Team, join


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained detector.

    Args:
        backgrounds: the hard ones among them.
        validation: VOC 2007 average precision on the held-out tenth, 0..1, by class and mean.
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
    with join(device) as team:
        return _train_in_team(workspace, settings, device, team)


def _train_in_team(
    workspace: Workspace, settings: TrainSettings, device: torch.device, team: Team
) -> TrainResult:
    detector = settings.detector
    if detector == "auto":
        detector = "rfb512" if device.type == "cuda" else "rfb-small"
    recipe = _recipe(detector, settings)
    if recipe.batch < team.size:
        raise SettingsError(
            f"batch {recipe.batch}: fewer images than the {team.size} processes that train; pass "
            "a larger --batch, or start fewer"
        )
    lasting = as_saved(replace(settings, detector=detector)) | {"recipe": as_saved(recipe)}
    del lasting["force"]
    lasting["device"] = "auto"  # as is recorded from when it counted: where one trains does not
    del lasting["split"]
    if not settings.round:  # as trainings were recorded before there were rounds
        del lasting["round"]
    # Only the leader writes; the others wait until the folder is ready, and until it is finished.
    with workspace.lock() if team.leads else nullcontext():
        inputs = workspace.upstream(("shards", ""))
        lasting |= split_setting(workspace, settings.split)
        name = settings.name or detector
        if settings.init:
            inputs |= workspace.inputs(_weights_before(workspace, name, settings.init))
            _refuse_tested(workspace, settings)
        if settings.round:
            inputs |= workspace.inputs(round_file(workspace, settings.round))
            load_round(workspace, settings.round, lasting.get("split", ""))
        run = Run("models", name, lasting, inputs)
        if not settings.force and (why := workspace.other_work(run)):
            raise WorkspaceError(
                f"{workspace.folder('models', run.name)}: holds another training ({why}); pass "
                "--force to replace it, or --name for a new one"
            )
        fresh = _begin(workspace, run, team)
        if fresh:
            try:
                _train(workspace, run, recipe, device, team)
            except SixraydError:
                # Nothing was learnt: the name is free for another try.
                folder = workspace.folder("models", run.name)
                if team.leads and not (folder / "checkpoint.pt").exists():
                    shutil.rmtree(folder)
                raise
        team.wait()
        done = workspace.run("models", run.name)
    summary = done.summary
    return TrainResult(
        run.name,
        detector,
        str(workspace.folder("models", run.name)),
        summary["positives"],
        summary["backgrounds"],
        recipe.epochs,
        dict(summary["validation"]),
        dict(summary.get("round", {})),
        fresh,
        lineage_of(workspace, run.name).caution(run.name),
    )


def _weights_before(workspace: Workspace, name: str, source: str) -> Path:
    """The weights that the training of a model starts from: ours by name or path, or others."""
    ours = trained_model(workspace, source)
    if ours:
        path = ours[0].output("models", ours[1], "weights.safetensors")
    else:
        path = find_weights(source)
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


def _recipe(detector: str, settings: TrainSettings) -> Recipe:
    keys = ("epochs", "batch", "learning_rate", "background", "window")
    wishes = {key: getattr(settings, key) for key in keys}
    return replace(
        DETECTORS[detector].recipe,
        **{key: value for key, value in wishes.items() if value is not None},
    )


def _train(
    workspace: Workspace, run: Run, recipe: Recipe, device: torch.device, team: Team
) -> None:
    try:
        _learn(workspace, run, recipe, device, team)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise ServiceError(
            f"device {device.type}: its memory does not take the training of "
            f"{run.settings['detector']} on {recipe.batch} images a step; pass a smaller --batch, "
            "or end what else runs there"
        ) from error


def _learn(
    workspace: Workspace, run: Run, recipe: Recipe, device: torch.device, team: Team
) -> None:
    folder = workspace.folder("models", run.name)
    name, seed = run.settings["detector"], run.settings["seed"]
    data = TrainingData(workspace, run, recipe)
    inherited = lineage_of_start(workspace, run.settings["init"])
    torch.manual_seed(seed)
    detector = build_detector(name, data.classes, run.settings["input_size"])
    detector.initialise()
    start = None
    if run.settings["init"]:
        weights = _weights_before(workspace, run.name, run.settings["init"])
        start = initialise_from(detector, weights)
        detector.sources.keep_pretrained()
    side = max(1, round((recipe.window or 1.0) * detector.form.size / 32)) * 32
    if recipe.batch // team.size * (side // 32) ** 2 < 2:  # a map of one cell has no variance
        raise SettingsError(
            f"batch {recipe.batch} of views of {side} x {side} pixels: too little to normalise by; "
            "pass a larger --batch, --window or --input-size"
        )
    examples = ExampleSet(
        *(data.positives, data.backgrounds, data.decode, recipe.background, recipe.window, side),
        *(seed, data.hard),
    )
    steps = max(1, len(examples.order(0)) // recipe.batch)
    fit = Fit(detector, recipe, steps, device, team, _loaders(device, team))
    with tuned(device):
        _fit(fit, examples, folder / "checkpoint.pt", run.name)
    if not team.leads:
        return
    checkpoint_of = Checkpoint(name, detector, data.classes)
    save_weights(folder / "weights.safetensors", checkpoint_of, fit.weights())
    write_metrics(folder / "metrics.csv", fit.results)
    draw_curves(folder / "curves.png", fit.results)
    write_ids(folder / SEEN, data.seen())
    if run.settings["init"]:
        write_ids(folder / INHERITED, inherited.images)
    validation = _validate(folder / "weights.safetensors", data, device)
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
                "init": asdict(start) if start else {},
                **({"unknown_origin": inherited.unknown} if start else {}),
                **({"round": data.added} if data.added else {}),
            },
        )
    )


def _loaders(device: torch.device, team: Team) -> int:
    """Threads that make views: all cores beside a GPU, fewer where the cores learn as well."""
    return max(1, available_cores() // team.size - (device.type == "cpu"))


def _fit(fit: Fit, examples: ExampleSet, checkpoint: Path, name: str) -> None:
    """Train the epochs that are left, with a checkpoint after each."""
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
                fit.save(checkpoint)


def _results(folder: Path) -> Iterator[Path]:
    names = ("weights.safetensors", "metrics.csv", "curves.png", SEEN, INHERITED)
    return (folder / name for name in names if (folder / name).exists())


def _validate(weights: Path, data: TrainingData, device: torch.device) -> dict[str, float]:
    if not data.validation:
        return {}
    predictor = Predictor(load_checkpoint(weights).detector, device=device)
    images = (data.decode(record.image_id) for record in data.validation)
    found = predictor.detect_each(images, 8)
    ids = [record.image_id for record in data.validation]
    detections = dict(zip(ids, found, strict=True))
    truths = {record.image_id: data.truth(record) for record in data.validation}
    return _by_class(mean_average_precision(detections, truths, data.classes))


def _by_class(result: MeanAveragePrecision) -> dict[str, float]:
    present = [r for r in result.classes if r.positives]
    return {
        **{r.label: round(r.average_precision, 6) for r in present},
        "mean": round(result.mean, 6),
    }
