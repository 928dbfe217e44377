"""Measuring finished shards beside the reading of the next: in processes, one a core."""

import json
import queue
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

from sixrayd.core.children import module_command
from sixrayd.core.cores import available_cores
from sixrayd.core.tables import write_table
from sixrayd.download.scan import MEASURED_SCHEMA, scan_shard
from sixrayd.download.sharding import measured_path

_WORTH_A_PROCESS = 2000  # images; fewer are measured sooner than processes start


class Measurer(Protocol):
    """Other machines, which measure shards."""

    at_once: int  # shards

    def measure(self, shard: Path) -> pa.Table | None:
        """Of `MEASURED_SCHEMA`, or None where this machine shall; called by several threads."""

    def stop(self) -> None:
        """End `measure` in all threads, with an error."""


class Measuring:
    """Measures shards into parts; used in a `with` statement, which ends what runs.

    Args:
        folder: holds the shards.
        parts: see `measured_path`.
        told: called, by any thread, with the images measured since.
        elsewhere: measures in place of this machine.
    """

    def __init__(
        self,
        folder: Path,
        parts: Path,
        told: Callable[[int], None],
        elsewhere: Measurer | None = None,
    ) -> None:
        self._folder, self._parts, self._told = folder, parts, told
        self._elsewhere = elsewhere
        self._threads = ThreadPoolExecutor(elsewhere.at_once if elsewhere else available_cores())
        self._free: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        self._children = ExitStack()
        self._alone = Lock()  # of what machines leave to this one, a shard at a time
        self._begun: list[Future[str]] = []
        self._images = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A shard under way here is finished: it is kept for the next time.
        if self._elsewhere and error is not None:
            self._elsewhere.stop()
        self._threads.shutdown(cancel_futures=True)
        self._children.close()

    def begin(self, shard: str, images: int) -> None:
        """Have a shard measured."""
        self._images += images
        far = self._images > _WORTH_A_PROCESS
        measure = self._there if self._elsewhere else self._far if far else self._near
        self._begun.append(self._threads.submit(measure, shard))

    def check(self) -> None:
        """Raise what measuring has met so far."""
        for future in [future for future in self._begun if future.done()]:
            future.result()

    def wait(self) -> None:
        """Until every shard that was begun is measured."""
        for future in as_completed(self._begun):
            future.result()

    def _there(self, shard: str) -> str:
        assert self._elsewhere
        table = self._elsewhere.measure(self._folder / shard)
        if table is None:
            with self._alone:
                return self._near(shard)
        write_table(measured_path(self._parts, shard), table, MEASURED_SCHEMA)
        self._told(len(table))
        return shard

    def _near(self, shard: str) -> str:
        table = scan_shard(self._folder / shard, self._told, threads=available_cores())
        write_table(measured_path(self._parts, shard), table, MEASURED_SCHEMA)
        return shard

    def _far(self, shard: str) -> str:
        child = self._child()
        paths = [str(self._folder / shard), str(measured_path(self._parts, shard))]
        try:
            assert child.stdin and child.stdout
            child.stdin.write(json.dumps(paths) + "\n")
            child.stdin.flush()
            for line in child.stdout:
                if line in ("done\n", "large\n"):
                    self._free.put(child)
                    if line == "done\n":
                        return shard
                    break
                self._told(int(line))
        except OSError:
            pass  # it has ended
        return self._near(shard)  # which says what it ended of, unless it was killed

    def _child(self) -> subprocess.Popen[str]:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        child = subprocess.Popen(  # noqa: S603 - our own words, no shell
            module_command("sixrayd.download.scan"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._children.enter_context(child)  # closes its pipes, at which it ends
        return child
