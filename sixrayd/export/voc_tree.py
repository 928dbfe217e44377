"""PASCAL VOC 2007's files: annotations, image sets, and what some readers want beside them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from sixrayd.core.records import EMPTY_SETS
from sixrayd.core.staging import Staging
from sixrayd.core.voc import VocAnnotation, write_voc
from sixrayd.export.content import Add, Content, ExportedImage

FOLDER = "VOC2007"
_MAIN = f"{FOLDER}/ImageSets/Main"
_COLOURS = 256


def voc_path(image: ExportedImage) -> str:
    """Where an image lies."""
    return f"{FOLDER}/JPEGImages/{image.file_name}"


@contextmanager
def voc_tree(staging: Staging, content: Content) -> Iterator[Add]:
    """Write `VOC2007/` but for its images; an unreviewed negative gets no XML unasked."""
    sets = MainLists(content.classes.names, content.trainval, content.sets)

    def add(image: ExportedImage) -> None:
        if image.empty_set == "negative" and "negative" not in content.sets:
            return
        suffix = PurePosixPath(image.file_name).suffix
        looks = content.looks(image)
        xml = write_voc(image.annotation, FOLDER, suffix, content.database, looks)
        staging.write(f"{FOLDER}/Annotations/{image.image_id}.xml", xml)
        sets.add(image)

    yield add
    for name, lines in sets.lines().items():
        staging.write_lines(f"{_MAIN}/{name}.txt", lines)
    if _can_be_mapped(content.classes.names):
        staging.write_lines(f"{FOLDER}/labelmap.txt", _label_map(content.classes.names))


class MainLists:
    """VOC 2007's `ImageSets/Main`: ids by side, and by class with 1, 0 or -1.

    As in VOC, 0 is for images that count neither way: every object of the class is difficult,
    or the release names the class but nobody has boxed it. `trainval` equals `train`. A set of
    empty images is there whole, and by side.
    """

    def __init__(self, classes: Sequence[str], trainval: bool, empty: frozenset[str]) -> None:
        self.classes, self.empty = classes, [name for name in EMPTY_SETS if name in empty]
        self._sides = {"train": ["train"] + ["trainval"] * trainval, "test": ["test"]}
        self._found: dict[str, list[str]] = defaultdict(list)

    def add(self, image: ExportedImage) -> None:
        """List an image where it belongs."""
        side = image.record.split
        if name := image.empty_set:
            if name in self.empty:
                self._found[name].append(image.image_id)
                self._found[f"{name}_{side}"].append(image.image_id)
            return
        for listed in self._sides.get(side, ()):
            self._found[listed].append(image.image_id)
            for label in self.classes:
                sign = presence(image.annotation, label, image.record.labels)
                self._found[f"{label}_{listed}"].append(f"{image.image_id} {sign:2d}")

    def lines(self) -> dict[str, list[str]]:
        """Lines by the list's name, sorted; a list without images is empty."""
        listed = [name for names in self._sides.values() for name in names]
        names = [f"{start}{name}" for name in listed for start in ("", *self._prefixes())]
        names += [f"{name}{end}" for name in self.empty for end in ("", "_train", "_test")]
        return {name: sorted(self._found[name]) for name in names}

    def _prefixes(self) -> list[str]:
        return [f"{label}_" for label in self.classes]


def presence(annotation: VocAnnotation, label: str, named: Sequence[str]) -> int:
    """1, 0 or -1 of a class, as `MainLists` has them."""
    difficult = [item.difficult for item in annotation.objects if item.box.label == label]
    if difficult:
        return 0 if all(difficult) else 1
    return 0 if label in named else -1


def _can_be_mapped(classes: Sequence[str]) -> bool:
    return "background" not in classes and not any(set(name) & set(":#") for name in classes)


def _label_map(classes: Sequence[str]) -> list[str]:
    """Datumaro's, with VOC's colours."""
    names = ["background", *classes]
    colours = (",".join(map(str, _colour(n % _COLOURS))) for n in range(len(names)))
    return [
        "# label:color_rgb:parts:actions",
        *(f"{name}:{colour}::" for name, colour in zip(names, colours, strict=True)),
    ]


def _colour(number: int) -> tuple[int, int, int]:
    """Bits of a number, dealt to red, green and blue from the highest bit on."""
    red, green, blue = (
        sum((number >> 3 * step + channel & 1) << 7 - step for step in range(8))
        for channel in range(3)
    )
    return red, green, blue
