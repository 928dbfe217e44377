"""What was fetched, from where, and its hash: recorded at first, compared after."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import plain_text, write_json
from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.place import ReleasePlace
from sixrayd.download.sources import shown_url


@dataclass(frozen=True, slots=True)
class Receipt:
    """One file as it came."""

    file: str
    bytes: int
    sha256: str
    mirror: str  # that may be written down


class Receipts:
    """`source.json` of a workspace's release folder."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path, self._document, self._lock = path, document, Lock()

    @classmethod
    def open(cls, folder: Path, place: ReleasePlace) -> "Receipts":
        """Make sure that files of two places never mix.

        Raises:
            ReleaseError: the folder holds files of another place, or its `source.json` is broken.
        """
        path = folder / "source.json"
        for left in folder.glob(".source.json.*.part"):  # by a kill
            left.unlink()
        document = _read(path) or {"url": place.name}
        if document["url"] not in [shown_url(url) for url in place.mirrors]:
            raise ReleaseError(
                f"{folder}: holds files of {document['url']}; remove it, or name another "
                "workspace with -w"
            )
        receipts = cls(path, {"files": {}, **document})
        receipts._write()
        return receipts

    @property
    def asked_for_sums(self) -> bool:
        """Whether the mirrors were asked for SHA256SUMS before, and had none."""
        return bool(self._document.get("sums") is False)

    def note_sums(self) -> None:
        """Write down whether there are published sums."""
        self._document["sums"] = (self._path.parent / "SHA256SUMS").exists()
        self._write()

    def sha256(self, file: str) -> str:
        """The hash of a file as it came first; empty where it never came."""
        return str(self._document["files"].get(file, {}).get("sha256", ""))

    def add(self, receipt: Receipt) -> None:
        """Record a file that came."""
        with self._lock:
            self._document["files"][receipt.file] = {
                "bytes": receipt.bytes,
                "sha256": receipt.sha256,
                "from": receipt.mirror,
            }
            self._write()

    def compare(self, paths: Sequence[Path], workspace: Workspace, faults: Faults) -> None:
        """Compare files with what is recorded of them, and record those that are not yet."""
        found = workspace.inputs(*paths)
        for path, digest in zip(paths, found.values(), strict=True):
            name = path.relative_to(self._path.parent).as_posix()
            first = self.sha256(name)
            if first and first != digest:
                faults.add(
                    name,
                    f"SHA-256 is {digest[:12]}…, was {first[:12]}… when it was fetched; remove "
                    "it to fetch it again",
                )
            elif not first:
                self.add(Receipt(name, path.stat().st_size, digest, ""))

    def _write(self) -> None:
        write_json(self._path, self._document)


def _read(path: Path) -> dict[str, Any] | None:
    """The document; None where there is none yet."""
    try:
        document = parse_json(plain_text(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from error
    files = document.get("files", {}) if isinstance(document, dict) else None
    good = isinstance(files, dict) and all(isinstance(file, dict) for file in files.values())
    if not good or not isinstance(document.get("url"), str):
        raise _broken(path, "expected an object with url and files")
    return dict(document)


def _broken(path: Path, reason: str) -> ReleaseError:
    return ReleaseError(
        f"{path}: cannot be read ({reason}); remove {path.parent} to fetch anew, or name another "
        "workspace with -w"
    )
