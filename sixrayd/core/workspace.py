"""The folder in which the stages meet: names, lock, `run.json`, staleness."""

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sixrayd.core.classes import ClassList, check_few
from sixrayd.core.dates import Dates
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import OtherWorkError, WorkspaceError, printable
from sixrayd.core.files import (
    make_folder,
    plain_text,
    remove,
    sync_folder,
    take_place,
    write_json,
)
from sixrayd.core.known_hashes import KnownHashes
from sixrayd.core.locks import HeldError, Holder, held, holder
from sixrayd.core.runs import FORMAT, as_plain, check_short, differences, read_plan, read_run
from sixrayd.core.runs import Run as Run
from sixrayd.core.stages import ASIDE as ASIDE
from sixrayd.core.stages import SERVER, locks_of, verb
from sixrayd.core.stages import STAGES as STAGES
from sixrayd.core.staging import remove_all_leftovers
from sixrayd.core.storage import refusals_told
from sixrayd.core.typed import from_here, read_typed, write_typed

REMOVED = "release/removed.json"
_COMMAND = re.compile(r"`(sixrayd [^`]+)`")  # in advice
_READ_ON = ("models", "mine")  # whose files other stages read; `download` checks its own


class Workspace:
    """A folder of stage results.

    Args:
        root: need not exist; the first stage makes it.
        typed: gives the command that runs now, which a stage that it begins may go on with.
    """

    def __init__(self, root: Path | str, typed: Callable[[], str] = str) -> None:
        self.root, self._typed = Path(root), typed
        self.dates = Dates(self.root)
        self._hashes = KnownHashes(self.root)

    def folder(self, stage: str, name: str = "") -> Path:
        """Where a stage keeps its result; `shards` has no name."""
        if name and not _is_folder_name(name):
            shown = printable(repr(name), 100)
            raise WorkspaceError(f"name {shown}: needs to be a plain folder name")
        return self.root / stage / name

    @property
    def shards(self) -> Path:
        """The folder of shards, index and annotations."""
        return self.folder("shards")

    def classes(self) -> ClassList:
        """The classes that the release was ingested with.

        Raises:
            AnnotationError: a stranger's workspace has more than are told apart.
        """
        names = self.run("shards").settings["classes"]
        check_few(names, str(self.shards / "run.json"))
        return ClassList(tuple(names))

    @contextmanager
    def lock(self, stage: str = "") -> Iterator[None]:
        """Be the only writer of a stage's results, and of those that must not change meanwhile.

        Args:
            stage: one of `STAGES`; none keeps out all.

        Raises:
            WorkspaceError: another process writes here; the message has its number. Or the
                storage refuses, now or within the block. Or there is no workspace to write in.
        """
        if stage not in ("", "shards", "benchmark") and not self.root.exists():
            self.run("shards")
        files = locks_of(stage)
        with refusals_told(self.root):
            make_folder(self.root)
            with ExitStack() as stack:
                for name in files:
                    stack.enter_context(self._held(name, stage))
                for each in STAGES:
                    if set(locks_of(each)) <= set(files) and self.is_own(self.root / each):
                        remove_all_leftovers(self.root / each)
                yield

    def check_idle(self, stage: str = "") -> None:
        """Before only reading: nobody writes here now. Nothing is made or written.

        Raises:
            WorkspaceError: another process writes here; the message has its number.
        """
        for by in self.busy(stage):
            raise self._in_use(by)

    def busy(self, stage: str = "") -> list[Holder]:
        """Who keeps a stage from being written, none of them twice."""
        found = []
        for name in locks_of(stage):
            with suppress(PermissionError):
                found += [by] if (by := holder(self.root / name)) else []
        return list(dict.fromkeys(found))

    @contextmanager
    def _held(self, name: str, stage: str) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                doing = verb(STAGES[stage]) if stage else ""
                stack.enter_context(held(self.root / name, doing))
            except HeldError as error:
                raise self._in_use(error.holder) from error
            yield

    def _in_use(self, by: Holder) -> WorkspaceError:
        doing = f" ({by.doing})" if by.doing else ""
        return WorkspaceError(
            f"{self.root}: in use by {by}{doing}; wait for it, or name another workspace with -w"
        )

    def run(self, stage: str, name: str = "") -> Run:
        """What `run.json` of a finished folder says.

        Raises:
            WorkspaceError: the stage has not finished, or another version wrote the file.
        """
        path = self.folder(stage, name) / "run.json"
        try:
            run = read_run(path)
            if run.stage != stage:
                raise ValueError(f"stage is {run.stage[:50]!r}, expected {stage!r}")
        except FileNotFoundError as error:
            advice = self._advice(stage, self.folder(stage, name))
            if there := self.names(stage)[-5:] if name else []:
                advice += f", or name one that is there: {', '.join(there)}"
            raise WorkspaceError(f"{path}: missing; {advice}") from error
        except ValueError as error:
            raise WorkspaceError(
                f"{path}: not a run.json ({printable(error, 200)}); "
                f"run `{self._fills(stage)}` again"
            ) from error
        if run.format != FORMAT:
            raise WorkspaceError(f"{path}: format {run.format}, expected {FORMAT}; run it again")
        return run

    def held(self, stage: str, name: str = "") -> Run | None:
        """The work whose result is there, finished or begun; None where there is none.

        Raises:
            WorkspaceError: see `run`.
        """
        folder = self.folder(stage, name)
        if (folder / "run.json").exists():
            return self.run(stage, name)
        return read_plan(folder / "plan.json")

    def output(self, stage: str, name: str, file: str) -> Path:
        """A file of a finished result, checked against the hash in its `run.json`.

        Raises:
            WorkspaceError: the file has changed since the stage wrote it, or is gone.
        """
        path = self.folder(stage, name) / file
        wanted = self.run(stage, name).outputs.get(file)
        if not path.exists() or self.hashes_of([path]) != [wanted]:
            line = self.typed(stage, name) or f"{verb(STAGES[stage])} --name {shlex.quote(name)}"
            line += "" if "--force" in line.split() else " --force"
            raise WorkspaceError(
                f"{path}: not the file that {verb(STAGES[stage])!r} wrote; "
                f"run `{self.command(line)}`"
            )
        return path

    def folders(self, stage: str) -> list[Path]:
        """Folders of a stage by name, those of unfinished results included; no hidden ones, which
        a killed run left, nor the review server's.
        """
        folder = self.root / stage
        try:
            found = [path for path in folder.iterdir() if path.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        others = folder / SERVER if stage == "review" else None
        return sorted(path for path in found if not path.name.startswith(".") and path != others)

    def names(self, stage: str) -> list[str]:
        """Finished results of a stage that `folder` takes, the newest last."""
        plain = (path for path in self.folders(stage) if _is_folder_name(path.name))
        done = [path for path in plain if (path / "run.json").exists()]
        return [p.name for p in sorted(done, key=lambda p: self.dates.of(p / "run.json"))]

    def newest(self, stage: str) -> str:
        """The name of the newest finished result of a stage.

        Raises:
            WorkspaceError: there is none; the message names the command to run.
        """
        if names := self.names(stage):
            return names[-1]
        advice = self._advice(stage, *self.folders(stage))
        raise WorkspaceError(f"{self.root / stage}: nothing yet; {advice}")

    def inputs(self, *paths: Path) -> dict[str, str]:
        """SHA-256 of each input, by path; a file of unchanged size and times is not read again.

        Ask for all at once: each call reads the list of what is known, and may write it anew.

        Raises:
            WorkspaceError: a file is not there, as of a mining that is made anew or was killed.
        """
        try:
            return self._hashes.of(paths)
        except FileNotFoundError as error:
            line = self.command("sixrayd status")
            raise WorkspaceError(
                f"{error.filename}: missing; `{line}` names the next command"
            ) from error

    def hashes_of(self, paths: Sequence[Path]) -> list[str]:
        """SHA-256 of each file, see `inputs`."""
        found = self.inputs(*paths)
        return [found[self._hashes.key(path)] for path in paths]

    def remember(self, digests: Mapping[Path, str]) -> None:
        """Take the SHA-256 of files as known, so that `inputs` need not read them."""
        self._hashes.remember(digests)

    def removed_inputs(self) -> dict[str, str]:
        """SHA-256 of inputs that were removed once they had served, by path; they stand for them.

        Raises:
            WorkspaceError: the list is broken.
        """
        path = self.root / REMOVED
        try:
            removed = parse_json(plain_text(path))
            return {str(key): str(digest) for key, digest in removed.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError) as error:
            raise WorkspaceError(
                f"{path}: not a list of removed files ({error}); remove it: what is missing is "
                "fetched again"
            ) from error

    def remove_inputs(self, inputs: Mapping[str, str]) -> None:
        """Remove input files inside the workspace, no others; their hashes are kept first.

        The paths may be a stranger's: none leads out, be it by `..` or a link.
        """
        write_json(self.root / REMOVED, dict(inputs))
        for path in (self.root / key for key in inputs):
            if self.is_own(path.parent):
                path.unlink(missing_ok=True)

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

    def commands_in(self, text: str) -> str:
        """A text in which each command, `sixrayd …` in backquotes, acts on this workspace."""
        return _COMMAND.sub(lambda found: f"`{self.command(found[1])}`", text)

    def other_work(self, run: Run) -> str:
        """What differs, for people, where `begin` would remove what another work left; else empty.

        A setting reads "threshold 0.1 there, 0.5 asked for", an input by its path.
        """
        there = self.held(run.stage, run.name)
        if there is None:
            plan = self.folder(run.stage, run.name) / "plan.json"
            return "plan.json cannot be read" if plan.exists() else ""
        return self._spoiled(there) if there.same_work(run) else differences(there, run)

    def refuse_other_work(self, run: Run, what: str) -> None:
        """Before `begin` would remove what another work left; see `other_work`.

        Args:
            what: it is called, such as "training".

        Raises:
            OtherWorkError: it would.
        """
        if why := self.other_work(run):
            folder = self.folder(run.stage, run.name)
            begun = "" if (folder / "run.json").exists() else self.typed(run.stage, run.name)
            on = f"; what is there goes on by `{self.command(begun)}`" if begun else ""
            raise OtherWorkError(
                f"{folder}: holds another {what} ({why}); pass --force to replace it, or --name "
                f"for a new one{on}"
            )

    def is_done(self, run: Run) -> bool:
        """Whether the same work is finished, and there as it was written where others read it."""
        if not (self.folder(run.stage, run.name) / "run.json").exists():
            return False
        there = self.run(run.stage, run.name)
        return there.same_work(run) and not self._spoiled(there)

    def _spoiled(self, run: Run) -> str:
        """The first output of a model or a mining that is not as it was written; else empty."""
        folder = self.folder(run.stage, run.name)
        if run.stage not in _READ_ON or not (folder / "run.json").exists():
            return ""
        found = self.inputs(*filter(Path.is_file, (folder / file for file in run.outputs)))
        for file, digest in sorted(run.outputs.items()):
            if found.get(self._hashes.key(folder / file)) != digest:
                return f"{file} is gone or not what was written"
        return ""

    def begin(self, run: Run, *, keep: bool = False) -> bool:
        """Make the folder ready for a run; call under the lock.

        A finished run of the same work is left alone. An interrupted one of the same work goes
        on; what another work left is removed, unless `keep`.

        Returns:
            False when the same work is already finished.

        Raises:
            WorkspaceError: see `check_own`; or its `run.json` would be longer than is read.
        """
        if self.is_done(run):
            return False
        folder = self.folder(run.stage, run.name)
        plan = folder / "plan.json"
        check_short(run, folder / "run.json")
        begun = read_plan(plan)
        if folder.exists() and (begun is None or not begun.same_work(run)):
            self.check_own(folder)
            if not keep:
                remove_result(folder)
        make_folder(folder)
        (folder / "run.json").unlink(missing_ok=True)
        write_typed(folder, self._typed())
        write_json(plan, as_plain(asdict(run)))
        self._date(plan)
        return True

    def check_own(self, folder: Path) -> None:
        """Before what is in a folder is removed or replaced.

        Raises:
            WorkspaceError: a link leads to it from the workspace, which may be a stranger's, and
                something is there.
        """
        away = folder.resolve()
        if self.is_own(folder) or not folder.exists():
            return
        if not away.is_dir() or any(away.iterdir()):
            raise WorkspaceError(
                f"{folder}: a link leads to {away}, outside of the workspace, where nothing is "
                "removed or replaced; remove the link, or choose another --name or workspace"
            )

    def typed(self, stage: str, name: str = "") -> str:
        """The command that began a result, for people to type again; empty where none is known.

        It is quoted anew, runs nothing else and names no workspace, whoever wrote the file.
        """
        words = read_typed(self.folder(stage, name), verb(STAGES[stage]))
        if stage == "shards":
            with suppress(WorkspaceError, OSError, ValueError):
                held = self.held(stage)
                words = from_here(words, str(held.settings.get("release", "")) if held else "")
        return shlex.join(words)

    def finish(self, run: Run) -> None:
        """Write `run.json`, the last file of a result.

        Raises:
            WorkspaceError: it would be longer than is read.
        """
        folder = self.folder(run.stage, run.name)
        check_short(run, folder / "run.json")
        plan = folder / "plan.json"
        write_json(plan, as_plain(asdict(run)))
        self._date(plan, "run.json")
        take_place(plan, folder / "run.json")  # one step, so that none is left beside the other

    def _date(self, plan: Path, name: str = "") -> None:
        if plan.parent.parent != self.root:  # else the stage has one result, such as the ingest
            self.dates.note(plan, name)

    def stale(self, stage: str, name: str = "") -> list[str]:
        """Inputs of a finished run that are gone or have changed since."""
        inputs, removed = self.run(stage, name).inputs, self.removed_inputs()
        there = {key: path for key in inputs if (path := self.root / key).exists()}
        found = self._hashes.of(there.values(), keep=False)
        known = removed | {key: found[self._hashes.key(path)] for key, path in there.items()}
        return [key for key, digest in inputs.items() if known.get(key) != digest]

    def is_own(self, folder: Path) -> bool:
        """Whether a folder is really inside of the workspace."""
        return folder.resolve().is_relative_to(self.root.resolve())

    def _advice(self, stage: str, *folders: Path) -> str:
        """What to do where one of these is to be finished."""
        # A push without the options of the one that was killed would send other images.
        if stage == "review" and any((each / "project.json").exists() for each in folders):
            line = self.command("sixrayd status")
            return f"what was begun is not finished; `{line}` names what ends it"
        return f"run `{self._fills(stage)}` first"

    def _fills(self, stage: str) -> str:
        return self.command(STAGES[stage])


def remove_result(folder: Path) -> None:
    """Remove a stage's result; one of which a part is gone is never called finished."""
    (folder / "run.json").unlink(missing_ok=True)
    sync_folder(folder)
    remove(folder)


def _is_folder_name(name: Any) -> bool:
    plain = isinstance(name, str) and name == Path(name).name and name.isprintable()
    return plain and not name.startswith(".") and "\\" not in name
