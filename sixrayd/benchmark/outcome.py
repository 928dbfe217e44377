"""From a benchmark's parts to the results that its report shows, and what a person is told."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import torch

from sixrayd.benchmark import published
from sixrayd.benchmark.departures import list_departures
from sixrayd.benchmark.given import TreeSplit
from sixrayd.benchmark.judging import Judged, Sides
from sixrayd.benchmark.models import Chosen
from sixrayd.benchmark.protocol import PAPER, PROTOCOLS
from sixrayd.benchmark.results import (
    Departure,
    ModelFacts,
    Results,
    Row,
    SplitFacts,
    SweepPoint,
)
from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.benchmark.sweep import DEFAULT_K, edge_of_sweep
from sixrayd.benchmark.systems import SystemsPlan
from sixrayd.core.classes import ClassList
from sixrayd.core.index import Index
from sixrayd.core.read_back import read_back
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.devices import float32_name


@dataclass(frozen=True, slots=True)
class Findings:
    """What a benchmark has come to know when all systems have looked.

    Args:
        data: the tree's own workspace.
        models: all that were judged.
        scale: pixels of a dynamic input for a pixel of the image.
    """

    name: str
    data: Workspace
    settings: BenchmarkSettings
    classes: ClassList
    sides: Sides
    split: TreeSplit
    chosen: Chosen
    models: tuple[ModelFacts, ...]
    plan: SystemsPlan
    sweep: tuple[SweepPoint, ...]
    k: float
    scale: float
    device: torch.device
    command: str

    def results(self, rows: tuple[Row, ...]) -> Results:
        """All that the report shows."""
        settings = self.settings
        edge = edge_of_sweep(self.sweep, self.k)
        split = self.split.facts(Index.load(self.data))
        results = Results(
            name=self.name,
            tree=str(self.data.run("shards").settings["tree"]),
            classes=self.classes.names,
            images=_counts(self.sides),
            objects=_objects(self.sides.test, self.classes),
            models=self.models,
            rows=rows,
            tables=self.plan.tables,
            sweep=self.sweep,
            chosen_k=self.k,
            margin=settings.margin,
            resamples=settings.resamples,
            device=device_name(self.device),
            precision=float32_name(self.device),
            command=self.command,
            notes=self._notes(split, edge),
            protocol=settings.protocol,
            split=split,
            k_from=self._where_k_is_from(),
            k_edge=edge,
        )
        departures = list_departures(results, settings.rules, self.scale, settings.canny)
        return replace(results, departures=departures)

    def _where_k_is_from(self) -> str:
        k = self.settings.rules.k
        if self.sweep:
            return "chosen on validation images"
        if k is None:
            return "of the paper: no image to choose it on was unseen by all weights"
        return "of the protocol" if k == PROTOCOLS[self.settings.protocol].k else "as asked"

    def _notes(self, split: SplitFacts, edge: str) -> tuple[str, ...]:
        notes = [f"Dynamic input: {self.scale:.3f} pixels for a pixel of the image."]
        notes += [f"{remark}." for remark in self.chosen.remarks]
        lineages = ((m.name, m.lineage) for m in self.chosen.models.values())
        cautions = (lineage.caution(name) for name, lineage in lineages)
        notes += [f"{caution}." for caution in cautions if caution]
        if self.settings.rules.k is None and not self.sweep:
            notes.append(f"No image to choose k on was unseen by all weights: k is {DEFAULT_K}.")
        notes += [f"{edge}."] if edge else []
        if split.crossing_groups:
            notes.append(
                f"{counted(split.crossing_groups, 'near-duplicate group')} on both sides of "
                f"{split.title}, with {split.crossing_images} of {split.test} test "
                "images: figures are kinder than on new scans."
            )
        if self.split.lacking:
            notes.append(f"{counted(self.split.lacking, 'image')} of the split not in the tree.")
        if skipped := self.data.run("shards").summary["without_annotation"]:
            notes.append(f"{counted(skipped, 'image')} without annotation left out.")
        if not self.sides.negatives.ids:
            notes.append("The test side has no negatives, so false alarms cannot be counted.")
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """A finished benchmark; mean average precisions are VOC 2007's, 0..1, by system.

    Args:
        paper: the paper's means in points by system, where it has such a row: "printed", and
            "recomputed" from its printed classes.
        alarms: images of 1,000 empty ones that are flagged, by system and recall; None where the
            recall is not reached.
        alarms_among: the same of "confusing" negatives and of "plain" ones alone, where the tree
            tells them apart.
        k_from: where k comes from; empty of a benchmark by an earlier version.
        remarks: what a person should know of k, the split and the weights.
    """

    name: str
    folder: str
    means: dict[str, float]
    chosen_k: float
    absent: dict[str, str]
    fresh: bool
    protocol: str = "modern"
    paper: Mapping[str, Mapping[str, float]] | None = None
    alarms: Mapping[str, Mapping[str, float | None]] | None = None
    alarms_among: Mapping[str, Mapping[str, Mapping[str, float | None]]] | None = None
    k_from: str = ""
    k_edge: str = ""
    split: SplitFacts | None = None
    models: tuple[ModelFacts, ...] = ()
    departures: tuple[Departure, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, folder: str, summary: Mapping[str, Any], *, fresh: bool) -> Self:
        """From what `run.json` says; an earlier version wrote less."""
        known = {"name": name, "folder": folder, "fresh": fresh}
        result = read_back(cls, summary, f"{folder}/run.json", **known)
        order = [key for key in summary.get("order", ()) if key in result.means]
        means = {key: result.means[key] for key in order}  # JSON is written with its keys sorted
        return replace(result, means=means | result.means)


def summarise(results: Results, remarks: tuple[str, ...]) -> dict[str, Any]:
    """What `run.json` keeps of the results, and `BenchmarkResult` shows."""
    return {
        "means": {row.system.key: row.voc07.value for row in results.rows},
        "order": [row.system.key for row in results.rows],
        "chosen_k": results.chosen_k,
        "absent": {label: why for table in results.tables for label, why in table.absent.items()},
        "protocol": results.protocol,
        "paper": _papers(results),
        "alarms": {row.system.key: _rates(row, "") for row in results.rows if row.alarms},
        "alarms_among": {
            name: {row.system.key: _rates(row, name) for row in results.rows}
            for name in ("confusing", "plain")
            if any(alarm.among == name for row in results.rows for alarm in row.alarms)
        },
        "k_from": results.k_from,
        "k_edge": results.k_edge,
        "split": asdict(results.split) if results.split else None,
        "models": [asdict(model) for model in results.models],
        "departures": [asdict(departure) for departure in results.departures],
        "remarks": list(remarks),
    }


def _rates(row: Row, among: str) -> dict[str, float | None]:
    return {f"{a.recall:g}": a.images_per_1000 for a in row.alarms if a.among == among}


def _papers(results: Results) -> dict[str, dict[str, float]]:
    by_family = results.protocol == PAPER.name
    found = {}
    for table in results.tables:
        for key in table.rows:
            system = results.row(key).system
            row = published.find_row(table.name, system, by_family=by_family)
            if row is not None:
                found[key] = {"printed": row.printed, "recomputed": round(row.recomputed, 6)}
    return found


def device_name(device: torch.device) -> str:
    """What computes, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} CPU, {counted(torch.get_num_threads(), 'thread')}, {capability}"


def _counts(sides: Sides) -> dict[str, int]:
    return {
        "train": sides.train_images,
        "validation": len(sides.validation.ids),
        "test": len(sides.test.ids),
        "negatives": len(sides.negatives.ids),
        **({"left out": sides.left_out} if sides.left_out else {}),
        **({"confusing": len(sides.confusing)} if sides.confusing is not None else {}),
    }


def _objects(judged: Judged, classes: ClassList) -> dict[str, int]:
    labels = [int(label) for truth in judged.truths.values() for label in truth.labels]
    return {name: labels.count(number) for number, name in enumerate(classes.names)}
