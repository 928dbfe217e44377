"""What an audit is told, and what it says in the end."""

from collections.abc import Mapping
from dataclasses import dataclass

from sixrayd.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How strictly to look.

    Args:
        most: examples of a kind on the page and in the JSON document.
        reach: how many interquartile ranges beyond the quartiles is unlike the rest.
        least: boxes of a class, or images, from which on a bulk is known.
        narrow_px: a box with a side shorter than this is narrow, in pixels.

    Raises:
        SettingsError: out of range.
    """

    most: int = 12
    reach: float = 2.0
    least: int = 50
    narrow_px: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.most <= 200:
            raise SettingsError(f"most: need 0 to 200, got {self.most}")
        if not 0 < self.reach < float("inf"):
            raise SettingsError(f"reach: need more than 0, got {self.reach}")
        if self.least < 4:
            raise SettingsError(f"least: need 4 or more, got {self.least}")
        if not 0 <= self.narrow_px < float("inf"):
            raise SettingsError(f"narrow-px: need 0 or more, got {self.narrow_px}")


@dataclass(frozen=True, slots=True)
class FlawCount:
    """One kind of finding: how many there are, and the first of them."""

    flaw: str
    severity: str
    count: int
    examples: tuple[Mapping[str, str], ...]  # columns of findings.parquet


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A finished audit."""

    faults: int
    remarks: int
    images: int
    boxes: int
    kinds: tuple[FlawCount, ...]  # what likely hides contraband, then faults, then remarks
    rules: tuple[str, ...]  # what counts as unlike the rest
    page: str
    table: str
    written: bool  # False when the same audit was there already
