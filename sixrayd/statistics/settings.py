"""What a bound is asked for."""

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

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1 or not 0 <= self.sensitivity <= 1:
            raise SettingsError(
                f"confidence {self.confidence:g} and sensitivity {self.sensitivity:g}: need to be "
                "above 0 and below 1, and 0 to 1"
            )

    @property
    def alpha(self) -> float:
        """The chance of being wrong."""
        return round(1 - self.confidence, 12)  # 0.05 for 0.95
