"""`sixrayd review`: the commands around Label Studio."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.live import Live

from sixrayd.advice.next_step import echo_next, next_lines
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
from sixrayd.core.printing import echo
from sixrayd.core.progress import progress
from sixrayd.core.records import LEAK_FREE, Rule
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.command import backup, restore, serve, stop_server
from sixrayd.review.options import name_option, server_options
from sixrayd.review.planting.command import plant, rates
from sixrayd.review.printing import (
    out,
    print_problems,
    print_pulled,
    print_pushed,
    print_status,
    say,
    status_table,
)
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
from sixrayd.review.team.command import invite, show_links, take_over

if TYPE_CHECKING:
    from sixrayd.review.push import PushResult
    from sixrayd.review.status import ReviewStatus


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
    _tell_pushed(workspace, result, options, as_json)


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
    _tell_pushed(workspace, result, options, as_json)


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
        print_pulled(workspace, result)
        lanes, skipped = result.progress.by_lane, result.skipped
        told = OnServer(lanes, 0, result.unsettled, result.lacking, skipped)
        echo_next(workspace, on_server={result.name: told})
    print_problems(workspace, result, as_json)
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
        print_status(workspace, found)
        for line in next_lines(found.next):
            echo(line)
    else:
        with Live(console=out, auto_refresh=False) as live, suppress(KeyboardInterrupt):
            while True:
                live.update(_shown(workspace, review_status(workspace, settings)), refresh=True)
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
        say("They stay submitted on the server, and count again if they are changed there.")
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


def _tell_pushed(
    workspace: Workspace, result: "PushResult", options: dict[str, Any], as_json: bool
) -> None:
    if as_json:
        print_json(result)
        return
    print_pushed(result)
    show_links(workspace, {**options, "name": result.name})
    echo_next(workspace)


def _shown(workspace: Workspace, result: "ReviewStatus") -> Group:
    return Group(status_table(workspace, result), *next_lines(result.next))
