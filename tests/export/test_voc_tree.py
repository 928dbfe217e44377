"""Image sets by split and class, and what an annotation says of its image."""

import io

import numpy as np
import pytest
from PIL import Image

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.index import Index
from sixrayd.core.staging import Staging
from sixrayd.core.voc import VocAnnotation, VocObject, read_voc
from sixrayd.core.workspace import Workspace
from sixrayd.export.content import Content, in_shard_order
from sixrayd.export.voc_tree import write_image_sets, write_voc_tree
from tests.workspaces import Picture, build_shards

GUN, HARD = VocObject(Box("Gun", 1, 1, 9, 9)), VocObject(Box("Gun", 1, 1, 9, 9), difficult=True)
SETS = "VOC2007/ImageSets/Main"


def image_sets(folder, objects, splits, named=None):
    annotations = [VocAnnotation(stem, 96, 64, tuple(items)) for stem, items in objects.items()]
    write_image_sets(Staging(folder), annotations, splits, named or {}, ("Gun", "Knife"))
    return {path.stem: path.read_text() for path in sorted((folder / SETS).iterdir())}


@pytest.mark.parametrize(
    ("objects", "named", "line"),
    [
        ([GUN], [], "P1  1\n"),
        ([GUN], ["Gun"], "P1  1\n"),
        ([HARD], [], "P1  0\n"),
        ([HARD, GUN], [], "P1  1\n"),
        ([HARD], ["Gun"], "P1  0\n"),
        ([], ["Gun"], "P1  0\n"),
        ([], ["Knife"], "P1 -1\n"),
        ([], [], "P1 -1\n"),
    ],
)
def test_presence_of_a_class(tmp_path, objects, named, line):
    written = image_sets(tmp_path, {"P1": objects}, {"P1": "train"}, {"P1": named})

    assert written["Gun_train"] == written["Gun_trainval"] == line
    assert written["Gun_test"] == ""


def test_an_empty_side_has_empty_lists_and_no_missing_ones(tmp_path):
    written = image_sets(tmp_path, {"P1": [GUN], "P2": [GUN]}, {"P1": "test", "P2": "test"})

    assert written == {
        **{f"{name}_{side}": "" for name in ("Gun", "Knife") for side in ("train", "trainval")},
        **{"train": "", "trainval": "", "test": "P1\nP2\n"},
        "Gun_test": "P1  1\nP2  1\n",
        "Knife_test": "P1 -1\nP2 -1\n",
    }


def encoded(form, mode):
    buffer = io.BytesIO()
    pixels = np.arange(96 * 64, dtype=np.uint32).reshape(64, 96) % 251
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(buffer, form)
    return buffer.getvalue()


KINDS = {
    "P00001": ("JPEG", "RGB", ".jpg", 3),
    "P00002": ("JPEG", "L", ".jpg", 1),
    "P00003": ("PNG", "RGBA", ".png", 4),
    "P00004": ("BMP", "RGB", ".bmp", 3),
    "P00005": ("WEBP", "RGB", ".webp", 3),
    "P00006": ("JPEG", "CMYK", ".jpg", 4),
}


class Drawn(Picture):
    @property
    def data(self):
        return encoded(*KINDS[self.image_id][:2])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Every kind of image; the fifth is known to be empty, the sixth copied without a word."""
    folder = tmp_path_factory.mktemp("kinds")
    workspace = Workspace(folder / "ws")
    build_shards(workspace, [Drawn(image_id) for image_id in KINDS], 2)
    index = Index.load(workspace)
    annotations = [VocAnnotation(f"P0000{n}", 96, 64, (GUN,)) for n in range(1, 5)]
    content = Content(
        index=index,
        classes=ClassList(("Gun",)),
        annotations=annotations,
        splits={a.stem: "train" for a in annotations},
        named={},
        copied=["P00006", "P00005"],
        empty=frozenset(("P00005", "P00001x")),
    )
    write_voc_tree(Staging(folder), content)
    return folder / "VOC2007", index


def test_bytes_and_suffixes_are_those_of_the_release(tree):
    folder, index = tree
    written = {path.name: path.read_bytes() for path in (folder / "JPEGImages").iterdir()}

    assert written == {
        image_id + suffix: encoded(form, mode)
        for image_id, (form, mode, suffix, _) in KINDS.items()
    }
    assert [index.read(image_id) for image_id in KINDS] == [written[n] for n in sorted(written)]


def test_annotations_name_their_file_and_count_its_channels(tree):
    folder, _ = tree
    paths = sorted((folder / "Annotations").iterdir())

    assert [path.stem for path in paths] == list(KINDS)[:5]
    for path in paths:
        _, _, suffix, depth = KINDS[path.stem]
        read = read_voc(path.read_bytes(), path.name, ClassList(("Gun",)))
        assert (read.depth, read.width, read.height) == (depth, 96, 64)
        assert f"<filename>{path.stem}{suffix}</filename>" in path.read_text()
        assert [item.box for item in read.objects] == ([] if path.stem == "P00005" else [GUN.box])


def test_images_are_read_in_the_order_of_their_bytes(tree):
    _, index = tree

    found = list(in_shard_order(index, ["P00005", "P00002", "P00001", "unknown"]))

    assert [record.image_id for record in found] == ["P00001", "P00002", "P00005"]
    assert [record.shard for record in found] == [f"positives-0000{n}.tar" for n in (0, 0, 2)]
    assert list(in_shard_order(index, [])) == []
