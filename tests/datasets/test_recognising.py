"""Workspaces, trees of ours and other sets, each read as what it is."""

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.datasets.label_hash import count_labels, plain_labels
from sixrayd.datasets.patches import apply_patch, make_patch
from sixrayd.datasets.recognising import common_classes, open_place
from sixrayd.diff.compare import diff
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.datasets.made import item, labelled
from tests.datasets.sets import as_coco, as_voc, as_yolo
from tests.workspaces import Small


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Small().build(tmp_path_factory.mktemp("small") / "ws")


def test_a_workspace_is_its_release(workspace):
    said = open_place(workspace.root)

    assert (said.form, said.classes, len(said.images)) == ("workspace", ClassList(), 16)
    assert said.images["P00001"].objects == (item("Gun", 5, 6, 30, 40),)
    assert said.images["P00002"].objects == (
        item("Knife", 0, 0, 96, 64),
        item("Gun", 1, 2, 9, 9, difficult=True),
    )
    # Positives that nobody has boxed, and what cannot be read; a negative holds nothing.
    silent = [image_id for image_id, i in said.images.items() if i.objects is None]
    assert silent == ["N0000009", "P00003", "P00004"]
    assert said.images["N0000001"].objects == ()
    assert said.images["N0000001"].size_wh == (96, 64)
    assert len(said.images["N0000009"].sha256) == 64
    assert list(said.splits) == ["leak-free"]
    assert Counter(said.splits["leak-free"].values()) == {"train": 14, "test": 2}


def test_the_splits_that_a_release_brings(tmp_path):
    workspace = Small().build(tmp_path / "ws")
    rows = {"split": ["10", "10"], "image_id": ["P00001", "P00002"], "side": ["test", "train"]}
    pq.write_table(pa.table(rows), workspace.shards / "splits.parquet")

    splits = open_place(workspace.root).splits

    assert list(splits) == ["leak-free", "10"]
    assert splits["10"] == {"P00001": "test", "P00002": "train"}


def test_a_broken_table_of_splits(tmp_path):
    workspace = Small().build(tmp_path / "ws")
    path = workspace.shards / "splits.parquet"
    pq.write_table(pa.table({"split": ["10"]}), path)

    with pytest.raises(WorkspaceError) as found:
        open_place(workspace.root)

    assert str(found.value).startswith(f"{path}: no table with split, image_id, side (")


@pytest.mark.parametrize("with_negatives", [False, True])
def test_an_export_knows_every_image(tmp_path, with_negatives):
    workspace = Small().build(tmp_path / "ws")
    tree = tmp_path / "tree"
    export(workspace, ExportSettings(out=tree, with_negatives=with_negatives))
    release = open_place(workspace.root)

    said = open_place(tree)

    assert list(said.images) == list(release.images)
    assert said.splits == release.splits
    silent = [image_id for image_id, i in said.images.items() if i.objects is None]
    undecided = ["N0000004", "N0000005", "N0000006", "N0000011"]
    assert silent == [*undecided[:3], "N0000009", "N0000011", "P00003", "P00004"]
    empty = [image_id for image_id, i in said.images.items() if i.objects == ()]
    assert empty == ["N0000002", "N0000003", "N0000007", "N0000008"]
    hashed = [image_id for image_id, i in said.images.items() if i.sha256]
    assert len(hashed) == (9 if with_negatives else 5)
    assert all(said.images[i].sha256 == release.images[i].sha256 for i in hashed)
    assert said.images["N0000001"].objects[0].provenance.origin == "confirmed"


def test_an_export_by_a_given_split(tmp_path):
    workspace = Small().build(tmp_path / "ws")
    tree = tmp_path / "tree"
    export(workspace, ExportSettings(out=tree))
    run = json.loads((tree / "run.json").read_text())
    (tree / "run.json").write_text(json.dumps(run | {"settings": {"split": "10"}}))

    assert list(open_place(tree).splits) == ["10"]


def test_classes_that_are_asked_for_are_all_there_is(workspace):
    said = open_place(workspace.root, ClassList(("gun",)))

    assert said.images["P00001"].objects == (item("gun", 5, 6, 30, 40),)
    assert said.images["P00002"].objects == (item("gun", 1, 2, 9, 9, difficult=True),)


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (("Gun",), ("plier",), ("Gun", "Knife", "Wrench", "Pliers", "Scissors")),
        (("Gun", "Bat"), ("bat", "Knife"), ("Gun", "Bat", "Knife")),
        (("Gun",), ("Hammer",), ("Gun", "Knife", "Wrench", "Pliers", "Scissors", "Hammer")),
    ],
)
def test_one_spelling_for_two_sets(one, other, common):
    sets = (labelled({}, classes=ClassList(names)) for names in (one, other))

    assert common_classes(*sets).names == common


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    root = tmp_path_factory.mktemp("forms")
    for write in (as_voc, as_coco, as_yolo):
        write(root / write.__name__)
    return [open_place(root / write.__name__) for write in (as_voc, as_coco, as_yolo)]


def test_classes_of_both_sets_count_once():
    many = ClassList(tuple(f"c{number}" for number in range(501)))
    one = labelled({}, classes=many)

    assert common_classes(one, one) == many


def test_the_same_boxes_in_any_form_have_one_hash(forms):
    assert [said.form for said in forms] == ["voc", "coco", "yolo"]
    assert len({count_labels(plain_labels(said)) for said in forms}) == 1
    assert not diff(forms[0], forms[1]).differs
    assert not diff(forms[2], forms[1]).differs


def test_a_patch_of_one_form_applies_to_the_others(forms):
    said = {image_id: [item("Gun", 1, 2, 30, 40)] for image_id in forms[0].images}
    other = labelled(said, classes=forms[0].classes)
    sized = {i: forms[0].images[i].size_wh for i in said}
    images = {i: type(one)(i, one.objects, "", sized[i]) for i, one in other.images.items()}
    other = type(other)("voc", other.classes, images)
    patch = make_patch(forms[0], other, other.classes)

    assert [count_labels(plain_labels(apply_patch(patch, form))) for form in forms] == [
        patch.after
    ] * 3


def test_an_export_that_is_replaced_while_it_is_read_is_no_set(workspace, tmp_path):
    tree = Path(export(workspace, ExportSettings(out=tmp_path / "tree")).tree)
    other = Path(export(workspace, ExportSettings(out=tmp_path / "other")).tree)

    def replaced(frame, event, _):
        """As `--force` does it, when the labels were read and the lists not yet."""
        if event == "call" and frame.f_code.co_name == "complete_export" and other.exists():
            tree.rename(tmp_path / "old")
            other.rename(tree)

    before = sys.getprofile()
    sys.setprofile(replaced)
    try:
        with pytest.raises(WorkspaceError) as caught:
            open_place(tree)
    finally:
        sys.setprofile(before)
    assert str(caught.value) == f"{tree}: was replaced while it was read; run the command again"
    assert open_place(tree).form == "voc"
