"""The charts of the report: intervals, layers, sweep, time. All can be read without colour."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sixrayd.benchmark.published import in_order
from sixrayd.benchmark.report.parts import Picture
from sixrayd.benchmark.report.words import crop_name, points, system_name
from sixrayd.benchmark.results import Results, Row, Table
from sixrayd.core.figures import png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STEPS = (
    ("decode", "0.35", ""),
    ("crop", "0.9", "///"),
    ("detect", "0.65", ""),
    ("nms", "1", ".."),
)
_UNITS = (("cells", "o", "-"), ("pixels", "s", "--"))
_INK = "#1b4f72"


def new_figure(width: float, height: float) -> "Figure":
    """A figure that belongs to no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def interval_chart(results: Results, table: Table) -> Picture | None:
    """Mean AP of a table's systems with its interval; None where the table has no figures."""
    rows = [results.row(key) for key in table.rows]
    if not rows:
        return None
    figure = new_figure(8, 1.1 + 0.38 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _whisker(axes, place, row)
    axes.set_yticks(range(len(rows)), [plain_text(system_name(row.system)) for row in rows])
    axes.set(xlabel="VOC 2007 mean AP, points, with its interval", ylim=(len(rows) - 0.5, -0.5))
    axes.grid(axis="x", color="0.9")
    alt = "; ".join(f"{system_name(r.system)}: {points(r.voc07.value)}" for r in rows)
    caption = f"{table.title}: mean AP with its interval; open circles are without a crop"
    return Picture(f"intervals_{table.name}", caption, alt, png_of(figure))


def layer_chart(results: Results, table: Table) -> Picture | None:
    """Figure 10: mean AP by layer, the kernel fixed in cells and in pixels."""
    rows = [results.row(key) for key in table.rows]
    cropped = [row for row in rows if row.system.crop.method == "tdc"]
    if not cropped:
        return None
    figure = new_figure(7, 3.6)
    axes = figure.subplots()
    layers = sorted({row.system.crop.layer for row in cropped})
    for number, (unit, marker, style) in enumerate(_UNITS):
        chosen = [row for row in cropped if row.system.crop.kernel_unit == unit]
        chosen.sort(key=lambda row: row.system.crop.layer)
        if not chosen:
            continue
        places = np.array([layers.index(row.system.crop.layer) for row in chosen])  # (n,)
        low, value, high = _bounds(chosen)
        kernels = " or ".join(sorted({str(row.system.crop.kernel) for row in chosen}))
        axes.errorbar(
            places + 0.08 * (number - 0.5),
            value,
            yerr=np.stack([value - low, high - value]),
            fmt=marker + style,
            color=("black", _INK)[number],
            capsize=4,
            label=f"kernel of {kernels} {unit}",
        )
    for row in [row for row in rows if row.system.crop.method == "none"][:1]:
        axes.axhline(100 * row.voc07.value, color="0.5", linestyle=":", label="no crop")
    axes.set_xticks(range(len(layers)), [str(layer) for layer in layers])
    axes.set(xlabel="layer whose map is looked at (convolution)", ylabel="VOC 2007 mean AP, points")
    axes.margins(x=0.15)
    axes.legend()
    alt = "; ".join(f"{crop_name(r.system.crop)}: {points(r.voc07.value)}" for r in cropped)
    units = " and in ".join(dict.fromkeys(row.system.crop.kernel_unit for row in cropped))
    caption = f"Mean AP by layer with its interval, the kernel fixed in {units}"
    return Picture("layers", caption, alt, png_of(figure))


def class_chart(results: Results, table: Table) -> Picture | None:
    """Figure 10 as printed: AP of every class and the mean, a bar for each layer."""
    rows = [results.row(key) for key in table.rows]
    rows = [row for row in rows if row.system.crop.method == "tdc"]
    kept = [r for r in rows if r.system.crop.kernel_unit == rows[0].system.crop.kernel_unit]
    if not kept:
        return None
    names = in_order(results.classes)
    figure = new_figure(9, 3.8)
    axes = figure.subplots()
    width = 0.8 / len(kept)
    for number, row in enumerate(kept):
        heights = [100 * (row.classes.get(name) or 0.0) for name in names]
        places = np.arange(len(names) + 1) + width * (number - (len(kept) - 1) / 2)
        axes.bar(
            places,
            [*heights, 100 * row.voc07.value],
            width,
            color=str(0.9 - 0.7 * number / len(kept)),
            edgecolor="black",
            hatch=("", "///", "..")[number % 3],
            label=f"layer {row.system.crop.layer}",
        )
    labels = [*map(plain_text, names), "mean"]
    axes.set_xticks(range(len(labels)), labels)
    axes.set(ylabel="AP, points")
    axes.legend()
    alt = "; ".join(
        f"layer {row.system.crop.layer}: "
        + ", ".join(f"{name} {points(row.classes.get(name))}" for name in names)
        + f", mean {points(row.voc07.value)}"
        for row in kept
    )
    caption = "As figure 10: AP by class and layer, and the mean"
    return Picture("layers_classes", caption, alt, png_of(figure))


def sweep_chart(results: Results) -> Picture | None:
    """Mean AP and area removed by k and kernel, on the validation images."""
    if not results.sweep:
        return None
    thresholds = sorted({point.k for point in results.sweep})
    kernels = sorted({point.kernel for point in results.sweep})
    figure = new_figure(9, 1.7 + 0.42 * len(thresholds))
    both = figure.subplots(1, 2)
    for axes, name, title in zip(
        both, ("mean", "area_removed"), ("Mean AP, points", "Area removed, %"), strict=True
    ):
        grid = np.full((len(thresholds), len(kernels)), np.nan)
        for point in results.sweep:
            value = 100 * float(getattr(point, name))
            grid[thresholds.index(point.k), kernels.index(point.kernel)] = value
        _heat(axes, grid)
        axes.set_xticks(range(len(kernels)), [str(kernel) for kernel in kernels])
        labels = [f"{k:g} ◂" if k == results.chosen_k else f"{k:g}" for k in thresholds]
        axes.set_yticks(range(len(thresholds)), labels)
        axes.set(xlabel="kernel, cells", ylabel="k", title=title)
    best = max(results.sweep, key=lambda point: point.mean)
    alt = (
        f"{len(results.sweep)} points; the highest mean AP is {points(best.mean)} at k {best.k:g} "
        f"and kernel {best.kernel}; the numbers are in sweep.csv"
    )
    caption = f"TDC on the validation images; ◂ marks the k chosen, {results.chosen_k:g}"
    return Picture("sweep", caption, alt, png_of(figure))


def time_chart(results: Results, table: Table) -> Picture | None:
    """Median seconds by step, and the total as it was measured; None where nothing was timed."""
    rows = [results.row(key) for key in table.rows if results.row(key).times is not None]
    if not rows:
        return None
    figure = new_figure(8, 1.5 + 0.38 * len(rows))
    axes = figure.subplots()
    left = np.zeros(len(rows))
    for step, shade, hatch in _STEPS:
        spent = np.array([getattr(row.times, step).median for row in rows])  # (n,)
        axes.barh(
            range(len(rows)),
            spent,
            left=left,
            height=0.6,
            color=shade,
            edgecolor="black",
            linewidth=0.6,
            hatch=hatch,
            label="NMS" if step == "nms" else step,
        )
        left += spent
    for name, marker in (("median", "D"), ("p99", "|")):
        values = [getattr(row.times.total, name) for row in rows if row.times]
        axes.plot(
            values, range(len(rows)), marker, color=_INK, markersize=8, label=f"total, {name}"
        )
    axes.set_yticks(range(len(rows)), [plain_text(system_name(row.system)) for row in rows])
    axes.set(xlabel="seconds for an image", ylim=(len(rows) - 0.5, -0.5), xlim=(0, None))
    figure.legend(loc="outside upper center", ncols=6)
    told = [(row.system, row.times.total.median) for row in rows if row.times]
    alt = "; ".join(f"{system_name(system)}: {median:.4f} s" for system, median in told)
    caption = f"{table.title}: time for an image by step, medians"
    return Picture(f"time_{table.name}", caption, alt, png_of(figure))


def plain_text(words: str) -> str:
    """Words that matplotlib does not read as a formula."""
    return words.replace("$", r"\$")


def _whisker(axes: "Axes", place: int, row: Row) -> None:
    low, value, high = _bounds([row])
    cropped = row.system.crop.method != "none"
    axes.errorbar(
        value,
        [place],
        xerr=np.stack([value - low, high - value]),
        fmt="o",
        color=_INK,
        markerfacecolor=_INK if cropped else "white",
        capsize=4,
    )


def _bounds(rows: list[Row]) -> tuple[Any, Any, Any]:
    """Low, value and high in points, (n,) each; an interval need not hold its value."""
    value = np.array([100 * row.voc07.value for row in rows])
    low = np.minimum(value, [100 * row.voc07.low for row in rows])
    return low, value, np.maximum(value, [100 * row.voc07.high for row in rows])


def _heat(axes: "Axes", grid: Any) -> None:
    axes.imshow(grid, cmap="Greys", aspect="auto", alpha=0.45)
    for (row, column), value in np.ndenumerate(grid):
        if not np.isnan(value):
            axes.text(column, row, f"{value:.1f}", ha="center", va="center")
