"""The files of a folder beside the lines of its manifest, both by path, one at a time."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.errors import WorkspaceError, printable
from sixrayd.core.files import open_plain, shown
from sixrayd.core.staging import MANIFEST, MOST_LISTED, listed_file, manifest_lines
from sixrayd.validate.faults import AGAIN, FaultList

_MOST_BAD = 1000  # lines after which a manifest is none
_UNLISTED = ("run.json", MANIFEST)  # which no manifest can list
NONE, PLAIN, LINK_OUT, ODD = "none", "a plain file", "a link that leads out", "no plain file"


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file that the manifest lists, that lies there, or both.

    Args:
        sha256: as the manifest has it; empty for one that it does not list.
        kind: what lies there.
    """

    path: str
    sha256: str
    kind: str


def count_lines(place: Path) -> int:
    """Lines of the manifest, for progress.

    Raises:
        WorkspaceError: there is no manifest that can be read.
    """
    path = place / MANIFEST
    try:
        with open_plain(path) as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be read ({error.strerror or error}); name a folder that `sixrayd "
            f"export` wrote{_such_as(place)}"
        ) from error


def _such_as(place: Path) -> str:
    """The first export of a workspace, or around a folder of one, if that is what was named."""
    below = sorted(path for form in ("export/*", "*") for path in place.glob(f"{form}/{MANIFEST}"))
    above = (folder / MANIFEST for folder in list(place.parents)[:3])
    found = next((path for path in (*below, *above) if path.is_file()), None)
    return f", such as {printable(str(found.parent))}" if found else ""


def tree_files(place: Path, faults: FaultList) -> Iterator[TreeFile]:
    """Every file once, by path; memory holds the names of one folder at a time.

    Raises:
        WorkspaceError: the manifest is none, or longer than any.
    """
    listed, there = _listed(place, faults), _walked(place, faults)
    line, entry = next(listed, None), next(there, None)
    while line or entry:
        if entry is None or (line and line[0] < entry[0]):
            assert line is not None
            yield TreeFile(*line, NONE)
            line = next(listed, None)
        elif line is None or entry[0] < line[0]:
            if entry[0] not in _UNLISTED:
                yield TreeFile(entry[0], "", entry[1])
            entry = next(there, None)
        else:
            yield TreeFile(*line, entry[1])
            line, entry = next(listed, None), next(there, None)


def _listed(place: Path, faults: FaultList) -> Iterator[tuple[str, str]]:
    """Paths and hashes of the manifest; a line that is none, or out of order, is a fault."""
    before, good, path = "", 0, place / MANIFEST
    with open_plain(path) as file:
        for number, line in enumerate(manifest_lines(file), 1):
            if number > MOST_LISTED or number - good > _MOST_BAD:
                raise WorkspaceError(
                    f"{path}: line {number:,}: expected at most {MOST_LISTED:,} lines, and at most "
                    f"{_MOST_BAD:,} that are none or out of order; {AGAIN}"
                )
            found = listed_file(line)
            if found is None:
                words = "a line that is none, or leads out of the folder"
                faults.add(MANIFEST, f"line {number}", words, "a SHA-256 and a path below it")
                if not line.endswith(b"\n"):
                    return  # of no end, perhaps
            elif found[0] <= before:
                faults.add(MANIFEST, f"line {number}", found[0], f"a path after {before}")
            else:
                yield found
                before, good = found[0], good + 1


def _walked(place: Path, faults: FaultList) -> Iterator[tuple[str, str]]:
    """Paths of all that is no folder, and its kind, as their texts are sorted."""
    root = place.resolve()
    waiting = [iter([(place, "")])]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        path, where = entry
        try:
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) or not where:
                waiting.append(iter(_children(path, where)))
                continue
        except OSError as error:
            why = f"what cannot be read ({error.strerror or error})"
            faults.add(shown(where) or str(place), "", why, "a folder of the export")
            continue
        yield where, _kind(path, mode, root)


def _children(folder: Path, where: str) -> list[tuple[Path, str]]:
    with os.scandir(folder) as entries:
        named = [
            (entry.name + "/" * entry.is_dir(follow_symlinks=False), entry.name)
            for entry in entries
        ]
    above = f"{where}/" if where else ""
    return [(folder / name, above + name) for _, name in sorted(named)]


def _kind(path: Path, mode: int, root: Path) -> str:
    if stat.S_ISREG(mode):
        return PLAIN
    if not stat.S_ISLNK(mode):
        return ODD
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(root):
            return LINK_OUT
        return PLAIN if stat.S_ISREG(target.stat().st_mode) else ODD
    except (OSError, RuntimeError):
        return ODD
