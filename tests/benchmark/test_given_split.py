"""Judging by a split that the release gives: which weights may be judged, and what is left."""

from dataclasses import replace
from pathlib import Path

import pytest

from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.benchmark.stage import benchmark
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file, write_bytes
from sixrayd.core.index import Index
from sixrayd.core.workspace import Run, Workspace
from sixrayd.crop.settings import TdcKnobs
from sixrayd.detectors.checkpoints import Checkpoint, save_weights
from tests.detectors.learnt import learnt
from tests.squares import ingest, squares
from tests.workspaces import build_splits

TRAIN, TEST = ("P00001", "P00002", "N0000001"), ("P00003", "P00004", "N0000002")


class AskedToTrainError(Exception):
    """Where the benchmark would train."""


def save_model(workspace, name, seen):
    """A detector that is said to have learnt from these images."""
    folder, detector = workspace.folder("models", name), learnt()
    about = Checkpoint("rfb-small", detector, workspace.classes())
    save_weights(folder / "weights.safetensors", about, detector.state_dict())
    write_bytes(folder / "seen.txt", "".join(f"{i}\n" for i in seen).encode())
    outputs = {n: sha256_file(folder / n) for n in ("weights.safetensors", "seen.txt")}
    settings = {"detector": "rfb-small", "recipe": {"epochs": 1}, "seed": 0}
    summary = {"validation": {}}
    workspace.finish(Run("models", name, settings, {}, outputs, summary))


@pytest.fixture
def workspace(tmp_path):
    workspace = ingest(tmp_path, squares(positives=6, negatives=4, hidden=0))
    build_splits(workspace, given=dict.fromkeys(TRAIN, "train") | dict.fromkeys(TEST, "test"))
    return workspace


@pytest.fixture
def judging(workspace, tmp_path):
    """Settings for a VOC tree of the release with lists of its own."""
    tree, index = tmp_path / "tree" / "VOC2007", Index.load(workspace)
    for image_id in index.table["image_id"].to_pylist():
        write_bytes(tree / "JPEGImages" / f"{image_id}.jpg", index.read(image_id))
        xml = squares(6, 4, 0).xml.get(image_id, b"<annotation><size/></annotation>")
        write_bytes(tree / "Annotations" / f"{image_id}.xml", xml)
    write_bytes(tree / "ImageSets" / "Main" / "test.txt", b"P00001\n")
    return BenchmarkSettings(voc=tree.parent, detectors=("rfb-small",), split="given")


def test_weights_of_another_split_are_refused_and_nothing_is_begun(workspace, judging):
    save_model(workspace, "own", ["P00004", "P00005", "N0000002"])

    with pytest.raises(WorkspaceError) as caught:
        benchmark(workspace, judging)

    assert str(caught.value) == (
        f"{workspace.root}/models/own/weights.safetensors: learnt from 2 of the test images, "
        "itself or before, first N0000002; judge weights that have not, or pass --train-missing"
    )
    assert not workspace.folder("benchmark").exists()
    data = Index.load(Workspace(workspace.root / "trees" / "tree-given"))
    sides = zip(*(data.table[key].to_pylist() for key in ("image_id", "split")), strict=True)
    assert dict(sides) == dict.fromkeys(TRAIN, "train") | dict.fromkeys(TEST, "test")


def test_missing_are_weights_that_may_be_judged(workspace, judging):
    save_model(workspace, "own", ["P00004"])
    asked = []

    def trainer(data, detectors):
        asked.append((data.root.name, *detectors))
        raise AskedToTrainError

    with pytest.raises(AskedToTrainError):
        benchmark(workspace, judging, trainer, train_missing=True)
    assert asked == [("tree-given", "rfb-small")]


def test_beside_another_one_what_that_reads_stays(workspace, judging):
    with pytest.raises(WorkspaceError, match="no weights of rfb-small"):
        benchmark(workspace, judging)
    shards = workspace.root / "trees" / "tree-given" / "shards"
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    write_bytes(judging.voc / "VOC2007" / "Annotations" / "note.txt", b"another tree")

    in_use = r"in use by process [0-9]+ \(sixrayd benchmark\);"
    with workspace.lock("benchmark"), pytest.raises(WorkspaceError, match=in_use):
        benchmark(workspace, judging)

    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before


def test_a_split_that_is_not_there(workspace, judging):
    build_splits(workspace)
    with pytest.raises(WorkspaceError, match=r"/shards: no split 'given'; there is leak-free$"):
        benchmark(workspace, judging)
    assert not (workspace.root / "trees" / "tree-given" / "shards").exists()


@pytest.mark.parametrize("typed", ["VOC2007", "VOC2007/.", "../tree", "."])
def test_a_tree_goes_by_its_folder_s_name_however_its_path_is_typed(
    workspace, judging, monkeypatch, typed
):
    shards = {path.name: path.read_bytes() for path in workspace.shards.iterdir()}
    monkeypatch.chdir(judging.voc)  # the folder that VOC2007 lies in

    with pytest.raises(WorkspaceError, match=r"trees/tree-given/models: no weights of rfb-small"):
        benchmark(workspace, replace(judging, voc=Path(typed)))

    assert [path.name for path in (workspace.root / "trees").iterdir()] == ["tree-given"]
    assert {path.name: path.read_bytes() for path in workspace.shards.iterdir()} == shards


@pytest.mark.parametrize("name", ["..", "../shards", "a/b"])
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(
    workspace, judging, name
):
    with pytest.raises(WorkspaceError, match=f"^name '{name}': needs to be a plain folder name$"):
        benchmark(workspace, replace(judging, name=name))
    assert not (workspace.root / "trees").exists()


def test_a_layer_that_the_detector_lacks_leaves_the_name_free(workspace, judging):
    save_model(workspace, "own", ["N0000001"])
    with pytest.raises(SettingsError, match=r"^tdc: layer: no convolution 99, the backbone has "):
        benchmark(workspace, replace(judging, tdc=TdcKnobs(tdc_layer=99)))
    assert not (workspace.root / "benchmark").exists()


def test_nothing_is_trained_for_a_benchmark_that_is_finished(workspace, judging):
    done = Run("benchmark", "tree-given", {}, {}, {}, {})
    workspace.finish(done)

    def train(data, detectors):
        raise AskedToTrainError

    with pytest.raises(WorkspaceError, match=r"holds a finished benchmark without rfb-small; pass"):
        benchmark(workspace, judging, train, train_missing=True)
    with pytest.raises(AskedToTrainError):
        benchmark(workspace, replace(judging, force=True), train, train_missing=True)
