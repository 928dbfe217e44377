"""Mining on a Ray cluster: the same worker in an actor a GPU, or an actor for so many cores."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from more_itertools import peekable

import sixrayd
from sixrayd.core.errors import SixraydError, WorkspaceError
from sixrayd.core.files import plain_bytes
from sixrayd.core.ray_cluster import (
    ATTEMPTS,
    PLACE_S,
    check_version,
    given_up,
    joined,
    no_place,
    nodes_of,
)
from sixrayd.core.store import absolute_url
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.worker import MineJob, ShardReport, Worker

_TICK_S = 1.0  # between two looks at the cluster and at shards under way
_STOP_S = 60.0  # for the batches under way when a run is interrupted
Files = Mapping[str, Mapping[str, bytes]]  # field of the job → file name → content


def mine_on_ray(
    job: MineJob,
    tasks: Iterable[ShardTask],
    address: str,
    workers: int,
    looked: Callable[[ShardReport], None],
    opened: Callable[[], None] = lambda: None,
    place_s: float = PLACE_S,
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
    with joined(address) as ray:
        _Crew(ray, job, tasks, workers, looked, opened, place_s).run()


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
                    advice = "give fewer --threads, "
                    raise no_place(self.ray, self.needs, self.place_s, advice)
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
        wanted = self.workers or max(1, sum(self._fit(node) for node in nodes_of(self.ray)))
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
            check_version(answer)
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
        if passing and self.failures[name] < ATTEMPTS:
            if duty.task:
                self.tasks.prepend(duty.task)
            return
        if isinstance(cause, SixraydError):
            raise cause
        lost = cause if isinstance(cause, Exception) else error
        raise given_up(name or "starting a worker", lost) from error

    def _stop(self) -> None:
        """Let the batches under way end; the workers save what they have."""
        busy = self._busy()
        for duty in busy.values():
            duty.actor.stop.remote()
        if busy:
            self.ray.wait(list(busy), num_returns=len(busy), timeout=_STOP_S)

    def _needs(self, job: MineJob) -> dict[str, float]:
        """What an actor asks for."""
        if job.inference.device == "cuda":
            shares = [
                node.get("CPU", 1) // node["GPU"] for node in nodes_of(self.ray) if "GPU" in node
            ]
            return {"CPU": job.inference.threads or max(1, min(shares, default=1)), "GPU": 1}
        smallest = min((node["CPU"] for node in nodes_of(self.ray) if "CPU" in node), default=1)
        return {"CPU": job.inference.threads or smallest, "GPU": 0}

    def _fit(self, node: dict[str, float]) -> int:
        """How many actors a node takes."""
        return int(min(node.get(key, 0) // need for key, need in self.needs.items() if need))


def _absolute(job: MineJob) -> MineJob:
    """The job with folders that mean the same in whatever folder an actor runs."""
    return replace(job, shards=absolute_url(job.shards), parts=absolute_url(job.parts))


def _files(job: MineJob) -> Files:
    """The job's files, with those beside them that differ in the suffix alone."""
    paths = {"weights": job.weights, "first": job.first, "quantised": job.quantised}
    return {
        key: {p.name: plain_bytes(p) for p in path.parent.glob(f"{path.stem}.*")}
        for key, path in paths.items()
        if path is not None
    }
