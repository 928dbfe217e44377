"""Patches: what leads from the labels of one set to those of another, and back; no images."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError, printable
from sixrayd.core.voc import VocObject
from sixrayd.core.words import counted
from sixrayd.datasets.label_hash import (
    LabelCounts,
    Labels,
    count_labels,
    plain_labels,
    without_provenance,
)
from sixrayd.datasets.labelled import ImageLabels, LabelledSet

_SHOWN = 5  # boxes of an image in a message
Objects = tuple[VocObject, ...] | None
Sides = tuple[str | None, str | None]  # before, after; None is on no side


@dataclass(frozen=True, slots=True)
class ImagePatch:
    """What is said of one image before and after; None is nothing, an empty tuple no box."""

    image_id: str
    before: Objects
    after: Objects
    sha256: str = ""
    size_wh: tuple[int, int] | None = None
    splits: Mapping[str, Sides] = field(default_factory=dict)  # name → sides, where they differ


@dataclass(frozen=True, slots=True)
class LabelPatch:
    """Two sets by hash and counts, and the images of which they say different things, by id."""

    classes: ClassList
    before: LabelCounts
    after: LabelCounts
    images: tuple[ImagePatch, ...]

    def reversed(self) -> "LabelPatch":
        """The patch that leads back."""
        images = tuple(
            replace(
                change,
                before=change.after,
                after=change.before,
                splits={name: (now, was) for name, (was, now) in change.splits.items()},
            )
            for change in self.images
        )
        return replace(self, before=self.after, after=self.before, images=images)


def make_patch(a: LabelledSet, b: LabelledSet, classes: ClassList) -> LabelPatch:
    """What leads from A's labels to B's, and to the sides of B's splits.

    Raises:
        AnnotationError: an image has another size in B, so that its boxes cannot be compared.
    """
    before, after = plain_labels(a), plain_labels(b)
    sides = {name: (a.splits.get(name, {}), b.splits[name]) for name in sorted(b.splits)}
    ids = sorted(
        before.keys() | after.keys() | {i for pair in sides.values() for s in pair for i in s}
    )
    return LabelPatch(
        classes,
        count_labels(before),
        count_labels(after),
        tuple(_image_patches(ids, a, b, before, after, sides)),
    )


def apply_patch(patch: LabelPatch, a: LabelledSet) -> LabelledSet:
    """The set with the labels that the patch leads to.

    Objects of images that the patch does not name keep their provenance.

    Raises:
        AnnotationError: the set is not the one that the patch leads from, or the patch does not
            lead to what it names.
    """
    labels = plain_labels(a)
    for change in patch.images:
        _require(change, labels.get(change.image_id), a.images.get(change.image_id))
        _require_sides(change, a.splits)
    found = count_labels(labels)
    if found != patch.before:
        raise AnnotationError(
            f"images that the patch does not change: found {_counted(found)}, expected "
            f"{_counted(patch.before)}; apply it to the set that it was made from"
        )
    changed = dict(labels)
    for change in patch.images:
        changed.pop(change.image_id, None)
        if change.after is not None:
            changed[change.image_id] = change.after
    reached = count_labels(changed)
    if reached != patch.after:
        raise AnnotationError(
            f"the patch contradicts itself: it leads to {_counted(reached)}, and says "
            f"{_counted(patch.after)}; ask for a sound copy"
        )
    return replace(
        a,
        form="voc",
        images=_images(a, changed, patch),
        splits=_splits(a, patch),
        classes=patch.classes,
    )


def objects_in_words(objects: Objects) -> str:
    """For messages: what is said of an image."""
    if objects is None:
        return "no label"
    more = f" and {len(objects) - _SHOWN} more" if len(objects) > _SHOWN else ""
    return ("; ".join(map(object_in_words, objects[:_SHOWN])) or "no box") + more


def image_words(change: ImagePatch) -> Iterator[str]:
    """A line for each object that goes or comes, and for what else changes."""
    before, after = (without_provenance(side) for side in (change.before, change.after))
    gone, come = (Counter(side or ()) for side in (before, after))
    yield from (f"- {object_in_words(item)}" for item in (gone - come).elements())
    yield from (f"+ {object_in_words(item)}" for item in (come - gone).elements())
    if (before is None) != (after is None):
        yield "not labelled before" if before is None else "no longer labelled"
    for name, (was, now) in change.splits.items():
        yield f"{printable(name)}: {was or 'no side'} → {now or 'no side'}"


def object_in_words(item: VocObject) -> str:
    """Label, edges and flags."""
    edges = ",".join(f"{edge:g}" for edge in item.box.xyxy)
    flags = " difficult" * item.difficult + " truncated" * item.truncated
    return f"{printable(item.box.label)} {edges}{flags}"


def _image_patches(
    ids: list[str],
    a: LabelledSet,
    b: LabelledSet,
    before: Labels,
    after: Labels,
    sides: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]],
) -> Iterator[ImagePatch]:
    nobody = ImageLabels("", None)
    for image_id in ids:
        was, now = before.get(image_id), after.get(image_id)
        same = without_provenance(was) == without_provenance(now)
        splits = {
            name: (one.get(image_id), other.get(image_id))
            for name, (one, other) in sides.items()
            if one.get(image_id) != other.get(image_id)
        }
        if same and not splits:
            continue
        first, second = (side.images.get(image_id, nobody) for side in (a, b))
        size_wh = first.size_wh or second.size_wh
        if second.size_wh not in (None, size_wh) and not same:
            raise AnnotationError(
                f"{image_id}: size {first.size_wh} in the first set, {second.size_wh} in the "
                "second; a patch needs the same images in both"
            )
        hashes = {first.sha256, second.sha256} - {""}
        # Encoded anew, an image has two hashes, of which a reader has either.
        sha256 = hashes.pop() if len(hashes) == 1 else ""
        yield ImagePatch(image_id, was, now, sha256, size_wh, splits)


def _require(change: ImagePatch, found: Objects, image: ImageLabels | None) -> None:
    """Refuse an image that is not as the patch expects it."""
    pairs: list[tuple[object, object, str, str]] = []
    if image is not None and image.sha256 and change.sha256:
        said, wanted = (f"an image of SHA-256 {d[:12]}…" for d in (image.sha256, change.sha256))
        pairs.append((image.sha256, change.sha256, said, wanted))
    if image is not None and image.size_wh and change.size_wh:
        sizes = (image.size_wh, change.size_wh)
        said, wanted = (f"an image of {width} x {height}" for width, height in sizes)
        pairs.append((*sizes, said, wanted))
    plain = [without_provenance(objects) for objects in (found, change.before)]
    words = [objects_in_words(objects) for objects in plain]
    pairs.append((plain[0], plain[1], words[0], words[1]))
    for is_there, is_wanted, said, wanted in pairs:
        if is_there != is_wanted:
            raise AnnotationError(
                f"{change.image_id}: found {said}, expected {wanted}; apply the patch to the set "
                "that it was made from"
            )


def _require_sides(change: ImagePatch, splits: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a side that the set gives otherwise; it need not give one, as not every form does."""
    for name, (was, _) in change.splits.items():
        found = splits.get(name, {}).get(change.image_id)
        if found not in (None, was):
            raise AnnotationError(
                f"{change.image_id}: found {found} of split {printable(name)}, expected "
                f"{was or 'no side'}; apply the patch to the set that it was made from"
            )


def _images(a: LabelledSet, labels: Labels, patch: LabelPatch) -> dict[str, ImageLabels]:
    """A's images with other labels, and those that are new."""
    images = {
        image_id: said
        if said.objects == labels.get(image_id)
        else replace(said, objects=labels.get(image_id))
        for image_id, said in a.images.items()
    }
    for change in patch.images:
        said = images.get(change.image_id, ImageLabels(change.image_id, change.after))
        images[change.image_id] = replace(
            said,
            sha256=said.sha256 or change.sha256,
            size_wh=said.size_wh or change.size_wh,
        )
    return dict(sorted(images.items()))


def _splits(a: LabelledSet, patch: LabelPatch) -> dict[str, dict[str, str]]:
    """A's splits with the sides that the patch names; a split without images is none."""
    splits = {name: dict(sides) for name, sides in a.splits.items()}
    for change in patch.images:
        for name, (_, side) in change.splits.items():
            sides = splits.setdefault(name, {})
            sides.pop(change.image_id, None)
            if side is not None:
                sides[change.image_id] = side
    return {name: sides for name, sides in splits.items() if sides}


def _counted(counts: LabelCounts) -> str:
    there = f"{counted(counts.boxes, 'box')} on {counted(counts.images, 'image')}"
    return f"{there} with label hash {counts.labels[:12]}…"
