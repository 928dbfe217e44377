"""Shards: uncompressed tars of images in WebDataset form, the same bytes for the same images."""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Self

from sixrayd.core.errors import ShardError, WorkspaceError
from sixrayd.core.files import open_plain, replacing
from sixrayd.core.storage import check_known

_NEXT = "run `sixrayd download` again"
MAX_IMAGE_BYTES = 64 << 20  # of an encoded image; no larger one is read from anywhere
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MOST_RECORDS = 200  # of extended headers, whose files have a dozen
_DIGITS = re.compile(rb"\d{100}")  # tarfile goes through a row of digits once for each of them
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_IS_EXTENDED = 482  # byte of an old sparse header that says that another follows
_MAGIC = {
    **{b"\x89PNG\r\n\x1a\n": ".png", b"BM": ".bmp", b"RIFF": ".webp"},
    **{b"II*\x00": ".tif", b"MM\x00*": ".tif"},
}


@dataclass(frozen=True, slots=True)
class ShardImage:
    """One image of a shard; `offset` is where its bytes begin in the file."""

    image_id: str
    offset: int
    data: bytes


class StrictTarInfo(tarfile.TarInfo):
    """A header reader that refuses what `tarfile` takes for the end: garbage, or no end mark."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read one 512-byte header.

        Raises:
            tarfile.ReadError: the block is neither a header nor the end mark of zeros.
        """
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no end mark, {error}") from error
        if header.size < 0 or (header.type in _EXTENDED and header.size > 1 << 20):
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE and buf[_IS_EXTENDED]:
            raise tarfile.ReadError("a sparse file of many parts")
        return header

    def _proc_pax(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """Read an extended header, whose records count for all files that follow.

        Raises:
            tarfile.ReadError: it would take hours.
        """
        file: Any = tar.fileobj
        records = file.read(self._block(self.size))  # type: ignore[attr-defined]
        count = records.count(b"\n") + len(tar.pax_headers)
        if count > _MOST_RECORDS or _DIGITS.search(records):
            raise tarfile.ReadError(f"an extended header of {count} records or endless numbers")
        tar.fileobj = _Again(records, file)  # type: ignore[assignment]
        try:
            return super()._proc_pax(tar)  # type: ignore[misc, no-any-return]
        finally:
            tar.fileobj = file

    def _proc_gnusparse_10(
        self, sparse: tarfile.TarInfo, _headers: dict[str, str], _tar: tarfile.TarFile
    ) -> None:
        """Mark a sparse file, and leave the list of its parts, which may be gigabytes, unread."""
        sparse.sparse = b""


class _Again:
    """A file, and before it the bytes that were read from it last."""

    def __init__(self, data: bytes, file: Any) -> None:
        self._data, self._file = data, file

    def read(self, size: int) -> bytes:
        data, self._data = self._data, b""
        return data or bytes(self._file.read(size))

    def tell(self) -> int:
        return int(self._file.tell())


def entries_of(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Headers, one by one; tarfile would keep each.

    Raises:
        tarfile.ReadError: a size below 0, as an extended header may set, leads back for ever.
    """
    while (entry := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]
        if entry.size < 0:
            raise tarfile.ReadError(f"a header of {entry.size} bytes")
        yield entry


def plain_file(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes] | None:
    """What a member holds; None of a link, a device, or a sparse file: bytes of one make years."""
    return tar.extractfile(entry) if entry.type in _PLAIN and not entry.issparse() else None


class _HashingFile:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()


class ShardWriter:
    """Writes `PREFIX-00000.tar`, `PREFIX-00001.tar` …; a shard appears when it is complete.

    Used in a `with` statement: an exception leaves no unfinished shard behind.
    """

    def __init__(self, folder: Path, prefix: str, images_per_shard: int = 2000) -> None:
        self.folder, self.prefix, self.images_per_shard = (
            folder,
            prefix,
            images_per_shard,
        )
        self.sha256: dict[str, str] = {}  # finished shard → hash of its bytes
        self._open = ExitStack()
        self._tar: tarfile.TarFile | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._open.__exit__(kind, error, trace)

    def add(self, image_id: str, data: bytes) -> tuple[str, int, int]:
        """Append one image.

        Returns:
            File name of its shard, offset of its bytes there, their number.
        """
        tar = self._tar or self._begin()
        header = tarfile.TarInfo(image_id + extension(data))
        header.size = len(data)
        offset = tar.offset + tarfile.BLOCKSIZE
        tar.addfile(header, io.BytesIO(data))
        # tarfile would keep every header
        tar.members = []  # type: ignore[attr-defined]
        shard = self.name
        self._count += 1
        if self._count == self.images_per_shard:
            self.close()
        return shard, offset, len(data)

    @property
    def name(self) -> str:
        """File name of the shard that the next image goes to."""
        return f"{self.prefix}-{len(self.sha256):05d}.tar"

    def keep(self, sha256: str) -> None:
        """Leave the next shard as it is there: whoever wrote it wrote the same."""
        self.sha256[self.name] = sha256

    def close(self) -> None:
        """Complete the shard being written, if any."""
        if self._tar is not None:
            self._tar.close()
            self.sha256[self.name] = self._file.sha256.hexdigest()
            self._open.close()
            self._tar, self._count = None, 0

    def _begin(self) -> tarfile.TarFile:
        beside = self._open.enter_context(replacing(self.folder / self.name))
        self._file = _HashingFile(self._open.enter_context(beside.open("wb")))
        self._tar = tarfile.TarFile(
            fileobj=self._file,  # type: ignore[arg-type]
            mode="w",
            format=tarfile.USTAR_FORMAT,
        )
        return self._tar


def extension(data: bytes) -> str:
    """The suffix that an image's first bytes ask for; `.jpg` when they say nothing."""
    return next((suffix for magic, suffix in _MAGIC.items() if data.startswith(magic)), ".jpg")


def iter_shard(path: Path, file: BinaryIO | None = None) -> Iterator[ShardImage]:
    """The images of a shard, in order, one in memory at a time.

    Args:
        file: to read instead, where the shard is not at hand as a file; the path names it.

    Raises:
        ShardError: the shard is missing, truncated, or not a shard.
        WorkspaceError: the disk or the connection fails; the shard may be sound.
    """
    try:
        with _tar(path, file) as tar:
            for member in entries_of(tar):
                image = plain_file(tar, member)
                if member.size > MAX_IMAGE_BYTES:
                    text = f"{member.size} bytes, at most {MAX_IMAGE_BYTES} are read"
                    raise ShardError(f"{path}: {member.name!r}: {text}; {_NEXT}")
                if image is None:
                    raise ShardError(f"{path}: {member.name!r} is not a plain file; {_NEXT}")
                yield ShardImage(Path(member.name).stem, member.offset_data, image.read())
    except FileNotFoundError as error:
        raise ShardError(f"{path}: missing; {_NEXT}") from error
    except (tarfile.TarError, EOFError, ValueError, LookupError, RecursionError) as error:
        raise ShardError(f"{path}: truncated or not a shard ({error}); {_NEXT}") from error
    except OSError as error:
        check_known(error, path)
        raise WorkspaceError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextmanager
def _tar(path: Path, file: BinaryIO | None) -> Iterator[tarfile.TarFile]:
    with (
        open_plain(path) if file is None else nullcontext(file) as opened,
        tarfile.TarFile.open(path, "r:", fileobj=opened, tarinfo=StrictTarInfo) as tar,
    ):
        yield tar


def read_image(path: Path, offset: int, size: int) -> bytes:
    """The bytes of one image, with one seek.

    Raises:
        ShardError: the shard is missing or ends too early, or no image is of that size.
    """
    if not (offset >= 0 and 0 <= size <= MAX_IMAGE_BYTES):
        text = f"an image of {size} bytes at {offset}, at most {MAX_IMAGE_BYTES} are read"
        raise ShardError(f"{path}: {text}; {_NEXT}")
    try:
        with open_plain(path) as file:
            file.seek(offset)
            data = file.read(size)
    except FileNotFoundError as error:
        raise ShardError(f"{path}: {error.strerror}; {_NEXT}") from error
    except OSError as error:  # the shard may be sound
        check_known(error, path)
        raise WorkspaceError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) < size:
        raise ShardError(f"{path}: ends after {offset + len(data)} bytes, {offset + size} expected")
    return data
