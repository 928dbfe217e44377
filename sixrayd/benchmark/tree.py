"""Taking in a VOC tree: its images become shards that training and the benchmark both read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.classes import ClassList, check_few
from sixrayd.core.errors import AnnotationError, ReleaseError, WorkspaceError
from sixrayd.core.files import TOO_MUCH, Reading, check_lines, plain_bytes, why
from sixrayd.core.image_ids import image_id
from sixrayd.core.progress import progress
from sixrayd.core.records import (
    ANNOTATION_SCHEMA,
    EMPTY_SETS,
    INDEX_SCHEMA,
    NEAR_BITS,
    Source,
    Split,
)
from sixrayd.core.shards import MAX_IMAGE_BYTES, ShardWriter
from sixrayd.core.table_builder import TableBuilder
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.voc import MAX_BYTES, VocAnnotation, names_in, read_voc
from sixrayd.core.workspace import Run, Workspace
from sixrayd.datasets.image_lists import listed_lines
from sixrayd.datasets.labels import LIMITS
from sixrayd.datasets.places import IMAGES
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import duplicate_groups, image_hash

# Boxes by who is behind them: the release, or people whom mining led to the image.
ORIGIN_SCHEMA = pa.schema(
    [
        pa.field("box_id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
    ]
)
SET_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("set", pa.string(), nullable=False),  # of `EMPTY_SETS`
    ]
)
_SOURCE = "source"


@contextmanager
def _whole() -> Iterator[None]:
    """What is gone, a link to nowhere, or a folder in a file's place, is told; also a decorator.

    Raises:
        WorkspaceError: there was such a file.
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        path = Path(error.filename)
        raise WorkspaceError(
            f"{path}: {why(error, path)}; put it in its place, or take it out of the tree"
        ) from error


@dataclass(frozen=True, slots=True)
class VocTree:
    """The folders of a VOC tree.

    Raises:
        WorkspaceError: a folder or `ImageSets/Main/test.txt` is missing.
    """

    root: Path  # holds Annotations, ImageSets and JPEGImages

    def __post_init__(self) -> None:
        for part in ("Annotations", "JPEGImages", "ImageSets/Main/test.txt"):
            if not (self.root / part).exists():
                raise WorkspaceError(
                    f"{self.root / part}: missing; `sixrayd benchmark` needs a VOC tree with "
                    "Annotations, JPEGImages and a list of test images"
                )

    @classmethod
    def find(cls, folder: Path) -> "VocTree":
        """The tree in a folder, which may be the tree, its parent or `VOCdevkit`'s."""
        inner = folder / "VOC2007"
        return cls(inner if inner.is_dir() else folder)

    @_whole()
    def ids(self, *sets: str) -> list[str]:
        """Image ids of the first of these sets that the tree has; none where it has none."""
        for name in sets:
            path = self.root / "ImageSets" / "Main" / f"{name}.txt"
            if path.exists():
                data = plain_bytes(path, LIMITS[".txt"])
                check_lines(data, path)
                return [name for _, name in listed_lines(data)]
        return []

    def sides(self) -> dict[str, Split]:
        """Image id → its side, empty sets included; an id on both sides is an error."""
        test = dict.fromkeys(self.ids("test"), Split.TEST)
        learnt = dict.fromkeys(self.ids("trainval", "train"), Split.TRAIN)
        for name in self.empty_sets():
            test |= dict.fromkeys(self.ids(f"{name}_test"), Split.TEST)
            learnt |= dict.fromkeys(self.ids(f"{name}_train"), Split.TRAIN)
        both = sorted(test.keys() & learnt.keys())
        if both:
            raise WorkspaceError(
                f"{self.root}: {len(both)} images are in the training and the test list, "
                f"first {both[0]}; take them out of one"
            )
        return learnt | test

    def empty_sets(self) -> dict[str, list[str]]:
        """Sets of images that hold nothing, as our exports have them: name → image ids."""
        # A class of that name would have lists by side alone.
        return {name: ids for name in EMPTY_SETS if (ids := self.ids(name))}

    def sides_by(self, table: pa.Table, split: str) -> dict[str, Split]:
        """Image id → its side, for the images of the tree that are on one.

        Args:
            table: with columns `image_id` and `split`.
            split: names it in messages.
        """
        table = table.select(["image_id", "split"])
        rows = table.filter(pc.is_in(table["image_id"], pa.array(self.images(), pa.string())))
        sides = zip(*rows.to_pydict().values(), strict=True)
        if not (found := {image_id: Split(side) for image_id, side in sides if side}):
            raise WorkspaceError(f"{self.root}: split {split} lists none of its images")
        return found

    @_whole()
    def images(self) -> dict[str, Path]:
        """Image id → file.

        Raises:
            ReleaseError: a name cannot serve as an id, or is two files'.
        """
        files = sorted((self.root / "JPEGImages").iterdir())
        found: dict[str, Path] = {}
        for path in (path for path in files if path.suffix.lower() in IMAGES):
            if (first := found.setdefault(path.stem, path)) != path:
                raise ReleaseError(
                    f"{path.parent}: {first.name} and {path.name} are both image {path.stem}, "
                    "expected one; take the other out"
                )
        for name, path in found.items():
            try:
                image_id(name)
            except ReleaseError as error:
                raise ReleaseError(f"{path.parent}: {error}") from error
        return found

    @_whole()
    def fingerprint(self) -> str:
        """SHA-256 over names, sizes and times of all files: whether anything has changed."""
        digest = hashlib.sha256()
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            for path in sorted((self.root / part).iterdir()):
                stat = path.stat()
                digest.update(f"{part}/{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    @_whole()
    def labels(self) -> tuple[str, ...]:
        """Class names as the annotations spell them, sorted."""
        names: set[str] = set()
        reading = Reading()
        for path in sorted((self.root / "Annotations").glob("*.xml")):
            if path.stat().st_size > MAX_BYTES:
                continue  # reported when it is read
            names.update(names_in(_taken(path, MAX_BYTES, reading), path.name))
        return tuple(sorted(names))


def ingest_of(
    tree: VocTree,
    classes: ClassList,
    distance: int = NEAR_BITS,
    sides: Mapping[str, Split] | None = None,
) -> Run:
    """What `ingest` would begin, which is done where the same is finished."""
    settings = {
        "tree": str(tree.root.resolve()),
        "fingerprint": tree.fingerprint(),
        "classes": list(classes.names),
        "distance": distance,
    }
    if sides is not None:
        settings["sides"] = hashlib.sha256(json.dumps(sorted(sides.items())).encode()).hexdigest()
    return Run("shards", "", settings, {})


def ingest(
    tree: VocTree,
    workspace: Workspace,
    classes: ClassList,
    distance: int = NEAR_BITS,
    sides: Mapping[str, Split] | None = None,
) -> Run:
    """Shards, index and annotations of a tree; an unchanged tree is not read again.

    An image whose annotation names no object is a negative; one without an annotation is left
    out, since a missing annotation is not an empty one.

    Args:
        distance: bits in which hashes of near-duplicates may differ; they form the groups that
            intervals are drawn over, as those of an ingest do.
        sides: image id → its side; None takes the tree's lists.

    Raises:
        WorkspaceError: the lists name an image that the tree does not have, or it was changed
            meanwhile.
        AnnotationError, ImageError: a file cannot be used.
    """
    run = ingest_of(tree, classes, distance, sides)
    settings = run.settings
    if not workspace.begin(run):
        return workspace.run("shards")
    rows, boxes, origins, skipped = _read(
        tree, workspace, classes, tree.sides() if sides is None else sides
    )
    sets = [{"image_id": i, "set": name} for name, ids in tree.empty_sets().items() for i in ids]
    if tree.fingerprint() != settings["fingerprint"]:
        raise WorkspaceError(
            f"{tree.root}: was changed while it was read, expected to stay as it is; wait until it "
            "has been written, then run the same command again"
        )
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["image_id"])))
    ids = table["image_id"].combine_chunks()
    groups = duplicate_groups(table["phash"].combine_chunks(), distance)  # (N,)
    table = table.append_column("group", ids.take(pa.array(groups))).select(INDEX_SCHEMA.names)
    write_table(workspace.shards / "index.parquet", table, INDEX_SCHEMA)
    write_table(workspace.shards / "annotations.parquet", boxes, ANNOTATION_SCHEMA)
    write_table(workspace.shards / "origins.parquet", origins, ORIGIN_SCHEMA)
    write_table(workspace.shards / "sets.parquet", sets, SET_SCHEMA)
    summary = {
        "images": len(rows),
        "boxes": len(boxes),
        "without_annotation": skipped,
        "groups_on_both_sides": _crossing(groups, table["split"].to_pylist()),
    }
    finished = Run("shards", "", settings, {}, summary=summary)
    workspace.finish(finished)
    return finished


def load_origins(workspace: Workspace) -> dict[str, str]:
    """Box id → origin, for the boxes that do not come from the release."""
    rows = read_table(workspace.shards / "origins.parquet", ORIGIN_SCHEMA).to_pylist()
    return {row["box_id"]: row["origin"] for row in rows if row["origin"] != _SOURCE}


def load_sets(workspace: Workspace) -> dict[str, str]:
    """Image id → its set, for images that hold nothing; none of a tree that says no such thing."""
    path = workspace.shards / "sets.parquet"
    rows = read_table(path, SET_SCHEMA).to_pylist() if path.exists() else []
    return {row["image_id"]: row["set"] for row in rows}


@_whole()
def _read(
    tree: VocTree, workspace: Workspace, classes: ClassList, sides: Mapping[str, Split]
) -> tuple[list[dict[str, Any]], pa.Table, pa.Table, int]:
    images = tree.images()
    missing = sorted(sides.keys() - images.keys())
    if missing:
        raise WorkspaceError(
            f"{tree.root / 'JPEGImages'}: {len(missing)} listed images are missing, "
            f"first {missing[0]}"
        )
    boxes, origins = TableBuilder(ANNOTATION_SCHEMA), TableBuilder(ORIGIN_SCHEMA)
    rows, skipped, reading = [], 0, Reading()
    with ShardWriter(workspace.shards, "images") as writer, progress() as bar:
        task = bar.add_task("reading the tree", total=len(sides), note="")
        for image_id in sorted(sides):
            bar.advance(task)
            data = _taken(images[image_id], MAX_IMAGE_BYTES, reading)
            pixels = decode_rgb(data, str(images[image_id]))
            size_wh = (pixels.shape[1], pixels.shape[0])
            path = tree.root / "Annotations" / f"{image_id}.xml"
            if not path.exists():
                skipped += 1
                continue
            annotation = _annotation(path, classes, size_wh, reading)
            shard, offset, size = writer.add(image_id, data)
            rows.append(
                {
                    "image_id": image_id,
                    "shard": shard,
                    "offset": offset,
                    "size": size,
                    "width": size_wh[0],
                    "height": size_wh[1],
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "phash": image_hash(data, image_id),
                    "split": str(sides[image_id]),
                    "source": str(Source.POSITIVE if annotation.objects else Source.NEGATIVE),
                    "labels": sorted({item.box.label for item in annotation.objects}),
                    "error": "",
                }
            )
            for box, origin in _box_rows(annotation):
                boxes.add(box)
                origins.add({"box_id": box["box_id"], "origin": origin})
    return rows, boxes.table(), origins.table(), skipped


@_whole()
def _taken(path: Path, most: int, reading: Reading) -> bytes:
    """A file's bytes, which come to lie in a shard, holes and what is linked often as well."""
    if not reading.takes(path):
        raise WorkspaceError(f"{path}: {TOO_MUCH} in the tree; put files of their own there")
    return plain_bytes(path, most)


def _annotation(
    path: Path, classes: ClassList, size_wh: tuple[int, int], reading: Reading
) -> VocAnnotation:
    try:
        return read_voc(_taken(path, MAX_BYTES, reading), path.name, classes, size_wh)
    except AnnotationError as error:
        raise AnnotationError(f"{path.parent}: {error}") from error


def _box_rows(annotation: VocAnnotation) -> Iterator[tuple[dict[str, Any], str]]:
    for number, item in enumerate(annotation.objects):
        row = {
            "box_id": f"{annotation.stem}/a{number}",
            "image_id": annotation.stem,
            **item.box.as_row(),
            "difficult": item.difficult,
            "truncated": item.truncated,
        }
        yield row, item.provenance.origin if item.provenance else _SOURCE


def _crossing(groups: np.ndarray, sides: list[str]) -> int:  # type: ignore[type-arg]
    seen: dict[int, set[str]] = {}
    for group, side in zip(groups.tolist(), sides, strict=True):
        seen.setdefault(group, set()).add(side)
    return sum(len(found) > 1 for found in seen.values())


def tree_classes(
    tree: VocTree, wanted: tuple[str, ...], known: ClassList | None = None
) -> ClassList:
    """The classes to benchmark: those wanted, else those known if they cover what the annotations
    name, else what the annotations name.

    Args:
        known: classes of the workspace's own release; weights keep their order.

    Raises:
        WorkspaceError: the annotations name no class.
        AnnotationError: they name more than are told apart.
    """
    if wanted:
        return ClassList(wanted)
    labels = tree.labels()
    if not labels:
        raise WorkspaceError(f"{tree.root / 'Annotations'}: no object in any annotation")
    if known and all(map(known.covers, labels)):
        return known
    check_few(labels, str(tree.root / "Annotations"))
    return ClassList(labels)
