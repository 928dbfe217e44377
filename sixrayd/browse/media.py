"""Images by the paths under which FiftyOne knows them, straight from their shards.

No file is at such a path: it is the shard's, and in it the image's name.
"""

from pathlib import Path
from typing import Self

from sixrayd.core.errors import SixraydError
from sixrayd.core.index import Index
from sixrayd.core.records import ImageRecord
from sixrayd.core.shards import extension, read_image
from sixrayd.core.workspace import Workspace
from sixrayd.imaging.decode import browsable

_TYPES = {".png": "image/png", ".bmp": "image/bmp", ".webp": "image/webp"}
_MAGIC = 16  # bytes that say what an image is


class ShardImages:
    """The images of a release, each by its path."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._folder = index.folder.resolve()

    @classmethod
    def of(cls, root: Path) -> Self:
        """Those of a workspace.

        Raises:
            WorkspaceError: the release has not been ingested.
        """
        return cls(Index.load(Workspace(root)))

    def path(self, record: ImageRecord) -> str:
        """`…/shards/SHARD/IMAGE_ID.SUFFIX`.

        Raises:
            ShardError: the shard is gone.
        """
        start = read_image(
            self._index.folder / record.shard, record.offset, min(record.size, _MAGIC)
        )
        suffix = extension(start).replace(".tif", ".png")  # as browsers are shown it
        return str(self._folder / record.shard / (record.image_id + suffix))

    def read(self, path: str) -> tuple[bytes, str] | None:
        """An image as browsers show it, and its media type; None where the path is of none."""
        asked = Path(path)
        if "\0" in path or asked.stem not in self._index:
            return None
        record = self._index.record(asked.stem)
        if asked.parent != self._folder / record.shard:
            return None
        try:
            data = browsable(self._index.read_record(record), record.image_id)
        except SixraydError:
            return None
        return data, _TYPES.get(extension(data), "image/jpeg")
