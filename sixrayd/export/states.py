"""Which one state each image of the release is in, and the boxes of those that are positive."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError, WorkspaceError
from sixrayd.core.index import Annotation, Index, check_known, load_annotations
from sixrayd.core.records import (
    CANDIDATE_SCHEMA,
    TASK_DEFAULTS,
    TASK_SCHEMA,
    ImageRecord,
    Kind,
    Rule,
    Source,
    State,
    Verdict,
)
from sixrayd.core.tables import read_table
from sixrayd.core.voc import Provenance, VocAnnotation, VocObject
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.export_files import STATE_SCHEMA
from sixrayd.decisions.consensus import Settled, settle
from sixrayd.decisions.decision import (
    DecidedBox,
    Decision,
    load_decisions,
    mining_of,
    standing_decisions,
)
from sixrayd.statistics.false_finds import sham_alarms


@dataclass(frozen=True, slots=True)
class Detected:
    """The detection that a decided box goes back to."""

    model: str
    score: float
    mining: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a release's images, by image id and box id."""

    index: Index
    classes: ClassList
    annotations: Mapping[str, tuple[Annotation, ...]]
    decisions: Mapping[str, tuple[Decision, ...]]  # standing ones, reviewers named as exported
    flagged: frozenset[str]  # images with candidates
    detected: Mapping[tuple[str, str], Detected]  # (review, box id), for decided boxes only
    # (mining, model) → SHA-256 of the weights
    weights: Mapping[tuple[str, str], str] = field(default_factory=dict)
    shams: tuple[int, int] = (0, 0)  # answered, and called contraband


@dataclass(frozen=True, slots=True)
class States:
    """Every image's state, and what was made of the decisions."""

    table: pa.Table  # STATE_SCHEMA, in the index's order
    decided: Mapping[str, Decision]  # what the boxes of found and corrected images come from
    unused: tuple[str, ...] = field(repr=False)  # decided on, but no readable image of the release

    def ids(self, state: State) -> list[str]:
        """Images in a state, sorted."""
        chosen = self.table.filter(pc.equal(self.table["state"], str(state)))
        return list(chosen["image_id"].to_pylist())

    def counts(self) -> dict[str, int]:
        """Images in each state, in the order of `State`; states without images too."""
        counted = Counter(self.table["state"].to_pylist())
        return {str(state): counted[str(state)] for state in State}


def gather(
    workspace: Workspace,
    reviews: Sequence[str],
    alias: Callable[[str], str],
    split: str = "",
    unreviewed: str = "",
) -> Evidence:
    """Read index, annotations, candidates and decisions.

    Args:
        alias: a reviewer's name → what is to be exported in its place.
        split: of the index.
        unreviewed: a mining that no review was made of, or none.

    Raises:
        WorkspaceError: a stage has not finished, or a candidate is of no image of the release.
    """
    index = _whole_index(workspace, split)
    decisions = [d for review in reviews for d in load_decisions(workspace, review)]
    known = set(index.table["image_id"].to_pylist())
    minings: dict[str, list[str]] = {}  # their reviews; '' of those of none
    for review in reviews:
        minings.setdefault(mining_of(workspace, review), []).append(review)
    flagged, detected = _drawn(workspace, minings, decisions, known)
    if unreviewed:
        flagged |= _flagged(_candidates(workspace, unreviewed), unreviewed, known)
    return Evidence(
        index,
        workspace.classes(),
        load_annotations(workspace),
        {
            image_id: tuple(replace(d, reviewer=alias(d.reviewer)) for d in said)
            for image_id, said in standing_decisions(decisions).items()
        },
        frozenset(flagged),
        detected,
        {
            key: weights
            for mining in filter(None, minings)
            for key, weights in _weights(workspace, mining)
        },
        sham_alarms(workspace),
    )


def _drawn(
    workspace: Workspace,
    minings: Mapping[str, Sequence[str]],
    decisions: Iterable[Decision],
    known: set[str],
) -> tuple[set[str], dict[tuple[str, str], Detected]]:
    """Images that were flagged, and what the detector said of the boxes that decisions name.

    Args:
        minings: their reviews; each mining's table, which is large, is read once.
        known: images of the release; planted ones are none.
    """
    wanted: dict[str, set[str]] = defaultdict(set)  # box ids by review
    for decision in decisions:
        wanted[decision.review].update(box.candidate for box in decision.boxes)
    flagged: set[str] = set()
    detected: dict[tuple[str, str], Detected] = {}
    for mining, reviews in minings.items():
        if mining:
            table = _candidates(workspace, mining)
            flagged |= _flagged(table, mining, known)
            for review in filter(wanted.get, reviews):
                detected.update(_detected(table, review, wanted[review], mining))
        for review in reviews:
            # Mined again since: what reviewers saw is what counts.
            sent = workspace.folder("review", review) / "candidates.parquet"
            if sent.exists():
                table = read_table(sent, CANDIDATE_SCHEMA)
                detected.update(_detected(table, review, wanted[review], mining))
                if mining:
                    flagged.update(set(table["image_id"].to_pylist()) & known)
            if mining:
                flagged.update(set(_sent_as_flagged(workspace, review)) & known)
    return flagged, detected


def _flagged(table: pa.Table, mining: str, known: set[str]) -> set[str]:
    """Images of a mining's candidates, all of them of the release."""
    flagged = set(pc.unique(table["image_id"]).to_pylist())
    check_known(flagged - known, mining)
    return flagged


def _whole_index(workspace: Workspace, split: str) -> Index:
    index = Index.load(workspace, split)
    expected = workspace.run("shards").summary.get("images", len(index))
    if expected != len(index):
        raise WorkspaceError(
            f"{workspace.shards / 'index.parquet'}: {len(index)} images, the ingest counted "
            f"{expected}; run `sixrayd download` again"
        )
    return index


def _candidates(workspace: Workspace, mining: str) -> pa.Table:
    path = workspace.folder("mine", mining) / "candidates.parquet"
    return read_table(path, CANDIDATE_SCHEMA)


def _sent_as_flagged(workspace: Workspace, review: str) -> list[str]:
    """Images that were put before reviewers since a detector fired, with boxes drawn or without."""
    path = workspace.folder("review", review) / "tasks.parquet"
    if not path.exists():
        return []
    table = read_table(path, TASK_SCHEMA, TASK_DEFAULTS)
    sent = table.filter(pc.equal(table["kind"], str(Kind.CANDIDATE)))
    return list(sent["image_id"].to_pylist())


def _weights(workspace: Workspace, mining: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Hashes of the weights that a mining used; none of a model that is gone or trained anew."""
    for path, digest in workspace.run("mine", mining).inputs.items():
        named = re.fullmatch(r"models/([^/]+)/run\.json", path)
        if not named or not (file := workspace.root / path).is_file():
            continue
        if workspace.inputs(file)[path] == digest:
            outputs = workspace.run("models", named[1]).outputs
            weights = (outputs[name] for name in sorted(outputs) if name.startswith("weights."))
            yield (mining, named[1]), next(weights, "")


def _detected(
    table: pa.Table, review: str, wanted: set[str], mining: str
) -> dict[tuple[str, str], Detected]:
    chosen = table.filter(pc.is_in(table["box_id"], pa.array(sorted(wanted), pa.string())))
    rows = chosen.select(["box_id", "model", "score"]).to_pylist()
    # Six digits are what a float32 holds.
    return {
        (review, row["box_id"]): Detected(row["model"], round(row["score"], 6), mining)
        for row in rows
    }


def detection_behind(candidate: str, decision: Decision, evidence: Evidence) -> Detected | None:
    """What a decided box goes back to; None for one that people drew."""
    said = (decision, *evidence.decisions[decision.image_id])
    keys = ((one.review, candidate) for one in said)
    return next((evidence.detected[key] for key in keys if key in evidence.detected), None)


def assign_states(evidence: Evidence, rule: Rule) -> States:
    """Put every image of the release in exactly one state.

    Raises:
        WorkspaceError: the states do not add up to the release.
    """
    index = evidence.index
    columns = ("image_id", "source", "error", "width", "height")
    rows = zip(*(index.table[name].to_pylist() for name in columns), strict=True)
    states, reasons, decided, used = [], [], {}, set()
    for image_id, source, error, width, height in rows:
        settled = None
        if not error and image_id in evidence.decisions:
            used.add(image_id)
            said = evidence.decisions[image_id]
            settled = _usable(settle(said, rule), evidence.classes, (width, height))
            if settled.decision and settled.decision.verdict == Verdict.MISSED:
                decided[image_id] = settled.decision
        if error:
            state, reason = State.UNREADABLE, error
        elif source == Source.POSITIVE:
            state, reason = _positive_state(settled)
        else:
            state, reason = _negative_state(image_id, settled, evidence)
        states.append(str(state))
        reasons.append(reason)
    ids, splits = (index.table[name] for name in ("image_id", "split"))
    table = pa.table([ids, states, splits, reasons], schema=STATE_SCHEMA)
    result = States(table, decided, tuple(sorted(set(evidence.decisions) - used)))
    if sum(result.counts().values()) != len(index):
        raise WorkspaceError(
            f"states: {sum(result.counts().values())} images, the release has {len(index)}"
        )
    return result


def _usable(settled: Settled, classes: ClassList, size_wh: tuple[int, int]) -> Settled:
    """What can be exported of it: without a decision where that is unsure or has faulty boxes."""
    decision = settled.decision
    if decision is None:
        return settled
    why = {
        Verdict.MISSED: _fault(decision, classes, size_wh),
        Verdict.UNSURE: f"unsure: {decision.reviewer}",
        Verdict.NOTHING: "",
    }[decision.verdict]
    return Settled(None, "; ".join(filter(None, (why, settled.reason)))) if why else settled


def _positive_state(settled: Settled | None) -> tuple[State, str]:
    if settled is None:
        return State.SOURCE_POSITIVE, ""
    if settled.decision and settled.decision.verdict == Verdict.NOTHING:
        words = ("labelled positive, reviewers see nothing", settled.reason)
        return State.UNDECIDED, "; ".join(filter(None, words))
    return State.SOURCE_POSITIVE, settled.reason


def _negative_state(
    image_id: str, settled: Settled | None, evidence: Evidence
) -> tuple[State, str]:
    flagged = image_id in evidence.flagged
    if settled is None and image_id in evidence.annotations:
        return State.UNDECIDED, "labelled negative by the release, which also brings boxes for it"
    if settled is None:
        return (State.FLAGGED_UNREVIEWED if flagged else State.UNFLAGGED), ""
    if settled.decision is None:
        return State.UNDECIDED, settled.reason
    if settled.decision.verdict == Verdict.MISSED:
        return State.FOUND_POSITIVE, settled.reason
    return (State.CONFUSING_NEGATIVE if flagged else State.AUDITED_EMPTY), settled.reason


def _fault(decision: Decision, classes: ClassList, size_wh: tuple[int, int]) -> str:
    """Why a decision's boxes cannot be exported; empty when they can."""
    who = f"{decision.reviewer}: {decision.verdict}"
    if not decision.boxes:
        return f"{who}, but no box"
    for item in decision.boxes:
        try:
            classes.canonical(item.box.label)
        except AnnotationError:
            return f"{who}, but {item.box.label!r} is none of {classes.words}"
        if clip_box(item.box, *size_wh) is None:
            return f"{who}, but {item.box.xyxy} lies outside the image"
    return ""


def annotation_of(
    record: ImageRecord, evidence: Evidence, decided: Mapping[str, Decision]
) -> VocAnnotation:
    """The boxes of a positive image, each with its origin; none where nobody has drawn any."""
    size_wh = (record.width, record.height)
    decision = decided.get(record.image_id)
    if decision is None:
        objects = [
            _source_object(a, size_wh) for a in evidence.annotations.get(record.image_id, ())
        ]
    else:
        objects = [_found_object(item, decision, evidence, size_wh) for item in decision.boxes]
    usable = tuple(item for item in objects if item is not None)
    return VocAnnotation(record.image_id, *size_wh, usable)


def _source_object(annotation: Annotation, size_wh: tuple[int, int]) -> VocObject | None:
    box = clip_box(annotation.box, *size_wh)
    if box is None:
        return None
    flags = annotation.difficult, annotation.truncated
    return VocObject(box, *flags, Provenance("source"))


def _found_object(
    item: DecidedBox, decision: Decision, evidence: Evidence, size_wh: tuple[int, int]
) -> VocObject | None:
    label = evidence.classes.canonical(item.box.label)
    box = clip_box(Box(label, *item.box.xyxy), *size_wh)
    if box is None:
        return None
    at_border = box.x1 <= 0 or box.y1 <= 0 or box.x2 >= size_wh[0] or box.y2 >= size_wh[1]
    behind = detection_behind(item.candidate, decision, evidence)
    before = evidence.annotations.get(decision.image_id, ())
    source = next((one for one in before if one.box_id == item.candidate), None)
    return VocObject(
        box,
        difficult=source is not None and source.difficult,
        truncated=at_border or (source is not None and source.truncated),
        provenance=Provenance(
            origin=item.origin,
            candidate=item.candidate,
            model=behind.model if behind else "",
            score=behind.score if behind else None,
            reviewer=", ".join(item.reviewers) or decision.reviewer,
            verdict=str(decision.verdict),
            decided_at=item.decided_at or decision.decided_at,
            version=decision.version,
        ),
    )
