"""Whether two images of equal hash show the same: hashes coincide, pictures hardly ever do."""

from functools import lru_cache

import numpy as np
from PIL import Image

from sixrayd.core.arrays import FloatArray
from sixrayd.core.index import Index
from sixrayd.imaging.decode import decode_rgb

SAME = 0.9  # correlation from which two pictures are one, see docs/audit.md
_SIDE_PX = 64
_KEPT = 512  # pictures in memory


class Likeness:
    """Compares images of an index, reduced to 64 x 64 shades of grey."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._shades = lru_cache(_KEPT)(self._read)

    def correlation(self, one: str, two: str) -> float:
        """Of the shades of two images, -1..1; 0 where one of them is of one shade.

        Raises:
            ShardError: a shard has changed since the ingest.
            ImageError: an image cannot be decoded.
        """
        a, b = self._shades(one), self._shades(two)
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float((a * b).sum() / length) if length > 0 else 0.0

    def _read(self, image_id: str) -> FloatArray:
        """(64, 64), of mean 0."""
        pixels = decode_rgb(self._index.read(image_id), image_id, min_side_px=_SIDE_PX)
        small = Image.fromarray(pixels).convert("L").resize((_SIDE_PX, _SIDE_PX))
        shades = np.asarray(small, np.float64)
        shades -= shades.mean()
        return shades
