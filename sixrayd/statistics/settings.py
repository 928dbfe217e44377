"""What a bound is asked for."""

import math
from dataclasses import dataclass

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Rule


@dataclass(frozen=True, slots=True)
class BoundSettings:
    """What a bound is to say.

    Raises:
        SettingsError: out of range.
    """

    confidence: float = 0.95
    sensitivity: float = 1.0  # of reviewers, as stated
    once: bool = False  # a single look at a number of checks announced in advance
    consensus: Rule = Rule.ADJUDICATOR
    gamma: float = 1.0  # how many times better the odds to see known contraband are than hidden
    confirmed: bool = False  # subtract only finds that two readers saw
    one_set: bool = True  # False: as certificates before format 3

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1 or self.alpha == 0 or not 0 <= self.sensitivity <= 1:
            raise SettingsError(
                f"confidence {self.confidence:g} and sensitivity {self.sensitivity:g}: need to be "
                "above 0 and below 1, and 0 to 1"
            )
        if not 1 <= self.gamma < math.inf:
            raise SettingsError(f"--gamma {self.gamma:g}: expected a number of 1 or more")

    @property
    def alpha(self) -> float:
        """The chance of being wrong."""
        return round(1 - self.confidence, 12)  # 0.05 for 0.95
