"""Timing several things in turns, so that a slow spell of the machine hits all alike."""

import statistics
import time
from collections.abc import Callable


def interleaved_s(
    work: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each, taken in turns so that drift hits all alike.

    Args:
        clock: `time.process_time` counts what the process computes, not what it waits for.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, do in work.items():
            start = clock()
            do()
            if turn > 0:  # the first round warms up
                times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}
