"""What the commands around a review tell people."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from sixrayd.advice.next_step import Judgement
from sixrayd.core.printing import Terminal, console, echo
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.second_looks import is_second_look
from sixrayd.review.team.command import reviewer_of

if TYPE_CHECKING:
    from sixrayd.review.progress import Progress
    from sixrayd.review.pull import PullResult
    from sixrayd.review.push import PushResult
    from sixrayd.review.status import ReviewStatus

out = Terminal()
_SHOWN_PROBLEMS, _SHOWN_ENDED = 50, 10


def print_pushed(result: "PushResult") -> None:
    """What a push sent, and where reviewers work."""
    echo(
        f"{result.name}: {counted(result.added, 'image')} added, "
        f"{result.already_there:,} were there"
        + (
            f", {result.decided_elsewhere:,} decided in other reviews"
            * bool(result.decided_elsewhere)
        )
        + (
            f", {counted(result.second_looks, 'find')} to a second person"
            * bool(result.second_looks)
        )
        + (f", {result.duplicates_removed} duplicates removed" * bool(result.duplicates_removed))
        + (f", {result.images_written} lost images written again" * bool(result.images_written))
    )
    _tell_ended(result.tasks_ended)
    for caution in result.cautions:
        echo(f"caution: {caution}")
    for lane, address in result.lanes.items():
        echo(f"{_worker(lane, result.finders)} at {address}")


def print_pulled(workspace: Workspace, result: "PullResult") -> None:
    """What a pull brought."""
    where = f" in {', '.join(result.files)}" if result.files else ""
    total = result.new + result.planted
    echo(f"{result.name}: {counted(total, 'new or changed decision')}{where}")
    out.print(progress_table(result.progress))
    _tell_ended(result.tasks_ended)
    for note in _pulled_notes(result, _ToType(workspace, result.name)):
        echo(note)


def _tell_ended(tasks: int) -> None:
    if tasks:
        echo(
            f"{counted(tasks, 'task')} that nobody had begun deleted on the server: of images that "
            "the release has no more"
        )


def print_problems(workspace: Workspace, result: "PullResult", as_json: bool) -> None:
    """What in a pull needs a look."""
    if result.problems and not as_json:
        line = workspace.command("sixrayd review withdraw")
        say(
            "These need a look; what is left out or no decision does not count, the rest does. "
            "Submit them again in Label Studio, and delete there what is no decision; what counts "
            f"ends with `{line}`, too:"
        )
    for problem in result.problems[:_SHOWN_PROBLEMS]:
        where = result.addresses.get(problem.task, "")
        say(f"{problem}" + f"; at {where}" * bool(where))
    if len(result.problems) > _SHOWN_PROBLEMS:
        say(f"and {len(result.problems) - _SHOWN_PROBLEMS} more; --json lists all")


def status_table(workspace: Workspace, result: "ReviewStatus") -> Group:
    """How far a review is."""
    return Group(
        f"{result.name} at {result.address}",
        progress_table(result.progress),
        *_status_notes(result, _ToType(workspace, result.name)),
    )


def print_status(workspace: Workspace, result: "ReviewStatus") -> None:
    """The same; no line is broken, since people copy commands from it."""
    echo(f"{result.name} at {result.address}")
    out.print(progress_table(result.progress))
    for note in _status_notes(result, _ToType(workspace, result.name)):
        echo(note)


def progress_table(counts: "Progress") -> Table:
    """What a review has come to, a count a row."""
    table = Table("of the review", "", box=None, header_style="bold")
    table.columns[1].justify = "right"
    table.add_row("answers", f"{counts.decided:,} of {counts.tasks:,}")
    if len(counts.by_lane) > 1:
        for lane, (done, of) in counts.by_lane.items():
            table.add_row(f"  {reviewer_of(lane)}", f"{done:,} of {of:,}")
            for person, number in counts.by_person.get(lane, {}).items():
                table.add_row(f"    {person}", f"{number:,}")
    for reviewer, number in counts.by_reviewer.items():
        speed = counts.images_an_hour.get(reviewer)
        told = [f"{number:,}", *([f"{speed:,.0f} an hour"] if speed else [])]
        told.append(f"last {counts.last_answer[reviewer]}")
        table.add_row(f"  by {reviewer}", ", ".join(told))
    answered = sum(counts.by_verdict.values()) + counts.conflicts
    table.add_row("images answered", f"{answered:,}")
    for verdict, number in counts.by_verdict.items():
        table.add_row(f"  {verdict}", f"{number:,}")
    if counts.conflicts:
        table.add_row("  reviewers differ", f"{counts.conflicts:,}")
    table.add_row("images found, new to the release", f"{counts.found:,}")
    for label, number in counts.by_class.items():
        table.add_row(f"  {label} boxes", f"{number:,}")
    if counts.twice:
        table.add_row("images one person answered twice", f"{counts.twice:,}")
    if counts.hours_left is not None:
        table.add_row("left, in minutes of review", f"{60 * counts.hours_left:,.0f}")
    if counts.finish and datetime.fromisoformat(counts.finish) > datetime.now(UTC):  # else idle
        table.add_row("done, at this week's pace", counts.finish)
    return table


def say(text: str) -> None:
    """Tell people beside what a command prints."""
    console.print(text, soft_wrap=True)


class _ToType:
    """What brings the answers of a review in, and what sends it its tasks, to be typed."""

    def __init__(self, workspace: Workspace, review: str) -> None:
        self.workspace, self.review = workspace, review

    @property
    def pull(self) -> str:
        return self.workspace.command(Judgement(self.workspace).pull_of(self.review))

    def push(self, left: int = 0) -> str:
        return self.workspace.command(Judgement(self.workspace).push_of(self.review, left))

    def again(self, lacking: Mapping[str, int]) -> dict[str, int]:
        """How many tasks that the server lacks each command sends, by command."""
        found = dict[str, int]()
        for lane, gone in lacking.items():
            line = self.workspace.command(Judgement(self.workspace).again_of(self.review, lane))
            found[line] = found.get(line, 0) + gone
        return found


def _pulled_notes(result: "PullResult", lines: _ToType) -> Iterator[str]:
    if result.taken_back:
        yield f"{counted(result.taken_back, 'decision')} taken back by their reviewers"
    yield from _drafts(result.drafts)
    if result.skipped:
        yield _skipped(result.skipped)
    yield from _own_looks(result.progress.own_looks)
    if result.gone:
        more = ", …" * (result.gone > _SHOWN_ENDED)
        line = lines.workspace.command("sixrayd review withdraw")
        yield (
            f"{counted(result.gone, 'decision')} kept, though the server has the annotation no "
            f"more, as after a restored backup; `{line}` ends what is not to "
            f"count: {', '.join(result.gone_images[:_SHOWN_ENDED])}{more}"
        )
    if result.foreign_tasks:
        told = counted(result.foreign_tasks, "task")
        yield f"{told} in the project that sixrayd did not make; delete them there"
    yield from _open_ends(result, lines)


def _status_notes(result: "ReviewStatus", lines: _ToType) -> Iterator[str]:
    if result.next_hour is not None:
        yield f"the next hour of review promises {result.next_hour:g} finds"
    yield from _drafts(result.drafts)
    if result.skipped:
        yield _skipped(result.skipped)
    yield from _own_looks(result.progress.own_looks)
    if result.problems:
        told = counted(result.problems, "annotation")
        yield f"{told} to look at; `{lines.pull}` lists them"
    if result.not_pulled:
        yield f"{counted(result.not_pulled, 'decision')} to bring in: `{lines.pull}`"
    if result.not_sent:
        told = counted(result.not_sent, "flagged image")
        yield f"{told} not sent: `{lines.push(result.not_sent)}`"
    yield from _open_ends(result, lines)


def _drafts(drafts: int) -> Iterator[str]:
    if drafts:
        told = counted(drafts, "draft")
        yield f"{told} begun and not submitted: their reviewers find them there"


def _own_looks(finds: int) -> Iterator[str]:
    if finds:
        yield (
            f"{counted(finds, 'find')} looked at a second time by the finder alone, which confirms "
            "nothing: delete these answers on the server, and somebody else is given them"
        )


def _skipped(number: int) -> str:
    """What was skipped and never answered; the server passes such a task to others alone."""
    return (
        f"{counted(number, 'task')} skipped by reviewers, no decisions: who skipped finds them in "
        "the project's list alone, others who work there are given them"
    )


def _open_ends(result: "PullResult | ReviewStatus", lines: _ToType) -> Iterator[str]:
    """Tasks that nobody is given, and images that are not settled."""
    for line, gone in lines.again(result.lacking).items():
        told = f"{counted(gone, 'task')} without an answer gone from the server"
        yield f"{told}: `{line}` sends them again"
    if ended := result.progress.ended:
        named = [
            f"{image} ({result.addresses.get(task, f'task {task}')})"
            for task, image in sorted(ended.items())
        ]
        more = ", …" * (len(named) > _SHOWN_ENDED)
        yield (
            f"{counted(len(named), 'task')} of answers withdrawn or taken back: who answered is "
            "not asked again; submit anew there, or leave undecided: "
            f"{', '.join(named[:_SHOWN_ENDED])}{more}"
        )
    if result.unsettled.images:
        yield str(result.unsettled)


def _worker(lane: str, finders: Mapping[str, str]) -> str:
    if is_second_look(lane):
        finder = finders.get(lane, "the finder")
        return f"Everybody but {finder} looks a second time at finds of {finder}"
    return f"{reviewer_of(lane).capitalize()} works"
