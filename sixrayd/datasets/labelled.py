"""A detection set as its files say it, whatever form they have: images, boxes, given splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sixrayd.core.classes import ClassList
from sixrayd.core.findings import Finding
from sixrayd.core.voc import VocObject


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """What a set says of one image.

    Args:
        objects: None where the set says nothing of the image, which is not the same as no box.
        sha256: of the encoded image; empty where the image itself is not at hand.
        size_wh: None where neither the image nor its annotation says it.
    """

    image_id: str
    objects: tuple[VocObject, ...] | None
    sha256: str = ""
    size_wh: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A set.

    Args:
        form: "workspace", "voc", "coco" or "yolo"; of an export all of its own, as "voc+yolo".
        images: by image id, in its order.
        splits: name of a given split → image id → "train" or "test".
        findings: what was repaired, left out or could not be read.
    """

    form: str
    classes: ClassList
    images: Mapping[str, ImageLabels]
    splits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
