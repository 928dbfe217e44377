"""A release that the user has: what of its manifest is missing, told before anything is decoded."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.members import loose_files
from sixrayd.download.release import start_of
from sixrayd.download.sources import ListedArchive


def given_folder(
    path: Path, archives: Sequence[ListedArchive], workspace: Workspace, faults: Faults
) -> Path:
    """The folder to read: the one given, or one that holds but the archive given."""
    if path.is_dir():
        for archive, file in _missing(path, archives):
            reason = "the manifest lists it"
            if len(archive.files) > 1:
                reason += f" as one of {len(archive.files)} parts"
            faults.add(file, f"not in {path}, though {reason}")
        return path
    alone = workspace.root / "release" / ".given"
    workspace.check_own(alone)
    alone.mkdir(parents=True, exist_ok=True)
    for other in alone.iterdir():
        other.unlink()
    (alone / path.name).symlink_to(path.resolve())
    return alone


def _missing(root: Path, archives: Sequence[ListedArchive]) -> Iterable[tuple[ListedArchive, str]]:
    """Listed files that a folder lacks.

    A folder with archives that no manifest lists may hold in those what it seems to lack: then
    only parts of a listed archive count of which another part is there.
    """
    listed = {file.lower() for archive in archives for file in archive.files}
    wanted = listed | {name.lower() for archive in archives for name in archive.unpacked}
    found, own, last = set(), False, root
    for path in loose_files(root, None) if archives else ():
        name = path.name.lower()
        found |= wanted & {name}
        own = own or (name not in listed and start_of(name) is not None)
        if path.parent != last:
            last = path.parent
            found |= wanted & {part.lower() for part in last.relative_to(root).parts}
    for archive in archives:
        absent = [file for file in archive.files if file.lower() not in found]
        unpacked = any(name.lower() in found for name in archive.unpacked)
        some = len(absent) < len(archive.files)
        if some or not (own or unpacked):
            yield from ((archive, file) for file in absent)
