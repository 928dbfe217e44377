"""What is wrong with a release: the first fault stops, or all are kept and listed."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import write_bytes
from sixrayd.download.settings import OnError


@dataclass(frozen=True, slots=True)
class Faults:
    """Collects faults under "skip"; under "stop" the first is raised."""

    on_error: OnError = "stop"
    found: list[tuple[str, str]] = field(default_factory=list)  # where, what

    def add(self, where: str, what: str) -> None:
        """Take note of one fault.

        Raises:
            ReleaseError: faults are to stop the ingest.
        """
        if self.on_error == "stop":
            raise ReleaseError(f"{where}: {what}; mend it or pass --on-error skip")
        self.found.append((where, what))

    def write(self, path: Path) -> None:
        """Write a JSON line a fault; no file when there is none."""
        if self.found:
            lines = [
                json.dumps({"where": w, "error": e}, ensure_ascii=False) for w, e in self.found
            ]
            write_bytes(path, ("\n".join(lines) + "\n").encode("utf-8"))
