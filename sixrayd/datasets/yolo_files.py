"""YOLO: a text file an image, beside it or in `labels/` where the image is in `images/`.

An empty file says that the image shows nothing. No file says nothing.
"""

import posixpath
from collections.abc import Mapping, Sequence, Set

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import OnFault, VocAnnotation, VocObject, settle_objects
from sixrayd.datasets.image_lists import is_wide, text_of
from sixrayd.datasets.merging import FilePart, check_places, copy_of, first_spellings, merge
from sixrayd.datasets.namesakes import Namesakes, label_of
from sixrayd.datasets.places import IMAGES, suffix_of
from sixrayd.datasets.sides import (
    GIVEN,
    GivenSides,
    are_too_many,
    image_of,
    is_too_long,
    side_of_folders,
    side_of_name,
)
from sixrayd.datasets.yolo_names import YoloNames
from sixrayd.datasets.yolo_rows import has_rows, lines_of, rows_of, settle_row

_FOLDER = "labels"
_PROSE = frozenset(("readme", "license", "licence", "notice", "requirements"))

Texts = list[tuple[str, bytes]]


class YoloFiles:
    """Text files of a set. Which of them are labels is known when all are there."""

    form = "yolo"

    def __init__(self, namesakes: Mapping[str, Namesakes]) -> None:
        self._namesakes = namesakes
        self.findings: list[Finding] = []  # for nobody where the set has another form
        self._names = YoloNames(self.findings)
        self._texts: dict[str, Texts] = {}  # image id → where and rows of what may be its labels
        self._copies: dict[str, list[str]] = {}  # of a text, byte for byte
        self._row_folders: set[str] = set()  # with a text that has rows
        self._has_folder = False  # whether a text lies in `labels/`
        self._lists: list[tuple[str, bytes]] = []
        self._known: dict[str, Texts] | None = None  # made when asked for, as are the sides
        self._sides: GivenSides | None = None

    @staticmethod
    def wants(where: str, data: bytes | None) -> bool:
        """Whether a file may be labels, a list of images, or name classes."""
        data = data and _in_utf8(data)
        if YoloNames.wants(where, data):
            return True
        stem, suffix = posixpath.splitext(posixpath.basename(where).lower())
        if suffix != ".txt" or stem.partition(".")[0] in _PROSE:
            return False
        return (
            data is None
            or _in_labels(where)
            or not data.strip()
            or has_rows(data)
            or _is_list(data)
        )

    def take(self, where: str, data: bytes) -> None:
        """Add a file."""
        data = _in_utf8(data)
        self._known = self._sides = None
        if YoloNames.wants(where, data):
            self._names.take(where, data)
        elif _is_list(data):
            self._lists.append((where, data))
        elif image := image_of(where, self.findings):
            if has_rows(data):
                self._row_folders.add(posixpath.dirname(where))
            known = self._texts.setdefault(image, [])
            if first := copy_of(data, known):
                self._copies.setdefault(first, []).append(where)
            else:
                known.append((where, data))
                self._has_folder = self._has_folder or _in_labels(where)

    @property
    def is_proven(self) -> bool:
        """Whether there is a `proof`, told without a look at each text: images ask among them."""
        named, rows = self._names.where != "", len(self._row_folders) > 0
        return (named and rows) or (self._has_folder and (named or rows))

    @property
    def proof(self) -> str:
        """The first file of labels; empty where there is none."""
        return next((texts[0][0] for texts in self._labels().values()), "")

    @property
    def image_ids(self) -> Set[str]:
        """Images with a file of labels, be it empty."""
        return self._labels().keys()

    def class_names(self) -> tuple[str, ...]:
        """By number."""
        return first_spellings(self._names.by_number().values())

    def sides(self) -> Mapping[str, Mapping[str, str]]:
        """By lists of images, or else by the folders that data.yaml or their names tell."""
        if self._sides is None:
            self._sides = self._given_sides()
        return {GIVEN: self._sides.found} if self._sides.found else {}

    def _given_sides(self) -> GivenSides:
        listed = GivenSides(self.findings, by_lists=True)
        for where, data in self._lists:
            side = self._names.side_of(where) or side_of_name(where)
            if not side or is_too_long(data, where, self.findings):
                continue
            bad: list[Finding] = []
            for line in filter(None, map(str.strip, lines_of(data))):
                if image := image_of(line.replace("\\", "/"), bad, where):
                    listed.add(image, side, where)
                elif are_too_many(bad, where):
                    break
            self.findings += bad
        sides = GivenSides(self.findings)
        for image, texts in self._labels().items():
            for where, _ in texts if image not in listed.found else ():
                if side := self.side_of_image(_image_path(where)):
                    sides.add(image, side, where)
        sides.found |= listed.found
        return sides

    def side_of_image(self, path: str) -> str:
        """The side that an image's path tells; empty where it tells none."""
        return self._names.side_of(posixpath.dirname(path)) or side_of_folders(path)

    def where(self, image_id: str) -> str:
        """The first file of an image."""
        return self._labels()[image_id][0][0]

    def shows(self, image_id: str) -> bool:
        """Whether a file of the image has a row."""
        return any(data.strip() for _, data in self._labels()[image_id])

    def annotation(
        self, image_id: str, size_wh: tuple[int, int] | None, classes: ClassList, on_error: OnFault
    ) -> VocAnnotation | None:
        """What the files say of an image; None where there is none.

        Raises:
            AnnotationError: no size, too many of them, or (with "stop") a row that cannot be used.
        """
        texts: Sequence[tuple[str, bytes]] = self._labels().get(image_id, ())
        findings: list[Finding] = []
        if texts:
            check_places(image_id, texts[0][0], len(texts))
        if image_id in self._namesakes:
            said = ((label_of(text[0], self._copies), text) for text in texts)
            texts = self._namesakes[image_id].own(said, on_error, findings)
        names, keypoints = self._names.by_number(), self._names.keypoints
        parts = [
            read_yolo(image_id, where, data, names, size_wh, classes, on_error, keypoints)
            for where, data in texts
        ]
        return merge(image_id, parts, findings) if parts else None

    def _labels(self) -> dict[str, Texts]:
        if self._known is None:
            chosen = (
                (image, [text for text in texts if self._is_label(*text)])
                for image, texts in self._texts.items()
            )
            self._known = {image: texts for image, texts in chosen if texts}
        return self._known

    def _is_label(self, where: str, data: bytes) -> bool:
        folder = posixpath.dirname(where)
        if not self._names.where and not self._row_folders:
            return False
        if _in_labels(where):
            return True
        return self._names.where != "" and (has_rows(data) or folder in self._row_folders)


def _in_utf8(data: bytes) -> bytes:
    """A text in UTF-8; some programs on Windows write UTF-16 with a mark."""
    return text_of(data).encode() if is_wide(data) else data


def _in_labels(where: str) -> bool:
    return _FOLDER in where.lower().split("/")[:-1]


def _is_list(data: bytes) -> bool:
    """Whether a text begins with the path of an image."""
    first = data[:65_536].lstrip().partition(b"\n")[0]
    return suffix_of(first.decode("utf-8", "replace").strip()) in IMAGES


def _image_path(where: str) -> str:
    """Where the image of a file of labels lies, but for its suffix."""
    folders = where.split("/")
    for at in reversed(range(len(folders) - 1)):
        if folders[at].lower() == _FOLDER:
            folders[at] = "images"
            break
    return "/".join(folders)


def read_yolo(
    image_id: str,
    where: str,
    data: bytes,
    names: Mapping[int, str],
    size_wh: tuple[int, int] | None,
    classes: ClassList,
    on_error: OnFault,
    keypoints: int = 0,
) -> FilePart:
    """What a text of rows says of its image.

    Args:
        keypoints: see `settle_row`.

    Raises:
        AnnotationError: no size, or (with "stop") an object that cannot be used.
    """
    if size_wh is None:
        raise AnnotationError(
            f"{where}: fractions of an image that is not there to be measured; put "
            f"{image_id} beside its labels"
        )
    size, findings = size_wh, list[Finding]()

    def settle(columns: list[str], at: str) -> VocObject:
        return VocObject(settle_row(columns, at, names, classes, size, findings, keypoints))

    objects = settle_objects(rows_of(data, where), settle, on_error, findings)
    if not objects and data.strip():
        findings.append(Finding(Flaw.NO_OBJECT, where, "no usable object"))
    return FilePart(where, VocAnnotation(image_id, *size, objects, tuple(findings)))
