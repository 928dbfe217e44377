"""One annotation of what several files say of an image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sixrayd.core.arrays import FloatArray
from sixrayd.core.boxes import Box, iou_matrix, stack_xyxy
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import MAX_OBJECTS, VocAnnotation
from sixrayd.core.words import counted

MOST_PLACES = 100  # that label one image: files, or rows of a list
_MOST_PAIRS = 1_000_000  # of boxes of one class that files of an image have
_SAME_IOU = 0.5  # from which boxes of one class in two files are versions of one


@dataclass(frozen=True, slots=True)
class FilePart:
    """What one file says of an image.

    Args:
        where: names the file in messages.
    """

    where: str
    annotation: VocAnnotation

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the image."""
        return self.annotation.width, self.annotation.height


def merge(
    image_id: str, parts: Sequence[FilePart], others: Sequence[Finding] = ()
) -> VocAnnotation:
    """The objects of all parts, with what was found; of things that several parts box, the first.

    Args:
        parts: at least one, of equal sizes.
        others: findings of what is no part.

    Raises:
        AnnotationError: together they have more objects than an image holds, or than are compared.
    """
    first = parts[0]
    objects = list(first.annotation.objects)
    findings = [*others, *first.annotation.findings]
    in_all, pairs = len(objects), 0
    for part in parts[1:]:
        said = len(part.annotation.objects)
        in_all += said  # known ones as well: each is compared with all
        if in_all > MAX_OBJECTS:
            text = f"more than {MAX_OBJECTS} objects with those of {first.where}"
            raise AnnotationError(f"{part.where}: {text}; no image holds so many")
        said_boxes = [item.box for item in part.annotation.objects]
        known, asked = _by_label(item.box for item in objects), _by_label(said_boxes)
        pairs += sum(len(boxes) * len(known.get(label, ())) for label, boxes in asked.items())
        if pairs > _MOST_PAIRS:
            text = f"boxes of {first.where} and others are {pairs} pairs to be compared"
            raise AnnotationError(f"{part.where}: {text}, at most {_MOST_PAIRS} are; keep one file")
        same = {label: _are_known(boxes, known.get(label)) for label, boxes in asked.items()}
        new = [i for i in part.annotation.objects if not next(same[i.box.label])]
        merged = f"merged, {len(new)} of {counted(said, 'object')} new"
        text = f"{image_id} is in {first.where} as well; {merged}"
        findings += [*part.annotation.findings, Finding(Flaw.TWO_FILES, part.where, text)]
        objects += new
    return replace(
        first.annotation, stem=image_id, objects=tuple(objects), findings=tuple(findings)
    )


def check_places(image_id: str, where: str, count: int) -> None:
    """Refuse an image that too many places label.

    Args:
        where: the first of them.

    Raises:
        AnnotationError: they are more than `MOST_PLACES`.
    """
    if count > MOST_PLACES:
        raise AnnotationError(
            f"{where}: the first of {count} labels of {image_id}, at most {MOST_PLACES} are read; "
            "keep those that hold"
        )


def copy_of(data: bytes, known: Sequence[tuple[str, bytes]]) -> str:
    """Where a text is among those that are known, as far as they are read; else empty."""
    return next((path for path, other in known[:MOST_PLACES] if data == other), "")


def _by_label(boxes: Iterable[Box]) -> dict[str, FloatArray]:
    found: dict[str, list[Box]] = {}
    for box in boxes:
        found.setdefault(box.label, []).append(box)
    return {label: stack_xyxy(same) for label, same in found.items()}


def _are_known(boxes: FloatArray, known: FloatArray | None) -> Iterator[bool]:
    """Of each box, whether one of the known ones is the same thing: most of its place."""
    if known is None:
        return iter([False] * len(boxes))
    return map(bool, iou_matrix(boxes, known).max(axis=1, initial=0) >= _SAME_IOU)


def first_spellings(names: Iterable[str]) -> tuple[str, ...]:
    """Names in their order; of those that differ in case alone, the first."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return tuple(found.values())
