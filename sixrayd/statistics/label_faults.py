"""What share of labelled images has a faulty label: exact limits for images, resampling for boxes.

Images are drawn, so the number of faulty ones among them is hypergeometric whatever boxes or
near-duplicates do; boxes of one image are not independent, so their share is never taken as
binomial.

Source: for images Buonaccorsi 1987 (see `hypergeometric.py`); for boxes Efron and Tibshirani 1993,
An Introduction to the Bootstrap, Sec. 13.3 (percentiles over images).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import fisher_exact

from sixrayd.core.boxes import Box
from sixrayd.decisions.consensus import match_boxes
from sixrayd.statistics.hypergeometric import total_upper

LOOSE_IOU = 0.7  # below it a box of the right class on the right thing is loose
_RESAMPLES, _ROWS = 2000, 100


@dataclass(frozen=True, slots=True)
class LabelFaults:
    """How the labels of one image differ from what a reader sees.

    Args:
        labels: boxes of the release.
        missing: things a reader sees that have no box.
        wrong: boxes on nothing, or on a thing of another class.
        loose: boxes of the right class that overlap the reader's by less than 0.7.
    """

    labels: int
    missing: int
    wrong: int
    loose: int

    @property
    def any(self) -> bool:
        """Whether there is one of them."""
        return bool(self.missing or self.wrong or self.loose)


@dataclass(frozen=True, slots=True)
class Share:
    """A share 0..1 with its interval."""

    value: float
    low: float
    high: float


def compare_labels(labels: Sequence[Box], seen: Sequence[Box]) -> LabelFaults:
    """Labels against what a reader sees; one box means one thing from an IoU of 0.5 on."""
    matching = match_boxes(labels, seen)
    met = len(matching.pairs) + len(matching.clashes)
    loose = sum(pair.iou < LOOSE_IOU for pair in matching.pairs)
    return LabelFaults(len(labels), len(seen) - met, len(labels) - len(matching.pairs), loose)


def image_share(
    images: int, drawn: int, faulty: int, unsure: int = 0, confidence: float = 0.95
) -> Share:
    """The share of faulty images of a set, from some that were drawn at random.

    Args:
        images: of the set.
        drawn: that somebody looked at.
        faulty: of these.
        unsure: drawn ones that nobody decided: none of them faulty for the lower limit, all for
            the upper.

    Raises:
        SettingsError: numbers that do not fit each other.
    """
    alpha = (1 - confidence) / 2
    low = images - total_upper(images, drawn, drawn - faulty, alpha)
    high = total_upper(images, drawn, faulty + unsure, alpha)
    return Share(faulty / max(drawn, 1), low / images, high / images)


def box_share(faults: Sequence[LabelFaults], confidence: float = 0.95, seed: int = 0) -> Share:
    """The share of boxes that are wrong or loose, with percentiles over draws of whole images."""
    counts = np.array([(f.wrong + f.loose, f.labels) for f in faults], np.int64).reshape(-1, 2)
    rng, draws = np.random.default_rng(seed), []
    for _ in range(0, _RESAMPLES, _ROWS):
        rows = rng.integers(0, len(counts), (_ROWS, len(counts)))
        bad, boxes = counts[rows].sum(axis=1).T
        draws.append(bad / np.maximum(boxes, 1))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(np.concatenate(draws), [tail, 100 - tail])
    bad, boxes = counts.sum(axis=0).tolist()
    return Share(bad / max(boxes, 1), float(low), float(high))


def anchored(shown: tuple[int, int], blind: tuple[int, int]) -> float:
    """One-sided p that images lack boxes as often where the boxes were shown as where not.

    Args:
        shown, blind: images that lack a box, and images.

    Source: Fisher's exact test.
    """
    table = [[blind[0], blind[1] - blind[0]], [shown[0], shown[1] - shown[0]]]
    return float(fisher_exact(table, alternative="greater").pvalue)
