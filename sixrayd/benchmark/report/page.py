"""`report.html` of a benchmark, which stands alone, with its tables as CSV and pictures as PNG."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from sixrayd.benchmark import published
from sixrayd.benchmark.protocol import PAPER
from sixrayd.benchmark.report.charts import (
    class_chart,
    interval_chart,
    layer_chart,
    sweep_chart,
    time_chart,
)
from sixrayd.benchmark.report.parts import Picture, ReportPictures, Section, Sheet
from sixrayd.benchmark.report.pictures import (
    crop_picture,
    map_picture,
    profile_picture,
    worst_picture,
)
from sixrayd.benchmark.report.tables import (
    alarms_sheet,
    beside_sheet,
    cost_sheet,
    data_sheet,
    departures_sheet,
    models_sheet,
    paper_sheet,
    steps_sheet,
    strata_sheet,
    sweep_sheet,
    system_sheet,
)
from sixrayd.benchmark.report.verdict import AIM, summary, verdicts
from sixrayd.benchmark.report.words import system_name
from sixrayd.benchmark.results import Results, Table
from sixrayd.core.figures import plain_style
from sixrayd.core.files import write_bytes

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
_JPEG_QUALITY = 85
_PROTOCOLS = {
    "modern": "modern: this project’s own",
    "paper": "paper: average precision and suppression as in RFBNet’s published test, k and rows "
    "as in the paper",
}
_TIMED = ("dynamic", "forms")  # tables that are about time
_TEXTS = {
    "fixed": "As the paper’s table 3: images are stretched to the detector’s input.",
    "dynamic": "As the paper’s table 4: images keep their size, so a crop can save time. Times are "
    "of one image at a time: median / 99th percentile; less time compares medians of the total.",
    "layers": "As the paper’s figure 10, a picture: of its digits only those of layer 9 are known, "
    "the last row of table 3. The same kernel spans few pixels at an early layer and many at a "
    "late one, so by the modern protocol it is held once in cells and once in pixels.",
    "forms": "Exact runs the backbone on the full image and the detector on the crop; fast looks "
    "at a reduced image; shared crops the map and lets the detector go on from there.",
}


@plain_style()
def write_report(folder: Path, results: Results, pictures: ReportPictures) -> None:
    """Write the report into a folder: `report.html`, `sweep.csv`, `tables/NAME.csv` and
    `figures/NAME.png`. The page is last and needs none of the others.

    Args:
        pictures: examples and worst cases to draw; the page does without.
    """
    sections = tuple(_sections(results, pictures))
    for section in sections:
        for sheet in section.sheets:
            write_bytes(folder / csv_path(sheet), sheet.csv)
        for picture in section.pictures:
            write_bytes(folder / "figures" / f"{picture.name}.png", picture.png)
    write_bytes(folder / "report.html", _page(results, sections).encode("utf-8"))


def csv_path(sheet: Sheet) -> str:
    """Where a table's CSV lies, from the report's folder."""
    return "sweep.csv" if sheet.name == "sweep" else f"tables/{sheet.name}.csv"


def _sections(results: Results, pictures: ReportPictures) -> Iterator[Section]:
    shown = frozenset(worst.key for worst in pictures.worst)
    if results.departures:
        text = "What was done in another way than in the paper, and what it does not say."
        sheet = departures_sheet(results)
        yield Section("departures", "Departures from the paper", (text,), (sheet,))
    for table in results.tables:
        yield _table_section(results, table, shown)
    yield from _measures(results)
    if pictures.examples:
        yield _example_section(pictures)
    if pictures.worst:
        yield _worst_section(results, pictures)
    about = (models_sheet(results), data_sheet(results))
    yield Section("judged", "Weights and images", (), about)


def _table_section(results: Results, table: Table, shown: frozenset[str]) -> Section:
    sheets = [system_sheet(results, table, shown)]
    if table.name in published.BY_TABLE:
        if results.protocol == PAPER.name:
            sheets.insert(0, beside_sheet(results, table))
        sheets.append(paper_sheet(table.name))
    charts = [interval_chart(results, table)]
    if table.name == "layers":
        charts.insert(0, layer_chart(results, table))
        charts.insert(0, class_chart(results, table))
    if table.name in _TIMED:
        sheets.insert(-1 if table.name in published.BY_TABLE else 1, steps_sheet(results, table))
        charts.append(time_chart(results, table))
    text = (_TEXTS[table.name],) if table.name in _TEXTS else ()
    drawn = tuple(chart for chart in charts if chart is not None)
    return Section(table.name, table.title, text, tuple(sheets), drawn)


def _measures(results: Results) -> Iterator[Section]:
    """What the paper's tables do not show."""
    if results.sweep:
        chart = sweep_chart(results)
        text = "The validation images alone choose k; the test images have no part in it."
        yield Section(
            "sweep",
            "Threshold and kernel",
            (text, *([f"{results.k_edge}."] if results.k_edge else [])),
            (sweep_sheet(results),),
            (chart,) if chart else (),
        )
    text = (
        "Objects that mining found were found by a detector, so detectors do well on them. Sizes "
        "are shares of the image’s area: small below 1 %, large from 4 %."
    )
    yield Section("strata", "By size and origin", (text,), (strata_sheet(results),))
    text = "The paper’s test set holds positives only, so it cannot show these."
    yield Section("alarms", "False alarms", (text,), (alarms_sheet(results),))
    text = (
        "An object is cut when up to half of its area lies outside of what is kept, and lost when "
        "more does. The crop’s time is the median / 99th percentile."
    )
    yield Section("cost", "What crops cost and save", (text,), (cost_sheet(results),))


def _example_section(pictures: ReportPictures) -> Section:
    drawn = [
        draw(example, number)
        for number, example in enumerate(pictures.examples, start=1)
        for draw in (map_picture, profile_picture, crop_picture)
    ]
    return Section("examples", "How TDC sees images", (), (), tuple(drawn))


def _worst_section(results: Results, pictures: ReportPictures) -> Section:
    keys = dict.fromkeys(worst.key for worst in pictures.worst)
    drawn = []
    for key in keys:
        system = results.row(key).system
        name = f"{system_name(system)}, {system.input} input"
        cases = [worst for worst in pictures.worst if worst.key == key]
        drawn.append(worst_picture(key, name, cases))
    text = "Images in which a system misses most of what its reference finds. Click to open."
    return Section("worst", "Worst cases", (text,), (), tuple(drawn), folded=True)


def _page(results: Results, sections: tuple[Section, ...]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"csv_path": csv_path, "source": _source}
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        results=results,
        sections=sections,
        facts=_facts(results),
        summary=summary(results),
        verdicts=verdicts(results),
        margin=f"{100 * results.margin:g}",
        aim=f"{100 * AIM:.0f} %",
        paper_note=published.NOTE,
    )


def _facts(results: Results) -> list[tuple[str, str]]:
    """What the head of the page says was judged."""
    images = ", ".join(f"{count:,} {name}" for name, count in results.images.items())
    objects = ", ".join(f"{count:,} {name}" for name, count in results.objects.items())
    weights = "; ".join(model.title for model in results.models)
    split = results.split
    return [
        ("Protocol", _PROTOCOLS[results.protocol]),
        ("Tree", results.tree),
        *([("Split", f"{split.title}; {split.crossing}")] if split else []),
        ("Images", images or "none"),
        ("Test objects", objects or "none"),
        ("Weights", weights or "none"),
        ("Device", f"{results.device}, {results.precision}"),
        ("Intervals", f"{results.resamples:,} draws of near-duplicate groups of test images"),
        ("Command", results.command),
    ]


def _source(picture: Picture) -> str:
    """The picture as an address that holds it."""
    data, kind = picture.png, "png"
    if picture.photo:
        packed = io.BytesIO()
        with Image.open(io.BytesIO(picture.png)) as image:
            image.convert("RGB").save(packed, "JPEG", quality=_JPEG_QUALITY)
        data, kind = packed.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
