"""What operators and screen grabs burn into a picture: mouse pointers, marker rectangles."""

import cv2
import numpy as np

from sixrayd.core.arrays import RGBImage

POINTER = ((0, 0), (0, 16), (4, 12), (7, 18), (9, 17), (6, 11), (11, 11))
MARKER_COLOURS = ((40, 40, 200), (200, 30, 30), (30, 30, 30))


def burn_in(picture: RGBImage, rng: np.random.Generator) -> RGBImage:
    """The picture, now and then with a pointer or marker rectangles."""
    drawn = picture.copy()
    if rng.random() < 0.07:
        _pointer(drawn, rng)
    if rng.random() < 0.03:
        _markers(drawn, rng)
    return drawn


def _pointer(drawn: RGBImage, rng: np.random.Generator) -> None:
    height, width = drawn.shape[:2]
    at = rng.uniform(0, 1, 2) * (width - 12, height - 19)
    shape = (np.array(POINTER) + at).astype(np.int32)
    cv2.fillPoly(drawn, [shape], (250, 250, 250))
    cv2.polylines(drawn, [shape], True, (40, 40, 40), 1, cv2.LINE_AA)


def _markers(drawn: RGBImage, rng: np.random.Generator) -> None:
    height, width = drawn.shape[:2]
    colour = MARKER_COLOURS[int(rng.integers(len(MARKER_COLOURS)))]
    for _ in range(int(rng.integers(1, 5))):
        w, h = rng.uniform(0.08, 0.2, 2) * (width, height)
        x, y = rng.uniform(0.15, 0.7, 2) * (width, height)
        cv2.rectangle(drawn, (int(x), int(y)), (int(x + w), int(y + h)), colour, 1)
