"""What a set's text files say of its images, whatever the form: VOC, COCO or YOLO.

Files come one by one, in any order, from wherever they lie; then images are asked for.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.image_ids import named_source
from sixrayd.core.records import Source
from sixrayd.core.voc import MAX_BYTES, OnFault, VocAnnotation
from sixrayd.datasets.coco_files import CocoFiles
from sixrayd.datasets.coco_json import is_coco
from sixrayd.datasets.image_lists import ImageLists
from sixrayd.datasets.namesakes import Namesakes
from sixrayd.datasets.places import slashed, suffix_of
from sixrayd.datasets.sides import side_of_folders
from sixrayd.datasets.voc_files import VocFiles
from sixrayd.datasets.yolo_files import YoloFiles

# bytes of one file that are read, by suffix
LIMITS = {
    ".xml": MAX_BYTES,
    ".json": 512 << 20,
    ".txt": 64 << 20,
    ".csv": 256 << 20,
    ".yaml": 1 << 20,
    ".yml": 1 << 20,
    ".names": 1 << 20,
    ".data": 1 << 20,
}
MAX_SUM = 1 << 30  # bytes of all files together


class FormFiles(Protocol):
    """Files of one form."""

    form: str

    @property
    def proof(self) -> str: ...  # a file that is surely of this form; empty for none

    @property
    def image_ids(self) -> Set[str]: ...

    def class_names(self) -> tuple[str, ...]: ...

    def sides(self) -> Mapping[str, Mapping[str, str]]: ...

    def where(self, image_id: str) -> str: ...

    def shows(self, image_id: str) -> bool: ...

    def annotation(
        self, image_id: str, size_wh: tuple[int, int] | None, classes: ClassList, on_error: OnFault
    ) -> VocAnnotation | None: ...


class Labels:
    """Labels of a set."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._namesakes: dict[str, Namesakes] = {}  # by image id
        self._voc = VocFiles(self._findings, self._namesakes)
        self._coco = CocoFiles(self._findings, self._namesakes)
        self._yolo = YoloFiles(self._namesakes)
        self._lists = ImageLists(self._findings)
        self._sum = 0

    def wants(self, where: str, data: bytes | None = None) -> bool:
        """Whether a file may hold labels, names of classes or a split.

        Args:
            where: its path within the set.
            data: what it holds, which tells more than the path alone.
        """
        where = slashed(where)
        if suffix_of(where) == ".json":
            return data is None or is_coco(where, data)
        if suffix_of(where) == ".xml" or self._lists.wants(where):
            return True
        return self._yolo.wants(where, data)

    def take(self, where: str, data: bytes) -> None:
        """Add a file that `wants` wants; others are passed over.

        Raises:
            AnnotationError: all files together are beyond `MAX_SUM`.
        """
        where = slashed(where)
        if not self.wants(where, data) or not self._has_room(where, data):
            return
        if self._lists.wants(where):
            self._lists.take(where, data)
        elif suffix_of(where) == ".xml":
            self._voc.take(where, data)
        elif suffix_of(where) == ".json":
            self._coco.take(where, data)
        else:
            self._yolo.take(where, data)

    def tell_apart(self, image_id: str, kept: Sequence[str], others: Sequence[str]) -> None:
        """Give the kept image no label that another of its name has, or may have.

        Args:
            kept: paths of the image that is kept; copies have several.
            others: paths of images that have its id and differ from it.
        """
        self._namesakes[image_id] = Namesakes(
            tuple(map(slashed, kept)), tuple(map(slashed, others))
        )

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with files as a whole; an image's own are in its annotation."""
        other = self._voc.proof or self._coco.proof
        return self._findings + ([] if other else self._yolo.findings)

    @property
    def form(self) -> str:
        """ "voc", "coco" or "yolo"; empty where nothing was taken.

        Raises:
            AnnotationError: files of two forms were.
        """
        chosen = self._chosen()
        return chosen.form if chosen else ""

    @property
    def image_ids(self) -> Set[str]:
        """Images that the set says something of, be it that they show nothing."""
        chosen = self._chosen()
        return chosen.image_ids if chosen else frozenset()

    @property
    def class_names(self) -> tuple[str, ...]:
        """As the files spell them: COCO's by id, YOLO's by number, VOC's sorted."""
        chosen = self._chosen()
        return chosen.class_names() if chosen else ()

    @property
    def sides(self) -> Mapping[str, Mapping[str, str]]:
        """Given splits: name → image id → "train", "test" or `NEITHER`.

        Lists beat folders and names.
        """
        chosen, lists = self._chosen(), self._lists.sides()
        splits = dict(chosen.sides() if chosen else {})
        for name in lists:
            splits[name] = {**splits.get(name, {}), **lists[name]}
        return splits

    @property
    def repeats(self) -> int:
        """Files that repeat another byte for byte."""
        return self._voc.repeats

    def where(self, image_id: str) -> str:
        """A file that speaks of an image, which is one of `image_ids`."""
        chosen = self._chosen()
        return chosen.where(image_id) if chosen else ""

    def shows(self, image_id: str) -> bool:
        """Whether labels say that something is in an image, usable or not."""
        chosen = self._chosen()
        return chosen is not None and chosen.shows(image_id)

    def source(self, image_id: str) -> Source | None:
        """What image sets say of an image, or else SIXray's own names; None where neither does."""
        shown = self._lists.shown.get(image_id)
        if shown is None:
            return named_source(image_id)
        return Source.POSITIVE if shown else Source.NEGATIVE

    def side_of_image(self, where: str) -> str:
        """ "train" or "test", as an image's path tells in the given split; empty for neither."""
        where = slashed(where)
        if self._chosen() is self._yolo:
            return self._yolo.side_of_image(where)
        return side_of_folders(where)

    def annotation(
        self,
        image_id: str,
        size_wh: tuple[int, int] | None,
        classes: ClassList,
        on_error: OnFault = "stop",
    ) -> VocAnnotation | None:
        """What the set says of an image; None where it says nothing.

        Args:
            size_wh: of the image itself, which beats what its labels say.

        Raises:
            AnnotationError: they cannot be used, or (with "stop") one of the objects cannot.
        """
        chosen = self._chosen()
        return chosen.annotation(image_id, size_wh, classes, on_error) if chosen else None

    def _chosen(self) -> FormFiles | None:
        proven: list[FormFiles] = [form for form in (self._voc, self._coco) if form.proof]
        proven += [self._yolo] * self._yolo.is_proven
        if len(proven) > 1:
            found = " and ".join(f"{form.form.upper()} ({form.proof})" for form in proven)
            raise AnnotationError(f"labels in two forms: {found}; keep those of one form")
        return proven[0] if proven else self._voc if self._voc.image_ids else None

    def _has_room(self, where: str, data: bytes) -> bool:
        limit = LIMITS[suffix_of(where)]
        if len(data) > limit:
            text = f"{len(data)} bytes, at most {limit} are read"
            self._findings.append(Finding(Flaw.NOT_READ, where, text))
            return False
        self._sum += len(data)
        if self._sum > MAX_SUM:
            raise AnnotationError(f"{where}: labels of more than {MAX_SUM} bytes; split the set")
        return True
