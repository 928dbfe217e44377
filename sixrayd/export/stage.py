"""The export stage: decisions and source annotations become a dataset."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.core.index import split_setting
from sixrayd.core.progress import progress
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.records import EMPTY_SETS, Rule, Source, Split, State
from sixrayd.core.staging import MANIFEST, Staging, sole_writer, staged
from sixrayd.core.voc import VocAnnotation
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.decision import decision_files, mining_of, reviews_with_decisions
from sixrayd.export.about import Facts, groups_of, inputs_of, newest_bound, sizes_of, stated_now
from sixrayd.export.changelog import Descent, descent_of, parent_at
from sixrayd.export.content import Content, ExportedImage, exported_image, in_shard_order
from sixrayd.export.counts import ExportCounts
from sixrayd.export.describing import write_about
from sixrayd.export.evidence_tables import looks_of, provenance_table
from sixrayd.export.forms import FORMS, VOC
from sixrayd.export.image_files import ImageFiles, ImagesBy
from sixrayd.export.lists import write_lists
from sixrayd.export.notes import image_notes, split_notes, state_notes
from sixrayd.export.settings import ExportSettings
from sixrayd.export.states import Evidence, States, annotation_of, assign_states, gather
from sixrayd.export.target import (
    check_links,
    is_as_noted,
    is_whole,
    point_to,
    pointer_of,
    refuse_other_stages,
    refuse_to_lose,
    refuse_to_overwrite,
    run_at,
)
from sixrayd.statistics.false_finds import FalseFinds, false_finds, sham_alarms
from sixrayd.statistics.standing import answer_rows, settled_answers

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
    """Write the corrected dataset, named after the review of the newest mining, or else that.

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
        refuse_other_stages(workspace, target)
        pointer = pointer_of(workspace, planned, target)
        workspace.check_own(pointer)
        with sole_writer(target):
            return _export(workspace, planned, pointer, target, settings)


def _export(
    workspace: Workspace, planned: Run, pointer: Path, target: Path, settings: ExportSettings
) -> ExportResult:
    existing = run_at(target)
    whole = not settings.force or is_whole(target)
    same = (
        existing is not None
        and existing.same_work(_published(planned))
        and is_as_noted(pointer, planned, existing, target)
    )
    if existing is not None and same and whole:
        point_to(pointer, replace(existing, settings=planned.settings), target)
        return _result(existing, target, written=False)
    refuse_to_overwrite(target, ours=existing is not None, force=settings.force)
    refuse_to_lose(target, existing)
    alias = pseudonym(workspace) if settings.pseudonyms else str
    check_links(settings, target)
    reviews = planned.settings["review"]
    evidence = gather(workspace, reviews, alias, settings.split, _unreviewed(workspace, settings))
    _check_sets(settings, evidence.classes)
    descent = descent_of(settings.parent, target if existing else None, same)
    with staged(target) as staging:
        run = _write(workspace, staging, planned, evidence, settings, descent)
        refuse_to_lose(target, existing)  # what came meanwhile, which takes minutes
    point_to(pointer, run, target)
    return _result(run, target, written=True)


def _plan(workspace: Workspace, settings: ExportSettings) -> Run:
    known = workspace.names("review")
    for name in settings.review:
        if name not in known:
            raise WorkspaceError(f"no review {name!r}; there is {', '.join(known) or 'none'}")
    reviews = [name for name in known if not settings.review or name in settings.review]
    if not settings.review:
        _check_finished(workspace, known)
    stages = [("shards", ""), *(("review", name) for name in reviews)]
    unreviewed = _unreviewed(workspace, settings)
    minings = sorted({mining_of(workspace, name) for name in reviews} | {unreviewed} - {""})
    stages += [("mine", name) for name in minings if name]
    stages += [("estimate", name)] if (name := newest_bound(workspace)) else []
    upstream = workspace.upstream(*stages)  # an estimate, since the card tells of it
    tables = [path for name in reviews for path in decision_files(workspace, name)]
    if sham_alarms(workspace)[0]:  # which the card tells of
        tables += sorted(workspace.folder("review").glob("*/planted/decisions/*.parquet"))
    return Run(
        stage="export",
        name=_name(workspace, reviews) if reviews else unreviewed or "release",
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


def _name(workspace: Workspace, reviews: Sequence[str]) -> str:
    """The review of the newest mining: a pull or a withdrawal in an older one changes no name."""
    ages = {name: age for age, name in enumerate(workspace.names("mine"))}
    return max(reviews, key=lambda name: (ages.get(mining_of(workspace, name), -1), name))


def _unreviewed(workspace: Workspace, settings: ExportSettings) -> str:
    """The newest mining where it was sent to no review yet, or none; none beside reviews that were
    chosen by name."""
    if settings.review:
        return ""
    reviews = workspace.names("review")
    newest = next(iter(workspace.names("mine")[-1:]), "")
    return "" if newest in {mining_of(workspace, name) for name in reviews} else newest


def _check_finished(workspace: Workspace, finished: Collection[str]) -> None:
    """Of all reviews: none whose decisions would be left out.

    Raises:
        WorkspaceError: one was killed while it was written.
    """
    for name in reviews_with_decisions(workspace):
        if name not in finished:
            raise WorkspaceError(
                f"{workspace.folder('review', name)}: has decisions and no run.json: a push, a "
                f"pull or the like was killed; `{workspace.command('sixrayd status')}` names what "
                "ends it, or leave them out: name the reviews that count with --review"
            )


def _unusual(settings: ExportSettings) -> dict[str, Any]:
    """Settings that are no default; exports were recorded before there was a choice."""
    named = {
        "forms": list(dict.fromkeys(settings.forms)),
        "sets": sorted(set(settings.sets)),
        "images": str(settings.images),
        "images_from": str(settings.images_from.resolve()) if settings.images_from else "",
        "trainval": settings.trainval,
        "looks": settings.looks,
        "version": settings.version,
        "parent": parent_at(settings.parent).manifest if settings.parent else "",
    }
    usual = {"forms": [VOC], "sets": [], "images": "copy", "looks": False}
    usual |= dict.fromkeys(("images_from", "version", "parent"), "")
    return {key: said for key, said in named.items() if said != usual.get(key, True)}


def _check_sets(settings: ExportSettings, classes: ClassList) -> None:
    for name in settings.sets:
        if name in map(str.lower, classes.names):
            raise SettingsError(f"--with {name}: a class is called so, and so are its lists")


def release_name(workspace: Workspace) -> str:
    """What people call the release that was ingested: its folder, archive or manifest."""
    said = str(workspace.run("shards").settings.get("release") or "")
    path = urlsplit(said).path if "://" in said else said
    return PureWindowsPath(path).name.partition(".")[0] or "SIXray"


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
    workspace: Workspace,
    staging: Staging,
    planned: Run,
    evidence: Evidence,
    settings: ExportSettings,
    descent: Descent,
) -> Run:
    states = assign_states(evidence, settings.consensus)
    counts, bare = ExportCounts(evidence.classes.names), list[str]()
    files = ImageFiles(staging, settings.images, settings.images_from)
    forms = [FORMS[name] for name in dict.fromkeys(settings.forms)]
    content = _content(workspace, evidence, settings)
    with ExitStack() as stack:
        adds = [stack.enter_context(form.write(staging, content)) for form in forms]
        adds += [stack.enter_context(provenance_table(staging, evidence, states)), counts.add]
        for image in _images(evidence, states, settings, bare):
            paths = [form.image_path(image) for form in forms if form.image_path]
            counts.files[image.image_id] = files.put(image, paths)
            for add in adds:
                add(image)
    summary = {
        "states": states.counts(),
        **counts.summary(settings.sets),
        "notes": [
            *state_notes(states, bare),
            *split_notes(planned.settings.get("split", ""), counts.sides),
            *image_notes(settings, files),
        ],
    }
    write_lists(staging, workspace, evidence, states, counts, sorted(bare))
    facts = _facts(workspace, replace(planned, summary=summary), evidence, counts, settings)
    write_about(staging, facts, descent)
    run = replace(planned, outputs={MANIFEST: staging.write_manifest()}, summary=summary)
    write_json(staging.root / "run.json", asdict(_published(run)))
    return run


def _published(run: Run) -> Run:
    """A run as an export tells of it: not where on this machine it lies, which names its user."""
    return replace(run, settings={**run.settings, "out": ""})


def _content(workspace: Workspace, evidence: Evidence, settings: ExportSettings) -> Content:
    return Content(
        index=evidence.index,
        classes=evidence.classes,
        database=release_name(workspace),
        sets=frozenset(settings.sets),
        with_bytes=settings.images != ImagesBy.NONE,
        trainval=settings.trainval,
        looks=lambda image: looks_of(image, evidence) if settings.looks else (),
    )


def _facts(
    workspace: Workspace,
    run: Run,
    evidence: Evidence,
    counts: ExportCounts,
    settings: ExportSettings,
) -> Facts:
    bound, is_older = stated_now(workspace, newest_bound(workspace))
    return Facts(
        name=run.name,
        release=release_name(workspace),
        forms=tuple(dict.fromkeys(settings.forms)),
        counts=run.summary,
        groups=groups_of(workspace, evidence.index),
        version=settings.version,
        split=run.settings.get("split", ""),
        images=sizes_of(evidence.index, counts.objects),
        bound=bound,
        bound_is_older=is_older,
        false_finds=_false_finds(evidence, settings.consensus),
        settings=run.settings,
        inputs=inputs_of(workspace, run, evidence),
    )


def _false_finds(evidence: Evidence, rule: Rule) -> FalseFinds:
    """What is expected of them."""
    negatives = set(evidence.index.rows(source=Source.NEGATIVE)["image_id"].to_pylist())
    said = {i: given for i, given in evidence.decisions.items() if i in negatives}
    answers = settled_answers(answer_rows(said), rule, evidence.classes)
    return false_finds(said, answers, evidence.shams)


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
