"""Small pictures with boxes, as addresses that hold them: a page with these needs no other file."""

import base64
import io
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from sixrayd.imaging.decode import decode_rgb

_QUALITY = 80
_BEYOND_PX = 99  # how far outside of a thumbnail an edge is drawn, where nobody sees it


class Outline(NamedTuple):
    """A box in pixels of the full image, and how it is drawn."""

    xyxy: tuple[float, float, float, float]
    colour: str
    width_px: int = 1


def thumbnail(
    data: bytes,
    where: str,
    size_wh: tuple[int, int],
    outlines: Iterable[Outline] = (),
    side_px: int = 240,
) -> str:
    """A `data:` address of an image with boxes, its longer side `side_px` at most.

    Args:
        data: encoded.
        where: names the image in messages.
        size_wh: pixels of the full image.

    Raises:
        ImageError: it cannot be decoded within limits.
    """
    picture = Image.fromarray(decode_rgb(data, where, min_side_px=side_px))
    picture.thumbnail((side_px, side_px))
    scale = np.array([picture.width / max(size_wh[0], 1), picture.height / max(size_wh[1], 1)] * 2)
    canvas = ImageDraw.Draw(picture)
    most = side_px + _BEYOND_PX  # Pillow goes along a line for each of its pixels, seen or not
    for outline in outlines:
        edges = np.clip(np.array(outline.xyxy) * scale, -_BEYOND_PX, most).tolist()
        canvas.rectangle(edges, outline=outline.colour, width=outline.width_px)
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"
