"""The encoded images of a set, whatever it is."""

from collections.abc import Iterator, Set
from pathlib import Path

from sixrayd.core.errors import AnnotationError
from sixrayd.core.index import Index
from sixrayd.core.shards import MAX_IMAGE_BYTES
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.places import BROKEN, IMAGES, files_at
from sixrayd.datasets.recognising import is_workspace
from sixrayd.datasets.sides import image_of


def pictures(place: Path, wanted: Set[str]) -> Iterator[tuple[str, bytes]]:
    """Ids and bytes of the wanted images that are there, each once; one is in memory at a time.

    Raises:
        AnnotationError: an image cannot be read, or is too large to be one.
        ShardError: a shard of the workspace has changed.
    """
    if is_workspace(place):
        index = Index.load(Workspace(place))
        yield from ((i, index.read(i)) for i in sorted(wanted) if i in index)
        return
    waiting = set(wanted)
    for file in files_at(place, []):
        image_id = image_of(file.where, []) if file.suffix in IMAGES else ""
        if image_id not in waiting:
            continue
        waiting.remove(image_id)
        if file.size > MAX_IMAGE_BYTES:
            raise AnnotationError(
                f"{file.where}: {file.size} bytes, at most {MAX_IMAGE_BYTES} are read"
            )
        try:
            yield image_id, file.read()
        except BROKEN as error:
            raise AnnotationError(f"{file.where}: cannot be read ({error})") from error
