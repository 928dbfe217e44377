"""A file that one process holds at a time, and that a dead one lets go of.

Only who may write it can hold it: `flock` asks for no more than reading, so none else may read it.

Where the file system knows no `flock`, whoever wants the file lays a claim beside it: an empty file
named after machine, process and the process's start. Who then finds another's claim gives way. A
claim of a process that has ended does not count; one of another machine counts till it is removed.
"""

import errno
import fcntl
import os
import platform
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.errors import WorkspaceError

_NO_FLOCK = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_TRIES, _MOMENT_S = 6, 0.05  # of who waits for one that only looks
_LONGEST = 200  # bytes that are read of what the holder says


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a file, and what it says that it does."""

    process: str
    doing: str = ""

    def __str__(self) -> str:
        return f"process {self.process}"


class HeldError(Exception):
    """Another process holds the file."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


@dataclass(frozen=True, slots=True)
class Hold:
    """A file that is held."""

    path: Path
    handle: int
    by_claim: bool  # the file system knows no `flock`

    def pass_to(self, child: int, doing: str = "") -> None:
        """Have a child that inherits the handle hold the file for as long as it lives."""
        if self.by_claim:
            _claim(self.path, child).touch()
        _say(self.handle, child, doing)


@contextmanager
def held(path: Path, doing: str = "") -> Iterator[Hold]:
    """Hold a file for the length of the block; it is made where it is missing.

    Raises:
        HeldError: another process does.
        WorkspaceError: a link is there, or something else that is no file.
    """
    handle = _opened(path, os.O_RDWR | os.O_CREAT)
    claim = None
    try:
        _close_to_readers(handle)
        if not _locked_soon(handle):
            claim = _claimed(path)
        _say(handle, os.getpid(), doing)
        yield Hold(path, handle, claim is not None)
    finally:
        if claim is not None:
            claim.unlink(missing_ok=True)
        os.close(handle)


def holder(path: Path) -> Holder | None:
    """Who holds a file; None where nobody does, or it is not there. Nothing is written.

    Raises:
        OSError: it may not be read.
        WorkspaceError: as `held`.
    """
    try:
        handle = _opened(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _locked(handle, fcntl.LOCK_SH) else next(_claims(path), (None, None))[1]
    except HeldError as error:
        return error.holder
    finally:
        os.close(handle)


def _opened(path: Path, how: int) -> int:
    # A link could lead to a file of value, by whatever kind of link; a pipe could block.
    try:
        handle = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError:
        if path.is_symlink():
            raise WorkspaceError(f"{path}: a link, expected a plain file; remove it") from None
        raise
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_nlink < 2:
        return handle
    os.close(handle)
    several = f"{found.st_nlink} hard links lead to it, one"
    kind = several if stat.S_ISREG(found.st_mode) else "no plain file, which"
    raise WorkspaceError(f"{path}: {kind} is expected here; remove it")


def _close_to_readers(handle: int) -> None:
    """Take a file of ours from those who can only read it, who could hold it for ever."""
    found = os.fstat(handle)
    readers = (~found.st_mode & 0o022) << 1
    if found.st_mode & readers and found.st_uid == os.geteuid():
        with suppress(OSError):  # a file system that knows no modes
            os.fchmod(handle, stat.S_IMODE(found.st_mode) & ~readers)


def _locked(handle: int, how: int) -> bool:
    """Whether `flock` has locked it; False where the file system does not know it."""
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        process, _, doing = os.pread(handle, _LONGEST, 0).decode("ascii", "replace").partition(" ")
        known = process if process.isdecimal() else "unknown"
        raise HeldError(Holder(known, doing if doing.isprintable() else "")) from None
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        return False
    return True


def _locked_soon(handle: int) -> bool:
    """As `_locked`; who only looks whether it is held lets go within a moment."""
    for _ in range(_TRIES - 1):
        with suppress(HeldError):
            return _locked(handle, fcntl.LOCK_EX)
        time.sleep(_MOMENT_S)
    return _locked(handle, fcntl.LOCK_EX)


def _say(handle: int, process: int, doing: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{process} {doing}".strip().encode(), 0)


def _claimed(path: Path) -> Path:
    """Lay a claim for this process. Of two that do so at once, both may give way; never none."""
    claim = _claim(path, os.getpid())
    try:
        os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        raise HeldError(Holder(str(os.getpid()))) from None
    for other, by in _claims(path):
        if other != claim:
            claim.unlink()
            raise HeldError(by)
    for other in _beside(path):  # of the dead
        if other != claim:
            with suppress(OSError):
                other.unlink()
    return claim


def _claims(path: Path) -> Iterator[tuple[Path, Holder]]:
    """Claims of all who may be alive."""
    for claim in _beside(path):
        machine, process, start = claim.name.removeprefix(f"{path.name}.").rsplit(".", 2)
        if machine != _machine():
            advice = f"{process} on {machine} (if it has ended, remove {claim})"
            yield claim, Holder(advice)
        elif start == _start(int(process)):
            yield claim, Holder(process)


def _beside(path: Path) -> list[Path]:
    form = re.compile(rf"{re.escape(path.name)}\..+\.[0-9]+\.[0-9a-z-]+")
    return sorted(other for other in path.parent.iterdir() if form.fullmatch(other.name))


def _claim(path: Path, process: int) -> Path:
    return path.with_name(f"{path.name}.{_machine()}.{process}.{_start(process)}")


def _machine() -> str:
    return re.sub("[^A-Za-z0-9.-]", "-", platform.node()) or "unnamed"


def _start(process: int) -> str:
    """What tells a process from others that had or will have its number; empty once it ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text("ascii", "replace").rpartition(") ")[2]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "" if Path("/proc/self").exists() else _number_in_use(process)
    state, start = fields.split()[0], fields.split()[19]
    return "" if state in "ZX" else f"{boot}-{start}"


def _number_in_use(process: int) -> str:
    # Where there is no /proc, no start can be had either.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "unknown"
