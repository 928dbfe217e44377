"""The stage: take in a tree, find or train weights, let every system look, score, report."""

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sixrayd.benchmark.cropped import crop_training_side
from sixrayd.benchmark.judging import Judged, Sides, load_sides
from sixrayd.benchmark.models import Model, find_models
from sixrayd.benchmark.parts import (
    Part,
    read_part,
    read_timings,
    write_part,
    write_timings,
)
from sixrayd.benchmark.pictures import take_pictures
from sixrayd.benchmark.report.page import write_report
from sixrayd.benchmark.results import Crop, Results, SweepPoint, System
from sixrayd.benchmark.scoring import Scorer
from sixrayd.benchmark.settings import PUBLISHED, SMALL, BenchmarkSettings
from sixrayd.benchmark.sweep import DEFAULT_K, choose_k, sweep_tdc
from sixrayd.benchmark.systems import (
    SystemRunner,
    SystemsPlan,
    plan_systems,
    tdc_settings,
    usable_crops,
)
from sixrayd.benchmark.tree import VocTree, ingest, tree_classes
from sixrayd.core.classes import ClassList
from sixrayd.core.command import progress
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.extras import import_extra
from sixrayd.core.files import sha256_file, write_json
from sixrayd.core.index import Index
from sixrayd.core.records import Split
from sixrayd.core.workspace import Run, Workspace
from sixrayd.crop.tdc_forms import TdcCropper
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.devices import float32_name, pick_device
from sixrayd.detectors.predictor import Predictor
from sixrayd.evaluation.bootstrap import BootstrapSettings

# Trains one detector on a workspace: the command hands over `sixrayd train`.
Trainer = Callable[[Workspace, str], None]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """A finished benchmark; mean average precisions are VOC 2007's, 0..1, by system."""

    name: str
    folder: str
    means: dict[str, float]
    chosen_k: float
    absent: dict[str, str]
    fresh: bool


def benchmark(
    workspace: Workspace,
    settings: BenchmarkSettings = BenchmarkSettings(),
    trainer: Trainer | None = None,
    command: str = "sixrayd benchmark",
    *,
    train_missing: bool = False,
) -> BenchmarkResult:
    """Compare detectors and crops on the test side of a VOC tree, or finish an interrupted one.

    Args:
        trainer: trains a detector where that is asked for.
        command: that the report says it was made with.
        train_missing: train detectors that have no weights; else their rows have no figures.

    Raises:
        ServiceError: the benchmark's extra is not installed.
        WorkspaceError: no tree, no such split, no weights at all, weights that have seen test
            images, or the name is taken by a benchmark of other settings.
    """
    import_extra("faster_coco_eval", "benchmark")  # not after hours of looking
    tree = VocTree.find(settings.voc or _newest_export(workspace))
    name = settings.name or _name_of(tree, settings.split)
    data = Workspace(workspace.root / "trees" / name)
    known = workspace.classes() if (workspace.shards / "run.json").exists() else None
    classes = tree_classes(tree, settings.classes, known)
    device = pick_device(settings.device)
    wanted = settings.detectors or (PUBLISHED if device.type == "cuda" else SMALL)
    given = Index.load(workspace, settings.split) if settings.split else None
    sides = tree.sides_by(given, settings.split) if given else None
    with data.lock():
        ingest(tree, data, classes, sides=sides)
    tested = frozenset(Index.load(data).rows(split=Split.TEST)["image_id"].to_pylist())
    models = find_models(workspace, data, wanted, classes, tested)
    for detector in wanted:
        fits = detector in models and not models[detector].knows(tested)
        if not fits and train_missing and trainer is not None:
            trainer(data, detector)
    with workspace.lock():
        models = find_models(workspace, data, wanted, classes, tested)
        if not models:
            raise WorkspaceError(
                f"{data.folder('models')}: no weights of {', '.join(wanted)} for the classes "
                f"{', '.join(classes.names)}; pass --train-missing"
            )
        _refuse_overlap(models, tested)
        run = _planned(workspace, data, settings, name, wanted, models)
        if not settings.force and (why := workspace.other_work(run)):
            raise WorkspaceError(
                f"{workspace.folder('benchmark', name)}: holds another benchmark ({why}); pass "
                "--force to replace it, or --name for a new one"
            )
        fresh = workspace.begin(run)
        if fresh:
            job = _Job(workspace, data, run, settings, models, classes)
            job.work(wanted, command, trainer)
        done = workspace.run("benchmark", name)
    folder = workspace.folder("benchmark", name)
    return BenchmarkResult(name, str(folder), **_summary(done.summary), fresh=fresh)


def _refuse_overlap(models: Mapping[str, Model], tested: frozenset[str]) -> None:
    for model in models.values():
        if both := model.knows(tested):
            raise WorkspaceError(
                f"{model.weights}: learnt from {len(both)} of the test images, itself or before, "
                f"first {both[0]}; judge weights that have not, or pass --train-missing"
            )


def _summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in ("means", "chosen_k", "absent")}


def _name_of(tree: VocTree, split: str) -> str:
    """The tree's folder, and the split where it is not the tree's own."""
    folder = (tree.root.parent if tree.root.name == "VOC2007" else tree.root).name
    return "-".join(filter(None, (folder, split)))


def _newest_export(workspace: Workspace) -> Path:
    name = workspace.newest("export")
    out = workspace.run("export", name).settings.get("out")
    return Path(out) if out else workspace.folder("export", name)


def _planned(
    workspace: Workspace,
    data: Workspace,
    settings: BenchmarkSettings,
    name: str,
    wanted: tuple[str, ...],
    models: Mapping[str, Model],
) -> Run:
    lasting = asdict(settings) | {"detectors": list(wanted)}
    for key in ("voc", "force", "name"):
        del lasting[key]
    if not settings.split:  # as benchmarks were recorded before there were given splits
        del lasting["split"]
    lasting["device"] = pick_device(settings.device).type
    files = [
        data.shards / "run.json",
        *(model.weights.parent / "run.json" for model in models.values()),
    ]
    files += [path for path in (settings.saliency, settings.regression) if path]
    return Run("benchmark", name, lasting, workspace.inputs(*files))


class _Job:
    """One benchmark at work in its folder."""

    def __init__(
        self,
        workspace: Workspace,
        data: Workspace,
        run: Run,
        settings: BenchmarkSettings,
        models: Mapping[str, Model],
        classes: ClassList,
    ) -> None:
        self.workspace, self.data, self.run = workspace, data, run
        self.settings, self.models, self.classes = settings, models, classes
        self.folder = workspace.folder("benchmark", run.name)
        self.device = pick_device(settings.device)
        seen = frozenset(i for model in models.values() for i in model.lineage.images)
        self.sides = load_sides(data, classes, seen, settings.validation, settings.seed)
        if not self.sides.test.ids:
            raise WorkspaceError(f"{data.root}: no test image has an object of {classes.names}")
        self.detectors = {d: load_checkpoint(m.weights).detector for d, m in models.items()}
        self.main = list(models)[-1]
        self.cropped: Detector | None = None  # the last detector, trained on crops
        self.scale = settings.scale or self._scale()

    def work(self, wanted: tuple[str, ...], command: str, trainer: Trainer | None) -> None:
        """Run what is missing and write the report."""
        sweep = self._sweep(wanted[-1])
        k = choose_k(sweep)
        names = {detector: model.name for detector, model in self.models.items()}
        cropped = ""
        if self.settings.train_cropped and trainer is not None and wanted[-1] in names:
            cropped = self._learn_crops(wanted[-1], k, trainer)
        plan = plan_systems(names, wanted, usable_crops(self.settings), k, cropped)
        runners = [self._runner(system) for system in plan.systems]
        parts = self._run_all("test", runners, self.sides.test)
        negatives = {}
        if self.sides.negatives.ids:
            negatives = self._run_all("negatives", runners, self.sides.negatives)
        timings = self.folder / "timings.parquet"
        if not timings.exists():
            with self._bar("timing", self.settings.timing) as tick:
                write_timings(
                    timings,
                    runners,
                    self.sides.test,
                    self.settings.timing,
                    self.settings.seed,
                    tick,
                )
        results = self._results(plan, sweep, k, parts, negatives, command)
        write_json(self.folder / "results.json", asdict(results))
        pictures = take_pictures(results, self.sides.test, runners, parts)
        write_report(self.folder, results, pictures)
        self._finish(results)

    def _scale(self) -> float:
        """What makes a median training image as large as the fixed input."""
        return self.detectors[self.main].form.size / self.sides.median_px

    def _learn_crops(self, main: str, k: float, trainer: Trainer) -> str:
        """Train a detector on TDC's crops of the training side; the name of its weights."""
        root = self.data.root
        target = Workspace(root.with_name(f"{root.name}-crops"))
        crop = Crop("tdc", k=k)
        settings = {**asdict(crop), "weights": sha256_file(self.models[main].weights)}
        cropper = TdcCropper(self.detectors[main], tdc_settings(crop), self.device)
        crop_training_side(self.data, target, cropper, settings)
        model = find_models(target, target, (main,), self.classes).get(main)
        if model is None or target.stale("models", model.name):
            trainer(target, main)
            model = find_models(target, target, (main,), self.classes)[main]
        self.cropped = load_checkpoint(model.weights).detector
        return f"{model.name}, crops"

    def _runner(self, system: System) -> SystemRunner:
        eye = self.detectors[system.detector]
        detector = self.cropped if system.learnt == "crops" and self.cropped else eye
        return SystemRunner(system, detector, self.scale, self.settings, self.device, eye)

    def _sweep(self, main: str) -> tuple[SweepPoint, ...]:
        if main not in self.models or not self.sides.validation.ids:
            return ()
        path = self.folder / "sweep.json"
        if not path.exists():
            predictor = Predictor(self.detectors[main], device=self.device)
            images = self.sides.validation
            with self._bar("choosing k", len(images.ids)) as tick:
                points = sweep_tdc(predictor, images, self.classes, tick)
            write_json(path, [asdict(point) for point in points])
        return tuple(SweepPoint(**row) for row in parse_json(path.read_text("utf-8")))

    def _run_all(self, kind: str, runners: list[SystemRunner], images: Judged) -> dict[str, Part]:
        paths = {x.system.key: self.folder / kind / f"{x.system.key}.parquet" for x in runners}
        left = [runner for runner in runners if not paths[runner.system.key].exists()]
        with self._bar(f"looking at {kind} images", len(left) * len(images.ids)) as tick:
            for runner in left:
                write_part(paths[runner.system.key], runner, images, tick)
        return {key: read_part(path) for key, path in paths.items()}

    @contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        with progress() as bar:
            task = bar.add_task(what, total=total, note="")
            yield lambda: bar.advance(task)

    def _results(
        self,
        plan: SystemsPlan,
        sweep: tuple[SweepPoint, ...],
        k: float,
        parts: Mapping[str, Part],
        negatives: Mapping[str, Part],
        command: str,
    ) -> Results:
        bootstrap = BootstrapSettings(
            self.settings.resamples, margin=self.settings.margin, seed=self.settings.seed
        )
        scorer = Scorer(self.sides.test, self.classes, bootstrap, parts, negatives)
        times = read_timings(self.folder / "timings.parquet", plan.systems)
        return Results(
            name=self.run.name,
            tree=str(self.data.run("shards").settings["tree"]),
            classes=self.classes.names,
            images=_counts(self.sides),
            objects=_objects(self.sides.test, self.classes),
            models=tuple(model.facts() for model in self.models.values()),
            rows=scorer.rows(plan.systems, times),
            tables=plan.tables,
            sweep=sweep,
            chosen_k=k,
            margin=self.settings.margin,
            resamples=self.settings.resamples,
            device=_device_name(self.device),
            precision=float32_name(self.device),
            command=command,
            notes=self._notes(sweep),
        )

    def _notes(self, sweep: tuple[SweepPoint, ...]) -> tuple[str, ...]:
        summary = self.data.run("shards").summary
        notes = [f"Dynamic input: {self.scale:.3f} pixels for a pixel of the image."]
        cautions = (model.lineage.caution(model.name) for model in self.models.values())
        notes += [f"{caution}." for caution in cautions if caution]
        if not sweep:
            notes.append(f"No image to choose k on was unseen by all weights: k is {DEFAULT_K}.")
        if summary["groups_on_both_sides"]:
            notes.append(
                f"{summary['groups_on_both_sides']} groups of near-duplicates lie on both sides of "
                "the tree's own split: figures are kinder than on new scans."
            )
        if summary["without_annotation"]:
            notes.append(f"{summary['without_annotation']} images without annotation left out.")
        if not self.sides.negatives.ids:
            notes.append("The test side has no negatives, so false alarms cannot be counted.")
        return tuple(notes)

    def _finish(self, results: Results) -> None:
        files = sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != "plan.json")
        outputs = {p.relative_to(self.folder).as_posix(): sha256_file(p) for p in files}
        summary = {
            "means": {row.system.key: row.voc07.value for row in results.rows},
            "chosen_k": results.chosen_k,
            "absent": {
                label: why for table in results.tables for label, why in table.absent.items()
            },
        }
        self.workspace.finish(replace(self.run, outputs=outputs, summary=summary))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, {capability}"


def _counts(sides: Sides) -> dict[str, int]:
    return {
        "train": sides.train_images,
        "validation": len(sides.validation.ids),
        "test": len(sides.test.ids),
        "negatives": len(sides.negatives.ids),
    }


def _objects(judged: Judged, classes: ClassList) -> dict[str, int]:
    labels = [int(label) for truth in judged.truths.values() for label in truth.labels]
    return {name: labels.count(number) for number, name in enumerate(classes.names)}
