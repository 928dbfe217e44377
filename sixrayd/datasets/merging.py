"""One annotation of what several files say of an image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import VocAnnotation


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
    """The objects of all parts, equal boxes of different parts once, with what was found.

    Args:
        parts: at least one, of equal sizes.
        others: findings of what is no part.
    """
    first = parts[0]
    objects = list(first.annotation.objects)
    findings = [*others, *first.annotation.findings]
    for part in parts[1:]:
        known = {item.box for item in objects}
        new = [item for item in part.annotation.objects if item.box not in known]
        said = len(part.annotation.objects)
        text = f"{image_id} is in {first.where} as well; merged, {len(new)} of {said} objects new"
        findings += [*part.annotation.findings, Finding(Flaw.TWO_FILES, part.where, text)]
        objects += new
    return replace(
        first.annotation, stem=image_id, objects=tuple(objects), findings=tuple(findings)
    )


def first_spellings(names: Iterable[str]) -> tuple[str, ...]:
    """Names in their order; of those that differ in case alone, the first."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return tuple(found.values())
