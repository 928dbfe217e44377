"""From a population, what was drawn of it and what reviewers said, to the bound on what is left.

`sixrayd estimate` and `sixrayd verify` both come here, so a certificate is recomputed by what made
it; what is known of the units is `evidence`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import sixrayd
from sixrayd.core.classes import MOST_CLASSES, ClassList
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.progress import Report, untold
from sixrayd.core.records import SAMPLE_SCHEMA, Rule
from sixrayd.core.runs import as_plain
from sixrayd.decisions.decision import Decision, check_counts, role_of
from sixrayd.statistics.double_reading import DoubleReading, double_reading
from sixrayd.statistics.evidence import Planted, evidence_of, planned_evidence_of, sensitivities
from sixrayd.statistics.false_finds import FalseFinds, false_finds
from sixrayd.statistics.missed import (
    MissedBound,
    MissedEvidence,
    PlannedEvidence,
    bound_by_class,
    bound_of,
)
from sixrayd.statistics.population import POPULATION_SCHEMA, Population
from sixrayd.statistics.sampling import GONE_SCHEMA, Drawn, SamplingPlan
from sixrayd.statistics.settings import BoundSettings
from sixrayd.statistics.standing import (
    ANSWER_SCHEMA,
    Answer,
    Standing,
    said_in,
    settled_answers,
)

FORMAT = 4
# 1 knows no planned looks, 2 neither one set nor odds ratios, 3 no false finds.
_READ = (1, 2, 3, FORMAT)
GAMMAS = (1.0, 2.0, 4.0)  # odds ratios that a bound is shown at
_TEXTS = ("name", "signed_by", "signed_at", "commitment", "version")
_MOST_DRAWS, _MOST_STRATA = 1000, 100
_MOST_PLANTED = 10_000
_MOST_IMAGES = 3_000_000  # negatives; each takes half a kilobyte
_MOST_WORK = 100_000_000  # rows, for each draw and each class
_MOST_BLOCKS = 100_000  # of answers: one for each stratum, draw and class
STATEMENT = "statement.json"
_SINGLE, _TRUE = DoubleReading(), FalseFinds()

# The other parts of a certificate.
PARTS = {
    "population.parquet": POPULATION_SCHEMA,
    "gone.parquet": GONE_SCHEMA,
    "sample.parquet": SAMPLE_SCHEMA,
    "decisions.parquet": ANSWER_SCHEMA,
}


@dataclass(frozen=True, slots=True)
class BoundOutcome:
    """The bound and the evidence that it was computed from."""

    evidence: MissedEvidence | PlannedEvidence
    bound: MissedBound
    by_class: Mapping[str, MissedBound]
    images: int  # upper bound of contraband images left, with those undecided in found units
    double: DoubleReading = _SINGLE
    by_gamma: Mapping[str, int] = field(default_factory=dict)  # left at most, by odds ratio
    false_finds: FalseFinds = _TRUE

    def document(self, format: int = FORMAT) -> dict[str, Any]:
        """Plain values, as a certificate of a format states them."""
        evidence = asdict(self.evidence)
        del evidence["sizes"]
        if not self.evidence.checked_before:  # else earlier versions know another population
            del evidence["checked_before"]
        since_3 = {"double_reading": asdict(self.double), "by_gamma": dict(self.by_gamma)}
        since_4 = {"false_finds": asdict(self.false_finds)} if format > 3 else {}
        if format < 3:
            since_3 = {}
            for name in ("unconfirmed", "subtract_confirmed", "one_set", "pooled"):
                evidence.pop(name, None)
            for side in ("with_proposals", "without_proposals"):
                for name in ("gamma", "cap", "known"):
                    del evidence[side][name]
        plain = {
            **since_3,
            **since_4,
            "evidence": evidence,
            "bound": {**asdict(self.bound), "recall": self.bound.recall, "images": self.images},
            "by_class": {
                label: {
                    "found": bound.found,
                    "estimate": bound.estimate,
                    "unchecked": bound.unchecked,
                    "upper": bound.upper,
                    "recall": bound.recall,
                }
                for label, bound in self.by_class.items()
            },
        }
        found: dict[str, Any] = as_plain(plain)
        return found


@dataclass(frozen=True, slots=True)
class Statement:
    """`statement.json` of a certificate: who says what, and what it follows from."""

    name: str  # of the review
    signed_by: str
    signed_at: str  # ISO 8601, UTC
    plan: SamplingPlan
    commitment: str
    classes: tuple[str, ...]
    settings: BoundSettings
    planted: tuple[Planted, ...]
    files: Mapping[str, str]  # part → SHA-256
    outcome: Mapping[str, Any]  # see `Outcome.document`
    shams: tuple[int, int] = (0, 0)  # shown, and called contraband
    version: str = sixrayd.__version__
    format: int = FORMAT

    @classmethod
    def parse(cls, data: bytes) -> "Statement":
        """What `asdict` gives, as JSON.

        Raises:
            WorkspaceError: it is something else.
        """
        try:
            document = parse_json(data)
            if document["format"] not in _READ:
                raise WorkspaceError(
                    f"{STATEMENT}: format {document['format']}, expected up to {FORMAT}; take the "
                    "version of sixrayd that it names"
                )
            for name in _TEXTS:
                if not isinstance(text := document.get(name, ""), str):
                    raise ValueError(f"{name} {text!r:.20}: expected a text")
            settings = document["settings"]
            settings = {**settings, "one_set": document["format"] >= 3}
            rule = Rule(settings["consensus"])
            for name, count, most in (
                ("classes", len(document["classes"]), MOST_CLASSES),
                ("draws", len(document["plan"]["draws"]), _MOST_DRAWS),
                ("planted", len(document["planted"]), _MOST_PLANTED),
            ):
                if count > most:
                    raise WorkspaceError(f"{STATEMENT}: {count} {name}, at most {most} are read")
            parsed = {
                "plan": SamplingPlan.parse(document["plan"]),
                "classes": tuple(document["classes"]),
                "settings": BoundSettings(**{**settings, "consensus": rule}),
                "planted": tuple(Planted(**row) for row in document["planted"]),
                "shams": _shams(document.get("shams", [0, 0])),
            }
            return cls(**{**document, **parsed})
        except NONSENSE as error:
            raise WorkspaceError(f"{STATEMENT}: not a statement ({error})") from error


def outcome(
    population: Population,
    drawn: Drawn,
    answers: Mapping[str, Answer],
    planted: Sequence[Planted],
    settings: BoundSettings,
    labels: Sequence[str],
    double: DoubleReading = _SINGLE,
    false: FalseFinds = _TRUE,
    report: Report = untold,
) -> BoundOutcome:
    """The bound, overall and by class.

    Args:
        report: told of progress.

    Raises:
        SettingsError: a single look, but there were several draws or the sample is not complete.
    """
    standing = Standing.of(population, answers, labels)
    if settings.confirmed and not drawn.looks:
        raise SettingsError("--confirmed: only with planned looks (`--looks`); leave it out")
    if settings.once and not drawn.looks:
        _require_one_look(drawn, standing)
    cap = double.cap if settings.one_set else 1.0

    def evidence(
        label: str = "", gamma: float = settings.gamma
    ) -> MissedEvidence | PlannedEvidence:
        seen = sensitivities(planted, settings.sensitivity, label, gamma, cap)
        if drawn.looks:
            return planned_evidence_of(population, drawn, standing, seen, label, settings)
        return evidence_of(population, drawn, standing, seen, label, pooled=settings.one_set)

    overall = evidence()
    result = bound_of(overall, settings.alpha, settings.once)

    def upper(gamma: float) -> int:
        if gamma == settings.gamma:
            return result.upper
        return bound_of(evidence(gamma=gamma), settings.alpha, settings.once).upper

    by_label = {}
    for number, label in enumerate(labels, 1):
        by_label[label] = evidence(label)
        report("evidence of classes", number, len(labels))
    return BoundOutcome(
        evidence=overall,
        bound=result,
        by_class=bound_by_class(by_label, settings.alpha, settings.once, report),
        images=(result.images or 0) + standing.undecided_in_found,
        double=double,
        by_gamma={
            f"{gamma:g}": upper(gamma)
            for gamma in sorted({*GAMMAS, settings.gamma})
            if any(p.planted for p in planted)
        },
        false_finds=false,
    )


def recompute(
    statement: Statement, parts: Mapping[str, pa.Table], report: Report = untold
) -> BoundOutcome:
    """The outcome that follows from a certificate's parts; its own is not looked at.

    Args:
        parts: as `PARTS` names them.
        report: told of progress.

    Raises:
        WorkspaceError: the sample is not what seed and population give.
        SettingsError: the settings do not go together.
    """
    plan, settings = statement.plan, statement.settings
    _require_work(plan, len(statement.classes), parts["population.parquet"])
    population = Population(parts["population.parquet"])
    drawn = Drawn.by(population, plan, parts["gone.parquet"], report)
    drawn.check_sample(population, parts["sample.parquet"])
    classes = ClassList(statement.classes)
    said = said_in(parts["decisions.parquet"])
    _require_standing(said, population)
    answers = settled_answers(parts["decisions.parquet"], settings.consensus, classes)
    double = double_reading(said, answers, population)
    false = false_finds(said, answers, statement.shams)
    planted, names = statement.planted, classes.names
    return outcome(population, drawn, answers, planted, settings, names, double, false, report)


def _require_standing(said: Mapping[str, Sequence[Decision]], population: Population) -> None:
    """Refuse answers that no estimate counts: a second one of a reviewer, or of another image."""
    if others := said.keys() - population.rows_of(said).keys():
        raise WorkspaceError(f"decisions: {min(others)} is no image of the population")
    for image_id, given in said.items():
        if len({role_of(decision) for decision in given}) < len(given):
            raise WorkspaceError(
                f"decisions: two answers of one reviewer on {image_id}; the last one counts alone"
            )
    check_counts(said.values())


def _shams(numbers: Any) -> tuple[int, int]:
    """What a statement says of shams.

    Raises:
        ValueError: it is something else.
    """
    shown, alarms = numbers
    if {type(shown), type(alarms)} != {int} or not 0 <= alarms <= shown:
        raise ValueError(f"shams {shown!r:.20} and {alarms!r:.20}: not counts")
    return shown, alarms


def _require_work(plan: SamplingPlan, classes: int, population: pa.Table) -> None:
    """Refuse what would take hours: strata are gone through for every unit, draws and classes."""
    strata = pc.count_distinct(population["stratum"]).as_py()
    if strata > _MOST_STRATA + 2:  # and both of the census
        raise WorkspaceError(f"population: {strata} strata, at most {_MOST_STRATA} are read")
    if len(population) > _MOST_IMAGES:
        raise WorkspaceError(
            f"population: {len(population)} images, at most {_MOST_IMAGES:,} are read"
        )
    if len(population) * (len(plan.draws) + classes) > _MOST_WORK:
        raise WorkspaceError(
            f"population: {len(population)} images, {len(plan.draws)} draws and {classes} classes "
            "are too much: at most 100 million images for each draw and class"
        )
    if strata * len(plan.draws) * (1 + classes) > _MOST_BLOCKS:
        raise WorkspaceError(
            f"population: {strata} strata × {len(plan.draws)} draws × {1 + classes} bounds are too "
            f"much: at most {_MOST_BLOCKS:,} are read"
        )


def _require_one_look(drawn: Drawn, standing: Standing) -> None:
    taken = drawn.in_draw > 0
    decided = [standing.decided, *map(standing.decided_as, standing.found_as)]
    waiting = int((~np.logical_and.reduce(decided))[taken].sum())
    if drawn.draws != 1 or waiting:
        raise SettingsError(
            f"a single look takes one draw, checked to the end; there are {drawn.draws}, and "
            f"{waiting} of their units wait; leave out --once"
        )
