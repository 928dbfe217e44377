"""The stage: take in a tree, find or train weights, let every system look, score, report."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from sixrayd.benchmark.cropped import crop_training_side
from sixrayd.benchmark.given import TreeSplit, find_tree_split
from sixrayd.benchmark.judging import Judged, load_sides
from sixrayd.benchmark.models import Chosen, find_models, named_models
from sixrayd.benchmark.outcome import BenchmarkResult, Findings, summarise
from sixrayd.benchmark.parts import (
    Part,
    read_part,
    read_timings,
    write_detections,
    write_part,
    write_timings,
)
from sixrayd.benchmark.pictures import take_pictures
from sixrayd.benchmark.protocol import Protocol
from sixrayd.benchmark.report.page import write_report
from sixrayd.benchmark.results import Crop, Results, Row, SweepPoint, System
from sixrayd.benchmark.scoring import Scorer
from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.benchmark.sweep import choose_k, kernel_of, sweep_tdc
from sixrayd.benchmark.systems import (
    Entrant,
    SystemRunner,
    SystemsPlan,
    plan_systems,
    usable_crops,
)
from sixrayd.benchmark.tdc import tdc_settings
from sixrayd.benchmark.tree import VocTree, ingest, ingest_of, tree_classes
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import OtherWorkError, SettingsError, WorkspaceError
from sixrayd.core.extras import import_extra
from sixrayd.core.files import sha256_file, write_json
from sixrayd.core.index import Index
from sixrayd.core.progress import progress
from sixrayd.core.read_back import read_back_all
from sixrayd.core.records import Split
from sixrayd.core.workspace import Run, Workspace
from sixrayd.crop.settings import CannySettings
from sixrayd.crop.tdc_forms import TdcCropper, check_layer
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.devices import pick_device
from sixrayd.detectors.predictor import Predictor
from sixrayd.evaluation.bootstrap import BootstrapSettings

# Trains detectors on a workspace: the command hands over `sixrayd train`.
Trainer = Callable[[Workspace, Sequence[str]], None]


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
        trainer: trains detectors where that is asked for.
        command: that the report says it was made with.
        train_missing: train detectors that have no weights; else their rows have no figures.

    Raises:
        ServiceError: the benchmark's extra is not installed.
        WorkspaceError: no tree, no such split, no weights at all, weights that have seen test
            images, or the name is taken by a benchmark of other settings.
    """
    import_extra("faster_coco_eval", "benchmark")  # not after hours of looking
    rules = settings.rules
    tree = VocTree.find(settings.voc or _newest_export(workspace))
    # From the first look at the tree to the report: another one could replace what this reads.
    with workspace.lock("benchmark"):
        split = find_tree_split(workspace, tree, settings.split)
        name = settings.name or _name_of(tree, split.name)
        data = Workspace(workspace.folder("trees", name))  # which refuses what is no plain name
        known = workspace.classes() if (workspace.shards / "run.json").exists() else None
        classes = tree_classes(tree, settings.classes, known)
        on_gpu = pick_device(settings.device).type == "cuda"
        detectors = settings.detectors or (rules.detectors if on_gpu else rules.on_cpu)
        wanted = settings.models or detectors
        with data.lock():
            if (workspace.folder("benchmark", name) / "run.json").exists() and not settings.force:
                taken = ingest_of(tree, classes, sides=split.sides)
                _refuse_other(workspace, name, data.other_work(taken))
            ingest(tree, data, classes, sides=split.sides)
        tested = frozenset(Index.load(data).rows(split=Split.TEST)["image_id"].to_pylist())
        if train_missing and trainer is not None and not settings.models:
            models = find_models(workspace, data, wanted, classes, tested).models
            missing = [d for d in wanted if d not in models or models[d].knows(tested)]
            if missing:
                _refuse_finished(workspace, settings, name, missing)
                trainer(data, missing)
        if settings.models:
            chosen = named_models(workspace, data, wanted, classes)
        else:
            chosen = find_models(workspace, data, wanted, classes, tested)
        _refuse_unfit(data, chosen, wanted, classes, tested, rules)
        run = _planned(workspace, data, settings, name, detectors, split, chosen)
        if not settings.force:
            _refuse_other(workspace, name, workspace.other_work(run))
        fresh = workspace.begin(run)
        if fresh:
            job = _Job(workspace, data, run, settings, split, chosen, classes)
            job.work(wanted, command, trainer)
        summary = workspace.run("benchmark", name).summary
    folder = workspace.folder("benchmark", name)
    return BenchmarkResult.of(name, str(folder), summary, fresh=fresh)


def _refuse_unfit(
    data: Workspace,
    chosen: Chosen,
    wanted: Sequence[str],
    classes: ClassList,
    tested: frozenset[str],
    rules: Protocol,
) -> None:
    """Before anything is begun: there are weights, which know no test image, and the last ones have
    the layer that TDC looks at.
    """
    if not chosen.models:
        raise WorkspaceError(
            f"{data.folder('models')}: no weights of {', '.join(wanted)} for the classes "
            f"{', '.join(classes.names)}; pass --train-missing"
        )
    chosen.refuse_learnt(tested)
    if main := chosen.models.get(wanted[-1]):
        check_layer(DETECTORS[main.detector].build, tdc_settings(rules.tdc_crop()))


def _refuse_other(workspace: Workspace, name: str, why: str) -> None:
    """Before what another benchmark is, or was made of, is replaced; `why` tells it is another."""
    if why:
        raise OtherWorkError(
            f"{workspace.folder('benchmark', name)}: holds another benchmark ({why}); pass "
            "--force to replace it, or --name for a new one"
        )


def _refuse_finished(
    workspace: Workspace, settings: BenchmarkSettings, name: str, missing: Sequence[str]
) -> None:
    """What is trained now would make it another benchmark: said before, not after."""
    folder = workspace.folder("benchmark", name)
    if not settings.force and (folder / "run.json").exists():
        raise OtherWorkError(
            f"{folder}: holds a finished benchmark without {', '.join(missing)}; pass --force to "
            "replace it, or --name for a new one"
        )


def _name_of(tree: VocTree, split: str) -> str:
    """The tree's folder, and the split where it is not the tree's own.

    Raises:
        SettingsError: the folder has no name.
    """
    root = tree.root.resolve()
    folder = (root.parent if root.name == "VOC2007" else root).name
    if not folder:
        raise SettingsError(f"--voc {tree.root}: its folder has no name; pass --name")
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
    detectors: tuple[str, ...],
    split: TreeSplit,
    chosen: Chosen,
) -> Run:
    lasting = asdict(settings) | {"detectors": list(detectors), "split": split.name}
    for key in ("voc", "force", "name"):
        del lasting[key]
    lasting["tdc"] = settings.tdc.asked
    for key, usual in (
        ("split", ""),
        ("protocol", "modern"),
        ("models", ()),
        ("images", None),
        ("tdc", {}),
        ("canny", asdict(CannySettings())),
    ):
        if lasting[key] == usual:  # as benchmarks were recorded before there was a choice
            del lasting[key]
    if settings.models:
        lasting["detectors"] = []
    lasting["device"] = pick_device(settings.device).type
    files = [
        data.shards / "run.json",
        *(model.weights.parent / "run.json" for model in chosen.models.values()),
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
        split: TreeSplit,
        chosen: Chosen,
        classes: ClassList,
    ) -> None:
        self.workspace, self.data, self.run = workspace, data, run
        self.settings, self.rules, self.classes = settings, settings.rules, classes
        self.split, self.chosen, self.models = split, chosen, chosen.models
        self.folder = workspace.folder("benchmark", run.name)
        self.device = pick_device(settings.device)
        seen = frozenset(i for model in self.models.values() for i in model.lineage.images)
        self.sides = load_sides(
            data, classes, seen, settings.validation, settings.seed, settings.images
        )
        if not self.sides.test.ids:
            raise WorkspaceError(f"{data.root}: no test image has an object of {classes.names}")
        self.detectors = {
            name: load_checkpoint(model.weights).detector for name, model in self.models.items()
        }
        self.main = list(self.models)[-1]
        self.cropped: Detector | None = None  # the last one, trained on crops
        self.facts = [m.facts(self.detectors[n].form.size) for n, m in self.models.items()]
        self.scale = settings.scale or self._scale()

    def work(self, wanted: tuple[str, ...], command: str, trainer: Trainer | None) -> None:
        """Run what is missing and write the report."""
        k = self.rules.k
        sweep = self._sweep(wanted[-1]) if k is None else ()
        if k is None:
            k = choose_k(sweep, kernel_of(self.rules.tdc_crop()))
        cropped = ""
        if self.settings.train_cropped and trainer is not None and wanted[-1] in self.models:
            cropped = self._learn_crops(wanted[-1], k, trainer)
        entrants = {name: Entrant(m.detector, m.name) for name, m in self.models.items()}
        sides = (self.sides.test, self.sides.negatives)
        largest = max(w * h for side in sides for w, h in side.sizes_wh.values())
        crops = usable_crops(self.settings, largest)
        plan = plan_systems(entrants, wanted, crops, self.rules, k, cropped)
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
        findings = Findings(
            name=self.run.name,
            data=self.data,
            settings=self.settings,
            classes=self.classes,
            sides=self.sides,
            split=self.split,
            chosen=self.chosen,
            models=tuple(self.facts),
            plan=plan,
            sweep=sweep,
            k=k,
            scale=self.scale,
            device=self.device,
            command=command,
        )
        results = findings.results(self._rows(plan, parts, negatives))
        write_json(self.folder / "results.json", asdict(results))
        if self.rules.ap == "legacy":
            write_detections(self.folder / "detections", parts, self.sides.test, self.classes)
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
        crop = self.rules.tdc_crop(k)
        knobs = asdict(crop)
        for key in ("axes", "numbering"):  # as crops were recorded before these could be chosen
            if knobs[key] == getattr(Crop(), key):
                del knobs[key]
        settings = {**knobs, "weights": sha256_file(self.models[main].weights)}
        cropper = TdcCropper(self.detectors[main], tdc_settings(crop), self.device)
        crop_training_side(self.data, target, cropper, settings)
        kind = self.models[main].detector
        model = find_models(target, target, (kind,), self.classes).models.get(kind)
        if model is None or target.stale("models", model.name):
            trainer(target, [kind])
            model = find_models(target, target, (kind,), self.classes).models[kind]
        self.cropped = load_checkpoint(model.weights).detector
        name = f"{model.name}, crops"
        self.facts.append(replace(model.facts(self.cropped.form.size), name=name))
        return name

    def _runner(self, system: System) -> SystemRunner:
        eye = self.detectors[system.entry]
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
                crop = self.rules.form_crop("exact")
                points = sweep_tdc(predictor, images, self.classes, crop, tick)
            write_json(path, [asdict(point) for point in points])
        return read_back_all(SweepPoint, path)

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

    def _rows(
        self, plan: SystemsPlan, parts: Mapping[str, Part], negatives: Mapping[str, Part]
    ) -> tuple[Row, ...]:
        bootstrap = BootstrapSettings(
            self.settings.resamples,
            margin=self.settings.margin,
            seed=self.settings.seed,
            mode=self.rules.ap,
        )
        scorer = Scorer(
            self.sides.test, self.classes, bootstrap, parts, negatives, self.sides.confusing
        )
        times = read_timings(self.folder / "timings.parquet", plan.systems)
        return scorer.rows(plan.systems, times)

    def _finish(self, results: Results) -> None:
        files = sorted(
            p for p in self.folder.rglob("[!.]*") if p.is_file() and p.name != "plan.json"
        )
        outputs = {p.relative_to(self.folder).as_posix(): sha256_file(p) for p in files}
        summary = summarise(results, self.chosen.remarks)
        self.workspace.finish(replace(self.run, outputs=outputs, summary=summary))
