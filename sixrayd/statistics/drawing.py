"""Which of a detector's candidates are drawn for reviewers: few, and right half the time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sixrayd.core.boxes import edges_of, one_an_object
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.evaluation.matching import match
from sixrayd.statistics.belief import LEAST_HELD_OUT, mined_document

HELD_OUT = "held_out.json"  # in the folder of a mining
MOST_DRAWN = 3  # boxes in an image; found images hold 1.06 objects on average (SIXray-D)
RIGHT = 0.5  # share of the boxes drawn in known positives that are right, at least
_CONSIDERED = 500  # candidates of an image that are compared; no detector of ours gives as many


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a detector would draw in known positives that it has not learnt from.

    Args:
        images: known positives, also those in which nothing was found.
        places: of each proposal among those of its image, the likeliest 0.
        scores: of the proposals, 0..1.
        right: whether a proposal overlaps an object of its class by 0.5 or more.
    """

    images: int
    places: tuple[int, ...]
    scores: tuple[float, ...]
    right: tuple[bool, ...]

    @classmethod
    def of(cls, found: Sequence[Detections], truths: Sequence[Truths]) -> "HeldOut":
        """Of what was found in each image, and what is there; difficult objects count as found."""
        judged = (_judged(*pair) for pair in zip(found, truths, strict=True))
        rows = [row for of_one in judged for row in of_one]
        columns = tuple(map(tuple, zip(*rows, strict=True))) if rows else ((), (), ())
        return cls(len(found), *columns)

    def least_score(self, most: int = MOST_DRAWN) -> float:
        """From which on the `most` likeliest proposals of an image are right half the time.

        The least such score; infinite where there is none, 0 where known positives are too few.
        """
        return self._chosen(most)[0]

    def share_right(self, most: int = MOST_DRAWN) -> float:
        """Of the boxes that would be drawn, those that are right; 0 without any."""
        return self._chosen(most)[1]

    def _chosen(self, most: int) -> tuple[float, float]:
        scores, right = (np.array(column, np.float64) for column in (self.scores, self.right))
        shown = np.array(self.places, np.int64) < most
        order = np.argsort(-scores[shown], kind="stable")
        scores, right = scores[shown][order], right[shown][order]
        shares = np.cumsum(right) / np.arange(1, len(right) + 1)
        if self.images < LEAST_HELD_OUT:
            return 0.0, float(shares[-1]) if len(shares) else 0.0
        ends = np.append(scores[1:] < scores[:-1], True)[: len(scores)]  # equal scores go together
        (enough,) = np.nonzero((shares >= RIGHT) & ends)
        if not len(enough):
            return math.inf, 0.0
        return float(scores[enough[-1]]), float(shares[enough[-1]])

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "HeldOut | None":
        """What `save` wrote; None where nothing was written.

        Raises:
            WorkspaceError: something else.
        """
        held_out = mined_document(path, cls._of)
        if held_out is None:
            return None
        alike = len(held_out.places) == len(held_out.scores) == len(held_out.right)
        if not alike or not all(0 <= score <= 1 for score in held_out.scores):
            raise WorkspaceError(f"{path}: expected places, scores from 0 to 1 and marks, as many")
        return held_out

    @classmethod
    def _of(cls, values: Any) -> "HeldOut":
        return cls(
            int(values["images"]),
            tuple(map(int, values["places"])),
            tuple(map(float, values["scores"])),
            tuple(map(bool, values["right"])),
        )


def _judged(found: Detections, truth: Truths) -> list[tuple[int, float, bool]]:
    """Place, score and whether it is right, of each proposal that would be drawn."""
    kept = one_an_object(found.xyxy, found.scores)
    shown = Detections(found.xyxy[kept], found.scores[kept], found.labels[kept])
    right = np.zeros(len(kept), bool)
    for label in np.unique(shown.labels):
        one = match({"": shown}, {"": truth}, int(label))
        right[shown.labels == label] = one.right | one.ignored  # both by falling score
    scores = shown.scores.astype(np.float64).round(6)
    return list(zip(range(len(kept)), scores.tolist(), right.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Drawing:
    """Which candidates of an image are drawn.

    Args:
        least: score of a box that is drawn.
        most: boxes in an image.
    """

    least: float = 0.0
    most: int = MOST_DRAWN

    def of(self, rows: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """The rows of one image's candidates that are drawn, the likeliest first.

        One box an object, whatever its class: of two that overlap by half, the likelier.
        """
        known = sorted(rows, key=lambda row: -row["score"])[:_CONSIDERED]
        xyxy = np.array([edges_of(row) for row in known], np.float64).reshape(-1, 4)
        scores = np.array([row["score"] for row in known], np.float64)
        kept = [known[place] for place in one_an_object(xyxy, scores)]
        # Scores of the known positives have six digits.
        return tuple(row for row in kept if round(row["score"], 6) >= self.least)[: self.most]
