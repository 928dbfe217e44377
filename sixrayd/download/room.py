"""Whether the disk has room for a release, asked before anything of it comes."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from sixrayd.core.errors import ReleaseError
from sixrayd.core.workspace import Workspace
from sixrayd.download.transfer import part_of


def check_room(
    workspace: Workspace, coming: Sequence[tuple[Path, int | None]], here: Sequence[Path]
) -> int:
    """Compare what archives and shards will take with what is free, as far as sizes are known.

    Args:
        coming: files to fetch, with their bytes or None.
        here: archives that are here already.

    Returns:
        Bytes of all that is coming; 0 where some size is not known.

    Raises:
        ReleaseError: there is less room.
    """
    if not coming:
        return 0
    known = [(path, size) for path, size in coming if size is not None]
    archives = sum(max(size - _size(part_of(path)), 0) for path, size in known)
    # Images hardly compress: shards, and the tar of a rar, are as large as what they come from.
    shards = sum(size for _, size in known) + sum(_size(path) for path in here)
    shards += sum(size for path, size in known if path.suffix == ".rar")
    shards -= sum(_size(path) for path in workspace.shards.glob("*.tar"))
    need = archives + max(shards, 0)
    free = shutil.disk_usage(workspace.root).free
    if need > free:
        raise ReleaseError(
            f"{workspace.root}: needs {gigabytes(archives)} for archives and "
            f"{gigabytes(need - archives)} for shards, {gigabytes(free)} are free; make room, or "
            "name a workspace elsewhere with -w"
        )
    return sum(size for _, size in known) if len(known) == len(coming) else 0


def gigabytes(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
