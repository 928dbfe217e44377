"""The labels of each form, beside the boxes that the tables have."""

import hashlib
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.classes import ClassList
from sixrayd.core.counting import counted_batches, described
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import ImageError, SixraydError
from sixrayd.core.files import open_plain
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.records import EMPTY_SETS, Split, State
from sixrayd.core.shards import MAX_IMAGE_BYTES, StrictTarInfo, entries_of, plain_file
from sixrayd.core.storage import check_known
from sixrayd.core.voc import VocObject, read_voc
from sixrayd.datasets.coco_files import CocoFiles
from sixrayd.datasets.export_files import IMAGES, UNLISTED
from sixrayd.datasets.places import BROKEN
from sixrayd.datasets.yolo_files import read_yolo
from sixrayd.imaging.decode import image_size_wh
from sixrayd.validate.faults import FaultList
from sixrayd.validate.tables import POSITIVE, BoxRow, ExportTables, ImageRow

FORMS = ("voc", "coco", "yolo", "parquet", "webdataset")
_FLAGS = {"voc": 2, "coco": 1, "yolo": 0, "parquet": 2, "webdataset": 2}  # that a form can say
_PARTS = {
    "coco": re.compile(r"coco/annotations/instances_([^/]+)\.json"),
    "yolo": re.compile(r"yolo/(?:labels(?=.+\.txt$)|images)/(.+)/[^/]+"),
    "parquet": re.compile(r"parquet/data/([^/]+)-\d{5}\.parquet"),
    "webdataset": re.compile(r"webdataset/([^/]+)-\d{6}\.tar"),
}
# What else an export has in the folder of a form, but for VOC's lists: readers look for labels in
# whatever lies there.
_LAYOUT = re.compile(
    r"VOC2007/(Annotations/[^/]+\.xml|JPEGImages/[^/]+|labelmap\.txt)"
    r"|coco/images/[^/]+|yolo/data\.yaml|parquet/README\.md"
)
_FOLDERS = ("VOC2007", *FORMS[1:])
_ROWS = 20  # of images in Parquet that are in memory at once
_IN_TABLES = "as images.parquet has it"


class LabelCheck:
    """Compares what files say of images with the tables, file by file.

    Args:
        sets: of images that hold nothing, which VOC has annotations for.
    """

    def __init__(self, tables: ExportTables, sets: Sequence[str], faults: FaultList) -> None:
        self._tables, self._faults, self._sets = tables, faults, sets
        self._classes = ClassList(tables.classes)
        self._labelled = {form: np.zeros(len(tables.images), bool) for form in FORMS}
        self._files = np.zeros(len(tables.images), np.int64)
        self._lists = {f"VOC2007/ImageSets/Main/{name}.txt" for name in _names(tables, sets)}

    def place(self, path: str) -> None:
        """Tell of a file in the folder of a form where no export has one."""
        folder = path.partition("/")[0]
        part = folder in _PARTS and _PARTS[folder].fullmatch(path)
        if folder in _FOLDERS and not (part or path in self._lists or _LAYOUT.fullmatch(path)):
            self._faults.add(path, "", "a file", f"none here, as {folder}/ of an export has none")

    def take(self, path: str, data: bytes) -> None:
        """Check a file that is read whole: an image, or VOC's, COCO's or YOLO's labels."""
        where = PurePosixPath(path)
        if where.parent.as_posix() == "VOC2007/Annotations":
            self._take_text("voc", path, data)
        elif path.startswith("coco/annotations/"):
            self._take_coco(path, data)
        elif path.startswith("yolo/labels/"):
            self._take_text("yolo", path, data)
        elif path.startswith(("VOC2007/JPEGImages/", "coco/images/", "yolo/images/")):
            self._take_image(path, data)

    def take_table(self, path: str, file: Path) -> None:
        """Check a Parquet file with images in it."""
        try:
            with open_plain(file) as opened:
                source = pa.PythonFile(opened, mode="r")
                names = ["image", "image_id", "width", "height", "state", "objects"]
                schema = described(source).schema_arrow
                self._check_names(path, schema.metadata or {})
                wanted = [name for name in names if name in schema.names]
                for batch in counted_batches(source, wanted, _ROWS):
                    for said in batch.to_pylist():
                        self._take_sample("parquet", path, said)
        except (*BROKEN, pa.ArrowException, SixraydError) as error:
            check_known(error, file)
            self._faults.add(path, "", f"what cannot be read ({error})", "a table of images")

    def _check_names(self, path: str, metadata: Mapping[bytes, bytes]) -> None:
        """The classes by number, as Hugging Face's `datasets` calls them."""
        if (text := metadata.get(b"huggingface")) is None:
            return
        said, expected = parse_json(text), list(self._tables.classes)
        for name in ("info", "features", "objects", "category", "feature", "names"):
            said = said.get(name) if isinstance(said, dict) else None
        if said != expected:
            self._faults.add(path, "names", said, expected)

    def take_shard(self, path: str, file: Path) -> None:
        """Check a tar of images and what is said of each."""
        try:
            for said in _samples(file):
                self._take_sample("webdataset", path, said)
        except (*BROKEN, SixraydError) as error:
            self._faults.add(path, "", f"what cannot be read ({error})", "a tar of images")

    def finish(self, forms: Sequence[str]) -> None:
        """Say which images that were exported are in no file of a form, and which files are not
        there.
        """
        images = self._tables.images
        exported = images.marks(exported=True)
        for form in FORMS:
            if form not in forms and not self._labelled[form].any():
                continue
            wanted = exported
            if form == "voc" and "negative" not in self._sets:
                wanted = exported & ~images.marks(state=str(State.UNFLAGGED))
            where = f"{form} form"
            for row in self._faults.told(where, np.flatnonzero(wanted & ~self._labelled[form])):
                text = f"no labels of {images.at(row).image_id}"
                self._faults.add(where, "", text, "labels of each exported image")
        expected = np.asarray(pc.list_value_length(images.table["files"]))
        for row in self._faults.told(IMAGES, np.flatnonzero(self._files != expected)):
            at = images.at(row)
            found = f"{self._files[row]} files of it, of {', '.join(map(str, at.files)) or 'none'}"
            self._faults.add(IMAGES, at.image_id, found, "all of them")

    def _take_image(self, path: str, data: bytes) -> None:
        image = self._tables.images.find(PurePosixPath(path).stem)
        if image is None or path not in image.files:
            self._faults.add(path, "", "an image", "one that images.parquet lists")
            return
        self._files[image.row] += 1
        self._check_part(path.partition("/")[0], path, "", image)
        self._check_image(path, "", image, data)

    def _check_image(self, path: str, element: str, image: ImageRow, data: bytes) -> None:
        if len(data) != image.size:
            expected = f"{image.size}, {_IN_TABLES}"
            self._faults.add(path, element, f"{len(data)} bytes", expected)
        digest = hashlib.sha256(data).hexdigest()
        if digest != image.sha256:
            self._faults.add(path, element, f"SHA-256 {digest}", f"{image.sha256}, {_IN_TABLES}")
        try:
            size_wh = image_size_wh(data, path)
        except ImageError:
            size_wh = (0, 0)
        if size_wh != (image.width, image.height):
            found = f"{size_wh[0]} x {size_wh[1]} pixels"
            expected = f"{image.width} x {image.height}, {_IN_TABLES}"
            self._faults.add(path, element, found, expected)

    def _take_text(self, form: str, path: str, data: bytes) -> None:
        image = self._exported(form, path, "", PurePosixPath(path).stem)
        if image is None:
            return
        size_wh = image.width, image.height
        try:
            if form == "voc":
                said = read_voc(data, path, self._classes, size_wh, "skip")
            else:
                names = dict(enumerate(self._classes.names))
                part = read_yolo(image.image_id, path, data, names, size_wh, self._classes, "skip")
                said = part.annotation
        except SixraydError as error:
            self._faults.add(path, "", f"what cannot be read ({error})", "labels of the image")
            return
        self._compare(form, path, "", image, _rows(said.objects), said.findings)

    def _take_coco(self, path: str, data: bytes) -> None:
        findings: list[Finding] = []
        coco = CocoFiles(findings, {})
        coco.take(path, data)
        self._tell(path, findings)
        for image_id in sorted(coco.image_ids):
            image = self._exported("coco", path, image_id, image_id)
            if image is None:
                continue
            size_wh = image.width, image.height
            if (paths := coco.paths(image_id)) != (expected := [PurePosixPath(paths[0]).name]):
                self._faults.add(path, image_id, f"file_name {', '.join(paths)}", expected[0])
            try:
                said = coco.annotation(image_id, size_wh, self._classes, "skip")
            except SixraydError as error:
                found = f"what cannot be read ({error})"
                self._faults.add(path, image_id, found, "labels of the image")
                continue
            assert said is not None  # it is one of the ids
            self._compare("coco", path, image_id, image, _rows(said.objects), said.findings)

    def _take_sample(self, form: str, path: str, said: Mapping[str, Any]) -> None:
        """Check an image that its form holds itself, with what is said of it."""
        image_id = str(said.get("image_id"))
        image = self._exported(form, path, image_id, image_id)
        if image is None:
            return
        for name, known in (("width", image.width), ("height", image.height)):
            if said.get(name) != known:
                self._faults.add(path, image_id, f"{name} {said.get(name)!r}", known)
        if said.get("state") != image.state:
            self._faults.add(path, image_id, f"state {said.get('state')!r}", image.state)
        if (held := said.get("image")) is not None:
            data = held.get("bytes") if isinstance(held, dict) else held
            self._check_image(path, image_id, image, data or b"")
        elif image.files:
            self._faults.add(path, image_id, "no image", f"that of {image.files[0]}")
        boxes = list(_sample_boxes(said.get("objects"), self._tables.classes))
        self._compare(form, path, image_id, image, boxes, ())

    def _exported(self, form: str, path: str, element: str, image_id: str) -> ImageRow | None:
        """The row of an image that a file of a form speaks of, for the first time."""
        image = self._tables.images.find(image_id)
        if image is None or not image.exported:
            self._faults.add(path, element, f"labels of {image_id}", "an image that is exported")
            return None
        self._check_part(form, path, element, image)
        if self._labelled[form][image.row]:
            self._faults.add(path, element, f"{image_id} again", "each image once")
            return None
        self._labelled[form][image.row] = True
        return image

    def _check_part(self, form: str, path: str, element: str, image: ImageRow) -> None:
        said = _PARTS[form].fullmatch(path) if form in _PARTS else None
        expected = _part_of(image, "/" if form == "yolo" else "_")
        if said and said[1] != expected:
            self._faults.add(path, element, f"{image.image_id} in {said[1]}", expected)

    def _compare(
        self,
        form: str,
        path: str,
        element: str,
        image: ImageRow,
        boxes: Sequence[BoxRow],
        findings: Sequence[Finding],
    ) -> None:
        """Tell of boxes that differ, and of what the reader had to repair."""
        holds_nothing = image.state not in POSITIVE
        usual = (Flaw.NO_OBJECT,) if holds_nothing else ()
        self._tell(path, [finding for finding in findings if finding.flaw not in usual])
        length = 5 + _FLAGS[form]
        found = Counter(box[:length] for box in boxes)
        expected = Counter(box[:length] for box in self._tables.boxes_of(image.image_id))
        for box in found - expected:
            words = f"{_words(box)} that provenance.parquet does not have"
            self._faults.add(path, element, words, "its boxes alone")
        for box in expected - found:
            words = f"{_words(box)}, as provenance.parquet has it"
            self._faults.add(path, element, "no such box", words)

    def _tell(self, path: str, findings: Sequence[Finding]) -> None:
        for finding in findings:
            element = finding.where.removeprefix(path).removeprefix(": ")
            found = f"{finding.flaw}: {finding.text}"
            self._faults.add(path, element, found, "nothing of the kind")


def _names(tables: ExportTables, sets: Sequence[str]) -> Iterator[str]:
    """VOC's lists: by side, of each class too, and of each set of images that hold nothing."""
    for start in ("", *(f"{label}_" for label in tables.classes)):
        yield from (f"{start}{side}" for side in ("train", "trainval", "test"))
    for name in EMPTY_SETS.keys() & set(sets):
        yield from (name, *(f"{name}_{side}" for side in Split))


def _part_of(image: ImageRow, joint: str) -> str:
    """What is read as one: `train`, or `confusing_test`, in every form but VOC; YOLO has folders.

    Args:
        joint: of the set's name and the side.
    """
    of = next((name for name, state in EMPTY_SETS.items() if state == image.state), "")
    return f"{of}{joint}{image.split or UNLISTED}" if of else image.split or UNLISTED


def _rows(objects: Sequence[VocObject]) -> list[BoxRow]:
    return [(o.box.label, *o.box.xyxy, o.difficult, o.truncated) for o in objects]


def _words(box: Sequence[Any]) -> str:
    edges = ", ".join(f"{edge:g}" for edge in box[1:5])
    return f"a box {box[0]} ({edges})" + " difficult" * any(box[5:6]) + " truncated" * any(box[6:])


def _sample_boxes(objects: Any, classes: Sequence[str]) -> Iterator[BoxRow]:
    """Boxes of a Parquet row, or of a shard's JSON.

    Raises:
        ValueError, LookupError: they are of no such form.
    """
    known: Mapping[Any, str] = {label: label for label in classes}
    if isinstance(objects, dict):  # of Parquet, which has numbers
        known = dict(enumerate(classes))
        names = ("category", "bbox", "difficult", "truncated")
        columns = [objects.get(name) or [] for name in names]
        objects = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if not isinstance(objects, list):
        raise ValueError("no list of objects")
    for said in objects:
        try:
            name, (x, y, width, height) = known[said["category"]], map(float, said["bbox"])
            flags = bool(said["difficult"]), bool(said["truncated"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"an object that is none ({error})") from error
        yield name, x, y, x + width, y + height, *flags


def _samples(file: Path) -> Iterator[dict[str, Any]]:
    """What a shard says of each image, which goes right before it in the tar.

    Raises:
        one of `BROKEN`, as where an image goes before nothing that is said of it.
    """
    image: tuple[str, bytes] | None = None
    with (
        open_plain(file) as opened,
        tarfile.TarFile.open(file, "r:", fileobj=opened, tarinfo=StrictTarInfo) as tar,
    ):
        for entry in entries_of(tar):
            member = plain_file(tar, entry)
            if member is None or entry.size > MAX_IMAGE_BYTES:
                raise ValueError(f"{entry.name!r}: no plain file, or too large")
            key, data = entry.name.rpartition(".")[0], member.read()
            is_image = not entry.name.endswith(".json")
            if image and (is_image or image[0] != key):
                raise ValueError(f"{image[0]!r}: an image without a JSON right behind it")
            if is_image:
                image = key, data
                continue
            said = parse_json(data)
            if not isinstance(said, dict):
                raise ValueError(f"{entry.name!r}: no object")
            yield said | ({"image": image[1]} if image else {})
            image = None
    if image:
        raise ValueError(f"{image[0]!r}: an image without a JSON right behind it")
