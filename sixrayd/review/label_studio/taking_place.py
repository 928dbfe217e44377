"""The end of a restore: what was proved takes the place of what is there.

One rename decides it. What follows is done again from there by whoever next has the server's mark,
a restore or a start, until all is in its place.
"""

import json
import os
import re
import shlex
import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

from sixrayd.core.errors import ServiceError, WorkspaceError
from sixrayd.core.files import (
    plain_text,
    replacing,
    sha256_file,
    sweep,
    sync_folder,
    take_place,
    write_json,
)
from sixrayd.core.restored import LATEST, REPLACED, RESTORED, half_restored, moment_now
from sixrayd.review.label_studio.database import checked_counts
from sixrayd.review.label_studio.draws import ADDED, PLAN, goes_on, plan_in, told_apart
from sixrayd.review.label_studio.postgres import (
    NOTE,
    SCHEMA,
    Postgres,
    copy_rows,
    noted,
    on_rows,
)
from sixrayd.review.label_studio.reviews import leave_out_namesakes, take_in_later
from sixrayd.review.label_studio.unpacking import MANIFEST

FRESH = ".restoring"  # what is not proved yet
ROWS = "rows.sqlite3"  # beside the parts: what a database that is no file is to hold
_DECISIONS = re.compile(r"review/[^/]+/(planted/)?decisions/[0-9]{5,}\.parquet")
_PARTS = ("secret.json", "data")  # the database last: while it is here, all may be done again


class Finished(NamedTuple):
    """How a restore ended.

    Args:
        aside: where the data that was there before is now; empty when there was none.
        kept: review files that were there already and differ.
        apart: what people are to know of reviews of one name, and of spot checks drawn twice.
    """

    aside: str = ""
    kept: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()


def decide(server: Path) -> None:
    """Have what was proved take its place, come what may."""
    os.sync()
    (server / FRESH).rename(server / f"{RESTORED}{moment_now()}")
    sync_folder(server)


def finish_restore(server: Path, database: Postgres | None = None) -> Finished:
    """End the restore that was decided, if one was; call with the server's mark.

    Args:
        database: that the data go to; nothing else is connected to, whatever the files say.

    Raises:
        ServiceError: they go to another database.
    """
    aside, kept, apart = "", list[str](), list[str]()
    sweep(server / FRESH)
    for ready in half_restored(server):
        into = noted(ready / "server")
        if into and (database is None or into != database.url):
            raise ServiceError(
                f"{server}: a restore into {into} was not ended; "
                f"pass --database {shlex.quote(into)}"
            )
        for note in (path for top in (ready / "review", server.parent) for path in _pulled(top)):
            note.unlink()
        root = server.parent.parent
        apart += leave_out_namesakes(ready, root)
        take_in_later(ready, root)
        apart += _join_draws(ready, root)
        kept += _add_missing(ready, root)
        if (ready / "server" / "data").exists():
            aside = _exchange(server, ready)
        if into and database:
            aside = _exchange_rows(server, ready, database) or aside
        os.sync()  # what was moved aside is there before a note makes it be gone from here
        if into and database:
            write_json(server / NOTE, {"url": into})
        else:
            (server / NOTE).unlink(missing_ok=True)
        write_json(server / LATEST, ready.name.removeprefix(RESTORED))
        os.sync()
        shutil.rmtree(ready)
        sync_folder(server)
    return Finished(aside, tuple(kept), tuple(apart))


def _exchange(server: Path, ready: Path) -> str:
    """Move the server's data aside, and the new data into its place."""
    aside = _aside(server, ready)
    listed = json.loads(plain_text(ready / MANIFEST))["files"]
    for name in _PARTS:
        fresh, old = ready / "server" / name, server / name
        moved = not fresh.exists() and f"server/{name}" in listed
        if old.exists() and not moved:
            aside.mkdir(mode=0o700, exist_ok=True)
            old.rename(aside / name)
        if fresh.exists():
            fresh.rename(old)
    return str(aside) if aside.exists() else ""


def _exchange_rows(server: Path, ready: Path, database: Postgres) -> str:
    """Copy a database's rows aside, and put the new ones into their place, in one transaction."""
    aside, rows = _aside(server, ready), ready / "server" / ROWS
    try:
        checked_counts(rows)  # it may be somebody else's by now
    except sqlite3.Error as error:
        raise WorkspaceError(f"{rows}: damaged ({error}); delete {ready}, then restore") from error
    if on_rows(database, "look", SCHEMA, "")["people"] and not (aside / ROWS).exists():
        aside.mkdir(mode=0o700, exist_ok=True)
        with replacing(aside / ROWS, 0o600) as beside:
            copy_rows(database, beside)
    on_rows(database, "copy_in", SCHEMA, str(rows))
    return str(aside) if aside.exists() else ""


def _aside(server: Path, ready: Path) -> Path:
    return server / f"{REPLACED}{ready.name.removeprefix(RESTORED)}"


def _pulled(reviews: Path) -> list[Path]:
    """What the last pull of each review knew of the server: of other data, so all is asked anew."""
    return [path for path in reviews.glob("[!.]*/pulled.json") if path.is_file()]


def _join_draws(ready: Path, root: Path) -> list[str]:
    """Take in draws that go on from those that are here. Of others no file is put beside ours: the
    files of one sample belong together. What people are to know of these.
    """
    told = []
    for plan in sorted(ready.glob(f"estimate/*/{PLAN}")):
        name = plan.parent.name
        folder = root / "estimate" / name
        ours, theirs = plan_in(folder), plan_in(plan.parent)
        if ours is None or theirs is None or ours.commitments == theirs.commitments:
            continue
        if goes_on(theirs, ours):
            for file in (f for f in ADDED if (plan.parent / f).exists()):
                take_place(plan.parent / file, folder / file)
            continue
        told.append(told_apart(name, ours, theirs, folder))
        for path in [p for p in plan.parent.rglob("*") if p.is_file()]:
            if not (root / path.relative_to(ready)).exists():
                path.unlink()
    return told


def _add_missing(ready: Path, root: Path) -> list[str]:
    """Put review files where there are none; names of those that are there and differ."""
    kept = []
    files = (p for stage in ("review", "estimate") for p in (ready / stage).rglob("*"))
    for path in sorted(p for p in files if p.is_file()):
        name = path.relative_to(ready)
        target = root / name
        if _DECISIONS.fullmatch(name.as_posix()) and _has_room(target):
            target = _place_of(path, target)
        if not _has_room(target):
            kept.append(name.as_posix())
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        elif sha256_file(target) != sha256_file(path):
            kept.append(name.as_posix())
    return kept


def _place_of(path: Path, target: Path) -> Path:
    """Where a table of decisions goes, or is already. Two machines between which a backup went give
    one number to two tables: both count, else what one of them withdrew would stand again.
    """
    there = [p for p in target.parent.glob("*.parquet") if p.stat().st_size == path.stat().st_size]
    same = (p for p in there if sha256_file(p) == sha256_file(path))
    if found := next(same, None):
        return found
    if not target.exists():
        return target
    known = (p.stem for f in (path.parent, target.parent) for p in f.glob("*.parquet"))
    last = max(int(stem) for stem in known if stem.isdecimal())
    return target.with_name(f"{last + 1:05d}.parquet")


def _has_room(target: Path) -> bool:
    """Whether there is no folder in a file's place, and no file in that of its folders."""
    there = next(above for above in target.parents if above.exists())
    return there.is_dir() and not target.is_dir()
