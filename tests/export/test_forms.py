"""Several forms at once, sets of empty images, exports before any review."""

import json
import math
import random
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.core.records import EMPTY_SETS
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.yolo_rows import settle_row
from sixrayd.export.forms import FORMS
from sixrayd.export.image_files import ImagesBy
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export, release_name
from sixrayd.export.yolo import _shares
from tests.squares import ingest, squares
from tests.workspaces import NOTHING, Picture, Says, Small, build_mine, build_shards

EVERYTHING = ExportSettings(
    forms=tuple(FORMS), sets=tuple(EMPTY_SETS), images=ImagesBy.HARDLINK, looks=True
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Small().build(tmp_path_factory.mktemp("small") / "ws")


def files(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def lines(path):
    return path.read_text().splitlines()


def test_the_same_bytes_twice_in_every_form(small, tmp_path):
    other = Small().build(tmp_path / "other")

    one, two = (
        files(Path(export(each, replace(EVERYTHING, out=tmp_path / name)).tree))
        for name, each in (("one", small), ("two", other))
    )

    for each in (one, two):
        del each["run.json"]  # which names the folder
    assert one == two
    assert len(one) == 106


def test_sets_alone_are_copied_and_named_by_side(small, tmp_path):
    sets = ("confusing", "audited_empty")
    result = export(small, ExportSettings(out=tmp_path / "out", sets=sets))

    tree = Path(result.tree) / "VOC2007"
    images = sorted(path.stem for path in (tree / "JPEGImages").iterdir())
    assert images == sorted(path.stem for path in (tree / "Annotations").iterdir())
    assert [name for name in images if name[0] == "N"] == [
        *("N0000001", "N0000002", "N0000003", "N0000010", "N0000012")
    ]
    main = tree / "ImageSets/Main"
    assert lines(main / "confusing.txt") == lines(main / "confusing_train.txt") == ["N0000002"]
    assert lines(main / "audited_empty_train.txt") == ["N0000003"]
    assert lines(main / "confusing_test.txt") == []
    assert not (main / "negative.txt").exists()
    assert lines(main / "train.txt") == ["N0000001", "N0000012", "P00001"]
    assert result.sets == {
        "confusing": {"train": 1, "test": 0},
        "audited_empty": {"train": 1, "test": 0},
    }
    card = (Path(result.tree) / "README.md").read_text()
    assert "| audited_empty | 1 | 0 |" in card


def test_no_group_of_near_duplicates_is_on_both_sides(tmp_path):
    """Of a release that was ingested: every list of a side, sets of empty images among them."""
    workspace = ingest(tmp_path, squares(positives=12, negatives=40, hidden=0))
    rows = pq.read_table(workspace.shards / "index.parquet").to_pylist()
    groups = {row["image_id"]: row["group"] for row in rows}

    tree = Path(export(workspace, ExportSettings(sets=("negative",))).tree)

    main = tree / "VOC2007/ImageSets/Main"
    sides = [
        {groups[i] for name in (side, f"negative_{side}") for i in lines(main / f"{name}.txt")}
        for side in ("train", "test")
    ]
    assert len(sides[0]) > 20 and len(sides[1]) > 2
    assert sides[0] & sides[1] == set()


def test_a_class_that_is_called_as_a_set_is_refused(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    build_shards(workspace, [Picture("P00001", boxes=(("Confusing", 1, 1, 9, 9, False),))])
    run = json.loads((workspace.shards / "run.json").read_text())
    write_json(workspace.shards / "run.json", run | {"settings": {"classes": ["Confusing"]}})

    with pytest.raises(SettingsError) as caught:
        export(workspace, ExportSettings(sets=("confusing",)))
    assert str(caught.value) == "--with confusing: a class is called so, and so are its lists"
    assert export(workspace, ExportSettings()).written


def test_without_a_review_after_download(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    build_shards(workspace, Small().pictures)

    result = export(workspace, ExportSettings())

    assert (result.name, result.images) == ("release", {"train": 1, "test": 1})
    assert (result.states["unflagged"], result.states["flagged but unreviewed"]) == (11, 0)
    assert pq.read_table(Path(result.tree) / "absence.parquet").num_rows == 0
    with pytest.raises(WorkspaceError, match=r"^no review 'first'; there is none$"):
        export(workspace, ExportSettings(review=("first",)))


def test_a_side_without_images(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    build_shards(workspace, [Picture("P00001", boxes=(("Gun", 1, 1, 9, 9, False),))])

    tree = Path(export(workspace, ExportSettings(forms=tuple(FORMS))).tree)

    coco = json.loads((tree / "coco/annotations/instances_test.json").read_text())
    assert (coco["images"], coco["annotations"], len(coco["categories"])) == ([], [], 5)
    # Hugging Face refuses a split without rows.
    assert [path.name for path in (tree / "parquet/data").iterdir()] == ["train-00000.parquet"]
    assert "split: test" not in (tree / "parquet/README.md").read_text()
    with tarfile.open(tree / "webdataset/test-000000.tar") as tar:
        assert tar.getnames() == []
    assert list((tree / "yolo/images/test").iterdir()) == []


def test_without_a_review_after_mining(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    build_shards(workspace, Small().pictures)
    build_mine(workspace, "older", ["N0000001"])
    build_mine(workspace, "newer", ["N0000002", "N0000003"])

    result = export(workspace, ExportSettings(sets=("negative",)))

    assert (result.name, result.states["flagged but unreviewed"]) == ("newer", 2)
    assert result.sets == {"negative": {"train": 8, "test": 1}}
    inputs = json.loads((Path(result.tree) / "run.json").read_text())["inputs"]
    assert sorted(inputs) == ["mine/newer/run.json", "shards/run.json"]


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("/data/SIXray", "SIXray"),
        ("https://user:secret@example.org/sets/bags.tar.gz?token=abc", "bags"),
        ("C:\\sets\\bags", "bags"),
        ("sixray", "sixray"),
        ("", "SIXray"),
    ],
)
def test_the_database_is_the_release(tmp_path, release, name):
    workspace = Workspace(tmp_path / "ws")
    build_shards(workspace, [Picture("P00001", boxes=(("Gun", 1, 1, 9, 9, False),))])
    run = json.loads((workspace.shards / "run.json").read_text())
    run["settings"]["release"] = release
    write_json(workspace.shards / "run.json", run)

    assert release_name(workspace) == name
    tree = Path(export(workspace, ExportSettings(forms=("voc", "coco"))).tree)
    xml = (tree / "VOC2007/Annotations/P00001.xml").read_text()
    assert f"<database>{name}</database>" in xml
    said = json.loads((tree / "coco/annotations/instances_train.json").read_text())
    assert said["info"]["description"] == f"{name}, corrected with sixrayd"


def test_a_changed_decision_changes_no_other_row(tmp_path):
    changed, rows = Small(), []
    later = "2026-02-01T00:00:00+00:00"
    answer = Says("N0000001", NOTHING, version=3, annotation=7, decided_at=later)
    changed.rounds.append([answer])
    for name, small in (("before", Small()), ("after", changed)):
        tree = Path(export(small.build(tmp_path / name), ExportSettings(forms=("coco",))).tree)
        said = json.loads((tree / "coco/annotations/instances_train.json").read_text())
        rows.append({json.dumps(row) for key in ("images", "annotations") for row in said[key]})

    assert rows[1] < rows[0]
    assert len(rows[0] - rows[1]) == 3  # N0000001 and its two boxes


@pytest.mark.parametrize("seed", range(3))
def test_yolo_keeps_whole_pixels_of_images_of_any_size(seed):
    rng, classes = random.Random(seed), ClassList()
    for _ in range(300):
        size_wh = rng.randint(2, 65_535), rng.randint(2, 65_535)
        (x1, x2), (y1, y2) = (sorted(rng.sample(range(side + 1), 2)) for side in size_wh)
        columns = f"0 {_shares(Box('Gun', x1, y1, x2, y2), size_wh)}".split()

        box = settle_row(columns, "row", {0: "Gun"}, classes, size_wh, findings := [])

        assert (box.xyxy, findings) == ((x1, y1, x2, y2), [])
        cx, width = float(columns[1]), float(columns[3])
        assert math.isclose((cx - width / 2) * size_wh[0], x1, abs_tol=1e-3)


# Exports anew in each of these workspaces, and is killed after a share of the time that it takes.
_KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from sixrayd.core.workspace import Workspace
from sixrayd.export.forms import FORMS
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export

settings = ExportSettings(forms=tuple(FORMS), sets=("negative",), force=True)
first, *places = sorted(Path(sys.argv[1]).iterdir())
begun = time.monotonic()
export(Workspace(first), settings)
takes, rng = time.monotonic() - begun, random.Random(0)
for place in places:
    if pid := os.fork():
        time.sleep(rng.uniform(0, takes))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    else:
        export(Workspace(place), settings)
        os._exit(0)
"""


@pytest.mark.long
def test_killed_at_random_moments_the_old_export_or_the_new_one_is_there_whole(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    build_shards(workspace, [Picture(f"N{n:07d}") for n in range(100)])
    old = files(Path(export(workspace, ExportSettings()).tree))
    for number in range(51):
        shutil.copytree(workspace.root, tmp_path / f"killed/{number:02d}")

    words = [sys.executable, "-c", _KILLED, str(tmp_path / "killed")]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[2], capture_output=True)

    every = ExportSettings(forms=tuple(FORMS), sets=("negative",), force=True)
    new = files(tmp_path / "killed/00/export/release")
    found = {"old": old, "new": new, "nothing": {}}
    seen = Counter[str]()
    for place in sorted((tmp_path / "killed").iterdir()):
        tree = place / "export/release"
        there = files(tree) if tree.exists() else {}
        seen[next((name for name, known in found.items() if known == there), "a part")] += 1
        export(Workspace(place), every)
        assert files(tree) == new
        assert [path.name for path in tree.parent.iterdir()] == ["release"]
    assert seen.keys() <= found.keys()
    assert seen["old"] > 5
