"""What `sixrayd browse` is asked for."""

from dataclasses import dataclass

from sixrayd.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class BrowseSettings:
    """What to show, and where.

    Raises:
        SettingsError: a number is out of range.
    """

    # Name; empty takes the newest if nothing came after it, else the workspace as it stands.
    export: str = ""
    port: int = 5151  # 0 takes a free one
    max_negatives: int = 2000  # most images that are not positive
    wait: bool = True  # stay until interrupted
    timeout_s: float = 0.0  # stay no longer; 0 means no limit

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port: need 0 to 65535, got {self.port}")
        if self.max_negatives < 0 or self.timeout_s < 0:
            raise SettingsError("max-negatives and timeout-s: need 0 or more")
