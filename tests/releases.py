"""Tiny releases in SIXray's own format, for tests."""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadResult, DownloadSettings
from sixrayd.download.stage import download


@cache
def jpeg(seed: int, width: int = 96, height: int = 64) -> bytes:
    """A JPEG of coloured blocks, another for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)
    return encode(image, "JPEG")


def encode(image: Image.Image, form: str) -> bytes:
    """An image's bytes in one of Pillow's formats."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=90)
    return buffer.getvalue()


def voc(stem: str, *objects: tuple[str, int, int, int, int], size: str = "96,64") -> bytes:
    """An XML in SIXray's form; objects are name, xmin, ymin, xmax, ymax."""
    width, height = size.split(",")
    things = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2 in objects
    )
    return (
        f"<annotation><filename>{stem}.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{things}</annotation>"
    ).encode()


def plain_tar(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar, the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def tar_gz(files: dict[str, bytes]) -> bytes:
    """A gzipped tar, the same bytes each time."""
    return gzip.compress(plain_tar(files), mtime=0)


def repacked(
    path: Path,
    out: Path,
    change: Callable[[list[tuple[str, bytes]]], Iterable[tuple[str, bytes]]],
    mode: Literal["w", "w:gz"] = "w:gz",
) -> Path:
    """A copy of an archive, its members changed as (name, bytes) pairs."""
    with tarfile.open(path) as tar:
        files = [(member.name, tar.extractfile(member)) for member in tar]
        members = [(name, file.read()) for name, file in files if file]
    with tarfile.open(out, mode) as tar:
        for name, data in change(members):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """A zip of these files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def cut(folder: Path, data: bytes, parts: int = 3, name: str = "JPEGImage.tar.gz") -> list[Path]:
    """Write data in parts, `NAME00` and on."""
    step = -(-len(data) // parts)
    paths = [folder / f"{name}{number:02d}" for number in range(parts)]
    for number, path in enumerate(paths):
        path.write_bytes(data[number * step : (number + 1) * step])
    return paths


@dataclass
class TinyRelease:
    """Three positives and five negatives of two classes; change it, then write it."""

    classes: tuple[str, ...] = ("Gun", "Knife")
    images: dict[str, bytes] = field(default_factory=dict)  # stem → JPEG
    xml: dict[str, bytes] = field(default_factory=dict)  # stem → XML
    rows: list[str] = field(default_factory=list)  # lines of the image set

    def __post_init__(self) -> None:
        for number in (1, 2, 3):
            stem = f"P0000{number}"
            self.images[stem] = jpeg(number)
            self.xml[stem] = voc(stem, ("Gun", 1, 1, 20, 30), ("knife", 31, 11, 60, 50))
            self.rows.append(f"{stem},1,{1 if number < 3 else -1}")
        for number in range(1, 6):
            self.images[f"N000000{number}"] = jpeg(100 + number)
            self.rows.append(f"N000000{number}.jpg,-1,0")

    def csv(self) -> bytes:
        """The image set."""
        return "\n".join([",".join(("name", *self.classes)), *self.rows, ""]).encode()

    def write(self, folder: Path, *, parts: int = 3, sums: bool = True) -> Path:
        """Write the archives as they are published."""
        folder.mkdir(parents=True, exist_ok=True)
        names = {f"JPEGImage/{stem}.jpg": data for stem, data in self.images.items()}
        cut(folder, tar_gz(names), parts)
        self._write_zips(folder)
        if sums:
            write_sums(folder)
        return folder

    def write_loose(self, folder: Path) -> Path:
        """Write images, XML and image set as loose files, in the layout of numbered folders."""
        for number, (stem, data) in enumerate(self.images.items()):
            name = f"{stem}.jpg" if stem.startswith("P") else f"{number % 2}/{stem.lower()}.JPG"
            _write(folder / "Image" / name, data)
        for stem, data in self.xml.items():
            _write(folder / "Annotations" / f"{stem}.xml", data)
        _write(folder / "ImageSet" / "10" / "train.csv", self.csv())
        return folder

    def _write_zips(self, folder: Path) -> None:
        names = {f"Annotation/{stem}.xml": data for stem, data in self.xml.items()}
        write_zip(folder / "Annotation.zip", names)
        write_zip(folder / "ImageSet.zip", {"ImageSet/10/train.csv": self.csv()})


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS for the files of a folder."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


CLASSES = ("Gun", "Knife")
WHOLE = DownloadResult(
    images=8,
    positives=3,
    negatives=5,
    unreadable=0,
    train=6,
    test=2,
    boxes=6,
    duplicate_groups=0,
    negatives_like_positives=0,
    unannotated=0,
    boxless=0,
    negatives_with_boxes=0,
    notes=0,
    merged=0,
    absent=0,
    skipped=0,
)


def take(tmp_path: Path, release: Path, on_error: str = "stop", **more: object) -> DownloadResult:
    """Ingest a release of two classes into `tmp_path/ws`."""
    settings = DownloadSettings(str(release), CLASSES, on_error=on_error, **more)  # type: ignore[arg-type]
    return download(Workspace(tmp_path / "ws"), settings)


def skipped(tmp_path: Path) -> list[dict[str, str]]:
    """The lines of skipped.jsonl of `tmp_path/ws`, without the kinds of faults."""
    text = (tmp_path / "ws/shards/skipped.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [{key: line[key] for key in ("where", "error")} for line in lines]
