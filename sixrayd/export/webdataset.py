"""WebDataset's shards: tars of images, each with a JSON of the same name."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath

from sixrayd.core.staging import Staging
from sixrayd.export.coco import xywh
from sixrayd.export.content import Add, Content, ExportedImage

FOLDER = "webdataset"
_IMAGES = 1000  # of a shard


@contextmanager
def webdataset_shards(staging: Staging, content: Content) -> Iterator[Add]:
    """Write `webdataset/PART-NNNNNN.tar`; train and test are there in any case."""
    with ExitStack() as stack:
        found = {part: _Shards(staging, stack, part) for part in ("train", "test")}

        def add(image: ExportedImage) -> None:
            shards = found.setdefault(image.part, _Shards(staging, stack, image.part))
            shards.add(image, content.with_bytes)

        yield add
        for shards in found.values():
            shards.finish()


class _Shards:
    """The shards of a part; the next begins where one is full."""

    def __init__(self, staging: Staging, stack: ExitStack, part: str) -> None:
        self._staging, self._stack, self._part = staging, stack, part
        self._shards, self._images = 0, 0
        self._tar: tarfile.TarFile | None = None

    def add(self, image: ExportedImage, with_bytes: bool) -> None:
        """Append an image and what is known of it."""
        tar = self._tar or self._begin()
        key = image.image_id.replace("%", "%25").replace(".", "%2E")  # a dot ends a sample's name
        if with_bytes:
            _append(tar, key + PurePosixPath(image.file_name).suffix, image.data)
        _append(tar, f"{key}.json", json.dumps(_said(image), ensure_ascii=False).encode())
        self._images += 1
        if self._images == _IMAGES:
            self._close()

    def finish(self) -> None:
        """Complete the last shard; a part without images has an empty one."""
        if not self._shards:
            self._begin()
        self._close()

    def _begin(self) -> tarfile.TarFile:
        path = self._staging.place(self._path)
        tar = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)
        self._tar = self._stack.enter_context(tar)
        self._shards, self._images = self._shards + 1, 0
        return tar

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None
            self._staging.take(f"{FOLDER}/{self._part}-{self._shards - 1:06d}.tar")

    @property
    def _path(self) -> str:
        return f"{FOLDER}/{self._part}-{self._shards:06d}.tar"


def _append(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)  # of no time and no owner: the same bytes whoever writes it
    header.size = len(data)
    tar.addfile(header, io.BytesIO(data))
    tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header


def _said(image: ExportedImage) -> dict[str, object]:
    objects = image.annotation.objects
    return {
        "image_id": image.image_id,
        "file_name": image.file_name,
        "width": image.record.width,
        "height": image.record.height,
        "state": str(image.state),
        "objects": [
            {
                "category": item.box.label,
                "bbox": xywh(item.box),  # left, top, width, height from 0
                "difficult": item.difficult,
                "truncated": item.truncated,
                "origin": item.provenance.origin if item.provenance else "",
            }
            for item in objects
        ],
    }
