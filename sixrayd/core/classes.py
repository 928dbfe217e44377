"""The classes of contraband, their order, and the names they go by."""

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sixrayd.core.errors import AnnotationError, SettingsError
from sixrayd.core.resources import resource_text

MOST_CLASSES = 1000  # that a stranger's files may tell apart
LONGEST_NAME = 500  # signs of a class's name, which messages about each of its boxes may hold
_MOST_LEFT_OUT = 10_000  # names beside the classes that are asked for
_MOST_SAID = 300  # signs of all names in a message


@cache
def default_classes() -> tuple[str, ...]:
    """SIXray's, in the order of `manifests/classes.toml`."""
    return tuple(_table()["names"])


def check_few(names: Sequence[str], where: str = "") -> None:
    """Stop where more classes are named than are told apart.

    Args:
        where: they are.

    Raises:
        AnnotationError: they do.
    """
    if len(names) > MOST_CLASSES:
        at = f"{where}: " if where else ""
        raise AnnotationError(f"{at}{len(names)} classes, at most {MOST_CLASSES} are told apart")


def is_class_name(name: str) -> bool:
    """Whether a class can be called so: in one line, in a list with commas, in a file's name."""
    fits = _is_trimmed(name) and len(name) <= LONGEST_NAME
    return fits and name.isprintable() and not set(name) & set(",/\\")


def _is_trimmed(name: object) -> bool:
    return isinstance(name, str) and name != "" and name == name.strip()


@dataclass(frozen=True, slots=True)
class ClassList:
    """Class names in the order of the model's outputs; background is not among them.

    Args:
        left_out: names that annotations may hold and that are no class, beside those that
            `manifests/classes.toml` leaves out.

    Raises:
        SettingsError: no class, a name that is none, or two that differ only in case.
    """

    names: tuple[str, ...] = field(default_factory=default_classes)
    left_out: tuple[str, ...] = ()
    _meant: Mapping[str, str] = field(init=False, repr=False, compare=False)  # lower-case names
    _passed: frozenset[str] = field(init=False, repr=False, compare=False)  # and those left out

    def __post_init__(self) -> None:
        if not self.names or not all(map(_is_trimmed, self.names)):
            raise SettingsError(f"classes: need at least one name without blanks, got {self.names}")
        for name in self.names:
            if not is_class_name(name):
                what = "holds a comma, a slash or a control character"
                if len(name) > LONGEST_NAME:
                    what = f"has more than {LONGEST_NAME} signs"
                raise SettingsError(f"classes: {name[:100]!r} {what}; rename the class")
        if len({name.lower() for name in self.names}) < len(self.names):
            raise SettingsError(f"classes: a name occurs twice in {', '.join(self.names)}")
        # An alias means the first class that has it, as a name does.
        meant: dict[str, str] = {}
        for name in self.names:
            for wanted in (name.lower(), *_aliases().get(name.lower(), ())):
                meant.setdefault(wanted, name)
        passed = _left_out().union(map(str.lower, self.left_out)).difference(meant)
        object.__setattr__(self, "_meant", meant)
        object.__setattr__(self, "_passed", passed)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def words(self) -> str:
        """The names for a message, of which there may be one for each box; not all if many."""
        names = ", ".join(self.names)
        return names if len(names) <= _MOST_SAID else f"{names[: _MOST_SAID - 1]}…"

    def index(self, label: str) -> int:
        """Position of a canonical label, 0-based."""
        return self.names.index(label)

    def canonical(self, name: str) -> str:
        """The class that `name` means, in any case and under any alias of `manifests/`.

        Raises:
            AnnotationError: the name means none of the classes.
        """
        if label := self._meant.get(name.strip().lower()):
            return label
        raise AnnotationError(
            f"class {name[:100]!r} is none of {self.words}; "
            f"name the release's classes with `sixrayd download --classes`"
        )

    def covers(self, name: str) -> bool:
        """Whether `canonical` knows the name."""
        return name.strip().lower() in self._meant

    def leaves_out(self, name: str) -> bool:
        """Whether a name is known to be in releases, and no class that is asked for."""
        return name.strip().lower() in self._passed

    def choosing_from(self, names: Sequence[str]) -> "ClassList":
        """The list that leaves out what else is named, where it is a choice: names of all classes
        are there. Else the list as it is. A name that no class could have is none of a class.

        Raises:
            AnnotationError: so many are named that it is no list of classes.
        """
        known = [name for name in names if len(name) <= LONGEST_NAME]
        others = tuple(name for name in known if not (self.covers(name) or self.leaves_out(name)))
        found = {self.canonical(name) for name in known if self.covers(name)}
        if not others or found != set(self.names):
            return self
        if len(left_out := (*self.left_out, *others)) > _MOST_LEFT_OUT:
            raise AnnotationError(
                f"{len(left_out)} names beside {self.words}, first {others[0]!r}, at most "
                f"{_MOST_LEFT_OUT} are left out; mend the names of classes"
            )
        return replace(self, left_out=left_out)

    @classmethod
    def parse(cls, text: str) -> "ClassList":
        """Classes from one comma-separated line."""
        return cls(tuple(part.strip() for part in text.split(",")))


def classes_advice(names: Sequence[str]) -> str:
    """What to do so that these are the classes: the option to pass, as a shell takes it."""
    try:
        return f"pass `--classes {shlex.quote(','.join(ClassList(tuple(names)).names))}`"
    except SettingsError as error:
        return f"mend the names there ({error})"


@cache
def _aliases() -> dict[str, tuple[str, ...]]:
    table = _table()["aliases"]
    return {label.lower(): tuple(other.lower() for other in table[label]) for label in table}


@cache
def _left_out() -> frozenset[str]:
    return frozenset(name.lower() for name in _table()["left_out"])


def _table() -> dict[str, Any]:
    return tomllib.loads(resource_text("manifests", "classes.toml"))
