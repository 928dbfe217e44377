"""Small pictures of an ingest's images with their boxes."""

from collections.abc import Iterator

import pyarrow.compute as pc

from sixrayd.audit.tables import IngestTables
from sixrayd.core.boxes import EDGES, edges_of
from sixrayd.imaging.thumbnails import Outline, thumbnail

_OTHERS, _MEANT = "#1f618d", "#c0392b"


class Thumbnails:
    """Makes the pictures of an ingest."""

    def __init__(self, tables: IngestTables) -> None:
        self.tables = tables

    def source(self, image_id: str, box_id: str = "") -> str:
        """A `data:` address of the image with its boxes; empty where there is no such image.

        Args:
            box_id: of the box that is meant, drawn in red.

        Raises:
            ShardError: a shard has changed since the ingest.
        """
        index = self.tables.index
        if image_id not in index or index.record(image_id).error:
            return ""
        record = index.record(image_id)
        outlines = self._outlines(image_id, box_id)
        return thumbnail(index.read(image_id), image_id, (record.width, record.height), outlines)

    def _outlines(self, image_id: str, box_id: str) -> Iterator[Outline]:
        boxes = self.tables.boxes.filter(pc.equal(self.tables.boxes["image_id"], image_id))
        rows = boxes.select(["box_id", *EDGES]).to_pylist()
        for row in sorted(rows, key=lambda row: row["box_id"] == box_id):
            meant = row["box_id"] == box_id
            yield Outline(edges_of(row), _MEANT if meant else _OTHERS, 1 + meant)
