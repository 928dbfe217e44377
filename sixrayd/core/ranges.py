"""Numbers of settings, held against what they may be before anything reckons with them."""

from collections.abc import Mapping

from sixrayd.core.errors import SettingsError

MOST_SEED = (1 << 63) - 1
MOST_WORKERS = 1024  # processes or threads
MOST_BATCH = 1024  # images a step


def check_ranges(settings: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers out of their ranges; what is none (NaN) is in no range, None is not looked at.

    Args:
        ranges: field → least and most, both allowed.

    Raises:
        SettingsError: names the first such field as its option is called.
    """
    for key, (least, most) in ranges.items():
        value = getattr(settings, key)
        if value is not None and not least <= value <= most:
            name = key.replace("_", "-")
            raise SettingsError(f"{name} {value}: expected {least:,} to {most:,}")
