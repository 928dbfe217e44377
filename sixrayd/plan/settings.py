"""What a campaign has to spend."""

import math
from dataclasses import dataclass

from sixrayd.core.errors import SettingsError

HOURS = 6.0  # at work on a day
_MOST = 100_000.0  # of each


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """People and time that are ahead.

    Args:
        reviewers: at work on each day.
        days: that are left, not those of the whole campaign.
        hours: at work, of a reviewer on a day.
        name: of the mining whose queue is reviewed; empty takes the newest.

    Raises:
        SettingsError: out of range.
    """

    reviewers: int
    days: float
    hours: float = HOURS
    name: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.reviewers <= _MOST:
            raise SettingsError(f"--reviewers {self.reviewers}: expected 1 or more")
        if not (math.isfinite(self.days) and 0 < self.days <= _MOST):
            raise SettingsError(f"--days {self.days:g}: expected more than 0 that are left")
        if not 0 < self.hours <= 24:
            raise SettingsError(f"--hours {self.hours:g}: expected more than 0, and 24 at most")

    @property
    def seconds(self) -> float:
        """Of work, of all together."""
        return self.reviewers * self.days * self.hours * 3600
