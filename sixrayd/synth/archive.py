"""The files of a release: split archive, annotations, image sets, truth, checksums."""

import csv
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from xml.sax.saxutils import escape

from sixrayd.core.boxes import Box
from sixrayd.core.voc import pixels_of

READ_BYTES = 1 << 20
# The oldest time a zip can hold, so that equal content gives equal bytes.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)

_ANNOTATION = """<annotation>
  <folder>X_ray</folder>
  <filename>{name}.jpg</filename>
  <source>
    <database>The X_ray Database</database>
    <annotation>The X_ray Database</annotation>
    <image>X_ray</image>
    <flickrid>0</flickrid>
  </source>
  <owner>
    <flickrid>0</flickrid>
    <name>sixrayd synth</name>
  </owner>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  <segmented>0</segmented>
{objects}</annotation>
"""
_OBJECT = """  <object>
    <name>{label}</name>
    <pose>Unspecified</pose>
    <truncated>{truncated}</truncated>
    <difficult>0</difficult>
    <bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>
  </object>
"""


class SplitWriter(io.RawIOBase):
    """A stream cut into `STEM00`, `STEM01`, … of a fixed size each."""

    def __init__(self, stem: Path, part_bytes: int) -> None:
        self.stem = stem
        self.part_bytes = part_bytes
        self.parts: list[Path] = []
        self._part: BinaryIO | None = None
        self._room = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: object) -> int:
        """Write all of the bytes, opening parts as needed."""
        rest = memoryview(cast(bytes, data)).cast("B")
        total = len(rest)
        while len(rest):
            if not self._room:
                self._open_next()
            assert self._part is not None
            piece = rest[: self._room]
            self._part.write(piece)
            self._room -= len(piece)
            rest = rest[len(piece) :]
        return total

    def _open_next(self) -> None:
        if self._part is not None:
            self._part.close()
        path = self.stem.with_name(f"{self.stem.name}{len(self.parts):02d}")
        self._part = path.open("wb")
        self.parts.append(path)
        self._room = self.part_bytes

    def close(self) -> None:
        """Close the part that is open."""
        if self._part is not None:
            self._part.close()
        super().close()


@contextmanager
def image_archive(folder: Path, part_bytes: int) -> Iterator[tuple[tarfile.TarFile, SplitWriter]]:
    """One gzip stream of one tar, cut into `JPEGImage.tar.gz00`, `01`, …"""
    with (
        SplitWriter(folder / "JPEGImage.tar.gz", part_bytes) as pieces,
        # JPEGs do not shrink; the fastest level keeps the form at no cost.
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=cast(BinaryIO, pieces), mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        yield archive, pieces


def add_file(archive: tarfile.TarFile, path: str, content: bytes) -> None:
    """Append a file with time 0 and nobody's ownership."""
    entry = tarfile.TarInfo(path)
    entry.size = len(content)
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(content))


def write_zip(path: Path, files: Iterable[tuple[str, str]]) -> None:
    """Write texts as a zip, the same bytes for the same texts."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files:
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)


def annotation_xml(name: str, width: int, height: int, boxes: tuple[Box, ...]) -> str:
    """A picture's boxes in SIXray's original form."""
    objects = []
    for box in boxes:
        cut = int(box.x1 == 0 or box.y1 == 0 or box.x2 == width or box.y2 == height)
        edges = pixels_of(box, width, height)
        objects.append(_OBJECT.format(label=escape(box.label), truncated=cut, **edges))
    return _ANNOTATION.format(name=name, width=width, height=height, objects="".join(objects))


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as comma-separated lines."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def write_checksums(folder: Path) -> None:
    """`SHA256SUMS` of every file in the folder, as sha256sum writes it."""
    lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
