"""The tables of an export, held small, and what they must say of each other."""

import bisect
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import EDGES
from sixrayd.core.classes import ClassList
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import SixraydError, WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.records import EMPTY_SETS, Split, State
from sixrayd.core.runs import read_record
from sixrayd.core.tables import column_batches, read_table
from sixrayd.core.voc import MAX_OBJECTS
from sixrayd.datasets.export_files import (
    BOXES,
    DATASET,
    IMAGE_SCHEMA,
    IMAGES,
    PROVENANCE_SCHEMA,
    SPLITS,
)
from sixrayd.validate.faults import FaultList

POSITIVE = (str(State.SOURCE_POSITIVE), str(State.FOUND_POSITIVE))
_BOX = struct.Struct("<i4d2?")  # class, edges, difficult, truncated
_BOX_COLUMNS = pa.schema(
    [
        PROVENANCE_SCHEMA.field(name)
        for name in (
            *("image_id", "object", "label", *EDGES, "difficult", "truncated"),
            *("split", "state", "origin"),
        )
    ]
)
_ROWS = 10_000  # in memory at once
_MOST_TEXT = 64 << 20  # bytes of lists
_MOST_FILES = 100  # of one image: a row is looked at again and again

BoxRow = tuple[str, float, float, float, float, bool, bool]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What `images.parquet` says of one image."""

    row: int
    image_id: str
    sha256: str
    size: int
    width: int
    height: int
    split: str
    state: str
    exported: bool
    boxes: int
    files: list[str]


class ImageTable:
    """`images.parquet`, in Arrow.

    Args:
        table: of `IMAGE_SCHEMA`, sorted by id.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()
        names = (name for name in ImageRow.__slots__ if name != "row")
        self._columns = {name: self.table[name].combine_chunks() for name in names}
        self._ids = self._columns["image_id"]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def find(self, image_id: str) -> ImageRow | None:
        """The row of an image."""
        ids = self._ids
        row = bisect.bisect_left(range(len(ids)), image_id, key=lambda i: ids[i].as_py())
        if row == len(ids) or ids[row].as_py() != image_id:
            return None
        return self.at(row)

    def at(self, row: int) -> ImageRow:
        """A row by its number."""
        return ImageRow(row, **{name: held[row].as_py() for name, held in self._columns.items()})

    def where(self, **wanted: Any) -> pa.ChunkedArray:
        """Ids of the rows with these values, sorted; a tuple stands for any of its values."""
        return self._ids.filter(pa.array(self.marks(**wanted)))

    def marks(self, **wanted: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(N,) bool: the rows with these values."""
        found = np.ones(len(self), bool)
        for name, value in wanted.items():
            values = pa.array(value if isinstance(value, tuple) else (value,))
            found &= np.asarray(pc.is_in(self.table[name], values), dtype=bool)
        return found


@dataclass(slots=True)
class ExportTables:
    """What an export's tables and `dataset.json` say.

    Args:
        document: of `dataset.json`; empty where there is none.
        boxes: image id → its boxes, packed.
        counted: what the tables amount to, as `dataset.json` has it.
    """

    document: Mapping[str, Any]
    images: ImageTable
    classes: tuple[str, ...]
    boxes: dict[str, bytearray] = field(default_factory=dict)
    counted: dict[str, Any] = field(default_factory=dict)

    def boxes_of(self, image_id: str) -> list[BoxRow]:
        """The boxes of an image, in order."""
        found = _BOX.iter_unpack(self.boxes.get(image_id, b""))
        return [(self.classes[number], *rest) for number, *rest in found]


def own_file(place: Path, path: str) -> Path | None:
    """A file of the export; None where nothing is there, or a link leads out."""
    found = (place / path).resolve()
    return found if found.is_file() and found.is_relative_to(place.resolve()) else None


def read_document(place: Path, path: str, faults: FaultList) -> dict[str, Any]:
    """A JSON object of an export; empty where there is none."""
    file = own_file(place, path)
    if file is None:
        return {}
    try:
        lists = path == SPLITS  # which a large release makes long
        said = parse_json(plain_text(file, _MOST_TEXT)) if lists else read_record(file)
        if not isinstance(said, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as error:
        faults.add(path, "", f"what cannot be read ({error})", "a JSON object")
        return {}
    return said


def load_tables(
    place: Path, faults: FaultList, report: Callable[[str, int, int], None]
) -> ExportTables | None:
    """The tables, checked one by one; None where they are missing or broken.

    Args:
        report: told of progress: of what, how much is done, of how much (0: unknown).
    """
    document = read_document(place, DATASET, faults)
    file, boxes = own_file(place, IMAGES), own_file(place, BOXES)
    if not document or file is None or boxes is None:
        return None
    if (classes := _classes(document, faults)) is None:
        return None
    try:
        images = ImageTable(read_table(file, IMAGE_SCHEMA))
    except WorkspaceError as error:
        faults.add(IMAGES, "", f"what cannot be read ({error})", "a table of images")
        return None
    ids = images.table["image_id"]
    if len(ids) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
        faults.add(IMAGES, "image_id", "ids out of order or twice", "each id once, sorted")
        return None
    if pc.any(pc.greater(pc.list_value_length(images.table["files"]), _MOST_FILES)).as_py():
        faults.add(IMAGES, "files", f"more than {_MOST_FILES} of an image", "one in each form")
        return None
    tables = ExportTables(document, images, classes)
    _check_images(images, str(document.get("split", "")), faults)
    try:
        _take_boxes(boxes, tables, faults, report)
    except WorkspaceError as error:
        faults.add(BOXES, "", f"what cannot be read ({error})", "a table of boxes")
        return None
    _check_box_counts(tables, faults)
    tables.counted |= _counts(tables)
    return tables


def _classes(document: Mapping[str, Any], faults: FaultList) -> tuple[str, ...] | None:
    """Names that are usable, in order."""
    said = document.get("classes")
    try:
        return ClassList(tuple(map(str, said if isinstance(said, list) else ()))).names
    except SixraydError as error:
        faults.add(DATASET, "classes", f"no usable names ({error})", "those of the boxes")
        return None


def _check_images(images: ImageTable, split: str, faults: FaultList) -> None:
    table = images.table
    for name, known in (("state", State), ("split", ("", *Split))):
        values = pa.array([str(value) for value in known])
        odd = table.filter(pc.invert(pc.is_in(table[name], values)))
        for number in faults.told(IMAGES, range(len(odd))):
            row = odd.slice(number, 1).to_pylist()[0]
            expected = f"one of {', '.join(map(str, known))}".replace("of ,", "of none,")
            faults.add(IMAGES, row["image_id"], f"{name} {row[name]!r}", expected)
    readable = images.marks(state=tuple(str(s) for s in State if s != State.UNREADABLE))
    sides = [np.asarray(table[name]) for name in ("width", "height")]
    for row in faults.told(IMAGES, np.flatnonzero(readable & (np.minimum(*sides) < 1))):
        at = images.at(row)
        found = f"{at.width} x {at.height}"
        faults.add(IMAGES, at.image_id, found, "1 pixel or more of an image that can be read")
    if not split:  # a given one may cut groups
        for group, on in _sides_of_groups(table, faults):
            faults.add(IMAGES, f"group {group}", on, "one side of the split for the whole group")


def _sides_of_groups(table: pa.Table, faults: FaultList) -> Iterator[tuple[str, str]]:
    """Groups that lie on both sides, and the sides."""
    sides = table.filter(pc.not_equal(table["split"], "")).select(["group", "split"])
    found = sides.group_by("group").aggregate([("split", "distinct")])
    both = found.filter(pc.greater(pc.list_value_length(found["split_distinct"]), 1))
    for row in both.slice(0, len(faults.told(IMAGES, range(len(both))))).to_pylist():
        yield row["group"], " and ".join(sorted(row["split_distinct"]))


def _take_boxes(
    path: Path, tables: ExportTables, faults: FaultList, report: Callable[[str, int, int], None]
) -> None:
    """Check each box by its image, and keep it."""
    numbers = {label: n for n, label in enumerate(tables.classes)}
    origins: Counter[str] = Counter()
    by_class: Counter[tuple[str, str]] = Counter()
    image: ImageRow | None = None
    for done, row in enumerate(_rows(path)):
        if done % _ROWS == 0:
            report("boxes in the tables", done, 0)
        at = f"{row['image_id']}: object {row['object']}"
        if image is None or image.image_id != row["image_id"]:
            image = tables.images.find(row["image_id"])
        for found, expected in _box_faults(row, image, numbers):
            faults.add(BOXES, at, found, expected)
        if image is None or row["label"] not in numbers:
            continue
        origins[row["origin"]] += 1
        by_class[row["label"], row["split"]] += 1
        packed = tables.boxes.setdefault(image.image_id, bytearray())
        number = len(packed) // _BOX.size + 1
        if row["object"] != number:
            faults.add(BOXES, at, row["object"], number)
        if number > MAX_OBJECTS:
            faults.add(BOXES, at, "one of more", f"at most {MAX_OBJECTS:,} of an image")
            continue
        edges, flags = (row[edge] for edge in EDGES), (row["difficult"], row["truncated"])
        packed += _BOX.pack(numbers[row["label"]], *edges, *flags)
    tables.counted["origins"] = dict(sorted(origins.items()))
    tables.counted["boxes"] = {
        label: {f"{side}_boxes": by_class[label, side] for side in Split} for label in numbers
    }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for batch in column_batches(path, _BOX_COLUMNS, _ROWS):
        yield from batch.to_pylist()


def _box_faults(
    row: Mapping[str, Any], image: ImageRow | None, numbers: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a box, and what was expected."""
    if image is None:
        yield "a box of an image that images.parquet does not have", "one of its images"
        return
    if row["label"] not in numbers:
        yield f"class {row['label']!r}", f"one of {', '.join(numbers)}"
    x1, y1, x2, y2 = edges = tuple(row[edge] for edge in EDGES)
    if not (0 <= x1 < x2 <= image.width and 0 <= y1 < y2 <= image.height):
        yield f"box {edges}", f"a box inside of {image.width} x {image.height} pixels"
    for name in ("state", "split"):
        if row[name] != getattr(image, name):
            yield f"{name} {row[name]!r}", f"{getattr(image, name)!r}, as images.parquet has it"
    if image.state not in POSITIVE:
        yield f"a box of an image that is {image.state}", "boxes of positives alone"


def _check_box_counts(tables: ExportTables, faults: FaultList) -> None:
    said = np.asarray(tables.images.table["boxes"])
    ids = tables.images.table["image_id"].to_pylist()
    found = np.array([len(tables.boxes.get(image_id, b"")) // _BOX.size for image_id in ids])
    for row in faults.told(IMAGES, np.flatnonzero(found != said)):
        expected = f"{found[row]}, as provenance.parquet has"
        faults.add(IMAGES, ids[row], f"{said[row]} boxes", expected)


def _counts(tables: ExportTables) -> dict[str, Any]:
    """States, images by side, sets and groups as the tables have them; images of each class."""
    images, table = tables.images, tables.images.table
    holding: Counter[tuple[str, str]] = Counter()
    for image_id, packed in tables.boxes.items():
        if row := images.find(image_id):
            shown = {box[0] for box in _BOX.iter_unpack(packed)}
            holding.update((tables.classes[number], row.split) for number in shown)
    for label, counts in tables.counted["boxes"].items():
        counts |= {f"{side}_images": holding[label, side] for side in Split}
    states = Counter(table["state"].to_pylist())
    said = tables.document.get("counts")
    sets = said.get("sets") if isinstance(said, dict) else None
    return {
        "states": {str(state): states[str(state)] for state in State},
        "images": _by_side(images, POSITIVE),
        "sets": {
            name: _by_side(images, str(EMPTY_SETS[name]))
            for name in (sets if isinstance(sets, dict) else ())
            if name in EMPTY_SETS
        },
    }


def _by_side(images: ImageTable, state: Any) -> dict[str, int]:
    return {
        str(side): int(images.marks(state=state, exported=True, split=str(side)).sum())
        for side in Split
    }
