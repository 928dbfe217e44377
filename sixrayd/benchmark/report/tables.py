"""The tables of the report."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from sixrayd.benchmark import published
from sixrayd.benchmark.protocol import PAPER
from sixrayd.benchmark.published import PublishedRow
from sixrayd.benchmark.report.parts import Column, Sheet, make_sheet
from sixrayd.benchmark.report.words import (
    ABSENT,
    Value,
    decimals,
    less_time,
    missing,
    per_cent,
    points,
    seconds,
    signed,
    system_name,
    text,
    worst_anchor,
    yes_no,
)
from sixrayd.benchmark.results import (
    STEPS,
    Alarm,
    Departure,
    ModelFacts,
    Results,
    Row,
    Seconds,
    SweepPoint,
    Table,
)
from sixrayd.evaluation.bootstrap import Interval

T = TypeVar("T")


def system_sheet(results: Results, table: Table, shown: frozenset[str]) -> Sheet:
    """A table of the paper's kind: precision by class, its interval, and time.

    Args:
        shown: keys of the systems with pictures of worst cases; their names lead there.
    """
    rows = [results.row(key) for key in table.rows]
    columns = [*_who(), *_classes(results), *_means(), *_against(), _saving(results)]
    columns.append(_time("total", "\n/ "))
    if table.name in published.BY_TABLE:
        columns.append(_paper(results, table.name))
    links = {n: worst_anchor(row.system.key) for n, row in enumerate(rows)}
    caption = "AP by class and means, with intervals; total time is the median / 99th percentile"
    kept = {n: link for n, link in links.items() if rows[n].system.key in shown}
    return make_sheet(table.name, caption, columns, rows, links=kept, absent=table.absent)


def steps_sheet(results: Results, table: Table) -> Sheet:
    """Time for an image by step, of a table's systems that were timed."""
    rows = [results.row(key) for key in table.rows]
    columns = [*_who(), *(_time(step) for step in STEPS), _saving(results)]
    caption = "Seconds for an image by step: median / 99th percentile"
    timed = [row for row in rows if row.times is not None]
    return make_sheet(f"{table.name}_steps", caption, columns, timed)


def paper_sheet(name: str) -> Sheet:
    """The paper's table that stands beside ours of that name."""
    rows = published.BY_TABLE[name]
    columns: list[Column[PublishedRow]] = [_one("System", "system", lambda row: row.title, text)]
    columns += [_class_column(n, label) for n, label in enumerate(published.CLASSES)]
    columns += [
        _one("Mean, printed", "printed_mean", lambda row: row.printed, decimals),
        _one(
            "Mean of the five",
            "recomputed_mean",
            lambda row: round(row.recomputed, 6),
            decimals,
        ),
    ]
    if any(row.seconds is not None for row in rows):
        columns += [
            _one("Seconds", "seconds", lambda row: row.seconds, text),
            _one("Less time, %", "less_time_per_cent", lambda row: row.less_time, text),
        ]
    number = {"fixed": "3", "dynamic": "4"}[name]
    caption = f"Table {number} of {published.LABEL}"
    return make_sheet(f"paper_{name}", caption, columns, rows)


def beside_sheet(results: Results, table: Table) -> Sheet:
    """The paper's rows in its order, with ours; a row of it may have several of ours."""
    pairs = [
        (theirs, ours)
        for theirs in published.BY_TABLE[table.name]
        for ours in _rows_of(results, table, theirs) or [None]
    ]
    places = {name.casefold(): n for n, name in enumerate(published.CLASSES)}
    columns: list[Column[tuple[PublishedRow, Row | None]]] = [
        _one("The paper’s row", "paper_row", lambda pair: pair[0].title, text),
        _one("Ours", "system", lambda pair: system_name(pair[1].system) if pair[1] else None, text),
    ]
    for name in published.in_order(results.classes):
        columns.append(_beside_class(name, places.get(name.casefold())))
    columns += [
        _one("Mean, ours", "voc07", lambda pair: pair[1].voc07.value if pair[1] else None, points),
        _one("Mean, printed", "printed_mean", lambda pair: pair[0].printed, decimals),
        _one(
            "Mean of the printed classes",
            "recomputed_mean",
            lambda pair: round(pair[0].recomputed, 6),
            decimals,
        ),
    ]
    caption = "Ours / the paper’s, by its rows and classes"
    return make_sheet(f"beside_{table.name}", caption, columns, pairs)


def departures_sheet(results: Results) -> Sheet:
    """Where the paper's protocol was not followed, or left open."""
    columns: list[Column[Departure]] = [
        _one("What", "what", lambda row: row.what, text),
        _one("Here", "ours", lambda row: row.ours, text),
        _one("The paper", "paper", lambda row: row.paper, text),
    ]
    return make_sheet("departures", "Departures", columns, results.departures)


def strata_sheet(results: Results) -> Sheet:
    """Mean average precision over objects of one size, and of one origin."""
    sizes = _keys(row.by_size for row in results.rows)
    origins = _keys(row.by_origin for row in results.rows)
    columns: list[Column[Row]] = [*_who(), _input()]
    columns += [_size(name) for name in sizes] + [_origin(name) for name in origins]
    caption = "VOC 2007 mean AP over the objects of one size or origin alone"
    return make_sheet("strata", caption, columns, results.rows)


def alarms_sheet(results: Results) -> Sheet:
    """False alarms at fixed recall."""
    kinds = {(a.recall, a.among): None for row in results.rows for a in row.alarms}
    columns = [*_who(), _input(), *(_alarm(*kind) for kind in sorted(kinds))]
    caption = (
        "False alarms per 1,000 negatives at the threshold that reaches a recall: images with an"
        " alarm / boxes. Confusing ones were once flagged, and cleared by people"
    )
    return make_sheet("alarms", caption, columns, results.rows)


def cost_sheet(results: Results) -> Sheet:
    """What crops remove, save and lose."""
    rows = [row for row in results.rows if row.system.crop.method != "none"]
    columns: list[Column[Row]] = [
        *_who(),
        _input(),
        _one("Area removed", "area_removed", lambda row: row.cost.area_removed, per_cent),
        _one("Objects", "objects", lambda row: row.cost.objects, text),
        _one("Cut", "objects_cut", lambda row: row.cost.objects_cut, text),
        _one("Lost", "objects_lost", lambda row: row.cost.objects_lost, text),
        _time("crop"),
        _saving(results),
    ]
    return make_sheet("cost", "What each crop removes over all test images", columns, rows)


def sweep_sheet(results: Results) -> Sheet:
    """Threshold and kernel of TDC on the validation images."""
    columns: list[Column[SweepPoint]] = [
        _one("k", "k", lambda point: point.k, text),
        _one("Kernel, cells", "kernel", lambda point: point.kernel, text),
        _one("Mean AP", "voc07", lambda point: point.mean, points),
        _one("Area removed", "area_removed", lambda point: point.area_removed, per_cent),
        _one("Cut", "objects_cut", lambda point: point.objects_cut, text),
        _one("Lost", "objects_lost", lambda point: point.objects_lost, text),
    ]
    caption = f"TDC on the validation images by k and kernel; k = {results.chosen_k:g} was chosen"
    return make_sheet("sweep", caption, columns, results.sweep, folded=True)


def models_sheet(results: Results) -> Sheet:
    """The weights that were judged."""
    columns: list[Column[ModelFacts]] = [
        _one("Weights", "weights", lambda model: model.name, text),
        _one("Detector", "detector", lambda model: model.detector, text),
        _one("Epochs", "epochs", lambda model: model.epochs, text),
        _one("Seed", "seed", lambda model: model.seed, text),
        _one("SHA-256", "sha256", lambda model: model.sha256[:12] or None, text),
        _one("Images seen", "images_seen", lambda model: model.images_seen, text),
        _one("Mean AP held out", "validation", lambda model: model.validation, points),
        _one("Began from", "start", lambda model: model.start, text),
    ]
    return make_sheet("models", "Weights", columns, results.models)


def data_sheet(results: Results) -> Sheet:
    """How many images and objects there are."""
    rows = [("images", name, count) for name, count in results.images.items()]
    rows += [("test objects", name, count) for name, count in results.objects.items()]
    columns: list[Column[tuple[str, str, int]]] = [
        _one("What", "what", lambda row: row[0], text),
        _one("Of", "name", lambda row: row[1], text),
        _one("Number", "number", lambda row: row[2], lambda n: f"{n:,}"),
    ]
    return make_sheet("data", "Images and objects", columns, rows)


def _one(head: str, name: str, read: Callable[[T], Value], show: Callable[..., str]) -> Column[T]:
    """A column of one value."""
    return Column(head, (name,), lambda row: (read(row),), show)


def _who() -> list[Column[Row]]:
    crop = ("method", "form", "layer", "kernel", "kernel_unit", "k", "border", "axes", "numbering")
    return [
        Column(
            "System",
            ("system", "name", *(f"crop_{name}" for name in crop)),
            lambda row: (
                row.system.key,
                system_name(row.system),
                *(_used(row, name) for name in crop),
            ),
            lambda key, name, *_: name,
        ),
        _one("Weights", "weights", lambda row: row.system.model, text),
    ]


def _used(row: Row, name: str) -> str | float | None:
    crop = row.system.crop
    used = name == "method" or crop.method == "tdc"
    return getattr(crop, name) if used else None


def _input() -> Column[Row]:
    return Column(
        "Input",
        ("input", "reading"),
        lambda row: (row.system.input, row.system.reading),
        lambda kind, _: kind,
    )


def _classes(results: Results) -> list[Column[Row]]:
    ours = results.classes
    names = published.in_order(ours) if results.protocol == PAPER.name else ours
    return [_class(name) for name in names]


def _class(name: str) -> Column[Row]:
    return _one(name, f"ap_{name}", lambda row: row.classes.get(name), points)


def _class_column(number: int, label: str) -> Column[PublishedRow]:
    return _one(label, f"ap_{label}", lambda row: row.values[number], decimals)


def _means() -> list[Column[Row]]:
    return [
        Column("Mean AP", _bounds("voc07"), lambda row: _triple(row.voc07), _with_bounds),
        Column("VOC 2010 mean", _bounds("voc10"), lambda row: _triple(row.voc10), _with_bounds),
        _one("COCO AP", "coco", lambda row: row.coco, points),
    ]


def _rows_of(results: Results, table: Table, theirs: PublishedRow) -> list[Row | None]:
    rows = [results.row(key) for key in table.rows]
    found = ((r, published.find_row(table.name, r.system, by_family=True)) for r in rows)
    return [row for row, paper in found if paper is theirs]


def _beside_class(name: str, place: int | None) -> Column[tuple[PublishedRow, Row | None]]:
    """Ours and theirs of one class.

    Args:
        place: of the class in the paper's tables, None where it is not there.
    """

    def read(pair: tuple[PublishedRow, Row | None]) -> tuple[float | None, float | None]:
        theirs = None if place is None else pair[0].values[place]
        return (None if pair[1] is None else pair[1].classes.get(name), theirs)

    def show(ours: float | None, theirs: float | None) -> str:
        return f"{points(ours)} / {decimals(theirs)}"

    return Column(name, (f"ap_{name}", f"paper_ap_{name}"), read, show)


def _bounds(name: str) -> tuple[str, str, str]:
    return (name, f"{name}_low", f"{name}_high")


def _triple(interval: Interval) -> tuple[float, float, float]:
    return (interval.value, interval.low, interval.high)


def _with_bounds(value: float | None, low: float | None, high: float | None) -> str:
    if missing(value):
        return ABSENT
    return f"{points(value)}\n({points(low)} to {points(high)})"


def _against() -> list[Column[Row]]:
    """Columns against the same detector and input without a crop."""

    def read(row: Row) -> tuple[float | None, ...]:
        found = row.difference
        return (None,) * 4 if found is None else (*_triple(found.interval), found.lower_bound)

    def show(value: float | None, low: float | None, high: float | None, _: float | None) -> str:
        if missing(value):
            return ABSENT
        return f"{signed(value)}\n({signed(low)} to {signed(high)})"

    def decided(row: Row) -> int | None:
        return None if row.difference is None else int(row.difference.non_inferior)

    names = (*_bounds("difference"), "difference_lower_bound")
    return [
        Column("Against no crop", names, read, show),
        _one("Not inferior", "non_inferior", decided, yes_no),
    ]


def _saving(results: Results) -> Column[Row]:
    return _one("Less time", "less_time", lambda row: less_time(results, row), per_cent)


def _time(step: str, between: str = " / ") -> Column[Row]:
    def read(row: Row) -> tuple[float | None, float | None]:
        if row.times is None:
            return (None, None)
        spent: Seconds = getattr(row.times, step)
        return (spent.median, spent.p99)

    def show(median: float | None, p99: float | None) -> str:
        return ABSENT if missing(median) else f"{seconds(median)}{between}{seconds(p99)}"

    title = "NMS" if step == "nms" else step.capitalize()
    return Column(f"{title}, s", (f"{step}_median_s", f"{step}_p99_s"), read, show)


def _paper(results: Results, name: str) -> Column[Row]:
    """The paper's mean for the same detector and kind of crop."""

    def read(row: Row) -> tuple[float | None, float | None]:
        found = published.find_row(name, row.system, by_family=results.protocol == PAPER.name)
        return (None, None) if found is None else (found.printed, round(found.recomputed, 6))

    def show(printed: float | None, recomputed: float | None) -> str:
        return ABSENT if printed is None else f"{decimals(printed)} / {decimals(recomputed)}"

    return Column(
        "The paper: printed / of classes", ("paper_printed", "paper_recomputed"), read, show
    )


def _keys(mappings: Iterable[dict[str, float | None]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _size(name: str) -> Column[Row]:
    return _one(f"Size: {name}", f"size_{name}", lambda row: row.by_size.get(name), points)


def _origin(name: str) -> Column[Row]:
    return _one(f"Origin: {name}", f"origin_{name}", lambda row: row.by_origin.get(name), points)


def _alarm(recall: float, among: str) -> Column[Row]:
    def read(row: Row) -> tuple[float | None, float | None]:
        alike = (a for a in row.alarms if (a.recall, a.among) == (recall, among))
        found = next(alike, None)
        alarm = found or Alarm(recall, None, None)
        return (alarm.images_per_1000, alarm.boxes_per_1000)

    def show(images: float | None, boxes: float | None) -> str:
        return ABSENT if missing(images) else f"{images:.1f} / {boxes:.1f}"

    end = f"_{among}" if among else ""
    names = (f"images_at_{recall:g}{end}", f"boxes_at_{recall:g}{end}")
    return Column(f"Recall {recall:g}" + f", {among}" * bool(among), names, read, show)
