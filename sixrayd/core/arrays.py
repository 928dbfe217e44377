"""Types of arrays by what they hold; a docstring or a comment gives the shape."""

import numpy as np

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.floating]]
IntArray = np.ndarray[tuple[int, ...], np.dtype[np.integer]]
BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
RGBImage = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]  # (H, W, 3)


def pixel_count(image: RGBImage | None) -> int:
    """How many pixels an image has, which may be none."""
    return 0 if image is None else image.shape[0] * image.shape[1]
