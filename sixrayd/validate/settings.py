"""What a check of an export goes by, and what it says in the end."""

from collections.abc import Mapping
from dataclasses import dataclass

from sixrayd.core.errors import SettingsError

MOST_TOLD = 10_000  # faults


@dataclass(frozen=True, slots=True)
class ValidateSettings:
    """How an export is checked.

    Args:
        most: faults that are told; all are counted.
        follow: whether images are read through links that lead out of the folder.

    Raises:
        SettingsError: out of range.
    """

    most: int = 20
    follow: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.most <= MOST_TOLD:
            raise SettingsError(f"most: need 0 to {MOST_TOLD:,}, got {self.most}")


@dataclass(frozen=True, slots=True)
class TreeFault:
    """One thing that is wrong with an export.

    Args:
        element: what of the file it is about; empty for the file itself.
        advice: what to do.
    """

    file: str
    element: str
    found: str
    expected: str
    advice: str

    def __str__(self) -> str:
        at = f"{self.file}: {self.element}" if self.element else self.file
        return f"{at}: found {self.found}, expected {self.expected}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Validation:
    """What was checked, and what is wrong.

    Args:
        kinds: faults by the file, or the folder of files, that they are of; beyond 1,000 of these
            as `others`.
        first: as many faults as were asked for, in the order in which they were met.
        notes: what could not be checked.
    """

    place: str
    version: str
    forms: tuple[str, ...]
    files: int
    images: int
    boxes: int
    faults: int
    kinds: Mapping[str, int]
    first: tuple[TreeFault, ...]
    notes: tuple[str, ...]
