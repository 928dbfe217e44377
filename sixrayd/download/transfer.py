"""The transfer of one file over HTTP or from any storage: resumed, repeated, and never glued."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from sixrayd.core.answers import PLAIN, no_cookies, packed_as, unread_redirect
from sixrayd.core.documents import NONSENSE
from sixrayd.core.errors import ReleaseError, SixraydError
from sixrayd.core.files import make_folder, open_to_append, plain_bytes, remove_link
from sixrayd.core.pace import LateError, Pace, Peer, within
from sixrayd.core.printing import echo
from sixrayd.core.progress import Report
from sixrayd.core.storage import refusals_told
from sixrayd.download.release import start_of, wrong_start
from sixrayd.download.sources import shown_url

_CHUNK = 1 << 20
_FREE = 256 << 20  # bytes that stay free
_LOOK = 64 << 20  # bytes of the disk that are taken between two looks at that
_BLOCK = 4096  # bytes that a file takes at least
_ABSENT = (403, 404, 410)  # object stores answer 403 for a missing one
_GONE = (404, 410)
_AGAIN = (408, 425, 429)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a transfer waits, in seconds, and how often it tries."""

    attempts: int = 5  # without a byte of progress
    timeout_s: float = 60.0  # that a server may be silent
    pause_s: float = 0.2  # after the first failure; doubled after each further one
    longest_s: float = 600.0  # that a server may ask for with Retry-After
    least: int = 64 << 10  # bytes that come in twice `timeout_s`

    def pace(self, whom: str) -> Pace:
        """Of one request; silence is noticed before it."""
        return Pace(self.timeout_s, self.least, Peer(whom))


class AbsentError(Exception):
    """A mirror does not have the file."""


class _AgainError(Exception):
    """A transfer ended early and can be tried again."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


@dataclass(slots=True)
class Traffic:
    """What all transfers have brought, for progress; ends them when the work stops."""

    report: Report
    total: int = 0  # bytes, 0 is unknown
    stop: Event = field(default_factory=Event)
    _done: dict[Path, int] = field(default_factory=dict)
    _in_all: int = 0  # bytes of all parts
    _unlooked: int = 0  # bytes of the disk since its room was looked at
    _lock: Lock = field(default_factory=Lock)

    def at(self, part: Path, size: int, most: int = 0) -> None:
        """A part has grown to this size.

        Args:
            most: bytes that it may have; 0 is unknown.

        Raises:
            ReleaseError: the work has stopped, the part is too large, or fills the disk.
        """
        if self.stop.is_set():
            raise ReleaseError("another transfer has stopped")
        if most and size > most:
            raise ReleaseError(f"more than {most} bytes came, expected no more; run it again")
        with self._lock:
            more = size - self._done.get(part, 0)
            self._unlooked += more if part in self._done else max(more, _BLOCK)
            if self._unlooked >= _LOOK:
                self._unlooked = 0
                if shutil.disk_usage(part.parent).free < _FREE:
                    raise ReleaseError(
                        f"less than {_FREE >> 20} MiB are left on the disk; make room"
                    )
            self._done[part] = size
            self._in_all += more
            self.report("MB fetched", self._in_all >> 20, self.total >> 20)


class Mirror(Protocol):
    """A place with the files of a release."""

    name: str  # that may be shown

    def size(self, file: str) -> int | None:
        """Bytes of a file, where the place says so.

        Raises:
            AbsentError: it does not have the file.
            ReleaseError: it does not answer.
        """

    def bring(self, file: str, part: Path, most: int = 0) -> None:
        """Bring what a part lacks, so that it is whole.

        Args:
            most: bytes that it may have; 0 is unknown.

        Raises:
            AbsentError: the place does not have the file.
            ReleaseError: the transfer fails for good; the message is a reason without a place.
        """


class HttpMirror:
    """A folder served over HTTP."""

    def __init__(
        self, url: str, client: httpx.Client, patience: Patience, traffic: Traffic
    ) -> None:
        self.name = shown_url(url)
        self._base = httpx.URL(url).copy_with(fragment=None)
        self._client, self._patience, self._traffic = client, patience, traffic
        self._attempts = patience.attempts

    def size(self, file: str) -> int | None:
        pace = self._patience.pace(self.name)
        try:
            url = self._url(file)
            with pace:
                said: dict[str, Any] = {"headers": PLAIN, "extensions": pace.extensions}
                answer = self._client.head(url, **said)
                if answer.status_code not in (200, *_GONE):  # some know no HEAD
                    said["headers"] = PLAIN | {"Range": "bytes=0-0"}
                    with self._client.stream("GET", url, **said) as got:
                        answer = got
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ReleaseError) as error:
            if pace.too_slow or isinstance(error, httpx.TimeoutException):
                raise ReleaseError("does not answer") from error
            return None  # fetching it will tell
        if answer.status_code in _ABSENT:
            raise AbsentError(str(answer.status_code))
        length = answer.headers.get("content-length", "")
        if answer.status_code == 206:
            length = answer.headers.get("content-range", "").rpartition("/")[2]
        known = answer.status_code in (200, 206) and length.isdecimal() and len(length) < 20
        return int(length) if known else None

    def bring(self, file: str, part: Path, most: int = 0) -> None:
        farthest, failures = -1, 0
        kept, spent_s = _size(part), 0.0  # since so many bytes came as the pace asks for
        begun = time.monotonic()
        while True:
            try:
                self._append(file, part, most)
                self._attempts = self._patience.attempts
                return
            except (httpx.InvalidURL, ValueError) as error:  # of a redirect, or by its name
                raise ReleaseError(f"not a URL ({error})") from error
            except (httpx.HTTPError, _AgainError) as error:
                size = _size(part)
                spent_s += time.monotonic() - begun  # with the wait before it
                begun = time.monotonic()
                periods = spent_s / (2 * self._patience.timeout_s)
                if size - kept >= self._patience.least * max(periods, 1):
                    kept, periods, spent_s = size, 0.0, 0.0
                late = periods >= 1
                # Since the last progress; a byte an attempt would be some for ever.
                failures = 1 if size > farthest and not late else failures + 1
                farthest = max(farthest, size)
                self._wait(error, failures)

    def _wait(self, error: Exception, failures: int) -> None:
        """Pause before another attempt.

        Raises:
            ReleaseError: it is not worth one.
        """
        reason = str(error) or type(error).__name__
        asked = getattr(error, "after_s", 0.0)
        if failures >= self._attempts:
            self._attempts = 1  # for the next file: another mirror may have it
            raise ReleaseError(f"{reason}; run it again to go on") from error
        if asked > self._patience.longest_s:
            raise ReleaseError(
                f"{reason} and asks for a wait of {asked:.0f} s; run it again then"
            ) from error
        if asked or failures > 1 or isinstance(error, httpx.TimeoutException | LateError):
            told = f"; asks for a wait of {asked:.0f} s" if asked else "; tried again"
            echo(f"{self.name}: {reason}{told}", err=True)
        if self._traffic.stop.wait(max(asked, self._patience.pause_s * 2 ** (failures - 1))):
            raise ReleaseError(reason) from error

    def _url(self, file: str) -> httpx.URL:
        return self._base.copy_with(path=self._base.path.rstrip("/") + "/" + file)

    def _append(self, file: str, part: Path, most: int) -> None:
        seen = _validator(part, self.name)
        done = _size(part) if seen else 0
        headers = dict(PLAIN)
        if done > 0:
            headers |= {"Range": f"bytes={done}-", "If-Range": seen}
        with self._patience.pace(self.name) as pace:
            try:
                ends = self._append_at(pace, file, part, most, done, seen, headers)
            except httpx.HTTPError as error:
                if pace.too_slow:
                    raise _AgainError(pace.too_slow) from error
                raise
        if not ends:
            self._check_size(file, part)

    def _check_size(self, file: str, part: Path) -> None:
        """Ask how much there is: an answer that ends with its connection may be cut off anywhere.

        Raises:
            _AgainError: less came.
        """
        with suppress(AbsentError, ReleaseError):  # it does not say
            if (size := self.size(file) or 0) > _size(part):
                raise _AgainError(f"{_size(part)} of {size} bytes came")

    def _append_at(
        self,
        pace: Pace,
        file: str,
        part: Path,
        most: int,
        done: int,
        seen: str,
        headers: dict[str, str],
    ) -> bool:
        """Whether the answer says where it ends."""
        url, extensions = self._url(file), dict(pace.extensions)
        with self._client.stream("GET", url, headers=headers, extensions=extensions) as answer:
            if answer.status_code == 416 and done:
                _check_all_is_here(answer, part, done)
                return True
            _check_status(answer)
            if answer.status_code == 206:
                _check_resumed(answer, part, done, seen)
            if answer.status_code != 206 or not done:  # what lies there has no known version
                _begin_anew(part, _mark(answer), self.name)
            self._receive(answer, file, part, most, pace)
            if answer.status_code == 206:
                _check_its_end(answer, part)
            return not {"content-length", "transfer-encoding"}.isdisjoint(answer.headers)

    def _receive(
        self, answer: httpx.Response, file: str, part: Path, most: int, pace: Pace
    ) -> None:
        start = max(_size(part), 0)
        length = answer.headers.get("content-length")
        with refusals_told(part), open_to_append(part) as out:
            for chunk in answer.iter_raw():
                if out.tell() == 0 and start_of(file) is not None and (page := wrong_start(chunk)):
                    raise ReleaseError(page)
                out.write(chunk)
                pace.came(len(chunk))
                self._traffic.at(part, out.tell(), most)
        if length is not None and _size(part) - start != int(length):
            raise _AgainError(f"{_size(part) - start} of {length} bytes came")


class StorageMirror:
    """A folder in any storage that fsspec knows."""

    def __init__(self, url: str, traffic: Traffic) -> None:
        import fsspec

        self.name, self._traffic = shown_url(url), traffic
        try:
            self._fs, root = within(lambda: fsspec.core.url_to_fs(url), self.name)
        except (ValueError, ImportError) as error:
            raise ReleaseError(f"{self.name}: cannot be opened ({error})") from error
        except (SixraydError, MemoryError):
            raise
        except Exception as error:  # some sign in at once
            raise ReleaseError(f"{self.name}: cannot be opened ({_foreign(error)})") from None
        self._root = root.rstrip("/")

    def size(self, file: str) -> int | None:
        with self._failures():
            size = within(lambda: self._fs.size(f"{self._root}/{file}"), self.name)
        return None if size is None else int(size)

    def bring(self, file: str, part: Path, most: int = 0) -> None:
        remote = f"{self._root}/{file}"
        with self._failures():
            told = within(lambda: (self._fs.size(remote), self._fs.ukey(remote)), self.name)
            size, mark = told[0], str(told[1])
            if mark != _validator(part, self.name) or (size is not None and _size(part) > size):
                _begin_anew(part, mark, self.name)
            source = within(lambda: self._fs.open(remote, "rb"), self.name)
        with source, refusals_told(part), open_to_append(part) as out:
            with self._failures():
                source.seek(out.tell())
            while chunk := self._read(source):
                out.write(chunk)
                self._traffic.at(part, out.tell(), most)
        if size is not None and _size(part) != size:
            raise ReleaseError(f"{_size(part)} of {size} bytes came; run it again to go on")

    def _read(self, source: Any) -> bytes:
        with self._failures():
            return bytes(within(lambda: source.read(_CHUNK), self.name))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise AbsentError("not there") from error
        except SixraydError:
            raise
        except Exception as error:  # each storage has errors of its own
            raise ReleaseError(f"{_foreign(error)}; run it again to go on") from None


def _foreign(error: Exception) -> str:
    """What may be told of a storage library's error: no keys, no URL."""
    late = isinstance(error, LateError)
    return str(error) if late else getattr(error, "strerror", None) or type(error).__name__


@contextmanager
def web_client() -> Iterator[httpx.Client]:
    """A client that follows redirects, but none from https to another scheme."""
    hooks: dict[str, list[Any]] = {"response": [_refuse_downgrade, unread_redirect]}
    limits = httpx.Limits(max_keepalive_connections=0)  # see `Pace`
    with httpx.Client(
        limits=limits, cookies=no_cookies(), follow_redirects=True, event_hooks=hooks
    ) as client:
        yield client


def _refuse_downgrade(answer: httpx.Response) -> None:
    """Never go on without encryption where it began with it.

    Raises:
        ReleaseError: the answer sends us there.
    """
    if answer.has_redirect_location and answer.url.scheme == "https":
        scheme = urlsplit(str(answer.url.join(answer.headers["location"]))).scheme
        if scheme != "https":
            raise ReleaseError(
                f"redirects from https to {scheme}; refused: name the other address yourself if "
                "you trust it"
            )


def part_of(path: Path) -> Path:
    """Where a file grows until it is whole."""
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    remove_link(part.with_suffix(".validator"))
    return remove_link(part)


def forget(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    part.with_suffix(".validator").unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _validator(part: Path, mirror: str) -> str:
    """What a mirror called the version that a part is of; empty where another brought it."""
    beside = part.with_suffix(".validator")
    mark, _, whose = (
        plain_bytes(beside).decode("utf-8", "replace") if beside.exists() else ""
    ).partition("\n")
    return mark if whose in ("", mirror) else ""  # earlier versions had one mirror


def _begin_anew(part: Path, mark: str, mirror: str) -> None:
    with refusals_told(part):
        part.unlink(missing_ok=True)  # first: a new mark never stands beside old bytes
        part.with_suffix(".validator").write_text(f"{mark}\n{mirror}" if mark else "", "utf-8")


def _mark(answer: httpx.Response) -> str:
    """A strong validator of what a server sends; empty where none comes that can be sent back."""
    tag = str(answer.headers.get("etag", ""))
    weak = not tag or tag.startswith("W/")
    mark = str(answer.headers.get("last-modified", "")) if weak else tag
    return mark if mark.isascii() and mark.isprintable() else ""


def _check_status(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in _ABSENT:
        raise AbsentError(str(status))
    if status >= 500 or status in _AGAIN:
        raise _AgainError(f"the server answered {status}", _asked_wait_s(answer))
    if status not in (200, 206):
        raise ReleaseError(f"the server answered {status}")
    if coding := packed_as(answer):
        raise ReleaseError(f"the server encodes it as {coding!r}, which nobody asked for")


def _asked_wait_s(answer: httpx.Response) -> float:
    """What Retry-After says, in seconds or as a date."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said[:9])
    try:
        return max((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds(), 0.0)
    except NONSENSE:  # of a year beyond all others, too
        return 0.0


def _check_all_is_here(answer: httpx.Response, part: Path, done: int) -> None:
    if answer.headers.get("content-range") != f"bytes */{done}":
        forget(part)
        raise _AgainError("its size has changed")


def _check_its_end(answer: httpx.Response, part: Path) -> None:
    """Of the rest that is asked for, a server may send any part."""
    total, size = answer.headers.get("content-range", "").rpartition("/")[2], str(_size(part))
    if total.isdecimal() and total != size:
        raise _AgainError(f"{size} of {total[:20]} bytes came")


def _check_resumed(answer: httpx.Response, part: Path, done: int, seen: str) -> None:
    if not answer.headers.get("content-range", "").startswith(f"bytes {done}-"):
        forget(part)
        raise _AgainError("the server sent another range than asked for")
    if (mark := _mark(answer)) and mark != seen:
        forget(part)
        raise _AgainError("it has changed since its first bytes came")
