"""What a mining would do, and how long it would take: a short sample, measured, nothing written."""

import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.mine.local_engine import mine_here
from sixrayd.mine.preparing import find_models
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.stage import Mining, planned
from sixrayd.mine.worker import ShardReport, saved_images

_BATCHES = 8  # looked at; the first two warm up


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work left, and its estimate.

    Args:
        sample: images that were timed; fewer than a thousandth of the work says little.
        images_per_s: of this machine; None where there is too little left to time.
        left_s: at that speed, after a start that takes as long as this one took.
        other_work: what differs from the mining that is there, which `--force` would replace.
    """

    name: str
    backend: str
    shards: int
    shards_left: int
    images: int
    images_left: int
    sample: int
    images_per_s: float | None
    left_s: float | None
    other_work: str = ""

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"mining {self.name} with {self.backend}: {self.shards_left} of "
            f"{counted(self.shards, 'shard')} "
            f"left, {self.images_left:,} of {counted(self.images, 'image')}"
        ]
        if self.images_per_s and self.left_s is not None:
            left = timedelta(seconds=round(self.left_s))
            speed = f"{self.images_per_s:.1f} images/s"
            told.append(f"about {left} at {speed}, measured on {counted(self.sample, 'image')}")
        if self.other_work:
            told.append(
                f"another mining is there ({self.other_work}): pass --force to replace it, or "
                "--name for a new one"
            )
        return told


def forecast(workspace: Workspace, settings: MineSettings) -> Forecast:
    """Look at a few images of the shards that are left, and forget what was seen.

    Raises:
        as `sixrayd.mine.stage.mine`.
    """
    models = find_models(workspace, settings)
    run = planned(workspace, settings, models)
    mining = Mining(workspace, run, models, settings)
    other_work = workspace.other_work(run)
    begun = not other_work
    wanted = mining.wanted(settings.shards)
    left = mining.without_part(wanted) if begun else wanted
    sample = _Sample()
    with tempfile.TemporaryDirectory() as scratch:
        settled = begun and (mining.folder / "look.json").exists()
        prepared = mining.prepared(settings, mining.folder if settled else Path(scratch))
        job = mining.job(settings, prepared)
        job = replace(job, parts=scratch)
        with suppress(_EnoughError):
            mine_here(job, mining.tasks(left), settings.workers, sample)
    total, remaining = (sum(mining.images[name] for name in s) for s in (mining.shards, left))
    if begun:
        remaining -= saved_images(mining.parts, left)
    speed = sample.images_per_s()
    return Forecast(
        run.name,
        job.inference.backend,
        len(mining.shards),
        len(left),
        total,
        remaining,
        sample.timed,
        round(speed, 2) if speed else None,
        round(sample.start_s() + remaining / speed, 1) if speed else None,
        "" if settings.force else other_work,
    )


class _EnoughError(Exception):
    """The sample is taken."""


class _Sample:
    """Times batches from the second on, and ends the mining after some."""

    def __init__(self) -> None:
        self.timed = 0
        self._begun = time.monotonic()
        self._images: dict[str, int] = {}
        self._marks: list[tuple[float, int]] = []  # when so many images were done
        self._lock = threading.Lock()

    def __call__(self, report: ShardReport) -> None:
        with self._lock:
            if len(self._marks) == _BATCHES:
                raise _EnoughError
            self._images[report.name] = report.images
            self._marks.append((time.monotonic(), sum(self._images.values())))

    def start_s(self) -> float:
        """Seconds that went by before the first batch was done."""
        return self._marks[0][0] - self._begun if self._marks else 0.0

    def images_per_s(self) -> float | None:
        """Of what was timed; None where a batch was all there was."""
        marks = self._marks[1:]
        if len(marks) < 2 or marks[-1][0] <= marks[0][0]:
            return None
        self.timed = marks[-1][1] - marks[0][1]
        return self.timed / (marks[-1][0] - marks[0][0])
