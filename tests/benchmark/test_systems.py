"""Which systems are compared, on which images, and how k is chosen."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sixrayd.benchmark.judging import load_sides
from sixrayd.benchmark.protocol import MODERN, PAPER
from sixrayd.benchmark.report.words import system_name
from sixrayd.benchmark.results import Crop, SweepPoint, System
from sixrayd.benchmark.scoring import reference_of
from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.benchmark.sweep import choose_k, edge_of_sweep
from sixrayd.benchmark.systems import Entrant, SystemRunner, plan_systems, usable_crops
from sixrayd.benchmark.tdc import tdc_settings
from sixrayd.benchmark.tree import ORIGIN_SCHEMA
from sixrayd.core.classes import ClassList
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.crop.settings import SHARED, CannySettings, TdcKnobs
from sixrayd.detectors.rfb import rfb_small
from tests.workspaces import Picture, build_shards

ALL = {
    "ssd-small": Entrant("ssd-small", "a"),
    "retinanet-small": Entrant("retinanet-small", "b"),
    "rfb-small": Entrant("rfb-small", "c"),
}
CROPS = {"canny": "", "aesthetic": "no weights: look there", "smart": "", "tdc": ""}


def test_the_tables_have_the_papers_rows():
    plan = plan_systems(ALL, tuple(ALL), CROPS, MODERN, 0.2)

    rows = {table.name: table.rows for table in plan.tables}
    tdc = "tdc-exact-conv9-9cells-edge-k0.2"
    assert rows["fixed"] == (
        "ssd-small_fixed",
        "retinanet-small_fixed",
        "rfb-small_fixed",
        "rfb-small_fixed_canny",
        "rfb-small_fixed_smart",
        f"rfb-small_fixed_{tdc}",
    )
    assert rows["dynamic"] == (
        "rfb-small_dynamic",
        "rfb-small_dynamic_canny",
        "rfb-small_dynamic_smart",
        f"rfb-small_dynamic_{tdc}",
        "rfb-small_dynamic_fractions",
    )
    assert [row.split("_")[-1] for row in rows["layers"]] == [
        "fixed",
        *(f"tdc-exact-conv{n}-9cells-edge-k0.2" for n in (2, 9, 15)),
        *(f"tdc-exact-conv{n}-72pixels-edge-k0.2" for n in (2, 9, 15)),
    ]
    assert [row.split("_")[-1] for row in rows["forms"]] == [
        "dynamic",
        tdc,
        "tdc-exact-conv9-9cells-zeros-k0.2",
        "tdc-fast-conv5-72pixels-edge-k0.2",
        "tdc-shared-conv9-9cells-zeros-k0.2",
    ]
    keys = [system.key for system in plan.systems]
    assert len(keys) == len(set(keys)) == 19
    assert {row for table in rows.values() for row in table} == set(keys)
    absent = [table.absent for table in plan.tables]
    assert absent == [{"rfb-small + aesthetic": "no weights: look there"}] * 2 + [{}, {}]


def test_what_is_asked_of_tdc_is_in_every_table():
    knobs = TdcKnobs(tdc_layer=7, tdc_border="zeros", tdc_axes="rows", tdc_form="fast")

    plan = plan_systems(ALL, tuple(ALL), CROPS, replace(MODERN, knobs=knobs), 0.2)

    rows = {table.name: [row.split("_")[-1] for row in table.rows] for table in plan.tables}
    fast = "tdc-fast-conv7-72pixels-zeros-rows-k0.2"
    assert rows["fixed"][-1] == fast
    assert rows["dynamic"][-2] == fast
    assert rows["layers"][1] == "tdc-exact-conv2-9cells-zeros-rows-k0.2"
    assert rows["forms"] == [
        "dynamic",
        "tdc-exact-conv9-9cells-zeros-rows-k0.2",
        fast,
        "tdc-shared-conv9-9cells-zeros-rows-k0.2",
    ]
    crop = plan.systems[-1].crop
    assert tdc_settings(crop) == replace(SHARED, axes="rows", k=0.2)
    module = BenchmarkSettings(tdc=TdcKnobs(k=0.4, tdc_numbering="module", tdc_layer=4)).rules
    assert module.k == 0.4
    assert module.tdc_crop(0.4) == Crop("tdc", layer=4, k=0.4, numbering="module")


def test_nothing_asked_for_is_tdc_as_it_was():
    assert MODERN.tdc_crop(0.2) == Crop("tdc", k=0.2)
    assert PAPER.tdc_crop(0.15) == Crop("tdc", border="zeros")
    assert BenchmarkSettings(protocol="paper").rules == PAPER
    edge = BenchmarkSettings(protocol="paper", tdc=TdcKnobs(tdc_border="edge")).rules
    assert edge.tdc_crop(0.15) == Crop("tdc")


def test_cannys_thresholds_are_the_settings():
    detector = rfb_small(2)
    system = System("x", "rfb-small", "m", Crop("canny"), "fixed")
    image = np.full((100, 100, 3), 255, np.uint8)
    image[40:60, 30:80] = 225  # too faint for the usual thresholds

    regions = [
        SystemRunner(system, detector, 1.0, settings, torch.device("cpu")).cropper(image).xyxy
        for settings in (BenchmarkSettings(), BenchmarkSettings(canny=CannySettings(20, 60)))
    ]

    assert regions[0] == (0, 0, 100, 100)
    assert np.abs(np.array(regions[1]) - (30, 34, 80, 66)).max() <= 1


def test_a_detector_without_weights_has_a_row_that_says_so():
    plan = plan_systems(
        {"rfb-small": ALL["rfb-small"]}, ("ssd-small", "rfb-small"), CROPS, MODERN, 0.2
    )

    assert "ssd-small_fixed" not in plan.tables[0].rows
    assert plan.tables[0].absent["ssd-small"] == (
        "no weights: the same command with --train-missing makes them"
    )


def test_without_the_main_detector_there_are_no_crops():
    plan = plan_systems(
        {"ssd-small": ALL["ssd-small"]}, ("ssd-small", "rfb-small"), CROPS, MODERN, 0.2
    )

    assert [system.key for system in plan.systems] == ["ssd-small_fixed"]
    assert [table.rows for table in plan.tables[1:]] == [()] * 3


def test_the_papers_protocol_has_its_rows_and_no_others():
    crops = dict.fromkeys(PAPER.methods, "")
    plan = plan_systems(ALL, tuple(ALL), crops, PAPER, 0.15)

    tdc = "tdc-exact-conv9-9cells-zeros-k0.15"
    rfb = [f"rfb-small_{{}}{end}" for end in ("", "_canny", "_aesthetic", f"_{tdc}")]
    assert {table.name: table.rows for table in plan.tables} == {
        "fixed": (
            "ssd-small_fixed",
            "retinanet-small_fixed",
            *(key.format("fixed") for key in rfb),
        ),
        "dynamic": tuple(key.format("dynamic") for key in rfb),
        "layers": tuple(
            f"rfb-small_fixed_tdc-exact-conv{layer}-9cells-zeros-k0.15" for layer in (2, 9, 15)
        ),
    }


def test_two_models_of_one_detector_have_rows_of_their_own():
    rounds = {name: Entrant("rfb-small", name) for name in ("first", "second")}
    plan = plan_systems(rounds, ("first", "second"), {"tdc": ""}, PAPER, 0.15)

    tdc = "tdc-exact-conv9-9cells-zeros-k0.15"
    assert plan.tables[0].rows == ("first_fixed", "second_fixed", f"second_fixed_{tdc}")
    of = {system.key: (system.model, reference_of(system, plan.systems)) for system in plan.systems}
    assert of["first_fixed"] == ("first", "first_fixed")
    assert of[f"second_fixed_{tdc}"] == ("second", "second_fixed")
    assert [system_name(system) for system in plan.systems[:2]] == [
        "first (rfb-small), no crop",
        "second (rfb-small), no crop",
    ]


@pytest.mark.parametrize(
    ("k", "said"),
    [
        (0.0, "k = 0 was chosen, the least there is: no threshold that crops more did better"),
        (0.1, ""),
        (0.5, "k = 0.5 was chosen, the greatest tried: the best may lie beyond it"),
    ],
)
def test_a_sweep_that_ends_on_its_edge_says_so(k, said):
    points = tuple(SweepPoint(at, 9, float(at == k), 0.0, 0, 0) for at in (0.0, 0.1, 0.5))

    assert edge_of_sweep(points, choose_k(points)) == said


def test_an_older_sweep_has_another_edge():
    points = tuple(SweepPoint(at, 9, 0.5, 0.0, 0, 0) for at in (0.05, 0.1))

    assert edge_of_sweep(points, choose_k(points)) == (
        "k = 0.05 was chosen, the smallest tried: the best may lie beyond it"
    )
    assert edge_of_sweep((), choose_k(())) == ""


def test_the_aesthetic_crop_says_where_its_weights_are():
    assert "saliency.h5" in usable_crops(BenchmarkSettings())["aesthetic"]


def test_the_aesthetic_crop_is_not_begun_on_images_beyond_its_memory():
    settings = BenchmarkSettings(saliency=Path("s.h5"), regression=Path("r.h5"))
    assert usable_crops(settings, 4_000_000)["aesthetic"] == ""
    assert usable_crops(settings, 49_000_000)["aesthetic"] == (
        "an image has 49,000,000 pixels, its memory allows 4,000,000: reduce it"
    )


def test_a_system_is_compared_with_the_same_detector_and_input():
    plan = plan_systems(ALL, tuple(ALL), CROPS, MODERN, 0.2)

    found = {system.key: reference_of(system, plan.systems) for system in plan.systems}

    assert found["rfb-small_dynamic_canny"] == "rfb-small_dynamic"
    assert found["rfb-small_dynamic_fractions"] == "rfb-small_dynamic"
    assert found["rfb-small_fixed_canny"] == "rfb-small_fixed"
    assert found["ssd-small_fixed"] == "ssd-small_fixed"
    alone = System("x", "rfb512", "m", Crop("canny"), "fixed")
    assert reference_of(alone, (alone,)) == "x"


@pytest.mark.parametrize(
    ("means", "k"),
    [({0.1: 0.5, 0.2: 0.7, 0.3: 0.6}, 0.2), ({0.1: 0.7, 0.2: 0.7, 0.3: 0.6}, 0.1)],
)
def test_k_has_the_best_mean_with_the_published_kernel(means, k):
    points = [SweepPoint(at, 9, mean, 0.0, 0, 0) for at, mean in means.items()]
    points.append(SweepPoint(0.4, 3, 0.99, 0.0, 0, 0))

    assert choose_k(tuple(points)) == k


def test_nothing_to_choose_on_gives_the_papers_k():
    assert choose_k(()) == 0.15


def test_sides_are_kept_apart(tmp_path):
    workspace = Workspace(tmp_path)
    gun = (("Gun", 5, 6, 30, 40, False),)
    pictures = [Picture(f"P0000{n}", boxes=gun) for n in range(1, 6)]
    pictures += [Picture("P00006", "test", boxes=gun), Picture("N0000001", "test")]
    build_shards(workspace, [*pictures, Picture("N0000002")])
    origin = {"box_id": "P00006/a0", "origin": "confirmed"}
    write_table(workspace.shards / "origins.parquet", [origin], ORIGIN_SCHEMA)

    seen = frozenset({"P00001", "P00002"})
    sides = load_sides(workspace, ClassList(), seen, 2, 0)

    assert sides.test.ids == ("P00006",)
    assert sides.negatives.ids == ("N0000001",)
    assert len(sides.validation.ids) == 2
    assert not seen & set(sides.validation.ids)
    assert sides.train_images == 6
    assert sides.test.origins == {"P00006": ("confirmed",)}
    assert sides.test.truths["P00006"].xyxy.tolist() == [[5, 6, 30, 40]]
    assert sides.test.sizes_wh == {"P00006": (96, 64)}


def test_a_first_look_takes_so_many_of_each_kind_and_counts_the_rest(tmp_path):
    gun = (("Gun", 5, 6, 30, 40, False),)
    tested = [Picture(f"P0000{n}", "test", boxes=gun) for n in range(1, 6)]
    negatives = [Picture("N0000001", "test"), Picture("N0000002")]
    build_shards(Workspace(tmp_path), [*tested, *negatives])
    origin = {"box_id": "P00001/a0", "origin": "confirmed"}
    write_table(Workspace(tmp_path).shards / "origins.parquet", [origin], ORIGIN_SCHEMA)

    first, again, other = (
        load_sides(Workspace(tmp_path), ClassList(), frozenset(), 2, seed, 2) for seed in (0, 0, 1)
    )

    assert len(first.test.ids) == 2 and first.negatives.ids == ("N0000001",)
    assert first.left_out == 3
    assert first.test.ids == again.test.ids != other.test.ids


def test_a_crop_whose_library_is_missing_has_a_row_that_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "smartcrop", None)

    assert "pip install 'sixrayd[benchmark]'" in usable_crops(BenchmarkSettings())["smart"]
