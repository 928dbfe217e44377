"""`sixrayd review serve`, `stop`, `backup` and `restore`: the workspace's own Label Studio."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sixrayd.advice.next_step import echo_next
from sixrayd.core.children import end_as_by_ctrl_c
from sixrayd.core.command import json_option, print_json, workspace_option
from sixrayd.core.errors import SixraydError
from sixrayd.core.printing import console, echo
from sixrayd.core.settings_file import OutsideArgument, OutsideOption
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace

if TYPE_CHECKING:
    from sixrayd.review.label_studio.postgres import Postgres
    from sixrayd.review.label_studio.server import Server

_database_option = click.option(
    "--database",
    cls=OutsideOption,
    envvar="SIXRAYD_DATABASE",
    default="",
    show_default="a file in the workspace",
    metavar="URL",
    help="PostgreSQL database that holds the server's data, as postgresql://USER@HOST/NAME; the "
    "password comes from ~/.pgpass or PGPASSWORD.",
)


@click.command(short_help="Start the workspace's own Label Studio.")
@workspace_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="Port on this machine.",
)
@click.option("--background", is_flag=True, help="Return when the server is up and leave it up.")
@_database_option
@json_option
def serve(workspace: Workspace, port: int, background: bool, database: str, as_json: bool) -> None:
    """Run the workspace's own Label Studio, on this machine only.

    The first start installs it in an environment of its own. Reviewers join by the links of
    `sixrayd review invite`, which keep the port.

    \b
    Example:
      sixrayd review serve --port 8080
      sixrayd review serve --database postgresql://team@db.example.org/review
    """
    from sixrayd.review.label_studio.backup import back_up_when_due
    from sixrayd.review.label_studio.server import (
        end_restore,
        running,
        server_folder,
        server_mark,
        start,
        stop,
        wait,
    )

    place = _place(database)
    if running(workspace) is None:
        with server_mark(workspace, "a backup is made"):
            end_restore(workspace, place)
            if not workspace.busy("review"):  # who writes there makes one
                with workspace.lock("review"):
                    back_up_when_due(workspace, place)
    if not background:
        end_as_by_ctrl_c()
    server = start(workspace, port, _say, place)
    try:
        if as_json:
            print_json(_public(server))
        else:
            _welcome(workspace, server)
        _show_images(workspace)
        if not as_json:
            echo_next(workspace)
        if not background:
            _say("Ctrl-C ends the server; all work stays in the workspace.")
            wait(workspace)
            log = server_folder(workspace) / "server.log"
            _say(f"Label Studio has ended, by `review stop` or by itself; its log is {log}")
    except KeyboardInterrupt:
        stop(workspace)
        _say("Label Studio has ended.")


@click.command("stop", short_help="End the workspace's own Label Studio.")
@workspace_option
@json_option
def stop_server(workspace: Workspace, as_json: bool) -> None:
    """End the workspace's own Label Studio; all work stays.

    \b
    Example:
      sixrayd review stop
    """
    from sixrayd.review.label_studio.server import stop

    ended = stop(workspace)
    if as_json:
        print_json({"ended": ended})
        return
    echo("Label Studio has ended." if ended else "Label Studio was not running.")
    echo_next(workspace)


@click.command(short_help="Back up Label Studio and all reviews.")
@workspace_option
@_database_option
@json_option
def backup(workspace: Workspace, database: str, as_json: bool) -> None:
    """Back up the workspace's Label Studio and all reviews; it may run, and says its database then.

    `review serve` and `review pull` make one by themselves when the last is an hour old.

    \b
    Example:
      sixrayd review backup
    """
    from sixrayd.review.label_studio.backup import back_up

    with workspace.lock("review"):
        result = back_up(workspace, database=_place(database))
    if as_json:
        print_json(result)
    else:
        echo(
            f"{result.file}: {counted(result.tasks, 'task')}, "
            f"{counted(result.annotations, 'annotation')}"
        )


@click.command(short_help="Put a backup back.")
@workspace_option
@click.argument(
    "archive", cls=OutsideArgument, required=False, type=click.Path(dir_okay=False, path_type=Path)
)
@_database_option
@json_option
def restore(workspace: Workspace, archive: Path | None, database: str, as_json: bool) -> None:
    """Put a backup back once it is proved whole; what is there now is moved aside.

    With --database it goes there, wherever the data were that it was made of.

    \b
    Example:
      sixrayd review stop && sixrayd review restore
    """
    from sixrayd.review.label_studio.restore import restore as put_back

    result = put_back(workspace, archive, _place(database))
    if as_json:
        print_json(result)
        return
    echo(
        f"{result.file}: {counted(result.tasks, 'task')}, "
        f"{counted(result.annotations, 'annotation')} are back"
    )
    if result.replaced:
        echo(f"What was there is now in {result.replaced}")
    for name in result.kept:
        _say(f"{name}: differs from the backup; yours was kept")
    for line in result.apart:
        _say(line)
    echo_next(workspace)


def _place(database: str) -> "Postgres | None":
    from sixrayd.review.label_studio.postgres import Postgres

    return Postgres.of(database) if database else None


def _show_images(workspace: Workspace) -> None:
    from sixrayd.review.showing import show_all

    try:
        shown = show_all(workspace)
    except SixraydError as error:  # the server stays up, and `push` tries it again
        _say(f"not all images can be shown: {error}")
        return
    if shown.images:
        lost = f"; {shown.written} were missing and are written again" * bool(shown.written)
        _say(
            f"{counted(shown.images, 'image')} that were sent are shown from {workspace.root}{lost}"
        )


def _welcome(workspace: Workspace, server: "Server") -> None:
    echo(f"Label Studio is up at {server.url}")
    echo(f"Sign in as {server.user} with the password in {server.secret_file}")
    line = f"`{workspace.command('sixrayd review invite')}` prints each reviewer's link to join by"
    pushed = any(workspace.folder("review").glob("*/project.json"))
    echo(line if pushed else f"Once there is a push, {line}")
    if not pushed and not (workspace.shards / "run.json").exists():  # a mistyped one, too
        echo(f"{workspace.root} holds no release and no review; -w names another workspace")


def _public(server: "Server") -> dict[str, Any]:
    # Everything but the token, which must not be printed.
    return {
        "url": server.url,
        "pid": server.pid,
        "user": server.user,
        "secret_file": str(server.secret_file),
    }


def _say(text: str) -> None:
    console.print(text, soft_wrap=True)
