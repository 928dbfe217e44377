"""What can be wrong with a detection set, by name: one catalogue for every form and command."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Severity(StrEnum):
    """Whether a finding makes a check fail."""

    FAULT = "fault"  # the set contradicts itself or lacks something: somebody must look
    REMARK = "remark"  # worth knowing; harmless, or a peculiarity of releases


class Flaw(StrEnum):
    """A kind of finding, in the words that tables and pages show."""

    # What likely hides contraband comes first.
    NEGATIVE_IS_POSITIVE = "negative that repeats a positive"
    NEGATIVE_LIKE_POSITIVE = "negative that resembles a positive"
    # Images
    MISSING_IMAGE = "image that is listed and missing"
    UNLISTED_IMAGE = "image that no image set lists"
    UNSAID_IMAGE = "image that nothing is said of"
    UNREADABLE_IMAGE = "image that cannot be read"
    ODD_MODE = "image of an odd mode"
    GREY = "image without colour"
    ODD_SIZE = "image of an odd size"
    ROTATED = "image that EXIF rotates"
    # Labels
    LABELS_DISAGREE = "image set and boxes that disagree"
    SETS_DISAGREE = "image sets that disagree"
    BOXED_NEGATIVE = "negative with boxes"
    UNANNOTATED = "positive without an annotation"
    STRAY_ANNOTATION = "annotation without an image"
    # Annotations, as they were read
    UNREADABLE_LABELS = "annotation that cannot be read"
    NO_OBJECT = "annotation without a usable object"
    EMPTY_OBJECT = "object without content"
    UNKNOWN_CLASS = "class that is not known"
    LEFT_OUT_CLASS = "class that is known and left out"
    NO_NUMBER = "coordinate that is no number"
    GIVEN_TWICE = "value that is given twice"
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
    KEYPOINTS = "box with keypoints"
    OTHER_IMAGE = "image that another of its name differs from"
    FOLDER_TWICE = "folder that is met twice"
    NOT_READ = "file that is not read"
    NOTE = "repair of an unnamed kind"  # from before findings had names
    PASSED_OVER = "fault that the ingest passed over"
    # Boxes
    NARROW_BOX = "box of few pixels"
    ODD_BOX = "box unlike its class"
    # Duplicates
    ACROSS_SPLIT = "duplicates in train and test"
    SAME_BYTES = "image that repeats another"
    NEAR_DUPLICATE = "image that resembles another"

    @property
    def severity(self) -> Severity:
        """Fault or remark."""
        return Severity.FAULT if self in _FAULTS else Severity.REMARK

    @property
    def stops(self) -> bool:
        """Whether it stops an ingest unless faults are passed over."""
        return self in _STOP

    @property
    def hides(self) -> bool:
        """Whether it leaves unknown what an image shows of which no box is left."""
        return self in _HIDE

    @property
    def loses(self) -> bool:
        """Whether something that a file says is not in the set as it was read."""
        return self in _LOST


LIKELY_MISSED = (Flaw.NEGATIVE_IS_POSITIVE, Flaw.NEGATIVE_LIKE_POSITIVE)  # contraband
_STOP = frozenset(
    (Flaw.NOT_READ, Flaw.UNREADABLE_LABELS, Flaw.BAD_NAME, Flaw.NO_IMAGE, Flaw.TWO_SIDES)
)
_HIDE = frozenset((Flaw.UNREADABLE_LABELS, Flaw.UNKNOWN_CLASS, Flaw.NO_NUMBER, Flaw.OUTSIDE))
_LOST = _STOP | {
    *(Flaw.UNREADABLE_IMAGE, Flaw.UNSAID_IMAGE, Flaw.OTHER_IMAGE, Flaw.REPEATED_IMAGE),
    *(Flaw.UNKNOWN_CLASS, Flaw.LEFT_OUT_CLASS, Flaw.NO_NUMBER, Flaw.OUTSIDE, Flaw.THIN_BOX),
}
_FAULTS = _STOP | {
    *(Flaw.NEGATIVE_IS_POSITIVE, Flaw.ACROSS_SPLIT),
    *(Flaw.MISSING_IMAGE, Flaw.UNSAID_IMAGE, Flaw.UNREADABLE_IMAGE, Flaw.OTHER_IMAGE),
    *(Flaw.ODD_MODE, Flaw.ROTATED),
    *(Flaw.LABELS_DISAGREE, Flaw.SETS_DISAGREE, Flaw.BOXED_NEGATIVE, Flaw.UNANNOTATED),
    *(Flaw.STRAY_ANNOTATION, Flaw.UNKNOWN_CLASS, Flaw.NO_NUMBER),
    *(Flaw.GIVEN_TWICE, Flaw.OUTSIDE, Flaw.REPEATED_BOX, Flaw.PASSED_OVER),
}


_LONGEST_PLACE, _LONGEST_TEXT = 300, 1000  # signs; of a file there may be thousands of findings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, and what was made of it; see `bounded`."""

    flaw: Flaw
    where: str  # a file, and the place in it
    text: str

    def __post_init__(self) -> None:
        where, text = bounded(self.where, self.text)
        object.__setattr__(self, "where", where)
        object.__setattr__(self, "text", text)

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def bounded(where: str, text: str) -> tuple[str, str]:
    """What a stranger's paths and names make long, without its middle."""
    return _ends(where, _LONGEST_PLACE), _ends(text, _LONGEST_TEXT)


def _ends(text: str, most: int) -> str:
    half = most // 2
    return text if len(text) <= most else f"{text[: most - half - 1]}…{text[-half:]}"


# shards/findings.parquet: what the ingest found, sorted; there where it found something.
FINDING_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("flaw", "where", "text", "image_id")]
)
