"""The bound against the spot checks, as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.figures import plain_style, png_of
from sixrayd.core.files import write_bytes
from sixrayd.statistics.settings import BoundSettings


@dataclass(frozen=True, slots=True)
class InterimLook:
    """What the first checks of a sample said of what is left, in units."""

    checks: int
    estimate: float | None  # unknown while a stratum has no check
    upper: int


@plain_style()
def draw_course(path: Path, looks: Sequence[InterimLook], settings: BoundSettings) -> None:
    """Bound and estimate at growing numbers of checks, valid at every look, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    checks = [look.checks for look in looks]
    confidence = f"at most missed, {100 * settings.confidence:.4g} % at every look"
    axes.plot(checks, [look.upper for look in looks], marker="o", ms=3, label=confidence)
    known = [(look.checks, look.estimate) for look in looks if look.estimate is not None]
    axes.plot([n for n, _ in known], [e for _, e in known], color="0.5", label="best guess")
    axes.set(xlabel="spot checks, groups", ylabel="contraband groups missed", yscale="symlog")
    axes.set_ylim(0, None)
    axes.grid(alpha=0.3)
    axes.legend()
    write_bytes(path, png_of(figure))
