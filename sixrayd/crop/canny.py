"""The conventional crop that the paper sets beside TDC: the smallest rectangle around the edges."""

from dataclasses import dataclass

import cv2

from sixrayd.core.arrays import RGBImage
from sixrayd.core.errors import SettingsError
from sixrayd.crop.region import Region, bounded, size_wh, whole


@dataclass(frozen=True, slots=True)
class CannySettings:
    """The paper gives none; these are the thresholds that OpenCV's own examples use.

    Args:
        lower: change of grey level below which a pixel is no edge.
        upper: change from which it is one; between the two it is one beside another edge.
        blur_px: side of the Gaussian kernel that smooths noise first; 1 leaves the image as it is.

    Raises:
        SettingsError: thresholds that are not 0 <= lower <= upper, or an even kernel.
    """

    lower: float = 100
    upper: float = 200
    blur_px: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= self.upper < float("inf"):
            raise SettingsError(
                f"Canny thresholds: need 0 <= lower <= upper, got {self.lower} and {self.upper}"
            )
        if self.blur_px < 1 or self.blur_px % 2 == 0:
            raise SettingsError(f"Canny blur: need an odd kernel, got {self.blur_px}")


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
