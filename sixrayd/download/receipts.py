"""What was fetched, from where, and its hash: recorded at first, compared after."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import open_to_append, plain_lines, plain_text, write_json
from sixrayd.core.storage import refusals_told
from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.place import ReleasePlace
from sixrayd.download.sources import shown_url

ARRIVED = "arrived.jsonl"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One file as it came."""

    file: str
    bytes: int
    sha256: str
    mirror: str  # that may be written down


class Receipts:
    """`source.json` of a workspace's release folder, and beside it what came since it was written:
    a release may have a file for each image.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path, self._document, self._lock = path, document, Lock()
        self._arrived = path.with_name(ARRIVED)

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
        names = [shown_url(url) for url in place.mirrors]
        alone = [each.name for each in folder.glob("*")] == [path.name]
        if document["url"] not in names and alone and not document.get("files"):
            document = {"url": place.name}  # nothing came from where it was to come from
        if document["url"] not in names:
            raise ReleaseError(
                f"{folder}: holds files of {document['url']}; remove it, or name another "
                "workspace with -w"
            )
        files = document.get("files", {}) | _arrived(folder / ARRIVED)
        receipts = cls(path, {**document, "files": files})
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
        row = {"bytes": receipt.bytes, "sha256": receipt.sha256, "from": receipt.mirror}
        with self._lock:
            self._document["files"][receipt.file] = row
            with refusals_told(self._arrived), open_to_append(self._arrived) as file:
                file.write(json.dumps({receipt.file: row}).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

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
                size = path.stat().st_size
                self._document["files"][name] = {"bytes": size, "sha256": digest, "from": ""}
        self._write()

    def _write(self) -> None:
        write_json(self._path, self._document)
        self._arrived.unlink(missing_ok=True)


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


def _arrived(path: Path) -> dict[str, Any]:
    """What came since the document was written; a line that a kill cut short counts for nothing:
    its file comes again."""
    found: dict[str, Any] = {}
    try:
        for line in plain_lines(path):
            said = parse_json(line)
            found |= {file: row for file, row in said.items() if isinstance(row, dict)}
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _broken(path, str(error)) from error
    except NONSENSE:
        pass
    return found


def _broken(path: Path, reason: str) -> ReleaseError:
    return ReleaseError(
        f"{path}: cannot be read ({reason}); remove {path.parent} to fetch anew, or name another "
        "workspace with -w"
    )
