"""What `--release` and `--from` mean: a folder, an archive, a URL, or a release by its name."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sixrayd.core.errors import ReleaseError
from sixrayd.datasets.places import ARCHIVE
from sixrayd.download.members import IMAGES, TEXTS, suffix_of
from sixrayd.download.release import start_of
from sixrayd.download.sources import (
    FOLDER_VARIABLE,
    Expected,
    ListedArchive,
    ReleaseEntry,
    known_releases,
    read_manifest,
    shown_url,
)


@dataclass(frozen=True, slots=True)
class ReleasePlace:
    """Where a release is: a folder or archive here, or mirrors with the files to expect there."""

    path: Path | None = None
    mirrors: tuple[str, ...] = ()
    archives: tuple[ListedArchive, ...] = ()
    entry: ReleaseEntry | None = None

    @property
    def name(self) -> str:
        """What may be written down: no user, password or query."""
        return str(self.path.resolve()) if self.path else shown_url(self.mirrors[0])

    @property
    def expected(self) -> Expected:
        """What is announced of it."""
        return self.entry.expected if self.entry else Expected()

    @property
    def notices(self) -> tuple[str, ...]:
        """What is to be said of it first: title, terms, and whether it is unverified."""
        if self.entry is None:
            return ()
        entry = self.entry
        caution = () if entry.verified else (f"{entry.name}: unverified: {entry.seen}",)
        return (f"{entry.name}: {entry.title}; terms: {entry.terms}", *caution)


def find_place(release: str, source: str = "") -> ReleasePlace:
    """Where a release is.

    Args:
        release: a folder, an archive, a URL of a folder, a manifest, or a name of one.
        source: where what goes by a name is to be taken from, instead of its mirrors.

    Raises:
        ReleaseError: it is none of them.
    """
    if not source:
        if "://" in release and not release.startswith("file://"):
            sixray = known_releases()["sixray"]
            listed = tuple(archive for archive in sixray.archives if not archive.mirrors)
            return _at_url(release, listed)
        path = _local(release)
        if path.is_dir() or (path.exists() and path.suffix != ".toml"):
            return ReleasePlace(path=_readable(path))
    entry = _entry(release)
    if source:
        return _taken_from(source, entry)
    if not entry.mirrors:
        notes = f" ({entry.notes})" if entry.notes else ""
        raise ReleaseError(
            f"release {entry.name}: no address of it is known{notes}; name a folder, an archive or "
            "an address with --from"
        )
    return ReleasePlace(mirrors=entry.mirrors, archives=entry.archives, entry=entry)


def _entry(release: str) -> ReleaseEntry:
    if release.endswith(".toml") and _local(release).is_file():
        entries = read_manifest(_local(release))
        if len(entries) > 1:
            raise ReleaseError(
                f"{release}: describes {', '.join(entries)}, expected one release; name its "
                f"folder in {FOLDER_VARIABLE}, then each goes by its name"
            )
        return next(iter(entries.values()))
    known = known_releases()
    if release not in known:
        names = "; ".join(f"{name} ({entry.title})" for name, entry in known.items())
        raise ReleaseError(
            f"release {release!r}: no such folder or archive, no URL, and none of the known "
            f"names: {names}"
        )
    return known[release]


def _taken_from(source: str, entry: ReleaseEntry) -> ReleasePlace:
    if "://" in source and not source.startswith("file://"):
        return _at_url(source, tuple(ListedArchive(a.files) for a in entry.archives), entry)
    path = _local(source)
    if not path.exists():
        raise ReleaseError(f"from {source!r}: no such folder or archive, and no URL")
    return ReleasePlace(path=_readable(path), archives=entry.archives, entry=entry)


def _readable(path: Path) -> Path:
    """The path, if it is a folder, an archive that is read, or an image.

    Raises:
        ReleaseError: it is something else.
    """
    suffix = suffix_of(path.name)
    if path.is_dir() or (path.is_file() and (suffix in IMAGES or start_of(path.name) is not None)):
        return path
    if path.is_file() and suffix in TEXTS:
        folder = shlex.quote(str(path.parent))
        found = f"labels or a list alone; name the folder that holds them and the images: {folder}"
    elif path.is_file() and ARCHIVE.fullmatch(path.name):
        found = "an archive that is not read; unpack it and name its folder"
    else:
        found = "neither a folder nor an archive; expected a folder, a zip, a tar or a rar"
    raise ReleaseError(f"{path}: {found}")


def _at_url(
    url: str, archives: tuple[ListedArchive, ...], entry: ReleaseEntry | None = None
) -> ReleasePlace:
    shown_url(url)
    return ReleasePlace(mirrors=(url,), archives=archives, entry=entry)


def _local(text: str) -> Path:
    """The path that a text means, absent or not.

    Raises:
        ReleaseError: no file can have it.
    """
    try:
        path = Path(url2pathname(urlsplit(text).path) if text.startswith("file://") else text)
        path.exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReleaseError(f"{text[:100]!r}: neither a path nor a URL ({reason})") from error
    return path
