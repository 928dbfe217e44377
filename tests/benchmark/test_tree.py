"""Taking in VOC trees, whole ones and broken ones."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from sixrayd.benchmark.tree import VocTree, ingest, load_origins, tree_classes
from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import (
    AnnotationError,
    ImageError,
    ReleaseError,
    UnfitFileError,
    WorkspaceError,
)
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.voc import Provenance, VocAnnotation, VocObject, write_voc
from sixrayd.core.workspace import Workspace
from tests.workspaces import Picture, build_shards, build_splits

CLASSES = ClassList(("Gun", "Knife"))


def _jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((80, 60)).save(file, "JPEG")
    return file.getvalue()


def _annotation(stem, *objects):
    return write_voc(VocAnnotation(stem, 80, 60, objects))


@pytest.fixture
def tree(tmp_path):
    """Two training images, a test image with a mined knife, a test image that holds nothing."""
    root = tmp_path / "tree" / "VOC2007"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / part).mkdir(parents=True)
    gun = VocObject(Box("Gun", 5, 5, 30, 30))
    mined = VocObject(Box("Knife", 10, 10, 50, 20), True, False, Provenance("confirmed"))
    contents = {"A1": (gun,), "A2": (gun,), "B1": (gun, mined), "B2": ()}
    for number, (stem, objects) in enumerate(contents.items()):
        (root / "JPEGImages" / f"{stem}.jpg").write_bytes(_jpeg(number))
        (root / "Annotations" / f"{stem}.xml").write_bytes(_annotation(stem, *objects))
    (root / "ImageSets/Main/trainval.txt").write_text("A1\nA2\n")
    (root / "ImageSets/Main/test.txt").write_text("B1\nB2\n")
    return root


def test_a_second_image_of_a_name_is_not_judged_in_place_of_the_first(tree, tmp_path):
    (tree / "JPEGImages" / "B1.png").write_bytes(_jpeg(9))
    with pytest.raises(ReleaseError, match=r"B1\.jpg and B1\.png are both image B1, expected one"):
        ingest(VocTree.find(tree), Workspace(tmp_path / "data"), CLASSES)


def test_an_ingested_tree_reads_like_a_release(tree, tmp_path):
    workspace = Workspace(tmp_path / "data")

    run = ingest(VocTree.find(tree.parent), workspace, CLASSES)

    assert run.summary == {
        "images": 4,
        "boxes": 4,
        "without_annotation": 0,
        "groups_on_both_sides": 0,
    }
    index = Index.load(workspace)
    rows = [(r.image_id, r.split, r.source, r.labels) for r in index.select()]
    assert rows == [
        ("A1", "train", "positive", ("Gun",)),
        ("A2", "train", "positive", ("Gun",)),
        ("B1", "test", "positive", ("Gun", "Knife")),
        ("B2", "test", "negative", ()),
    ]
    assert index.read("B1") == (tree / "JPEGImages" / "B1.jpg").read_bytes()
    found = load_annotations(workspace)["B1"]
    assert [(a.box.label, a.box.xyxy, a.difficult) for a in found] == [
        ("Gun", (5, 5, 30, 30), False),
        ("Knife", (10, 10, 50, 20), True),
    ]
    assert load_origins(workspace) == {"B1/a1": "confirmed"}


def test_an_unchanged_tree_is_not_read_again(tree, tmp_path):
    workspace = Workspace(tmp_path / "data")
    ingest(VocTree(tree), workspace, CLASSES)
    shard = workspace.shards / "images-00000.tar"
    before = shard.stat().st_mtime_ns

    ingest(VocTree(tree), workspace, CLASSES)
    assert shard.stat().st_mtime_ns == before

    (tree / "Annotations" / "A1.xml").write_bytes(_annotation("A1"))
    assert ingest(VocTree(tree), workspace, CLASSES).summary["boxes"] == 3


class _Swapped(dict):
    """Sides of a tree of which another image takes a place once they are looked at."""

    def __init__(self, tree, sides):
        super().__init__(sides)
        self.tree = tree

    def items(self):
        (self.tree / "JPEGImages" / "A1.jpg").write_bytes(_jpeg(9))
        return super().items()


def test_a_tree_that_is_written_meanwhile_is_not_taken_in(tree, tmp_path):
    workspace, found = Workspace(tmp_path / "data"), VocTree.find(tree)

    with pytest.raises(WorkspaceError) as caught:
        ingest(found, workspace, CLASSES, sides=_Swapped(tree, found.sides()))

    assert str(caught.value) == (
        f"{tree}: was changed while it was read, expected to stay as it is; wait until it has been "
        "written, then run the same command again"
    )
    assert not (workspace.shards / "run.json").exists()
    assert ingest(found, workspace, CLASSES, sides=found.sides()).summary["images"] == 4


def test_near_duplicates_on_both_sides_are_counted(tree, tmp_path):
    (tree / "JPEGImages" / "B2.jpg").write_bytes(_jpeg(0))

    run = ingest(VocTree(tree), Workspace(tmp_path / "data"), CLASSES)

    assert run.summary["groups_on_both_sides"] == 1


def test_a_missing_annotation_is_not_an_empty_one(tree, tmp_path):
    (tree / "Annotations" / "B2.xml").unlink()

    run = ingest(VocTree(tree), Workspace(tmp_path / "data"), CLASSES)

    assert (run.summary["images"], run.summary["without_annotation"]) == (3, 1)


def test_classes_come_from_the_annotations_unless_named(tree):
    assert tree_classes(VocTree(tree), ()).names == ("Gun", "Knife")
    assert tree_classes(VocTree(tree), ("Knife", "Gun")).names == ("Knife", "Gun")


def test_known_classes_keep_their_order_where_they_cover_the_tree(tree):
    known = ClassList(("Wrench", "Knife", "Gun"))

    assert tree_classes(VocTree(tree), (), known) == known
    assert tree_classes(VocTree(tree), (), ClassList(("Gun", "Pliers"))).names == ("Gun", "Knife")


def test_more_classes_than_are_told_apart(tree):
    names = [VocObject(Box(f"C{number}", 1, 1, 9, 9)) for number in range(999)]
    (tree / "Annotations/A1.xml").write_bytes(_annotation("A1", *names[:-1]))
    assert len(tree_classes(VocTree(tree), ())) == 1000
    (tree / "Annotations/A2.xml").write_bytes(_annotation("A2", *names))
    with pytest.raises(AnnotationError) as caught:
        tree_classes(VocTree(tree), ())
    assert str(caught.value) == (f"{tree}/Annotations: 1001 classes, at most 1000 are told apart")
    assert tree_classes(VocTree(tree), ("Gun",)).names == ("Gun",)


@pytest.mark.long
def test_annotations_by_many_links_are_not_looked_through(tree):
    os.truncate(tree / "Annotations/A1.xml", 4 << 20)
    for number in range(260):
        (tree / f"Annotations/C{number}.xml").symlink_to("A1.xml")
    with pytest.raises(WorkspaceError, match=r"C\d+\.xml: links and holes give over 100 times"):
        tree_classes(VocTree(tree), ())


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (
            lambda t: (t / "ImageSets/Main/test.txt").unlink(),
            WorkspaceError,
            "{tree}/ImageSets/Main/test.txt: missing; `sixrayd benchmark` needs a VOC tree with "
            "Annotations, JPEGImages and a list of test images",
        ),
        (
            lambda t: (t / "JPEGImages/B1.jpg").unlink(),
            WorkspaceError,
            "{tree}/JPEGImages: 1 listed images are missing, first B1",
        ),
        (
            lambda t: (t / "ImageSets/Main/test.txt").write_text("A1\nB1\n"),
            WorkspaceError,
            "{tree}: 1 images are in the training and the test list, first A1; take them out of "
            "one",
        ),
        (
            lambda t: os.truncate(t / "ImageSets/Main/test.txt", 1 << 30),
            UnfitFileError,
            "{tree}/ImageSets/Main/test.txt: more than 67108864 bytes",
        ),
        (
            lambda t: (t / "ImageSets/Main/test.txt").write_bytes(b"a\r" * 4_000_001),
            UnfitFileError,
            "{tree}/ImageSets/Main/test.txt: 4000001 lines, at most 4000000 are read; put a good",
        ),
        (
            lambda t: (t / "Annotations/B1.xml").write_bytes(b"<annotation><size>"),
            AnnotationError,
            "{tree}/Annotations: B1.xml: not XML",
        ),
        (
            lambda t: (t / "JPEGImages/A2.jpg").write_bytes(b"\xff\xd8\xff"),
            ImageError,
            "{tree}/JPEGImages/A2.jpg: header cut short or broken after 3 bytes",
        ),
        (
            lambda t: os.truncate(t / "JPEGImages/A2.jpg", (64 << 20) + 1),
            UnfitFileError,
            "{tree}/JPEGImages/A2.jpg: more than 67108864 bytes",
        ),
        (
            lambda t: (
                (t / "JPEGImages/A2.jpg").rename(t / "B") and (t / "JPEGImages/A2.jpg").mkdir()
            ),
            WorkspaceError,
            "{tree}/JPEGImages/A2.jpg: cannot be read (Is a directory); put it in its place, or "
            "take it out of the tree",
        ),
    ],
)
def test_broken_trees_get_one_clear_line(tree, tmp_path, damage, error, message):
    damage(tree)

    with pytest.raises(error) as caught:
        ingest(VocTree(tree), Workspace(tmp_path / "data"), CLASSES)
    assert str(caught.value).startswith(message.format(tree=tree))


@pytest.mark.long
def test_holes_by_many_links_do_not_fill_the_disk(tree, tmp_path):
    """They come to lie in shards as bytes: 60 MiB for each name in a list."""
    os.truncate(tree / "JPEGImages/A1.jpg", 60 << 20)
    stems = [f"C{number:02d}" for number in range(18)]
    for stem in stems:
        (tree / f"JPEGImages/{stem}.jpg").symlink_to("A1.jpg")
        (tree / f"Annotations/{stem}.xml").symlink_to("A1.xml")
    (tree / "ImageSets/Main/trainval.txt").write_text("".join(f"{stem}\n" for stem in stems))
    with pytest.raises(WorkspaceError, match=r"C1\d\.jpg: links and holes give over 100 times"):
        ingest(VocTree(tree), Workspace(tmp_path / "data"), CLASSES)
    assert not list((tmp_path / "data").rglob("*.tar"))


def test_sides_by_a_given_split(tree, tmp_path):
    release = Workspace(tmp_path / "workspace")
    build_shards(release, [Picture("A1", "test"), Picture("B1", "test"), Picture("C9", "test")])
    build_splits(release, given={"A1": "test", "B1": "train", "C9": "test"}, far={"C9": "test"})
    data = Workspace(tmp_path / "data")
    ingest(VocTree(tree), data, CLASSES)

    sides = VocTree(tree).sides_by(Index.load(release, "given").table, "given")
    ingest(VocTree(tree), data, CLASSES, sides=sides)

    assert sides == {"A1": "test", "B1": "train"}
    rows = [(r.image_id, r.split) for r in Index.load(data).select()]
    assert rows == [("A1", "test"), ("B1", "train")]
    with pytest.raises(WorkspaceError) as caught:
        VocTree(tree).sides_by(Index.load(release, "far").table, "far")
    assert str(caught.value) == f"{tree}: split far lists none of its images"


@pytest.mark.parametrize("name", ["a" * 150, "a\x1b", ".a "])
def test_a_name_that_no_image_may_have_is_refused_before_anything_is_read(tree, tmp_path, name):
    (tree / "JPEGImages" / f"{name}.jpg").write_bytes(b"no image")

    with pytest.raises(ReleaseError, match="an image's name takes 1 to 90 of the letters") as said:
        ingest(VocTree(tree), Workspace(tmp_path / "data"), CLASSES)

    assert str(said.value).startswith(f"{tree / 'JPEGImages'}: file name {name[:100]!r}: ")


@pytest.mark.parametrize(
    "path", ["JPEGImages/B1.jpg", "JPEGImages/x.txt", "Annotations/x.xml", "ImageSets/Main/x.txt"]
)
def test_a_link_to_nowhere_is_told_in_one_line(tree, tmp_path, path):
    (tree / path).unlink(missing_ok=True)
    (tree / path).symlink_to("/nowhere")
    with pytest.raises(WorkspaceError) as caught:
        ingest(VocTree.find(tree), Workspace(tmp_path / "data"), CLASSES)
    assert str(caught.value) == (
        f"{tree / path}: a link to /nowhere, where nothing is; put it in its place, or take it out "
        "of the tree"
    )
