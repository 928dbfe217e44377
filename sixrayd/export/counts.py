"""What an export holds, counted while it is written."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sixrayd.core.boxes import Box
from sixrayd.core.records import EMPTY_SETS, ImageRecord, Split
from sixrayd.evaluation.strata import SIZES
from sixrayd.export.content import ExportedImage

_SIZE_NAMES = [size.name for size in SIZES]


class ExportCounts:
    """Images and boxes by side, class, origin and set."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.sides: dict[str, str] = {}  # of the positives, by image id
        self.objects: dict[str, int] = {}  # of all images that are written, by image id
        self.files: dict[str, list[str]] = {}  # of those that are files
        self._classes, self._sets = classes, set[str]()
        self._images: Counter[str] = Counter()  # of class and side
        self._boxes: Counter[str] = Counter()
        self._origins: Counter[str] = Counter()
        self._empty: Counter[tuple[str, str]] = Counter()
        self._sizes = {label: dict.fromkeys(_SIZE_NAMES, 0) for label in classes}

    def add(self, image: ExportedImage) -> None:
        """Count an image."""
        side = image.record.split
        self.objects[image.image_id] = len(image.annotation.objects)
        if image.empty_set:
            self._empty[image.empty_set, side] += 1
            return
        self.sides[image.image_id] = side
        labels = [item.box.label for item in image.annotation.objects]
        self._images.update(f"{label}/{side}" for label in set(labels))
        self._boxes.update(f"{label}/{side}" for label in labels)
        for item in image.annotation.objects:
            self._sizes[item.box.label][_size_of(item.box, image.record)] += 1
        found = (item.provenance for item in image.annotation.objects)
        self._origins.update(p.origin for p in found if p is not None)

    def ids(self, side: Split) -> list[str]:
        """Positives of a side, sorted."""
        return sorted(image_id for image_id, of in self.sides.items() if of == side)

    def summary(self, sets: Sequence[str]) -> dict[str, Any]:
        """As `run.json` keeps it.

        Args:
            sets: those that were asked for.
        """
        known = Counter(self.sides.values())
        return {
            "images": {str(side): known[side] for side in Split},
            "boxes": {label: self._of_class(label) for label in self._classes},
            "origins": dict(sorted(self._origins.items())),
            "sizes": self._sizes,
            "sets": {
                name: {str(side): self._empty[name, side] for side in Split}
                for name in EMPTY_SETS
                if name in sets
            },
        }

    def _of_class(self, label: str) -> dict[str, int]:
        return {
            f"{side}_{what}": count[f"{label}/{side}"]
            for side in Split
            for what, count in (("images", self._images), ("boxes", self._boxes))
        }


def _size_of(box: Box, record: ImageRecord) -> str:
    """The name of the box's `SizeRange`."""
    share = box.area / (record.width * record.height)
    return next(size.name for size in SIZES if size.low <= share < size.high)
