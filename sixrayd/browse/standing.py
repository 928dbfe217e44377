"""Where what is shown comes from: an export, or the workspace as it stands after any stage."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.browse.samples import KnownImages, ShownBox, leaks_of, shown_candidates
from sixrayd.core.boxes import Box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_lines
from sixrayd.core.index import Annotation, Index, given_splits, load_annotations, unannotated_ids
from sixrayd.core.records import CANDIDATE_SCHEMA, Kind, Rule, Source
from sixrayd.core.tables import read_table, some_columns
from sixrayd.core.words import first_of
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.export_files import BARE, STATE_SCHEMA, STATES
from sixrayd.decisions.decision import (
    Decision,
    decision_files,
    load_decisions,
    mining_of,
    reviews_with_decisions,
    standing_decisions,
)
from sixrayd.export.states import assign_states, gather
from sixrayd.review.folder import begun_reviews
from sixrayd.review.queue.contradictions import RELEASE, contradictions

T = TypeVar("T")


def newest_export(workspace: Workspace) -> str:
    """The newest export if all that the workspace has come to is in it, else none."""
    for name in workspace.names("export")[-1:]:
        mined = [workspace.folder("mine", m) / "run.json" for m in workspace.names("mine")[-1:]]
        written = workspace.dates.of(workspace.folder("export", name) / "run.json")
        if all(workspace.dates.of(m) <= written for m in mined):
            return "" if workspace.stale("export", name) or _unexported(workspace, name) else name
    return ""


def _unexported(workspace: Workspace, export: str) -> bool:
    """Whether there are decisions that an export was not told of."""
    inputs = workspace.run("export", export).inputs
    return any(
        path.relative_to(workspace.root).as_posix() not in inputs
        for review in reviews_with_decisions(workspace)
        for path in decision_files(workspace, review)
    )


def known_of(workspace: Workspace, export: str = "") -> KnownImages:
    """What is known of all images.

    Args:
        export: whose states count; empty takes what the workspace has come to.

    Raises:
        WorkspaceError: the release has not been ingested, the export is not finished, or its
            folder is gone.
    """
    return _exported(workspace, export) if export else _as_it_stands(workspace)


def read_files(workspace: Workspace, export: str) -> Iterator[Path]:
    """The files by which one can tell whether something else is known."""
    if export:
        yield workspace.folder("export", export) / "run.json"
        return
    yield workspace.shards / "run.json"
    yield from (workspace.folder("mine", name) / "run.json" for name in _minings(workspace))
    for review in reviews_with_decisions(workspace):
        yield from decision_files(workspace, review)
    yield from sorted(workspace.folder("review").glob("[!.]*/tasks.parquet"))


def _minings(workspace: Workspace) -> list[str]:
    """Those that reviews were made of, and the newest."""
    reviewed = (mining_of(workspace, name) for name in reviews_with_decisions(workspace))
    return list(dict.fromkeys(filter(None, [*reviewed, *workspace.names("mine")[-1:]])))


def _as_it_stands(workspace: Workspace) -> KnownImages:
    newest = next(iter(workspace.names("mine")[-1:]), "")
    evidence = gather(workspace, reviews_with_decisions(workspace), str, unreviewed=newest)
    states = assign_states(evidence, Rule.ADJUDICATOR).table
    return _known(workspace, evidence.index, states, _minings(workspace), evidence.decisions)


def _exported(workspace: Workspace, export: str) -> KnownImages:
    run = workspace.run("export", export)
    tree = Path(run.settings["out"] or workspace.folder("export", export))
    states = tree / STATES
    for path in (states, tree / BARE):
        if not path.exists():
            raise WorkspaceError(f"{path}: missing; run `sixrayd export --voc` again")
    reviews = run.settings["review"]
    decisions = standing_decisions(d for r in reviews for d in load_decisions(workspace, r))
    reviewed = [mining_of(workspace, review) for review in reviews]
    read = [n for n in workspace.names("mine") if f"mine/{n}/run.json" in run.inputs]
    index, table = Index.load(workspace), some_columns(states, STATE_SCHEMA)
    ids = table["image_id"]
    if strange := ids.filter(pc.invert(pc.is_in(ids, index.table["image_id"]))).to_pylist():
        raise WorkspaceError(
            f"{states}: {first_of(strange)}, expected images of the release; run `sixrayd export "
            "--voc` again"
        )
    return _known(
        workspace,
        index,
        table,
        list(dict.fromkeys(filter(None, [*reviewed, *read]))),
        decisions,
        hidden=frozenset(plain_lines(tree / BARE)),
        plain=False,
    )


def _known(
    workspace: Workspace,
    index: Index,
    states: pa.Table,
    minings: list[str],
    decisions: Mapping[str, tuple[Decision, ...]],
    **more: Any,
) -> KnownImages:
    paths = [workspace.folder("mine", mining) / "candidates.parquet" for mining in minings]
    boxes, ranks = shown_candidates(
        read_table(path, CANDIDATE_SCHEMA).to_pylist() for path in paths
    )
    annotations = load_annotations(workspace)
    doubts, disputing = _doubts(workspace, index, annotations)
    leaks = leaks_of(index, given_splits(workspace))
    return KnownImages(
        index, states, annotations, disputing | boxes, ranks, decisions, doubts, leaks, **more
    )


def _doubts(
    workspace: Workspace, index: Index, annotations: Mapping[str, tuple[Annotation, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[ShownBox, ...]]]:
    """Why boxes of positives may be wrong, and the detections that dispute them, by image."""
    unknown = unannotated_ids(workspace)
    found: dict[str, list[str]] = defaultdict(list)
    for record in index.select(source=Source.POSITIVE):
        boxes = annotations.get(record.image_id, ())
        found[record.image_id] += contradictions(record, boxes, record.image_id in unknown)
    disputing: dict[str, list[ShownBox]] = defaultdict(list)
    for folder in begun_reviews(workspace):
        sent = {row["image_id"] for row in folder.tasks() if row["kind"] == Kind.POSITIVE}
        rows = [row for row in folder.candidates() if row["image_id"] in sent]
        for row in rows:
            if row["model"] != RELEASE:
                box = Box.from_row(row)
                shown = ShownBox(box, score=row["score"], model=row["model"])
                disputing[row["image_id"]].append(shown)
                found[row["image_id"]].append(f"{row['model']} sees {box.label}")
    return _by_image(found), _by_image(disputing)


def _by_image(found: Mapping[str, Sequence[T]]) -> dict[str, tuple[T, ...]]:
    return {image_id: tuple(items) for image_id, items in found.items() if items}
