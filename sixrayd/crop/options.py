"""The crops' settings as options of a command."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

import click

from sixrayd.core.command import options_of
from sixrayd.crop.settings import CannySettings, TdcKnobs, TdcSettings

F = TypeVar("F", bound=Callable[..., Any])


def tdc_options(base: TdcSettings, k: str = "") -> Callable[[F], F]:
    """Add TDC's knobs; the command gets `tdc`, a `TdcKnobs`.

    Args:
        base: what the knobs change; the help shows it.
        k: how the command chooses k where it is left out; the base's k otherwise.
    """
    option = options_of(TdcKnobs)
    kernel = f"{base.kernel}px" if base.kernel_unit == "pixels" else base.kernel
    own = "; another form has its own"
    options = (
        option(
            "--k",
            help="TDC's threshold, 0 to 1: a change in features above this share of the largest "
            f"bounds the region.  [default: {k or base.k}]",
        ),
        option("--tdc-form", help=f"How TDC gets its map.  [default: {base.form}]"),
        option(
            "--tdc-layer",
            help=f"Layer of the backbone whose map TDC looks at.  [default: {base.layer}{own}]",
        ),
        option(
            "--tdc-numbering",
            help="What the layer counts: convolutions from 1, or modules from 0.  "
            f"[default: {base.numbering}]",
        ),
        option(
            "--tdc-kernel",
            help="TDC's median filter: odd cells as 9, or pixels as 72px.  "
            f"[default: {kernel}{own}]",
        ),
        option(
            "--tdc-border",
            help="What TDC's convolutions see beyond the image; zeros keep it from cropping most "
            f"scans.  [default: {base.border}; shared has zeros]",
        ),
        option("--tdc-axes", help=f"Along which axes TDC crops.  [default: {base.axes}]"),
    )
    names = {str(name): str(name) for name in TdcKnobs.__dataclass_fields__}
    return _gathered("tdc", TdcKnobs, names, options)


def canny_options(command: F) -> F:
    """Add the thresholds of Canny's crop; the command gets `canny`, a `CannySettings`."""
    usual = CannySettings()
    options = (
        click.option(
            "--canny-low",
            type=float,
            default=usual.lower,
            show_default=True,
            help="Change of grey level below which a pixel is no edge.",
        ),
        click.option(
            "--canny-high",
            type=float,
            default=usual.upper,
            show_default=True,
            help="Change from which it is one; between the two, beside another edge.",
        ),
    )
    names = {"canny_low": "lower", "canny_high": "upper"}
    return _gathered("canny", CannySettings, names, options)(command)


def _gathered(
    name: str,
    kind: Callable[..., Any],
    fields: Mapping[str, str],
    options: tuple[Callable[[F], F], ...],
) -> Callable[[F], F]:
    """Adds options whose values reach the command as one object.

    Args:
        fields: of the object, by the option's name.
    """

    def added(command: F) -> F:
        @wraps(command)
        def gathering(*given: Any, **named: Any) -> Any:
            values = {field: named.pop(option) for option, field in fields.items()}
            return command(*given, **named, **{name: kind(**values)})

        for option in reversed(options):
            gathering = option(gathering)
        return gathering  # type: ignore[return-value]

    return added
