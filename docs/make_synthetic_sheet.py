"""Draw docs/images/synthetic-contact-sheet.jpg: positives, hidden and clean negatives.

Run from the repository's root:  python docs/make_synthetic_sheet.py
"""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from sixrayd.core.classes import default_classes
from sixrayd.synth.drawing import DrawnImage, draw_image
from sixrayd.synth.plan import ImagePlan
from sixrayd.synth.scene import Kind
from sixrayd.synth.settings import SynthSettings

SHEET = Path(__file__).parent / "images" / "synthetic-contact-sheet.jpg"
TILE_WH = (330, 270)
COLUMNS = 5
MARGIN = 6
ROWS: tuple[tuple[Kind, str], ...] = (
    ("positive", "labelled positive, with the boxes of Annotation.zip"),
    ("positive", "labelled positive, as the release stores it"),
    ("hidden", "hidden: labelled negative, boxes in the truth only"),
    ("clean", "negative"),
)
CAPTION_PX = 18
INK = (40, 40, 40)
BOX_COLOUR = (220, 0, 120)


def main() -> None:
    """Draw every tile and save the sheet."""
    cv2.setNumThreads(1)
    settings = SynthSettings(seed=2022, classes=default_classes())
    height = len(ROWS) * (TILE_WH[1] + CAPTION_PX + MARGIN) + MARGIN
    sheet = Image.new("RGB", (COLUMNS * (TILE_WH[0] + MARGIN) + MARGIN, height), (200, 203, 208))
    pen = ImageDraw.Draw(sheet)
    for row, (kind, caption) in enumerate(ROWS):
        top = MARGIN + row * (TILE_WH[1] + CAPTION_PX + MARGIN)
        pen.text((MARGIN + 2, top + 2), caption, fill=INK)
        for column in range(COLUMNS):
            number = 100 * row + column
            image = draw_image(ImagePlan("", kind, number, number, kind), settings)
            left = MARGIN + column * (TILE_WH[0] + MARGIN)
            sheet.paste(_tile(image, with_boxes=row in (0, 2)), (left, top + CAPTION_PX))
    SHEET.parent.mkdir(exist_ok=True)
    sheet.save(SHEET, quality=82)
    print(f"{SHEET}: {SHEET.stat().st_size / 1000:.0f} kB")


def _tile(image: DrawnImage, with_boxes: bool) -> Image.Image:
    """The picture fitted into a tile, on a pale ground."""
    picture = np.array(Image.open(io.BytesIO(image.jpeg)))
    scale = min(TILE_WH[0] / image.width, TILE_WH[1] / image.height)
    size = (round(image.width * scale), round(image.height * scale))
    small = Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    if with_boxes:
        pen = ImageDraw.Draw(small)
        for box in image.boxes:
            pen.rectangle([edge * scale for edge in box.xyxy], outline=BOX_COLOUR, width=2)
    tile = Image.new("RGB", TILE_WH, (222, 224, 228))
    tile.paste(small, ((TILE_WH[0] - size[0]) // 2, (TILE_WH[1] - size[1]) // 2))
    return tile


if __name__ == "__main__":
    main()
