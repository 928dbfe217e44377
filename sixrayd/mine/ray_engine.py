"""Mining on a Ray cluster: the same worker in an actor a GPU, or an actor for so many cores."""

import importlib
import os
import secrets
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from more_itertools import peekable

import sixrayd
from sixrayd.core.errors import ServiceError, SixraydError, WorkspaceError
from sixrayd.core.extras import import_extra
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.worker import MineJob, ShardReport, Worker

_ATTEMPTS = 3  # of a shard, or of starting a worker, before it is given up
_TICK_S = 1.0  # between two looks at the cluster and at shards under way
_STOP_S = 60.0  # for the batches under way when a run is interrupted
_FIRST_WITH_TOKENS = (2, 52)
_LONGEST_FOLDER = 25  # characters; Ray puts sockets into it, whose paths may have 107
Files = Mapping[str, Mapping[str, bytes]]  # field of the job → file name → content


def mine_on_ray(
    job: MineJob,
    tasks: Iterable[ShardTask],
    address: str,
    workers: int,
    looked: Callable[[ShardReport], None],
    opened: Callable[[], None] = lambda: None,
    place_s: float = 180.0,
) -> None:
    """Commit a part for every task.

    An actor has as many cores as the job has threads, or all of a node's; where the job looks with
    CUDA it has a GPU, and by default that GPU's share of its node's cores. One that dies has its
    shard handed to another; nodes that join are used, whoever starts them. Ctrl-C lets every shard
    under way finish its batch and save what it has.
    Nodes share nothing but the folders of shards and parts: on several machines, those are URLs.

    Args:
        address: "auto", "HOST:PORT" or "ray://HOST:PORT" joins a cluster, which stays up
            afterwards; empty starts one on this machine for as long as this takes.
        workers: at most so many actors; 0 takes all that fit.
        looked: called with a shard's newest report, about once a second and when it is finished.
        opened: called when an actor has its detector ready, before it begins a shard.
        place_s: seconds to wait for the cluster to take a first actor, or another after the last.

    Raises:
        ServiceError: Ray is not installed, the cluster cannot be joined or takes no actor, or a
            shard has lost several actors, one after another.
        ImageError, WorkspaceError, CheckpointError: see `Worker`.
        KeyboardInterrupt: interrupted; all that was looked at is saved.
    """
    with _joined(address) as ray:
        _Crew(ray, job, tasks, workers, looked, opened, place_s).run()


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    ray = import_extra("ray", "scale")
    if tuple(int(part) for part in ray.__version__.split(".")[:2]) < _FIRST_WITH_TOKENS:
        raise ServiceError(f"ray {ray.__version__}: obeys whoever connects; install 2.52 or later")
    if ray.is_initialized():  # the caller's, to go on with
        yield ray
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "2")  # else it tries for minutes
    try:
        with ExitStack() as ends:
            options = {} if address else ends.enter_context(_alone(ray))
            ends.callback(ray.shutdown)  # leaves a cluster it has joined; ends one it has started
            _knock(address)
            ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **options)
            opened = ends.pop_all()
    except Exception as error:  # of many kinds, one for each way not to reach a cluster
        raise ServiceError(
            f"ray {address or 'on this machine'}: {_line(error)}; a cluster of other machines "
            "is joined by ray://HOST:10001"
        ) from error
    with opened:
        yield ray


@contextmanager
def _alone(ray: Any) -> Iterator[dict[str, Any]]:
    """Options of a cluster of this process's own, for the length of a `with` block.

    By itself Ray listens on every address, obeys whoever connects, and lets everybody write to its
    folder. Here its ports are the loopback's, take a token that dies with it, and its folder is
    closed to others.
    """
    constants: Any = importlib.import_module("ray._private.ray_constants")
    short = None if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
    before = {key: os.environ.get(key) for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    clusters = constants.ENABLE_RAY_CLUSTER
    with tempfile.TemporaryDirectory("", "ray-", short, ignore_cleanup_errors=True) as folder:
        try:
            constants.ENABLE_RAY_CLUSTER = False  # of several machines; alone, it takes 127.0.0.1
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
            _read_token_again()
            yield {"include_dashboard": False, "_temp_dir": f"{folder}/r"}  # which it opens to all
        finally:
            constants.ENABLE_RAY_CLUSTER = clusters
            for key, value in before.items():
                os.environ.pop(key, None) if value is None else os.environ.update({key: value})
            _read_token_again()


def _read_token_again() -> None:
    """Ray reads its mode when it is imported, and its token once."""
    raylet = importlib.import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _knock(address: str) -> None:
    """Raise OSError if nobody listens: Ray itself would try for minutes, without a word."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()


class _Hand:
    """What runs in an actor: a worker, what it is at, and a way to stop it."""

    def version(self) -> str:
        """Of the code on this node."""
        return sixrayd.__version__

    def start(self, job: MineJob, files: Files) -> None:
        """Load the detector from files that come along: nodes share no file system."""
        self._folder = tempfile.TemporaryDirectory(prefix="sixrayd-")
        self._report: ShardReport | None = None
        paths = {}
        for key, contents in files.items():
            folder = Path(self._folder.name) / key
            folder.mkdir()
            for name, data in contents.items():
                (folder / name).write_bytes(data)
            paths[key] = folder / getattr(job, key).name
        self._worker = Worker(replace(job, **paths))

    def mine(self, task: ShardTask) -> ShardReport:
        """See `Worker.mine`."""
        return self._worker.mine(task, self._saw)

    def so_far(self) -> ShardReport | None:
        """The newest report."""
        return self._report

    def stop(self) -> None:
        """Finish the batch and save."""
        self._worker.stopping.set()

    def _saw(self, report: ShardReport) -> None:
        self._report = report


@dataclass(frozen=True, slots=True)
class _Duty:
    """What an actor is at: being placed, loading, or a shard."""

    actor: Any
    step: str  # "place", "start" or "mine"
    task: ShardTask | None = None


class _Crew:
    """The actors of one mining."""

    def __init__(
        self,
        ray: Any,
        job: MineJob,
        tasks: Iterable[ShardTask],
        workers: int,
        looked: Callable[[ShardReport], None],
        opened: Callable[[], None],
        place_s: float,
    ) -> None:
        self.ray, self.workers, self.looked, self.place_s = ray, workers, looked, place_s
        self.opened = opened
        self.tasks = peekable(tasks)
        self.duties: dict[Any, _Duty] = {}  # by the reference of the answer that is waited for
        self.failures: Counter[str] = Counter()  # shard → in a row; "" for starts
        self.glances: list[Any] = []
        self.needs = self._needs(job)
        inference = replace(job.inference, threads=max(1, int(self.needs["CPU"])))
        self.cargo = ray.put(_absolute(replace(job, inference=inference))), ray.put(_files(job))

    def run(self) -> None:
        """Hand out every task and wait for its part."""
        placed_at, tick_at = time.monotonic(), 0.0
        try:
            while self.tasks or self._busy():
                now = time.monotonic()
                if now >= tick_at or not self.duties:
                    tick_at = now + _TICK_S
                    self._hire()
                    self._glance()
                done, _ = self.ray.wait(list(self.duties), timeout=_TICK_S)
                for ref in done:
                    self._settle(ref, self.duties.pop(ref))
                if any(duty.step != "place" for duty in self.duties.values()):
                    placed_at = time.monotonic()
                elif time.monotonic() - placed_at > self.place_s:
                    raise ServiceError(self._no_place())
        except BaseException:
            self._stop()
            raise
        finally:
            for duty in self.duties.values():
                self.ray.kill(duty.actor)

    def _busy(self) -> dict[Any, _Duty]:
        return {ref: duty for ref, duty in self.duties.items() if duty.step == "mine"}

    def _hire(self) -> None:
        """Ask for actors; the cluster places each when it can, on nodes that join later too."""
        wanted = self.workers or max(1, sum(self._fit(node) for node in self._nodes()))
        while self.tasks and len(self.duties) < wanted:
            actor = (
                self.ray.remote(_Hand)
                .options(
                    num_cpus=self.needs["CPU"],
                    num_gpus=self.needs["GPU"],
                    scheduling_strategy="SPREAD",
                    max_concurrency=3,  # a shard, a question and a stop
                )
                .remote()
            )
            self.duties[actor.version.remote()] = _Duty(actor, "place")

    def _glance(self) -> None:
        """Report shards under way; whose answer is late is asked again."""
        busy = self._busy().values()
        names = {duty.task.name for duty in busy if duty.task}
        if self.glances:
            ready, _ = self.ray.wait(self.glances, num_returns=len(self.glances), timeout=0)
            for ref in ready:
                with suppress(self.ray.exceptions.RayError):
                    report = self.ray.get(ref)
                    if report is not None and report.name in names:
                        self.looked(report)
        self.glances = [duty.actor.so_far.remote() for duty in busy]

    def _settle(self, ref: Any, duty: _Duty) -> None:
        try:
            answer = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            self._lost(duty, error)
            return
        if duty.step == "place":
            if answer != sixrayd.__version__:
                raise ServiceError(
                    f"ray: a node has sixrayd {answer}, here it is {sixrayd.__version__}; parts "
                    "would differ: install the same everywhere"
                )
            self.duties[duty.actor.start.remote(*self.cargo)] = _Duty(duty.actor, "start")
            return
        if duty.task is None:
            del self.failures[""]
            self.opened()
        else:
            self.looked(answer)
        if self.tasks:
            task = next(self.tasks)
            self.duties[duty.actor.mine.remote(task)] = _Duty(duty.actor, "mine", task)
        else:
            self.ray.kill(duty.actor)

    def _lost(self, duty: _Duty, error: Any) -> None:
        """Hand the shard to another, unless that would change nothing."""
        self.ray.kill(duty.actor)
        cause = getattr(error, "cause", None)
        name = duty.task.name if duty.task else ""
        self.failures[name] += 1
        passing = not isinstance(cause, SixraydError) or isinstance(cause, WorkspaceError)
        if passing and self.failures[name] < _ATTEMPTS:
            if duty.task:
                self.tasks.prepend(duty.task)
            return
        if isinstance(cause, SixraydError):
            raise cause
        raise ServiceError(
            f"ray: {name or 'starting a worker'}: given up after {_ATTEMPTS} workers "
            f"({_line(cause if isinstance(cause, Exception) else error)}); all other parts stay"
        ) from error

    def _stop(self) -> None:
        """Let the batches under way end; the workers save what they have."""
        busy = self._busy()
        for duty in busy.values():
            duty.actor.stop.remote()
        if busy:
            self.ray.wait(list(busy), num_returns=len(busy), timeout=_STOP_S)

    def _nodes(self) -> list[dict[str, float]]:
        """Resources of every node."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def _needs(self, job: MineJob) -> dict[str, float]:
        """What an actor asks for."""
        if job.inference.device == "cuda":
            shares = [node.get("CPU", 1) // node["GPU"] for node in self._nodes() if "GPU" in node]
            return {"CPU": job.inference.threads or max(1, min(shares, default=1)), "GPU": 1}
        smallest = min((node["CPU"] for node in self._nodes() if "CPU" in node), default=1)
        return {"CPU": job.inference.threads or smallest, "GPU": 0}

    def _fit(self, node: dict[str, float]) -> int:
        """How many actors a node takes."""
        return int(min(node.get(key, 0) // need for key, need in self.needs.items() if need))

    def _no_place(self) -> str:
        there, free = self.ray.cluster_resources(), self.ray.available_resources()
        asked = {key: need for key, need in self.needs.items() if need}
        wants = " and ".join(f"{need:g} {key}" for key, need in asked.items())
        has = " and ".join(f"{free.get(key, 0):g} of {there.get(key, 0):g} {key}" for key in asked)
        return (
            f"ray: no worker found a place within {self.place_s:.0f} s: each asks for {wants}, "
            f"the cluster has {has} free on {len(self._nodes())} nodes; give fewer --threads, "
            "end what else runs there, or add nodes"
        )


def _absolute(job: MineJob) -> MineJob:
    """The job with folders that mean the same in whatever folder an actor runs."""
    folders = {
        key: url if "://" in url else str(Path(url).resolve())
        for key, url in (("shards", job.shards), ("parts", job.parts))
    }
    return replace(job, **folders)  # type: ignore[arg-type]


def _files(job: MineJob) -> Files:
    """The job's files, with those beside them that differ in the suffix alone."""
    paths = {"weights": job.weights, "first": job.first, "quantised": job.quantised}
    return {
        key: {p.name: p.read_bytes() for p in path.parent.glob(f"{path.stem}.*")}
        for key, path in paths.items()
        if path is not None
    }


def _line(error: BaseException) -> str:
    """The first line of what Ray says, which may be many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
