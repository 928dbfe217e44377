"""The export stage: decisions and source annotations become a dataset."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import sixrayd
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text, sha256_file, write_json
from sixrayd.core.index import Index, split_setting
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.records import Rule, Source, Split, State
from sixrayd.core.staging import MANIFEST, Staging, remove_leftovers, staged
from sixrayd.core.voc import VocAnnotation
from sixrayd.core.words import counted
from sixrayd.core.workspace import Run, Workspace, remove_result
from sixrayd.decisions.decision import decision_files, mining_of
from sixrayd.export.card import card
from sixrayd.export.content import Content, in_shard_order
from sixrayd.export.forms import FORMS, VOC
from sixrayd.export.settings import ExportSettings
from sixrayd.export.states import (
    STATE_SCHEMA,
    Evidence,
    States,
    annotation_of,
    assign_states,
    gather,
)
from sixrayd.statistics.false_finds import false_finds, sham_alarms
from sixrayd.statistics.standing import answer_rows, settled_answers

_LISTS = {
    "found_positives.txt": State.FOUND_POSITIVE,
    "negatives.txt": State.UNFLAGGED,
    "confusing_negatives.txt": State.CONFUSING_NEGATIVE,
    "audited_empty.txt": State.AUDITED_EMPTY,
    "undecided.txt": State.UNDECIDED,
    "unreadable.txt": State.UNREADABLE,
}
_EMPTY = (State.CONFUSING_NEGATIVE, State.AUDITED_EMPTY)  # seen to hold nothing


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An export that is there, whole."""

    name: str
    tree: str  # folder that holds VOC2007/
    written: bool  # False when the same work was there already
    states: Mapping[str, int]
    images: Mapping[str, int]  # split → images in the VOC tree
    boxes: Mapping[str, Mapping[str, int]]  # class → images and boxes by split
    origins: Mapping[str, int]  # origin → boxes
    notes: tuple[str, ...]


def export(workspace: Workspace, settings: ExportSettings) -> ExportResult:
    """Write the corrected dataset, named after the newest review.

    An image's state follows from all standing decisions: where the rule does not settle what
    reviewers differ on it is undecided, and what was flagged but not reviewed is in no list.

    Raises:
        WorkspaceError: a stage before has not finished, there is no such split, or something else
            is at the target.
        ShardError: a shard has changed since the ingest.
    """
    with workspace.lock("export"):
        planned = _plan(workspace, settings)
        folder = workspace.folder("export", planned.name)
        target = settings.out.resolve() if settings.out else folder
        pointer = _pointer(workspace, planned, target, settings.force)
        workspace.check_own(pointer)
        remove_leftovers(target)
        existing = _run_at(target)
        whole = not settings.force or _is_whole(target)
        if existing is not None and existing.same_work(planned) and whole:
            _point_to(pointer, existing, target)
            return _result(existing, target, written=False)
        refuse_to_overwrite(target, ours=existing is not None, force=settings.force)
        alias = pseudonym(workspace) if settings.pseudonyms else str
        evidence = gather(workspace, planned.settings["review"], alias, settings.split)
        with staged(target) as staging:
            run = _write(staging, planned, evidence, settings.consensus)
        _point_to(pointer, run, target)
        return _result(run, target, written=True)


def _plan(workspace: Workspace, settings: ExportSettings) -> Run:
    newest = workspace.newest("review")
    known = workspace.names("review")
    for name in settings.review:
        if name not in known:
            raise WorkspaceError(f"no review {name!r}; there is {', '.join(known)}")
    reviews = [name for name in known if not settings.review or name in settings.review]
    stages = [("shards", ""), *(("review", name) for name in reviews)]
    minings = sorted({mining_of(workspace, name) for name in reviews} - {""})
    upstream = workspace.upstream(*stages, *(("mine", name) for name in minings))
    tables = [path for name in reviews for path in decision_files(workspace, name)]
    if sham_alarms(workspace)[0]:  # which the card tells of
        tables += sorted(workspace.folder("review").glob("*/planted/decisions/*.parquet"))
    return Run(
        stage="export",
        name=newest if newest in reviews else reviews[-1],
        settings={
            "review": sorted(reviews),
            "out": str(settings.out.resolve()) if settings.out else "",
            "with_negatives": settings.with_negatives,
            "consensus": str(settings.consensus),
            "pseudonyms": settings.pseudonyms,
            **({"form": settings.form} if settings.form != VOC else {}),
            **split_setting(workspace, settings.split),
        },
        inputs={**upstream, **workspace.inputs(*tables)},
    )


def _run_at(folder: Path) -> Run | None:
    """The finished export in a folder, None where there is none."""
    try:
        path = folder / "run.json"
        run = Run.of(parse_json(plain_text(path)), path)
    except (OSError, ValueError):
        return None
    return run if run.stage == "export" and (folder / MANIFEST).exists() else None


def _is_whole(tree: Path) -> bool:
    """Whether every file of the manifest is there as it was written."""
    try:
        lines = plain_text(tree / MANIFEST).splitlines()
        files = (line.split("  ", 1) for line in lines)
        return all(sha256_file(tree / name) == digest for digest, name in files)
    except (OSError, ValueError):
        return False


def _pointer(workspace: Workspace, run: Run, target: Path, force: bool) -> Path:
    """The folder of the workspace that says where an export lies.

    Where the workspace itself holds an export of that name, `force` replaces that; without, one
    elsewhere goes by the name of its folder.

    Raises:
        WorkspaceError: that name is taken, or none.
    """
    folder = workspace.folder("export", run.name)
    if target.resolve() == folder.resolve() or force or not (folder / MANIFEST).exists():
        return folder
    other = workspace.folder("export", target.name)
    if other == folder or (other / MANIFEST).exists():
        raise WorkspaceError(f"{other}: is an export, too; give --out another name")
    return other


def _point_to(pointer: Path, run: Run, target: Path) -> None:
    """Leave `run.json` in the workspace for an export that lies elsewhere."""
    if target.resolve() == pointer.resolve():
        return
    if (pointer / MANIFEST).exists():
        remove_result(pointer)
    write_json(pointer / "run.json", asdict(run))


def _result(run: Run, target: Path, *, written: bool) -> ExportResult:
    summary: Mapping[str, Any] = run.summary
    return ExportResult(
        name=run.name,
        tree=str(target),
        written=written,
        states={str(state): summary["states"][state] for state in State},
        images={str(side): summary["images"][side] for side in Split},
        boxes=dict(sorted(summary["boxes"].items())),
        origins=summary["origins"],
        notes=tuple(summary["notes"]),
    )


def _write(staging: Staging, planned: Run, evidence: Evidence, rule: Rule) -> Run:
    states = assign_states(evidence, rule)
    annotations, bare = _annotations(evidence, states)
    index = evidence.index
    splits = _column(index, "split", [a.stem for a in annotations])
    copied: list[str] = []
    if planned.settings["with_negatives"]:
        copied = [i for s in (State.UNFLAGGED, *_EMPTY) for i in states.ids(s)]
    content = Content(
        index=index,
        classes=evidence.classes,
        annotations=annotations,
        splits=splits,
        named=_column(index, "labels", list(splits)),
        copied=copied,
        empty=frozenset(i for s in _EMPTY for i in states.ids(s)),
    )
    FORMS[planned.settings.get("form", VOC)].write(staging, content)
    for path, state in _LISTS.items():
        staging.write_lines(path, states.ids(state))
    staging.write_lines("positives_without_boxes.txt", bare)
    staging.write_table("states.parquet", states.table, STATE_SCHEMA)
    sides = {str(side): [i for i in splits if splits[i] == side] for side in Split}
    staging.write("splits.json", (json.dumps(sides, indent=1) + "\n").encode())
    split = planned.settings.get("split", "")
    summary = _summary(annotations, splits, states, bare, evidence)
    summary["notes"] += _split_notes(split, splits)
    counted_in = {key: summary[key] for key in ("states", "images", "boxes", "origins")}
    told = _false_finds(evidence, rule)
    text = card(planned.name, sixrayd.__version__, **counted_in, split=split, false_finds=told)
    staging.write("README.md", text.encode())
    run = replace(planned, outputs={MANIFEST: staging.write_manifest()}, summary=summary)
    write_json(staging.root / "run.json", asdict(run))
    return run


def _false_finds(evidence: Evidence, rule: Rule) -> str:
    """What is expected of them, in words; empty where nothing was found."""
    negatives = set(evidence.index.rows(source=Source.NEGATIVE)["image_id"].to_pylist())
    said = {i: given for i, given in evidence.decisions.items() if i in negatives}
    answers = settled_answers(answer_rows(said), rule, evidence.classes)
    counts = false_finds(said, answers, evidence.shams)
    return counts.words if counts.found else ""


def _annotations(evidence: Evidence, states: States) -> tuple[list[VocAnnotation], list[str]]:
    """Annotations of the positives by image id, and the positives that nobody has boxed."""
    ids = sorted(states.ids(State.SOURCE_POSITIVE) + states.ids(State.FOUND_POSITIVE))
    chosen, bare = [], []
    for record in in_shard_order(evidence.index, ids):
        annotation = annotation_of(record, evidence, states.decided)
        if annotation.objects:
            chosen.append(annotation)
        else:
            bare.append(annotation.stem)
    return sorted(chosen, key=lambda a: a.stem), sorted(bare)


def _column(index: Index, name: str, ids: Sequence[str]) -> dict[str, Any]:
    chosen = index.table.filter(pc.is_in(index.table["image_id"], pa.array(ids, pa.string())))
    return dict(zip(chosen["image_id"].to_pylist(), chosen[name].to_pylist(), strict=True))


def _summary(
    annotations: Sequence[VocAnnotation],
    splits: Mapping[str, str],
    states: States,
    bare: Sequence[str],
    evidence: Evidence,
) -> dict[str, Any]:
    boxes = {label: _class_counts(label, annotations, splits) for label in evidence.classes.names}
    everything = [item.provenance for a in annotations for item in a.objects]
    origins = Counter(p.origin for p in everything if p is not None)
    return {
        "states": states.counts(),
        "images": {str(side): sum(split == side for split in splits.values()) for side in Split},
        "boxes": boxes,
        "origins": dict(sorted(origins.items())),
        "notes": _notes(states, bare),
    }


def _class_counts(
    label: str, annotations: Sequence[VocAnnotation], splits: Mapping[str, str]
) -> dict[str, int]:
    counts = {}
    for side in Split:
        of_side = [a for a in annotations if splits[a.stem] == side]
        boxes = [sum(item.box.label == label for item in a.objects) for a in of_side]
        counts[f"{side}_images"] = sum(count > 0 for count in boxes)
        counts[f"{side}_boxes"] = sum(boxes)
    return counts


def _notes(states: States, bare: Sequence[str]) -> list[str]:
    counts, notes = states.counts(), []
    if waiting := counts[State.FLAGGED_UNREVIEWED]:
        notes.append(f"{waiting} flagged images are not reviewed and in none of the lists")
    if bare:
        notes.append(f"{counted(len(bare), 'positive')} without a box: positives_without_boxes.txt")
    if states.unused:
        notes.append(
            f"{counted(len(states.unused), 'image')} with decisions, but not readable or not in "
            f"the release: the decisions were not used, first {states.unused[0]}"
        )
    return notes


def _split_notes(split: str, splits: Mapping[str, str]) -> list[str]:
    """What a given split leaves out."""
    if not (left_out := sum(not side for side in splits.values())):
        return []
    return [
        f"{left_out} of {len(splits)} positives are on no side of split {split}: they are in the "
        "tree, and in none of its lists"
    ]


def refuse_to_overwrite(target: Path, ours: bool, force: bool) -> None:
    """Stop unless `target` is free, or is an export that may be replaced.

    A folder with nothing but `run.json` is free: it says that the export lies elsewhere.

    Raises:
        WorkspaceError: something else is there, or another export and `force` is not set.
    """
    if not target.exists():
        return
    if target.is_dir() and {path.name for path in target.iterdir()} <= {"run.json"}:
        return
    if not ours:
        raise WorkspaceError(f"{target}: exists and is no export; name a new folder with --out")
    if not force:
        raise WorkspaceError(
            f"{target}: holds an export of other inputs or settings; "
            "replace it with --force, or name a new folder with --out"
        )
