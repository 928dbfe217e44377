"""How crops look at an image, and what a person may ask of TDC; nothing here needs torch."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

from sixrayd.core.errors import SettingsError

Axes = Literal["both", "columns", "rows"]
Border = Literal["zeros", "edge"]
Form = Literal["exact", "fast", "shared"]
KernelUnit = Literal["cells", "pixels"]
Numbering = Literal["convolution", "module"]


@dataclass(frozen=True, slots=True)
class TdcSettings:
    """How task-driven cropping looks at an image.

    Args:
        layer: whose map is looked at; 9 is conv4_2 in reduced VGG-16, before its ReLU.
        kernel: of the median filter, odd when in cells.
        kernel_unit: cells of the map, or pixels of the network's full input.
        k: threshold for the filtered and normalised differences, 0..1.
        axes: "columns" bounds left and right only, "rows" top and bottom only.
        numbering: "convolution" counts convolutions from 1 as they are met along the backbone;
            "module" indexes the backbone's modules from 0.
        form: "exact" runs the backbone on the full input, as published; "fast" on an input
            reduced `reduce` times, with the kernel reduced alike; "shared" crops the map of an
            ordinary forward pass, which goes on from there.
        border: what convolutions see beyond the image. "edge" repeats the image. "zeros", as in
            the paper and in the detector, light up the map's border where the background is not
            the mean colour, and then hardly anything is cropped.

    Raises:
        SettingsError: a value out of range.
    """

    layer: int = 9
    kernel: int = 9
    kernel_unit: KernelUnit = "cells"
    k: float = 0.15
    axes: Axes = "both"
    numbering: Numbering = "convolution"
    form: Form = "exact"
    reduce: float = 3.0
    border: Border = "edge"

    def __post_init__(self) -> None:
        choices = (
            ("kernel_unit", KernelUnit),
            ("axes", Axes),
            ("numbering", Numbering),
            ("form", Form),
            ("border", Border),
        )
        for name, kind in choices:
            if (found := getattr(self, name)) not in get_args(kind):
                expected = ", ".join(get_args(kind))
                raise SettingsError(f"tdc: {name}: {found!r}, expected one of {expected}")
        if self.layer < (1 if self.numbering == "convolution" else 0):
            raise SettingsError(f"tdc: layer: {self.layer}; convolutions count from 1, modules 0")
        if self.kernel < 1 or (self.kernel_unit == "cells" and self.kernel % 2 == 0):
            raise SettingsError(f"tdc: kernel: {self.kernel}, expected odd cells, or pixels >= 1")
        if not 0 <= self.k < 1:
            raise SettingsError(f"tdc: k: {self.k}, expected 0 <= k < 1")
        if self.form == "shared" and self.border != "zeros":
            raise SettingsError(
                f"tdc: border: {self.border!r}, expected zeros: the shared form's map is the "
                "detector's own; or choose another form"
            )
        if not 1 <= self.reduce <= 16:
            raise SettingsError(f"tdc: reduce: {self.reduce}, expected 1 to 16")

    @property
    def reduction(self) -> float:
        """What the input's sides are divided by: 1 unless the form is fast."""
        return self.reduce if self.form == "fast" else 1.0


EXACT = TdcSettings()
# In the fast form, conv3_1's map of a third of the input: cells of 12 pixels where conv4_2's would
# have 24, at half the work, so its regions lie nearest to those of the exact form's layer 9.
FAST = TdcSettings(form="fast", layer=5, kernel=72, kernel_unit="pixels")
SHARED = TdcSettings(form="shared", border="zeros")
_FORMS = {settings.form: settings for settings in (EXACT, FAST, SHARED)}


@dataclass(frozen=True, slots=True)
class TdcKnobs:
    """What a person asks of TDC; None leaves it to a protocol, a sweep or the form.

    Args:
        tdc_kernel: odd cells of the map, as "9", or pixels of the full input, as "72px".

    Raises:
        SettingsError: a value out of range, or two that exclude each other.
    """

    k: float | None = None
    tdc_layer: int | None = None
    tdc_kernel: str | None = None
    tdc_border: Border | None = None
    tdc_numbering: Numbering | None = None
    tdc_axes: Axes | None = None
    tdc_form: Form | None = None

    def __post_init__(self) -> None:
        self.over(EXACT)

    @property
    def asked(self) -> dict[str, float | str]:
        """The knobs that are turned."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def over(self, base: TdcSettings) -> TdcSettings:
        """The base with what is asked for in its place.

        Another form than the base's brings its own layer and kernel.

        Raises:
            SettingsError: with the base, they exclude each other.
        """
        form = self.tdc_form or base.form
        if form != base.form:
            border: Border = "zeros" if form == "shared" else base.border
            base = replace(_FORMS[form], k=base.k, axes=base.axes, border=border)
        asked = {
            "k": self.k,
            "layer": self.tdc_layer,
            "border": self.tdc_border,
            "numbering": self.tdc_numbering,
            "axes": self.tdc_axes,
        }
        kernel = {} if self.tdc_kernel is None else _kernel(self.tdc_kernel)
        given = {key: value for key, value in asked.items() if value is not None}
        return replace(base, **given, **kernel)  # type: ignore[arg-type]


def _kernel(text: str) -> dict[str, int | str]:
    read = re.fullmatch(r"([0-9]{1,6})(px)?", text)
    if read is None:
        raise SettingsError(f"tdc: kernel: {text!r}, expected odd cells as 9, or pixels as 72px")
    return {"kernel": int(read[1]), "kernel_unit": "pixels" if read[2] else "cells"}


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
