"""What power cuts leave of a stage's work, at each moment at which a file or folder was synced.

A cut loses what nobody synced: of a file its content, of a folder what was made, renamed and
removed in it. Three kinds of states are built again, one of which any storage may leave:

- `lost`: every file and folder is as it was when it was last synced;
- `empty`: the folders are as they are; files hold what was synced of them, else nothing;
- `half`: the same, and files that were not synced hold the first half of what was written.
"""

import os
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

File = tuple[bytes | str, int]  # bytes, or where a link leads; when it was written, in ns
Tree = Mapping[str, File | None]  # by path; None: a folder
_CHANGES = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "fsync", "sync")


@dataclass(frozen=True)
class State:
    """What is there after a cut; `beside` is what was on other machines, which had none."""

    kind: str
    moment: str  # the change before which the power went
    place: Tree
    beside: Tree


@dataclass(frozen=True)
class _Entry:
    """A name in a folder: of a file or folder by its inode, or of a link."""

    inode: int
    folder: bool
    link: str


class Recorder:
    """Watches a folder while a stage runs; what is there at first is on disk.

    Args:
        place: exists, and so it stays.
        beside: another folder, on a machine whose power stays.
    """

    def __init__(self, place: Path, beside: Path | None = None) -> None:
        self.place, self.beside = place.resolve(), beside
        self.states: dict[object, State] = {}
        self.finished: Tree = {}  # what is on disk when the stage says that it has ended
        self._files: dict[int, File] = {}  # as they were synced, by inode
        self._folders: dict[int, dict[str, _Entry]] = {}
        self._handles: list[int] = []  # keep the kernel from using a number again
        self._lock, self._own = RLock(), False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record what this process does in the block, in any thread."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._sync_all()
        real = {name: getattr(os, name) for name in _CHANGES}
        for name, function in real.items():
            setattr(os, name, self._watched(name, function))
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)
            self._capture("the end")
            self.finished = dict(self._lost(self.place.stat().st_ino))
            for handle in self._handles:
                os.close(handle)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **options: Any) -> Any:
            with self._lock:
                self._capture(self._said(name, *args))
                done = function(*args, **options)
                if name == "sync":
                    self._sync_all()
                elif name == "fsync":
                    self._sync(args[0])
                return done

        return change

    def _said(self, name: str, *arguments: Any) -> str:
        if name == "fsync":
            arguments = (_path(arguments[0]).resolve(),)
        named = " to ".join(str(path) for path in arguments if not isinstance(path, int))
        return f"{name} {named}".replace(f"{self.place}/", "")

    def _sync_all(self) -> None:
        for path in [self.place, *self.place.rglob("*")]:
            if not path.is_symlink():
                handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                self._sync(handle)
                os.close(handle)

    def _sync(self, handle: int) -> None:
        self._handles.append(os.dup(handle))
        path = _path(handle)
        about = path.stat()
        if path.is_dir():
            self._folders[about.st_ino] = _entries(path)
        else:
            self._files[about.st_ino] = path.read_bytes(), about.st_mtime_ns

    def _capture(self, moment: str) -> None:
        empty, half = {}, {}
        for name, inode, file in _walk(self.place):
            cuts = (file, file) if file is None else _cuts(file, self._files.get(inode))
            empty[name], half[name] = cuts
        lost = dict(self._lost(self.place.stat().st_ino))
        beside = {name: file for name, _, file in _walk(self.beside)} if self.beside else {}
        for kind, place in (("lost", lost), ("empty", empty), ("half", half)):
            bare = [
                sorted((name, hash(file and file[0])) for name, file in tree.items())
                for tree in (place, beside)
            ]
            self.states.setdefault(repr(bare), State(kind, moment, place, beside))

    def _lost(self, folder: int, path: str = "") -> Iterator[tuple[str, File | None]]:
        for name, entry in self._folders.get(folder, {}).items():
            if entry.folder:
                yield path + name, None
                yield from self._lost(entry.inode, f"{path}{name}/")
            elif entry.link:
                yield path + name, (entry.link, 0)
            else:
                yield path + name, self._files.get(entry.inode, (b"", 0))


def _path(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}")


def _entries(folder: Path) -> dict[str, _Entry]:
    with os.scandir(folder) as entries:
        return {
            entry.name: _Entry(
                entry.inode(),
                entry.is_dir(follow_symlinks=False),
                str(Path(entry.path).readlink()) if entry.is_symlink() else "",
            )
            for entry in entries
        }


def _walk(folder: Path, key: str = "") -> Iterator[tuple[str, int, File | None]]:
    """Each file and folder below: its path, inode and content."""
    for name, entry in _entries(folder).items():
        path = folder / name
        if entry.folder:
            yield key + name, 0, None
            yield from _walk(path, f"{key}{name}/")
        elif entry.link:
            yield key + name, 0, (entry.link, 0)
        else:
            with suppress(FileNotFoundError):  # another thread has renamed it
                yield key + name, entry.inode, (path.read_bytes(), path.stat().st_mtime_ns)


def _cuts(file: File, synced: File | None) -> tuple[File, File]:
    """A file of which nothing, and half, is left of what was not synced."""
    (data, moment), before = file, synced[0] if synced else b""
    if isinstance(data, str) or data == before:
        return synced or file, synced or file
    kept = len(before) if isinstance(before, bytes) and data.startswith(before) else 0
    return (data[:kept], moment), (data[: max(kept, len(data) // 2)], moment)


def put_back(tree: Tree, root: Path) -> None:
    """Make a folder what a tree says."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, file in sorted(tree.items()):
        path = root / name
        if file is None:
            path.mkdir()
        elif isinstance(file[0], str):
            path.symlink_to(file[0])
        else:
            path.write_bytes(file[0])
            os.utime(path, ns=(file[1], file[1]))


def results(place: Path) -> dict[str, bytes]:
    """What a stage leaves, less what it only remembers."""
    files = (path for path in place.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


def survived(
    place: Path,
    work: Callable[[], object],
    *,
    beside: Path | None = None,
    most: int = 0,
    said: Callable[[Path], Mapping[str, object]] = results,
) -> int:
    """Run a stage, then once more from each state that a cut would have left of it.

    What it has written when it ends must be on disk by then.

    Args:
        beside: a folder of another machine; it is as it was at the moment of the cut.
        most: of the states that are tried, spread over all; 0 tries every one.
        said: what must be the same at the end.

    Returns:
        How many states were tried.
    """

    def _fault(state: State) -> str:
        put_back(state.place, place)
        if beside is not None:
            put_back(state.beside, beside)
        try:
            work()
            why = _differing(said(place), expected)
        except Exception as error:
            why = repr(error)
        return f"{state.kind} before {state.moment}: {why}" if why else ""

    recorder = Recorder(place, beside)
    with recorder.watching():
        work()
    expected, states = said(place), list(recorder.states.values())
    if most and len(states) > most:
        step = len(states) / most
        states = [states[int((number + 0.5) * step)] for number in range(most)]
    put_back(recorder.finished, place)
    kept = {name: data for name, data in said(place).items() if name in expected}
    assert not (gone := _differing(kept, expected)), f"not on disk at the end: {gone}"
    faults = [fault for state in states if (fault := _fault(state))]
    assert not faults, f"{len(faults)} of {len(states)}:\n" + "\n".join(faults)
    return len(states)


def _differing(found: Mapping[str, object], expected: Mapping[str, object]) -> str:
    names = found.keys() | expected.keys()
    return ", ".join(sorted(n for n in names if found.get(n) != expected.get(n)))
