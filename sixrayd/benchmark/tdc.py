"""A row's crop as the settings of task-driven cropping."""

from dataclasses import asdict

from sixrayd.benchmark.results import Crop
from sixrayd.crop.settings import TdcSettings


def tdc_settings(crop: Crop) -> TdcSettings:
    """The crop's part that `sixrayd.crop.tdc` reads.

    Raises:
        SettingsError: a value out of range.
    """
    return TdcSettings(
        layer=crop.layer,
        kernel=crop.kernel,
        kernel_unit=crop.kernel_unit,  # type: ignore[arg-type]
        k=crop.k,
        axes=crop.axes,  # type: ignore[arg-type]
        numbering=crop.numbering,  # type: ignore[arg-type]
        form=crop.form,  # type: ignore[arg-type]
        border=crop.border,  # type: ignore[arg-type]
    )


def crop_of(settings: TdcSettings) -> Crop:
    """These settings as a row's crop."""
    knobs = asdict(settings)
    del knobs["reduce"]
    return Crop("tdc", **knobs)
