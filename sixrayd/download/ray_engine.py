"""Measuring shards on a Ray cluster: a shard a task, on whichever node has a core free."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa

import sixrayd
from sixrayd.core.errors import ShardError, SixraydError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.ray_cluster import ATTEMPTS, PLACE_S, check_version, given_up, joined, no_place
from sixrayd.core.store import Store
from sixrayd.download.scan import scan_small

_TICK_S = 0.5  # between two looks whether the ingest has stopped
_NEEDS = {"CPU": 1.0}
_PIECE = 1 << 20  # bytes of a shard that are in memory while it is fetched


class RayMeasurer:
    """Has shards measured by a cluster; by several threads at once.

    Args:
        store: where nodes find the shards.
        put: called with a shard before it is asked for, and the hash of its bytes.
    """

    at_once = 64  # shards under way; one machine reads no release fast enough for as many cores

    def __init__(self, ray: Any, store: Store, put: Callable[[Path, str], None]) -> None:
        self._ray, self._store, self._put = ray, store, put
        self._stopping = Event()
        self._task = ray.remote(measure_there).options(
            num_cpus=_NEEDS["CPU"],
            scheduling_strategy="SPREAD",
            max_retries=ATTEMPTS - 1,
            retry_exceptions=[WorkspaceError],
        )

    def measure(self, shard: Path) -> pa.Table | None:
        """Of `MEASURED_SCHEMA`; None of a shard with a large image, which no node decodes.

        Raises:
            ServiceError: the shard has lost several workers, or a node has another version.
            WorkspaceError: nodes do not see the shard.
        """
        sha256 = sha256_file(shard)
        self._put(shard, sha256)
        answer = self._task.remote(self._store.url, shard.name, sha256)
        while not self._ray.wait([answer], timeout=_TICK_S)[0]:
            if self._stopping.is_set():
                self._ray.cancel(answer)
                raise WorkspaceError(f"{shard.name}: not measured; run the same command again")
        try:
            version, table = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, SixraydError):
                raise cause from error
            raise given_up(shard.name, cause if isinstance(cause, Exception) else error) from error
        check_version(version)
        return table

    def stop(self) -> None:
        """Wait for no shard any more."""
        self._stopping.set()


@contextmanager
def measuring_on_ray(
    address: str, store: Store, put: Callable[[Path, str], None], place_s: float = PLACE_S
) -> Iterator[RayMeasurer]:
    """A measurer on a cluster; see `joined`.

    Args:
        place_s: seconds to wait for the cluster to take a first task.

    Raises:
        ServiceError: Ray is not installed, the cluster cannot be joined or takes no task, or a
            node has another version.
    """
    with joined(address) as ray:
        first = ray.remote(version_there).options(num_cpus=_NEEDS["CPU"]).remote()
        if not ray.wait([first], timeout=place_s)[0]:
            raise no_place(ray, _NEEDS, place_s, "")
        check_version(ray.get(first))
        yield RayMeasurer(ray, store, put)


def version_there() -> str:
    """Of the code on a node."""
    return sixrayd.__version__


def measure_there(shards: str, name: str, sha256: str) -> tuple[str, pa.Table | None]:
    """On a node: its version, and what `scan_small` makes of a shard with these bytes.

    The shard is kept on the node's disk: a node has many of these at once, of any length.
    """
    store, found = Store(shards), hashlib.sha256()
    with tempfile.TemporaryFile() as kept:
        with suppress(ShardError), store.open(name) as file:
            while piece := file.read(_PIECE):
                found.update(piece)
                kept.write(piece)
        if found.hexdigest() != sha256:
            raise WorkspaceError(
                f"{store.place}/{name}: a node of the cluster does not see what was written there; "
                "have all nodes share that folder, or name a URL with --shards-at"
            )
        kept.seek(0)
        return sixrayd.__version__, scan_small(Path(name), file=kept)
