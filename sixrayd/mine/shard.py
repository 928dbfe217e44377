"""Reading a shard: every image that the index promises, decoded, or what is wrong with it."""

import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sixrayd.core.ahead import MOST_PIXELS, as_pixels, begun_ahead
from sixrayd.core.arrays import RGBImage
from sixrayd.core.errors import ImageError, ShardError
from sixrayd.core.shards import ShardImage, iter_shard
from sixrayd.core.store import Store
from sixrayd.imaging.decode import decode_rgb, image_size_wh


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard and what the index says is in it.

    Args:
        sha256: image id → of its encoded bytes.
    """

    name: str
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class MinedImage:
    """An image, or why there is none."""

    image_id: str
    image: RGBImage | None
    error: str = ""


_Begun = tuple[int, Future[MinedImage]]  # see `_pixels`, and the image as it is decoded


def read_scans(
    task: ShardTask,
    store: Store,
    skip: int,
    ahead: int,
    pool: ThreadPoolExecutor,
    most: int = MOST_PIXELS,
) -> Iterator[MinedImage]:
    """The images of a shard in its order, then those that it lacks.

    Args:
        skip: images at the start that are left out, undecoded.
        ahead: images decoded before they are asked for.
        pool: decodes.
        most: pixels, or bytes, of these: fewer are decoded where they have more.

    Raises:
        ShardError: the shard is missing; a damaged one says so image by image.
        WorkspaceError: the disk or the connection fails.
    """
    found = islice(_found(task, store, skip, pool), skip, None)
    waiting = begun_ahead(lambda begun: begun[1], found, ahead, lambda begun: begun[0], most)
    yield from (future.result() for future in waiting)


def _found(task: ShardTask, store: Store, skip: int, pool: ThreadPoolExecutor) -> Iterator[_Begun]:
    missing = dict(task.sha256)
    reason = f"not in {task.name} although the index lists it"
    with store.open(task.name) as file:
        try:
            for image in iter_shard(Path(task.name), file):
                sha256 = missing.pop(image.image_id, None)
                if sha256 is None:
                    continue
                if len(task.sha256) - len(missing) <= skip:
                    yield 0, _known(MinedImage(image.image_id, None))
                else:
                    yield _pixels(image), pool.submit(_decoded, image, sha256)
        except ShardError as error:
            reason = str(error)
    for image_id in missing:
        yield 0, _known(MinedImage(image_id, None, reason))


def _decoded(image: ShardImage, sha256: str) -> MinedImage:
    if hashlib.sha256(image.data).hexdigest() != sha256:
        return MinedImage(image.image_id, None, f"{image.image_id}: changed since it was indexed")
    try:
        return MinedImage(image.image_id, decode_rgb(image.data, image.image_id))
    except ImageError as error:
        return MinedImage(image.image_id, None, str(error))


def _known(scan: MinedImage) -> Future[MinedImage]:
    future: Future[MinedImage] = Future()
    future.set_result(scan)
    return future


def _pixels(image: ShardImage) -> int:
    """What it holds, encoded or decoded, whichever is more."""
    encoded = as_pixels(len(image.data))
    try:
        return max(encoded, math.prod(image_size_wh(image.data, image.image_id)))
    except ImageError:
        return encoded
