"""Which stages of a workspace are finished, which must run again, and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.workspace import ASIDE, STAGES, Run, Workspace

_REPLACED = ("models", "mine", "export", "benchmark")  # not unasked, however stale


class StageProgress(StrEnum):
    """How far a result is."""

    DONE = "done"
    STALE = "stale"  # finished, and an input has changed since
    INTERRUPTED = "interrupted"  # begun, not finished
    BROKEN = "broken"  # run.json cannot be read, or a file of an ingest
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ResultStatus:
    """One folder with a result, finished or not."""

    stage: str
    name: str  # empty for stages that keep one result
    progress: StageProgress
    changed: tuple[str, ...] = ()  # inputs that have changed or, inside the workspace, are gone
    gone: tuple[str, ...] = ()  # inputs outside the workspace that are no longer there
    error: str = ""
    summary: dict[str, Any] | None = None  # counts that the stage left


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Every result of a workspace, in the pipeline's order, the newest of a stage last."""

    workspace: str
    results: tuple[ResultStatus, ...]
    next_command: str  # empty when every stage is done
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # given ones, counted


def status_report(workspace: Workspace) -> StatusReport:
    """Look at every stage folder; nothing is written.

    A stage is done when its newest result is: an older one may stay stale.
    """
    results: list[ResultStatus] = []
    next_command = ""
    for stage, command in STAGES.items():
        found = _stage_results(workspace, stage, results)
        newest = found[-1].progress if found else StageProgress.MISSING
        if not found and stage in ASIDE:
            continue
        results += found or [ResultStatus(stage, "", StageProgress.MISSING)]
        if newest is not StageProgress.DONE and not next_command and stage not in ASIDE:
            forced = newest is StageProgress.STALE and stage in _REPLACED
            next_command = workspace.command(command + " --force" * forced)
    return StatusReport(str(workspace.root), tuple(results), next_command, _splits(workspace))


def _splits(workspace: Workspace) -> dict[str, dict[str, int]]:
    try:
        return dict(workspace.run("shards").summary.get("splits", {}))
    except WorkspaceError:  # said where the stages are
        return {}


def _stage_results(
    workspace: Workspace, stage: str, before: list[ResultStatus]
) -> list[ResultStatus]:
    """Results of one stage, the newest last: by the time of `run.json` or `plan.json`."""
    folder = workspace.root / stage
    marks = [
        max(found, key=lambda path: path.stat().st_mtime_ns)
        for parent in (folder, *workspace.folders(stage))
        if (found := [p for name in ("run.json", "plan.json") if (p := parent / name).exists()])
    ]
    marks.sort(key=lambda path: path.stat().st_mtime_ns)
    return [_result(workspace, stage, mark.parent, before) for mark in marks]


def _check_there(folder: Path, run: Run) -> None:
    """Refuse an ingest of which a file is gone, or a table does not open."""
    for path in (folder / name for name in run.outputs):
        try:
            pq.read_metadata(path) if path.suffix == ".parquet" else path.stat()
        except (OSError, pa.ArrowException) as error:
            what = "missing" if isinstance(error, FileNotFoundError) else "not a readable table"
            raise WorkspaceError(f"{path}: {what}; run `sixrayd download` again") from error


def _result(
    workspace: Workspace, stage: str, folder: Path, before: list[ResultStatus]
) -> ResultStatus:
    name = folder.relative_to(workspace.root / stage).as_posix().removeprefix(".")
    if not (folder / "run.json").exists():
        return ResultStatus(stage, name, StageProgress.INTERRUPTED)
    try:
        run = workspace.run(stage, name)
        if stage == "shards":
            _check_there(folder, run)
        stale = workspace.stale(stage, name)
    except WorkspaceError as error:
        return ResultStatus(stage, name, StageProgress.BROKEN, error=str(error))
    # A release may be put away once it is ingested; a stage's result may not.
    gone = tuple(key for key in stale if Path(key).is_absolute() and not Path(key).exists())
    upstream = {
        "/".join(part for part in (other.stage, other.name, "run.json") if part)
        for other in before
        if other.progress is not StageProgress.DONE
    }
    changed = tuple(key for key in run.inputs if (key in stale or key in upstream))
    changed = tuple(key for key in changed if key not in gone)
    progress = StageProgress.STALE if changed else StageProgress.DONE
    summary = {k: v for k, v in run.summary.items() if isinstance(v, str | int | float)}
    return ResultStatus(stage, name, progress, changed, gone, summary=summary)
