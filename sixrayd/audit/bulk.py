"""Where the bulk of some values lies, whatever a few of them are."""

import numpy as np

from sixrayd.core.arrays import FloatArray


def bounds(values: FloatArray, reach: float, spread: float) -> FloatArray:
    """The quartiles, moved outwards by `reach` interquartile ranges: (2,) low and high.

    Args:
        values: (N,), one at least.
        spread: the least interquartile range to go by.
    """
    low, high = np.quantile(values, [0.25, 0.75])
    beyond = reach * max(high - low, spread)
    return np.array([low - beyond, high + beyond])
