"""PASCAL VOC: an XML file an image, found by the file's stem wherever it lies."""

import re
from collections.abc import Mapping, Sequence, Set

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import OnFault, VocAnnotation, names_in, read_voc
from sixrayd.datasets.merging import FilePart, check_places, copy_of, first_spellings, merge
from sixrayd.datasets.namesakes import Namesakes, label_of
from sixrayd.datasets.sides import GivenSides, image_of, side_of_folders, split_of_tree

_ROOT = re.compile(rb"<(?:\w+:)?annotation[\s>/]")
_OBJECT = re.compile(rb"<(?:\w+:)?object[\s>/]", re.IGNORECASE)
_HEAD = 4096  # bytes in which the root lies


class VocFiles:
    """XML files of images, kept as they are until they are asked for."""

    form = "voc"

    def __init__(self, findings: list[Finding], namesakes: Mapping[str, Namesakes]) -> None:
        self.proof = ""  # the first file that is surely of this form
        self._findings = findings
        self._namesakes = namesakes
        self._texts: dict[str, list[tuple[str, bytes]]] = {}  # image id → (where, XML) …
        self._sides: dict[str, GivenSides] = {}
        self._copies: dict[str, list[str]] = {}  # of a file, byte for byte

    def take(self, where: str, data: bytes) -> None:
        """Add an XML file; one that repeats another byte for byte is that one."""
        image = image_of(where, self._findings)
        if not image:
            return
        if not self.proof and _ROOT.search(data[:_HEAD].replace(b"\0", b"")):
            self.proof = where
        known = self._texts.setdefault(image, [])
        if first := copy_of(data, known):
            self._copies.setdefault(first, []).append(where)
        else:
            known.append((where, data))
        if side := side_of_folders(where):
            sides = self._sides.setdefault(split_of_tree(where), GivenSides(self._findings))
            sides.add(image, side, where)

    @property
    def repeats(self) -> int:
        """Files that repeat another byte for byte."""
        return sum(map(len, self._copies.values()))

    @property
    def image_ids(self) -> Set[str]:
        """Images with an XML."""
        return self._texts.keys()

    def class_names(self) -> tuple[str, ...]:
        """As the files spell them, sorted; of spellings in other case the first."""
        texts = (text for texts in self._texts.values() for text in texts)
        names = {name for where, data in texts for name in names_in(data, where)}
        return first_spellings(sorted(names))

    def sides(self) -> Mapping[str, Mapping[str, str]]:
        """By the folders `train`, `val` and `test` that the files lie in."""
        return {name: sides.found for name, sides in self._sides.items()}

    def where(self, image_id: str) -> str:
        """The first file of an image."""
        return self._texts[image_id][0][0]

    def shows(self, image_id: str) -> bool:
        """Whether a file of the image names an object."""
        texts = (data.replace(b"\0", b"") for _, data in self._texts[image_id])  # UTF-16, too
        return any(_OBJECT.search(text) for text in texts)

    def annotation(
        self, image_id: str, size_wh: tuple[int, int] | None, classes: ClassList, on_error: OnFault
    ) -> VocAnnotation | None:
        """What the XML files of an image say; None where there is none.

        Raises:
            AnnotationError: as `read_voc`; under "skip" only where no file of several can be read.
        """
        parts: list[FilePart] = []
        broken: list[Finding] = []
        texts = self._own(image_id, on_error, broken)
        for number, (where, data) in enumerate(texts, 1):
            size, judge = size_wh, "the image is"
            if parts and size_wh is None:
                size, judge = parts[0].size_wh, f"{parts[0].where} says"
            try:
                annotation = read_voc(data, where, classes, size, on_error, judge)
                parts.append(FilePart(where, annotation))
            except AnnotationError as error:
                if on_error == "stop" or (number == len(texts) and not parts):
                    raise
                text = str(error).removeprefix(f"{where}: ")
                broken.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
        return merge(image_id, parts, broken) if parts else None

    def _own(
        self, image_id: str, on_error: OnFault, findings: list[Finding]
    ) -> Sequence[tuple[str, bytes]]:
        texts = self._texts.get(image_id, [])
        if texts:
            check_places(image_id, texts[0][0], len(texts))
        if image_id not in self._namesakes:
            return texts
        said = ((label_of(where, self._copies), (where, data)) for where, data in texts)
        return self._namesakes[image_id].own(said, on_error, findings)
