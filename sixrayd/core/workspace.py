"""The folder in which the stages meet: names, lock, `run.json`, staleness."""

import fcntl
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sixrayd
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file, write_json

FORMAT = 1
# Stage folder → the command that fills it, in the order of the pipeline.
STAGES = {
    "shards": "sixrayd download --release FOLDER",
    "models": "sixrayd train",
    "mine": "sixrayd mine",
    "review": "sixrayd review push",
    "estimate": "sixrayd estimate",
    "export": "sixrayd export --voc",
    "benchmark": "sixrayd benchmark --train-missing",
    "audit": "sixrayd audit",
}
ASIDE = ("audit",)  # nothing waits for these


@dataclass(frozen=True, slots=True)
class Run:
    """What `run.json` says: how a folder came to be. It holds no time of day, so that the same
    work leaves the same bytes."""

    stage: str
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]  # path (relative to the workspace where inside) → SHA-256
    outputs: Mapping[str, str] = field(default_factory=dict)  # path in the folder → SHA-256
    summary: Mapping[str, Any] = field(default_factory=dict)
    version: str = sixrayd.__version__
    format: int = FORMAT

    def same_work(self, other: "Run") -> bool:
        """Whether both have the same settings, inputs and format."""
        mine, theirs = (_plain([r.settings, r.inputs, r.format]) for r in (self, other))
        return bool(mine == theirs)


class Workspace:
    """A folder of stage results.

    Args:
        root: need not exist; the first stage makes it.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def folder(self, stage: str, name: str = "") -> Path:
        """Where a stage keeps its result; `shards` has no name."""
        if name and (name != Path(name).name or name.startswith(".")):
            raise WorkspaceError(f"name {name!r}: needs to be a plain folder name")
        return self.root / stage / name

    @property
    def shards(self) -> Path:
        """The folder of shards, index and annotations."""
        return self.folder("shards")

    def classes(self) -> ClassList:
        """The classes that the release was ingested with."""
        return ClassList(tuple(self.run("shards").settings["classes"]))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer.

        Raises:
            WorkspaceError: another process writes here; the message has its number.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / ".lock"
        with path.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                raise WorkspaceError(
                    f"{self.root}: in use by process {handle.read().strip() or 'unknown'}; "
                    "wait for it, or name another workspace with -w"
                ) from error
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield

    def run(self, stage: str, name: str = "") -> Run:
        """What `run.json` of a finished folder says.

        Raises:
            WorkspaceError: the stage has not finished, or another version wrote the file.
        """
        path = self.folder(stage, name) / "run.json"
        try:
            run = Run(**json.loads(path.read_text("utf-8")))
        except FileNotFoundError as error:
            raise WorkspaceError(f"{path}: missing; run `{self._fills(stage)}` first") from error
        except (ValueError, TypeError) as error:
            raise WorkspaceError(
                f"{path}: not a run.json; run `{self._fills(stage)}` again"
            ) from error
        if run.format != FORMAT:
            raise WorkspaceError(f"{path}: format {run.format}, expected {FORMAT}; run it again")
        return run

    def output(self, stage: str, name: str, file: str) -> Path:
        """A file of a finished result, checked against the hash in its `run.json`.

        Raises:
            WorkspaceError: the file has changed since the stage wrote it, or is gone.
        """
        path = self.folder(stage, name) / file
        wanted = self.run(stage, name).outputs.get(file)
        if not path.exists() or self.inputs(path)[self._key(path)] != wanted:
            raise WorkspaceError(
                f"{path}: not the file that {STAGES[stage].split(' -')[0]!r} wrote; "
                f"run it again with --name {name}"
            )
        return path

    def names(self, stage: str) -> list[str]:
        """Finished results of a stage, the newest last."""
        done = [path.parent for path in (self.root / stage).glob("[!.]*/run.json")]
        return [p.name for p in sorted(done, key=lambda p: (p / "run.json").stat().st_mtime_ns)]

    def newest(self, stage: str) -> str:
        """The name of the newest finished result of a stage.

        Raises:
            WorkspaceError: there is none; the message names the command to run.
        """
        names = self.names(stage)
        if not names:
            raise WorkspaceError(
                f"{self.root / stage}: nothing yet; run `{self._fills(stage)}` first"
            )
        return names[-1]

    def inputs(self, *paths: Path) -> dict[str, str]:
        """SHA-256 of each input, by path; a file of unchanged size and time is not read again."""
        cache = self._hashes()
        found = {self._key(path): self._hash(path, cache) for path in paths}
        self.root.mkdir(parents=True, exist_ok=True)
        write_json(self.root / ".hashes.json", cache)
        return found

    def upstream(self, *stages: tuple[str, str]) -> dict[str, str]:
        """Inputs that are whole stages: the hash of a `run.json` covers all that it lists.

        Raises:
            WorkspaceError: one of them has not finished.
        """
        for stage in stages:
            self.run(*stage)
        return self.inputs(*(self.folder(*stage) / "run.json" for stage in stages))

    def command(self, line: str) -> str:
        """A command line that acts on this workspace wherever it is, for advice."""
        usual = os.environ.get("SIXRAYD_WORKSPACE") or "workspace"
        return line if self.root == Path(usual) else f"{line} -w {shlex.quote(str(self.root))}"

    def other_work(self, run: Run) -> str:
        """What differs, for people, where `begin` would remove what another work left; else empty.

        A setting reads "threshold 0.1 there, 0.5 asked for", an input by its path.
        """
        folder = self.folder(run.stage, run.name)
        if (folder / "run.json").exists():
            there: Run | None = self.run(run.stage, run.name)
        elif (folder / "plan.json").exists():
            there = _planned(folder / "plan.json")
        else:
            return ""
        if there is None:
            return "plan.json cannot be read"
        return "" if there.same_work(run) else _differences(there, run)

    def begin(self, run: Run, *, keep: bool = False) -> bool:
        """Make the folder ready for a run; call under the lock.

        A finished run of the same work is left alone. An interrupted one of the same work goes
        on; what another work left is removed, unless `keep`.

        Returns:
            False when the same work is already finished.
        """
        folder = self.folder(run.stage, run.name)
        if (folder / "run.json").exists() and self.run(run.stage, run.name).same_work(run):
            return False
        plan = folder / "plan.json"
        if not keep and folder.exists() and not _is_plan_of(plan, run):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").unlink(missing_ok=True)
        write_json(plan, _plain(asdict(run)))
        return True

    def finish(self, run: Run) -> None:
        """Write `run.json`, the last file of a result."""
        folder = self.folder(run.stage, run.name)
        write_json(folder / "run.json", _plain(asdict(run)))
        (folder / "plan.json").unlink(missing_ok=True)

    def stale(self, stage: str, name: str = "") -> list[str]:
        """Inputs of a finished run that are gone or have changed since."""
        cache = self._hashes()
        changed = []
        for key, digest in self.run(stage, name).inputs.items():
            path = self.root / key
            if not path.exists() or self._hash(path, cache) != digest:
                changed.append(key)
        return changed

    def _fills(self, stage: str) -> str:
        return self.command(STAGES[stage])

    def _key(self, path: Path) -> str:
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if inside else str(path.resolve())

    def _hashes(self) -> dict[str, Any]:
        path = self.root / ".hashes.json"
        try:
            return dict(json.loads(path.read_text("utf-8")))
        except (FileNotFoundError, ValueError):
            return {}

    def _hash(self, path: Path, cache: dict[str, Any]) -> str:
        stat = path.stat()
        key, seen = self._key(path), [stat.st_size, stat.st_mtime_ns]
        if cache.get(key, [None])[:2] != seen:
            cache[key] = [*seen, sha256_file(path)]
        return str(cache[key][2])


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _is_plan_of(path: Path, run: Run) -> bool:
    plan = _planned(path)
    return plan is not None and plan.same_work(run)


def _planned(path: Path) -> Run | None:
    try:
        return Run(**json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _differences(there: Run, asked: Run) -> str:
    """What distinguishes two works; settings first."""
    one, other = (_flat(_plain(run.settings)) for run in (there, asked))
    found = [
        f"{key} {one.get(key)} there, {other.get(key)} asked for"
        for key in {**one, **other}
        if one.get(key) != other.get(key)
    ]
    inputs = {**there.inputs, **asked.inputs}
    changed = [k for k in sorted(inputs) if there.inputs.get(k) != asked.inputs.get(k)]
    return "; ".join([*found, *(f"{key} is another" for key in changed)]) or "another format"


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings within settings by the innermost name, unless one of that name stands outside."""
    inner = {k: v for part in settings.values() if isinstance(part, dict) for k, v in part.items()}
    return inner | {k: v for k, v in settings.items() if not isinstance(v, dict)}
