"""Known positives in the queue: real contraband, to measure reviewers as they work.

They lie beside planted threats in `review/NAME/planted/`, with which they share all but how they
are made. Each is a positive as it is, under an id like the negatives'. `target` of the planted
rows is the ledger of what has been shown so: an image measures once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sixrayd.core.boxes import edge_columns
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import write_bytes
from sixrayd.core.index import Annotation, Index, load_annotations
from sixrayd.core.records import CANDIDATE_SCHEMA, Kind, Source, Split
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.openly import shown_openly
from sixrayd.detectors.lineage import lineage_of_all, split_of, unlearnt
from sixrayd.review.folder import begun_reviews
from sixrayd.review.guidance import example_images
from sixrayd.review.planting.plant import (
    can_look,
    candidates,
    check_can_look,
    detect_planted,
    new_ids,
    refuse_harm,
    size_of,
)
from sixrayd.review.planting.planted import (
    PLANTED_SCHEMA,
    planted_folder,
    planted_rows,
    remove_others,
)
from sixrayd.review.planting.worth import proof_of
from sixrayd.review.settings import PlantSettings
from sixrayd.statistics.sensitivity import known_for_width

RATES = (0.99, 0.95, 0.9)  # shares of the known that reviewers may find
WIDTHS = (2.0, 1.5, 1.25, 1.1)  # how many times wider the bound may get
_ALPHA = 0.005  # of the lower limit at 95 %


@dataclass(frozen=True, slots=True)
class KnownResult:
    """Known positives that are in the queue of a review."""

    name: str
    known: int
    detected: int  # of them, those that the mining's model fires on
    with_proposals: int  # of these, those that are shown with its boxes
    fresh: bool  # put there just now


@dataclass(frozen=True, slots=True)
class KnownPlan:
    """How many known positives a width takes."""

    name: str
    available: int
    needed: dict[str, dict[str, int]]  # by how many times wider the bound gets, by share found


def plant_known(workspace: Workspace, settings: PlantSettings) -> KnownResult:
    """Put labelled positives that nobody has learnt from among what reviewers will see.

    What is there stays. An interrupted call begins again and makes the same bytes.

    Raises:
        WorkspaceError: there is no finished mining, too few positives are left, or so few can only
            widen the bound.
    """
    name = settings.name or workspace.newest("mine")
    with workspace.lock("review"):
        folder, before = planted_folder(workspace, name), planted_rows(workspace, name)
        fresh = not any(row["kind"] == Kind.KNOWN for row in before)
        path = folder / "detections.parquet"
        seen = read_table(path, CANDIDATE_SCHEMA).to_pylist() if path.exists() else []
        if fresh:
            check_can_look(workspace, name)
            found, number = _wanted(workspace, name, settings)
            proof = proof_of(workspace, number, known=True)
            refuse_harm(proof, settings, "give a greater --number, see --plan")
            rows = list(_known(workspace, name, found, number, settings.seed))
            known = {row["image_id"] for row in before}
            remove_others(workspace, name, [*before, *rows])  # of an interrupted call
            seen = [row for row in seen if row["image_id"] in known]
            if before and not path.exists():
                seen = detect_planted(workspace, name)
            seen += detect_planted(workspace, name, rows)
            write_table(path, seen, CANDIDATE_SCHEMA)
            before = sorted([*before, *rows], key=lambda row: str(row["image_id"]))
            write_table(folder / "planted.parquet", before, PLANTED_SCHEMA)
    rows = [row for row in before if row["kind"] == Kind.KNOWN]
    detected = {row["image_id"] for row in seen}
    fired = [row for row in rows if row["image_id"] in detected]
    shown = sum(row["with_proposals"] for row in fired)
    return KnownResult(name, len(rows), len(fired), shown, fresh)


def plan_known(workspace: Workspace, settings: PlantSettings) -> KnownPlan:
    """How many known positives, with proposals and again without, a width of the bound takes.

    Raises:
        WorkspaceError: there is no finished mining.
    """
    name = settings.name or workspace.newest("mine")
    needed = {
        f"{width:g}": {f"{rate:g}": known_for_width(rate, width, _ALPHA) for rate in RATES}
        for width in WIDTHS
    }
    return KnownPlan(name, len(_available(workspace, name)), needed)


def shown_positives(workspace: Workspace) -> set[str]:
    """The ledger: images that reviewers have seen or will see, under whatever name."""
    found = {*shown_openly(workspace), *example_images(workspace)}
    for review in begun_reviews(workspace):
        for row in planted_rows(workspace, review.name):
            found.update((row["target"], row["item"].partition("/")[0]))
    return found


def _available(workspace: Workspace, name: str) -> list[Annotation]:
    """Positives with one box, one of a near-duplicate group, by image id.

    Test side, learnt from by no model, shown to no reviewer, like no negative.
    """
    if not can_look(workspace, name):
        return []
    model = workspace.run("mine", name).settings.get("model", "")
    index = Index.load(workspace, split_of(workspace, model))
    negatives = index.rows(source=Source.NEGATIVE, readable=None)["image_id"].to_pylist()
    known = lineage_of_all(workspace).images | shown_positives(workspace)
    rows = index.rows(source=Source.POSITIVE, split=Split.TEST)
    left = unlearnt(index, rows, known.union(negatives))
    annotations, groups = load_annotations(workspace), dict[str, Annotation]()
    for row in left.select(["image_id", "group", "labels"]).to_pylist():
        boxes = annotations.get(row["image_id"], ())
        if len(boxes) == 1 and set(row["labels"]) <= {boxes[0].box.label}:
            groups.setdefault(row["group"], boxes[0])
    return list(groups.values())


def _wanted(
    workspace: Workspace, name: str, settings: PlantSettings
) -> tuple[list[Annotation], int]:
    """The positives that there are, and how many of them are to be shown."""
    found = _available(workspace, name)
    flagged = len(set(candidates(workspace, name)["image_id"].to_pylist()))
    number = settings.number or int(settings.share * flagged)
    if not 0 < number <= len(found):
        raise WorkspaceError(
            f"{workspace.root}: {number} known positives wanted, {len(found)} of one box are on "
            "the test side that no model has learnt from and no reviewer has seen; see --plan, and "
            "give --number"
        )
    return found, number


def _known(
    workspace: Workspace, name: str, found: list[Annotation], number: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Write the images; rows of `PLANTED_SCHEMA`."""
    rng, index = np.random.default_rng(seed), Index.load(workspace)
    taken = {
        row["image_id"]
        for review in begun_reviews(workspace)
        for row in planted_rows(workspace, review.name)
    }
    chosen = (found[place] for place in rng.permutation(len(found))[:number].tolist())
    ids, folder = new_ids(index, taken, number, rng), planted_folder(workspace, name) / "images"
    for place, (image_id, annotation) in enumerate(zip(ids, chosen, strict=True)):
        data, record = index.read(annotation.image_id), index.record(annotation.image_id)
        write_bytes(folder / f"{image_id}.jpg", data)
        size_wh = record.width, record.height
        yield {
            "image_id": image_id,
            "kind": str(Kind.KNOWN),
            "target": annotation.image_id,
            "item": annotation.box_id,
            "label": annotation.box.label,
            **edge_columns(annotation.box.xyxy),
            "size": size_of(annotation.box.xyxy, size_wh),
            "scale": 1.0,
            "with_proposals": place % 2 == 0,
            "width": record.width,
            "height": record.height,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
