"""The estimate stage: what is found, what is probably left, and what is left at most."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sixrayd.core.arrays import IntArray
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import SettingsError
from sixrayd.core.files import plain_text, sha256_file, write_json
from sixrayd.core.records import Rule
from sixrayd.core.storage import check_known
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.decision import Decision, all_decisions, standing_decisions
from sixrayd.estimate.figure import InterimLook, draw_course
from sixrayd.estimate.planted import planted_counts, planted_files, planted_unsent
from sixrayd.estimate.reading import (
    all_decision_files,
    answers_by,
    flagged_by,
    mining_name,
    population_now,
    review_name,
)
from sixrayd.estimate.sample import SampleFolder
from sixrayd.estimate.settings import EstimateSettings, Target
from sixrayd.statistics.assumptions import assumptions
from sixrayd.statistics.certificate import BoundOutcome, outcome
from sixrayd.statistics.double_reading import DoubleReading, double_reading
from sixrayd.statistics.evidence import Planted, evidence_of, sensitivities
from sixrayd.statistics.false_finds import FalseFinds, false_finds, sham_alarms
from sixrayd.statistics.missed import MissedBound, PlannedEvidence, bound_missed, bound_planned
from sixrayd.statistics.planning import after_next_look, checks_to_halve
from sixrayd.statistics.population import Population
from sixrayd.statistics.recapture import Recapture, recapture
from sixrayd.statistics.sampling import Drawn, SamplingPlan
from sixrayd.statistics.settings import BoundSettings
from sixrayd.statistics.standing import Answer, Standing

_LOOKS = 25  # of the figure


@dataclass(frozen=True, slots=True, eq=False)
class EstimateInputs:
    """All that an estimate is computed from."""

    name: str
    plan: SamplingPlan | None  # None before the first draw
    population: Population
    drawn: Drawn
    said: Mapping[str, tuple[Decision, ...]]
    answers: Mapping[str, Answer]
    planted: tuple[Planted, ...]
    labels: tuple[str, ...]
    shams: tuple[int, int] = (0, 0)  # answered, and called contraband
    withdrawn: frozenset[str] = frozenset()  # images of which no answer stands any more

    def outcome(self, settings: BoundSettings) -> BoundOutcome:
        """The bound."""
        population, answers = self.population, self.answers
        double = double_reading(self.said, answers, population)
        known = population.rows_of(self.said)
        here = {image_id: said for image_id, said in self.said.items() if image_id in known}
        false = false_finds(here, answers, self.shams)
        planted, labels = self.planted, self.labels
        return outcome(population, self.drawn, answers, planted, settings, labels, double, false)


@dataclass(frozen=True, slots=True)
class Spots:
    """How far the spot checks are; units."""

    draws: int
    drawn: int
    counted: int  # in the bound: answered with all before them
    behind: int  # answered, but they wait for one before them
    unanswered: int
    to_settle: Mapping[str, str]  # image → why its answers settle nothing
    looks: tuple[int, ...]  # groups that each planned look draws in all, about; () if none is
    withdrawn: tuple[str, ...] = ()  # images whose answers were, which nobody is given again


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `estimate.json` says; units are near-duplicate groups."""

    name: str
    folder: str
    settings: BoundSettings
    found: int
    estimate: float | None  # probably left; None while a stratum has no check
    lower: int
    upper: int  # left at most
    images: int  # left at most
    recall: float  # at least
    by_class: Mapping[str, Any]
    spots: Spots
    rests_on: tuple[str, ...]
    by_gamma: Mapping[str, int]  # left at most, by odds ratio of known to hidden contraband
    double_reading: DoubleReading
    checks_to_halve: int | None  # None where no number would, or looks are counted
    after_next_look: int | None  # left at most then, at the present rate; None without one
    planting_helps: bool  # more planted threats could tighten the bound
    planted_unsent: Mapping[str, int]  # planted threats that nobody was sent yet, by review
    target: Target
    target_met: bool | None  # None without a target
    recapture: Recapture | None  # optimistic; from two minings
    evidence: Mapping[str, Any] = field(repr=False)
    read_at: tuple[int, ...] = ()  # numbers of checks at which the bound was read, with this one
    others: Mapping[str, int] = field(default_factory=dict)  # at most missed, by other names
    false_finds: FalseFinds = field(default_factory=FalseFinds)


def estimate(workspace: Workspace, settings: EstimateSettings = EstimateSettings()) -> Estimate:
    """Compute the bound and write it to `estimate/NAME/`.

    Raises:
        WorkspaceError: nothing has been mined yet, or a file has changed.
        SettingsError: a single look that was none.
    """
    with workspace.lock("estimate"):
        material = gather(workspace, settings.name, settings.bound.consensus)
        require_first_look(workspace, material, settings.bound)
        result = estimate_from(workspace, material, settings)
        _write(workspace, material, settings, result)
    return result


def gather(workspace: Workspace, name: str, rule: Rule) -> EstimateInputs:
    """Read population, sample and decisions; call under the lock.

    Raises:
        WorkspaceError: nothing has been mined yet, or a file has changed.
    """
    name = review_name(workspace, name)
    folder = SampleFolder(workspace, name)
    plan = folder.plan()
    if plan is None:
        population = Population(population_now(workspace, name, rule)[0])
        drawn = Drawn.nothing(population)
    else:
        population = folder.population(plan)
        drawn = folder.drawn(plan, population)
        folder.check_finished(population, drawn)
    given = all_decisions(workspace)
    said = standing_decisions(given)
    withdrawn = frozenset(each.image_id for each in given) - said.keys()
    answers = answers_by(workspace, said, rule)
    planted, labels = planted_counts(workspace, rule), workspace.classes().names
    shams = sham_alarms(workspace)
    counted = (said, answers, planted, labels, shams, withdrawn)
    return EstimateInputs(name, plan, population, drawn, *counted)


def require_first_look(
    workspace: Workspace, material: EstimateInputs, settings: BoundSettings
) -> None:
    """Refuse a single look where the bound was read on the way to it.

    Raises:
        SettingsError: it was, so that whoever read it could have stopped there.
    """
    drawn = int((material.drawn.in_draw > 0).sum())
    before = [checks for checks in _read_at(workspace, material.name) if 0 < checks < drawn]
    if settings.once and before:
        raise SettingsError(
            f"--once: the bound was read before, at {', '.join(map(str, before))} of {drawn} "
            "checks; leave --once out, the bound holds at every look then"
        )


def _read_at(workspace: Workspace, name: str) -> tuple[int, ...]:
    """Numbers of checks at which the bound was read so far, as far as that is known."""
    path = workspace.folder("estimate", name) / "estimate.json"
    try:
        document = parse_json(plain_text(path))
        found = {*document.get("read_at", []), document["spots"]["counted"]}
        return tuple(sorted(int(checks) for checks in found))
    except (OSError, *NONSENSE) as error:
        check_known(error, path)
        return ()


def _others(workspace: Workspace, name: str) -> dict[str, int]:
    """Bounds of other names on the same remainder."""
    found = {}
    for other in workspace.names("estimate"):
        upper = workspace.run("estimate", other).summary.get("upper")
        if other != name and isinstance(upper, int):
            found[other] = upper
    return found


def estimate_from(
    workspace: Workspace, material: EstimateInputs, settings: EstimateSettings
) -> Estimate:
    """What the material says."""
    result = material.outcome(settings.bound)
    bound, document, target = result.bound, result.document(), settings.target
    spots = _spots(material)
    evidence, alpha = result.evidence, settings.bound.alpha
    more = following = None
    if isinstance(evidence, PlannedEvidence):
        following = after_next_look(evidence, alpha)
    elif not settings.bound.once:
        more = checks_to_halve(evidence, alpha)
    return Estimate(
        name=material.name,
        folder=str(workspace.folder("estimate", material.name)),
        settings=settings.bound,
        found=bound.found,
        estimate=None if bound.unchecked else bound.estimate,
        lower=bound.lower,
        upper=bound.upper,
        images=result.images,
        recall=bound.recall,
        by_class=document["by_class"],
        spots=spots,
        rests_on=assumptions(result, settings.bound),
        by_gamma=result.by_gamma,
        double_reading=result.double,
        false_finds=result.false_finds,
        checks_to_halve=more,
        after_next_look=following,
        planting_helps=any(
            side.measured and lower < side.estimate
            for side, lower in (
                (result.evidence.with_proposals, bound.sensitivity_with),
                (result.evidence.without_proposals, bound.sensitivity_without),
            )
        ),
        planted_unsent={name: unsent for name, (unsent, _) in planted_unsent(workspace).items()},
        target=target,
        target_met=bound.meets(target.recall, target.left) if target != Target() else None,
        recapture=_recapture(workspace, material, settings.bound.alpha),
        read_at=tuple(sorted({*_read_at(workspace, material.name), spots.counted})),
        others=_others(workspace, material.name),
        evidence=document["evidence"],
    )


def _spots(material: EstimateInputs) -> Spots:
    population, drawn, answers = material.population, material.drawn, material.answers
    standing = Standing.of(population, answers)
    taken = drawn.in_draw > 0
    decided = int((taken & standing.decided).sum())
    counted = decided
    looks: tuple[int, ...] = ()
    if drawn.looks:
        units = population.undecided_at_first
        looks = tuple(round(share * units) for share in drawn.looks.fractions)
    else:
        evidence = evidence_of(population, drawn, standing, sensitivities((), 1.0))
        counted = sum(stratum.checks for stratum in evidence.strata)
    open_ = {image_id for image_id, answer in answers.items() if not answer.settled}

    def waiting(images: Iterable[str]) -> list[str]:
        rows = population.rows_of(images)
        return [i for i in sorted(rows) if taken[rows[i]] and not standing.decided[rows[i]]]

    return Spots(
        draws=drawn.draws,
        drawn=int(taken.sum()),
        counted=counted,
        behind=decided - counted,
        unanswered=int(taken.sum()) - decided,
        to_settle={image_id: answers[image_id].reason for image_id in waiting(open_)},
        looks=looks,
        withdrawn=tuple(waiting(material.withdrawn)),
    )


def course(material: EstimateInputs, settings: BoundSettings) -> list[InterimLook]:
    """The bound as it was after the first spot checks, after more of them, and so on."""
    population, drawn, answers = material.population, material.drawn, material.answers
    if drawn.looks:
        return _looks(material, settings)
    order = [population.row[group] for group in drawn.units(population)]
    rows = population.rows_of(answers)
    place: IntArray = np.full(len(population.groups), -1)
    place[order] = np.arange(len(order))
    sensitivity = sensitivities(material.planted, settings.sensitivity)
    looks: dict[int, MissedBound] = {}
    for number in sorted({round(n) for n in np.linspace(0, len(order), _LOOKS)}):
        known = {i: a for i, a in answers.items() if i not in rows or place[rows[i]] < number}
        standing = Standing.of(population, known)
        evidence = evidence_of(population, drawn, standing, sensitivity)
        checks = sum(stratum.checks for stratum in evidence.strata)
        looks[checks] = bound_missed(evidence, settings.alpha)
    return [
        InterimLook(checks, None if b.unchecked else b.estimate, b.upper)
        for checks, b in sorted(looks.items())
    ]


def _looks(material: EstimateInputs, settings: BoundSettings) -> list[InterimLook]:
    evidence = material.outcome(settings).evidence
    assert isinstance(evidence, PlannedEvidence)
    taken = np.bincount(material.drawn.in_draw, minlength=material.drawn.draws + 1)[1:]
    found = []
    for number, drawn in enumerate([0, *np.cumsum(taken).tolist()]):
        finds = evidence.finds[:number]
        open_ = min(evidence.open, finds[-1] if finds else 0)
        bound = bound_planned(
            replace(evidence, finds=finds, drawn=drawn, open=open_), settings.alpha
        )
        found.append(InterimLook(drawn, None if bound.unchecked else bound.estimate, bound.upper))
    return found


def _recapture(workspace: Workspace, material: EstimateInputs, alpha: float) -> Recapture | None:
    """From the two newest minings that flagged what reviewers confirmed; None without two."""
    found = {image_id for image_id, answer in material.answers.items() if answer.found}
    groups = material.population.rows_of(found)
    confirmed = set(groups.values())
    caught = []
    for name in reversed(workspace.names("mine")):
        images = material.population.rows_of(flagged_by(workspace, name))
        if units := confirmed.intersection(images.values()):
            caught.append(units)
    if len(caught) < 2:
        return None
    first, second = caught[:2]
    return recapture(len(first), len(second), len(first & second), alpha)


def _write(
    workspace: Workspace, material: EstimateInputs, settings: EstimateSettings, result: Estimate
) -> None:
    folder = SampleFolder(workspace, material.name)
    (folder.path / "run.json").unlink(missing_ok=True)
    document = {**asdict(result), "folder": folder.path.name}
    write_json(folder.path / "estimate.json", document)
    draw_course(folder.path / "estimate.png", course(material, settings.bound), settings.bound)
    review = material.name
    stages = [("shards", "")]
    stages += [("review", review)] if review in workspace.names("review") else []
    mining = mining_name(workspace, review)
    stages += [("mine", mining)] if mining in workspace.names("mine") else []
    files = [*all_decision_files(workspace), *planted_files(workspace)]
    if material.plan is not None:
        files += [folder.plan_file, folder.sample_file]
    names = ("estimate.json", "estimate.png")
    run = Run(
        stage="estimate",
        name=material.name,
        settings={"bound": asdict(settings.bound), "target": asdict(settings.target)},
        inputs={**workspace.upstream(*stages), **workspace.inputs(*files)},
        outputs={name: sha256_file(folder.path / name) for name in names},
        summary={key: document[key] for key in ("found", "upper", "recall")},
    )
    workspace.finish(run)
