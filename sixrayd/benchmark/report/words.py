"""How the report writes figures, and what it calls systems."""

import math

from sixrayd.benchmark.results import Crop, Results, Row, System

Value = str | float | None

ABSENT = "–"
_METHODS = {
    "canny": "Canny crop",
    "aesthetic": "aesthetic crop",
    "smart": "smartcrop library",
}

_ALIKE = ("entry", "detector", "input", "reading")


def missing(value: Value) -> bool:
    """Whether there is no figure: None, or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def text(value: Value) -> str:
    """A value as it is."""
    return ABSENT if missing(value) else str(value)


def points(value: float | None) -> str:
    """A fraction in points of a hundred: 0.8776 → 87.76."""
    return ABSENT if missing(value) else _minus(f"{100 * (value or 0.0):.2f}")


def signed(value: float | None) -> str:
    """A difference in points, with its sign."""
    return ABSENT if missing(value) else _minus(f"{100 * (value or 0.0):+.2f}")


def per_cent(value: float | None) -> str:
    """A fraction as per cent with one decimal."""
    return ABSENT if missing(value) else _minus(f"{100 * (value or 0.0):.1f}") + " %"


def seconds(value: float | None) -> str:
    """Seconds to a tenth of a millisecond."""
    return ABSENT if missing(value) else f"{value:.4f}"


def decimals(value: float | None) -> str:
    """A number with two decimals."""
    return ABSENT if missing(value) else _minus(f"{value:.2f}")


def yes_no(value: float | None) -> str:
    """1 → yes, 0 → no."""
    return ABSENT if value is None else ("yes" if value else "no")


def _minus(number: str) -> str:
    return number.replace("-", "−")


def crop_name(crop: Crop) -> str:
    """What a reader calls a crop."""
    if crop.method == "none":
        return "no crop"
    if crop.method != "tdc":
        return _METHODS.get(crop.method, crop.method)
    kernel = f"kernel {crop.kernel} {crop.kernel_unit}"
    border = ", zeros beyond the border" if crop.border == "zeros" else ""
    layer = f"{'layer' if crop.numbering == 'convolution' else crop.numbering} {crop.layer}"
    axes = "" if crop.axes == "both" else f", {crop.axes} alone"
    return f"TDC {crop.form}, {layer}, {kernel}, k {crop.k:g}{border}{axes}"


def system_name(system: System) -> str:
    """What a reader calls a system, its input apart."""
    reading = ", priors as fractions" if system.reading == "fractions" else ""
    learnt = ", trained on crops" if system.learnt == "crops" else ""
    who = system.detector
    if system.entry not in ("", system.detector):
        who = f"{system.entry} ({system.detector})"
    return f"{who}, {crop_name(system.crop)}{reading}{learnt}"


def plain_row(results: Results, row: Row) -> Row | None:
    """The row of the same detector and input without a crop, of the same weights if there is one;
    None for such a row itself, or where there is none.
    """
    if row.system.crop.method == "none":
        return None
    alike = [
        other
        for other in results.rows
        if other.system.crop.method == "none"
        and all(getattr(other.system, name) == getattr(row.system, name) for name in _ALIKE)
    ]
    same = [other for other in alike if other.system.model == row.system.model]
    return next(iter(same + alike), None)


def less_time(results: Results, row: Row) -> float | None:
    """Share of the median time that a crop saves; negative where it costs time."""
    plain = plain_row(results, row)
    if plain is None or plain.times is None or row.times is None:
        return None
    return 1 - row.times.total.median / plain.times.total.median


def worst_anchor(key: str) -> str:
    """Where the page shows a system's worst cases."""
    return f"worst-{key}"
