"""What is shown: images with boxes by where they come from, and what else is known of each."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import Box
from sixrayd.core.index import Annotation, Index, image_records
from sixrayd.core.records import ImageRecord, Rule, State
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import Decision

_POSITIVE = (State.SOURCE_POSITIVE, State.FOUND_POSITIVE)


@dataclass(frozen=True, slots=True)
class ShownBox:
    """A box and what to say of it; empty where it does not apply."""

    box: Box
    score: float | None = None
    model: str = ""
    origin: str = ""
    reviewer: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image to show, with a field of boxes for the release, the detector and the reviewers."""

    image_id: str
    path: str  # under which it is asked for; no file need be there
    size_wh: tuple[int, int]
    state: str
    split: str
    reason: str
    group: str
    rank: int | None  # among the candidates
    verdicts: tuple[str, ...]  # "REVIEWER: VERDICT"
    disagreement: str  # how reviewers differ or were settled
    doubts: tuple[str, ...]  # why a positive's boxes may be wrong
    leaks: tuple[str, ...]  # given splits that have its near-duplicates on both sides
    tagged: bool  # for review
    source: tuple[ShownBox, ...]
    candidates: tuple[ShownBox, ...]
    decisions: tuple[ShownBox, ...]


@dataclass(frozen=True, slots=True)
class KnownImages:
    """What is known of a release's images, by image id."""

    index: Index
    states: pa.Table  # STATE_SCHEMA, all images
    annotations: Mapping[str, tuple[Annotation, ...]]
    candidates: Mapping[str, tuple[ShownBox, ...]]
    ranks: Mapping[str, int]
    decisions: Mapping[str, tuple[Decision, ...]]  # standing ones
    doubts: Mapping[str, tuple[str, ...]]
    leaks: Mapping[str, tuple[str, ...]]
    hidden: frozenset[str] = frozenset()  # positives that are not shown
    plain: bool = True  # whether negatives are shown of which nothing is known


def collect_samples(
    known: KnownImages,
    path: Callable[[ImageRecord], str],
    most: int,
    tagged: Collection[str] = frozenset(),
) -> Iterator[ShownImage]:
    """All positives and tagged images, then others: decided ones, flagged ones by rank, the rest.

    Args:
        path: of an image, for the app.
        most: images that are neither positive nor tagged.

    Raises:
        ShardError: a shard is gone.
    """
    chosen = pa.array(_chosen(known, tagged, most), pa.string())
    told = known.states["image_id"].combine_chunks()  # of an export: those of its day
    chosen = chosen.filter(pc.is_in(chosen, told))
    rows = known.states.take(pc.index_in(chosen, told))
    table = known.index.table
    records = table.take(pc.index_in(chosen, table["image_id"].combine_chunks()))
    for record, row in zip(image_records(records), rows.to_pylist(), strict=True):
        image_id = record.image_id
        said = known.decisions.get(image_id, ())
        yield ShownImage(
            image_id=image_id,
            path=path(record),
            size_wh=(record.width, record.height),
            state=row["state"],
            split=row["split"],
            reason=row["reason"],
            group=record.group,
            rank=known.ranks.get(image_id),
            verdicts=tuple(f"{decision.reviewer}: {decision.verdict}" for decision in said),
            disagreement=settle(said, Rule.ADJUDICATOR).reason if said else "",
            doubts=known.doubts.get(image_id, ()),
            leaks=known.leaks.get(image_id, ()),
            tagged=image_id in tagged,
            source=tuple(ShownBox(a.box) for a in known.annotations.get(image_id, ())),
            candidates=known.candidates.get(image_id, ()),
            decisions=_decided(said),
        )


def shown_candidates(
    tables: Iterable[Sequence[Mapping[str, Any]]],
) -> tuple[dict[str, tuple[ShownBox, ...]], dict[str, int]]:
    """Boxes and ranks by image, of tables of candidates."""
    boxes: dict[str, tuple[ShownBox, ...]] = {}
    ranks: dict[str, int] = {}
    for row in (row for table in tables for row in table):
        shown = ShownBox(Box.from_row(row), score=row["score"], model=row["model"])
        boxes[row["image_id"]] = (*boxes.get(row["image_id"], ()), shown)
        ranks.setdefault(row["image_id"], row["rank"])
    return boxes, ranks


def leaks_of(index: Index, given: pa.Table) -> dict[str, tuple[str, ...]]:
    """Images whose near-duplicates a split has on both sides, and the names of such splits.

    Args:
        given: splits that came with the release, rows of `SPLIT_SCHEMA`.
    """
    sides = given.join(index.table.select(["image_id", "group"]), "image_id", join_type="inner")
    counts = sides.group_by(["split", "group"]).aggregate([("side", "count_distinct")])
    both = counts.filter(pc.greater(counts["side_count_distinct"], 1)).select(["split", "group"])
    rows = sides.join(both, ["split", "group"], join_type="inner").select(["image_id", "split"])
    found: dict[str, tuple[str, ...]] = {}
    for row in rows.sort_by([("image_id", "ascending"), ("split", "ascending")]).to_pylist():
        found[row["image_id"]] = (*found.get(row["image_id"], ()), row["split"])
    return found


def _chosen(known: KnownImages, tagged: Collection[str], most: int) -> list[str]:
    """Positives by id, tagged images, then decided ones, flagged ones by rank, and leaks."""
    states = known.states
    positives = [i for i in sorted(_in(states, *_POSITIVE)) if i not in known.hidden]
    first = dict.fromkeys([*positives, *(i for i in sorted(tagged) if i in known.index)])
    by_rank = sorted(known.ranks, key=lambda image_id: (known.ranks[image_id], image_id))
    others = dict.fromkeys([*known.decisions, *by_rank, *known.leaks])
    if known.plain:
        others |= dict.fromkeys(_in(states, State.UNFLAGGED)[:most])
    broken = set(_in(states, State.UNREADABLE))
    wanted = [i for i in others if i not in first and i not in broken and i in known.index]
    return [i for i in first if i not in broken] + wanted[:most]


def _in(states: pa.Table, *wanted: State) -> list[str]:
    """Images in one of these states."""
    chosen = pc.is_in(states["state"], pa.array([str(state) for state in wanted], pa.string()))
    ids: list[str] = states["image_id"].filter(chosen).to_pylist()
    return ids


def _decided(said: Iterable[Decision]) -> tuple[ShownBox, ...]:
    return tuple(
        ShownBox(
            item.box,
            origin=item.origin,
            reviewer=decision.reviewer,
            verdict=str(decision.verdict),
        )
        for decision in said
        for item in decision.boxes
    )
