"""Pictures like the paper's figures 6 to 9, and the worst cases."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sixrayd.benchmark.report.charts import new_figure, plain_text
from sixrayd.benchmark.report.parts import Axis, CropExample, Picture, Region, WorstPicture
from sixrayd.benchmark.report.words import crop_name, worst_anchor
from sixrayd.benchmark.results import Crop
from sixrayd.core.arrays import FloatArray
from sixrayd.core.figures import png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = ("-", "--", ":", "-.")
_COLOURS = ("#c0392b", "#1f618d", "#117a38", "#7d3c98", "#b9770e")
_WORST_IN_A_FIGURE = 4


def map_picture(example: CropExample, number: int) -> Picture:
    """Figure 6: the average magnitude of the maps beside the image."""
    width, height = example.size_wh
    figure = new_figure(3 * (1 + len(example.maps)), 0.4 + 3 * _shape([example]))
    panels = figure.subplots(1, 1 + len(example.maps), squeeze=False)[0]
    _show(panels[0], example, example.image_id)
    for axes, (layer, average) in zip(panels[1:], sorted(example.maps.items()), strict=True):
        axes.imshow(average, cmap="viridis", extent=(0, width, height, 0))
        axes.set_title(f"layer {layer}: {average.shape[1]} × {average.shape[0]} cells", fontsize=9)
        axes.set_axis_off()
    layers = ", ".join(str(layer) for layer in sorted(example.maps))
    return Picture(
        f"maps_{number}",
        f"As figure 6, {example.image_id}: mean magnitude over the channels",
        f"{example.image_id} and its average feature map at layers {layers}; bright is strong",
        png_of(figure),
        photo=True,
    )


def profile_picture(example: CropExample, number: int) -> Picture:
    """Figure 7: raw differences, and filtered and normalised ones with the threshold."""
    figure = new_figure(9, 4.2)
    grid = figure.subplots(2, 2)
    for column, (name, axis) in enumerate((("columns", example.columns), ("rows", example.rows))):
        _profile(grid[:, column], name, axis, example.k)
    x1, y1, x2, y2 = example.region
    return Picture(
        f"profile_{number}",
        f"As figure 7, {example.image_id}: changes of energy at layer {example.layer}, "
        f"and filtered ones with the threshold k = {example.k:g}",
        f"Four curves for {example.image_id}; what exceeds k = {example.k:g} bounds the region "
        f"from pixel {x1} to {x2} across and {y1} to {y2} down",
        png_of(figure),
    )


def crop_picture(example: CropExample, number: int) -> Picture:
    """Figures 8 and 9: what every crop keeps, drawn on the image."""
    figure = new_figure(7.5, 4.6)
    axes = figure.subplots()
    _show(axes, example, "")
    for box in example.truth:
        _outline(axes, box, "black", "-", 1.0)
    others = {crop_name(Crop(m)): kept for m, kept in example.crops.items() if m != "tdc"}
    kept = {"TDC": example.region, **others}
    for place, (name, region) in enumerate(kept.items()):
        colour, style = _COLOURS[place % len(_COLOURS)], _STYLES[place % len(_STYLES)]
        _outline(axes, region, colour, style, 2.2, plain_text(name))
    figure.legend(loc="outside right upper")
    told = "; ".join(f"{name}: {_words(region)}" for name, region in kept.items())
    return Picture(
        f"crops_{number}",
        f"As figures 8 and 9, {example.image_id}: what each crop keeps; objects in black",
        f"{example.image_id}, objects: {len(example.truth)}. Kept: {told}",
        png_of(figure),
        photo=True,
    )


def worst_picture(key: str, name: str, cases: Iterable[WorstPicture]) -> Picture:
    """A system's worst cases beside each other.

    Args:
        name: of the system, for people.
    """
    cases = list(cases)[:_WORST_IN_A_FIGURE]
    figure = new_figure(3.6 * len(cases), 0.4 + 3.6 * _shape(cases))
    for axes, case in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases, strict=True):
        _show(axes, case, f"{case.case.image_id}: {case.case.missed} missed")
        _outline(axes, case.case.region, "#c0392b", ":", 2.2)
        for box in case.truth:
            _outline(axes, box, "black", "-", 1.4)
        for box, score in zip(case.found, case.scores, strict=True):
            _outline(axes, box, "#1f618d", "--", 1.4)
            back = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            axes.text(box[0], box[1], f"{score:.2f}", color="#1f618d", fontsize=7, bbox=back)
    told = "; ".join(
        f"{case.case.image_id}: {case.case.missed} missed, "
        f"kept {_words(case.case.region)}, {len(case.found)} found and drawn"
        for case in cases
    )
    return Picture(
        f"worst_{key}",
        f"{name}: {len(cases)} worst cases. Objects: solid, black; the likeliest found with their "
        "scores: dashed, blue; what the crop keeps: dotted, red",
        told,
        png_of(figure),
        photo=True,
        title=name,
        anchor=worst_anchor(key),
    )


def _shape(shown: Sequence[CropExample | WorstPicture]) -> float:
    """Height by width of the tallest, within what a page can hold."""
    return min(1.6, max(height / width for width, height in (each.size_wh for each in shown)))


def _show(axes: "Axes", shown: CropExample | WorstPicture, title: str) -> None:
    width, height = shown.size_wh
    axes.imshow(shown.image, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    axes.set_title(plain_text(title), fontsize=9)
    axes.set_axis_off()


def _profile(panels: "Iterable[Axes]", name: str, axis: Axis, k: float) -> None:
    above, below = panels
    above.plot(np.arange(len(axis.difference)), axis.difference, color="black")
    above.set_title(f"{name}: change from cell to cell", fontsize=9)
    above.set(ylabel="F_diff", ylim=(0, None))
    below.plot(np.arange(len(axis.normalised)), axis.normalised, color="black")
    below.axhline(k, color="#c0392b", linestyle="--")
    over = np.flatnonzero(axis.normalised > k)
    for place in {int(over[0]), int(over[-1])} if len(over) else set():
        below.axvline(place, color="0.5", linestyle=":")
    below.set_title(f"filtered and normalised; dashed: k = {k:g}", fontsize=9)
    below.set(xlabel="cell", ylabel="F_norm", ylim=(-0.03, 1.05))


def _outline(
    axes: "Axes",
    box: "FloatArray | Region",
    colour: str,
    style: str,
    width: float,
    label: str | None = None,
) -> None:
    from matplotlib.patches import Rectangle

    x1, y1, x2, y2 = (float(edge) for edge in box)
    axes.add_patch(
        Rectangle(
            (x1 - 0.5, y1 - 0.5),
            x2 - x1,
            y2 - y1,
            fill=False,
            edgecolor=colour,
            linestyle=style,
            linewidth=width,
            label=label,
            clip_on=False,
        )
    )


def _words(region: Region) -> str:
    x1, y1, x2, y2 = region
    return f"{x1}–{x2} across, {y1}–{y2} down"
