"""What is shown of an export: images with boxes by where they come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sixrayd.core.boxes import Box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_bytes, plain_text, read_table, some_columns, write_bytes
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import CANDIDATE_SCHEMA, ImageRecord, State
from sixrayd.core.shards import extension
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.decision import Decision, load_decisions, mining_of, standing_decisions
from sixrayd.imaging.decode import browsable

_IMAGES = Path("VOC2007/JPEGImages")  # in the export
_BARE = "positives_without_boxes.txt"
_STATE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("image_id", "state", "split", "reason")]
)
_UNPACKED = Path("browse/media")  # in the workspace
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
    path: Path  # of the image file
    size_wh: tuple[int, int]
    state: str
    split: str
    reason: str
    rank: int | None  # among the candidates
    verdicts: tuple[str, ...]  # "REVIEWER: VERDICT"
    source: tuple[ShownBox, ...]
    candidates: tuple[ShownBox, ...]
    decisions: tuple[ShownBox, ...]


@dataclass(frozen=True, slots=True)
class _Sources:
    export: Run
    tree: Path
    index: Index
    candidates: Mapping[str, tuple[ShownBox, ...]]  # by image, in order of rank
    ranks: Mapping[str, int]
    decisions: Mapping[str, tuple[Decision, ...]]


def collect_samples(workspace: Workspace, export: str, max_negatives: int) -> list[ShownImage]:
    """All positives with boxes, and decided or flagged images that are none, the best ranked first.

    Images that the export does not hold, or that a browser would turn, are unpacked into
    `browse/media/`.

    Args:
        max_negatives: most images that are not positive.

    Raises:
        WorkspaceError: the export is not finished, or its folder is gone.
        ShardError: a shard has changed since the ingest.
    """
    sources = _read(workspace, export)
    states = some_columns(_states(sources.tree), _STATE_SCHEMA)
    rows = {row["image_id"]: row for row in states.to_pylist()}
    annotations = load_annotations(workspace)
    samples = []
    for image_id in _chosen(sources, rows, max_negatives):
        record = sources.index.record(image_id)
        row = rows[image_id]
        said = sources.decisions.get(image_id, ())
        samples.append(
            ShownImage(
                image_id=image_id,
                path=_media(workspace, sources, record),
                size_wh=(record.width, record.height),
                state=row["state"],
                split=row["split"],
                reason=row["reason"],
                rank=sources.ranks.get(image_id),
                verdicts=tuple(f"{decision.reviewer}: {decision.verdict}" for decision in said),
                source=tuple(ShownBox(a.box) for a in annotations.get(image_id, ())),
                candidates=sources.candidates.get(image_id, ()),
                decisions=_decided(said),
            )
        )
    return samples


def media_folders(workspace: Workspace, export: str) -> tuple[Path, Path]:
    """The folders that hold all images that are shown; a link in their place leads nowhere."""
    tree = _tree(workspace, export)
    return tree.resolve() / _IMAGES, workspace.root.resolve() / _UNPACKED


def _tree(workspace: Workspace, export: str) -> Path:
    out = workspace.run("export", export).settings["out"]
    return Path(out or workspace.folder("export", export))


def _read(workspace: Workspace, export: str) -> _Sources:
    run = workspace.run("export", export)
    tree = _tree(workspace, export)
    reviews = run.settings["review"]
    decisions = (d for review in reviews for d in load_decisions(workspace, review))
    boxes: dict[str, tuple[ShownBox, ...]] = {}
    ranks: dict[str, int] = {}
    minings = filter(None, (mining_of(workspace, review) for review in reviews))
    for mining in dict.fromkeys(minings):
        path = workspace.folder("mine", mining) / "candidates.parquet"
        for row in read_table(path, CANDIDATE_SCHEMA).to_pylist():
            shown = ShownBox(Box.from_row(row), score=row["score"], model=row["model"])
            boxes[row["image_id"]] = (*boxes.get(row["image_id"], ()), shown)
            ranks.setdefault(row["image_id"], row["rank"])
    index = Index.load(workspace)
    return _Sources(run, tree, index, boxes, ranks, standing_decisions(decisions))


def _states(tree: Path) -> Path:
    path = tree / "states.parquet"
    if not path.exists():
        raise WorkspaceError(f"{path}: missing; run `sixrayd export --voc` again")
    return path


def _chosen(
    sources: _Sources, rows: Mapping[str, Mapping[str, str]], max_negatives: int
) -> list[str]:
    """Positives by id, then decided images, then flagged ones by rank."""
    bare = set(plain_text(sources.tree / _BARE).splitlines())
    positives = [
        image_id
        for image_id in sorted(rows)
        if rows[image_id]["state"] in _POSITIVE and image_id not in bare
    ]
    by_rank = sorted(sources.ranks, key=lambda image_id: (sources.ranks[image_id], image_id))
    others = dict.fromkeys([*sources.decisions, *by_rank])
    unwanted = {*positives, *(i for i in rows if rows[i]["state"] == State.UNREADABLE)}
    wanted = [i for i in others if i in rows and i not in unwanted]
    return positives + wanted[:max_negatives]


def _media(workspace: Workspace, sources: _Sources, record: ImageRecord) -> Path:
    suffixes = (".jpg", ".png", ".bmp", ".webp")
    for suffix in suffixes:
        path = sources.tree / _IMAGES / (record.image_id + suffix)
        # A link leads out of the folders that may be shown.
        if path.exists() and not path.is_symlink() and path.stat().st_size == record.size:
            data = plain_bytes(path)
            if browsable(data, record.image_id) == data:
                return path
    data = browsable(sources.index.read(record.image_id), record.image_id)
    path = workspace.root / _UNPACKED / (record.image_id + extension(data))
    if not path.exists() or plain_bytes(path) != data:
        write_bytes(path, data)
    return path


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
