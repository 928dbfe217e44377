"""Whether an export may take its place; the folder itself is `core/staging.py`'s."""

from pathlib import Path

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.staging import MANIFEST, Staging, remove_leftovers, staged

__all__ = ["MANIFEST", "Staging", "refuse_to_overwrite", "remove_leftovers", "staged"]


def refuse_to_overwrite(target: Path, ours: bool, force: bool) -> None:
    """Stop unless `target` is free, or is an export that may be replaced.

    A folder with nothing but `run.json` is free: it says that the export lies elsewhere.

    Raises:
        WorkspaceError: something else is there, or another export and `force` is not set.
    """
    if not target.exists():
        return
    if target.is_dir() and {path.name for path in target.iterdir()} <= {"run.json"}:
        return
    if not ours:
        raise WorkspaceError(f"{target}: exists and is no export; name a new folder with --out")
    if not force:
        raise WorkspaceError(
            f"{target}: holds an export of other inputs or settings; "
            "replace it with --force, or name a new folder with --out"
        )
