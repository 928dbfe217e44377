"""Settings from files: a workspace's own `sixrayd.toml`, and the user's outside of it."""

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from sixrayd.core.documents import MOST_TOML, parse_toml
from sixrayd.core.errors import MOST_PRINTED, SettingsError, printable
from sixrayd.core.files import read_plain
from sixrayd.core.home import with_home
from sixrayd.core.storage import is_refusal, refusal

# On a field of settings that is set outside of the workspace's own file alone, since who hands a
# workspace on must not choose it for who opens it: an address, a token's file or a path, which
# leads out of the workspace; a draw's seed; who signs or withdraws.
OUTSIDE: Mapping[str, bool] = MappingProxyType({"outside": True})
_MOST_SHOWN = 100


class Names(click.ParamType[tuple[str, ...]]):
    """Comma-separated names, or a list of them from `sixrayd.toml`."""

    name = "NAME,NAME…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names without the blanks around them; none for an empty text."""
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(filter(None, (str(part).strip() for part in parts)))


class OutsideOption(click.Option):
    """An option that a workspace's own file may not set; `options_of` takes it for `OUTSIDE`."""


class OutsideArgument(click.Argument):
    """An argument that a workspace's own file may not set."""


def user_file() -> Path:
    """Where a user's own settings are, on any system: `~/.config/sixrayd/config.toml` on Linux."""
    return Path(click.get_app_dir("sixrayd")) / "config.toml"


def settings_of(context: click.Context, workspace: Path) -> dict[str, Any]:
    """What files set for a command, by name of its parameter; the workspace's file comes first.

    Raises:
        SettingsError: a file cannot be read, sets what the command does not know or what is no
            value of it, or the workspace's file sets what leads out of the workspace.
    """
    users, own = user_file(), workspace / "sixrayd.toml"
    found = _settings(users, context) if users.is_absolute() else {}
    return found | _settings(own, context, outside=False)


def _settings(path: Path, context: click.Context, outside: bool = True) -> dict[str, Any]:
    if not path.exists():
        return {}
    # The workspace is known by now.
    options = [option for option in context.command.params if option.name != "workspace"]
    known = {str(option.name): option for option in options}
    # Older names of an option keep working here, too.
    known |= {option_key(name): option for option in options for name in option.opts}
    given = {}
    for name, said in _section(_read(path), path, context).items():
        option = known.get(name.replace("-", "_"))
        if option is None:
            text = f"{path}: {_shown(name)} is no setting of `{context.command_path}`"
            raise SettingsError(text + _meant(name.replace("-", "_"), known))
        if not outside and isinstance(option, OutsideOption | OutsideArgument):
            raise SettingsError(f"{path}: {name!r} {_elsewhere(option, context)}")
        if isinstance(said, str) and isinstance(option, OutsideOption | OutsideArgument):
            said = with_home(said)
        fault = "" if outside else _unprintable(said)  # `--help` shows what is set
        if fault := fault or _fault(option, said, context):
            raise SettingsError(f"{path}: {name} = {_shown(said)}: {fault}")
        given[str(option.name)] = said
    return given


def option_key(name: str) -> str:
    """What an option is called in a file."""
    return name.partition("/")[0].removeprefix("--").replace("-", "_")


def _elsewhere(option: click.Parameter, context: click.Context) -> str:
    """Why a workspace's file may not say it, and where it may be said."""
    places, prefix = ["name it in the command"], context.auto_envvar_prefix
    if isinstance(option, click.Option):
        variable = [f"set {prefix}_{str(option.name).upper()}"] if prefix else []
        places = [f"pass {option.opts[0]}", *variable]
    places.append(f"write it to {user_file()}")
    text = ", ".join(places[:-1]) + f" or {places[-1]}"
    return f"is nothing that a workspace's own file may set, which may be a stranger's; {text}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_plain(path, MOST_TOML))
    except OSError as error:
        if not is_refusal(error):
            raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
        raise SettingsError(refusal(error, path, "read")) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: byte {error.start} is no UTF-8; save it as UTF-8") from error
    except ValueError as error:  # a number of too many digits as well
        raise SettingsError(f"{path}: not TOML: {printable(error, _MOST_SHOWN)}") from error


def _section(table: Any, path: Path, context: click.Context) -> dict[str, Any]:
    """The settings of a command, below the names of the groups that it is in."""
    chain = [context]
    while chain[0].parent is not None:
        chain.insert(0, chain[0].parent)
    names: list[str] = []
    for group, inner in pairwise(chain):
        assert isinstance(group.command, click.Group)
        known = group.command.list_commands(group)
        for name, settings in table.items():
            where = ".".join([*names, printable(name, _MOST_SHOWN)])
            if not isinstance(settings, dict):
                value = f"{where} = {_shown(settings)}"
                below = where if name in known else ".".join([*names, str(inner.info_name)])
                raise SettingsError(f"{path}: {value}: expected settings below [{below}]")
            if name not in known:
                text = f"{path}: [{where}] is no command; known are {', '.join(known)}"
                raise SettingsError(text + _meant(name, known))
        names.append(str(inner.info_name))
        table = table.get(inner.info_name, {})
    return dict(table)


def _meant(name: str, known: Iterable[str]) -> str:
    """Which known name is likely meant by one that is not; empty where none is like it."""
    like = get_close_matches(name[:_MOST_SHOWN], known, 1)
    return f"; did you mean `{like[0]}`?" if like else ""


def _unprintable(said: Any) -> str:
    """What is wrong with a stranger's text that a terminal would take for a command."""
    parts = said if isinstance(said, list) else [said]
    odd = any(isinstance(part, str) and printable(part) != part for part in parts)
    return f"expected one line of at most {MOST_PRINTED} printable signs" if odd else ""


def _fault(option: click.Parameter, said: Any, context: click.Context) -> str:
    """What is wrong with a value; empty where nothing is."""
    several = option.multiple or option.nargs != 1
    parts = said if isinstance(said, list) else [said]
    if isinstance(option, click.Option) and option.is_bool_flag:
        return "" if isinstance(said, bool) else "expected true or false"
    if any(isinstance(p, bool) or not isinstance(p, str | int | float) for p in parts):
        return "expected a text or a number" + (", or a list of them" if several else "")
    if several and not isinstance(said, list):
        return "expected a list"
    if isinstance(said, list) and not (several or isinstance(option.type, Names)):
        return "expected one value, found a list"
    for part in parts:
        if isinstance(part, int) and not -(1 << 63) <= part < 1 << 63:
            return "expected at most 64 bits, as TOML has"
        if isinstance(part, float) and not math.isfinite(part):
            return "expected a finite number"
        if isinstance(part, float) and isinstance(option.type, click.types.IntParamType):
            return "expected a whole number"
    try:
        option.type_cast_value(context, said)
    except click.BadParameter as error:
        return printable(error.message)
    except (ValueError, TypeError, OverflowError) as error:
        return printable(error)
    return ""


def _shown(value: Any) -> str:
    try:
        return printable(repr(value), _MOST_SHOWN)
    except (ValueError, RecursionError):
        return "a number of too many digits"
