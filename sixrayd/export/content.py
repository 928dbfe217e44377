"""What an export holds, whatever form it is written in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.classes import ClassList
from sixrayd.core.index import Index, image_records
from sixrayd.core.records import ImageRecord
from sixrayd.core.voc import VocAnnotation


@dataclass(frozen=True, slots=True)
class Content:
    """What is written, whatever the form.

    Args:
        annotations: of the positives, by image id, boxes with their provenance.
        splits: image id → side of the split, of the annotated images; empty for one on no side.
        named: image id → classes that the release's image sets name.
        copied: images that hold nothing, or of which nobody knows, to be written as well.
        empty: those that are known to hold nothing.
    """

    index: Index
    classes: ClassList
    annotations: Sequence[VocAnnotation]
    splits: Mapping[str, str]
    named: Mapping[str, Sequence[str]]
    copied: Sequence[str]
    empty: frozenset[str]


def in_shard_order(index: Index, ids: Sequence[str]) -> Iterator[ImageRecord]:
    """Index rows of some images in the order of their bytes in the shards."""
    chosen = index.table.filter(pc.is_in(index.table["image_id"], pa.array(ids, pa.string())))
    chosen = chosen.sort_by([("shard", "ascending"), ("offset", "ascending")])
    for start in range(0, len(chosen), 1000):
        yield from image_records(chosen.slice(start, 1000))
