"""Image sets by split and class, and what an annotation says of its image."""

import io

import numpy as np
import pytest
from PIL import Image

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.index import Index
from sixrayd.core.records import ImageRecord, State
from sixrayd.core.staging import Staging
from sixrayd.core.voc import VocAnnotation, VocObject, read_voc
from sixrayd.core.workspace import Workspace
from sixrayd.export.content import Content, ExportedImage, exported_image, in_shard_order
from sixrayd.export.voc_tree import MainLists, voc_path, voc_tree
from tests.workspaces import Picture, build_shards

GUN, HARD = VocObject(Box("Gun", 1, 1, 9, 9)), VocObject(Box("Gun", 1, 1, 9, 9), difficult=True)
SETS = "VOC2007/ImageSets/Main"


def image(stem, objects, side, named=(), state=State.SOURCE_POSITIVE):
    record = ImageRecord(stem, "", 0, 0, 96, 64, "", "", stem, side, "positive", tuple(named), "")
    return ExportedImage(record, state, VocAnnotation(stem, 96, 64, tuple(objects)), b"", 1)


def image_sets(*images, trainval=True, empty=()):
    sets = MainLists(("Gun", "Knife"), trainval, frozenset(empty))
    for each in images:
        sets.add(each)
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in sets.lines().items()}


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
def test_presence_of_a_class(objects, named, line):
    written = image_sets(image("P1", objects, "train", named))

    assert written["Gun_train"] == written["Gun_trainval"] == line
    assert written["Gun_test"] == ""


def test_an_empty_side_has_empty_lists_and_no_missing_ones():
    written = image_sets(image("P2", [GUN], "test"), image("P1", [GUN], "test"))

    assert written == {
        **{f"{name}_{side}": "" for name in ("Gun", "Knife") for side in ("train", "trainval")},
        **{"train": "", "trainval": "", "test": "P1\nP2\n"},
        "Gun_test": "P1  1\nP2  1\n",
        "Knife_test": "P1 -1\nP2 -1\n",
    }


def test_sets_of_empty_images_stand_apart_whole_and_by_side():
    confusing, audited = State.CONFUSING_NEGATIVE, State.AUDITED_EMPTY
    written = image_sets(
        image("P1", [GUN], "train"),
        image("N3", [], "test", state=confusing),
        image("N2", [], "train", state=confusing),
        image("N1", [], "", state=confusing),
        image("N4", [], "train", state=audited),
        trainval=False,
        empty=["confusing"],
    )

    assert {name: text for name, text in written.items() if "_" not in name} == {
        **{"train": "P1\n", "test": "", "confusing": "N1\nN2\nN3\n"},
    }
    assert (written["confusing_train"], written["confusing_test"]) == ("N2\n", "N3\n")
    assert [name for name in written if "trainval" in name or "audited" in name] == []


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


STATES = {"P00005": (State.CONFUSING_NEGATIVE, ()), "P00006": (State.UNFLAGGED, ())}


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
    staging = Staging(folder)
    with voc_tree(staging, Content(index, ClassList(("Gun",)))) as add:
        for record in in_shard_order(index, list(KINDS)):
            state, objects = STATES.get(record.image_id, (State.SOURCE_POSITIVE, (GUN,)))
            annotation = VocAnnotation(record.image_id, 96, 64, objects)
            one = exported_image(index, record, state, annotation)
            staging.write(voc_path(one), one.data)
            add(one)
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
