"""The whole stage on a tree that a detector learns in seconds."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lxml import html

from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.benchmark.stage import benchmark
from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.catalogue import DETECTORS
from tests.processes import started
from tests.releases import voc
from tests.squares import SIDE_PX, picture

pytestmark = pytest.mark.long
ARGUMENTS = ["--detectors", "rfb-small", "--timing", "3", "--resamples", "50", "--validation", "4"]


def write_tree(folder: Path, learnt: int = 48, judged: int = 10, empty: int = 4) -> Path:
    """A VOC tree of squares and bars; `empty` images of each side hold nothing."""
    tree = folder / "VOC2007"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tree / part).mkdir(parents=True)
    sides = {"trainval": [], "test": []}
    for number in range(learnt + judged + 2 * empty):
        thing = ("Gun", "Knife")[number % 2] if number < learnt + judged else ""
        side = "trainval" if number < learnt or number >= learnt + judged + empty else "test"
        stem = f"S{number:03d}"
        data, box = picture(number, thing)
        (tree / "JPEGImages" / f"{stem}.jpg").write_bytes(data)
        objects = [(thing, *box)] if thing else []
        xml = voc(stem, *objects, size=f"{SIDE_PX},{SIDE_PX}")
        (tree / "Annotations" / f"{stem}.xml").write_bytes(xml)
        sides[side].append(stem)
    for side, stems in sides.items():
        (tree / "ImageSets" / "Main" / f"{side}.txt").write_text("\n".join(stems) + "\n")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A benchmark by the command line, from a bare tree to the report."""
    folder = tmp_path_factory.mktemp("benchmark")
    tree = write_tree(folder / "tree")
    command = [sys.executable, "-m", "sixrayd", "benchmark", "-w", str(folder / "workspace")]
    command += ["--voc", str(tree), "--train-missing", "--json", *ARGUMENTS]
    command += ["--epochs", "30", "--input-size", "128"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "next:" not in ran.stderr  # a training within is no step of its own
    return Workspace(folder / "workspace"), tree, json.loads(ran.stdout)


def test_every_row_of_both_tables_is_there(finished):
    _, _, result = finished

    assert result["name"] == "tree"
    keys = set(result["means"])
    assert {"rfb-small_fixed", "rfb-small_fixed_canny", "rfb-small_fixed_smart"} <= keys
    assert {"rfb-small_dynamic", "rfb-small_dynamic_fractions"} <= keys
    assert sum("tdc-exact-conv" in key and "_fixed_" in key for key in keys) == 6
    assert {key.split("_")[2].split("-")[1] for key in keys if "_dynamic_tdc" in key} == {
        "exact",
        "fast",
        "shared",
    }
    assert list(result["absent"]) == ["rfb-small + aesthetic"]
    assert "saliency.h5" in result["absent"]["rfb-small + aesthetic"]
    assert all(0 <= mean <= 1 for mean in result["means"].values())
    assert result["means"]["rfb-small_fixed"] > 0.5


def test_the_report_stands_alone(finished):
    workspace, _, _ = finished
    folder = workspace.folder("benchmark", "tree")

    page = html.fromstring((folder / "report.html").read_text("utf-8"))

    assert len(page.findall(".//table")) >= 4
    sources = [image.get("src") for image in page.findall(".//img")]
    assert len(sources) >= 4
    assert all(source.startswith("data:image/") for source in sources)
    for name in ("fixed", "dynamic", "layers", "forms"):
        assert (folder / "tables" / f"{name}.csv").exists()
    results = json.loads((folder / "results.json").read_text())
    assert results["images"] == {"train": 52, "validation": 4, "test": 10, "negatives": 4}
    assert all(row["times"]["total"]["median"] > 0 for row in results["rows"])
    assert all(len(row["alarms"]) == 3 for row in results["rows"])


def test_nothing_is_done_twice(finished):
    workspace, tree, result = finished
    page = workspace.folder("benchmark", "tree") / "report.html"
    before = page.stat().st_mtime_ns

    again = benchmark(
        workspace,
        BenchmarkSettings(
            voc=tree,
            detectors=("rfb-small",),
            timing=3,
            resamples=50,
            validation=4,
        ),
    )

    assert not again.fresh
    assert again.means == result["means"]
    recorded = set(workspace.run("benchmark", "tree").settings)
    assert not recorded & {"protocol", "models", "split"}  # as before there was a choice
    assert page.stat().st_mtime_ns == before


def test_other_settings_do_not_replace_it_unasked(finished):
    workspace, tree, _ = finished

    with pytest.raises(WorkspaceError, match=r"holds another benchmark .*timing 3 there, 2 asked"):
        benchmark(workspace, BenchmarkSettings(voc=tree, detectors=("rfb-small",), timing=2))


def test_killed_it_goes_on_and_says_the_same(finished, tmp_path):
    workspace, tree, result = finished
    other = Workspace(tmp_path / "workspace")
    (other.root / "trees").mkdir(parents=True)
    shutil.copytree(workspace.root / "trees" / "tree", other.root / "trees" / "tree")
    command = [sys.executable, "-m", "sixrayd", "benchmark", "-w", str(other.root)]
    command += ["--voc", str(tree), *ARGUMENTS]
    parts = other.folder("benchmark", "tree") / "test"
    with started(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        while len(list(parts.glob("[!.]*.parquet"))) < 3:
            assert running.poll() is None, "ended before it could be killed"
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("[!.]*.parquet")}

    ran = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)

    assert json.loads(ran.stdout)["means"] == result["means"]
    assert {name: (parts / name).stat().st_mtime_ns for name in kept} == kept
    first, second = (w.folder("benchmark", "tree") / "test" for w in (workspace, other))
    names = sorted(path.name for path in first.iterdir())
    assert len(names) == len(result["means"])
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_weights_that_saw_a_test_image_are_refused(finished, tmp_path):
    workspace, tree, _ = finished
    lists = tree / "VOC2007" / "ImageSets" / "Main"
    swapped = tmp_path / "swapped"
    shutil.copytree(tree, swapped)
    for name, source in (("test", "trainval"), ("trainval", "test")):
        target = swapped / "VOC2007" / "ImageSets" / "Main" / f"{name}.txt"
        target.write_bytes((lists / f"{source}.txt").read_bytes())
    other = Workspace(tmp_path / "workspace")
    other.root.mkdir()
    shutil.copytree(workspace.root / "trees" / "tree" / "models", other.root / "models")

    with pytest.raises(WorkspaceError, match=r"learnt from \d+ of the test images, .* first S000"):
        benchmark(other, BenchmarkSettings(voc=swapped, detectors=("rfb-small",)))


def test_without_weights_it_names_the_way_on(tmp_path):
    tree = write_tree(tmp_path / "tree")

    with pytest.raises(WorkspaceError, match=r"no weights of rfb-small .* pass --train-missing"):
        benchmark(Workspace(tmp_path / "w"), BenchmarkSettings(voc=tree, detectors=("rfb-small",)))


def test_a_folder_that_is_no_tree(tmp_path, runner):
    ran = runner.invoke(cli, ["benchmark", "-w", str(tmp_path / "w"), "--voc", str(tmp_path)])

    assert isinstance(ran.exception, WorkspaceError)
    assert str(ran.exception) == (
        f"{tmp_path / 'Annotations'}: missing; `sixrayd benchmark` needs a VOC tree with "
        "Annotations, JPEGImages and a list of test images"
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"margin": -1}, "margin -1: expected 0 to 1"),
        ({"resamples": 0}, "resamples 0: expected 1 to 100,000"),
        ({"detectors": ("ssd300",) * 2}, "detectors ssd300, ssd300: one occurs twice"),
        (
            {"detectors": ("yolo",)},
            f"detector 'yolo': is none of {', '.join(DETECTORS)}",
        ),
        (
            {"saliency": Path("s.h5")},
            "saliency, regression: the aesthetic crop needs both files or none",
        ),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError) as caught:
        BenchmarkSettings(**wrong)
    assert str(caught.value) == message


def test_a_detector_that_learnt_from_crops_has_a_row(finished, tmp_path):
    workspace, tree, _ = finished
    shutil.copytree(workspace.root / "trees", tmp_path / "workspace" / "trees")
    command = [sys.executable, "-m", "sixrayd", "benchmark", "-w", str(tmp_path / "workspace")]
    command += ["--voc", str(tree), "--train-cropped", "--json", *ARGUMENTS]
    command += ["--epochs", "30", "--input-size", "128"]

    ran = subprocess.run(command, capture_output=True, text=True, check=True)

    means = json.loads(ran.stdout)["means"]
    learnt = [key for key in means if key.endswith("_learnt")]
    assert len(learnt) == 1
    assert means[learnt[0]] > 0.5
    assert (tmp_path / "workspace/trees/tree-crops/shards/run.json").exists()
