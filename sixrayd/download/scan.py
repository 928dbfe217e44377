"""What images' bytes say: size, perceptual hash, or why they cannot be read; shard by shard.

Run as a module it measures the shards that its standard input names and ends with that.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from sixrayd.core.ahead import as_pixels, map_ahead
from sixrayd.core.errors import ImageError
from sixrayd.core.shards import ShardImage, iter_shard
from sixrayd.core.tables import write_table
from sixrayd.imaging.decode import decoding_pixels, image_size_wh
from sixrayd.imaging.hashes import image_hash

_LARGE = 4_000_000  # pixels; of many processes, each would take the memory of one
_TELL = 100  # images between two words about progress
# parts/SHARD.parquet: a row an image, in the shard's order.
MEASURED_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),  # pixels; 0 when unreadable
        pa.field("height", pa.int32(), nullable=False),
        pa.field("phash", pa.string(), nullable=False),  # empty when unreadable
        pa.field("error", pa.string(), nullable=False),  # empty when readable
    ]
)


class _LargeError(Exception):
    """An image that is for one process to decode, which counts what all its threads take."""


def scan(image: ShardImage) -> dict[str, Any]:
    """Decode and measure one image: a row of `MEASURED_SCHEMA`."""
    row = {"image_id": image.image_id, "width": 0, "height": 0, "phash": "", "error": ""}
    try:
        width, height = image_size_wh(image.data, image.image_id)
        phash = image_hash(image.data, image.image_id)
    except ImageError as error:
        return {**row, "error": str(error).removeprefix(f"{image.image_id}: ")}
    return {**row, "width": width, "height": height, "phash": phash}


def _scan_small(image: ShardImage) -> dict[str, Any]:
    """What `scan` gives.

    Raises:
        _LargeError: the image has more than `_LARGE` pixels.
    """
    with suppress(ImageError):
        if decoding_pixels(image.data, image_size_wh(image.data, image.image_id)) > _LARGE:
            raise _LargeError
    return scan(image)


def scan_shard(
    shard: Path,
    told: Callable[[int], None] = lambda images: None,
    file: BinaryIO | None = None,
    threads: int = 1,
    measure: Callable[[ShardImage], dict[str, Any]] = scan,
) -> pa.Table:
    """Measure every image of a shard.

    Args:
        told: called now and then with the images measured since.
        file: to read instead, where the shard is not at hand as a file; the path names it.

    Raises:
        ShardError, WorkspaceError: see `iter_shard`.
    """
    rows = []
    with ThreadPoolExecutor(threads) as pool:
        images = iter_shard(shard, file)
        for row in map_ahead(pool, measure, images, 4 * threads, lambda i: as_pixels(len(i.data))):
            rows.append(row)
            if len(rows) % _TELL == 0:
                told(_TELL)
    told(len(rows) % _TELL)
    return pa.Table.from_pylist(rows, schema=MEASURED_SCHEMA)


def scan_small(
    shard: Path,
    told: Callable[[int], None] = lambda images: None,
    file: BinaryIO | None = None,
) -> pa.Table | None:
    """What `scan_shard` gives, where several processes do so at once; None of a shard with an
    image that is large, which is for one process.
    """
    try:
        return scan_shard(shard, told, file, measure=_scan_small)
    except _LargeError:
        return None


def _serve(lines: Iterable[str]) -> None:
    """Measure what each line asks for, `[SHARD, PART]` in JSON; say how many, then "done".

    Of a shard with a large image, "large" in its place.
    """
    for line in lines:
        shard, part = map(Path, json.loads(line))
        table = scan_small(shard, _say)
        if table is None:
            _say("large")
            continue
        write_table(part, table, MEASURED_SCHEMA)
        _say("done")


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks waits for the shard, and closes
    _serve(sys.stdin)
