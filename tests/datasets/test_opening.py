"""Sets on disk: recognised, mixed, broken, hostile, real."""

import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import VocObject
from sixrayd.datasets.labelled import ImageLabels
from sixrayd.datasets.opening import covering, open_set
from tests.datasets.sets import as_coco, as_voc, as_yolo, coco, write
from tests.releases import TinyRelease, cut, jpeg, tar_gz, voc, write_zip

GUN = ("Gun", 1, 1, 9, 9)
ROW = "0 .5 .5 .2 .2\n"


def refused(place):
    with pytest.raises(AnnotationError) as error:
        open_set(place)
    return str(error.value)


def test_one_json_is_a_set(tmp_path):
    path = tmp_path / "labels.json"
    write(path, json.dumps(coco({"P00001": ((96, 64), [("Gun", 1, 2, 3, 4)])}, ("Gun",))))

    objects = (VocObject(Box("Gun", 1, 2, 3, 4)),)
    assert open_set(path).images == {"P00001": ImageLabels("P00001", objects, "", (96, 64))}


def test_an_image_that_no_label_speaks_of_shows_we_do_not_know_what(tmp_path):
    as_voc(tmp_path)
    write(tmp_path / "test" / "JPEGImages" / "x9.JPG", jpeg(9, 30, 20))

    found = open_set(tmp_path, with_images=False)

    assert found.images["x9"] == ImageLabels("x9", None, "", (30, 20))
    assert found.splits["given"]["x9"] == "test"


def test_zips_within_a_folder_are_read(tmp_path):
    write_zip(
        tmp_path / "SIXray-D.zip",
        {
            "SIXray-D/train/Cleaned Knife/N0000001.xml": voc("N0000001", GUN),
            "SIXray-D/test/Cleaned Knife/N0000002.xml": voc("N0000002", GUN),
        },
    )
    write(tmp_path / "JPEGImage" / "N0000001.jpg", jpeg(1))

    found = open_set(tmp_path)

    assert [len(image.objects) for image in found.images.values()] == [1, 1]
    assert found.splits == {"sixray-d": {"N0000001": "train", "N0000002": "test"}}


def test_one_side_alone_divides_nothing(tmp_path):
    write(tmp_path / "train/Annotations/P00001.xml", voc("P00001", GUN))

    assert open_set(tmp_path).splits == {}


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (
            as_voc,
            as_coco,
            "VOC (test/Annotations/N0000003.xml) and COCO (annotations/instances_test.json)",
        ),
        (
            as_coco,
            as_yolo,
            "COCO (annotations/instances_test.json) and YOLO (labels/test/N0000003.txt)",
        ),
    ],
)
def test_two_forms_at_once(tmp_path, first, second, text):
    first(tmp_path)
    second(tmp_path)

    assert refused(tmp_path) == f"labels in two forms: {text}; keep those of one form"


def test_places_that_are_no_set(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    write(tmp_path / "images" / "P00001.jpg", jpeg(1))
    write(tmp_path / "results.json", '[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]')
    write(tmp_path / "set.tar", b"")
    write(tmp_path / "set.7z", b"")
    kinds = "labels in VOC's, COCO's or YOLO's form"

    assert refused(empty) == f"{empty}: empty, expected {kinds}"
    assert refused(tmp_path / "images") == f"{tmp_path}/images: no file is {kinds}"
    assert refused(tmp_path / "results.json") == (
        f"{tmp_path}/results.json: no file is {kinds}; results.json: a list, as of a "
        "detector's results; labels have images, annotations and categories"
    )
    assert refused(tmp_path / "none") == f"{tmp_path}/none: no such file or folder"
    assert refused(tmp_path / "set.tar") == (
        f"{tmp_path}/set.tar: empty, expected {kinds}; set.tar: is empty; fetch it again"
    )
    assert refused(tmp_path / "set.7z") == (
        f"{tmp_path}/set.7z: no folder, zip, tar or .json of labels; unpack it and name its folder"
    )


def test_yolo_without_images(tmp_path):
    as_yolo(tmp_path)
    shutil.rmtree(tmp_path / "images")

    assert refused(tmp_path) == (
        f"{tmp_path}: YOLO labels are fractions of images, and no image is there to be measured; "
        "put the images beside the labels"
    )


def test_yolo_without_one_of_the_images(tmp_path):
    as_yolo(tmp_path)
    (tmp_path / "images" / "train" / "P00002.jpg").unlink()

    found = open_set(tmp_path)

    assert found.images["P00002"] == ImageLabels("P00002", None)
    text = "fractions of an image that is not there to be measured; put P00002 beside its labels"
    assert found.findings == (Finding(Flaw.UNREADABLE_LABELS, "labels/train/P00002.txt", text),)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ((), ClassList().names),
        (("gun", "plier", "Hammer"), ClassList().names),
        (("Multitool", "Gun", "pistol"), ("Multitool", "Gun")),
    ],
)
def test_which_classes(names, classes):
    assert covering(names).names == classes


def test_classes_that_are_named_leave_others_out(tmp_path):
    as_voc(tmp_path)

    found = open_set(tmp_path, ClassList(("Knife",)))

    labels = [item.box.label for image in found.images.values() for item in image.objects]
    assert labels == ["Knife", "Knife"]
    unknown = [finding for finding in found.findings if finding.flaw is Flaw.UNKNOWN_CLASS]
    assert len(unknown) == 4


def test_what_is_wrong_with_images_is_found(tmp_path):
    write(tmp_path / "Annotations" / "P1.xml", voc("P1", GUN))
    write(tmp_path / "a" / "P1.jpg", jpeg(1))
    write(tmp_path / "b" / "P1.jpg", jpeg(2))
    write(tmp_path / "c" / "P1.jpg", jpeg(1))
    write(tmp_path / "a" / "P2.jpg", b"no image")
    with (tmp_path / "a" / "P3.png").open("wb") as file:
        file.truncate((64 << 20) + 1)

    found = open_set(tmp_path)

    assert list(found.images) == ["P1", "P2"]
    assert found.images["P2"].size_wh is None
    assert found.findings == (
        Finding(Flaw.UNREADABLE_IMAGE, "a/P2.jpg", "no image in a known form"),
        Finding(Flaw.NOT_READ, "a/P3.png", "67108865 bytes, at most 67108864 are read"),
        Finding(Flaw.OTHER_IMAGE, "b/P1.jpg", "another image than a/P1.jpg; a/P1.jpg holds"),
        Finding(
            Flaw.UNREADABLE_LABELS,
            "Annotations/P1.xml",
            "a/P1.jpg and b/P1.jpg differ; which of them is meant cannot be told; rename one of "
            "them with its labels",
        ),
    )


def test_links_are_followed_and_loops_noticed(tmp_path):
    as_voc(tmp_path / "real")
    root = tmp_path / "set"
    root.mkdir()
    (root / "far").symlink_to(tmp_path / "real")
    (root / "loop").symlink_to(root)
    (root / "P9.xml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "P8.xml")

    found = open_set(root)

    assert len(found.images) == 4
    assert [finding for finding in found.findings if finding.flaw is not Flaw.NO_OBJECT] == [
        Finding(Flaw.NOT_READ, "P8.xml", "no plain file"),
        Finding(Flaw.NOT_READ, "P9.xml", "cannot be read (No such file or directory)"),
        Finding(Flaw.FOLDER_TWICE, "loop", "the same folder as .; read once"),
    ]


@pytest.mark.parametrize(
    ("name", "size", "limit"),
    [
        ("P2.xml", 4 << 20, 4 << 20),
        ("a.json", 512 << 20, 512 << 20),
        ("data.yaml", 1 << 20, 1 << 20),
    ],
)
def test_no_more_than_the_limit_is_read(tmp_path, name, size, limit):
    write(tmp_path / "P1.xml", voc("P1", GUN))
    with (tmp_path / name).open("wb") as file:
        file.truncate(size + 1)  # holes alone

    found = open_set(tmp_path)

    text = f"{size + 1} bytes, at most {limit} are read"
    assert found.findings == (Finding(Flaw.NOT_READ, name, text),)


def test_no_more_than_the_sum_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("sixrayd.datasets.opening.MAX_SUM", 500)
    for stem in ("P1", "P2", "P3"):
        write(tmp_path / f"{stem}.xml", voc(stem, GUN))

    assert refused(tmp_path) == f"{tmp_path}: texts of more than 500 bytes; split the set"


def test_a_zip_that_unpacks_to_more_than_the_limit(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("P1.xml", voc("P1", GUN))
        archive.writestr("P2.xml", bytes((4 << 20) + 1))

    assert open_set(path).findings == (
        Finding(Flaw.NOT_READ, "P2.xml", "4194305 bytes, at most 4194304 are read"),
    )


def test_a_zip_that_lies(tmp_path):
    """An entry whose bytes are not those of its checksum, and one that says to be encrypted."""
    path = tmp_path / "set.zip"
    files = {"P1.xml": voc("P1", GUN), "P2.xml": voc("P2", GUN), "P3.xml": voc("P3", GUN)}
    write_zip(path, {**files, "more.zip": b"", "more.tar.gz00": b""})
    data = bytearray(path.read_bytes())
    data[data.index(b"<annotation><filename>P2")] ^= 1
    third = data.rindex(b"P3.xml")
    data[third - 46 + 8] |= 1  # the flags in the central directory
    path.write_bytes(data)

    found = open_set(path)

    assert list(found.images) == ["P1"]
    again = "an archive within a zip, which is not read; unpack it"
    assert set(found.findings) == {
        Finding(Flaw.NOT_READ, "P2.xml", "cannot be read (Bad CRC-32 for file 'P2.xml')"),
        Finding(Flaw.NOT_READ, "P3.xml", "encrypted"),
        Finding(Flaw.NOT_READ, "more.zip", again),
        Finding(Flaw.NOT_READ, "more.tar.gz00", again),
    }


def test_archives_beside_the_labels_are_named(tmp_path):
    write(tmp_path / "P1.xml", voc("P1", GUN))
    write(tmp_path / "JPEGImage.7z", b"")
    write(tmp_path / "JPEGImage.tar.gz00", b"")
    write(tmp_path / "cut.zip", b"PK\x03\x04")

    assert open_set(tmp_path).findings == (
        Finding(Flaw.NOT_READ, "JPEGImage.7z", "an archive that is not read; unpack it"),
        Finding(Flaw.NOT_READ, "cut.zip", "broken zip (File is not a zip file)"),
        Finding(Flaw.NOT_READ, "JPEGImage.tar.gz00", "is empty; fetch it again"),
    )


def test_paths_that_leave_the_set_lead_nowhere(tmp_path):
    write_zip(tmp_path / "set.zip", {"../../P1.xml": voc("P1", GUN), "..\\P2.xml": voc("P2", GUN)})

    assert list(open_set(tmp_path / "set.zip").images) == ["P1", "P2"]
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]


def test_a_doctype_is_refused_and_the_rest_is_read(tmp_path):
    bomb = b'<!DOCTYPE annotation [<!ENTITY a "aaaa">]><annotation>&a;</annotation>'
    write(tmp_path / "P1.xml", voc("P1", GUN))
    write(tmp_path / "P2.xml", bomb)

    found = open_set(tmp_path)

    assert found.images["P2"].objects is None
    text = "has a DTD, which no annotation needs; refused"
    assert found.findings == (Finding(Flaw.UNREADABLE_LABELS, "P2.xml", text),)


def test_yaml_whose_aliases_multiply_costs_nothing(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    write(tmp_path / "data.yaml", "\n".join([*lines, "names: [Gun, *a11]", "train: *a11"]))
    write(tmp_path / "P1.txt", ROW)
    write(tmp_path / "P1.jpg", jpeg(1))

    found = open_set(tmp_path)

    assert [len(image.objects) for image in found.images.values()] == [1]
    text = "names: '1' is no number with a name; left out"
    assert found.findings[0] == Finding(Flaw.UNREADABLE_LABELS, "data.yaml", text)


DATA = Path(os.environ.get("SIXRAYD_DATA", "/nonexistent"))


@pytest.mark.skipif(not DATA.is_dir(), reason="SIXRAYD_DATA names no folder")
def test_real_annotations_of_sixray_d():
    found = open_set(DATA / "sixray-samples" / "sixray-d")

    assert (found.form, found.classes, found.findings) == ("voc", ClassList(), ())
    assert {name: len(image.objects) for name, image in found.images.items()} == {
        "P00002": 2,
        "P00003": 1,
        "P00004": 2,
    }
    assert all(len(image.sha256) == 64 for image in found.images.values())


@pytest.mark.skipif(not DATA.is_dir(), reason="SIXRAYD_DATA names no folder")
def test_real_annotations_in_a_zip():
    found = open_set(DATA / "rehearsal-truth" / "all-classes.zip")

    names = ("Folding_Knife", "Multitool", "Scissors", "Straight_Knife", "Utility_Knife")
    assert found.classes.names == names
    assert (len(found.images), found.findings, found.splits) == (6181, (), {})
    assert {len(image.objects) for image in found.images.values()} == {1}


def test_nothing_is_known_of_an_image_whose_boxes_cannot_be_used(tmp_path):
    write(tmp_path / "P1.xml", voc("P1", ("Gun", 97, 1, 99, 9)))
    write(tmp_path / "A2.xml", voc("A2", ("Hammer", 1, 1, 9, 9)))
    write(tmp_path / "P3.xml", voc("P3", ("Gun", 1, 1, 9, 9)))

    found = {i: image.objects for i, image in open_set(tmp_path).images.items()}
    asked = {
        i: image.objects for i, image in open_set(tmp_path, ClassList(("Knife",))).images.items()
    }

    assert (found["P1"], found["A2"], len(found["P3"])) == (None, (), 1)
    assert asked == {"A2": (), "P1": (), "P3": ()}


def test_names_and_image_sets_say_what_an_image_without_a_box_is(tmp_path):
    for stem in ("P1", "N2", "A3", "A4", "P5"):
        write(tmp_path / "VOC" / f"{stem}.xml", voc(stem))
    for stem in ("P6", "N7", "A8"):
        write(tmp_path / "VOC" / f"{stem}.jpg", jpeg(int(stem[1:])))
    rows = ("name,Gun,Knife", "A4,-1,1", "P5,-1,-1", "A8,-1,0")
    write(tmp_path / "ImageSet" / "10" / "train.csv", "\n".join(rows).encode())

    found = {i: image.objects for i, image in open_set(tmp_path).images.items()}

    silent = {"P1", "A4", "P6"}
    assert found == {i: None if i in silent else () for i in found}
    assert len(found) == 8


@pytest.mark.parametrize("parts", [1, 3])
def test_tars_are_read_as_download_reads_them(tmp_path, parts):
    tiny = TinyRelease()
    loose, packed = tiny.write_loose(tmp_path / "loose"), tmp_path / "packed"
    packed.mkdir()
    files = {f.relative_to(loose).as_posix(): f.read_bytes() for f in loose.rglob("*.*")}
    cut(packed, tar_gz(files), parts, "all.tar.gz")
    whole = tmp_path / "whole.tar.gz"
    whole.write_bytes(tar_gz(files))

    found = open_set(loose)

    assert len(found.images) == 8
    for place in (packed, whole):
        again = open_set(place)
        assert (again.images, again.splits, again.findings) == (found.images, found.splits, ())


def test_a_part_of_a_tar_that_is_missing_or_cut_short_is_told(tmp_path):
    tiny = TinyRelease()
    for stem, xml in tiny.xml.items():
        write(tmp_path / "set" / f"{stem}.xml", xml)
    images = tar_gz({f"{stem}.jpg": data for stem, data in tiny.images.items()})
    parts = cut(tmp_path / "set", images)
    parts[1].unlink()

    found = [str(finding) for finding in open_set(tmp_path / "set").findings]

    assert found[0] == "JPEGImage.tar.gz: part JPEGImage.tar.gz01 is missing"
    assert found[-1].startswith("JPEGImage.tar.gz00: broken tar (")


def test_links_and_archives_in_a_tar_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("P1.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, data in (("P1.xml", voc("P1", ("Gun", 1, 1, 20, 30))), ("b.zip", b"PK")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

    found = open_set(tmp_path / "a.tar")

    assert [len(image.objects) for image in found.images.values()] == [1]
    assert [str(finding) for finding in found.findings] == [
        "a.tar/P1.jpg: a link, device or sparse file; refused",
        "a.tar/b.zip: an archive within a tar, which is not read; unpack it",
    ]


def test_classes_of_a_set_are_told_apart_within_reason():
    assert len(covering(tuple(f"C{n}" for n in range(200))).names) == 200
    with pytest.raises(AnnotationError, match="1001 classes, at most 1000 are told apart"):
        covering(tuple(f"C{n}" for n in range(1001)))
