"""How fast reviewing in ranked order finds what is hidden."""

from dataclasses import dataclass

import numpy as np

from sixrayd.core.arrays import BoolArray, FloatArray
from sixrayd.core.errors import ShapeError


@dataclass(frozen=True, slots=True)
class FindsCurve:
    """Share of the hidden images found after reviewing the first n; entry n of N + 1."""

    recall: FloatArray  # (N + 1,) in the given order
    random: FloatArray  # (N + 1,) expected when order means nothing
    perfect: FloatArray  # (N + 1,) with every hidden image first


def finds_curve(
    hidden: BoolArray, total_hidden: int | None = None, total_images: int | None = None
) -> FindsCurve:
    """Recall of hidden images against images reviewed.

    Args:
        hidden: (N,) in ranked order, whether the image holds contraband.
        total_hidden: in the whole release, ranked or not; default those in `hidden`.
        total_images: that could have been reviewed, ranked or not; default N.

    Raises:
        ShapeError: nothing is hidden, or a total is less than what is ranked.
    """
    flags = np.asarray(hidden, dtype=bool)
    hidden_count = int(flags.sum()) if total_hidden is None else total_hidden
    image_count = len(flags) if total_images is None else total_images
    if flags.ndim != 1 or hidden_count < max(1, int(flags.sum())) or image_count < len(flags):
        raise ShapeError(
            f"finds: {int(flags.sum())} hidden of {flags.shape} ranked does not fit "
            f"{hidden_count} hidden of {image_count} in all"
        )
    reviewed = np.arange(len(flags) + 1)
    found = np.concatenate([[0], np.cumsum(flags)])
    return FindsCurve(
        recall=found / hidden_count,
        random=reviewed / image_count,
        perfect=np.minimum(reviewed / hidden_count, 1.0),
    )
