"""Moments that others wrote down, and those of files."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

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


def date_after(path: Path, others: Iterable[Path]) -> None:
    """Give a file a later time than all others have, if its own is not; else leave it."""
    latest = 0
    for other in others:
        with suppress(OSError):  # a link to nothing
            latest = max(latest, 0 if other == path else other.stat().st_mtime_ns)
    if path.stat().st_mtime_ns <= latest:
        # Never the same twice: what is known of a file is known by its size and time.
        moment = latest + 1 + time.monotonic_ns() % 10**9
        with suppress(OSError, OverflowError):  # storage that keeps no such time
            os.utime(path, ns=(moment, moment))
