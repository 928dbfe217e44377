"""The text form of a patch: JSON Lines, a header and then an image a line, by image id.

Equal patches give equal bytes, and nothing but these bytes is read: a file from elsewhere is
checked line by line, and what it holds is written again and compared.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import AnnotationError, SixraydError, printable
from sixrayd.core.files import read_plain, write_bytes
from sixrayd.core.image_ids import image_id as id_of_stem
from sixrayd.core.image_ids import is_image_id
from sixrayd.core.records import Split
from sixrayd.core.voc import MAX_EDGE, MAX_OBJECTS, Provenance, VocObject
from sixrayd.core.words import counted
from sixrayd.datasets.label_hash import LabelCounts, sorted_objects, without_provenance
from sixrayd.datasets.patches import ImagePatch, LabelPatch, Objects, Sides

FORMAT = 1
MARK = re.compile(rb'{"sixrayd_patch":')  # how a patch of any format begins
_MOST_BYTES = 512 << 20  # of a file; a million images without a box take two fifths
_MOST_PARTS = 8_000_000  # brackets: four an image, two a box, one a split; each 250 bytes of memory
_MOST_LINE = 1 << 20
_MOST_TEXT = 500  # letters of a name
# What no XML holds, and so no label.
_NO_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HASH = re.compile("[0-9a-f]{64}")
_NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def write_patch(path: Path, patch: LabelPatch) -> None:
    """Write a patch, whole or not at all.

    Raises:
        AnnotationError: what it holds could not be read again, such as an image id with a slash.
    """
    lines = list(_lines(patch))
    try:
        _patch_of(iter(lines), len(lines), path)
    except AnnotationError as error:
        raise AnnotationError(f"{error}; mend it in the sets: nothing was written") from error
    data = b"".join(line + b"\n" for line in lines)
    if len(data) > _MOST_BYTES:
        raise AnnotationError(f"{path}: {len(data)} bytes are more than {_MOST_BYTES} of a patch")
    write_bytes(path, data)


def read_patch(path: Path) -> LabelPatch:
    """Read a patch that somebody else wrote: nothing in it is believed.

    Raises:
        AnnotationError: no patch, one of another format, or one that was changed by hand.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe may never end
        raise AnnotationError(f"{path}: no plain file; write the patch to one first")
    try:
        data = read_plain(path, _MOST_BYTES)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > _MOST_BYTES:
        raise AnnotationError(f"{path}: more than {_MOST_BYTES >> 20} MiB; too large for a patch")
    if not data.endswith(b"\n"):
        raise AnnotationError(f"{path}: empty or cut short; ask for a sound copy of the patch")
    if (parts := data.count(b"{") + data.count(b"[")) > _MOST_PARTS:
        raise AnnotationError(f"{path}: {parts} brackets, at most {_MOST_PARTS} are read")
    patch = _patch_of(_split(data), data.count(b"\n"), path)
    for number, (line, again) in enumerate(zip(_split(data), _lines(patch), strict=True), 1):
        if line != again:
            raise AnnotationError(
                f"{path}: line {number}: not as a patch is written; it was changed since: ask for "
                "a sound copy"
            )
    return patch


def _split(data: bytes) -> Iterator[bytes]:
    """The lines one by one: as many empty ones, held together, take 17 times their bytes."""
    start = 0
    while end := data.find(b"\n", start) + 1:
        yield data[start : end - 1]
        start = end


def _patch_of(lines: Iterator[bytes], count: int, path: Path) -> LabelPatch:
    """What so many lines say, each of them checked."""
    head = _parsed(_header, next(lines), f"{path}: line 1")
    if count - 1 != head.pop("changes"):
        raise AnnotationError(
            f"{path}: {counted(count - 1, 'image')}, and the header says another "
            f"number; cut short? "
            "Ask for a sound copy"
        )
    images: list[ImagePatch] = []
    classes = frozenset(head["classes"].names)
    for number, line in enumerate(lines, 2):
        at = f"{path}: line {number}"
        image = _parsed(_image, line, at)
        if images and image.image_id <= images[-1].image_id:
            raise AnnotationError(f"{at}: {image.image_id} is not after {images[-1].image_id}")
        _require_classes(image, classes, at)
        images.append(image)
    return LabelPatch(**head, images=tuple(images))


def image_line(image: ImagePatch) -> dict[str, Any]:
    """What a patch's line says of an image."""
    said: dict[str, Any] = {"image": image.image_id}
    if image.sha256:
        said["sha256"] = image.sha256
    if image.size_wh:
        said["size"] = list(image.size_wh)
    said |= {"before": _said(image.before), "after": _said(image.after)}
    if image.splits:
        said["splits"] = {name: list(sides) for name, sides in sorted(image.splits.items())}
    return said


def header_line(patch: LabelPatch) -> dict[str, Any]:
    """What a patch's first line says."""
    return {
        "sixrayd_patch": FORMAT,
        "classes": list(patch.classes.names),
        "before": _counts_said(patch.before),
        "after": _counts_said(patch.after),
        "changes": len(patch.images),
    }


def _lines(patch: LabelPatch) -> Iterator[bytes]:
    yield _line(header_line(patch))
    yield from (_line(image_line(image)) for image in patch.images)


def _line(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    if not text.isprintable():  # printable, so that a line is safe to look at
        text = "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)
    return text.encode("utf-8")


def _said(objects: Objects) -> list[dict[str, Any]] | None:
    return None if objects is None else [_object_said(item) for item in objects]


def _object_said(item: VocObject) -> dict[str, Any]:
    said: dict[str, Any] = {"label": item.box.label, "xyxy": [int(edge) for edge in item.box.xyxy]}
    said |= {name: True for name in ("difficult", "truncated") if getattr(item, name)}
    if item.provenance is not None:
        values = {name: getattr(item.provenance, name) for name in Provenance.__slots__}
        said["sixrayd"] = {name: v for name, v in values.items() if v not in ("", None)}
    return said


def _counts_said(counts: LabelCounts) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in LabelCounts.__slots__}


def _parsed(read: Any, line: bytes, at: str) -> Any:
    """What a line says; every way in which it can make no sense is one error."""
    if len(line) > _MOST_LINE:
        raise AnnotationError(f"{at}: {len(line)} bytes, at most {_MOST_LINE} are read")
    try:
        document = parse_json(line.decode("utf-8"))
        if not isinstance(document, dict):
            raise ValueError("expected an object in braces")
        return read(document)
    except SixraydError as error:
        raise AnnotationError(f"{at}: {error}") from error
    except KeyError as error:
        raise AnnotationError(f"{at}: no {error}; not a line of a patch") from error
    except _NONSENSE as error:
        raise AnnotationError(f"{at}: {printable(error, 100)}; not a line of a patch") from error


def _header(said: dict[str, Any]) -> dict[str, Any]:
    if "sixrayd_patch" not in said:
        raise ValueError("no header")
    if said["sixrayd_patch"] != FORMAT:
        found = printable(repr(said["sixrayd_patch"]), 100)
        raise AnnotationError(f"format {found}, expected {FORMAT}; another version wrote it")
    return {
        "classes": ClassList(tuple(_text(name, "class") for name in said["classes"])),
        "before": _counts(said["before"]),
        "after": _counts(said["after"]),
        "changes": _whole(said["changes"], "changes"),
    }


def _counts(said: dict[str, Any]) -> LabelCounts:
    numbers = [_whole(said[name], name) for name in ("images", "positives", "boxes")]
    return LabelCounts(_hash(said["labels"]), *numbers)


def _image(said: dict[str, Any]) -> ImagePatch:
    image_id = _text(said["image"], "image")
    _require_name(image_id)
    size_wh = _size(said["size"]) if "size" in said else None
    before, after = (_objects(said[side], size_wh) for side in ("before", "after"))
    sha256 = _hash(said["sha256"]) if "sha256" in said else ""
    splits = {_text(n, "split"): _sides(sides) for n, sides in said.get("splits", {}).items()}
    if any(was == now for was, now in splits.values()):
        raise ValueError("a side of a split that does not change")
    if not splits and without_provenance(before) == without_provenance(after):
        raise ValueError("neither a box nor a side changes")
    return ImagePatch(image_id, before, after, sha256, size_wh, splits)


def _objects(said: Any, size_wh: tuple[int, int] | None) -> Objects:
    if said is None:
        return None
    if len(said) > MAX_OBJECTS:
        raise ValueError(f"{len(said)} boxes, at most {MAX_OBJECTS} of an image are read")
    objects = tuple(_object(item, size_wh) for item in said)
    if sorted_objects(objects) != objects:
        raise ValueError("boxes out of order")
    return objects


def _object(said: dict[str, Any], size_wh: tuple[int, int] | None) -> VocObject:
    edges = [_whole(edge, "edge", MAX_EDGE) for edge in said["xyxy"]]
    label = _text(said["label"], "label")
    x1, y1, x2, y2 = edges
    width, height = size_wh or (MAX_EDGE, MAX_EDGE)
    if not (x1 < x2 <= width and y1 < y2 <= height):
        raise ValueError(f"box {edges} does not lie in an image of {width} x {height}")
    provenance = _provenance(said["sixrayd"]) if "sixrayd" in said else None
    difficult, truncated = (said.get(name) is True for name in ("difficult", "truncated"))
    return VocObject(Box(label, *map(float, edges)), difficult, truncated, provenance)


def _provenance(said: dict[str, Any]) -> Provenance:
    numbers = {name: said[name] for name in ("score", "version") if name in said}
    score, version = numbers.get("score"), numbers.get("version")
    if score is not None and not (isinstance(score, float) and math.isfinite(score)):
        raise ValueError("score is no number")
    if version is not None:
        _whole(version, "version")
    texts = {name: _text(value, name) for name, value in said.items() if name not in numbers}
    return Provenance(texts.pop("origin", ""), score=score, version=version, **texts)


def _sides(said: Any) -> Sides:
    before, after = said
    if any(side is not None and side not in set(Split) for side in (before, after)):
        raise ValueError(f"side is none of {', '.join(Split)}")
    return before, after


def _size(said: Any) -> tuple[int, int]:
    width, height = (_whole(side, "size", MAX_EDGE) for side in said)
    if not (width and height):
        raise ValueError("size is 0")
    return width, height


def _whole(value: Any, name: str, most: int = 1 << 40) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{name} is {printable(repr(value), 100)}, expected 0 to {most}")
    return value


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError(f"{printable(repr(value), 100)} is no SHA-256")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or _NO_TEXT.search(value):
        raise ValueError(
            f"{name} is {printable(repr(value), 100)}, expected text that XML can hold"
        )
    if len(value) > _MOST_TEXT:
        text = f"{printable(repr(value), 51)} has {len(value)} letters"
        raise ValueError(f"{name} {text}, at most {_MOST_TEXT} are read")
    return value


def _require_name(image_id: str) -> None:
    """Refuse an image id that would leave its folder, or that no file's name means."""
    shown = printable(repr(image_id), 100)
    if not is_image_id(image_id):
        raise AnnotationError(f"image id {shown}: no plain file name; refused")
    if (meant := id_of_stem(image_id)) != image_id:
        raise AnnotationError(f"image id {shown}: a file of this name is of {meant}; refused")


def _require_classes(image: ImagePatch, classes: frozenset[str], at: str) -> None:
    for item in (*(image.before or ()), *(image.after or ())):
        if item.box.label not in classes:
            raise AnnotationError(f"{at}: class {item.box.label!r} is none of the header's")
