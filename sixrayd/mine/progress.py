"""How far mining is, for people and for programs."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from sixrayd.core.progress import progress
from sixrayd.core.words import counted
from sixrayd.mine.worker import ShardReport

_LINE_S = 1.0  # between two lines for programs


@dataclass(frozen=True, slots=True)
class MineCounts:
    """What has been looked at, and what came of it."""

    images: int = 0
    candidates: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class MineState:
    """A moment of mining.

    Args:
        images_per_s: since this run began; 0 before its first batch.
        left_s: at that speed; None while it is unknown.
    """

    images: int
    total: int
    candidates: int
    skipped: int
    images_per_s: float
    left_s: float | None


class Tally:
    """Adds up reports of shards, from any thread.

    Args:
        before: of earlier runs; images that an interrupted one had saved included.
        total: images, those of earlier runs included.
    """

    def __init__(self, before: MineCounts, total: int) -> None:
        self.before, self.total = before, total
        self._reports: dict[str, ShardReport] = {}
        self._first: tuple[float, int] | None = None  # when the first batch was done, and its size
        self._lock = threading.Lock()

    def add(self, report: ShardReport) -> MineState:
        """Take a shard's newest report."""
        with self._lock:
            self._reports[report.name] = report
            return self._state()

    def _state(self) -> MineState:
        rows = self._reports.values()
        images = sum(r.images - r.before for r in rows)
        now = time.monotonic()
        if self._first is None:
            self._first = (now, images)
        since, at = self._first
        speed = (images - at) / (now - since) if images > at else 0.0
        left = self.total - self.before.images - images
        return MineState(
            self.before.images + images,
            self.total,
            self.before.candidates + sum(r.candidates for r in rows),
            self.before.skipped + sum(r.skipped for r in rows),
            round(speed, 2),
            round(left / speed, 1) if speed else None,
        )


@contextmanager
def shown(before: MineCounts, total: int, form: str) -> Iterator[Callable[[ShardReport], None]]:
    """Show reports on stderr: as a bar, or as a line of JSON a second.

    Args:
        form: "bar" or "json".
    """
    tally = Tally(before, total)
    if form == "json":
        yield _Lines(tally)
        return
    with progress(
        TextColumn("mining"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ) as bar:
        task = bar.add_task("mining", total=total, completed=before.images, speed="", note="")

        def looked(report: ShardReport) -> None:
            state = tally.add(report)
            skipped = f", {state.skipped} skipped" if state.skipped else ""
            bar.update(
                task,
                completed=state.images,
                speed=f"{state.images_per_s:.1f} images/s" if state.images_per_s else "",
                note=f"{counted(state.candidates, 'candidate')}{skipped}",
            )

        yield looked


class _Lines:
    def __init__(self, tally: Tally) -> None:
        self._tally, self._next = tally, 0.0

    def __call__(self, report: ShardReport) -> None:
        state = self._tally.add(report)
        now = time.monotonic()
        if now >= self._next or state.images == state.total:
            self._next = now + _LINE_S
            sys.stderr.write(json.dumps(asdict(state)) + "\n")
            sys.stderr.flush()
