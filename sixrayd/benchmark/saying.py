"""What a finished benchmark says on a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sixrayd.benchmark.results import UNSAID

if TYPE_CHECKING:
    from sixrayd.benchmark.outcome import BenchmarkResult

_RECALL = "0.8"  # at which false alarms are told


def lines_of(result: "BenchmarkResult") -> Iterator[str]:
    """A line a system, then what else a person should know."""
    for key, mean in result.means.items():
        yield f"{mean:7.2%}  {key}{_beside(result, key)}"
    for label, why in result.absent.items():
        yield f"     –   {label}: {why}"
    yield f"k {result.k_from}".rstrip() + f": {result.chosen_k:g}"
    if result.k_edge:
        yield result.k_edge
    if result.split:
        sizes = f"{result.split.train} train, {result.split.test} test"
        yield f"judged by {result.split.title}: {sizes}; {result.split.crossing}"
    for model in result.models:
        yield f"weights {model.title}"
    yield from result.remarks
    for row in result.departures:
        if row.paper == UNSAID:
            yield f"not said by the paper: {row.what}: {row.ours}"
        else:
            yield f"not as the paper: {row.what}: {row.ours}; the paper: {row.paper}"
    yield f"look at it: {result.folder}/report.html"


def _apart(result: "BenchmarkResult", key: str) -> str:
    """The same of confusing negatives and of plain ones."""
    among = {name: rates[key].get(_RECALL) for name, rates in (result.alarms_among or {}).items()}
    told = [f"{rate:.0f} of {name} ones" for name, rate in among.items() if rate is not None]
    return f", {' and '.join(told)}" if told else ""


def _beside(result: "BenchmarkResult", key: str) -> str:
    """The paper's mean, and false alarms."""
    said = []
    if row := (result.paper or {}).get(key):
        said.append(f"the paper prints {row['printed']:.2f}")
        if round(row["recomputed"], 2) != row["printed"]:
            said[-1] += f", its classes give {row['recomputed']:.2f}"
    alarms = (result.alarms or {}).get(key, {})
    if (rate := alarms.get(_RECALL)) is not None:
        said.append(
            f"at recall {_RECALL} flags {rate:.0f} of 1,000 empty images{_apart(result, key)}"
        )
    return f"  ({'; '.join(said)})" if said else ""
