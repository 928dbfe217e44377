"""What an export holds, whatever form it is written in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.classes import ClassList
from sixrayd.core.index import Index, image_records
from sixrayd.core.records import EMPTY_SETS, ImageRecord, State
from sixrayd.core.shards import extension
from sixrayd.core.staging import Staging
from sixrayd.core.voc import VocAnnotation, box_of_pixels, pixels_of
from sixrayd.datasets.export_files import UNLISTED
from sixrayd.imaging.decode import channel_count


@dataclass(frozen=True, slots=True)
class Content:
    """What is written, whatever the form.

    Args:
        database: the release's name.
        sets: those of `EMPTY_SETS` that were asked for by name.
        with_bytes: whether images are written at all.
        trainval: whether VOC's image sets have `trainval` beside `train`.
        looks: who looked at an image, for its XML; empty where nobody asked for that.
    """

    index: Index
    classes: ClassList
    database: str = "SIXray"
    sets: frozenset[str] = frozenset()
    with_bytes: bool = True
    trainval: bool = True
    looks: Callable[["ExportedImage"], Sequence[Mapping[str, str]]] = lambda image: ()


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image to be written.

    Args:
        annotation: in whole pixels; without objects for what holds nothing.
        data: the encoded image, as the release has it.
        number: from 1, the same in every export of the release.
    """

    record: ImageRecord
    state: State
    annotation: VocAnnotation
    data: bytes
    number: int

    @property
    def image_id(self) -> str:
        """Of the release."""
        return self.record.image_id

    @property
    def file_name(self) -> str:
        """With the suffix that its bytes ask for."""
        return self.image_id + extension(self.data)

    @property
    def empty_set(self) -> str:
        """Which of `EMPTY_SETS` it is in; empty for a positive."""
        return next((name for name, state in EMPTY_SETS.items() if state == self.state), "")

    @property
    def is_cleared(self) -> bool:
        """Whether people looked and saw nothing."""
        return self.state in (State.CONFUSING_NEGATIVE, State.AUDITED_EMPTY)

    @property
    def part(self) -> str:
        """`train`, `test`, `confusing_train` and so on: what is read as one."""
        side = self.record.split or UNLISTED
        return f"{self.empty_set}_{side}" if self.empty_set else side


# What takes images one by one, in the order of the shards. Where the `with` block ends, a form
# writes what it could not before.
Add = Callable[[ExportedImage], None]
Writer = Callable[[Staging, Content], AbstractContextManager[Add]]


def exported_image(
    index: Index, record: ImageRecord, state: State, annotation: VocAnnotation
) -> ExportedImage:
    """An image with its bytes.

    Raises:
        ShardError: the shard has changed since the ingest.
        ImageError: it is no image.
    """
    data = index.read_record(record)
    depth = channel_count(data, f"{index.folder / record.shard}: {record.image_id}")
    annotation = replace(in_whole_pixels(annotation), depth=depth)
    return ExportedImage(record, state, annotation, data, index.number(record.image_id))


def in_whole_pixels(annotation: VocAnnotation) -> VocAnnotation:
    """The annotation with its edges where VOC puts them, so that all forms say the same."""
    size_wh = annotation.width, annotation.height
    objects = tuple(
        replace(item, box=box_of_pixels(item.box.label, pixels_of(item.box, *size_wh)))
        for item in annotation.objects
    )
    return replace(annotation, objects=objects)


def in_shard_order(index: Index, ids: Sequence[str]) -> Iterator[ImageRecord]:
    """Index rows of some images in the order of their bytes in the shards."""
    chosen = index.table.filter(pc.is_in(index.table["image_id"], pa.array(ids, pa.string())))
    chosen = chosen.sort_by([("shard", "ascending"), ("offset", "ascending")])
    for start in range(0, len(chosen), 1000):
        yield from image_records(chosen.slice(start, 1000))
