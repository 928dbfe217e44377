"""Options that several commands of the review have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sixrayd.core.command import options_of
from sixrayd.review.server import SERVERS
from sixrayd.review.settings import PullSettings

F = TypeVar("F", bound=Callable[..., Any])


def server_options(command: F) -> F:
    """Which server, and where its token is."""
    server = options_of(PullSettings)
    url = server(
        "--url",
        help="Address of another server than the workspace's own; the token comes from "
        "SIXRAYD_LABEL_STUDIO_TOKEN or --token-file.",
    )
    token_file = server(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds a token for --url; only its owner may be able to read it.",
    )
    kind = server("--server", type=click.Choice(list(SERVERS)), help="Kind of server at --url.")
    return url(token_file(kind(command)))


def name_option(what: str) -> Callable[[F], F]:
    """Which review.

    Args:
        what: that it is called by.
    """
    return click.option("--name", default="", help=f"Name of the {what}.  [default: the newest]")
