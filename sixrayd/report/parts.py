"""The parts of the page of a workspace."""

from collections.abc import Mapping
from dataclasses import dataclass

from sixrayd.review.progress import Progress


@dataclass(frozen=True, slots=True)
class Bar:
    """A count, and the length of its bar, 0..1."""

    words: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Flagged negatives from a score on: how many by what became of them, and heights, 0..1."""

    low: float
    counts: Mapping[str, int]
    heights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Images and boxes of a class: as the release has them, and after the review."""

    label: str
    images: int
    boxes: int
    images_after: int
    boxes_after: int


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A count of the paper's table 2, and the same of this workspace."""

    words: str
    sixray: int
    sixray_d: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class ReviewSection:
    """How far a review is."""

    name: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class BoundRow:
    """What an estimate says; units are near-duplicate groups.

    Args:
        stale: what it was made of has changed since.
    """

    name: str
    stale: bool
    found: int
    likely: str
    upper: int
    recall: str
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GalleryCard:
    """An image, what is said of it, and an address that holds its picture."""

    title: str
    text: str
    picture: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Some of the images of a kind, and how many there are."""

    anchor: str
    title: str
    text: str
    total: int
    cards: tuple[GalleryCard, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """All of the page; sizes are boxes before and after."""

    facts: tuple[tuple[str, str], ...]
    funnel: tuple[Bar, ...]
    scores: tuple[ScoreBin, ...]
    classes: tuple[ClassRow, ...]
    sizes: tuple[tuple[str, int, int], ...]
    paper: tuple[PaperRow, ...]
    reviews: tuple[ReviewSection, ...]
    bounds: tuple[BoundRow, ...]
    galleries: tuple[Gallery, ...]
