"""Moments that others wrote down."""

from datetime import UTC, datetime

_YEARS = range(1970, 9999)  # in which one can count on and back, in any zone


def read_moment(text: str) -> datetime:
    """A moment in ISO 8601, with a zone or without.

    Raises:
        ValueError: it is none, or of no year in which anybody works.
    """
    moment = datetime.fromisoformat(text)
    _check(moment)
    if moment.tzinfo:
        _check(moment.astimezone(UTC))  # as it is kept
    return moment


def read_utc(text: str) -> datetime:
    """A moment in ISO 8601, UTC where it names no zone.

    Raises:
        ValueError: see `read_moment`.
    """
    moment = read_moment(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _check(moment: datetime) -> None:
    if moment.year not in _YEARS:
        raise ValueError(f"year {moment.year}, expected 1970 to 9998")
