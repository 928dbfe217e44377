"""Hugging Face's Parquet: an image a row, its objects as lists of boxes and classes."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa

from sixrayd.core.staging import AddRow, Staging, content_digest
from sixrayd.export.coco import xywh
from sixrayd.export.content import Add, Content, ExportedImage

FOLDER = "parquet"
_FILE_BYTES = 500 << 20  # of images, from which on another file begins
_ROWS = 50  # images that are in memory at once
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_OBJECTS = pa.struct(
    [
        ("id", pa.list_(pa.int64())),
        ("bbox", pa.list_(pa.list_(pa.float32()))),  # left, top, width, height from 0
        ("category", pa.list_(pa.int64())),
        ("area", pa.list_(pa.int64())),
        ("difficult", pa.list_(pa.bool_())),
        ("truncated", pa.list_(pa.bool_())),
        ("origin", pa.list_(pa.string())),
    ]
)


@contextmanager
def parquet_files(staging: Staging, content: Content) -> Iterator[Add]:
    """Write `parquet/data/PART-NNNNN.parquet` and the card that names them."""
    schema = _schema(content)
    with ExitStack() as stack:
        found: dict[str, _PartFiles] = {}  # Hugging Face refuses a split without rows

        def add(image: ExportedImage) -> None:
            part = found.setdefault(image.part, _PartFiles(staging, stack, image.part, schema))
            part.add(_row(image, content), len(image.data))

        yield add
        for part in found.values():
            part.finish()
    staging.write_lines(f"{FOLDER}/README.md", _card(load_config(staging.sha256, "data")))


class _PartFiles:
    """The files of a part: another begins where one is large enough."""

    def __init__(self, staging: Staging, stack: ExitStack, name: str, schema: pa.Schema) -> None:
        self._staging, self._stack, self._name, self._schema = staging, stack, name, schema
        self._files, self._bytes = 0, 0
        self._open = ExitStack()
        self._add: AddRow | None = None

    def add(self, row: dict[str, Any], size: int) -> None:
        """Write a row; `size` is that of its image."""
        add = self._add or self._begin()
        add(row)
        self._bytes += size
        if self._bytes >= _FILE_BYTES:
            self._open.close()
            self._add = None

    def finish(self) -> None:
        """Complete the last file."""
        self._open.close()

    def _begin(self) -> AddRow:
        path = f"{FOLDER}/data/{self._name}-{self._files:05d}.parquet"
        self._open = self._stack.enter_context(ExitStack())
        self._add = self._open.enter_context(self._staging.table(path, self._schema, _ROWS))
        self._files, self._bytes = self._files + 1, 0
        return self._add


def _row(image: ExportedImage, content: Content) -> dict[str, Any]:
    objects = image.annotation.objects
    boxes = [xywh(item.box) for item in objects]
    row = {
        "image_id": image.image_id,
        "file_name": image.file_name,
        "width": image.record.width,
        "height": image.record.height,
        "state": str(image.state),
        "objects": {
            "id": list(range(len(objects))),
            "bbox": boxes,
            "category": [content.classes.index(item.box.label) for item in objects],
            "area": [box[2] * box[3] for box in boxes],
            "difficult": [item.difficult for item in objects],
            "truncated": [item.truncated for item in objects],
            "origin": [item.provenance.origin if item.provenance else "" for item in objects],
        },
    }
    held = {"image": {"bytes": image.data, "path": image.file_name}}
    return row | (held if content.with_bytes else {})


def _schema(content: Content) -> pa.Schema:
    """Columns, and what Hugging Face's `datasets` makes of them."""
    columns = [
        *([("image", _IMAGE)] if content.with_bytes else []),
        *(("image_id", pa.string()), ("file_name", pa.string())),
        *(("width", pa.int32()), ("height", pa.int32()), ("state", pa.string())),
        ("objects", _OBJECTS),
    ]
    features = {name: _feature(kind) for name, kind in columns}
    names = list(content.classes.names)
    features["objects"]["category"]["feature"] = {"names": names, "_type": "ClassLabel"}
    if content.with_bytes:
        features["image"] = {"_type": "Image"}
    said = json.dumps({"info": {"features": features}})
    return pa.schema(columns, metadata={"huggingface": said})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A column's type in Hugging Face's words."""
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    words = {pa.float32(): "float32", pa.bool_(): "bool"}
    return {"dtype": words.get(kind, str(kind)), "_type": "Value"}


def load_config(files: Mapping[str, str], folder: str) -> dict[str, Any]:
    """Which files hold which part, in Hugging Face's words; empty without this form.

    The name follows the content: `load_dataset` keeps what it read by folder's and config's names
    alone, and would answer with an older export, or another workspace's.

    Args:
        files: SHA-256 of the export's files by path.
        folder: of the data, seen from the card.
    """
    named = {path: re.fullmatch(rf"{FOLDER}/data/(.+)-\d{{5}}\.parquet", path) for path in files}
    parts = dict.fromkeys(match[1] for match in named.values() if match)
    if not parts:
        return {}
    digest = content_digest({path: files[path] for path, match in named.items() if match})
    paths = [{"split": part, "path": f"{folder}/{part}-*.parquet"} for part in parts]
    return {"config_name": f"sixrayd-{digest[:12]}", "data_files": paths}


def _card(config: Mapping[str, Any]) -> Iterator[str]:
    """The card that `load_dataset` reads its files from."""
    yield "---"
    yield "task_categories:"
    yield "- object-detection"
    yield "license: other"
    if config:
        yield "configs:"
        yield f"- config_name: {config['config_name']}"
        yield "  data_files:"
        for file in config["data_files"]:
            yield f"  - split: {file['split']}"
            yield f"    path: {file['path']}"
    yield "---"
    yield "What this is, how it was made and under which terms: `README.md` of the folder above."
