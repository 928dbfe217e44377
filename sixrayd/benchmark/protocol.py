"""Protocols: what decides a benchmark's digits, and which rows it shows.

"paper" is what Nguyen et al. 2022 (doi:10.3390/mi13040565), Sec. 5, say, and where they say
nothing what RFBNet's published test does, on whose code their best detector rests.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from sixrayd.benchmark.results import Crop
from sixrayd.benchmark.tdc import crop_of, tdc_settings
from sixrayd.crop.settings import Form, TdcKnobs
from sixrayd.evaluation.modes import Mode

ProtocolName = Literal["modern", "paper"]
PUBLISHED = ("ssd512", "retinanet512", "rfb512")  # the paper's three, its best one last
ON_LITE0 = ("ssd-lite0", "retinanet-lite0", "rfb-lite0")  # the same three for CPUs


@dataclass(frozen=True, slots=True)
class Protocol:
    """Defaults that a user's own options replace, and what no option changes.

    Args:
        ap: how average precision is computed.
        nms: "legacy" is RFBNet's test: sides one pixel longer in overlaps, ties at the limit
            kept, boxes not cut at the image's edges.
        crop: TDC as the tables show it that do not vary it; its `k` is not read.
        knobs: what a user asks of TDC in its place.
        k: TDC's threshold; None chooses it on validation images.
        tables: by name, in their order.
        methods: crops, in the order of their rows.
        readings: what priors keep on a dynamic input, in the order of rows without a crop.
        kernel_units: in which the ablation over layers fixes the kernel.
        detectors: on a GPU, where none is named; the last one also runs with crops.
        on_cpu: the same without a GPU.
        epochs: of a training that names none; None: the recipe's.
    """

    name: ProtocolName
    ap: Mode
    nms: Mode
    crop: Crop
    k: float | None
    tables: tuple[str, ...]
    methods: tuple[str, ...]
    readings: tuple[str, ...]
    kernel_units: tuple[str, ...]
    detectors: tuple[str, ...]
    on_cpu: tuple[str, ...]
    epochs: int | None = None
    knobs: TdcKnobs = field(default_factory=TdcKnobs)

    def tdc_crop(self, k: float = 0.0) -> Crop:
        """TDC as it is asked for, with this threshold."""
        return crop_of(replace(self.knobs, k=k).over(tdc_settings(self.crop)))

    def form_crop(self, form: Form, k: float = 0.0) -> Crop:
        """TDC in a form, with the layer that is asked for where that is one of this form's map."""
        knobs = replace(self.knobs, tdc_form=form)
        if (form == "fast") != (self.knobs.tdc_form == "fast"):
            knobs = replace(knobs, tdc_layer=None, tdc_kernel=None, tdc_numbering=None)
        if form == "shared":  # whose map is the detector's own
            knobs = replace(knobs, tdc_border=None)
        return replace(self, knobs=knobs).tdc_crop(k)


MODERN = Protocol(
    name="modern",
    ap="modern",
    nms="modern",
    crop=Crop("tdc"),
    k=None,
    tables=("fixed", "dynamic", "layers", "forms"),
    methods=("canny", "aesthetic", "smart", "tdc"),
    readings=("pixels", "fractions"),
    kernel_units=("cells", "pixels"),
    detectors=PUBLISHED,
    on_cpu=ON_LITE0,
)
PAPER = replace(
    MODERN,
    name="paper",
    ap="legacy",
    nms="legacy",
    crop=Crop("tdc", form="exact", layer=9, kernel=9, border="zeros"),
    k=0.15,
    tables=("fixed", "dynamic", "layers"),
    methods=("canny", "aesthetic", "tdc"),
    readings=("pixels",),
    kernel_units=("cells",),
    on_cpu=PUBLISHED,
    epochs=200,
)
PROTOCOLS: dict[ProtocolName, Protocol] = {"modern": MODERN, "paper": PAPER}
