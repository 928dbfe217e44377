"""What changed between two sets: images, what is said of them, boxes, sides of splits."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from sixrayd.core.progress import Report, untold
from sixrayd.datasets.label_hash import LabelCounts, Labels, count_labels, plain_labels
from sixrayd.datasets.labelled import ImageLabels, LabelledSet
from sixrayd.diff.boxes import BoxChange, BoxKind, Pairing, box_changes

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SideChange:
    """An image that changed sides of a split that both sets have, or of the only one of each."""

    split: str  # its name, or both
    image_id: str  # in B
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ImageChanges:
    """Images by what happened to them, in A's order; ids are B's where the image is in both."""

    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    other_bytes: tuple[str, ...]  # under the same id
    renamed: tuple[tuple[str, str], ...]  # the same bytes: id in A, id in B
    became_negative: tuple[str, ...]  # boxes in A, known to hold none in B
    became_positive: tuple[str, ...]
    newly_labelled: tuple[str, ...]  # A says nothing of it
    no_longer_labelled: tuple[str, ...]  # B says nothing of it


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed from A to B.

    Args:
        in_both: images in both, renamed ones too.
        boxes: those that changed, in the order of images.
        counts: class → kind → boxes; boxes of an image that is in one set only are added or
            removed with it.
    """

    a: LabelCounts
    b: LabelCounts
    in_both: int
    images: ImageChanges
    boxes: tuple[BoxChange, ...]
    counts: Mapping[str, Mapping[str, int]]
    splits: tuple[SideChange, ...]

    @property
    def differs(self) -> bool:
        """Whether anything changed."""
        images = any(getattr(self.images, field.name) for field in fields(self.images))
        return images or bool(self.boxes) or bool(self.splits)


def diff(
    a: LabelledSet,
    b: LabelledSet,
    iou: float = 0.5,
    images: bool = True,
    report: Report = untold,
) -> Diff:
    """Compare two sets whose classes go by the same names.

    An image is the same where its bytes are, else where its id is. Boxes are compared in whole
    pixels, so that no form's rounding counts as a change.

    Args:
        iou: from which two boxes show one thing.
        images: whether an image that is in one set alone counts where that set says nothing of it.
        report: told of progress.
    """
    before, after = plain_labels(a), plain_labels(b)
    pairs, renamed, other_bytes = _pairs(a.images, b.images)
    in_a, in_b = {first for first, _ in pairs}, {second for _, second in pairs}
    only_in_a = tuple(i for i in a.images if i not in in_a and (images or i in before))
    only_in_b = tuple(i for i in b.images if i not in in_b and (images or i in after))
    counts = {name: Counter[str]() for name in (*a.classes.names, *b.classes.names)}
    changed = []
    for change in _box_changes(before, after, pairs, only_in_a, only_in_b, iou, report):
        counts.setdefault(change.label, Counter())[change.kind] += 1
        if change.kind != BoxKind.UNCHANGED:
            changed.append(change)
    changes = ImageChanges(
        only_in_a, only_in_b, tuple(other_bytes), tuple(renamed), *_states(before, after, pairs)
    )
    return Diff(
        count_labels(before),
        count_labels(after),
        len(pairs),
        changes,
        tuple(changed),
        {name: {str(kind): counts[name][kind] for kind in BoxKind} for name in counts},
        tuple(_sides(a, b, pairs)),
    )


def _pairs(
    a: Mapping[str, ImageLabels], b: Mapping[str, ImageLabels]
) -> tuple[Pairs, Pairs, list[str]]:
    """Images that are in both, those of them under other ids, and ids with other bytes."""
    same = {image_id for image_id in a if image_id in b and _agree(a[image_id], b[image_id])}
    by_bytes: dict[str, deque[str]] = {}
    for image_id, said in b.items():
        if said.sha256 and image_id not in same:
            by_bytes.setdefault(said.sha256, deque()).append(image_id)
    found = {image_id: image_id for image_id in same}
    for image_id, said in a.items():
        if image_id not in same and (others := by_bytes.get(said.sha256)):
            found[image_id] = others.popleft()
    taken = set(found.values())
    other_bytes = [i for i in a if i in b and i not in found and i not in taken]
    found |= {image_id: image_id for image_id in other_bytes}
    pairs = [(image_id, found[image_id]) for image_id in a if image_id in found]
    return pairs, [pair for pair in pairs if pair[0] != pair[1]], other_bytes


def _agree(one: ImageLabels, other: ImageLabels) -> bool:
    return one.sha256 == other.sha256 or not (one.sha256 and other.sha256)


def _states(before: Labels, after: Labels, pairs: Pairs) -> list[tuple[str, ...]]:
    """Ids for the last four fields of `ImageChanges`."""
    found: list[list[str]] = [[], [], [], []]
    for first, second in pairs:
        was, now = before.get(first), after.get(second)
        rules = (was and now == (), was == () and now, was is None, now is None)
        if (was is None) != (now is None) or (was is not None and bool(was) != bool(now)):
            found[next(place for place, holds in enumerate(rules) if holds)].append(second)
    return [tuple(ids) for ids in found]


def _box_changes(
    before: Labels,
    after: Labels,
    pairs: Pairs,
    only_in_a: tuple[str, ...],
    only_in_b: tuple[str, ...],
    iou: float,
    report: Report,
) -> Iterator[BoxChange]:
    pairing = Pairing()
    for number, (first, second) in enumerate(pairs, 1):
        report("images compared", number, len(pairs))
        was, now = before.get(first, ()), after.get(second, ())
        if was or now:
            yield from box_changes(second, was, now, iou, pairing)
    for image_id in only_in_a:
        yield from box_changes(image_id, before.get(image_id, ()), (), iou)
    for image_id in only_in_b:
        yield from box_changes(image_id, (), after.get(image_id, ()), iou)


def _sides(a: LabelledSet, b: LabelledSet, pairs: Pairs) -> Iterator[SideChange]:
    names = [(name, name) for name in a.splits if name in b.splits]
    if not names and len(a.splits) == len(b.splits) == 1:  # what it calls its own is no matter
        names = list(zip(a.splits, b.splits, strict=True))
    for one, other in names:
        before, after = a.splits[one], b.splits[other]
        name = one if one == other else f"{one} → {other}"
        for first, second in pairs:
            was, now = before.get(first), after.get(second)
            if was and now and was != now:
                yield SideChange(name, second, was, now)
