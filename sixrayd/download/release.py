"""Which files make up a release, and whether they are what their names say."""

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import (
    TOO_MUCH,
    Reading,
    plain_bytes,
    sha256_file,
    text_lines,
    why,
    write_bytes,
)
from sixrayd.core.findings import Flaw
from sixrayd.core.runs import as_plain
from sixrayd.core.workspace import Run, Workspace
from sixrayd.datasets.places import ARCHIVE
from sixrayd.datasets.tars import TarParts, is_archive, start_of_tar
from sixrayd.datasets.tars import wrong_start as wrong_start
from sixrayd.download.faults import Faults
from sixrayd.download.members import (
    IMAGES,
    OURS,
    SUMS,
    TEXTS,
    Member,
    loose_files,
    loose_members,
    suffix_of,
)
from sixrayd.download.rar import rars_as_tars
from sixrayd.download.sources import ReleaseEntry

LISTING = "release/loose.tsv"  # of loose files, in the workspace
MOST_SUMS = 64 << 20  # bytes of SHA256SUMS
_LONGEST = 250  # letters of a file's name
_PART = re.compile(r"\..*\.(part|validator)")  # of a file that is under way
_ZIP, _RAR = b"PK", b"Rar!\x1a\x07"


@dataclass(frozen=True, slots=True)
class Release:
    """The files of a release in one folder.

    Args:
        tars: name without part number → its parts in order, as far as they follow each other.
    """

    root: Path
    tars: dict[str, tuple[Path, ...]]
    zips: tuple[Path, ...]

    @property
    def archives(self) -> tuple[Path, ...]:
        """Every archive file."""
        return tuple(part for parts in self.tars.values() for part in parts) + self.zips


def check_apart(root: Path, workspace: Workspace) -> None:
    """Refuse a release that holds the workspace.

    Raises:
        ReleaseError: it does.
    """
    if workspace.root.resolve().is_relative_to(root.resolve()):
        raise ReleaseError(f"{root}: holds the workspace; name a workspace elsewhere with -w")


def open_release(
    root: Path, workspace: Workspace, faults: Faults, entry: ReleaseEntry | None = None
) -> Release:
    """Find a folder's archives and check their order, first bytes and, where given, sums.

    Args:
        entry: whose sizes and hashes the archives must have, too.

    Raises:
        ReleaseError: the folder has a fault that stops.
    """
    joined = TarParts(root, faults.add)
    zips, rars = [], []
    for path in loose_files(root, None, faults):
        suffix = suffix_of(path.name)
        if joined.take(path):
            continue
        if suffix == ".zip":
            zips += [path] * is_archive(path, _ZIP, faults.add)
        elif suffix == ".rar":
            rars += [path] * is_archive(path, _RAR, faults.add)
        elif ARCHIVE.fullmatch(path.name):
            text = "an archive that is not read; unpack it here and move it away"
            faults.add(path.name, text, Flaw.NOT_READ)
        elif suffix not in IMAGES | TEXTS:
            faults.pass_over(suffix)
    tars = joined.in_order()
    tars |= rars_as_tars(rars, root, workspace, faults)
    release = Release(root, {name: parts for name, parts in tars.items() if parts}, tuple(zips))
    _check_sums(release, workspace, faults)
    if entry is not None:
        _check_manifest(release, entry, workspace, faults)
    return release


def loose_listing(root: Path) -> bytes:
    """A line a loose file: size, time, time of the last change of any kind, and name; of a file
    that was edited and given its old time, the third differs.
    """
    lines = []
    for path in loose_files(root, IMAGES | TEXTS):
        name = path.relative_to(root).as_posix()
        try:
            stat = path.stat()
            lines.append(f"{stat.st_size}\t{stat.st_mtime_ns}\t{stat.st_ctime_ns}\t{name}\n")
        except OSError:
            lines.append(f"unreadable\t\t\t{name}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def keep_listing(workspace: Workspace, listing: bytes) -> None:
    """Keep what an ingest is made of; a later one that finds the same leaves it as it is."""
    path = workspace.root / LISTING
    if listing:
        write_bytes(path, listing)
    else:
        path.unlink(missing_ok=True)


def release_inputs(release: Release, workspace: Workspace, listing: bytes) -> dict[str, str]:
    """Hashes of the archives, and of the listing of loose files."""
    archives = workspace.inputs(*release.archives)
    return archives | ({LISTING: hashlib.sha256(listing).hexdigest()} if listing else {})


class LooseDigest:
    """A hash over loose files in the order in which an ingest reads them: names and bytes."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.files = 0

    def add(self, member: Member) -> None:
        """Take one file into account."""
        self.files += 1
        digest = hashlib.sha256(member.data).hexdigest()
        self._sha256.update(f"{digest}  {member.where}\n".encode("utf-8", "surrogateescape"))

    def hex(self) -> str:
        """64 hex digits."""
        return self._sha256.hexdigest()


def is_same_elsewhere(there: Run, asked: Run, release: Release) -> bool:
    """Whether a finished ingest is of the same bytes, which only lie elsewhere now."""
    mine, theirs = (_placeless(run) for run in (asked, there))
    if mine == theirs:
        return True
    loose = LooseDigest()
    for suffixes in (TEXTS, IMAGES):
        if mine[:2] != theirs[:2] or not there.summary.get("loose"):
            return False
        for member in loose_members(release.root, Faults("skip"), suffixes):
            loose.add(member)
    return loose.hex() == str(there.summary["loose"])


def _placeless(run: Run) -> tuple[object, dict[str, str], str]:
    """Settings, archives and listing of loose files, without the place of the release."""
    settings = as_plain({**run.settings, "release": ""})
    root = f"{run.settings['release']}/"
    archives = {key.removeprefix(root): sha256 for key, sha256 in run.inputs.items()}
    return settings, archives, archives.pop(LISTING, "")


def start_of(name: str) -> bytes | None:
    """The bytes that a file of this name begins with; None for what is no archive."""
    if (magic := start_of_tar(name)) is not None:
        return magic
    return {".zip": _ZIP, ".rar": _RAR}.get(Path(name).suffix.lower())


def read_sums(path: Path) -> dict[str, str]:
    """File name → SHA-256, from the output of `sha256sum`.

    Raises:
        ReleaseError: it cannot be read, a line has another form, or a file lies in another.
    """
    try:
        data = plain_bytes(path, MOST_SUMS)
    except OSError as error:
        raise ReleaseError(f"{path.name}: {why(error, path)}") from error
    sums = {}
    for number, line in enumerate(text_lines(data), 1):
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line)
        name = match[2].removeprefix("./") if match else ""
        if match is None or not _is_inside(name):
            raise ReleaseError(
                f"{path.name}: line {number}: expected HASH  NAME, got {line[:80]!r}"
            )
        sums[name] = match[1].lower()
    for above, name in pairwise(sorted(f"{name}/" for name in sums)):  # what is in a folder follows
        if name.startswith(above):
            raise ReleaseError(
                f"{path.name}: lists {above[:-1]} and {name[:-1]}, expected a file or a folder of "
                "that name; take one out"
            )
    return sums


def _is_inside(name: str) -> bool:
    """Whether a name stays in its folder on any system, and is none of what we put there."""
    parts = name.split("/")
    plain = name.isprintable() and "\\" not in name and max(map(len, parts)) <= _LONGEST
    ours = parts[0] in OURS or any(map(_PART.fullmatch, parts))
    return plain and not {"", ".", ".."} & set(parts) and not ours


def _check_manifest(
    release: Release, entry: ReleaseEntry, workspace: Workspace, faults: Faults
) -> None:
    right = []
    for file in release.archives:
        size = entry.bytes.get(file.name)
        if size is not None and file.stat().st_size != size:
            text = f"{file.stat().st_size} bytes, the manifest says {size}; fetch it again"
            faults.add(file.name, text, Flaw.NOT_READ)
        elif file.name in entry.sha256:
            right.append(file)
    for file, found in zip(right, workspace.hashes_of(right), strict=True):
        expected = entry.sha256[file.name]
        if found != expected:
            text = f"SHA-256 is {found[:12]}…, the manifest says {expected[:12]}…; fetch it again"
            faults.add(file.name, text, Flaw.NOT_READ)


def _check_sums(release: Release, workspace: Workspace, faults: Faults) -> None:
    path = release.root / SUMS
    if not path.exists():
        return
    sums = read_sums(path)
    listed = {release.root / name for name in sums}
    archives = [file for file in release.archives if file in listed]
    # Hashed once, as inputs of the stage.
    known = dict(zip(archives, workspace.hashes_of(archives), strict=True))
    reading = Reading()
    for name, expected in sorted(sums.items()):
        file = release.root / name
        if not file.is_file():
            faults.add(name, f"missing, though {SUMS} lists it")
            continue
        if file not in known and not reading.takes(file):
            faults.add(name, f"not read: {TOO_MUCH}", Flaw.NOT_READ)
            continue
        found = known.get(file) or sha256_file(file)
        if found != expected:
            faults.add(
                name, f"SHA-256 is {found[:12]}…, {SUMS} says {expected[:12]}…; fetch it again"
            )
