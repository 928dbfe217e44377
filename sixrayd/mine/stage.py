"""The stage: mine what is not mined yet, then rank all candidates."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import ShardError, WorkspaceError
from sixrayd.core.files import plain_text, sha256_file, write_bytes
from sixrayd.core.index import shard_contents, shard_sizes
from sixrayd.core.printing import console
from sixrayd.core.read_back import read_back
from sixrayd.core.records import CANDIDATE_SCHEMA, Source
from sixrayd.core.storage import is_refusal
from sixrayd.core.store import Store
from sixrayd.core.tables import table_from, write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.crop.settings import TdcSettings
from sixrayd.detectors.backends import resolve_backend
from sixrayd.mine.held_out import look_at_known
from sixrayd.mine.inference import Inference, image_score
from sixrayd.mine.local_engine import mine_here
from sixrayd.mine.preparing import (
    UNRECORDED,
    Models,
    Prepared,
    find_models,
    inference_device,
    prepare,
)
from sixrayd.mine.progress import MineCounts, shown
from sixrayd.mine.ranking import rank_candidates, skipped_lines, split_parts
from sixrayd.mine.removed import Removed, counts_of, summed_up
from sixrayd.mine.settings import TDC, MineSettings
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.worker import PART_SCHEMA, MineJob, part_name, saved_images
from sixrayd.statistics.belief import BELIEF, believe
from sixrayd.statistics.drawing import HELD_OUT, HeldOut

_READERS = 8  # parts read at once: elsewhere, each takes a while to come
# Settings that change the candidates. The others say where and how fast they are found.
_LASTING = ("threshold", "mirror", "crop", "dynamic", "keep", "backend")


@dataclass(frozen=True, slots=True)
class MineResult:
    """What mining found so far.

    Args:
        shards_done, shards: of the negatives; candidates are ranked when all are done.
        flagged: images with at least one candidate.
        skipped: images that could not be looked at; `skipped.jsonl` names them.
        backend: what ran the network.
        cropped: images that TDC has cropped.
        area_removed_median, area_removed_mean: share of their area, 0..1.
        believed: images that hold contraband, if what was missed scores as known contraband does;
            None where too few known positives are left to say.
        drawn_from, drawn_right: least score of a box that is drawn for reviewers, and the share of
            those drawn so in known positives that are right; None where no such score reaches
            half, or too few known positives are left.
        not_drawn: classes of which none is, since no score makes half of them right.
    """

    name: str
    model: str
    folder: str
    backend: str
    shards_done: int
    shards: int
    images: int
    flagged: int
    candidates: int
    skipped: int
    fresh: bool
    cropped: int = 0
    area_removed_median: float | None = None
    area_removed_mean: float | None = None
    believed: float | None = None
    drawn_from: float | None = None
    drawn_right: float | None = None
    not_drawn: Sequence[str] = ()

    @property
    def removed(self) -> Removed:
        """What TDC took away."""
        return Removed(self.cropped, self.area_removed_median, self.area_removed_mean)


def mine(
    workspace: Workspace, settings: MineSettings = MineSettings(), progress: str = "bar"
) -> MineResult:
    """Run a trained detector over the negative shards, or finish an interrupted mining.

    Args:
        progress: "bar", or "json" for a line a second on stderr.

    Raises:
        SettingsError: no GPU where one is asked for, or an unknown backend.
        WorkspaceError: nothing is ingested or trained, a named shard does not exist, the name is
            taken by another mining, a shard cannot be read or a part not written.
        CheckpointError: the weights cannot be read.
        ImageError: an image cannot be looked at and `on_error` is "stop".
        ServiceError: the backend or Ray is not installed, or the cluster does not answer.
        KeyboardInterrupt: interrupted; what was looked at is kept.
    """
    device = inference_device(settings, settings.backend)
    with workspace.lock("mine"):
        models = find_models(workspace, settings)
        run = planned(workspace, settings, models)
        job = Mining(workspace, run, models, settings)
        if job.tdc not in (None, settings.tdc.over(TDC)):
            console.print(
                f"{job.folder}: was begun with zeros beyond the border and stays so; --force mines "
                "anew with what is asked for now",
                markup=False,
                soft_wrap=True,
            )
        # What cannot be done is said before anything is begun, let alone replaced.
        job.wanted(settings.shards)
        resolve_backend(settings.backend, device, models.backends(job.tdc))
        if job.tdc is not None:
            models.check_layer(job.tdc)
        if not settings.force:
            workspace.refuse_other_work(run, "mining")
        if not workspace.begin(run):
            return _result(workspace, workspace.run("mine", run.name), fresh=False)
        job.mine(settings, progress)
        done = job.done()
        found, errors, removed = job.rows(done)
        run = replace(run, summary=job.summary(done, found, errors, removed))
        if len(done) == len(job.shards):
            outputs, worth = job.rank(found, errors, settings)
            run = replace(run, summary={**run.summary, **worth}, outputs=outputs)
            workspace.finish(run)
        return _result(workspace, run, fresh=True)


def planned(workspace: Workspace, settings: MineSettings, models: Models) -> Run:
    """The run that these settings ask for."""
    lasting = {"model": models.name, "cascade": models.first_name} | {
        key: getattr(settings, key) for key in _LASTING
    }
    stages = [("shards", ""), ("models", models.name)]
    if models.first_name:
        stages.append(("models", models.first_name))
    run = Run("mine", settings.name or models.name, lasting, workspace.upstream(*stages))
    if settings.crop != "tdc":
        return run
    asked = settings.tdc.over(TDC)
    told = replace(run, settings=lasting | {"tdc": asdict(asked)})
    # One that was begun before this was recorded goes on as it began.
    may = asked == UNRECORDED or not (settings.tdc.asked or settings.force)
    older = may and workspace.other_work(told) and not workspace.other_work(run)
    return run if older else told


def tdc_of(run: Run) -> TdcSettings | None:
    """How TDC looks in a mining; None where it does not."""
    if run.settings["crop"] != "tdc":
        return None
    return TdcSettings(**run.settings["tdc"]) if "tdc" in run.settings else UNRECORDED


def _result(workspace: Workspace, run: Run, *, fresh: bool) -> MineResult:
    folder = workspace.folder("mine", run.name)
    known = {"name": run.name, "model": run.settings["model"], "folder": str(folder)}
    return read_back(MineResult, run.summary, f"{folder}/run.json", **known, fresh=fresh)


class Mining:
    """One mining: its shards, its parts, and what is made of them."""

    def __init__(
        self, workspace: Workspace, run: Run, models: Models, settings: MineSettings
    ) -> None:
        self.workspace, self.run, self.models = workspace, run, models
        self.tdc = tdc_of(run)
        self.folder = workspace.folder("mine", run.name)
        self.images = shard_sizes(workspace, Source.NEGATIVE)
        self.shards = list(self.images)
        self.parts = Store(self._parts_at(settings.parts_at))
        self.opened: Inference | None = None  # on the CPU, where it looked

    def wanted(self, shards: tuple[str, ...]) -> list[str]:
        """These shards, or all where none is named.

        Raises:
            WorkspaceError: one does not exist.
        """
        unknown = [name for name in shards if name not in self.images]
        if unknown:
            raise WorkspaceError(
                f"shard {unknown[0]!r}: is none of the {len(self.shards)} negative shards "
                f"({self.shards[0]} to {self.shards[-1]})"
                if self.shards
                else f"shard {unknown[0]!r}: the release has no negatives"
            )
        return list(shards) or self.shards

    def without_part(self, shards: list[str]) -> list[str]:
        """Those of the shards that are still to be mined."""
        there = self.parts.names()
        return [name for name in shards if part_name(name) not in there]

    def done(self) -> list[str]:
        """Shards with a part."""
        there = self.parts.names()
        return [name for name in self.shards if part_name(name) in there]

    def prepared(self, settings: MineSettings, folder: Path) -> Prepared:
        """How to look.

        Args:
            folder: of what is settled when a mining begins, so that it goes on the same way.
        """
        return prepare(self.workspace, self.models, settings, self.tdc, folder)

    def job(self, settings: MineSettings, prepared: Prepared) -> MineJob:
        """What the workers need."""
        return MineJob(
            settings.shards_at or str(self.workspace.shards),
            self.parts.url,
            self.models.weights,
            prepared.inference,
            settings.batch,
            settings.on_error == "stop",
            self.models.first,
            prepared.quantised,
        )

    def tasks(self, shards: list[str]) -> Iterator[ShardTask]:
        """What the index says of shards, one after another."""
        wanted = {name: self.images[name] for name in shards}
        for name, sha256 in shard_contents(self.workspace, Source.NEGATIVE, wanted):
            yield ShardTask(name, sha256)

    def mine(self, settings: MineSettings, progress: str) -> None:
        """Commit a part for each shard that has none."""
        left = self.without_part(self.wanted(settings.shards))
        prepared = self.prepared(settings, self.folder)
        if not left:
            prepared.settle()
            return
        job = self.job(settings, prepared)
        done = self.done()
        found, errors, _ = self.rows(done)
        whole = sum(self.images[name] for name in done)
        images = whole + saved_images(self.parts, left)
        before = MineCounts(images, found.num_rows, errors.num_rows)
        total = whole + sum(self.images[name] for name in left)
        with shown(before, total, progress) as looked:
            tasks = self.tasks(left)
            if settings.engine == "ray":
                from sixrayd.mine.ray_engine import mine_on_ray

                mine_on_ray(job, tasks, settings.address, settings.workers, looked, prepared.settle)
            else:
                inference = mine_here(job, tasks, settings.workers, looked, prepared.settle)
                if job.inference.device == "cpu":
                    self.opened = inference

    def rows(self, done: list[str]) -> tuple[pa.Table, pa.Table, Removed]:
        """Detections and errors of these shards' parts, and what was cropped away."""
        with ThreadPoolExecutor(_READERS) as pool:
            parts = list(pool.map(self._part, done))
        counts: Counter[int] = Counter()
        for name, part in zip(done, parts, strict=True):
            counts.update(counts_of(part, f"{self.parts.place}/{part_name(name)}"))
        return *split_parts(parts), summed_up(counts)

    def rank(
        self, found: pa.Table, errors: pa.Table, settings: MineSettings
    ) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """Write the candidates, and what scores are worth; the same bytes whatever the order in
        which the parts came to be.

        Returns:
            SHA-256 of each file, and what `MineResult` says of the scores' worth.
        """
        write_bytes(self.folder / "skipped.jsonl", skipped_lines(errors))
        candidates = rank_candidates(found, self.run.name)
        write_table(self.folder / "candidates.parquet", candidates, CANDIDATE_SCHEMA)
        more, worth = self._judge(candidates, settings)
        names = ["candidates.parquet", "look.json", "skipped.jsonl", *more]
        return {name: sha256_file(self.folder / name) for name in names}, worth

    def _judge(
        self, candidates: pa.Table, settings: MineSettings
    ) -> tuple[list[str], dict[str, Any]]:
        """Write what known positives say of the scores, if any can say; the files' names."""
        try:
            prepared = self.prepared(settings, self.folder)
            found, truths = look_at_known(self.workspace, self.models, prepared, self.opened)
        except (WorkspaceError, ShardError) as error:
            if is_refusal(error.__cause__):
                raise  # so that the same command, once the storage is well, finds it out
            told = f"what scores are worth is not known: {error}"
            console.print(told, markup=False, soft_wrap=True)
            return [], {}
        classes = self.workspace.classes().names
        held_out = HeldOut.of(found, truths, classes)
        held_out.save(self.folder / HELD_OUT)
        names, worth = [HELD_OUT], dict[str, Any]()
        drawing = held_out.drawing()
        nothing = drawing.least == math.inf
        worth["not_drawn"] = list(classes) if nothing else sorted(drawing.without)
        if 0 < drawing.least < math.inf:
            right = round(held_out.share_right(), 4)
            worth |= {"drawn_from": drawing.least, "drawn_right": right}
        best = candidates.group_by("image_id").aggregate([("image_score", "max")])
        mined = best["image_score_max"].to_numpy()
        known = np.array([image_score(one) for one in found])
        if belief := believe(known, mined, sum(self.images.values())):
            belief.save(self.folder / BELIEF)
            return [BELIEF, *names], {"believed": belief.hidden, **worth}
        return names, worth

    def summary(
        self, done: list[str], found: pa.Table, errors: pa.Table, removed: Removed
    ) -> Mapping[str, Any]:
        """The counts of `MineResult`."""
        inference = parse_json(plain_text(self.folder / "look.json"))
        cropped = {
            "cropped": removed.cropped,
            "area_removed_median": removed.median,
            "area_removed_mean": removed.mean,
        }
        return {
            **(cropped if self.tdc else {}),
            "backend": inference["backend"],
            "shards_done": len(done),
            "shards": len(self.shards),
            "images": sum(self.images[name] for name in done),
            "flagged": pc.count_distinct(found["image_id"]).as_py(),
            "candidates": found.num_rows,
            "skipped": errors.num_rows,
        }

    def _part(self, shard: str) -> pa.Table:
        name = part_name(shard)
        return table_from(self.parts.read_bytes(name), f"{self.parts.place}/{name}", PART_SCHEMA)

    def _parts_at(self, url: str) -> str:
        """Elsewhere, parts of other settings or weights lie beside these, under another hash."""
        if not url:
            return str(self.folder / "parts")
        work = json.dumps(asdict(self.run), sort_keys=True, default=str)
        folder, mark, query = url.partition("?")
        name = f"{self.run.name}-{hashlib.sha256(work.encode()).hexdigest()[:12]}"
        return f"{folder.rstrip('/')}/{name}{mark}{query}"
