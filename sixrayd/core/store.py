"""A folder at a path or URL: on this machine, in S3 or Google storage, or wherever fsspec goes."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import pyarrow as pa
from pyarrow import fs as arrow_fs

from sixrayd.core.ahead import begun_ahead
from sixrayd.core.errors import ShardError, SixraydError, WorkspaceError
from sixrayd.core.files import MOST_BYTES, open_plain, plain_bytes, write_bytes
from sixrayd.core.pace import begun, in_time, within
from sixrayd.core.storage import without_threads

_PIECE = 8 << 20  # bytes a request
_AHEAD = 3  # pieces under way: one connection to S3 is slower than one GPU
_BUCKETS = {
    # One request for a small object, where the default opens an upload in several parts.
    "s3": "allow_delayed_open=true",
    # The default tries for a quarter of an hour before it says that nobody answers.
    "gs": "retry_limit_seconds=60",
    "gcs": "retry_limit_seconds=60",
}
_NOISE = re.compile(r" \(Request ID| Detail:|; Details:| error_info=|\n")


class Store:
    """Files of one folder, each there whole or not at all. Can be pickled.

    Args:
        url: a path, or `file://`, `s3://BUCKET/FOLDER`, `gs://BUCKET/FOLDER`, or any URL that
            fsspec knows. The usual variables and files bring keys and regions;
            `?endpoint_override=HOST:PORT&scheme=http` names another S3 server.

    Raises:
        WorkspaceError: by every method: the storage cannot be reached, refuses, or has no such
            bucket; or a name is not a plain file name. Keys in the URL stay out of messages.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self.scheme = self.url.partition("://")[0] if "://" in self.url else "file"
        self.place = _place(self.url)

    def __repr__(self) -> str:
        return f"Store({self.place!r})"

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.url,)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if path := self.local(name):
            return path.is_file()
        with self._failures(name):
            info = within(lambda: self._fs.get_file_info(self._path(name)), self.place)
        return bool(info.is_file)

    def names(self) -> set[str]:
        """Files right in the folder; an absent folder has none, and unfinished ones stay out."""
        with self._failures():
            if self.scheme == "file":
                entries = os.scandir(self._root) if Path(self._root).is_dir() else ()
                found = {entry.name for entry in entries if entry.is_file()}
            else:
                selector = arrow_fs.FileSelector(self._root, allow_not_found=True)
                listed = within(lambda: self._fs.get_file_info(selector), self.place)
                found = {info.base_name for info in listed if info.is_file}
        if not found:
            self._check_bucket()
        return {name for name in found if not name.startswith(".")}

    def open(self, name: str) -> BinaryIO:
        """A file for reading from its start to its end; seeking goes forwards only.

        Raises:
            ShardError: there is no such file.
        """
        try:
            if path := self.local(name):
                with self._failures(name, ShardError):
                    return open_plain(path)
            with self._failures(name, ShardError):
                file, size = within(lambda: self._opened_file(name), self.place)
                ahead = _Ahead(file, size, f"{self.place}/{name}", _secrets(self.url))
        except ShardError:
            self._check_bucket()
            raise
        return io.BufferedReader(ahead, 1 << 20)

    def read_bytes(self, name: str, most: int = MOST_BYTES) -> bytes:
        """A whole file; one of more bytes than `most` is refused by what the storage says of it."""
        with self._failures(name):
            if path := self.local(name):
                return plain_bytes(path, most)
            file, size = within(lambda: self._opened_file(name), self.place)
            if size > most:
                raise ValueError(f"more than {most} bytes")
        with _Ahead(file, size, f"{self.place}/{name}", _secrets(self.url)) as ahead:
            return ahead.readall()

    def write_bytes(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a file whole or not at all: killed at any moment, it is the old or the new."""
        with self._failures(name):
            if path := self.local(name):
                write_bytes(path, data)
                return
            # Ctrl-C between opening and writing would leave an empty object; a thread gets none.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(self._put, name, data).result()

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._failures(name), suppress(FileNotFoundError):
            if path := self.local(name):
                path.unlink()
            else:
                within(lambda: self._fs.delete_file(self._path(name)), self.place)

    def local(self, name: str) -> Path | None:
        """The file's path where it is on this machine."""
        path = self._path(name)
        return Path(path) if self.scheme == "file" else None

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        if self.scheme == "file":
            path = url2pathname(urlsplit(self.url).path) if "://" in self.url else self.url
            return None, path
        if query := _BUCKETS.get(self.scheme):
            url = self.url + ("&" if "?" in self.url else "?") + query
        else:
            url = f"fsspec+{self.url}"
        with self._failures():
            fs, root = within(lambda: arrow_fs.FileSystem.from_uri(url), self.place)
        return fs, root.rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _path(self, name: str) -> str:
        if not name or name != Path(name).name or name.startswith("."):
            raise WorkspaceError(f"{self.place}: name {name!r}: needs to be a plain file name")
        return f"{self._root}/{name}"

    def _opened_file(self, name: str) -> tuple[Any, int]:
        file = self._fs.open_input_file(self._path(name))
        return file, file.size()

    def _put(self, name: str, data: bytes | pa.Buffer) -> None:
        if self.scheme in _BUCKETS:
            self._stream(self._path(name), data)
            return
        beside = f"{self._root}/.{name}.{os.getpid()}.part"
        self._fs.create_dir(self._root, recursive=True)
        self._stream(beside, data)
        self._fs.move(beside, self._path(name))

    def _stream(self, path: str, data: bytes | pa.Buffer) -> None:
        with self._fs.open_output_stream(path, compression=None) as file:
            file.write(data)

    def _check_bucket(self) -> None:
        """Tell an absent bucket from an absent folder."""
        if self.scheme in _BUCKETS:
            bucket = self._root.partition("/")[0]
            with self._failures():
                info = within(lambda: self._fs.get_file_info(bucket), self.place)
                if info.type == arrow_fs.FileType.NotFound:
                    raise WorkspaceError(f"{self.place}: there is no bucket {bucket!r}")

    @contextmanager
    def _failures(
        self, name: str = "", absent: type[WorkspaceError | ShardError] = WorkspaceError
    ) -> Iterator[None]:
        where = f"{self.place}/{name}" if name else self.place
        try:
            yield
        except FileNotFoundError as error:
            raise absent(f"{where}: missing") from error
        except Exception as error:  # each storage's library has errors of its own
            if _is_ours(error):
                raise
            raise _told(where, error, _secrets(self.url)) from None  # its text may hold keys


class _Ahead(io.RawIOBase):
    """A remote file read forwards in large pieces, the next being fetched while one is used."""

    def __init__(self, file: Any, size: int, where: str, secrets: Sequence[str] = ()) -> None:
        self._file, self._size, self._where, self._secrets = file, size, where, secrets
        self._coming = begun_ahead(self._fetch, range(0, size, _PIECE), _AHEAD)
        self._piece, self._at = memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (0, self._at, self._size)[whence]
        if target < self._at:
            raise io.UnsupportedOperation(f"{self._where}: is read forwards only")
        while self._at < target and self._take(target - self._at):
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        taken = self._take(len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        # The collector may call this wherever it runs, be it while a thread is being started: none
        # is waited for. The last read under way lets go of the file, which closes it.
        if not self.closed:
            del self._file
        super().close()

    def _take(self, most: int) -> memoryview:
        if not self._piece:
            self._piece = memoryview(self._next())
        taken, self._piece = self._piece[:most], self._piece[most:]
        self._at += len(taken)
        return taken

    def _next(self) -> bytes:
        size, future = next(self._coming, (0, None))
        if future is None:
            return b""
        try:
            data = in_time(future, self._where)
        except Exception as error:
            if _is_ours(error):
                raise
            raise _told(self._where, error, self._secrets) from None
        if len(data) < size:
            raise WorkspaceError(f"{self._where}: has become shorter while it was read")
        return data

    def _fetch(self, offset: int) -> tuple[int, Future[bytes]]:
        size = min(_PIECE, self._size - offset)
        return size, begun(partial(self._file.read_at, size, offset))


def absolute_url(url: str) -> str:
    """The URL, or the path, so that it means the same in whatever folder a process runs."""
    return url if "://" in url else str(Path(url).resolve())


def _place(url: str) -> str:
    """A URL that may be shown: no user, key or query."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url.rstrip("/") or "/"
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0].rstrip('/')}"


def _secrets(url: str) -> list[str]:
    """What of a URL an error's text may not repeat."""
    rest = url.partition("://")[2]
    keys, query = rest.rpartition("@")[0], rest.partition("?")[2]
    password = keys.partition(":")[2]
    found = (url, keys, password, query, *re.split("[/?#]", password))  # it might end a host
    return [secret for each in found for secret in (each, unquote(each)) if secret]


def _is_ours(error: Exception) -> bool:
    """Whether it is no error of a storage, or one that is told already."""
    if isinstance(error, RuntimeError) and without_threads(error):
        return True
    return isinstance(error, MemoryError | SixraydError) and not isinstance(error, OSError)


def _told(where: str, error: Exception, secrets: Sequence[str]) -> WorkspaceError:
    reason = _reason(error)
    for secret in secrets:
        reason = reason.replace(secret, "…")
    return WorkspaceError(f"{where}: {reason}")


def _reason(error: Exception) -> str:
    """One line of what a storage library says."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = _NOISE.split(said)[0]
    return text[max(text.find("AWS Error"), 0) :][:300]
