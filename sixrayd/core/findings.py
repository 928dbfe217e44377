"""What can be wrong with a detection set, by name: one catalogue for every form and command."""

from dataclasses import dataclass
from enum import StrEnum


class Flaw(StrEnum):
    """A kind of finding, in the words that tables and pages show."""

    UNREADABLE_LABELS = "annotation that cannot be read"
    NO_OBJECT = "annotation without a usable object"
    EMPTY_OBJECT = "object without content"
    UNKNOWN_CLASS = "class that is not known"
    LEFT_OUT_CLASS = "class that is known and left out"
    NO_NUMBER = "coordinate that is no number"
    BETWEEN_PIXELS = "coordinate between pixels"
    SWAPPED_CORNERS = "box with swapped corners"
    OVERHANG = "box past the image's edge"
    OUTSIDE = "box outside the image"
    THIN_BOX = "box thinner than a pixel"
    REPEATED_BOX = "box that repeats another"
    OTHER_SIZE = "annotation of another size"
    OTHER_NAME = "annotation that names another image"
    ENCODING = "text in no known encoding"
    BAD_NAME = "file name that cannot be an id"
    TWO_FILES = "image that two files annotate"
    TWO_SIDES = "image on both sides of a split"
    REPEATED_IMAGE = "image listed twice"
    REPEATED_CLASS = "class listed twice"
    GROUPING_CLASS = "class that only groups others"
    OTHER_CLASSES = "class list at odds with another"
    NO_IMAGE = "box of an image that is not listed"
    POLYGON = "outline in place of a box"
    CONFIDENCE = "box with a confidence"
    UNREADABLE_IMAGE = "image that cannot be read"
    OTHER_IMAGE = "image that another of its name differs from"
    FOLDER_TWICE = "folder that is met twice"
    NOT_READ = "file that is not read"

    @property
    def stops(self) -> bool:
        """Whether it is a fault, which stops an ingest unless faults are passed over."""
        return self in _STOP


_STOP = frozenset(
    (Flaw.NOT_READ, Flaw.UNREADABLE_LABELS, Flaw.BAD_NAME, Flaw.NO_IMAGE, Flaw.TWO_SIDES)
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, and what was made of it."""

    flaw: Flaw
    where: str  # a file, and the place in it
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"
