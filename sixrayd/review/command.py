"""`sixrayd review`: the commands around Label Studio."""

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table

from sixrayd.advice.next_step import echo_next
from sixrayd.advice.reviews import OnServer
from sixrayd.advice.rounds import round_training
from sixrayd.core.command import (
    consensus_option,
    json_option,
    options_of,
    print_json,
    split_option,
    workspace_option,
)
from sixrayd.core.printing import Terminal, console, echo
from sixrayd.core.progress import progress
from sixrayd.core.records import LEAK_FREE, Rule
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.second_looks import is_second_look
from sixrayd.review.label_studio.command import backup, restore, serve, stop_server
from sixrayd.review.options import name_option, server_options
from sixrayd.review.planting.command import plant, rates
from sixrayd.review.settings import (
    MOST_BOXES,
    AdjudicateSettings,
    AgreementSettings,
    NextSettings,
    PracticeSettings,
    PullSettings,
    PushSettings,
    StatusSettings,
    WithdrawSettings,
)
from sixrayd.review.team.command import invite, reviewer_of, show_links, take_over

if TYPE_CHECKING:
    from sixrayd.review.progress import Progress
    from sixrayd.review.push import PushResult
    from sixrayd.review.status import ReviewStatus

out = Terminal()
_SHOWN_PROBLEMS, _SHOWN_ENDED = 50, 10
_DRAFTS = "begun and not submitted: their reviewers find them there"
_GONE = "tasks without an answer are gone from the server: `sixrayd review push` sends them again"


@click.group()
def review() -> None:
    """Send candidates to people in Label Studio and bring decisions back.

    \b
    Example:
      sixrayd review serve --background && sixrayd review push --limit 500
      sixrayd review status
      sixrayd review pull
    """


for _command in (serve, stop_server, backup, restore, plant, rates, invite, take_over):
    review.add_command(_command)


option = options_of(PushSettings)


@review.command(short_help="Have people practise on known positives.")
@workspace_option
@options_of(PracticeSettings)(
    "--number", type=click.IntRange(1, 200), help="Images to practise on, the first time."
)
@options_of(PracticeSettings)(
    "--people",
    type=click.IntRange(1, 20),
    help="How many practise, each in a project of their own.",
)
@options_of(PracticeSettings)(
    "--invite", help="Print for each the link by which a new person joins; who has it can join."
)
@server_options
@json_option
def practice(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Have people practise on known positives; again says how far each of them is.

    An image comes without boxes, then with those of the release. Nothing of it is a decision, and
    none of these images measures anybody later.

    \b
    Example:
      sixrayd review practice --people 3 --invite
    """
    from sixrayd.review.practice import practise

    result = practise(workspace, PracticeSettings(**options))
    if as_json:
        print_json(result)
        return
    for person in result.people:
        echo(
            f"{person.reviewer}: {person.images} of {counted(result.images, 'image')}, "
            f"{person.right} of {counted(person.objects, 'object')} boxed rightly, "
            f"{counted(person.elsewhere, 'box')} on none"
        )
    for place, address in enumerate(result.addresses, 1):
        echo(f"Person {place} practises on {counted(result.images, 'image')} at {address}")
    for place, link in enumerate(result.links, 1):
        echo(f"Person {place} joins at {link}")
    echo_next(workspace)


@review.command(short_help="Send images to reviewers.")
@workspace_option
@name_option("mining to send")
@option(
    "--from",
    "origin",
    help="What to send: a mining's candidates, labelled positives whose boxes are in doubt, or "
    "images tagged in `sixrayd browse`.",
)
@option(
    "--limit",
    type=click.IntRange(min=1),
    help="Images of the queue altogether; a higher limit later adds only the new ones.  "
    "[default: all]",
)
@option(
    "--reviewers",
    type=click.IntRange(1, 9),
    help="How many people see an image, each in a project of their own.",
)
@option(
    "--share",
    type=click.FloatRange(0, 1),
    help="Share of the images that go to the second and later reviewers.",
)
@option(
    "--confirm-finds",
    is_flag=False,
    flag_value=1.0,
    type=click.FloatRange(0, 1),
    metavar="[SHARE]",
    show_default=False,
    help="Send what one reader found to a second person, too, never to the finder: all of it, or "
    "a share.",
)
@option("--duplicates", help="Send what resembles a known positive, too.")
@option("--again", help="Send images decided in other reviews, too.")
@option(
    "--guidelines",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown that reviewers are told instead of our text; kept, also for later pushes.",
)
@option("--boxes", type=click.IntRange(0, MOST_BOXES), help="Candidates drawn in an image at most.")
@option(
    "--draw-from",
    type=click.FloatRange(0, 1),
    help="Least score of a candidate that is drawn.  [default: from which on half of the boxes "
    "drawn in known positives are right]",
)
@server_options
@json_option
def push(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Send images to reviewers, the most finds for their time first; again adds what is missing.

    Spot checks that `sixrayd estimate --sample` drew and images of `sixrayd review plant` are
    strewn in at random.

    \b
    Example:
      sixrayd review push --limit 500
      sixrayd review push --reviewers 2 --share 0.1
      sixrayd review push --limit 500 --confirm-finds
      sixrayd review push --from positives
      sixrayd review push --from tags
    """
    from sixrayd.review.push import push as send

    with progress() as bar:
        sent = bar.add_task("push", total=None, note="tasks")
        result = send(
            workspace,
            PushSettings(**options),
            lambda done, total: bar.update(sent, completed=done, total=total),
        )
    _print_pushed(workspace, result, options, as_json)


@review.command(short_help="Send unsettled images to an adjudicator.")
@workspace_option
@name_option("review")
@consensus_option
@server_options
@json_option
def adjudicate(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Send what reviewers could not settle to an adjudicator, in a project of its own.

    That is where they disagree, are unsure, or saw contraband and drew no box.

    \b
    Example:
      sixrayd review adjudicate
    """
    from sixrayd.review.push import adjudicate as send

    result = send(workspace, AdjudicateSettings(**options))
    _print_pushed(workspace, result, options, as_json)


@review.command(short_help="Fetch new and changed decisions.")
@workspace_option
@name_option("review")
@options_of(PullSettings)("--full", help="Ask for everything, not for what has changed.")
@server_options
@json_option
@click.pass_context
def pull(context: click.Context, /, workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Bring new and changed decisions into the workspace; exit code 3 where some need a look.

    \b
    Example:
      sixrayd review pull
    """
    from sixrayd.review.pull import pull as fetch

    result = fetch(workspace, PullSettings(**options))
    if as_json:
        print_json(result)
    else:
        where = f" in {', '.join(result.files)}" if result.files else ""
        total = result.new + result.planted
        echo(f"{result.name}: {counted(total, 'new or changed decision')}{where}")
        _print_progress(result.progress)
        for count, what in (
            (counted(result.taken_back, "decision"), "taken back by their reviewers"),
            (counted(result.drafts, "draft"), _DRAFTS),
            (f"{result.skipped:,}", "skipped by reviewers, no decisions: they stay open there"),
            (
                counted(result.gone, "decision"),
                "kept, though the server has the annotation no more, as after a restored backup; "
                "`sixrayd review withdraw` ends what is not to count",
            ),
            (
                counted(result.foreign_tasks, "task"),
                "in the project that sixrayd did not make; delete them there",
            ),
            (f"{sum(result.lacking.values()):,}", _GONE),
        ):
            if not count.startswith("0"):
                echo(f"{count} {what}")
        if result.progress.ended:
            echo(_ended(result.progress.ended))
        if result.unsettled.images:
            echo(str(result.unsettled))
        told = OnServer(result.progress.by_lane, 0, result.unsettled, result.lacking)
        echo_next(workspace, on_server={result.name: told})
    if result.problems and not as_json:
        _say(
            "These need a look; what is left out or no decision does not count, the rest does. "
            "Submit them again in Label Studio, or end them with `sixrayd review withdraw`:"
        )
    for problem in result.problems[:_SHOWN_PROBLEMS]:
        _say(str(problem))
    if len(result.problems) > _SHOWN_PROBLEMS:
        _say(f"and {len(result.problems) - _SHOWN_PROBLEMS} more; --json lists all")
    if result.problems:
        context.exit(3)


@review.command(short_help="Say how far the reviewers are.")
@workspace_option
@name_option("review")
@click.option(
    "--watch",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Look again every so often, till Ctrl-C.",
)
@server_options
@json_option
def status(workspace: Workspace, watch: float | None, as_json: bool, **options: Any) -> None:
    """Say how far the reviewers are, as the server knows it now.

    \b
    Example:
      sixrayd review status --watch 30
    """
    from sixrayd.review.status import review_status

    settings = StatusSettings(**options)
    if as_json and watch is not None:
        raise click.UsageError("--watch shows a table; leave out --json")
    if as_json:
        print_json(review_status(workspace, settings))
    elif watch is None:
        found = review_status(workspace, settings)
        if found.progress.left:
            show_links(workspace, {**options, "name": found.name})
        out.print(_status_table(found))
    else:
        with Live(console=out, auto_refresh=False) as live, suppress(KeyboardInterrupt):
            while True:
                live.update(_status_table(review_status(workspace, settings)), refresh=True)
                time.sleep(watch)


@review.command(short_help="Withdraw decisions about images.")
@workspace_option
@click.argument("images", nargs=-1, required=True)
@name_option("review")
@options_of(WithdrawSettings)("--reviewer", help="Whose decisions.  [default: everybody's]")
@options_of(WithdrawSettings)("--reason", help="Why; kept with the decision.")
@options_of(WithdrawSettings)("--by", help="Who withdraws; kept with the decision.")
@json_option
def withdraw(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Withdraw decisions about images: a version of their own, nothing is deleted.

    \b
    Example:
      sixrayd review withdraw N0000055 --reason "wrong bag" --by ann
    """
    from sixrayd.review.withdraw import withdraw as end

    result = end(workspace, WithdrawSettings(**options))
    if as_json:
        print_json(result)
    else:
        echo(f"{result.name}: {counted(result.withdrawn, 'decision')} withdrawn in {result.file}")
        _say("They stay submitted on the server, and count again if they are changed there.")
        echo_next(workspace)


@review.command("next", short_help="Write what the next round trains on.")
@workspace_option
@name_option("review")
@consensus_option
@split_option
@json_option
def next_set(workspace: Workspace, name: str, consensus: Rule, split: str, as_json: bool) -> None:
    """Write what the next round trains on: found boxes, cleared images, nothing of the test side.

    \b
    Example:
      sixrayd review next && sixrayd train --round NAME --init FIRST --name second
    """
    from sixrayd.review.next_round import next_round

    result = next_round(workspace, NextSettings(name, consensus, split))
    if as_json:
        print_json(result)
    else:
        echo(str(result))
        line = round_training(workspace, result.name, split if split != LEAK_FREE else "")
        echo(f"train on it: {workspace.command(line)}")
        echo_next(workspace)


@review.command(short_help="Say how far reviewers agree.")
@workspace_option
@name_option("review")
@consensus_option
@options_of(AgreementSettings)("--pseudonyms", help="Show reviewers under stable pseudonyms.")
@json_option
def agreement(
    workspace: Workspace, name: str, consensus: Rule, pseudonyms: bool, as_json: bool
) -> None:
    """Say how far reviewers of the same images agree, with intervals.

    \b
    Example:
      sixrayd review agreement
    """
    from sixrayd.review.agreement import agreement as measure
    from sixrayd.review.agreement import print_agreement

    settings = AgreementSettings(name=name, rule=consensus, pseudonyms=pseudonyms)
    result = measure(workspace, settings)
    if as_json:
        print_json(result)
    else:
        print_agreement(result)


def _print_pushed(
    workspace: Workspace, result: "PushResult", options: dict[str, Any], as_json: bool
) -> None:
    if as_json:
        print_json(result)
        return
    echo(
        f"{result.name}: {counted(result.added, 'image')} added, {result.already_there} were there"
        + (
            f", {result.decided_elsewhere} decided in other reviews"
            * bool(result.decided_elsewhere)
        )
        + (
            f", {counted(result.second_looks, 'find')} to a second person"
            * bool(result.second_looks)
        )
        + (f", {result.duplicates_removed} duplicates removed" * bool(result.duplicates_removed))
        + (f", {result.images_written} lost images written again" * bool(result.images_written))
    )
    for caution in result.cautions:
        echo(f"caution: {caution}")
    for lane, address in result.lanes.items():
        echo(f"{_worker(lane, result.finders)} at {address}")
    show_links(workspace, {**options, "name": result.name})
    echo_next(workspace)


def _worker(lane: str, finders: Mapping[str, str]) -> str:
    if is_second_look(lane):
        finder = finders.get(lane, "one of them")
        return f"Everybody but {finder} looks a second time at finds of {finder}"
    return f"{reviewer_of(lane).capitalize()} works"


def _print_progress(counts: "Progress") -> None:
    out.print(progress_table(counts))


def progress_table(counts: "Progress") -> Table:
    """What a review has come to, a count a row."""
    table = Table("of the review", "", box=None, header_style="bold")
    table.columns[1].justify = "right"
    table.add_row("answers", f"{counts.decided} of {counts.tasks}")
    if len(counts.by_lane) > 1:
        for lane, (done, of) in counts.by_lane.items():
            table.add_row(f"  {reviewer_of(lane)}", f"{done} of {of}")
            for person, number in counts.by_person.get(lane, {}).items():
                table.add_row(f"    {person}", str(number))
    for reviewer, number in counts.by_reviewer.items():
        speed = counts.images_an_hour.get(reviewer)
        told = [f"{number}", *([f"{speed:.0f} an hour"] if speed else [])]
        told.append(f"last {counts.last_answer[reviewer]}")
        table.add_row(f"  by {reviewer}", ", ".join(told))
    answered = sum(counts.by_verdict.values()) + counts.conflicts
    table.add_row("images answered", str(answered))
    for verdict, number in counts.by_verdict.items():
        table.add_row(f"  {verdict}", str(number))
    if counts.conflicts:
        table.add_row("  reviewers differ", str(counts.conflicts))
    table.add_row("images found, new to the release", str(counts.found))
    for label, number in counts.by_class.items():
        table.add_row(f"  {label} boxes", str(number))
    if counts.twice:
        table.add_row("images one person answered twice", str(counts.twice))
    if counts.hours_left is not None:
        table.add_row("left, in minutes of review", f"{60 * counts.hours_left:.0f}")
    if counts.finish and datetime.fromisoformat(counts.finish) > datetime.now(UTC):  # else idle
        table.add_row("done, at this week's pace", counts.finish)
    return table


def _status_table(result: "ReviewStatus") -> Group:
    notes: list[str | Table] = [
        f"{result.name} at {result.address}",
        progress_table(result.progress),
    ]
    if result.next_hour is not None:
        notes.append(f"the next hour of review promises {result.next_hour:g} finds")
    for count, what in (
        (counted(result.drafts, "draft"), _DRAFTS),
        (f"{result.skipped:,}", "skipped by reviewers: they stay open there"),
        (counted(result.problems, "annotation"), "to look at; `sixrayd review pull` lists them"),
        (counted(result.not_pulled, "decision"), "to bring in: `sixrayd review pull`"),
        (f"{sum(result.lacking.values()):,}", _GONE),
        (counted(result.not_sent, "flagged image"), "not sent: `sixrayd review push`"),
    ):
        if not count.startswith("0"):
            notes.append(f"{count} {what}")
    if result.progress.ended:
        notes.append(_ended(result.progress.ended))
    if result.unsettled.images:
        notes.append(str(result.unsettled))
    notes.append(f"next: {result.next}")
    return Group(*notes)


def _ended(ended: Mapping[int, str]) -> str:
    """What becomes of tasks that have no answer any more."""
    named = [f"{image} (task {task})" for task, image in sorted(ended.items())]
    more = ", …" * (len(named) > _SHOWN_ENDED)
    return (
        f"{counted(len(named), 'task')} of withdrawn answers: who answered is not asked again; "
        f"submit anew there, or leave undecided: {', '.join(named[:_SHOWN_ENDED])}{more}"
    )


def _say(text: str) -> None:
    console.print(text, soft_wrap=True)
