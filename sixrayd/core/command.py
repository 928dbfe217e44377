"""What every command shares: the workspace option, settings from files, one JSON document."""

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource
from rich.progress import TaskID

from sixrayd.core.progress import at_work, progress
from sixrayd.core.records import LEAK_FREE, Rule
from sixrayd.core.settings_file import Names, OutsideOption, option_key, settings_of
from sixrayd.core.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
_BY_HAND = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def _open_workspace(context: click.Context, _: click.Parameter, value: Path) -> Workspace:
    # An option beats the environment, which beats files, which beat the default.
    context.default_map = {**settings_of(context, value), **(context.default_map or {})}
    return Workspace(value, as_typed)


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


def options_of(settings: type) -> Callable[..., Callable[[F], F]]:
    """A maker of options whose types and defaults are those of a settings dataclass.

    `option("--test-share", help="…")` is the option of the field `test_share`. Further names with
    dashes are older ones that keep working; one without is the field's, where it has another.
    A field of `OUTSIDE` gives an option that no workspace's own file may set.
    What else is given goes to `click.option`. The default is shown unless it is empty or the help
    names it.
    """
    known = {field.name: field for field in fields(settings)}
    types = get_type_hints(settings)

    def option(*names: str, help: str, **more: Any) -> Callable[[F], F]:
        key = names[-1] if names[-1].isidentifier() else option_key(names[0])
        field = known[key]
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        empty = any(default is nothing for nothing in (None, False, MISSING)) or default in ("", ())
        given = {
            **_kind(types[key], names[0]),
            **({"cls": OutsideOption} if field.metadata.get("outside") else {}),
            **({"required": True} if default is MISSING else {"default": _text(default)}),
            "show_default": not empty and "[default:" not in help,
            "help": help,
            **more,
        }
        opts = [name for name in names if name != key]
        return click.option(*opts, key, **given)

    return option


def _text(default: Any) -> Any:
    return ",".join(default) if isinstance(default, tuple) else default


def _kind(hint: Any, name: str) -> dict[str, Any]:
    """How click reads the value of a field of this type."""
    given = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) is Literal:
        return {"type": click.Choice(get_args(hint))}
    if get_origin(hint) is tuple:
        return {"type": Names()}
    if get_origin(hint) in (UnionType, Union) and len(given) == 1:
        return _kind(given[0], name)
    if hint is bool and "/" not in name:
        return {"is_flag": True}
    return {"type": hint} if hint in (int, float, str) else {}


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


def _named_split(context: click.Context, option: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("an empty name; leave --split out for the ingest's own division")
    return value


def split_option(command: F) -> F:
    """Add `--split`; the command gets the name of a split."""
    return click.option(
        "--split",
        metavar="NAME",
        default=LEAK_FREE,
        show_default=True,
        callback=_named_split,
        help="Which images train and which test: the ingest's own division, or a given split of "
        "those that `sixrayd status` names.",
    )(command)


def json_option(command: F) -> F:
    """Add `--json`; the command gets `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document instead of text."
    )(command)


def print_json(result: Any) -> None:
    """Print a dataclass or plain value as one JSON document, null for what is no number."""
    document = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    plain = json.loads(json.dumps(document, default=str), parse_constant=lambda _: None)
    click.echo(json.dumps(plain, indent=2))


def is_part_of_another() -> bool:
    """Whether another command runs this one, whose own advice is what counts."""
    parent = click.get_current_context().parent
    return parent is not None and not isinstance(parent.command, click.Group)


def as_typed(**changed: Any) -> str:
    """The command that runs as it was typed, but for some options: what a person may type next.

    The workspace is left out, since `Workspace.command` adds it.
    """
    context = click.get_current_context()
    words = [context.command_path]
    for option in context.command.params:
        name = str(option.name)
        typed = context.get_parameter_source(name) in _BY_HAND
        if name == "workspace" or not (typed or name in changed):
            continue
        value = changed.get(name, context.params[name])
        if isinstance(option, click.Option) and option.is_flag:
            words += (option.opts if value else option.secondary_opts)[:1]
            continue
        if isinstance(option, click.Argument):
            words += [shlex.quote(str(each)) for each in (value if option.nargs < 0 else [value])]
            continue
        several = option.multiple if isinstance(option, click.Option) else False
        for each in value if several else [_text(value)]:
            words += [option.opts[0], shlex.quote(str(each))]
    return " ".join(words)


@contextmanager
def reported() -> Iterator[Callable[[str, int, int], None]]:
    """What is told of what is being done, how much of it is done, and of how much (0: unknown),
    and shows a bar for each; of work without such, that it goes on.
    """
    with progress() as bars, at_work(bars, click.get_current_context().command_path):
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None, completed=done, note="")
            bars.update(tasks[what], completed=done, total=total or None)

        yield report
