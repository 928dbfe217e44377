"""The conventional crop that the paper sets beside TDC: the smallest rectangle around the edges."""

import cv2

from sixrayd.core.arrays import RGBImage
from sixrayd.crop.region import Region, bounded, size_wh, whole
from sixrayd.crop.settings import CannySettings


def canny_crop(image: RGBImage, settings: CannySettings = CannySettings()) -> Region:
    """The smallest rectangle around all edges; the whole image where there is none.

    One edge is enough to widen it, so a scanner's bar at the border, or a cursor burnt in,
    defeats it: the weakness for which the paper puts a median filter into TDC.

    Args:
        image: (H, W, 3) uint8 RGB.

    Source: Canny 1986; Nguyen et al. 2022, Tables 3 and 4.
    """
    full = size_wh(image)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # (H, W)
    smooth = cv2.GaussianBlur(grey, (settings.blur_px, settings.blur_px), 0)
    edges = cv2.Canny(smooth, settings.lower, settings.upper)  # (H, W), 0 or 255
    x, y, width, height = cv2.boundingRect(edges)
    if width == 0:
        return whole(full)
    return bounded(x, y, x + width, y + height, full)
