"""`sixrayd review`: the commands around Label Studio."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sixrayd.core.command import console, json_option, print_json, progress, workspace_option
from sixrayd.core.workspace import Workspace

if TYPE_CHECKING:
    from sixrayd.review.progress import Progress
    from sixrayd.review.server import Server

F = TypeVar("F", bound=Callable[..., Any])
_SHOWN_PROBLEMS = 50


def _server_options(command: F) -> F:
    url = click.option(
        "--url",
        default="",
        help="Another Label Studio server than the workspace's own; the token comes from "
        "SIXRAYD_LABEL_STUDIO_TOKEN or --token-file.",
    )
    token_file = click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds a token for --url; only its owner may be able to read it.",
    )
    return url(token_file(command))


def _name_option(what: str) -> Callable[[F], F]:
    return click.option("--name", default="", help=f"Name of the {what}  [default: the newest]")


@click.group()
def review() -> None:
    """Send candidates to people in Label Studio and bring decisions back.

    \b
    Example:
      sixrayd review serve --background && sixrayd review push --limit 500
      sixrayd review status
      sixrayd review pull
    """


@review.command()
@workspace_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="Port on this machine.",
)
@click.option("--background", is_flag=True, help="Return when the server is up and leave it up.")
@json_option
def serve(workspace: Workspace, port: int, background: bool, as_json: bool) -> None:
    """Run the workspace's own Label Studio, on this machine only.

    The first start installs it in an environment of its own. Reviewers are invited in Label
    Studio itself, on the page Organization.

    \b
    Example:
      sixrayd review serve --port 8080
    """
    from sixrayd.review.server import start, stop, wait

    server = start(workspace, port, _say)
    if not background:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if as_json:
            print_json(_public(server))
        else:
            _welcome(server)
        if not background:
            _say("Ctrl-C ends the server; all work stays in the workspace.")
            wait(workspace)
    except KeyboardInterrupt:
        stop(workspace)
        _say("Label Studio has ended.")


@review.command("stop")
@workspace_option
def stop_server(workspace: Workspace) -> None:
    """End the workspace's own Label Studio; all work stays.

    \b
    Example:
      sixrayd review stop
    """
    from sixrayd.review.server import stop

    click.echo("Label Studio has ended." if stop(workspace) else "Label Studio was not running.")


@review.command()
@workspace_option
@_name_option("mining to send")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    show_default="all",
    help="Images in the review altogether; a higher limit later adds only the new ones.",
)
@_server_options
@json_option
def push(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Send candidates to reviewers, the likeliest first; again adds only what is missing.

    \b
    Example:
      sixrayd review push --limit 500
    """
    from sixrayd.review.push import PushSettings
    from sixrayd.review.push import push as send

    with progress() as bar:
        sent = bar.add_task("push", total=None, note="images")
        result = send(
            workspace,
            PushSettings(**options),
            lambda done, total: bar.update(sent, completed=done, total=total),
        )
    if as_json:
        print_json(result)
        return
    click.echo(
        f"{result.name}: {result.added} images added, {result.already_there} were there"
        + (
            f", {result.decided_elsewhere} decided in other reviews"
            * bool(result.decided_elsewhere)
        )
        + (f", {result.duplicates_removed} duplicates removed" * bool(result.duplicates_removed))
    )
    click.echo(f"Review them at {result.address}")


@review.command()
@workspace_option
@_name_option("review")
@_server_options
@json_option
@click.pass_context
def pull(context: click.Context, /, workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Bring new and changed decisions into the workspace; exit code 3 where some need a look.

    \b
    Example:
      sixrayd review pull
    """
    from sixrayd.review.pull import PullSettings
    from sixrayd.review.pull import pull as fetch

    result = fetch(workspace, PullSettings(**options))
    if as_json:
        print_json(result)
    else:
        where = f" in {result.file}" if result.file else ""
        click.echo(f"{result.name}: {result.new} new or changed decisions{where}")
        _print_progress(result.progress)
        for count, what in (
            (result.skipped, "skipped by reviewers, no decisions"),
            (result.gone, "decisions kept whose annotation is gone from the server"),
            (result.foreign_tasks, "tasks in the project that sixrayd did not make"),
        ):
            if count:
                click.echo(f"{count} {what}")
    for problem in result.problems[:_SHOWN_PROBLEMS]:
        _say(str(problem))
    if len(result.problems) > _SHOWN_PROBLEMS:
        _say(f"and {len(result.problems) - _SHOWN_PROBLEMS} more; --json lists all")
    if result.problems:
        context.exit(3)


@review.command()
@workspace_option
@_name_option("review")
@_server_options
@json_option
def status(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Say how far the reviewers are, as the server knows it now.

    \b
    Example:
      sixrayd review status --json
    """
    from sixrayd.review.status import StatusSettings, review_status

    result = review_status(workspace, StatusSettings(**options))
    if as_json:
        print_json(result)
        return
    click.echo(f"{result.name} at {result.address}")
    _print_progress(result.progress)
    if result.skipped:
        click.echo(f"{result.skipped} skipped by reviewers")
    if result.problems:
        click.echo(f"{result.problems} annotations need a look; `sixrayd review pull` lists them")
    if result.not_pulled:
        click.echo(f"{result.not_pulled} decisions to bring in: sixrayd review pull")


def _print_progress(counts: "Progress") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("of the review", "images", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for what in ("tasks", "decided", "left", "found"):
        table.add_row(what, str(getattr(counts, what)))
    for verdict, number in counts.by_verdict.items():
        table.add_row(f"  {verdict}", str(number))
    for reviewer, number in counts.by_reviewer.items():
        table.add_row(f"  by {reviewer}", str(number))
    Console(highlight=False, markup=False).print(table)


def _welcome(server: "Server") -> None:
    click.echo(f"Label Studio is up at {server.url}")
    click.echo(f"Sign in as {server.user} with the password in {server.secret_file}")


def _public(server: "Server") -> dict[str, Any]:
    # Everything but the token, which must not be printed.
    return {
        "url": server.url,
        "pid": server.pid,
        "user": server.user,
        "secret_file": str(server.secret_file),
    }


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
