"""What the page of a workspace says, all taken from its files; nothing is written."""

import math
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sixrayd.advice.next_step import Judgement
from sixrayd.core.classes import default_classes
from sixrayd.core.records import CANDIDATE_SCHEMA, Rule, Source, State
from sixrayd.core.resources import resource_text
from sixrayd.core.tables import read_table
from sixrayd.core.voc import VocAnnotation
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import reviews_with_decisions
from sixrayd.evaluation.strata import SIZES
from sixrayd.export.states import annotation_of, assign_states, gather
from sixrayd.report.galleries import Galleries
from sixrayd.report.parts import (
    Bar,
    BoundRow,
    ClassRow,
    Contents,
    PaperRow,
    ReviewSection,
    ScoreBin,
)
from sixrayd.review.folder import ReviewFolder
from sixrayd.statistics.belief import BELIEF, Belief
from sixrayd.statistics.missed import percent_down
from sixrayd.statistics.stated import stated_bound

_BINS = 20  # of scores, 0 to 1
# What people said of a flagged image; all that is in no such state nobody has looked at.
KINDS = {
    State.FOUND_POSITIVE: "contraband",
    State.CONFUSING_NEGATIVE: "nothing there",
    State.UNDECIDED: "undecided",
}
UNSEEN = "not looked at"
_ALL = "all"


def read_contents(workspace: Workspace, most: int) -> Contents:
    """Read a workspace for its page.

    Args:
        most: pictures in a gallery.

    Raises:
        WorkspaceError: the release has not been ingested, or a file is broken.
        ShardError: a shard has changed since it was indexed.
    """
    minings = workspace.names("mine")
    rows = _candidates(workspace, minings[-1]) if minings else []
    scores = {row["image_id"]: row["image_score"] for row in rows}
    mined = minings[-1] if minings else ""  # sent or not
    evidence = gather(workspace, reviews_with_decisions(workspace), str, unreviewed=mined)
    states = assign_states(evidence, Rule.ADJUDICATOR)
    known = evidence.index.select(source=Source.POSITIVE)
    found = [evidence.index.record(i) for i in states.ids(State.FOUND_POSITIVE)]
    before = {r.image_id: annotation_of(r, evidence, {}) for r in known}
    after = {r.image_id: annotation_of(r, evidence, states.decided) for r in (*known, *found)}
    of_image = dict(zip(*(states.table[c].to_pylist() for c in ("image_id", "state")), strict=True))
    negatives = set(evidence.index.rows(source=Source.NEGATIVE)["image_id"].to_pylist())
    decided = len(negatives.intersection(evidence.decisions))
    galleries = Galleries(evidence, states, rows, after, most)
    classes = tuple(_classes(evidence.classes.names, before.values(), after.values()))
    return Contents(
        tuple(_facts(workspace, len(evidence.index), evidence.classes.names)),
        _funnel(states.counts(), len(negatives), len(scores) if minings else None, decided),
        tuple(_scores(scores, of_image)),
        classes,
        tuple(_sizes(before.values(), after.values())),
        tuple(_paper(classes, len(negatives), len(found))),
        tuple(ReviewSection(n, ReviewFolder(workspace, n).progress()) for n in _sent(workspace)),
        tuple(_bounds(workspace)),
        tuple(galleries.all()),
    )


def _candidates(workspace: Workspace, mining: str) -> list[dict[str, Any]]:
    path = workspace.folder("mine", mining) / "candidates.parquet"
    rows: list[dict[str, Any]] = read_table(path, CANDIDATE_SCHEMA).to_pylist()
    return rows


def _sent(workspace: Workspace) -> list[str]:
    paths = workspace.folder("review").glob("[!.]*/project.json")
    return sorted(path.parent.name for path in paths)


def _facts(workspace: Workspace, images: int, classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "Release", counted(images, "image")
    yield "Classes", ", ".join(classes)
    for stage, words in (("models", "Detectors"), ("mine", "Minings"), ("export", "Exports")):
        if names := workspace.names(stage):
            yield words, ", ".join(names)
    for name in workspace.names("mine")[-1:]:
        belief = Belief.load(workspace.folder("mine", name) / BELIEF)
        if belief:
            words = f"{belief.hidden:,.0f} negatives hold contraband"
            yield "Believed before any review", words
    yield "Next", str(Judgement(workspace).step)


def _funnel(
    counts: Mapping[str, int], negatives: int, flagged: int | None, decided: int
) -> tuple[Bar, ...]:
    steps = [("labelled negative", negatives)]
    steps += [] if flagged is None else [("flagged by the newest mining", flagged)]
    steps += [
        ("decided by people", decided),
        ("contraband, found", counts[State.FOUND_POSITIVE]),
        ("nothing there, though a detector fired", counts[State.CONFUSING_NEGATIVE]),
        ("nothing there, not flagged", counts[State.AUDITED_EMPTY]),
        ("undecided", counts[State.UNDECIDED]),
    ]
    # By the logarithm: from a million to some hundreds no other bar can be seen.
    top = math.log1p(max(count for _, count in steps)) or 1
    return tuple(Bar(words, count, math.log1p(count) / top) for words, count in steps)


def _scores(scores: Mapping[str, float], states: Mapping[str, str]) -> Iterator[ScoreBin]:
    """Flagged negatives by their best score and by what people said of them."""
    bins = [Counter[str]() for _ in range(_BINS)]
    named = {str(state): words for state, words in KINDS.items()}
    for image_id, score in scores.items():
        place = min(int(max(score, 0) * _BINS), _BINS - 1)
        bins[place][named.get(states.get(image_id, ""), UNSEEN)] += 1
    tallest = max((each.total() for each in bins), default=0)
    for place, each in enumerate(bins if tallest else ()):
        counts = {words: each[words] for words in (*KINDS.values(), UNSEEN)}
        yield ScoreBin(place / _BINS, counts, {k: n / tallest for k, n in counts.items()})


def _classes(
    names: Sequence[str], before: Collection[VocAnnotation], after: Collection[VocAnnotation]
) -> Iterator[ClassRow]:
    """By class, and all together."""

    def count(annotations: Iterable[VocAnnotation], wanted: Collection[str]) -> tuple[int, int]:
        per = [sum(o.box.label in wanted for o in each.objects) for each in annotations]
        return sum(number > 0 for number in per), sum(per)

    for label, wanted in [*((name, (name,)) for name in names), (_ALL, names)]:
        yield ClassRow(label, *count(before, wanted), *count(after, wanted))


def _sizes(
    before: Iterable[VocAnnotation], after: Iterable[VocAnnotation]
) -> Iterator[tuple[str, int, int]]:
    """Boxes by their share of the image's area, before and after."""

    def count(annotations: Iterable[VocAnnotation]) -> Counter[str]:
        return Counter(
            size.name
            for each in annotations
            for o in each.objects
            for size in SIZES
            if size.low <= o.box.area / (each.width * each.height) < size.high
        )

    first, second = count(before), count(after)
    for size in SIZES:
        yield size.name, first[size.name], second[size.name]


def _paper(classes: Sequence[ClassRow], negatives: int, found: int) -> Iterator[PaperRow]:
    """As the paper's table 2, where the classes are SIXray's."""
    if {row.label for row in classes} != {*default_classes(), _ALL}:
        return
    paper = tomllib.loads(resource_text("manifests", "published.toml"))
    ours = {
        "positive images": (classes[-1].images, classes[-1].images_after),
        "positive objects": (classes[-1].boxes, classes[-1].boxes_after),
        "negative images": (negatives, negatives - found),
    }
    for words, counts in ours.items():
        key = words.replace(" ", "_")
        yield PaperRow(words, paper["SIXray"][key], paper["SIXray-D"][key], *counts)


def _bounds(workspace: Workspace) -> Iterator[BoundRow]:
    """What `estimate` said last, by name."""
    for name in workspace.names("estimate"):
        said = stated_bound(workspace, name)
        likely = "not known" if said.likely is None else f"{said.likely:,.0f}"
        recall = percent_down(said.recall)
        stale = bool(workspace.stale("estimate", name))
        yield BoundRow(name, stale, said.found, likely, said.upper, recall, said.rests_on)
