"""Rar archives, which bsdtar turns into a tar; no other program writes a file of it to disk.

What the tar holds is then checked as that of any other: paths, links, sizes.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sixrayd.core.files import plain_text, replacing, shown, write_bytes
from sixrayd.core.findings import Flaw
from sixrayd.core.growth import Allowance
from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults

UNPACKED = ".unpacked"  # in the workspace's release folder; a hidden one is no part of a release
NEEDS_TOOL = (
    "a rar is read with bsdtar, which is not on PATH; install it (Debian and Ubuntu: "
    "libarchive-tools, conda: libarchive)"
)
_VOLUME = re.compile(r"(.+)\.part\d+\.rar", re.IGNORECASE)
_KEPT = re.compile(r".+\.rar\.[0-9a-f]{16}\.(tar|said)(\.\d+\.part)?", re.IGNORECASE)
_CHUNK = 1 << 20


def rar_tool() -> str | None:
    """The program that reads rar archives, where there is one.

    Not the one of the folder that a command is run in, where PATH leads there.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(
        "bsdtar", path=os.pathsep.join(filter(os.path.isabs, folders)) or os.devnull
    )


def rars_as_tars(
    paths: Sequence[Path], root: Path, workspace: Workspace, faults: Faults
) -> dict[str, tuple[Path, ...]]:
    """Tars of what rars of a release hold, kept in the workspace, by the rars' paths.

    None of one, and a fault, where that fails. What was kept of other rars is removed first.
    """
    tool, volumes, whole = rar_tool(), Counter(map(_volume_of, paths)), list[Path]()
    for path in paths:
        if tool is None:
            text = f"{NEEDS_TOOL}, or unpack it here and move it away"
            faults.add(_where(path, root), text, Flaw.NOT_READ)
        elif volumes[_volume_of(path)] > 1:
            text = "one of several volumes; unpack them here and move them away"
            faults.add(_where(path, root), text, Flaw.NOT_READ)
        else:
            whole.append(path)
    if tool is None or not whole:
        return {}
    folder = workspace.root / "release" / UNPACKED
    digests = workspace.hashes_of(whole)
    tars = [folder / f"{p.name}.{d[:16]}.tar" for p, d in zip(whole, digests, strict=True)]
    _remove_others(folder, tars, workspace)
    found = dict[str, tuple[Path, ...]]()
    for path, tar in zip(whole, tars, strict=True):
        said = tar.with_suffix(".said")
        if not (tar.exists() and said.exists()):
            workspace.check_own(folder)
            with replacing(tar) as unfinished:
                complaint = _convert(tool, path.resolve(), unfinished)
                write_bytes(said, complaint.encode("utf-8"))
        if complaint := plain_text(said):
            text = f"{complaint}; what came before it can be read"
            faults.add(_where(path, root), text, Flaw.NOT_READ)
        if tar.stat().st_size:
            found[_where(path, root)] = (tar,)
    return found


def _remove_others(folder: Path, tars: Sequence[Path], workspace: Workspace) -> None:
    """Remove what is left of rars of another version or place, or by a kill."""
    kept = {path.name for tar in tars for path in (tar, tar.with_suffix(".said"))}
    there = (path for path in folder.glob("*") if _KEPT.fullmatch(path.name))
    others = [path for path in there if path.name not in kept]
    if others:
        workspace.check_own(folder)
    for path in others:
        path.unlink()


def _where(path: Path, root: Path) -> str:
    return shown(path.relative_to(root).as_posix())


def _volume_of(path: Path) -> Path:
    match = _VOLUME.fullmatch(path.name)
    return path.with_name(match[1]) if match else path


def _convert(tool: str, path: Path, tar: Path) -> str:
    """Write the tar.

    Returns:
        Why it is not whole; empty when it is.
    """
    command = [tool, "-cf", "-", "--format", "gnutar", f"@{path}"]
    limit = Allowance(path.stat().st_size).most
    with tempfile.TemporaryFile() as errors:
        # In a session of its own it has no terminal to ask for a password.
        with subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                with tar.open("wb") as out:
                    if not copied_within(process.stdout, out, limit):
                        return f"unpacks to more than {limit} bytes"
                status = process.wait()
            finally:
                process.kill()
        errors.seek(0)
        said = errors.read(4096).decode("utf-8", "replace").strip()
    if status == 0:
        return ""
    first = (said.splitlines() or [f"exit code {status}"])[0]
    return f"broken, or of a kind that bsdtar does not read ({first[:200]})"


def copied_within(source: IO[bytes], out: IO[bytes], limit: int) -> bool:
    """Copy a stream; False where it is longer than so many bytes, which are not exceeded."""
    while chunk := source.read(_CHUNK):
        if out.tell() + len(chunk) > limit:
            return False
        out.write(chunk)
    return True
