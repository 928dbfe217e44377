"""The export stage: decisions and source annotations become a dataset."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

import sixrayd
from sixrayd.core.classes import ClassList
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import plain_text, sha256_file, write_json
from sixrayd.core.index import split_setting
from sixrayd.core.progress import progress
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.records import EMPTY_SETS, Rule, Source, Split, State
from sixrayd.core.staging import MANIFEST, Staging, remove_leftovers, staged
from sixrayd.core.voc import VocAnnotation
from sixrayd.core.words import counted
from sixrayd.core.workspace import Run, Workspace, remove_result
from sixrayd.decisions.decision import decision_files, mining_of, reviews_with_decisions
from sixrayd.export.card import card
from sixrayd.export.content import Content, ExportedImage, exported_image, in_shard_order
from sixrayd.export.counts import ExportCounts
from sixrayd.export.evidence_tables import (
    ABSENCE_SCHEMA,
    absence_rows,
    looks_of,
    provenance_table,
)
from sixrayd.export.forms import FORMS, VOC
from sixrayd.export.image_files import ImageFiles, ImagesBy
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
_POSITIVE = (State.SOURCE_POSITIVE, State.FOUND_POSITIVE)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An export that is there, whole."""

    name: str
    tree: str  # folder that holds the forms' folders
    written: bool  # False when the same work was there already
    states: Mapping[str, int]
    images: Mapping[str, int]  # split → positives
    boxes: Mapping[str, Mapping[str, int]]  # class → images and boxes by split
    origins: Mapping[str, int]  # origin → boxes
    notes: tuple[str, ...]
    sets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # set → split → images
    forms: tuple[str, ...] = (VOC,)


def export(workspace: Workspace, settings: ExportSettings) -> ExportResult:
    """Write the corrected dataset, named after the newest review, or else mining.

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
        _check_links(settings, target)
        reviews = planned.settings["review"]
        evidence = gather(workspace, reviews, alias, settings.split, _unreviewed(workspace))
        _check_sets(settings, evidence.classes)
        with staged(target) as staging:
            run = _write(staging, planned, evidence, settings, release_name(workspace))
        _point_to(pointer, run, target)
        return _result(run, target, written=True)


def _plan(workspace: Workspace, settings: ExportSettings) -> Run:
    known = workspace.names("review")
    for name in settings.review:
        if name not in known:
            raise WorkspaceError(f"no review {name!r}; there is {', '.join(known) or 'none'}")
    reviews = [name for name in known if not settings.review or name in settings.review]
    stages = [("shards", ""), *(("review", name) for name in reviews)]
    unreviewed = _unreviewed(workspace)
    minings = sorted({mining_of(workspace, name) for name in reviews} | {unreviewed} - {""})
    upstream = workspace.upstream(*stages, *(("mine", name) for name in minings if name))
    tables = [path for name in reviews for path in decision_files(workspace, name)]
    if sham_alarms(workspace)[0]:  # which the card tells of
        tables += sorted(workspace.folder("review").glob("*/planted/decisions/*.parquet"))
    return Run(
        stage="export",
        name=reviews[-1] if reviews else unreviewed or "release",
        settings={
            "review": sorted(reviews),
            "out": str(settings.out.resolve()) if settings.out else "",
            "with_negatives": settings.with_negatives,
            "consensus": str(settings.consensus),
            "pseudonyms": settings.pseudonyms,
            **_unusual(settings),
            **split_setting(workspace, settings.split),
        },
        inputs={**upstream, **workspace.inputs(*tables)},
    )


def _unreviewed(workspace: Workspace) -> str:
    """The newest mining where nobody has reviewed any yet, or none.

    Raises:
        WorkspaceError: there are decisions of reviews that have not finished.
    """
    if workspace.names("review"):
        return ""
    if reviews_with_decisions(workspace):
        workspace.newest("review")
    return next(iter(workspace.names("mine")[-1:]), "")


def _unusual(settings: ExportSettings) -> dict[str, Any]:
    """Settings that are no default; exports were recorded before there was a choice."""
    named = {
        "forms": list(dict.fromkeys(settings.forms)),
        "sets": sorted(set(settings.sets)),
        "images": str(settings.images),
        "images_from": str(settings.images_from.resolve()) if settings.images_from else "",
        "trainval": settings.trainval,
        "looks": settings.looks,
    }
    usual = {"forms": [VOC], "sets": [], "images": "copy", "images_from": "", "looks": False}
    return {key: said for key, said in named.items() if said != usual.get(key, True)}


def _check_links(settings: ExportSettings, target: Path) -> None:
    folder = settings.images_from.resolve() if settings.images_from else None
    if settings.images == ImagesBy.SYMLINK and folder and folder.is_relative_to(target.resolve()):
        raise SettingsError(
            f"--images-from {settings.images_from}: lies in {target}, which is replaced; links to "
            "it would lead nowhere: name another folder"
        )


def _check_sets(settings: ExportSettings, classes: ClassList) -> None:
    for name in settings.sets:
        if name in map(str.lower, classes.names):
            raise SettingsError(f"--with {name}: a class is called so, and so are its lists")


def release_name(workspace: Workspace) -> str:
    """What people call the release that was ingested: its folder, archive or manifest."""
    said = str(workspace.run("shards").settings.get("release") or "")
    path = urlsplit(said).path if "://" in said else said
    return PureWindowsPath(path).name.partition(".")[0] or "SIXray"


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
        sets=summary.get("sets", {}),
        forms=tuple(run.settings.get("forms", [VOC])),
    )


def _write(
    staging: Staging, planned: Run, evidence: Evidence, settings: ExportSettings, database: str
) -> Run:
    states = assign_states(evidence, settings.consensus)
    content = Content(
        index=evidence.index,
        classes=evidence.classes,
        database=database,
        sets=frozenset(settings.sets),
        with_bytes=settings.images != ImagesBy.NONE,
        trainval=settings.trainval,
        looks=lambda image: looks_of(image, evidence) if settings.looks else (),
    )
    counts, bare = ExportCounts(evidence.classes.names), list[str]()
    files = ImageFiles(staging, settings.images, settings.images_from)
    forms = [FORMS[name] for name in dict.fromkeys(settings.forms)]
    with ExitStack() as stack:
        adds = [stack.enter_context(form.write(staging, content)) for form in forms]
        adds += [stack.enter_context(provenance_table(staging, evidence, states)), counts.add]
        for image in _images(evidence, states, settings, bare):
            files.put(image, [form.image_path(image) for form in forms if form.image_path])
            for add in adds:
                add(image)
    summary = {
        "states": states.counts(),
        **counts.summary(settings.sets),
        "notes": [
            *_notes(states, bare),
            *_split_notes(planned.settings.get("split", ""), counts.sides),
            *_image_notes(settings, files),
        ],
    }
    _write_lists(staging, evidence, states, counts, sorted(bare))
    forms_written = {name: FORMS[name].title for name in settings.forms}
    split, told = planned.settings.get("split", ""), _false_finds(evidence, settings.consensus)
    text = card(planned.name, sixrayd.__version__, summary, forms_written, split, told)
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


def _images(
    evidence: Evidence, states: States, settings: ExportSettings, bare: list[str]
) -> Iterator[ExportedImage]:
    """What is to be written, in the order of the shards.

    Args:
        bare: takes the positives that nobody has boxed.
    """
    copied = EMPTY_SETS if settings.with_negatives else settings.sets
    wanted = [*_POSITIVE, *(EMPTY_SETS[name] for name in copied)]
    state_of = {
        image_id: state for state in dict.fromkeys(wanted) for image_id in states.ids(state)
    }
    with progress() as bar:
        task = bar.add_task("images", total=len(state_of), note="")
        for record in in_shard_order(evidence.index, list(state_of)):
            state = state_of[record.image_id]
            annotation = VocAnnotation(record.image_id, record.width, record.height, ())
            if state in _POSITIVE:
                annotation = annotation_of(record, evidence, states.decided)
            if annotation.objects or state not in _POSITIVE:
                yield exported_image(evidence.index, record, state, annotation)
            else:
                bare.append(record.image_id)
            bar.advance(task)


def _write_lists(
    staging: Staging,
    evidence: Evidence,
    states: States,
    counts: ExportCounts,
    bare: Sequence[str],
) -> None:
    """What is there whatever the form: lists and tables of all images of the release."""
    for path, state in _LISTS.items():
        staging.write_lines(path, states.ids(state))
    staging.write_lines("positives_without_boxes.txt", bare)
    staging.write_table("states.parquet", states.table, STATE_SCHEMA)
    absence = pa.Table.from_pylist(list(absence_rows(evidence, states)), schema=ABSENCE_SCHEMA)
    staging.write_table("absence.parquet", absence, ABSENCE_SCHEMA)
    sides = {str(side): counts.ids(side) for side in Split}
    staging.write("splits.json", (json.dumps(sides, indent=1) + "\n").encode())


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


def _image_notes(settings: ExportSettings, files: ImageFiles) -> list[str]:
    """What links did not lead to what was asked for."""
    if settings.images in (ImagesBy.COPY, ImagesBy.NONE) or not files.copied:
        return []
    if settings.images_from:
        found = counted(files.copied, "image")
        return [f"{found} copied: not below {settings.images_from} as the release has it"]
    if files.linked:
        return []
    return ["images were copied, once: other forms, or --images-from, give them something to link"]


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
