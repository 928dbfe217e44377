"""How far the reviewers of a review agree, with each other and with what was settled."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.advice.next_step import Judgement
from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.core.index import Index
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.records import ADJUDICATION, Rule, Verdict
from sixrayd.core.restored import check_restored
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.consensus import conflicts, match_boxes, settle
from sixrayd.decisions.decision import (
    Decision,
    decision_files,
    load_decisions,
    standing_decisions,
)
from sixrayd.decisions.second_looks import first_looks
from sixrayd.evaluation.bootstrap import Interval
from sixrayd.review.folder import newest_review
from sixrayd.review.settings import AgreementSettings
from sixrayd.statistics import agreement as statistics

_VERDICTS = (Verdict.MISSED, Verdict.NOTHING, Verdict.UNSURE)  # the order of their codes
# Pairs of answers to one image, over all images, and those of which both saw contraband.
_MOST_PAIRED, _MOST_COMPARED = 3_000_000, 300_000
_MOST_PAIRS = 1_000  # of reviewers, of which each takes milliseconds
_SHOWN = {
    "percent": "agree",
    "positive": "positive",
    "negative": "negative",
    "kappa": "kappa",
    "alpha": "alpha",
    "ac1": "AC1",
    "iou": "IoU",
}


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Agreement on verdicts, with 95 % intervals; None where a coefficient is not defined."""

    images: int  # that two or more of these reviewers answered
    clashes: int  # boxes in one place under different labels
    percent: Interval | None
    positive: Interval | None  # on contraband missed
    negative: Interval | None  # on nothing there
    kappa: Interval | None  # Cohen's of a pair, Fleiss's of all
    alpha: Interval | None  # Krippendorff's
    ac1: Interval | None  # Gwet's
    iou: Interval | None  # of boxes, where both saw contraband; 0 for one that only one drew


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two reviewers, on the images that both answered."""

    reviewers: tuple[str, str]
    coefficients: Coefficients


@dataclass(frozen=True, slots=True)
class ReviewerScore:
    """One reviewer against what was settled, on images that others answered, too."""

    reviewer: str
    found: int  # contraband settled, and he saw it
    missed: int  # contraband settled, and he saw nothing
    cleared: int  # nothing settled, and he saw nothing
    false_alarms: int  # nothing settled, and he saw contraband
    unsure: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one review; adjudicators' answers settle, they are not compared."""

    name: str
    file: str  # that holds all of this
    rule: Rule
    resamples: int
    seed: int
    images: int  # answered
    shared: int  # answered by two or more
    open_conflicts: int  # images that wait for an adjudicator
    settled_conflicts: int  # images that one has settled
    overall: Coefficients
    pairs: tuple[PairAgreement, ...]  # that have most images in common, by name
    pairs_left_out: int  # that have fewer
    scores: tuple[ReviewerScore, ...]  # by name


@dataclass(frozen=True, slots=True)
class _Boxes:
    """Boxes of pairs of reviewers by image: sum of IoU, things boxed, clashes of labels."""

    overlaps: FloatArray  # (N,)
    objects: IntArray  # (N,)
    clashes: IntArray  # (N,)

    @classmethod
    def of(cls, said: Sequence[Sequence[Decision]]) -> "_Boxes":
        """Over all pairs of reviewers of an image who both saw contraband."""
        rows = np.zeros((len(said), 3))
        for row, decisions in zip(rows, said, strict=True):
            saw = [d for d in decisions if d.verdict == Verdict.MISSED]
            for one, two in combinations(saw, 2):
                found = match_boxes([i.box for i in one.boxes], [i.box for i in two.boxes])
                things = len(one.boxes) + len(two.boxes) - len(found.pairs)
                row += (sum(pair.iou for pair in found.pairs), things, len(found.clashes))
        counts = rows[:, 1:].astype(np.int64)
        return cls(rows[:, 0], counts[:, 0], counts[:, 1])


def agreement(workspace: Workspace, settings: AgreementSettings = AgreementSettings()) -> Agreement:
    """Compare reviewers and write `review/NAME/agreement.json`; equal decisions, equal bytes.

    Raises:
        WorkspaceError: nothing is reviewed yet, a table is broken, or more people answered the same
            images than can be compared.
    """
    with workspace.lock("review"):
        check_restored(workspace)
        name = settings.name or newest_review(workspace)
        workspace.run("review", name)
        answers, everything = _standing(workspace, name, settings.pseudonyms)
        if not answers:
            raise WorkspaceError(
                f"{workspace.folder('review', name)}: no decisions; once somebody has answered, "
                f"run `{workspace.command(Judgement(workspace).pull_of(name))}`"
            )
        path = workspace.folder("review", name) / "agreement.json"
        waiting = {conflict.image_id for conflict in conflicts(everything, settings.rule)}
        differing = {conflict.image_id for conflict in conflicts(answers, settings.rule)}
        _check_pairs(path.parent, answers)
        groups = _groups(workspace, answers)
        pairs, left_out = _by_pair(answers, groups, settings)
        result = Agreement(
            name=name,
            file=str(path),
            rule=settings.rule,
            resamples=settings.resamples,
            seed=settings.seed,
            images=len(answers),
            shared=sum(len(said) > 1 for said in answers.values()),
            open_conflicts=len(waiting),
            settled_conflicts=len(differing - waiting),
            overall=_overall(answers, groups, settings),
            pairs=pairs,
            pairs_left_out=left_out,
            scores=_scores(answers, everything, settings.rule),
        )
        inputs = workspace.inputs(*decision_files(workspace, name))
        write_json(path, {**asdict(result), "file": path.name, "inputs": inputs})
        return result


def _standing(
    workspace: Workspace, name: str, pseudonyms: bool
) -> tuple[dict[str, tuple[Decision, ...]], dict[str, tuple[Decision, ...]]]:
    """By image, what reviewers said, and the same with the adjudicators' answers."""
    decisions = load_decisions(workspace, name)
    alias: Callable[[str], str] = pseudonym(workspace) if pseudonyms else str
    # Apart, since an adjudicator may have been one of the reviewers.
    answers, rulings = (
        {
            image_id: tuple(replace(d, reviewer=alias(d.reviewer)) for d in said)
            for image_id, said in standing_decisions(some).items()
        }
        for some in (first_looks(decisions), [d for d in decisions if d.lane == ADJUDICATION])
    )
    everything = {
        image_id: (*said, *rulings.get(image_id, ())) for image_id, said in answers.items()
    }
    return answers, everything


def _groups(workspace: Workspace, answers: Mapping[str, object]) -> list[str]:
    """(N,) near-duplicate groups."""
    table = Index.load(workspace).table
    chosen = table.filter(pc.is_in(table["image_id"], pa.array(list(answers), pa.string())))
    known = dict(zip(*(chosen[key].to_pylist() for key in ("image_id", "group")), strict=True))
    return [known.get(image_id, image_id) for image_id in answers]


def _overall(
    answers: Mapping[str, Sequence[Decision]], groups: Sequence[str], settings: AgreementSettings
) -> Coefficients:
    counts = np.array([_counts(said) for said in answers.values()])  # (N, 3)

    def kappa(copies: FloatArray) -> FloatArray:
        return statistics.fleiss_kappa(counts, copies)

    return _coefficients(counts, kappa, _Boxes.of(list(answers.values())), groups, settings)


def _check_pairs(folder: Path, answers: Mapping[str, Sequence[Decision]]) -> None:
    """Refuse what would take hours, though no image has too many answers."""
    paired = compared = 0
    for said in answers.values():
        saw = sum(decision.verdict == Verdict.MISSED for decision in said)
        paired += math.comb(len(said), 2)
        compared += math.comb(saw, 2)
    if paired > _MOST_PAIRED or compared > _MOST_COMPARED:
        raise WorkspaceError(
            f"{folder}: {paired:,} pairs of answers, {compared:,} of them of two who saw "
            f"contraband; at most {_MOST_PAIRED:,} and {_MOST_COMPARED:,} are compared: have fewer "
            "people answer the same images"
        )


def _by_pair(
    answers: Mapping[str, Sequence[Decision]], groups: Sequence[str], settings: AgreementSettings
) -> tuple[tuple[PairAgreement, ...], int]:
    """Pairs with the most images in common, by name, and how many are left out."""
    by_name = [{decision.reviewer: decision for decision in said} for said in answers.values()]
    rows: dict[tuple[str, str], list[int]] = {}
    for number, said in enumerate(by_name):
        for one, two in combinations(sorted(said), 2):
            rows.setdefault((one, two), []).append(number)
    shown = sorted(rows, key=lambda pair: (-len(rows[pair]), pair))[:_MOST_PAIRS]
    found = []
    for pair in sorted(shown):
        both = [[by_name[n][name] for name in pair] for n in rows[pair]]
        of_pair = [groups[n] for n in rows[pair]]
        found.append(PairAgreement(pair, _of_pair(both, of_pair, settings)))
    return tuple(found), len(rows) - len(found)


def _of_pair(
    said: Sequence[Sequence[Decision]], groups: Sequence[str], settings: AgreementSettings
) -> Coefficients:
    codes = np.array([[_VERDICTS.index(d.verdict) for d in both] for both in said])  # (N, 2)
    counts = np.array([_counts(both) for both in said])  # (N, 3)

    def kappa(copies: FloatArray) -> FloatArray:
        return statistics.cohen_kappa(codes[:, 0], codes[:, 1], copies)

    return _coefficients(counts, kappa, _Boxes.of(said), groups, settings)


def _counts(said: Sequence[Decision]) -> list[int]:
    counted = Counter(decision.verdict for decision in said)
    return [counted[verdict] for verdict in _VERDICTS]


def _coefficients(
    counts: IntArray,
    kappa: Callable[[FloatArray], FloatArray],
    boxes: _Boxes,
    groups: Sequence[str],
    settings: AgreementSettings,
) -> Coefficients:
    intervals = statistics.cluster_bootstrap(
        lambda copies: (
            statistics.percent_agreement(counts, copies),
            statistics.specific_agreement(counts, _VERDICTS.index(Verdict.MISSED), copies),
            statistics.specific_agreement(counts, _VERDICTS.index(Verdict.NOTHING), copies),
            kappa(copies),
            statistics.krippendorff_alpha(counts, copies),
            statistics.gwet_ac1(counts, copies),
            statistics.mean_iou(boxes.overlaps, boxes.objects, copies),
        ),
        groups,
        settings.resamples,
        settings.seed,
    )
    shared = int((counts.sum(axis=1) > 1).sum())
    return Coefficients(shared, int(boxes.clashes.sum()), *intervals)


def _scores(
    answers: Mapping[str, Sequence[Decision]],
    everything: Mapping[str, Sequence[Decision]],
    rule: Rule,
) -> tuple[ReviewerScore, ...]:
    counted: dict[str, Counter[tuple[Verdict, Verdict]]] = {}
    for image_id, said in answers.items():
        ruling = settle(everything[image_id], rule).decision
        for decision in said:
            of_reviewer = counted.setdefault(decision.reviewer, Counter())
            if ruling is not None and len(everything[image_id]) > 1:
                of_reviewer[ruling.verdict, decision.verdict] += 1
    missed, nothing, unsure = _VERDICTS
    return tuple(
        ReviewerScore(
            reviewer,
            found=pairs[missed, missed],
            missed=pairs[missed, nothing],
            cleared=pairs[nothing, nothing],
            false_alarms=pairs[nothing, missed],
            unsure=pairs[missed, unsure] + pairs[nothing, unsure],
        )
        for reviewer, pairs in sorted(counted.items())
    )


def print_agreement(result: Agreement) -> None:
    """Print tables: all reviewers with intervals, pairs, and each against what was settled."""
    from rich.table import Table
    from rich.text import Text

    from sixrayd.core.printing import Terminal

    def table(*columns: str) -> Table:
        made = Table(*columns, box=None, header_style="bold")
        made.columns[0].overflow = "fold"
        for column in made.columns[1:]:
            column.justify = "right"
        return made

    counts = table("of the agreement", "images")
    for what, number in (
        ("answered", result.images),
        ("by two or more", result.shared),
        ("conflicts open", result.open_conflicts),
        ("conflicts settled", result.settled_conflicts),
    ):
        counts.add_row(what, str(number))
    everyone = table("all reviewers", "value", "95 % interval")
    for field, title in _SHOWN.items():
        interval = getattr(result.overall, field)
        limits = f"{interval.low:.2f} to {interval.high:.2f}" if interval else ""
        everyone.add_row(title, _value(interval), limits)
    console = Terminal()
    pairs = table("pair", "images", *_SHOWN.values())
    for pair in result.pairs:
        found = pair.coefficients
        values = (_value(getattr(found, field)) for field in _SHOWN)
        pairs.add_row(
            Text("\n").join(map(console.render_str, pair.reviewers)), str(found.images), *values
        )
    scores = table("against the settled", "found", "missed", "cleared", "false alarms", "unsure")
    for score in result.scores:
        reviewer, *numbers = (getattr(score, name) for name in ReviewerScore.__slots__)
        scores.add_row(reviewer, *map(str, numbers))
    for part in (counts, everyone, pairs, scores):
        if part.row_count:
            console.print(part, "")
    if result.overall.kappa is None:
        console.print(
            f"kappa is not defined: two or more answered {counted(result.shared, 'image')}, too "
            "few, unlike the others, or all alike",
            soft_wrap=True,
        )
    if result.pairs_left_out:
        console.print(f"{result.pairs_left_out:,} more pairs, with fewer images in common")


def _value(interval: Interval | None) -> str:
    return f"{interval.value:.2f}" if interval else "none"
