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
_LATEST = 2**63  # ns, which no file time exceeds


class Dates:
    """When files of stages were written: as noted, else by their own time.

    A clock that was ahead and is put right turns file times round, and a copy may have none.

    Args:
        root: of the workspace.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, path: Path) -> int:
        """When a file was written, in ns since 1970.

        Raises:
            OSError: it is not there.
        """
        return self._of(path, self._noted(path))

    def note(self, path: Path, name: str = "") -> None:
        """Make a file just written the newest of those that tell what came first.

        Call under the stage's lock.

        Args:
            name: that it is about to get, in the same folder.
        """
        noted: dict[str, dict[str, list[int]]] = {}
        latest = 0
        for mark in (mark for pattern in _MARKS for mark in self.root.glob(pattern)):
            if mark == path:
                continue
            folder = self._folder(mark)
            if folder.name not in noted:
                noted[folder.name] = self._noted(mark)
            with suppress(OSError):  # a link to nothing
                latest = max(latest, self._of(mark, noted[folder.name]))
        folder, stat = self._folder(path), path.stat()
        kept = {k: v for k, v in self._noted(path).items() if (folder / k).exists()}
        key = path.with_name(name or path.name).relative_to(folder).as_posix()
        kept[key] = [max(stat.st_mtime_ns, latest + 1), stat.st_size]
        write_json(folder / _FILE, kept)

    def _of(self, path: Path, noted: dict[str, list[int]]) -> int:
        stat = path.stat()
        when, size = noted.get(path.relative_to(self._folder(path)).as_posix(), (0, -1))
        return when if size == stat.st_size else stat.st_mtime_ns

    def _folder(self, path: Path) -> Path:
        return self.root / path.relative_to(self.root).parts[0]

    def _noted(self, path: Path) -> dict[str, list[int]]:
        """What is noted beside a file; nothing where it cannot be read, which a stranger's may."""
        try:
            noted = dict(parse_json(plain_text(self._folder(path) / _FILE)))
        except (OSError, TypeError, ValueError):
            return {}
        return {key: said for key, said in noted.items() if _is_noted(said)}


def _is_noted(said: Any) -> bool:
    return (
        isinstance(said, list)
        and len(said) == 2
        and all(type(number) is int and 0 <= number < _LATEST for number in said)
    )
