"""What `sixrayd estimate` prints."""

import math

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sixrayd.advice.next_step import Judgement
from sixrayd.core.printing import Terminal
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.labels import LabelResult
from sixrayd.estimate.plan import Costs
from sixrayd.estimate.sample import SampleResult
from sixrayd.estimate.stage import Estimate
from sixrayd.statistics.label_faults import Share
from sixrayd.statistics.missed import percent_down

_SHOWN_IMAGES = 20
_CLASSES = (
    "Each class's bound is stricter, so that all hold at once; they may exceed the total and do "
    "not add up."
)
_FAULTS = {
    "missing": "an object without a box",
    "wrong": "a box on nothing, or of the wrong class",
    "loose": "a loose box, where boxes were shown",
    "any": "any of these",
}
_UNLIKELY = 0.05
_console = Terminal()


def print_sample(result: SampleResult) -> None:
    """Print a draw."""
    units, images = sum(result.units.values()), result.images
    what = f"look {result.draw} of {result.looks}" if result.looks else f"draw {result.draw}"
    lines = [f"{what}: {counted(units, 'group')}, {counted(images, 'image')}"]
    if result.finished:
        lines.insert(0, "the draw was interrupted before; it is complete now, nothing more drawn")
    if result.again:
        said = f"look {result.draw} was drawn before and none of it is settled: nothing more drawn;"
        lines.insert(0, f"{said} --seed with a new one draws the next look all the same")
    for stratum, number in result.units.items():
        pool = "not drawn before" if result.looks else "undecided"
        lines.append(f"  {number:>9,} of {result.pools[stratum]:,} {pool}  {stratum}")
    lines += [
        f"{counted(result.units_in_all, 'group')} drawn in all: {result.file}",
        f"commitment, to be published before these are reviewed: {result.commitment}",
    ]
    _console.print(*lines, sep="\n", soft_wrap=True)


def print_labels(workspace: Workspace, result: LabelResult) -> None:
    """Print how many labelled images have a faulty label, as far as answers say it."""
    out = [
        f"{result.answered} of {counted(result.drawn, 'drawn image')} answered, {result.blind} of "
        f"them shown without boxes; {result.images:,} are labelled"
        + f"; {result.unsure} undecided"
        * bool(result.unsure)
    ]
    table = _table("images with", "share", "95 %")
    for kind, words in _FAULTS.items():
        if share := result.kinds.get(kind):
            table.add_row(words, *_shares(share))
    if result.boxes:
        table.add_row("share of boxes that are wrong or loose", *_shares(result.boxes))
        _console.print(*out, table, sep="\n", soft_wrap=True)
        (lack, shown), (lack_blind, blind) = result.lacking
        out = [
            f"without boxes shown {lack_blind} of {blind} lack a box, with boxes {lack} of {shown}"
        ]
        if result.anchored_p < _UNLIKELY:
            out.append(
                "caution: who is shown boxes seems to overlook what has none; draw with a greater "
                f"--blind (p = {result.anchored_p:.2g})"
            )
    if result.with_more and result.drawn < result.images:
        _, between = _shares(result.with_more)
        out.append(f"1,000 more at the same rate: any fault in {between}")
    if result.answered < result.drawn:
        out.append(f"go on: answer at {result.address}, then the same command again")
    else:
        line = workspace.command("sixrayd review push --from positives")
        out.append(f"mend: {line}, which corrects labels in doubt")
    _console.print(*out, sep="\n", soft_wrap=True)


def _shares(share: Share) -> tuple[str, str]:
    low, high = math.floor(1000 * share.low) / 10, math.ceil(1000 * share.high) / 10
    return f"{100 * share.value:.1f} %", f"{low:.1f} to {high:.1f} %"


def print_costs(costs: Costs) -> None:
    """Print checks against what they still allow."""
    columns = ("finds", "left at most, one look", "five planned", "(90 %)", "every look")
    table = _table("checks", *columns)
    for row in costs.rows:
        numbers = (row.checks, row.finds, row.once, row.planned, row.planned_most, row.every)
        table.add_row(*(f"{number:,}" for number in numbers))
    notes = [
        f"{costs.undecided:,} undecided groups, {costs.found:,} found; {100 * costs.confidence:.4g}"
        " % sure, if checks find at the rate so far and reviewers overlook nothing",
        "(90 %): chance brings more finds, and so a higher bound, in one of ten draws",
    ]
    if any(row.finds for row in costs.rows) and not costs.checked:
        notes.insert(
            0,
            "no check is answered yet: finds are those of the queue so far, whose likeliest images "
            "come first, and so too many; sixrayd plan goes by what the mining believes",
        )
    if costs.target_checks is not None:
        once, every = (
            "no number of" if checks is None else f"{checks:,}" for checks in costs.target_checks
        )
        notes.append(
            f"at most {costs.target_left:,} left: {once} checks at one look, {every} at every look"
        )
    _console.print(table, *notes, sep="\n")


def print_estimate(workspace: Workspace, result: Estimate) -> None:
    """Print a panel: what is found, what is left, and what that rests on."""
    guess = "unknown" if result.estimate is None else f"{result.estimate:,.1f}"
    classes = _table("class", "found", "best guess", "at most missed", "found at least")
    for label, of in result.by_class.items():
        estimate = "unknown" if of["unchecked"] else f"{of['estimate']:,.1f}"
        cells = (f"{of['found']:,}", estimate, f"{of['upper']:,}", percent_down(of["recall"]))
        classes.add_row(label, *cells)
    parts: list[RenderableType] = [
        f"Groups of near-identical images. Found: {result.found:,}. At most {result.upper:,} may "
        f"be missed ({100 * result.settings.confidence:.4g} % sure), best guess {guess}.",
        f"At least {percent_down(result.recall)} of all contraband groups are found.",
        f"Missed are {counted(result.lower, 'group')} at least, and "
        f"{counted(result.images, 'image')} at most.",
        "",
        classes,
        _CLASSES,
    ]
    _console.print(
        Panel(Group(*parts), title=Text(f"what {result.name} still misses"), expand=False)
    )
    # Out of the frame, which would break commands.
    lines = ["rests on", *(f"  - {line}" for line in result.rests_on), *_sample(workspace, result)]
    _console.print(*map(workspace.commands_in, lines), sep="\n", soft_wrap=True)
    if result.spots.to_settle:
        _print_to_settle(workspace, result)
    if result.spots.withdrawn:
        _print_withdrawn(workspace, result)
    _console.print(f"{result.folder}/estimate.json, estimate.png", soft_wrap=True)


def _sample(workspace: Workspace, result: Estimate) -> list[str]:
    spots = result.spots
    draws = f"in {spots.draws} draw{'' if spots.draws == 1 else 's'}"
    lines = [
        f"{spots.counted:,} of {spots.drawn:,} drawn groups are answered without a gap, {draws}; "
        f"{spots.behind:,} behind a gap, {spots.unanswered:,} not yet."
    ]
    if not spots.drawn:
        lines = [
            "No group is drawn, and none is left to draw: all are decided."
            if result.evidence.get("strata") == []
            else "No group is drawn: `sixrayd estimate --looks N,N,…`; --plan says what looks buy."
        ]
    elif spots.looks:
        lines = _planned(result)
    elif more := result.checks_to_halve:
        lines.append(f"About {more:,} more checks would halve it, if they find as often as so far.")
    elif more is None and not result.settings.once:
        advice = "; more planted threats may help." if result.planting_helps else "."
        lines.append(f"No number of checks would halve it: reviewers overlook too much{advice}")
    for review, unsent in result.planted_unsent.items():
        advice = "; with few answered, reviewers count as overlooking more" * result.planting_helps
        whole = Judgement(workspace).push_of(review, limit=None)
        lines.append(
            f"{counted(unsent, 'planted threat')} not sent yet{advice}. More of the queue brings "
            f"more of them, the whole all: `{whole}`."
        )
    if result.target_met is not None:
        wanted = [
            f"at most {result.target.left:,} missed" if result.target.left is not None else "",
            f"{100 * result.target.recall:g} % found" if result.target.recall is not None else "",
        ]
        verdict = "met" if result.target_met else "not met yet"
        lines.append(f"Target ({' and '.join(filter(None, wanted))}): {verdict}.")
    if other := result.recapture:
        lines.append(
            f"Capture-recapture of two minings says {other.estimate:.1f} left ({other.low:.1f} to "
            f"{other.high:.1f}): optimistic, similar detectors share blind spots."
        )
    lines += [
        f"estimate/{name} says at most {upper:,} of the same remainder. Hold to one of them, named "
        "before either is read: the smaller of two is no bound at this confidence."
        for name, upper in result.others.items()
    ]
    return lines


def _planned(result: Estimate) -> list[str]:
    spots = result.spots
    lines = [
        f"Look {spots.draws} of {len(spots.looks)}: {spots.counted:,} of {spots.drawn:,} drawn "
        f"groups are settled; {spots.unanswered:,} are not and count as contraband."
    ]
    if spots.draws == len(spots.looks):
        return [*lines, "All the looks that were planned are drawn."]
    more = f"about {spots.looks[spots.draws] - spots.looks[spots.draws - 1]:,} more groups"
    following = f", at most {result.after_next_look:,} missed at the rate so far"
    return [*lines, f"The next one takes {more}{following if spots.counted else ''}."]


def _print_to_settle(workspace: Workspace, result: Estimate) -> None:
    images = list(result.spots.to_settle.items())
    lines = [
        "spot checks that count as contraband until they are settled:"
        if result.spots.looks
        else "spot checks that hold back those behind them; settle them first:"
    ]
    lines += [f"  {image_id}  {reason}" for image_id, reason in images[:_SHOWN_IMAGES]]
    if len(images) > _SHOWN_IMAGES:
        lines.append(f"  and {len(images) - _SHOWN_IMAGES} more in estimate.json")
    line = workspace.command("sixrayd review adjudicate")
    lines.append(
        f"`{line}` sends them to somebody who settles them; what he has left "
        "open, or ruled on by classes that are gone, he submits anew, from his project's list"
    )
    _console.print(*lines, sep="\n", soft_wrap=True)


def _print_withdrawn(workspace: Workspace, result: Estimate) -> None:
    images = result.spots.withdrawn
    shown = ", ".join(images[:_SHOWN_IMAGES]) + ", …" * (len(images) > _SHOWN_IMAGES)
    _console.print(
        f"spot checks whose answers were withdrawn, for which nobody is asked again: {shown}; "
        f"`{workspace.command('sixrayd review status')}` names their tasks, to be submitted anew",
        soft_wrap=True,
    )


def _table(*columns: str) -> Table:
    made = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for column in made.columns[1:]:
        column.justify = "right"
    return made
