"""Image files of an export: copies, or links to the same bytes elsewhere."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import open_plain, plain_bytes
from sixrayd.core.records import ImageRecord
from sixrayd.core.shards import MAX_IMAGE_BYTES
from sixrayd.core.staging import Staging
from sixrayd.datasets.places import IMAGES, walk
from sixrayd.export.content import ExportedImage

_CLONE = 0x40049409  # FICLONE of Linux


class ImagesBy(StrEnum):
    """How images come into an export."""

    COPY = "copy"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"
    REFLINK = "reflink"  # a copy that shares blocks until one is changed
    NONE = "none"


class ImageFiles:
    """Writes the image files of an export, each from the one before or from a folder of the user.

    Args:
        elsewhere: a folder with images of the release, by their stems; what is not there as the
            release has it is copied.
    """

    def __init__(self, staging: Staging, how: ImagesBy, elsewhere: Path | None = None) -> None:
        self._staging, self._how = staging, how
        self._known = _files_below(elsewhere) if elsewhere else {}
        self.copied = self.linked = 0

    def put(self, image: ExportedImage, paths: Sequence[str]) -> list[str]:
        """Write an image to each of these paths, and say where it is.

        Raises:
            WorkspaceError: the file system makes no such links.
        """
        if self._how == ImagesBy.NONE:
            return []
        source = self._found(image.record)
        for path in paths:
            if source is None or self._how == ImagesBy.COPY:
                self._staging.write(path, image.data)
                source = self._staging.root / path
                self.copied += 1
                continue
            self._link(source, path)
            self._staging.sha256[path] = image.record.sha256
            self.linked += 1
        return list(paths)

    def _link(self, source: Path, path: str) -> None:
        target = self._staging.place(path)
        try:
            _LINKS[self._how](self._seen_from(source, target), target)
        except OSError as error:
            raise WorkspaceError(
                f"{target}: no {self._how} to {source} can be made ({error.strerror}); "
                "pass --images copy"
            ) from error

    def _seen_from(self, source: Path, target: Path) -> Path:
        """A symbolic link within the export goes with it wherever it is moved."""
        if self._how == ImagesBy.SYMLINK and source.is_relative_to(self._staging.root):
            return Path(os.path.relpath(source, target.parent))
        return source

    def _found(self, record: ImageRecord) -> Path | None:
        for path in self._known.get(record.image_id.lower(), ()):
            if path.stat().st_size == record.size:
                data = plain_bytes(path, MAX_IMAGE_BYTES)
                if hashlib.sha256(data).hexdigest() == record.sha256:
                    return path
        return None


def _clone(source: Path, target: Path) -> None:
    with open_plain(source) as whole, target.open("wb") as part:
        fcntl.ioctl(part.fileno(), _CLONE, whole.fileno())


def _symlink(source: Path, target: Path) -> None:
    target.symlink_to(source)


def _hardlink(source: Path, target: Path) -> None:
    target.hardlink_to(source)


_LINKS: dict[ImagesBy, Callable[[Path, Path], None]] = {
    ImagesBy.HARDLINK: _hardlink,
    ImagesBy.SYMLINK: _symlink,
    ImagesBy.REFLINK: _clone,
}


def _files_below(folder: Path) -> dict[str, list[Path]]:
    """Plain image files below a folder by their stems in small letters, in order."""
    found: dict[str, list[Path]] = {}
    for root, folders, names in walk(folder.resolve()):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.suffix.lower() in IMAGES and path.is_file() and not path.is_symlink():
                found.setdefault(path.stem.lower(), []).append(path)
    return found
