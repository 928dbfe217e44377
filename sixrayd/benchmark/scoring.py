"""From what systems said to the figures of their rows."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from sixrayd.benchmark.judging import Judged
from sixrayd.benchmark.parts import Part
from sixrayd.benchmark.results import Alarm, CropLoss, Row, System, Times, WorstCase
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import ShapeError
from sixrayd.crop.region import Region, crop_cost
from sixrayd.evaluation.alarms import false_alarms
from sixrayd.evaluation.average_precision import Metric
from sixrayd.evaluation.bootstrap import BootstrapSettings, SystemInterval, paired_bootstrap
from sixrayd.evaluation.coco import coco_average_precision
from sixrayd.evaluation.matching import match
from sixrayd.evaluation.modes import mean_in_mode
from sixrayd.evaluation.strata import SIZES, by_origin, by_size

WORST = 6  # pictures a system


class Scorer:
    """Scores systems on the same images, each beside the same detector and input uncropped.

    Args:
        parts: what each system said of the images, by key.
        negatives: what it said of images that hold nothing; empty where there are none.
        confusing: which of these are confusing negatives; None where nobody says.
    """

    def __init__(
        self,
        judged: Judged,
        classes: ClassList,
        settings: BootstrapSettings,
        parts: Mapping[str, Part],
        negatives: Mapping[str, Part],
        confusing: frozenset[str] | None = None,
    ) -> None:
        self.judged, self.classes, self.settings = judged, classes, settings
        self.parts, self.negatives, self.confusing = parts, negatives, confusing

    def rows(self, systems: tuple[System, ...], times: Mapping[str, Times]) -> tuple[Row, ...]:
        """A row for each system, in their order."""
        references = {system.key: reference_of(system, systems) for system in systems}
        intervals: dict[str, tuple[SystemInterval, SystemInterval]] = {}
        for reference in sorted(set(references.values())):
            group = [key for key, other in references.items() if other == reference]
            first = self._intervals(group, reference, "voc07")
            second = self._intervals(group, reference, "voc10")
            intervals |= {key: (first[key], second[key]) for key in group}
        return tuple(
            self._row(s, *intervals[s.key], references[s.key], times.get(s.key)) for s in systems
        )

    def _intervals(
        self, keys: list[str], reference: str, metric: Metric
    ) -> dict[str, SystemInterval]:
        settings = replace(self.settings, metric=metric)
        found = {key: self.parts[key].detections for key in {reference, *keys}}
        results = paired_bootstrap(
            found, self.judged.truths, self.judged.groups, self.classes, reference, settings
        )
        return {result.name: result for result in results}

    def _row(
        self,
        system: System,
        voc07: SystemInterval,
        voc10: SystemInterval,
        reference: str,
        times: Times | None,
    ) -> Row:
        part, truths = self.parts[system.key], self.judged.truths
        plain = mean_in_mode(self.settings.mode, part.detections, truths, self.classes)
        coco = coco_average_precision(part.detections, truths, self.classes)
        return Row(
            system,
            replace(voc07.mean, value=plain.mean),  # as the classes give it, to the last digit
            voc10.mean,
            _number(coco.ap),
            {r.label: _number(r.average_precision) for r in plain.classes},
            voc07.difference,
            self._sizes(part.detections),
            self._origins(part.detections),
            self._alarms(system.key),
            self._cost(part),
            times,
            self._worst(system.key, reference),
        )

    def _mean(self, found: Mapping[str, Detections], truths: Mapping[str, Truths]) -> float | None:
        try:
            return _number(mean_in_mode(self.settings.mode, found, truths, self.classes).mean)
        except ShapeError:  # no object of the stratum
            return None

    def _sizes(self, found: Mapping[str, Detections]) -> dict[str, float | None]:
        truths, sizes = self.judged.truths, self.judged.sizes_wh
        return {s.name: self._mean(*by_size(found, truths, sizes, s)) for s in SIZES}

    def _origins(self, found: Mapping[str, Detections]) -> dict[str, float | None]:
        """The release's objects, and those that mining led to: a detector judges its kin's."""
        origins = self.judged.origins
        others = {o for column in origins.values() for o in column} - {"source"}
        wanted = {"source": {"source"}} | ({"mined": others} if others else {})
        truths = self.judged.truths
        return {
            name: self._mean(found, by_origin(truths, origins, of)) for name, of in wanted.items()
        }

    def _alarms(self, key: str) -> tuple[Alarm, ...]:
        if not self.negatives:
            return ()
        everything = self.negatives[key].detections
        kinds = {"": everything}
        if self.confusing is not None:
            for name, wanted in (("confusing", True), ("plain", False)):
                kinds[name] = {
                    i: said for i, said in everything.items() if (i in self.confusing) == wanted
                }
        return tuple(
            alarm
            for name, found in kinds.items()
            if found
            for alarm in self._rates(key, found, name)
        )

    def _rates(self, key: str, found: Mapping[str, Detections], among: str) -> Iterator[Alarm]:
        truths = self.judged.truths
        for rate in false_alarms(self.parts[key].detections, truths, found, self.classes):
            numbers = _number(rate.images_per_1000), _number(rate.boxes_per_1000)
            yield Alarm(rate.recall, *numbers, among)

    def _cost(self, part: Part) -> CropLoss:
        costs = [
            crop_cost(self.judged.truths[i].xyxy, Region(*part.regions[i]), self.judged.sizes_wh[i])
            for i in self.judged.ids
        ]
        removed = float(np.mean([cost.area_removed for cost in costs]))
        counts = ("objects", "objects_cut", "objects_lost")
        return CropLoss(removed, *(sum(getattr(cost, name) for cost in costs) for name in counts))

    def _worst(self, key: str, reference: str) -> tuple[WorstCase, ...]:
        if key == reference:
            return ()
        ours, theirs = (self._hits(k) for k in (key, reference))
        gaps = {i: theirs.get(i, 0) - ours.get(i, 0) for i in self.judged.ids}
        worst = sorted((i for i in gaps if gaps[i] > 0), key=lambda i: (-gaps[i], i))
        regions = self.parts[key].regions
        return tuple(WorstCase(i, gaps[i], regions[i]) for i in worst[:WORST])

    def _hits(self, key: str, least: float = 0.3) -> dict[str, int]:
        """By image, objects found with a score of `least` or more."""
        hits: dict[str, int] = {}
        for label in range(len(self.classes)):
            found = match(self.parts[key].detections, self.judged.truths, label)
            for n in np.flatnonzero(found.right & (found.scores >= least)):
                hits[found.image_ids[n]] = hits.get(found.image_ids[n], 0) + 1
        return hits


def reference_of(system: System, systems: tuple[System, ...]) -> str:
    """Key of the same detector and input without a crop; the system's own where there is none."""
    for other in systems:
        same = (other.entry, other.detector, other.input) == (
            system.entry,
            system.detector,
            system.input,
        )
        if same and other.crop.method == "none" and other.reading == "pixels":
            return other.key
    return system.key


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
