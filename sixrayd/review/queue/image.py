"""An image on its way to a reviewer: what it is from the queue to the decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sixrayd.core.records import Kind


@dataclass(frozen=True, slots=True)
class ReviewImage:
    """An image that reviewers are to see.

    Args:
        rank: of the mining; 0 where there is none.
        image_score: 0..1, of the detector's best box, or the similarity to a known positive.
        drawn: rows of `CANDIDATE_SCHEMA`, drawn in advance.
        group: of near-duplicates, which are reviewed together; the image's own id where alone.
    """

    image_id: str
    kind: Kind
    rank: int
    image_score: float
    drawn: tuple[Mapping[str, Any], ...]
    group: str = ""
