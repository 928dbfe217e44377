"""What `sixrayd plan` prints."""

from rich.table import Table

from sixrayd.core.printing import Terminal
from sixrayd.core.words import counted, plural
from sixrayd.plan.stage import CampaignPlan, Foreseen

_WHAT = {
    "queue": "images, the likeliest first",
    "spot checks": "groups at random, for the bound",
    "known items": "measure what reviewers overlook",
    "second looks": "finds, by a second person",
}


def print_plan(result: CampaignPlan) -> None:
    """Print the forecast, the hours, and the commands, on one screen."""
    console, settings = Terminal(), result.settings
    within = f"{100 * result.interval:.0f} %"
    table = Table("", "tasks", "hours", within, "", box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for part in (part for part in result.parts if part.tasks):
        hours = f"{part.hours.low:,.1f} to {part.hours.high:,.1f}"
        cells = (f"{part.tasks:,}", f"{part.hours.middle:,.1f}", hours, _WHAT[part.name])
        table.add_row(part.name, *cells)
    sure = f"{100 * result.confidence:.4g} %"
    console.print(
        f"{result.name}: {counted(settings.reviewers, 'reviewer')}, "
        f"{_counted(settings.days, 'day')} of {_counted(settings.hours, 'hour')}: "
        f"{_counted(result.hours, 'hour')} ahead; "
        f"{counted(result.answers, 'image')} settled so far",
        f"found by then: {_told(result.finds)} images, {result.found:,} so far",
        f"left at most: {_told(result.left)} groups, the bound {sure} sure",
        "",
        table,
        *([f"to spare: {result.spare_hours:,.1f} hours"] if result.spare_hours else []),
        *(f"note: {note}" for note in result.notes),
        "",
        sep="\n",
        soft_wrap=True,
    )
    for step in result.steps:
        console.print(f"{step.when}: {step.why}", f"  {step.command}", sep="\n", soft_wrap=True)


def _counted(number: float, noun: str) -> str:
    return counted(int(number), noun) if number == int(number) else f"{number:,.3g} {plural(noun)}"


def _told(foreseen: Foreseen) -> str:
    return f"{foreseen.middle:,.0f} ({foreseen.low:,.0f} to {foreseen.high:,.0f})"
