"""Images on their way into shards; what an ingest that was killed has finished is kept."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.shards import ShardWriter, read_image
from sixrayd.core.tables import read_table, write_table

PARTS = "parts"
# parts/SHARD.images: what was put into a shard, a row an image, in its order.
LISTED_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("where", pa.string(), nullable=False),  # names the image in messages
        pa.field("shard", pa.string(), nullable=False),  # SHA-256 of the shard
    ]
)


class Sharding:
    """The shards of one source.

    A shard that is there already is kept as long as the same images come in the same order, and
    written anew from the first other one.

    Args:
        prefix: of the shards' names.
        parts: where what is known of finished shards goes, until the ingest is finished.
        done: told of each shard that is complete, and of the number of its images.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        parts: Path,
        images_per_shard: int,
        done: Callable[[str, int], None],
    ) -> None:
        self._folder, self._parts, self._done = folder, parts, done
        self._writer = ShardWriter(folder, prefix, images_per_shard + 1)  # never ended by itself
        self._per_shard = images_per_shard
        self._rows: list[dict[str, Any]] = []  # of the shard under way
        self._there = self._found()

    def __enter__(self) -> Self:
        return self

    @property
    def sha256(self) -> dict[str, str]:
        """Finished shard → hash of its bytes."""
        return self._writer.sha256

    def add(self, image_id: str, data: bytes, sha256: str, where: str) -> None:
        """Append one image."""
        row = {"image_id": image_id, "sha256": sha256, "where": where}
        at = len(self._rows)
        if at < len(self._there) and _same(self._there[at], row):
            self._rows.append({**self._there[at], "where": where})
        else:
            self._part_from_there()
            self._write(row, data)
        if len(self._rows) == self._per_shard:
            self._finish()

    def close(self) -> None:
        """Complete the shard under way, if any."""
        if self._rows:
            self._finish()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._writer.__exit__(kind, error, trace)

    def _write(self, row: dict[str, Any], data: bytes) -> None:
        _, offset, size = self._writer.add(row["image_id"], data)
        self._rows.append({**row, "offset": offset, "size": size})

    def _part_from_there(self) -> None:
        """The shard differs from the one that is there, if any: begin it with what agreed."""
        if not self._there:
            return
        agreed, self._rows, self._there = self._rows, [], []
        path = self._folder / self._writer.name
        for row in agreed:
            self._write(row, read_image(path, row["offset"], row["size"]))

    def _finish(self) -> None:
        if len(self._rows) < len(self._there):
            self._part_from_there()
        name = self._writer.name
        if self._there:
            sha256 = self._there[0]["shard"]
            self._writer.keep(sha256)
        else:
            measured_path(self._parts, name).unlink(missing_ok=True)
            listed_path(self._parts, name).unlink(missing_ok=True)
            self._writer.close()
            sha256 = self.sha256[name]
        rows = [{**row, "shard": sha256} for row in self._rows]
        if rows != self._there:
            write_table(listed_path(self._parts, name), rows, LISTED_SCHEMA)
        self._rows, self._there = [], self._found()
        self._done(name, len(rows))

    def _found(self) -> list[dict[str, Any]]:
        """The images of the next shard where it is there, whole."""
        path = self._folder / self._writer.name
        try:
            rows = read_table(listed_path(self._parts, path.name), LISTED_SCHEMA).to_pylist()
            return rows if rows and sha256_file(path) == rows[0]["shard"] else []
        except (WorkspaceError, OSError):
            return []


def listed_path(parts: Path, shard: str) -> Path:
    """Where the list of a finished shard's images goes; see `LISTED_SCHEMA`."""
    return parts / f"{Path(shard).stem}.images"


def measured_path(parts: Path, shard: str) -> Path:
    """Where what was measured of a finished shard's images goes."""
    return parts / f"{Path(shard).stem}.measured"


def _same(there: dict[str, Any], row: dict[str, Any]) -> bool:
    return all(there[key] == row[key] for key in ("image_id", "sha256"))
