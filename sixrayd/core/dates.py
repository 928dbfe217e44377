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
_LATEST = 2**63  # ns, which no file time exceeds
_Noted = dict[str, tuple[int, int]]


class Dates:
    """When files of stages were written: as noted, else by their own time.

    A clock that was ahead and is put right turns file times round, and a copy may have none.

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
        return when if size == stat.st_size else stat.st_mtime_ns

    def note(self, path: Path, name: str = "") -> None:
        """Make a file just written the newest of those that tell what came first.

        Call under the stage's lock.

        Args:
            name: that it is about to get, in the same folder.
        """
        latest = 0
        for mark in (mark for pattern in _MARKS for mark in self.root.glob(pattern)):
            with suppress(OSError):  # a link to nothing
                latest = max(latest, 0 if mark == path else self.of(mark))
        folder, stat = self._folder(path), path.stat()
        noted = {k: said for k, said in self._noted(folder).items() if (folder / k).exists()}
        key = path.with_name(name or path.name).relative_to(folder).as_posix()
        noted[key] = max(stat.st_mtime_ns, latest + 1), stat.st_size
        write_json(folder / _FILE, noted)

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
