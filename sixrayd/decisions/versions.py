"""Answers and their versions: nothing is replaced, what follows names what it follows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sixrayd.core.moments import read_utc

Row = Mapping[str, Any]  # of DECISION_SCHEMA
Identity = tuple[int, int, str, str]
# What an answer does not say itself; earlier versions did not note what was rejected.
_FOLLOWS = ("version", "follows", "rejected")


def identity(row: Row) -> Identity:
    """What an answer is: a reviewer's in one annotation of one task.

    An annotation that somebody else has changed holds two answers, since nobody is overruled.
    """
    return row["task"], row["annotation"], row["reviewer"], row["image_id"]


def newest_versions(rows: Iterable[Row], *, given: bool = False) -> dict[Identity, Row]:
    """The newest version of each answer; of two with one number, which two machines gave once a
    backup went from one to the other, the later one.

    Args:
        given: look at versions alone that withdraw nothing.
    """
    kept = (row for row in rows if not (given and row["withdrawn"]))
    newest: dict[Identity, Row] = {}
    for row in sorted(kept, key=lambda row: row["version"]):
        before = newest.get(identity(row))
        if before is None or before["version"] < row["version"] or not _later(before, row):
            newest[identity(row)] = row
    return newest


def new_versions(
    rows: Sequence[Row], known: Sequence[Row], restored: str = ""
) -> list[dict[str, Any]]:
    """Rows that are new or changed, numbered after the versions that they follow.

    A decision that was withdrawn comes back only when it is changed on the server. One that was
    said before a later one, and is on the server again, is of a backup and nobody's last word. So
    is one that a backup brought and that nobody had pulled: it is kept beside the later one.

    Args:
        restored: when a backup was put back last, ISO 8601; empty where none was. Without one, what
            is dated before is of a clock that was ahead, and counts.
    """
    newest, given = newest_versions(known), newest_versions(known, given=True)
    past: dict[Identity, list[Row]] = {}
    for row in known:
        past.setdefault(identity(row), []).append(row)
    fresh = []
    for row in rows:
        before = given.get(identity(row))
        if before is None:
            fresh.append({**row, "version": 1})
        elif not _says(row, before):
            earlier = any(_says(row, each) for each in past[identity(row)])
            if not _later(before, row):
                fresh.append(_following(row, newest[identity(row)]))
            elif not earlier:
                of_backup = restored and read_utc(row["decided_at"]) <= read_utc(restored)
                beside = {key: before[key] for key in ("version", "follows")}
                last = newest[identity(row)]
                fresh.append({**row, **beside} if of_backup else _following(row, last))
    return fresh


def withdrawals(rows: Iterable[Row], note: str, moment: str) -> list[dict[str, Any]]:
    """Versions that end answers.

    Args:
        rows: the newest version of each.
        note: who withdraws and why.
        moment: ISO 8601, UTC.
    """
    ended = {"withdrawn": True, "note": note, "decided_at": moment}
    return [_following({**row, **ended}, row) for row in rows]


def _says(row: Row, before: Row) -> bool:
    return all(row[key] == before[key] for key in row if key not in _FOLLOWS)


def _later(row: Row, other: Row) -> bool:
    return read_utc(row["decided_at"]) > read_utc(other["decided_at"])


def _following(row: Row, last: Row) -> dict[str, Any]:
    return {**row, "version": last["version"] + 1, "follows": last["version"]}
