"""SHA-256 of a workspace's files, of which none is read twice while it stays as it is."""

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import UnfitFileError, WorkspaceError
from sixrayd.core.files import MOST_HOLES, plain_text, sha256_file, write_json, written_bytes
from sixrayd.core.growth import Allowance


class KnownHashes:
    """Hashes of files by size and times, kept in `.hashes.json`.

    One is the time of the last change of any kind, which the system alone sets: a workspace from
    elsewhere cannot say of its files what they hash to.

    Args:
        root: of the workspace, whose files are named by their places in it, others by whole paths.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[tuple[int, ...], str] = {}
        self._holes = Allowance(floor=MOST_HOLES)
        self._last: tuple[tuple[int, ...], dict[str, Any]] = ((), {})  # file, and what it says

    def key(self, path: Path) -> str:
        """What a file is named by."""
        inside = path.is_relative_to(self._root)
        return path.relative_to(self._root).as_posix() if inside else str(path.resolve())

    def of(self, paths: Iterable[Path], *, keep: bool = True) -> dict[str, str]:
        """The hash of each file, by its key.

        Args:
            keep: write down what had to be read, where that is allowed.
        """
        known = self._kept()
        before = dict(known)
        found = {self.key(path): self._hash(path, known) for path in paths}
        if keep and known != before:
            with suppress(WorkspaceError):  # who may only read does without
                self._keep(known)
        return found

    def remember(self, digests: Mapping[Path, str]) -> None:
        """Take the SHA-256 of files as known."""
        known = self._kept()
        for path, digest in digests.items():
            known[self.key(path)] = [*_state(path.stat()), digest]
        self._keep(known)

    def _keep(self, known: dict[str, Any]) -> None:
        write_json(self._root / ".hashes.json", known)

    def _kept(self) -> dict[str, Any]:
        path = self._root / ".hashes.json"
        try:
            stat = path.stat()
            file = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._last[0] != file:
                known = dict(parse_json(plain_text(path)))
                sound = {k: v for k, v in known.items() if isinstance(v, list) and len(v) == 4}
                self._last = file, sound
            return dict(self._last[1])
        except (OSError, TypeError, ValueError):
            return {}

    def _hash(self, path: Path, known: dict[str, Any]) -> str:
        stat = path.stat()
        key, seen = self.key(path), _state(stat)
        if known.get(key, [])[:-1] != seen:
            known[key] = [*seen, self._sha256(path, stat)]
        return str(known[key][-1])

    def _sha256(self, path: Path, stat: os.stat_result) -> str:
        """The hash of a file, which a stranger's `run.json` may name by any number of paths.

        Raises:
            UnfitFileError: it and those before it are nearly all holes.
        """
        file = (stat.st_dev, stat.st_ino, *_state(stat))
        if file not in self._read:
            self._holes.packed += written_bytes(path, stat)
            try:
                self._holes.take(stat.st_size)
            except ValueError as error:
                text = f"with those read before {self._holes.taken + stat.st_size} bytes, nearly "
                text += "all of them holes; expected files that are written"
                raise UnfitFileError(errno.EINVAL, text, str(path)) from error
            self._read[file] = sha256_file(path)
        return self._read[file]


def _state(stat: os.stat_result) -> list[int]:
    """What differs where a file may hold something else."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
