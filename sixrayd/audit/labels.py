"""Labels that are missing or contradict each other, and what the ingest found in them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.audit.found import found
from sixrayd.audit.tables import IngestTables, Marks, Rows, marks
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ADVICE
from sixrayd.core.findings import Flaw
from sixrayd.datasets.places import IMAGES, suffix_of
from sixrayd.datasets.sides import image_of

# How the words for a fault begin of which an earlier version named no kind → its kind.
_KINDS_BY_WORDS = {
    "listed by the image sets, not in the release": Flaw.MISSING_IMAGE,
    "in no image set, ": Flaw.UNLISTED_IMAGE,
    "an annotation without an image": Flaw.STRAY_ANNOTATION,
}
_KINDS = frozenset(map(str, Flaw))
_AT_ONCE = 1 << 16  # faults
_OF_ONE_IMAGE = IMAGES | {".xml"}
# Told from the tables, whatever the ingest said: a fix changes them.
_TOLD_BY_TABLES = pa.array([str(flaw) for flaw in (Flaw.NO_OBJECT, Flaw.REPEATED_BOX)])


def label_findings(tables: IngestTables, classes: ClassList) -> Iterator[pa.Table]:
    """What the labels of images lack, and where two of them disagree."""
    ids = tables.index.table["image_id"]
    positive = tables.positive
    boxed = np.zeros(len(ids), bool)
    boxed[tables.image] = True
    yield found(Flaw.UNANNOTATED, tables.unannotated, "no annotation that can be used")
    known = ~marks(pc.is_in(ids, tables.unannotated))
    boxless = ids.filter(pa.array(positive & ~boxed & known))
    yield found(Flaw.NO_OBJECT, boxless, "a positive whose annotation holds no usable box")
    surprising = ids.filter(pa.array(~positive & boxed))
    yield found(Flaw.BOXED_NEGATIVE, surprising, "the release calls it negative")
    yield _disagreeing(tables, classes, positive & boxed)


def ingest_findings(tables: IngestTables) -> Iterator[pa.Table]:
    """What the ingest found in annotations and image sets, and what it passed over."""
    noted = tables.noted.filter(pc.invert(pc.is_in(tables.noted["flaw"], _TOLD_BY_TABLES)))
    known = pa.array([str(flaw) for flaw in Flaw])
    for flaw in Flaw:
        rows = noted.filter(pc.equal(noted["flaw"], str(flaw)))
        if len(rows):
            yield found(flaw, rows["image_id"], rows["text"], where=rows["where"])
    rows = noted.filter(pc.invert(pc.is_in(noted["flaw"], known)))
    yield found(Flaw.NOTE, rows["image_id"], rows["text"], where=rows["where"])
    yield from _passed_over(tables, noted)


def _passed_over(tables: IngestTables, noted: pa.Table) -> Iterator[pa.Table]:
    """Faults of which neither the index tells nor a finding of the same object."""
    skipped = tables.skipped
    skipped = skipped.filter(
        pc.invert(pc.is_in(skipped["text"], pc.unique(tables.index.table["error"])))
    )
    skipped = skipped.filter(pc.invert(pc.is_in(_without_end(skipped), _without_end(noted))))
    if not len(skipped):
        return
    listed = len(pc.list_flatten(tables.index.table["labels"])) > 0
    for batch in skipped.combine_chunks().to_batches(_AT_ONCE):
        by_flaw: dict[Flaw, list[tuple[str, str, str]]] = {}
        for where, text, kind in zip(*batch.to_pydict().values(), strict=True):
            flaw = Flaw(kind) if kind in _KINDS else _kind_of(where, text, listed)
            image = _image_of(tables, flaw, where, text)
            by_flaw.setdefault(flaw, []).append((where, text, image))
        for flaw, rows in by_flaw.items():
            wheres, texts, images = (
                pa.array(column, pa.string()) for column in zip(*rows, strict=True)
            )
            yield found(flaw, images, texts, where=wheres)


def _without_end(faults: pa.Table) -> pa.ChunkedArray:
    """Lines without what was done about them, or is to be done; see `without_advice`."""
    lines = pc.binary_join_element_wise(faults["where"], faults["text"], ": ")
    lines = pc.replace_substring_regex(lines, "; left out$", "")
    return pc.replace_substring_regex(lines, ADVICE, "")


def _kind_of(where: str, text: str, listed: bool) -> Flaw:
    """The kind of a fault of an earlier version, which named none.

    Args:
        listed: whether there are image sets.
    """
    for begins, flaw in _KINDS_BY_WORDS.items():
        if text.startswith(begins):
            return flaw if listed or flaw is not Flaw.UNLISTED_IMAGE else Flaw.UNSAID_IMAGE
    xml = where.partition(": ")[0].lower().endswith(".xml")
    return Flaw.UNREADABLE_LABELS if xml else Flaw.PASSED_OVER


def _image_of(tables: IngestTables, flaw: Flaw, where: str, text: str) -> str:
    """The image that a fault is of; empty where it is of none, or of a file of many."""
    if flaw is Flaw.MISSING_IMAGE:
        return where
    file = where.partition(": ")[0]
    suffix = suffix_of(file)
    if suffix in _OF_ONE_IMAGE:
        return image_of(file, [])
    names = (text.partition(": ")[0], image_of(file, []) if suffix == ".txt" else "")
    return next((name for name in names if name in tables.index), "")


def _disagreeing(tables: IngestTables, classes: ClassList, both: Marks) -> pa.Table:
    """Positives whose image sets name other classes than their boxes.

    Args:
        both: (N,) bool: images with boxes that may also be listed.
    """
    said = _bits(tables.index.table["labels"], classes)  # (N, C)
    drawn = _marked(tables.image, tables.boxes["label"], len(said), classes)  # (N, C)
    rows = np.flatnonzero(both & said.any(axis=1) & (said != drawn).any(axis=1))
    texts = [
        f"the image sets say {_named(said[row], classes)}, "
        f"boxes are {_named(drawn[row], classes) or 'of other classes'}"
        for row in rows
    ]
    ids = tables.index.table["image_id"].take(pa.array(rows))
    return found(Flaw.LABELS_DISAGREE, ids, pa.array(texts, pa.string()))


def _bits(labels: pa.ChunkedArray, classes: ClassList) -> Marks:
    """(N, C) bool: which classes each list names."""
    labels = labels.combine_chunks()
    rows = np.asarray(pc.list_parent_indices(labels), dtype=np.int64)
    return _marked(rows, pc.list_flatten(labels), len(labels), classes)


def _marked(rows: Rows, labels: pa.Array, count: int, classes: ClassList) -> Marks:
    """(count, C) bool: which classes the labels of each row are; others are passed over.

    Args:
        rows: (L,) row of each label.
    """
    places = pc.index_in(labels, pa.array(classes.names))
    known = marks(pc.is_valid(places))
    bits = np.zeros((count, len(classes)), bool)
    bits[rows[known], np.asarray(pc.fill_null(places, 0))[known]] = True
    return bits


def _named(bits: Marks, classes: ClassList) -> str:
    return ", ".join(name for name, bit in zip(classes.names, bits, strict=True) if bit)
