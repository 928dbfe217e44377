"""What every command shares: the workspace option, settings from files, one JSON document."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Rule
from sixrayd.core.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
console = Console(stderr=True)


def _open_workspace(context: click.Context, _: click.Parameter, value: Path) -> Workspace:
    # An option beats the environment, which beats sixrayd.toml, which beats the default.
    path = value / "sixrayd.toml"
    if path.exists():
        section = _section(path, context.command_path.split()[1:])
        known = {option.name for option in context.command.params}
        for key in section:
            if key not in known:
                raise SettingsError(f"{path}: {key!r} is no setting of `{context.command_path}`")
        context.default_map = {**section, **(context.default_map or {})}
    return Workspace(value)


def _section(path: Path, names: list[str]) -> dict[str, Any]:
    try:
        table: Any = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    for name in names:
        table = table.get(name, {})
    return {key.replace("-", "_"): v for key, v in table.items() if not isinstance(v, dict)}


def workspace_option(command: F) -> F:
    """Add `-w/--workspace`; the command gets a `Workspace`."""
    return click.option(
        "-w",
        "--workspace",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("workspace"),
        envvar="SIXRAYD_WORKSPACE",
        show_default=True,
        is_eager=True,
        callback=_open_workspace,
        help="Folder of the stages' results.",
    )(command)


def consensus_option(command: F) -> F:
    """Add `--consensus`; the command gets a `Rule`."""
    return click.option(
        "--consensus",
        type=click.Choice([str(rule) for rule in Rule]),
        default=str(Rule.ADJUDICATOR),
        show_default=True,
        callback=lambda context, option, value: Rule(value),
        help="How reviewers who differ are settled; what this cannot settle stays undecided.",
    )(command)


def json_option(command: F) -> F:
    """Add `--json`; the command gets `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document instead of text."
    )(command)


def print_json(result: Any) -> None:
    """Print a dataclass or plain value as one JSON document."""
    document = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    click.echo(json.dumps(document, indent=2, default=str))


def progress() -> Progress:
    """A progress bar on stderr with done, rate of the clock and time left."""
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
