"""Which of a detector's candidates are drawn for reviewers: few, and right half the time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.boxes import edges_of, one_an_object
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.evaluation.matching import match
from sixrayd.statistics.belief import LEAST_HELD_OUT, mined_document

HELD_OUT = "held_out.json"  # in the folder of a mining
MOST_DRAWN = 3  # boxes in an image; found images hold 1.06 objects on average (SIXray-D)
RIGHT = 0.5  # share of the boxes drawn in known positives that are right, at least
TELLING = 5  # proposals, or images without any, from which on a failure is no accident
_CONSIDERED = 500  # candidates of an image that are compared; no detector of ours gives as many


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a detector would draw in known positives that it has not learnt from.

    Args:
        images: known positives, also those in which nothing was found.
        places: of each proposal among those of its image, the likeliest 0.
        scores: of the proposals, 0..1.
        right: whether a proposal overlaps an object of its class by 0.5 or more.
        labels: class of each proposal; none where an earlier version wrote it.
    """

    images: int
    places: tuple[int, ...]
    scores: tuple[float, ...]
    right: tuple[bool, ...]
    labels: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, found: Sequence[Detections], truths: Sequence[Truths], names: Sequence[str]
    ) -> "HeldOut":
        """Of what was found in each image, and what is there; difficult objects count as found.

        Args:
            names: of the classes, which labels are positions of.
        """
        judged = (_judged(*pair) for pair in zip(found, truths, strict=True))
        rows = [row for of_one in judged for row in of_one]
        places, scores, right, labels = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(len(found), places, scores, right, tuple(names[label] for label in labels))

    def least_score(self, most: int = MOST_DRAWN) -> float:
        """From which on the `most` likeliest proposals of an image are right half the time.

        The least such score; infinite where there is none, 0 where known positives are too few.
        Classes of `never_right` do not count.
        """
        return self._chosen(most)[0]

    def share_right(self, most: int = MOST_DRAWN) -> float:
        """Of the boxes that would be drawn, those that are right; 0 without any."""
        return self._chosen(most)[1]

    def _chosen(self, most: int) -> tuple[float, float]:
        scores, right, labels = self._shown(most)
        drawn = ~np.isin(labels, sorted(self.never_right(most)))
        scores, shares, enough = _reaching(scores[drawn], right[drawn])
        told = max(len(drawn), self.images) >= TELLING
        if not len(enough) and (told or self.images >= LEAST_HELD_OUT):
            return math.inf, 0.0
        if self.images < LEAST_HELD_OUT:
            return 0.0, float(shares[-1]) if len(shares) else 0.0
        return float(scores[enough[-1]]), float(shares[enough[-1]])

    def never_right(self, most: int = MOST_DRAWN) -> frozenset[str]:
        """Classes of which no score makes proposals right half the time."""
        scores, right, labels = self._shown(most)
        return frozenset(
            str(label)
            for label in np.unique(labels[labels != ""])
            if (of := labels == label).sum() >= TELLING
            and not len(_reaching(scores[of], right[of])[2])
        )

    def drawing(self, most: int = MOST_DRAWN) -> "Drawing":
        """What is drawn by that."""
        return Drawing(self.least_score(most), most, self.never_right(most))

    def _shown(self, most: int) -> tuple[FloatArray, FloatArray, npt.NDArray[np.str_]]:
        """Scores, marks and classes of the `most` likeliest proposals of each image."""
        shown = np.array(self.places, np.int64) < most
        scores, right = (np.array(column, np.float64) for column in (self.scores, self.right))
        labels = np.array(self.labels or [""] * len(self.places), np.str_)
        return scores[shown], right[shown], labels[shown]

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
        alike &= len(held_out.labels) in (0, len(held_out.places))
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
            tuple(map(str, values.get("labels", ()))),
        )


def _reaching(scores: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Scores, falling; the share that is right from each on; and where half is reached."""
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], right[order]
    shares = np.cumsum(right) / np.arange(1, len(right) + 1)
    ends = np.append(scores[1:] < scores[:-1], True)[: len(scores)]  # equal scores go together
    return scores, shares, np.flatnonzero((shares >= RIGHT) & ends)


def _judged(found: Detections, truth: Truths) -> list[tuple[int, float, bool, int]]:
    """Place, score, whether it is right, and label, of each proposal that would be drawn."""
    kept = one_an_object(found.xyxy, found.scores)
    shown = Detections(found.xyxy[kept], found.scores[kept], found.labels[kept])
    right = np.zeros(len(kept), bool)
    for label in np.unique(shown.labels):
        one = match({"": shown}, {"": truth}, int(label))
        right[shown.labels == label] = one.right | one.ignored  # both by falling score
    scores = shown.scores.astype(np.float64).round(6)
    columns = (scores.tolist(), right.tolist(), shown.labels.tolist())
    return list(zip(range(len(kept)), *columns, strict=True))


@dataclass(frozen=True, slots=True)
class Drawing:
    """Which candidates of an image are drawn.

    Args:
        least: score of a box that is drawn.
        most: boxes in an image.
        without: classes of which none is drawn.
    """

    least: float = 0.0
    most: int = MOST_DRAWN
    without: frozenset[str] = frozenset()

    def of(self, rows: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """The rows of one image's candidates that are drawn, the likeliest first.

        One box an object, whatever its class: of two that overlap by half, the likelier.
        """
        kept = sorted(rows, key=lambda row: -row["score"])[:_CONSIDERED]
        if len(kept) > 1:  # of one, as most images have, nothing need be compared
            xyxy = np.array([edges_of(row) for row in kept], np.float64)  # (N, 4)
            scores = np.array([row["score"] for row in kept], np.float64)
            kept = [kept[place] for place in one_an_object(xyxy, scores)]
        # Scores of the known positives have six digits.
        likely = (row for row in kept if round(row["score"], 6) >= self.least)
        return tuple(row for row in likely if row["label"] not in self.without)[: self.most]
