"""The report of a benchmark, read back with an HTML parser."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from lxml import html
from PIL import Image

from sixrayd.benchmark import published
from sixrayd.benchmark.pictures import likeliest, reduced
from sixrayd.benchmark.report.page import write_report
from sixrayd.benchmark.report.parts import (
    Axis,
    Column,
    CropExample,
    ReportPictures,
    WorstPicture,
    make_sheet,
)
from sixrayd.benchmark.report.tables import alarms_sheet
from sixrayd.benchmark.report.verdict import verdicts
from sixrayd.benchmark.report.words import less_time, per_cent, plain_row, points, signed, text
from sixrayd.benchmark.results import (
    Alarm,
    Crop,
    CropLoss,
    ModelFacts,
    Results,
    Row,
    Seconds,
    SweepPoint,
    System,
    Table,
    Times,
    WorstCase,
)
from sixrayd.evaluation.bootstrap import Difference, Interval

EVIL = '<script>alert("1")</script>'
CLASSES = ("Gun", EVIL)
PLAIN, TDC = Crop(), Crop("tdc")


def a_row(key, crop=PLAIN, *, kind="fixed", mean=0.8776, total=None, difference=None, **changes):
    row = Row(
        system=System(key, "rfb512", "first", crop, kind),
        voc07=Interval(mean, mean - 0.01, mean + 0.0123),
        voc10=Interval(mean + 0.02, mean + 0.01, mean + 0.03),
        coco=0.5,
        classes={"Gun": 0.9631, EVIL: None},
        difference=difference,
        by_size={"small": 0.5, "large": None},
        by_origin={"source": 0.9, "found": 0.95},
        alarms=(Alarm(0.7, 12.5, 13.0), Alarm(0.9, None, None)),
        cost=CropLoss(0.0, 40, 0, 0) if crop is PLAIN else CropLoss(0.315, 40, 3, 1),
        times=None if total is None else some_times(total, crop),
    )
    return replace(row, **changes)


def some_times(total, crop):
    cropping = 0.0 if crop is PLAIN else 0.02
    steps = (0.01, cropping, total - 0.02 - cropping, 0.01, total)
    return Times(*(Seconds(step, 2 * step) for step in steps))


def a_difference(value, lower, *, good):
    return Difference(Interval(value, lower - 0.001, value + 0.01), lower, good)


def some_rows():
    good = a_difference(0.011, 0.002, good=True)
    bad = a_difference(-0.02, -0.03, good=False)
    pixels = replace(TDC, kernel=72, kernel_unit="pixels", layer=2)
    return (
        a_row("plain"),
        a_row("tdc", TDC, mean=0.8886, difference=good, worst=(WorstCase("P1", 2, (0, 0, 9, 9)),)),
        a_row("pixels", pixels, mean=0.86, difference=bad),
        a_row("wide", kind="dynamic", total=0.2),
        a_row("wide-tdc", TDC, kind="dynamic", total=0.14, difference=good),
        a_row("wide-fast", replace(TDC, form="fast"), kind="dynamic", total=0.16, difference=bad),
    )


def some_results():
    return Results(
        name="first",
        tree="/data/tree",
        classes=CLASSES,
        images={"train": 1200, "test": 300, "negatives": 100},
        objects={"Gun": 25, EVIL: 15},
        models=(ModelFacts("first", "rfb512", 200, 7, 240_000, None, "vgg16.pth"),),
        rows=some_rows(),
        tables=(
            Table(
                "fixed",
                "Fixed input",
                ("plain", "tdc"),
                {"rfb512 + aesthetic": "no weights: see https://example.org/weights"},
            ),
            Table("dynamic", "Dynamic input", ("wide", "wide-tdc")),
            Table("layers", "Layers", ("plain", "tdc", "pixels")),
            Table("forms", "Forms", ("wide", "wide-tdc", "wide-fast")),
        ),
        sweep=(SweepPoint(0.1, 5, 0.8, 0.25, 1, 0), SweepPoint(0.15, 5, 0.81, 0.3, 2, 1)),
        chosen_k=0.15,
        margin=0.005,
        resamples=1000,
        device="1 CPU",
        precision="float32",
        command=f"sixrayd benchmark --voc {EVIL}",
        notes=("A note & more.",),
    )


def some_pictures():
    image = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    box = np.array([[5.0, 5.0, 20.0, 20.0]])
    curve = np.array([0.0, 0.1, 1.0, 0.4, 0.0])
    example = CropExample(
        "P$1$",  # not a formula
        image,
        (60, 40),
        box,
        {layer: np.eye(6) for layer in (2, 9, 15)},
        9,
        Axis(10 * curve, curve),
        Axis(np.zeros(5), np.zeros(5)),
        0.15,
        (10, 0, 50, 40),
        {"canny": (0, 0, 60, 40), "tdc": (10, 0, 50, 40)},
    )
    worst = WorstPicture(
        "tdc", WorstCase("P1", 2, (10, 0, 50, 40)), image, (60, 40), box, box, np.array([0.9])
    )
    return ReportPictures((example,), (worst,))


def test_pictures_of_large_images_are_kept_small_since_there_may_be_many():
    large = np.broadcast_to(np.uint8(7), (7000, 3500, 3))
    assert reduced(large).shape == (1600, 800, 3)
    assert reduced(np.broadcast_to(np.uint8(7), (1, 65_535, 3))).shape == (1, 1600, 3)
    usual = np.zeros((1536, 1000, 3), np.uint8)
    assert reduced(usual) is usual


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, some_results(), some_pictures())
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return html.fromstring((folder / "report.html").read_bytes())


def lines(page, name):
    (table,) = page.xpath(f"//table[@id='table-{name}']")
    return [
        [cell.text_content().strip() for cell in line.iter("th", "td")] for line in table.iter("tr")
    ]


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def written(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_files_lie_beside_the_page(folder):
    tables = ["alarms", "cost", "data", "dynamic", "dynamic_steps", "fixed", "forms"]
    tables += ["forms_steps", "layers", "models", "paper_dynamic", "paper_fixed", "strata"]
    figures = ["crops_1", "intervals_dynamic", "intervals_fixed", "intervals_forms"]
    figures += ["intervals_layers", "layers", "layers_classes", "maps_1", "profile_1", "sweep"]
    figures += ["time_dynamic", "time_forms", "worst_tdc"]

    assert written(folder) == [
        *(f"figures/{name}.png" for name in figures),
        "report.html",
        "sweep.csv",
        *(f"tables/{name}.csv" for name in tables),
    ]
    for name in figures:
        with Image.open(folder / "figures" / f"{name}.png") as image:
            assert image.format == "PNG"
            assert min(image.size) > 100


def test_fixed_table_shows_figures_and_what_is_absent(page):
    assert lines(page, "fixed") == [
        [
            "System",
            "Weights",
            "Gun",
            EVIL,
            "Mean AP",
            "VOC 2010 mean",
            "COCO AP",
            "Against no crop",
            "Not inferior",
            "Less time",
            "Total, s",
            "The paper: printed / of classes",
        ],
        [
            "rfb512, no crop",
            "first",
            "96.31",
            "–",
            "87.76\n(86.76 to 88.99)",
            "89.76\n(88.76 to 90.76)",
            "50.00",
            "–",
            "–",
            "–",
            "–",
            "87.76 / 87.76",
        ],
        [
            "rfb512, TDC exact, layer 9, kernel 9 cells, k 0.15",
            "first",
            "96.31",
            "–",
            "88.86\n(87.86 to 90.09)",
            "90.86\n(89.86 to 91.86)",
            "50.00",
            "+1.10\n(+0.10 to +2.10)",
            "yes",
            "–",
            "–",
            "88.86 / 88.86",
        ],
        ["rfb512 + aesthetic", "no weights: see https://example.org/weights"],
    ]


def test_dynamic_table_shows_the_saving_and_steps_stand_apart(page):
    head, plain, tdc = lines(page, "dynamic")
    steps = lines(page, "dynamic_steps")

    assert head[-3:] == ["Less time", "Total, s", "The paper: printed / of classes"]
    assert plain[-3:] == ["–", "0.2000\n/ 0.4000", "90.28 / 90.28"]
    assert tdc[-3:] == ["30.0 %", "0.1400\n/ 0.2800", "90.60 / 90.64"]
    assert [line[2:] for line in steps] == [
        ["Decode, s", "Crop, s", "Detect, s", "NMS, s", "Total, s", "Less time"],
        [
            "0.0100 / 0.0200",
            "0.0000 / 0.0000",
            "0.1800 / 0.3600",
            "0.0100 / 0.0200",
            "0.2000 / 0.4000",
            "–",
        ],
        [
            "0.0100 / 0.0200",
            "0.0200 / 0.0400",
            "0.1000 / 0.2000",
            "0.0100 / 0.0200",
            "0.1400 / 0.2800",
            "30.0 %",
        ],
    ]


def test_alarms_among_confusing_negatives_have_columns_of_their_own():
    alarms = (Alarm(0.7, 12.5, 13.0), Alarm(0.7, 250.0, 260.0, "confusing"))
    sheet = alarms_sheet(replace(some_results(), rows=(a_row("a", alarms=alarms),)))

    assert sheet.heads[-2:] == ("Recall 0.7", "Recall 0.7, confusing")
    assert sheet.csv.splitlines()[0].endswith(b"images_at_0.7_confusing,boxes_at_0.7_confusing")
    assert sheet.csv.splitlines()[1].endswith(b"12.5,13.0,250.0,260.0")


def test_other_tables_hold_their_rows(page):
    assert lines(page, "alarms")[0][3:] == ["Recall 0.7", "Recall 0.9"]
    assert [line[3:] for line in lines(page, "alarms")[1:]] == [["12.5 / 13.0", "–"]] * 6
    assert lines(page, "strata")[0][3:] == [
        "Size: small",
        "Size: large",
        "Origin: source",
        "Origin: found",
    ]
    assert [line[3:] for line in lines(page, "strata")[1:]] == [
        ["50.00", "–", "90.00", "95.00"]
    ] * 6
    assert [line[3:7] for line in lines(page, "cost")[1:]] == [["31.5 %", "40", "3", "1"]] * 4
    assert lines(page, "sweep")[1:] == [
        ["0.1", "5", "80.00", "25.0 %", "1", "0"],
        ["0.15", "5", "81.00", "30.0 %", "2", "1"],
    ]
    assert lines(page, "models")[1:] == [
        ["first", "rfb512", "200", "7", "–", "240000", "–", "vgg16.pth"]
    ]
    assert lines(page, "data")[1] == ["images", "train", "1,200"]
    assert len(lines(page, "layers")) == 4
    assert len(lines(page, "forms")) == 4


def test_the_papers_tables_stand_beside_ours(page):
    (caption,) = page.xpath("//table[@id='table-paper_fixed']/caption")
    fixed, dynamic = lines(page, "paper_fixed"), lines(page, "paper_dynamic")

    assert caption.text.strip() == (
        "Table 3 of the paper: SIXray-D test set, 836 images, GTX 1080 Ti"
    )
    assert len(fixed) == 7
    assert fixed[2] == [
        "RetinaNet", "82.73", "84.51", "75.69", "79.95", "74.64", "81.50", "79.50"
    ]  # fmt: skip
    assert len(dynamic) == 5
    assert dynamic[3][-4:] == ["90.37", "90.17", "2.221", "7.23"]
    assert dynamic[1][-2:] == ["2.394", "–"]
    assert page.text_content().count(published.NOTE) == 2


def test_recomputed_means_are_those_of_the_classes():
    rounded = [round(row.recomputed, 2) for row in published.FIXED + published.DYNAMIC]

    assert rounded == [86.92, 79.5, 87.76, 88.15, 88.17, 88.86, 90.28, 90.29, 90.17, 90.64]


def test_head_says_what_was_judged(page):
    terms = [term.text_content() for term in page.xpath("//header//dt")]
    words = [word.text_content() for word in page.xpath("//header//dd")]

    assert dict(zip(terms, words, strict=True)) == {
        "Protocol": "modern: this project’s own",
        "Tree": "/data/tree",
        "Images": "1,200 train, 300 test, 100 negatives",
        "Test objects": f"25 Gun, 15 {EVIL}",
        "Weights": "first (rfb512, 200 epochs, seed 7, from vgg16.pth)",
        "Device": "1 CPU, float32",
        "Intervals": "1,000 draws of near-duplicate groups of test images",
        "Command": f"sixrayd benchmark --voc {EVIL}",
    }
    assert [note.text for note in page.xpath("//section[@id='verdict']/ul/li")] == [
        "A note & more."
    ]


def test_verdicts_follow_from_the_figures():
    fixed, wide, fast = verdicts(some_results())

    assert fixed.good is True
    assert fixed.title == "rfb512, TDC exact, layer 9, kernel 9 cells, k 0.15, fixed input"
    assert fixed.sentences == (
        "Not inferior: mean AP +1.10 points against no crop, 95 % interval +0.10 to +2.10; its "
        "one-sided lower bound is +0.20 and must be above −0.50.",
    )
    assert fixed.reasons == ()
    assert (wide.good, wide.reasons) == (True, ())
    assert wide.sentences[1] == (
        "It takes 30.0 % less time than no crop, which reaches the aim of 25 % less."
    )
    assert fast.good is False
    assert fast.sentences == (
        "Inferior: mean AP −2.00 points against no crop, 95 % interval −3.10 to −1.00; its "
        "one-sided lower bound is −3.00 and must be above −0.50.",
        "It takes 20.0 % less time than no crop, which misses the aim of 25 % less.",
    )
    assert fast.reasons == (
        "The crop cuts into 3 and loses 1 of 40 objects.",
        "Cropping takes 10.0 % of the time without a crop, and detection saves 30.0 %.",
        "Decoding and NMS, which no crop shortens much, are 10.0 % of it.",
    )


def changed(key, **changes):
    """The results with one row changed."""
    results = some_results()
    rows = [replace(r, **changes) if r.system.key == key else r for r in results.rows]
    return replace(results, rows=tuple(rows))


def test_a_verdict_names_the_class_that_loses_most_and_too_few_images():
    unsure = a_difference(-0.001, -0.009, good=False)
    results = changed(
        "tdc", difference=unsure, classes={"Gun": 0.9, EVIL: None}, cost=CropLoss(0.1, 40, 0, 0)
    )

    fixed = verdicts(results)[0]

    assert fixed.good is False
    assert fixed.sentences[0].startswith("Not shown to be as good: mean AP −0.10 points")
    assert fixed.reasons == (
        "The crop cuts and loses no object, so what can cost precision is the change of scale and "
        "of surroundings.",
        "The value itself is within the margin: the test images are too few to be sure.",
        "Gun loses most: 96.31 to 90.00 (−6.31).",
    )


def test_a_crop_that_removes_little_is_the_reason_for_a_small_saving():
    row = some_results().row("wide-tdc")
    times = some_times(0.21, TDC)
    wide = verdicts(changed("wide-tdc", times=times, cost=replace(row.cost, area_removed=0.08)))[1]

    assert wide.good is False
    assert wide.sentences[1] == (
        "It takes 5.0 % more time than no crop, which misses the aim of 25 % less."
    )
    assert wide.reasons[0] == (
        "The crop removes 8.0 % of the area; the time of detection goes about with the area, so "
        "25 % less can hardly be expected."
    )


def test_a_verdict_is_open_without_times_or_reference():
    untimed = verdicts(changed("wide-tdc", times=None))[1]
    alone = verdicts(changed("tdc", difference=None))[0]

    assert untimed.good is None
    assert untimed.sentences[1] == "Its time was not compared."
    assert alone.good is None
    assert alone.sentences == (
        "Its mean AP was not compared: the same detector has no row without a crop.",
    )


def test_page_shows_each_verdict_in_words(page):
    titles = [e.text_content() for e in page.xpath("//div[starts-with(@class, 'verdict')]/h3")]

    assert [title.split(":")[0] for title in titles] == ["Reached", "Reached", "Not reached"]
    assert page.xpath("//section[@id='verdict']/p/strong/text()") == [
        "Rows in which TDC reaches what it must: 2 of 3."
    ]


def test_hostile_names_stay_text(folder, page):
    assert page.xpath("//script") == []
    assert EVIL not in (folder / "report.html").read_text("utf-8")
    assert EVIL in page.text_content()


def test_the_page_needs_nothing_else(page):
    sources = page.xpath("//@src")
    links = page.xpath("//@href")

    assert len(sources) == 13
    assert all(source.startswith("data:image/") for source in sources)
    assert page.xpath("//link | //iframe | //object") == []
    assert [link for link in links if "://" in link] == ["https://example.org/weights"]
    anchors = [link[1:] for link in links if link.startswith("#")]
    assert len(anchors) > 10
    assert set(anchors) <= set(page.xpath("//@id"))


def test_the_long_sweep_is_folded(page):
    assert len(page.xpath("//section[@id='sweep']/details//table[@id='table-sweep']")) == 1
    assert len(page.xpath("//section[@id='sweep']/figure")) == 1


def test_every_csv_is_linked_and_there(folder, page):
    linked = page.xpath("//caption/a/@href")

    assert len(linked) == 14
    assert all((folder / link).is_file() for link in linked)


def test_every_picture_is_told_in_words(page):
    alts = page.xpath("//img/@alt")

    assert len(alts) == 13
    assert all(len(alt) > 20 for alt in alts)
    assert len(page.xpath("//figure/figcaption")) == 13
    assert len(page.xpath("//table/caption")) == len(page.xpath("//table"))


def test_each_crop_is_drawn_once(page):
    (alt,) = page.xpath("//figure[starts-with(figcaption, 'As figures 8 and 9')]/img/@alt")

    assert alt == (
        "P$1$, objects: 1. Kept: TDC: 10–50 across, 0–40 down; Canny crop: 0–60 across, 0–40 down"
    )


def test_worst_cases_are_one_click_away(page):
    (details,) = page.xpath("//section[@id='worst']/details")
    (figure,) = details.iter("figure")

    assert details.find("summary").text == (
        "rfb512, TDC exact, layer 9, kernel 9 cells, k 0.15, fixed input"
    )
    assert figure.get("id") == "worst-tdc"
    assert page.xpath("//table[@id='table-fixed']//th/a/@href") == ["#worst-tdc"]
    assert (
        figure.find("img").get("alt")
        == "P1: 2 missed, kept 10–50 across, 0–40 down, 1 found and drawn"
    )


def test_csv_holds_values_in_full(folder):
    plain, tdc, aesthetic = rows_of(folder / "tables" / "fixed.csv")

    assert float(tdc["voc07"]) == 0.8886
    assert float(tdc["difference_low"]) == some_results().row("tdc").difference.interval.low
    assert (tdc["non_inferior"], plain["non_inferior"]) == ("1", "")
    assert (plain["crop_method"], plain["crop_layer"], tdc["crop_layer"]) == ("none", "", "9")
    assert plain[f"ap_{EVIL}"] == ""
    assert (aesthetic["system"], aesthetic["absent"]) == (
        "rfb512 + aesthetic",
        "no weights: see https://example.org/weights",
    )
    assert rows_of(folder / "sweep.csv")[1] == {
        "k": "0.15",
        "kernel": "5",
        "voc07": "0.81",
        "area_removed": "0.3",
        "objects_cut": "2",
        "objects_lost": "1",
    }
    (wide, cut) = rows_of(folder / "tables" / "dynamic_steps.csv")
    assert float(cut["less_time"]) == 1 - 0.14 / 0.2
    assert (wide["total_median_s"], wide["total_p99_s"]) == ("0.2", "0.4")


def test_equal_results_give_equal_bytes(folder, tmp_path):
    write_report(tmp_path, some_results(), some_pictures())

    names = written(folder)
    assert written(tmp_path) == names
    assert [n for n in names if (tmp_path / n).read_bytes() != (folder / n).read_bytes()] == []


def test_a_benchmark_without_any_figure_still_reports(tmp_path):
    why = {"rfb512": "no weights: run it with --train-missing"}
    nothing = replace(
        some_results(), rows=(), sweep=(), models=(), tables=(Table("fixed", "Fixed", (), why),)
    )

    write_report(tmp_path, nothing, ReportPictures())

    page = html.fromstring((tmp_path / "report.html").read_bytes())
    assert lines(page, "fixed")[1:] == [["rfb512", "no weights: run it with --train-missing"]]
    assert page.xpath("//img") == []
    assert "No row of TDC was measured" in page.text_content()


def test_numbers_are_written_for_people():
    nan = float("nan")

    assert [points(v) for v in (0.8776, 1.0, 0.0, None, nan)] == [
        "87.76",
        "100.00",
        "0.00",
        "–",
        "–",
    ]
    assert [signed(v) for v in (0.011, -0.005, None)] == ["+1.10", "−0.50", "–"]
    assert [per_cent(v) for v in (0.315, -0.05, None)] == ["31.5 %", "−5.0 %", "–"]
    assert [text(v) for v in ("a", 0, None)] == ["a", "0", "–"]


def test_a_saving_compares_with_the_same_weights_first():
    results = some_results()
    other = a_row("other", kind="dynamic", total=0.4)
    other = replace(other, system=replace(other.system, model="second"))
    cropped = a_row("mine", TDC, kind="dynamic", total=0.1)
    mine = replace(cropped, system=replace(cropped.system, model="second"))
    trained = replace(cropped, system=replace(cropped.system, model="on-crops"))
    results = replace(results, rows=(*results.rows, other, mine, trained))

    assert plain_row(results, mine).system.key == "other"
    assert less_time(results, mine) == 0.75
    assert plain_row(results, trained).system.key == "wide"
    assert plain_row(results, other) is None
    assert less_time(results, results.row("plain")) is None


def test_a_sheet_quotes_what_csv_needs():
    sheet = make_sheet(
        "name", "Caption", [Column("A", ("a", "b"), lambda v: v, "{}/{}".format)], [('x,"y"', 1)]
    )

    assert sheet.csv == b'a,b\n"x,""y""",1\n'
    assert sheet.lines[0].cells == ('x,"y"/1',)


def test_of_many_boxes_the_likeliest_few_are_drawn():
    scores = np.linspace(0.1, 0.9, 200)

    assert likeliest(scores).tolist() == list(range(199, 189, -1))
    assert likeliest(np.array([0.2, 0.5])).tolist() == [1]
    assert not len(likeliest(np.zeros(0)))
