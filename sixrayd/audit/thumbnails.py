"""Small pictures of images with their boxes, as addresses that hold them."""

import base64
import io

import numpy as np
import pyarrow.compute as pc
from PIL import Image, ImageDraw

from sixrayd.audit.tables import IngestTables
from sixrayd.core.arrays import FloatArray
from sixrayd.core.boxes import EDGES
from sixrayd.imaging.decode import decode_rgb

_SIDE_PX = 240
_QUALITY = 80
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
        pixels = decode_rgb(index.read(image_id), image_id, min_side_px=_SIDE_PX)
        picture = Image.fromarray(pixels)
        picture.thumbnail((_SIDE_PX, _SIDE_PX))
        scale = np.array([picture.width / record.width, picture.height / record.height] * 2)
        self._draw(picture, image_id, box_id, scale)
        packed = io.BytesIO()
        picture.save(packed, "JPEG", quality=_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"

    def _draw(self, picture: Image.Image, image_id: str, box_id: str, scale: FloatArray) -> None:
        canvas = ImageDraw.Draw(picture)
        boxes = self.tables.boxes.filter(pc.equal(self.tables.boxes["image_id"], image_id))
        boxes = boxes.select(["box_id", *EDGES]).to_pylist()
        for box in sorted(boxes, key=lambda box: box["box_id"] == box_id):
            edges = np.array([box[edge] for edge in EDGES]) * scale
            meant = box["box_id"] == box_id
            canvas.rectangle(edges.tolist(), outline=_MEANT if meant else _OTHERS, width=1 + meant)
