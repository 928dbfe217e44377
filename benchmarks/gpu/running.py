"""Running parts one after another, each in a process that can be killed without the others."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.gpu.plan import Part, Setting
from benchmarks.gpu.report import markdown
from sixrayd.core.cores import share_cores
from sixrayd.core.files import write_bytes

ROOT = Path(__file__).resolve().parents[2]
_DYING_S = 10.0  # that a killed process gets; one that hangs in a driver may never end


class SkippedError(Exception):
    """The part cannot be measured here; the message says why."""


class Measurement:
    """What a part has found so far, on disk after every line of it.

    Args:
        until: end of its time, by `time.monotonic`.
    """

    def __init__(self, setting: Setting, path: Path, until: float) -> None:
        self.setting, self.path, self.until = setting, path, until
        self.found: dict[str, Any] = {"rows": [], "notes": [], "trimmed": []}

    @property
    def left_s(self) -> float:
        """Seconds until it is killed."""
        return self.until - time.monotonic()

    def row(self, **values: Any) -> None:
        """A line of a table; lines with the same columns are one table."""
        self._add("rows", values)

    def note(self, text: str) -> None:
        """A sentence beside the tables."""
        self._add("notes", text)

    def trim(self, what: str) -> None:
        """Something was left out for lack of time."""
        self._add("trimmed", what)

    def _add(self, key: str, value: Any) -> None:
        self.found[key].append(value)
        _write_json(self.path, self.found)


def run_parts(
    parts: Iterable[Part], setting: Setting, out: Path, all_s: float, about: dict[str, Any]
) -> dict[str, Any]:
    """Measure, and write `out`.json and `out`.md before the first part and after each.

    Args:
        about: what the report says of the whole.
    """
    parts = list(parts)
    document = about | {"parts": [{"name": part.name, "status": "waiting"} for part in parts]}
    until = time.monotonic() + all_s
    _write(out, document)
    for place, part in enumerate(parts):
        limit_s = min(part.limit_s, until - time.monotonic())
        document["parts"][place] = {"name": part.name, **_run(part, setting, limit_s)}
        _write(out, document)
    return document


def _write(out: Path, document: dict[str, Any]) -> None:
    _write_json(Path(f"{out}.json"), document)
    write_bytes(Path(f"{out}.md"), markdown(document).encode())


def _write_json(path: Path, document: Any) -> None:
    """Whole or not at all; columns keep their order."""
    write_bytes(path, json.dumps(document, indent=1).encode())


def _run(part: Part, setting: Setting, limit_s: float) -> dict[str, Any]:
    """A part's status and what it found, whatever became of its process."""
    if limit_s < 1:
        return {"status": "skipped", "error": "no time was left"}
    place = setting.folder / "parts" / part.name.replace(" ", "-")
    place.parent.mkdir(parents=True, exist_ok=True)
    found, log = place.with_suffix(".json"), place.with_suffix(".log")
    found.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.running", part.function, str(found)]
    command += [str(setting.folder), setting.device, str(int(setting.tiny)), str(limit_s)]
    share_cores()
    start = time.monotonic()
    with log.open("wb") as messages:
        child = subprocess.Popen(  # noqa: S603 - our own words
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,  # which closes when this process dies: so ends the part
            stdout=messages,
            stderr=messages,
            start_new_session=True,
        )
        killed = _wait(child, limit_s)
    result = {"status": "ok", "seconds": round(time.monotonic() - start, 1)}
    if found.exists():
        result |= json.loads(found.read_text("utf-8"))
    if killed:
        return result | {
            "status": "failed",
            "error": f"killed after {limit_s:.0f} s; what it had measured until then stands",
        }
    if child.returncode and "error" not in result:
        how = f"ended with status {child.returncode}"
        lines = log.read_text("utf-8", "replace").strip().splitlines() or [""]
        result |= {"status": "failed", "error": f"{how}: {lines[-1]}"}
    return result


def _wait(child: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Wait for a process, kill it and its children at the limit, and say whether that was so."""
    try:
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        killed = True
    else:
        killed = False
    try:
        os.killpg(child.pid, signal.SIGKILL)  # what it started may still be there
        child.wait(_DYING_S)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    return killed


def _end_with_parent() -> None:
    os.read(0, 1)  # unlike `sys.stdin`, nothing that the interpreter's end would wait for
    os.killpg(0, signal.SIGKILL)


def _run_here(function: str, found: str, folder: str, device: str, tiny: str, limit: str) -> int:
    """What the process of a part does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    setting = Setting(Path(folder), device, tiny == "1")
    measurement = Measurement(setting, Path(found), time.monotonic() + float(limit))
    module, name = function.split(":")
    try:
        getattr(importlib.import_module(module), name)(measurement)
    except SkippedError as reason:
        status, error = "skipped", str(reason)
    except Exception as raised:  # whatever it is, the report says it and the next part begins
        lines = str(raised).strip().splitlines() or [""]
        status, error = "failed", f"{type(raised).__name__}: {lines[-1]}"
        sys.excepthook(type(raised), raised, raised.__traceback__)
    else:
        _write_json(Path(found), measurement.found)
        return 0
    _write_json(Path(found), measurement.found | {"status": status, "error": error})
    return int(status == "failed")


if __name__ == "__main__":
    # The functions raise this module's `SkippedError`, not that of a second copy of it.
    from benchmarks.gpu import running

    sys.exit(running._run_here(*sys.argv[1:]))
