"""Progress: a bar in a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sixrayd.core.printing import Terminal, console

LINE_S = 30.0  # between two lines of a log
FIRST_S = 10.0  # before the first that says no more than that there is work
Report = Callable[[str, int, int], None]  # of what, how much is done, of how much (0: unknown)


def untold(what: str, done: int, total: int) -> None:
    """A `Report` to nobody."""


def progress(*columns: ProgressColumn | str, to: Terminal = console) -> Progress:
    """What shows work on stderr: done, rate of the clock and time left.

    Tasks have a field `note`, which ends their line.

    Args:
        columns: of a terminal's bar, where it has others than usual.
    """
    if not to.is_terminal:
        return ProgressLog(to)
    usual = (
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    return Progress(*(columns or usual), console=to)


@contextmanager
def at_work(bars: Progress, what: str, look_s: float = 1.0) -> Iterator[None]:
    """Say that work goes on, while nothing else is told of it: much has no steps to count.

    Args:
        look_s: seconds between two looks.
    """
    begun, ended = time.monotonic(), Event()
    every_s = LINE_S + look_s  # so that a line which says more comes first
    said = begun + FIRST_S - every_s

    def tell() -> None:
        nonlocal said
        while not ended.wait(look_s):
            now = time.monotonic()
            if isinstance(bars, ProgressLog):
                said = max(said, bars.said)
            elif not bars.finished:  # a bar shows how long it has been there
                said = now
            if now - said >= every_s:
                said = now
                bars.console.print(f"{what}: at work for {now - begun:.0f} s", soft_wrap=True)

    watch = Thread(target=tell, daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


class ProgressLog(Progress):
    """Lines for a log: one every `every_s` seconds of work that moves on, and one at its end."""

    def __init__(
        self, to: Terminal, every_s: float = LINE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console=to, disable=True)
        self._every_s, self._clock = every_s, clock
        self._begun: dict[TaskID, tuple[float, float]] = {}  # when, and what was done already
        self._said: dict[TaskID, float] = {}
        self.said = float("-inf")  # when the last line was, of any of the work

    def add_task(self, description: str, *args: Any, **more: Any) -> TaskID:
        """As rich has it."""
        number = super().add_task(description, *args, **more)
        self._begun[number] = self._clock(), self._tasks[number].completed
        self._said[number] = self._begun[number][0]
        return number

    def update(self, task_id: TaskID, **more: Any) -> None:
        """As rich has it."""
        super().update(task_id, **more)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As rich has it."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, number: TaskID) -> None:
        with self._lock:
            task, now = self._tasks[number], self._clock()
            ended = task.total is not None and task.completed >= task.total
            if self._said[number] == float("inf") or not (
                ended or now - self._said[number] >= self._every_s
            ):
                return
            self._said[number] = float("inf") if ended else now
            self.said = now
            begun, before = self._begun[number]
            done, total = int(task.completed), task.total
            parts = [f"{done:,} done"]
            if total:
                parts = [f"{done:,} of {int(total):,}", f"{int(total) - done:,} left"]
            if now > begun and task.completed > before:
                rate = (task.completed - before) / (now - begun)
                parts.append(f"{rate:,.0f} a second" if rate >= 100 else f"{rate:.3g} a second")
            if note := task.fields.get("note"):
                parts.append(str(note))
            self.console.print(f"{task.description} {', '.join(parts)}", soft_wrap=True)
