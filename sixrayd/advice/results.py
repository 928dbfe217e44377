"""Which results of a workspace are finished, and which must be made again."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from sixrayd.core.errors import UnknownStateError, WorkspaceError
from sixrayd.core.storage import check_known
from sixrayd.core.tables import row_count
from sixrayd.core.workspace import STAGES, Run, Workspace
from sixrayd.decisions.decision import decision_files, reviews_with_decisions


class StageProgress(StrEnum):
    """How far a result is."""

    DONE = "done"
    STALE = "stale"  # finished, and an input has changed since
    INTERRUPTED = "interrupted"  # begun, not finished
    RUNNING = "running"  # begun, and a process is at it; only `status` asks which are
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


def stage_results(workspace: Workspace) -> dict[str, list[ResultStatus]]:
    """All results by stage, the newest of a stage last; nothing is written."""
    found: dict[str, list[ResultStatus]] = {}
    for stage in STAGES:
        before = _unfinished(result for results in found.values() for result in results)
        found[stage] = [
            _result(workspace, stage, mark.parent, before) for mark in _marks(workspace, stage)
        ]
    return found


def _marks(workspace: Workspace, stage: str) -> list[Path]:
    """The newer of `run.json` and `plan.json` of each folder, the newest last."""
    folder = workspace.root / stage
    marks = [
        max(found, key=workspace.dates.of)
        for parent in (folder, *workspace.folders(stage))
        if (found := [p for name in ("run.json", "plan.json") if (p := parent / name).exists()])
    ]
    return sorted(marks, key=workspace.dates.of)


def _check_there(folder: Path, run: Run) -> None:
    """Refuse an ingest of which a file is gone, or a table does not open."""
    for path in (folder / name for name in run.outputs):
        try:
            row_count(path) if path.suffix == ".parquet" else path.stat()
        except (OSError, pa.ArrowException) as error:
            check_known(error, path)
            what = "missing" if isinstance(error, FileNotFoundError) else "not a readable table"
            raise WorkspaceError(f"{path}: {what}; run `sixrayd download` again") from error


def _result(
    workspace: Workspace, stage: str, folder: Path, unfinished: Collection[str]
) -> ResultStatus:
    name = folder.relative_to(workspace.root / stage).as_posix().removeprefix(".")
    if not (folder / "run.json").exists():
        return ResultStatus(stage, name, StageProgress.INTERRUPTED)
    try:
        run = workspace.run(stage, name)
        if stage == "shards":
            _check_there(folder, run)
        stale = workspace.stale(stage, name)
        of_people = stage in ("estimate", "export")
        fresh = _answers_since(workspace, run, folder) if of_people else []
    except UnknownStateError:
        raise
    except WorkspaceError as error:
        return ResultStatus(stage, name, StageProgress.BROKEN, error=str(error))
    if of_people:  # made of answers: what else a review has done since changes nothing
        stale = [key for key in stale if not re.fullmatch(r"review/[^/]+/run\.json", key)]
    # A release may be put away once it is ingested; a stage's result may not.
    gone = tuple(key for key in stale if Path(key).is_absolute() and not Path(key).exists())
    upstream = () if of_people else unfinished
    changed = tuple(key for key in run.inputs if (key in stale or key in upstream))
    changed = (*(key for key in changed if key not in gone), *fresh)
    progress = StageProgress.STALE if changed else StageProgress.DONE
    summary = {k: v for k, v in run.summary.items() if isinstance(v, str | int | float)}
    return ResultStatus(stage, name, progress, changed, gone, summary=summary)


def _unfinished(before: Iterable[ResultStatus]) -> set[str]:
    return {
        "/".join(part for part in (other.stage, other.name, "run.json") if part)
        for other in before
        if other.progress is not StageProgress.DONE
    }


def _answers_since(workspace: Workspace, run: Run, folder: Path) -> list[str]:
    """Tables of decisions that a result was made without, by path.

    An export may leave reviews out that were there when it was made.

    Args:
        folder: the result's; that of an export elsewhere may be called otherwise than the run.
    """
    made = workspace.dates.of(folder / "run.json")
    found = []
    for review in reviews_with_decisions(workspace):
        files = decision_files(workspace, review)
        if run.stage == "estimate":
            files += workspace.folder("review", review).glob("planted/decisions/*.parquet")
        elif review not in run.settings["review"] and workspace.dates.of(files[0]) < made:
            continue
        found += [path.relative_to(workspace.root).as_posix() for path in files]
    return [key for key in found if key not in run.inputs]
