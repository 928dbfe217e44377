"""What `sixrayd estimate` prints."""

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table

from sixrayd.estimate.plan import Costs
from sixrayd.estimate.sample import SampleResult
from sixrayd.estimate.stage import Estimate

_SHOWN_IMAGES = 20
_console = Console(highlight=False, markup=False, soft_wrap=False)


def print_sample(result: SampleResult) -> None:
    """Print a draw."""
    units, images = sum(result.units.values()), result.images
    lines = [f"draw {result.draw}: {units:,} units, {images:,} images"]
    if result.finished:
        lines.insert(0, "the draw was interrupted before; it is complete now, nothing more drawn")
    for stratum, number in result.units.items():
        lines.append(f"  {number:>9,} of {result.pools[stratum]:,} undecided  {stratum}")
    lines += [
        f"{result.units_in_all:,} units drawn in all: {result.file}",
        f"commitment, to be published before the review: {result.commitment}",
        "next: sixrayd review push",
    ]
    _console.print("\n".join(lines), soft_wrap=True)


def print_costs(costs: Costs) -> None:
    """Print checks against what they still allow."""
    table = _table("random checks", "left at most, one look", "left at most, every look")
    for row in costs.rows:
        table.add_row(*(f"{number:,}" for number in (row.checks, row.once, row.every)))
    notes = [
        f"{costs.undecided:,} undecided units, {costs.found:,} found; {costs.confidence:.4g} "
        "confidence, if no check finds anything and reviewers overlook nothing"
    ]
    if costs.target_checks is not None:
        once, every = costs.target_checks
        notes.append(
            f"at most {costs.target_left:,} left: {once:,} checks at one look, {every:,} at every "
            "look"
        )
    _console.print(table, *notes, sep="\n")


def print_estimate(result: Estimate) -> None:
    """Print a panel: what is found, what is left, and what that rests on."""
    confidence = f"{100 * result.settings.confidence:.4g} %"
    counted = result.spots.counted
    numbers = Table.grid(padding=(0, 2))
    numbers.add_column(justify="left")
    numbers.add_column(justify="right")
    numbers.add_column()
    for row in (
        ("found so far", f"{result.found:,}", "units"),
        ("probably left", "unknown" if result.estimate is None else f"{result.estimate:,.1f}", ""),
        ("at most left", f"{result.upper:,}", f"units, {result.images:,} images ({confidence})"),
        ("at least left", f"{result.lower:,}", ""),
        ("recall at least", f"{result.recall:.1%}", ""),
    ):
        numbers.add_row(*row)
    classes = _table("class", "found", "probably left", "at most left", "recall at least")
    for label, of in result.by_class.items():
        estimate = f"{of['estimate']:,.1f}" if counted else "unknown"
        cells = (f"{of['found']:,}", estimate, f"{of['upper']:,}", f"{of['recall']:.1%}")
        classes.add_row(label, *cells)
    parts: list[RenderableType] = [
        numbers,
        "",
        classes,
        "",
        "rests on",
        _list(result.rests_on),
        "",
        *_sample(result),
    ]
    _console.print(Panel(Group(*parts), title=f"what {result.name} still misses", expand=False))
    if result.spots.to_settle:
        _print_to_settle(result)
    _console.print(f"{result.folder}/estimate.json, estimate.png", soft_wrap=True)


def _sample(result: Estimate) -> list[str]:
    spots = result.spots
    lines = [f"spot checks: {spots.counted:,} of {spots.drawn:,} units drawn count"]
    if spots.behind:
        lines.append(f"  {spots.behind:,} more are answered but wait for one before them")
    if not spots.drawn:
        lines.append("  draw some with `sixrayd estimate --sample N`; --plan says what they buy")
    elif result.checks_to_halve:
        lines.append(f"{result.checks_to_halve:,} more checks would halve the bound")
    elif result.checks_to_halve is None and not result.settings.once:
        lines.append("no checks would halve it: what reviewers overlook makes it up; plant more")
    if result.target_met is not None:
        wanted = [
            f"at most {result.target.left:,} left" if result.target.left is not None else "",
            f"recall {result.target.recall:g}" if result.target.recall is not None else "",
        ]
        verdict = "met" if result.target_met else "not met yet"
        lines.append(f"target ({' and '.join(filter(None, wanted))}): {verdict}")
    if other := result.recapture:
        lines.append(
            f"capture-recapture of two minings says {other.estimate:.1f} left ({other.low:.1f} to "
            f"{other.high:.1f}): optimistic, similar detectors share blind spots"
        )
    return lines


def _print_to_settle(result: Estimate) -> None:
    images = list(result.spots.to_settle.items())
    lines = ["spot checks that hold back those behind them; settle them first:"]
    lines += [f"  {image_id}  {reason}" for image_id, reason in images[:_SHOWN_IMAGES]]
    if len(images) > _SHOWN_IMAGES:
        lines.append(f"  and {len(images) - _SHOWN_IMAGES} more in estimate.json")
    _console.print("\n".join(lines), soft_wrap=True)


def _list(items: Iterable[str]) -> Group:
    table = Table.grid(padding=(0, 1))
    for item in items:
        table.add_row("-", item)
    return Group(Padding(table, (0, 0, 0, 2)))


def _table(*columns: str) -> Table:
    made = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for column in made.columns[1:]:
        column.justify = "right"
    return made
