"""Bringing a release from a URL: resumed, checked, and stored whole or not at all."""

import json
import os
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

import httpx

from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import sha256_file, sync_folder, write_json
from sixrayd.core.resources import resource
from sixrayd.download.faults import Faults
from sixrayd.download.release import SUMS, read_sums

_ATTEMPTS = 5
_CHUNK = 1 << 20
_TIMEOUT_S = 60.0
Report = Callable[[str, int, int], None]  # of what, how much is done, of how much (0: unknown)


@dataclass(frozen=True, slots=True)
class ReleasePlace:
    """Where a release is: a folder here, or a URL with the files to expect there."""

    folder: Path | None = None
    url: str = ""
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What may be written down: no user, password or query."""
        if self.folder is not None:
            return str(self.folder.resolve())
        parts = urlsplit(self.url)
        host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
        return urlunsplit((parts.scheme, host, parts.path, "", ""))


def find_place(release: str) -> ReleasePlace:
    """What `--release` means: a folder, a URL, or a name in `manifests/sources.toml`.

    Raises:
        ReleaseError: it is none of them.
    """
    sources = tomllib.loads(resource("manifests", "sources.toml").read_text("utf-8"))
    if release.startswith("file://"):
        release = url2pathname(urlsplit(release).path)
    elif "://" in release:
        return ReleasePlace(url=release, files=tuple(sources["sixray"]["files"]))
    if Path(release).is_dir():
        return ReleasePlace(folder=Path(release))
    if release in sources:
        return ReleasePlace(url=sources[release]["url"], files=tuple(sources[release]["files"]))
    raise ReleaseError(
        f"release {release!r}: no such folder, no URL, and none of the known names "
        f"({', '.join(sources)})"
    )


def fetch_release(place: ReleasePlace, folder: Path, faults: Faults, report: Report) -> Path:
    """Bring the files that are not here yet; a part of a file is kept beside and resumed.

    Returns:
        The folder with the files.

    Raises:
        ReleaseError: nothing is there, the transfer fails for good, or a fault stops.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder / "source.json", place)
    with _open_source(place.url, report) as source:
        if not (folder / SUMS).exists():
            source.store(SUMS, folder / SUMS)
        sums = _sums(folder / SUMS)
        names = tuple(sums) or place.files
        for name in names:
            path = folder / name
            if not path.exists() and not source.store(name, path, sums.get(name, "")):
                faults.add(f"{place.name.rstrip('/')}/{name}", "not there")
    if not any((folder / name).exists() for name in names):
        raise ReleaseError(f"{place.name}: none of {', '.join(names[:3])} … is there")
    return folder


def _sums(path: Path) -> dict[str, str]:
    try:
        return read_sums(path) if path.exists() else {}
    except ReleaseError:
        path.unlink()  # a page that was served in its place must not stay
        raise


class _HttpSource:
    """A folder served over HTTP."""

    def __init__(self, url: str, client: httpx.Client, report: Report) -> None:
        self._base = httpx.URL(url).copy_with(fragment=None)
        self._client, self._report = client, report

    def store(self, name: str, path: Path, sha256: str = "") -> bool:
        """Fetch one file whole; False when the server does not have it."""
        where = str(self._url(name).copy_with(userinfo=b"", query=None))
        part, farthest, failures = _part(path), -1, 0
        while True:
            try:
                if not self._append(name, part, where):
                    return False
                break
            except (httpx.TransportError, _IncompleteError) as error:
                size = part.stat().st_size if part.exists() else 0
                failures = 1 if size > farthest else failures + 1  # since the last progress
                farthest = max(farthest, size)
                if failures == _ATTEMPTS:
                    text = str(error) or type(error).__name__
                    raise ReleaseError(f"{where}: {text}; run it again to go on") from error
                time.sleep(0.1 * 2**failures)
        _keep(path, where, sha256)
        return True

    def _url(self, name: str) -> httpx.URL:
        return self._base.copy_with(path=self._base.path.rstrip("/") + "/" + name)

    def _append(self, name: str, part: Path, where: str) -> bool:
        seen = _validator(part)
        done = part.stat().st_size if part.exists() and seen else 0
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers |= {"Range": f"bytes={done}-", "If-Range": seen}
        with self._client.stream("GET", self._url(name), headers=headers) as answer:
            if answer.status_code in (403, 404, 410):  # object stores answer 403 for a missing one
                return False
            if answer.status_code == 416:
                if answer.headers.get("content-range") == f"bytes */{done}":
                    return True  # all of it is here
                part.unlink()
                raise _IncompleteError("its size has changed")
            if answer.status_code >= 500:
                raise _IncompleteError(f"the server answered {answer.status_code}")
            if answer.status_code not in (200, 206):
                raise ReleaseError(f"{where}: the server answered {answer.status_code}")
            resumed = answer.status_code == 206 and _starts_at(answer, done)
            _remember(part, answer)
            with part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_raw():
                    file.write(chunk)
                    self._report(name, file.tell(), _total(answer, done if resumed else 0))
            _check_length(part, answer, done if resumed else 0)
        return True


class _FsspecSource:
    """A folder in any storage that fsspec knows."""

    def __init__(self, url: str, report: Report) -> None:
        import fsspec

        self._report = report
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ReleaseError(
                f"{ReleasePlace(url=url).name}: cannot be opened ({error})"
            ) from error

    def store(self, name: str, path: Path, sha256: str = "") -> bool:
        """Fetch one file whole; False when the storage does not have it."""
        remote, part = f"{self._root.rstrip('/')}/{name}", _part(path)
        try:
            size = self._fs.size(remote)
            done = part.stat().st_size if part.exists() else 0
            with self._fs.open(remote, "rb") as source, part.open("ab") as file:
                source.seek(done if done <= size else file.truncate(0))
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
                    self._report(name, file.tell(), size)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ReleaseError(f"{name}: {error}; run it again to go on") from error
        _keep(path, name, sha256)
        return True


class _IncompleteError(Exception):
    """A transfer ended early and can be tried again."""


@contextmanager
def _open_source(url: str, report: Report) -> Iterator[_HttpSource | _FsspecSource]:
    if not url.startswith(("http://", "https://")):
        yield _FsspecSource(url, report)
        return
    hooks: dict[str, list[Any]] = {"response": [_refuse_downgrade]}
    with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True, event_hooks=hooks) as client:
        yield _HttpSource(url, client, report)


def _refuse_downgrade(answer: httpx.Response) -> None:
    if answer.has_redirect_location and answer.url.scheme == "https":
        target = answer.url.join(answer.headers["location"])
        if target.scheme != "https":
            raise ReleaseError(
                f"{answer.url.host}: redirects from https to {target.scheme}; refused: "
                "name the other address yourself if you trust it"
            )


def _claim(path: Path, place: ReleasePlace) -> None:
    """Make sure that files of two places never mix."""
    if path.exists() and (other := json.loads(path.read_text("utf-8"))["url"]) != place.name:
        raise ReleaseError(
            f"{path.parent}: holds files of {other}; remove it, or name another workspace with -w"
        )
    write_json(path, {"url": place.name})


def _part(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.part")


def _validator(part: Path) -> str:
    beside = part.with_suffix(".validator")
    return beside.read_text("utf-8") if beside.exists() else ""


def _remember(part: Path, answer: httpx.Response) -> None:
    tag = answer.headers.get("etag", "")
    mark = answer.headers.get("last-modified", "") if not tag or tag.startswith("W/") else tag
    part.with_suffix(".validator").write_text(mark, "utf-8")


def _starts_at(answer: httpx.Response, done: int) -> bool:
    if not answer.headers.get("content-range", "").startswith(f"bytes {done}-"):
        raise _IncompleteError("the server sent another range than asked for")
    return True


def _total(answer: httpx.Response, done: int) -> int:
    return done + int(answer.headers.get("content-length", -done))


def _check_length(part: Path, answer: httpx.Response, done: int) -> None:
    expected = answer.headers.get("content-length")
    found = part.stat().st_size - done
    if expected is not None and found != int(expected):
        raise _IncompleteError(f"{found} of {expected} bytes came")


def _keep(path: Path, where: str, sha256: str) -> None:
    """Give a complete part its name."""
    part = _part(path)
    part.with_suffix(".validator").unlink(missing_ok=True)
    if sha256 and (found := sha256_file(part)) != sha256:
        part.unlink()
        raise ReleaseError(
            f"{where}: SHA-256 is {found[:12]}…, {SUMS} says {sha256[:12]}…; run it again"
        )
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)
