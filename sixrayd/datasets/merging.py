"""One annotation of what several files say of an image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sixrayd.core.boxes import Box, iou_matrix, stack_xyxy
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import VocAnnotation, VocObject
from sixrayd.core.words import counted

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
    """
    first = parts[0]
    objects = list(first.annotation.objects)
    findings = [*others, *first.annotation.findings]
    for part in parts[1:]:
        new = [item for item in part.annotation.objects if not _is_known(item.box, objects)]
        said = len(part.annotation.objects)
        merged = f"merged, {len(new)} of {counted(said, 'object')} new"
        text = f"{image_id} is in {first.where} as well; {merged}"
        findings += [*part.annotation.findings, Finding(Flaw.TWO_FILES, part.where, text)]
        objects += new
    return replace(
        first.annotation, stem=image_id, objects=tuple(objects), findings=tuple(findings)
    )


def _is_known(box: Box, objects: Sequence[VocObject]) -> bool:
    """Whether one of the objects is the same thing: its class, and most of its place."""
    same = stack_xyxy(item.box for item in objects if item.box.label == box.label)
    return bool((iou_matrix(stack_xyxy([box]), same) >= _SAME_IOU).any())


def first_spellings(names: Iterable[str]) -> tuple[str, ...]:
    """Names in their order; of those that differ in case alone, the first."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return tuple(found.values())
