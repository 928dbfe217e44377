"""`sixrayd review invite` and `take-over`: who joins, and who does the rest of whom."""

import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from sixrayd.advice.next_step import Judgement, echo_next
from sixrayd.core.command import json_option, options_of, print_json, workspace_option
from sixrayd.core.errors import ServiceError
from sixrayd.core.printing import console, echo
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.second_looks import is_second_look
from sixrayd.review.options import name_option, server_options
from sixrayd.review.settings import InviteSettings, TakeOverSettings

if TYPE_CHECKING:
    from sixrayd.review.team.joining import Invitations


@click.command(short_help="Print the link by which a new person joins.")
@workspace_option
@name_option("review")
@options_of(InviteSettings)(
    "--new", "renew", help="Make a new invitation; links given so far let nobody in any more."
)
@server_options
@json_option
def invite(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Print one link for each lane: a new person signs up there and begins to review.

    Who has a link can join, so send it to its reviewer alone. Who has joined signs in with it.

    \b
    Example:
      sixrayd review invite
    """
    from sixrayd.review.team.joining import invitations

    found = invitations(workspace, InviteSettings(**options))
    if not found.links:
        line = workspace.command(Judgement(workspace).push_of(found.name))
        raise ServiceError(f"{found.name}: gone from the server; `{line}` sends it again")
    if as_json:
        print_json(found)
    else:
        echo_links(found)
        echo_next(workspace)


@click.command("take-over", short_help="Give a reviewer's rest to another.")
@workspace_option
@name_option("review")
@options_of(TakeOverSettings)("--of", help="Whose rest: the reviewer's number, as `status` has it.")
@options_of(TakeOverSettings)("--by", help="Who does it: the number of another reviewer.")
@options_of(TakeOverSettings)("--dry-run", help="Say what would be done and change nothing.")
@server_options
@json_option
def take_over(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Give what a reviewer has not answered to another reviewer of the same review.

    Nobody is asked twice about one image: what the other has in a lane of their own is left out.
    A person who is new to the review needs only the link of `sixrayd review invite`.

    \b
    Example:
      sixrayd review take-over --of 1 --by 2 --dry-run
    """
    from sixrayd.review.team.taking_over import take_over as give

    settings = TakeOverSettings(**options)
    result = give(workspace, settings)
    if as_json:
        print_json(result)
        return
    words = ("would find", "would be") if settings.dry_run else ("finds", "are")
    if result.to_do:
        echo(
            f"Reviewer {result.by} {words[0]} {counted(result.to_do, 'image')} of reviewer "
            f"{result.of} at {result.address}"
        )
    else:
        echo(f"Nothing is left of reviewer {result.of} for reviewer {result.by}")
    if result.left_out:
        echo(
            f"{counted(result.left_out, 'image')} {words[1]} left out: reviewer {result.by} has "
            "them already, so they get one opinion fewer"
        )
    if not settings.dry_run:
        echo_next(workspace)


def show_links(workspace: Workspace, options: Mapping[str, Any]) -> None:
    """Show people at a terminal how others join; a file or a pipe learns the command alone.

    Args:
        options: of the command that was typed.
    """
    from sixrayd.review.team.joining import invitations

    if not sys.stdout.isatty():
        name = shlex.quote(options["name"])
        line = workspace.command(f"sixrayd review invite --name {name}")
        echo(f"For each reviewer's link to join by: {line}")
        return
    kept = {key: options[key] for key in ("name", "url", "token_file", "server")}
    found = invitations(workspace, InviteSettings(**kept))
    if found.links:
        echo_links(found)


def echo_links(found: "Invitations") -> None:
    """One line for each lane."""
    for lane, link in found.links.items():
        who = reviewer_of(lane).capitalize()
        if is_second_look(lane):
            who = f"A second looker, never {found.finders.get(lane, 'the finder')},"
        echo(f"{who} joins at {link}")
    console.print(
        "Who has a link can join: send it to its reviewer alone. The page says where to click: "
        "Create Account, and they are in their own project at the first image. To come back they "
        "open the same link and Log in.",
        soft_wrap=True,
    )


def reviewer_of(lane: str) -> str:
    """Who works in a lane, in words."""
    if is_second_look(lane):
        return "a second look"
    return f"reviewer {lane}" if lane.isdecimal() else "the adjudicator"
