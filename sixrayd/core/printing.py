"""All that reaches a terminal goes through here, so that outside words cannot forge a line."""

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from sixrayd.core.errors import printable


def echo(line: object = "", *, err: bool = False) -> None:
    """Print one line, cleaned by `printable`."""
    click.echo(printable(line), err=err)


class Terminal(Console):
    """A console that takes no text for markup; each string is one clean line."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, **more})

    def render_str(self, text: str, **more: Any) -> Text:
        """As rich has it; every string that it prints, in a table or not, comes through here."""
        return super().render_str(printable(text), **more)


console = Terminal(stderr=True)
