"""What `sixrayd estimate` is asked for."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from sixrayd.core.errors import SettingsError
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.statistics.settings import BoundSettings


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How much more is drawn at random.

    Args:
        name: of the review; empty takes the newest.
        units: near-duplicate groups to draw, unless a look is taken.
        seed: of this draw, thrown with dice for instance; empty takes a random one.
        looks: with the first draw, groups drawn in all by each look that is planned, about.
        next_look: draw for the next of the looks that were planned.

    Raises:
        SettingsError: nothing is to be drawn, or looks that do not grow.
    """

    name: str = ""
    units: int = 100
    seed: str = field(default="", metadata=OUTSIDE)
    looks: tuple[int, ...] = ()
    next_look: bool = False

    def __post_init__(self) -> None:
        if self.units < 1:
            raise SettingsError(f"--sample {self.units}: expected 1 or more")
        if any(late <= early for early, late in pairwise((0, *self.looks))):
            numbers = ",".join(map(str, self.looks))
            raise SettingsError(f"--looks {numbers}: expected numbers above 0 that grow")


@dataclass(frozen=True, slots=True)
class Target:
    """When a review may stop; None asks for nothing.

    Raises:
        SettingsError: out of range.
    """

    left: int | None = None  # at most so many contraband units left
    recall: float | None = None  # at least this share of them found

    def __post_init__(self) -> None:
        share = 1 if self.recall is None else self.recall
        if (self.left or 0) < 0 or not 0 < share <= 1:
            raise SettingsError(
                f"targets: need --target-left of 0 or more and --target-recall above 0 and up to "
                f"1, got {self.left} and {self.recall}"
            )


@dataclass(frozen=True, slots=True)
class EstimateSettings:
    """Which review, what the bound is to say, and what it is to reach."""

    name: str = ""  # of the review; empty takes the newest
    bound: BoundSettings = field(default_factory=BoundSettings)
    target: Target = field(default_factory=Target)


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How many labelled images are drawn in all.

    Args:
        number: a higher one later draws the next ones.
        blind: share of them, 0 to 1, that is shown without its boxes; of the first draw.

    Raises:
        SettingsError: out of range.
    """

    number: int = 100
    blind: float = 0.2
    url: str = field(default="", metadata=OUTSIDE)  # empty takes the workspace's own server
    token_file: Path | None = field(default=None, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        if self.number < 1 or not 0 <= self.blind <= 1:
            raise SettingsError(
                f"--labels {self.number}, --blind {self.blind}: expected 1 or more, and 0 to 1"
            )
