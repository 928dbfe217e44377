"""PASCAL VOC annotations: the only module that knows VOC's 1-based, inclusive pixels.

VOC's `xmin` 1 is our `x1` 0, and VOC's `xmax` is our `x2`: the last pixel's far edge.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Literal, TypeVar

from lxml import etree

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.markup import DtdError, parse_xml
from sixrayd.core.settling import (
    Grid,
    UselessBoxError,
    number_of_text,
    settle_box,
    settle_label,
)

MAX_BYTES = 4 << 20
MAX_OBJECTS = 10_000  # of an image
MAX_EDGE = 65_535  # pixels, JPEG's own limit
PIXEL_EDGES = ("xmin", "ymin", "xmax", "ymax")  # 1-based, the last pixel included
_GRID = Grid(PIXEL_EDGES, first=1)
_NEAR = 0.005  # pixel; six decimals of a width of 6,000 are less apart
OnFault = Literal["stop", "skip"]
_T = TypeVar("_T")
_ADVICE = "fix the file or pass --on-error skip"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a box comes from; written into an element that other readers of VOC pass over."""

    origin: str  # "source", "confirmed", "moved", "relabelled", "drawn" or "agreed"
    candidate: str = ""  # box id of the detection that the box goes back to
    model: str = ""
    score: float | None = None  # of that detection, 0..1
    reviewer: str = ""
    verdict: str = ""
    decided_at: str = ""  # ISO 8601, UTC
    version: int | None = None  # of the decision, from 1


@dataclass(frozen=True, slots=True)
class VocObject:
    """One annotated thing."""

    box: Box
    difficult: bool = False
    truncated: bool = False
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class VocAnnotation:
    """What one XML file says of one image.

    Raises:
        AnnotationError: the image has no area, or a box reaches beyond it.
    """

    stem: str  # of the annotation's own file name
    width: int  # pixels
    height: int
    objects: tuple[VocObject, ...]
    findings: tuple[Finding, ...] = ()  # what was repaired or left out
    depth: int = 3  # channels

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise AnnotationError(
                f"{self.stem}: size {self.width} x {self.height}; both must be 1 or more"
            )
        for number, item in enumerate(self.objects, 1):
            if clip_box(item.box, self.width, self.height) != item.box:
                raise AnnotationError(
                    f"{self.stem}: object {number}: {item.box.xyxy} reaches beyond the image of "
                    f"{self.width} x {self.height}; clip it first"
                )

    @property
    def hiding(self) -> frozenset[Flaw]:
        """Why nothing is known of what the image shows; empty where boxes are left, or none were.

        A box that is thin, or of a class that is left out, is no reason.
        """
        flaws = frozenset(finding.flaw for finding in self.findings if finding.flaw.hides)
        return frozenset() if self.objects else flaws


def read_voc(
    data: bytes,
    where: str,
    classes: ClassList,
    size_wh: tuple[int, int] | None = None,
    on_error: OnFault = "stop",
    judge: str = "the image is",
) -> VocAnnotation:
    """The annotation in an XML file, with the quirks of SIXray's copies repaired.

    Args:
        where: the file's name; its stem names the image, whatever `<filename>` says.
        size_wh: of the actual image, which beats `<size>`.
        on_error: whether an object that cannot be used stops, or is left out with a note.
        judge: in messages, who says `size_wh`.

    Raises:
        AnnotationError: not VOC XML, a DTD, no size at all, or (with "stop") a useless object.
    """
    findings: list[Finding] = []
    root = _parse(data, where, findings)
    stem = PurePosixPath(where).stem
    _compare_name(root, stem, where, findings)
    size_wh = _size(root, where, size_wh, judge, findings)
    elements = (element for element in root if element.tag.lower() == "object")
    things = ((f"{where}: object {n}", e) for n, e in enumerate(elements, 1))

    def settle(element: etree._Element, at: str) -> VocObject:
        return _object(element, at, classes, size_wh, findings)

    objects = settle_objects(things, settle, on_error, findings)
    if not objects:
        findings.append(Finding(Flaw.NO_OBJECT, where, "no usable object"))
    depth = _count(root.findtext("size/depth")) or 3
    return VocAnnotation(stem, *size_wh, objects, tuple(findings), depth)


def settle_objects(
    things: Iterable[tuple[str, _T]],
    settle: Callable[[_T, str], VocObject],
    on_error: OnFault,
    findings: list[Finding],
) -> tuple[VocObject, ...]:
    """What is usable of an image's objects, whatever their form.

    Args:
        things: where each is, and what the file says of it.
        settle: makes the object of it, or raises `UselessBoxError`.
        findings: told of repeats and of what is left out.

    Raises:
        AnnotationError: one cannot be used, not as expected, and faults stop; or they are too many.
    """
    objects: list[VocObject] = []
    boxes: set[Box] = set()
    for number, (at, thing) in enumerate(things):
        if number == MAX_OBJECTS:
            raise AnnotationError(f"{at}: one of more than {MAX_OBJECTS}; no image holds so many")
        try:
            item = settle(thing, at)
        except UselessBoxError as fault:
            if on_error == "stop" and not fault.expected:
                raise AnnotationError(f"{at}: {fault}; {_ADVICE}") from fault
            findings.append(Finding(fault.flaw, at, f"{fault}; left out"))
            continue
        if item.box in boxes:
            findings.append(Finding(Flaw.REPEATED_BOX, at, f"the same {item.box.label} again"))
        boxes.add(item.box)
        objects.append(item)
    return tuple(objects)


def names_in(data: bytes, where: str) -> list[str]:
    """Class names as an XML file spells them; none where it cannot be read."""
    try:
        root = _parse(data, where, [])
    except AnnotationError:
        return []
    return [name for text in root.findall("object/name") if (name := (text.text or "").strip())]


def write_voc(
    annotation: VocAnnotation,
    folder: str = "VOC2007",
    suffix: str = ".jpg",
    database: str = "SIXray-D",
    looks: Sequence[Mapping[str, str]] = (),
) -> bytes:
    """The XML of an annotation, in labelImg's form; equal annotations give equal bytes.

    Coordinates that are not whole are rounded to the nearest pixel edge, once: what is written
    reads back as whole numbers, and whole numbers do not change.

    Args:
        suffix: of the image's file name.
        database: the release that the image is of.
        looks: who looked at the image, and what else is said of it; readers pass over it.
    """
    root = etree.Element("annotation")
    _add(root, "folder", folder)
    _add(root, "filename", annotation.stem + suffix)
    _add(etree.SubElement(root, "source"), "database", database)
    size = etree.SubElement(root, "size")
    for name in ("width", "height", "depth"):
        _add(size, name, str(getattr(annotation, name)))
    _add(root, "segmented", "0")
    for item in annotation.objects:
        _add_object(root, item, annotation.width, annotation.height)
    for look in looks:
        element = etree.SubElement(root, "sixrayd")
        for name, said in look.items():
            _add(element, name, said)
    etree.indent(root, space="\t")
    text: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=False)
    return text + b"\n"


def pixels_of(box: Box, width: int, height: int) -> dict[str, int]:
    """`PIXEL_EDGES` of a box in an image of this size; at least one pixel each way.

    Edges that are not whole are rounded to the nearest pixel edge; one amid two, or so near to it
    as six decimals of YOLO put it, to the second.
    """
    xmin, xmax = _first_and_last(box.x1, box.x2, width)
    ymin, ymax = _first_and_last(box.y1, box.y2, height)
    return dict(zip(PIXEL_EDGES, (xmin, ymin, xmax, ymax), strict=True))


def box_of_pixels(label: str, edges: Mapping[str, float]) -> Box:
    """The box whose `PIXEL_EDGES` these are.

    Raises:
        ShapeError: they make no box.
    """
    return Box(label, edges["xmin"] - 1, edges["ymin"] - 1, edges["xmax"], edges["ymax"])


def _first_and_last(low: float, high: float, limit: int) -> tuple[int, int]:
    first, last = math.floor(low + 0.5 + _NEAR) + 1, math.floor(high + 0.5 + _NEAR)
    if first > last:  # narrower than a pixel: the one that its middle lies in
        first = last = min(math.floor((low + high) / 2) + 1, limit)
    return first, last


def _parse(data: bytes, where: str, findings: list[Finding]) -> etree._Element:
    if len(data) > MAX_BYTES:
        raise AnnotationError(f"{where}: {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        root = parse_xml(_readable(data, where, findings))
    except DtdError as error:
        raise AnnotationError(f"{where}: has a DTD, which no annotation needs; refused") from error
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}; {_ADVICE}") from error
    for element in root.xpath("//*[namespace-uri()]"):
        element.tag = etree.QName(element).localname
    if root.tag != "annotation":
        raise AnnotationError(f"{where}: root is <{root.tag}>, expected <annotation>; {_ADVICE}")
    return root


def _readable(data: bytes, where: str, findings: list[Finding]) -> bytes:
    data = data.lstrip(b" \t\r\n")
    if data.startswith((b"<?xml", b"\xff\xfe", b"\xfe\xff")):
        return data  # it names its own encoding
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        text = "not UTF-8 and no declaration; unreadable letters replaced"
        findings.append(Finding(Flaw.ENCODING, where, text))
        return data.decode("utf-8", "replace").encode("utf-8")
    return data


def _compare_name(root: etree._Element, stem: str, where: str, findings: list[Finding]) -> None:
    named = (root.findtext("filename") or "").strip()
    if named and PureWindowsPath(named).stem != stem:
        text = f"<filename> says {named!r}; taken for {stem}"
        findings.append(Finding(Flaw.OTHER_NAME, where, text))


def _size(
    root: etree._Element,
    where: str,
    size_wh: tuple[int, int] | None,
    judge: str,
    findings: list[Finding],
) -> tuple[int, int]:
    said = (_count(root.findtext("size/width")), _count(root.findtext("size/height")))
    given = said[0] > 0 and said[1] > 0
    if size_wh is None and not given:
        raise AnnotationError(f"{where}: no usable <size>, and no image to measure; {_ADVICE}")
    if size_wh is None or said == size_wh:
        return said
    text = f"<size> says {said[0]} x {said[1]}" if given else "no usable <size>"
    text += f"; {judge} {size_wh[0]} x {size_wh[1]}"
    findings.append(Finding(Flaw.OTHER_SIZE, where, text))
    return size_wh


def _count(text: str | None) -> int:
    """A whole number up to `MAX_EDGE`, 0 where there is none."""
    try:
        value = number_of_text(text or "")
    except ValueError:
        return 0
    return int(value) if 0 < value <= MAX_EDGE else 0


def _object(
    element: etree._Element,
    at: str,
    classes: ClassList,
    size_wh: tuple[int, int],
    findings: list[Finding],
) -> VocObject:
    if element.tag != "object":
        text = f"<{element.tag}>, expected <object>"
        raise UselessBoxError(Flaw.UNREADABLE_LABELS, text)
    parts = _parts(element, at, findings)
    if not parts:
        raise UselessBoxError(Flaw.EMPTY_OBJECT, "empty", expected=True)
    label = settle_label(_text(parts, "name"), classes)
    edges = _parts(parts["bndbox"], at, findings) if "bndbox" in parts else {}
    xmin, ymin, xmax, ymax = (_coordinate(edges, edge) for edge in PIXEL_EDGES)
    box = settle_box(label, (xmin, ymin, xmax, ymax), at, size_wh, _GRID, findings)
    difficult, truncated = (_flag(_text(parts, name)) for name in ("difficult", "truncated"))
    return VocObject(box, difficult, truncated, _provenance(parts.get("sixrayd")))


def _parts(element: etree._Element, at: str, findings: list[Finding]) -> dict[str, etree._Element]:
    """The elements within one by their tags; of several, the first."""
    tags = [child.tag for child in element]
    if len(set(tags)) < len(tags):
        for tag in ("name", "bndbox", "difficult", "truncated", *PIXEL_EDGES):
            if (count := tags.count(tag)) > 1:
                text = f"{count} <{tag}>, expected one; the first holds"
                findings.append(Finding(Flaw.GIVEN_TWICE, at, text))
    return {child.tag: child for child in reversed(element)}


def _text(parts: Mapping[str, etree._Element], tag: str) -> str:
    return (parts[tag].text or "") if tag in parts else ""


def _coordinate(edges: Mapping[str, etree._Element], edge: str) -> float:
    text = _text(edges, edge).strip()
    try:
        value = number_of_text(text)
    except ValueError as error:
        text = f"{edge} is {text[:20]!r}, expected a number"
        raise UselessBoxError(Flaw.NO_NUMBER, text) from error
    if not math.isfinite(value):
        text = f"{edge} is {text[:20]!r}, expected a finite number"
        raise UselessBoxError(Flaw.NO_NUMBER, text)
    return value


def _flag(text: str) -> bool:
    return text.strip().lower() in ("1", "true")


def _provenance(element: etree._Element | None) -> Provenance | None:
    if element is None:
        return None
    texts = {str(child.tag): child.text or "" for child in element}
    score, version = texts.get("score", ""), texts.get("version", "")
    return Provenance(
        origin=texts.get("origin", ""),
        candidate=texts.get("candidate", ""),
        model=texts.get("model", ""),
        score=_score(score),
        reviewer=texts.get("reviewer", ""),
        verdict=texts.get("verdict", ""),
        decided_at=texts.get("decided_at", ""),
        version=_count(version) or None,
    )


def _score(text: str) -> float | None:
    try:
        return number_of_text(text)
    except ValueError:
        return None


def _add_object(root: etree._Element, item: VocObject, width: int, height: int) -> None:
    element = etree.SubElement(root, "object")
    _add(element, "name", item.box.label)
    _add(element, "pose", "Unspecified")
    _add(element, "truncated", str(int(item.truncated)))
    _add(element, "difficult", str(int(item.difficult)))
    bndbox = etree.SubElement(element, "bndbox")
    for name, value in pixels_of(item.box, width, height).items():
        _add(bndbox, name, str(value))
    if item.provenance is not None:
        _add_provenance(element, item.provenance)


def _add_provenance(element: etree._Element, provenance: Provenance) -> None:
    child = etree.SubElement(element, "sixrayd")
    for name in Provenance.__slots__:
        value = getattr(provenance, name)
        if value not in ("", None):
            _add(child, name, repr(value) if isinstance(value, float) else str(value))


def _add(parent: etree._Element, name: str, text: str) -> None:
    # XML 1.0 cannot hold control characters; a reviewer's name may.
    allowed = "".join(c if c in "\t\n\r" or _is_xml(ord(c)) else "\ufffd" for c in text)
    etree.SubElement(parent, name).text = allowed


def _is_xml(code: int) -> bool:
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
