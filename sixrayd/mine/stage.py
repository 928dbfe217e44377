"""The stage: mine what is not mined yet, then rank all candidates."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.command import progress
from sixrayd.core.errors import ImageError, WorkspaceError
from sixrayd.core.files import read_table, sha256_file, write_bytes, write_table
from sixrayd.core.index import Index, image_records
from sixrayd.core.records import CANDIDATE_SCHEMA, Source
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.predictor import Predictor, pick_device
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.shard import PART_SCHEMA, Shard, mine_shard


@dataclass(frozen=True, slots=True)
class MineResult:
    """What mining found so far.

    Args:
        shards_done, shards: of the negatives; candidates are ranked when all are done.
        flagged: images with at least one candidate.
        skipped: images that could not be looked at; `skipped.jsonl` names them.
    """

    name: str
    model: str
    folder: str
    shards_done: int
    shards: int
    images: int
    flagged: int
    candidates: int
    skipped: int
    fresh: bool


def mine(workspace: Workspace, settings: MineSettings = MineSettings()) -> MineResult:
    """Run a trained detector over the negative shards, or finish an interrupted mining.

    Raises:
        WorkspaceError: nothing is ingested or trained, or a named shard does not exist.
        CheckpointError: the weights cannot be read.
        ImageError: an image cannot be looked at and `on_error` is "stop".
    """
    with workspace.lock():
        model = settings.model or workspace.newest("models")
        # Which shards are mined now, and how many images a step, does not change the result.
        lasting = {"model": model, "threshold": settings.threshold, "mirror": settings.mirror}
        run = Run(
            "mine",
            settings.name or model,
            lasting,
            workspace.upstream(("shards", ""), ("models", model)),
        )
        fresh = workspace.begin(run)
        job = _Job(workspace, run)
        if fresh:
            job.mine(_chosen(job.shards, settings.shards), settings)
            if len(job.done()) == len(job.shards):
                job.rank()
        return job.result(fresh)


def _chosen(shards: list[str], wanted: tuple[str, ...]) -> list[str]:
    unknown = [name for name in wanted if name not in shards]
    if unknown:
        raise WorkspaceError(
            f"shard {unknown[0]!r}: is none of the {len(shards)} negative shards "
            f"({shards[0]} to {shards[-1]})"
            if shards
            else f"shard {unknown[0]!r}: the release has no negatives"
        )
    return list(wanted) or shards


class _Job:
    """One mining: its parts and what is made of them."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self.workspace, self.run = workspace, run
        self.folder = workspace.folder("mine", run.name)
        self.index = Index.load(workspace)
        self.shards = self.index.shards(Source.NEGATIVE)

    def part(self, shard: str) -> Path:
        return self.folder / "parts" / f"{Path(shard).stem}.parquet"

    def done(self) -> list[str]:
        return [shard for shard in self.shards if self.part(shard).exists()]

    def mine(self, shards: list[str], settings: MineSettings) -> None:
        """Commit a part for each shard that has none."""
        left = [shard for shard in shards if not self.part(shard).exists()]
        if not left:
            return
        model = self.run.settings["model"]
        checkpoint = load_checkpoint(self.workspace.output("models", model, "weights.safetensors"))
        predictor = Predictor(
            checkpoint.detector,
            DecodeSettings(threshold=settings.threshold),
            device=pick_device(settings.device),
            mirror=settings.mirror,
        )
        total = self._images(shards)
        with progress() as bar:
            task = bar.add_task("mining", total=total, note="")
            bar.update(task, completed=total - self._images(left))
            skips = 0

            def looked(images: int, skipped: int) -> None:
                nonlocal skips
                skips += skipped
                bar.update(task, advance=images, note=f"{skips} skipped" if skips else "")

            for name in left:
                table = mine_shard(
                    self._shard(name), predictor, checkpoint.classes.names, settings.batch, looked
                )
                self._stop_at_errors(table, settings)
                write_table(self.part(name), table, PART_SCHEMA)

    def rank(self) -> None:
        """Candidates of all parts by falling image score, ties by image id; the same bytes
        whatever the order in which the parts came to be."""
        parts = pa.concat_tables([self._read_part(shard) for shard in self.shards] or [_NOTHING])
        errors = parts.filter(pc.not_equal(parts["error"], "")).sort_by("image_id")
        rows = errors.select(["image_id", "error"]).to_pylist()
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_bytes(self.folder / "skipped.jsonl", "".join(lines).encode())
        found = parts.filter(pc.equal(parts["error"], ""))
        candidates = rank_candidates(found, self.run.name)
        write_table(self.folder / "candidates.parquet", candidates, CANDIDATE_SCHEMA)
        outputs = ("candidates.parquet", "skipped.jsonl")
        self.workspace.finish(
            replace(
                self.run,
                outputs={name: sha256_file(self.folder / name) for name in outputs},
                summary={"flagged": pc.count_distinct(found["image_id"]).as_py()},
            )
        )

    def result(self, fresh: bool) -> MineResult:
        done = self.done()
        tables = [self._read_part(shard) for shard in done]
        parts = pa.concat_tables(tables or [_NOTHING])
        found = parts.filter(pc.equal(parts["error"], ""))
        return MineResult(
            self.run.name,
            self.run.settings["model"],
            str(self.folder),
            len(done),
            len(self.shards),
            self._images(done),
            pc.count_distinct(found["image_id"]).as_py(),
            found.num_rows,
            parts.num_rows - found.num_rows,
            fresh,
        )

    def _shard(self, name: str) -> Shard:
        rows = self.index.table.filter(pc.equal(self.index.table["shard"], name))
        records = {record.image_id: record for record in image_records(rows)}
        return Shard(self.workspace.shards / name, records)

    def _images(self, shards: list[str]) -> int:
        among = pc.is_in(self.index.table["shard"], pa.array(shards, pa.string()))
        return int(pc.sum(among).as_py() or 0)

    def _read_part(self, shard: str) -> pa.Table:
        return read_table(self.part(shard), PART_SCHEMA)

    def _stop_at_errors(self, table: pa.Table, settings: MineSettings) -> None:
        errors = [error for error in table["error"].to_pylist() if error]
        if errors and settings.on_error == "stop":
            raise ImageError(f"{errors[0]}; mend it, or pass --on-error skip")


_NOTHING = PART_SCHEMA.empty_table()


_ORDER = [
    (key, "descending" if key == "score" else "ascending")
    for key in ("rank", "score", "label", "x1", "y1", "x2", "y2")
]


def rank_candidates(found: pa.Table, model: str) -> pa.Table:
    """Number images by falling best score and boxes within them.

    Args:
        found: of the part schema, without errors.

    Returns:
        A table of `CANDIDATE_SCHEMA`, sorted by rank, then box.
    """
    best = found.group_by("image_id").aggregate([("score", "max")])
    best = best.sort_by([("score_max", "descending"), ("image_id", "ascending")])
    best = best.append_column("rank", pa.array(range(1, best.num_rows + 1), pa.int64()))
    joined = found.join(best, keys="image_id").sort_by(_ORDER)
    numbers = list(_count_within(joined["rank"].to_pylist()))
    ids = [f"{i}/{model}/{n}" for i, n in zip(joined["image_id"].to_pylist(), numbers, strict=True)]
    columns: dict[str, Any] = {name: joined[name] for name in joined.column_names}
    columns |= {
        "box_id": pa.array(ids, pa.string()),
        "model": pa.array([model] * len(ids), pa.string()),
        "image_score": joined["score_max"],
    }
    return pa.table({name: columns[name] for name in CANDIDATE_SCHEMA.names}).cast(CANDIDATE_SCHEMA)


def _count_within(keys: list[int]) -> Iterator[int]:
    last, number = None, 0
    for key in keys:
        number = number + 1 if key == last else 0
        last = key
        yield number
