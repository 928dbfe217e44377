"""What of a workspace was begun and finished when, which copies without file times keep."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from sixrayd.core.documents import parse_json
from sixrayd.core.files import plain_text, write_json

# What was begun and finished when; hidden folders are what a killed run left.
_MARKS = (
    "[!.]*/[!.]*/run.json",
    "[!.]*/[!.]*/plan.json",
    "estimate/[!.]*/draws.json",
    "review/[!.]*/project.json",
)
_FILE = ".dates.json"  # of a stage: path in its folder → [ns since 1970, bytes of the file]
_LONGEST = 4 << 20  # bytes of it, far more than years of pulls need
_LATEST = 2**63  # ns, before which all notes are
_OWN = 2**62  # ns, of the year 2116: a later time of a file counts as this, so that notes have room
_Noted = dict[str, tuple[int, int]]


class Dates:
    """When files of stages were written: as noted, else by their own time.

    A clock that was ahead and is put right turns file times round, and a copy may have none. A
    stranger's files and notes may name any time: what is noted now is later than all of them.

    Args:
        root: of the workspace.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[Path, tuple[tuple[int, ...], _Noted]] = {}  # by file: which, and what

    def of(self, path: Path) -> int:
        """When a file was written, in ns since 1970.

        Raises:
            OSError: it is not there.
        """
        stat, folder = path.stat(), self._folder(path)
        key = path.relative_to(folder).as_posix()
        when, size = self._noted(folder).get(key, (0, -1))
        return when if size == stat.st_size else min(stat.st_mtime_ns, _OWN)

    def note(self, path: Path, name: str = "") -> None:
        """Make a file just written the newest of those that tell what came first.

        Call under the stage's lock.

        Args:
            name: that it is about to get, in the same folder.
        """
        if (latest := self._latest(path)) >= _LATEST - 1:
            self._forget_latest()
            latest = self._latest(path)
        folder, stat = self._folder(path), path.stat()
        noted = {k: said for k, said in self._noted(folder).items() if (folder / k).exists()}
        key = path.with_name(name or path.name).relative_to(folder).as_posix()
        noted[key] = max(min(stat.st_mtime_ns, _OWN), latest + 1), stat.st_size
        write_json(folder / _FILE, noted)

    def _latest(self, but: Path) -> int:
        """When the newest of all marks but one was written."""
        latest = 0
        for mark in (mark for pattern in _MARKS for mark in self.root.glob(pattern)):
            with suppress(OSError):  # a link to nothing
                latest = max(latest, 0 if mark == but else self.of(mark))
        return latest

    def _forget_latest(self) -> None:
        """Drop notes beyond all file times, inside of the workspace: none of ours gets so far that
        it leaves no room for another."""
        for file in self.root.glob(f"[!.]*/{_FILE}"):
            if file.parent.resolve().is_relative_to(self.root.resolve()):
                noted = self._noted(file.parent)
                write_json(file, {key: said for key, said in noted.items() if said[0] <= _OWN})

    def _folder(self, path: Path) -> Path:
        return self.root / path.relative_to(self.root).parts[0]

    def _noted(self, folder: Path) -> _Noted:
        """What is noted of a stage; nothing where it cannot be read, which may be a stranger's."""
        file = folder / _FILE
        try:
            stat = file.stat()
        except OSError:
            return {}
        which = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
        if self._read.get(file, ((),))[0] != which:
            self._read[file] = which, _notes_in(file)
        return self._read[file][1]


def _notes_in(file: Path) -> _Noted:
    try:
        said = dict(parse_json(plain_text(file, _LONGEST)))
    except (OSError, TypeError, ValueError):
        return {}
    return {key: (one[0], one[1]) for key, one in said.items() if _is_noted(one)}


def _is_noted(said: Any) -> bool:
    return (
        isinstance(said, list)
        and len(said) == 2
        and all(type(number) is int and 0 <= number < _LATEST for number in said)
    )
