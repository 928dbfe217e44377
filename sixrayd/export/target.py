"""Where an export is written, what lies there already, and how the workspace finds it again."""

from dataclasses import asdict
from pathlib import Path, PurePosixPath

from sixrayd.core.errors import SettingsError, WorkspaceError, printable
from sixrayd.core.files import Reading, sha256_file, write_json
from sixrayd.core.runs import read_plan, read_run
from sixrayd.core.stages import STAGES, verb
from sixrayd.core.staging import MANIFEST, listed_files
from sixrayd.core.storage import check_known
from sixrayd.core.words import first_of
from sixrayd.core.workspace import Run, Workspace
from sixrayd.datasets.places import walk
from sixrayd.export.image_files import ImagesBy
from sixrayd.export.settings import ExportSettings

_CACHES = ("*.cache", ".DS_Store", "Thumbs.db")


def refuse_other_stages(workspace: Workspace, target: Path) -> None:
    """Stop where a folder is another stage's.

    Raises:
        WorkspaceError: it is.
    """
    for stage in STAGES:
        if stage != "export" and target.is_relative_to((workspace.root / stage).resolve()):
            raise WorkspaceError(
                f"{target}: lies in {stage}/ of the workspace, where `{verb(STAGES[stage])}` "
                "keeps its own; name another folder with --out"
            )


def check_links(settings: ExportSettings, target: Path) -> None:
    """Stop where links would lead into what is replaced.

    Raises:
        SettingsError: they would.
    """
    folder = settings.images_from.resolve() if settings.images_from else None
    if settings.images == ImagesBy.SYMLINK and folder and folder.is_relative_to(target.resolve()):
        raise SettingsError(
            f"--images-from {settings.images_from}: lies in {target}, which is replaced; links to "
            "it would lead nowhere: name another folder"
        )


def run_at(folder: Path) -> Run | None:
    """The finished export in a folder, None where there is none."""
    path = folder / "run.json"
    try:
        run = read_run(path)
    except (OSError, ValueError) as error:
        check_known(error, path)
        return None
    return run if run.stage == "export" and (folder / MANIFEST).exists() else None


def is_as_noted(pointer: Path, planned: Run, there: Run, target: Path) -> bool:
    """Whether an export has the manifest that it was written with: as the workspace says, where it
    lies elsewhere and others may have changed it.

    Args:
        pointer: see `pointer_of`.
        planned: the work that is asked for.
        there: the work that the export says it is of.
    """
    noted = read_plan(pointer / "run.json")
    run = noted if noted and noted.same_work(planned) else there
    return run.outputs.get(MANIFEST) == sha256_file(target / MANIFEST)


def is_whole(tree: Path) -> bool:
    """Whether every file of the manifest is there as it was written; not where links and holes
    give more than is read."""
    reading, before = Reading(), ""
    try:
        for path, digest in listed_files(tree):
            if path <= before:  # a file could be listed any number of times
                return False
            if not reading.takes(tree / path) or sha256_file(tree / path) != digest:
                return False
            before = path
        return True
    except (OSError, ValueError) as error:
        check_known(error, tree)
        return False


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
            f"{target}: holds an export of other inputs or settings, or changed since; "
            "replace it with --force, or name a new folder with --out"
        )


def refuse_to_lose(tree: Path, run: Run | None) -> None:
    """Stop where the export that is to be replaced holds files of others, such as a repository.

    Args:
        run: of that export; None where there is none.

    Raises:
        UnfitFileError: its manifest is broken, so that nobody can tell.
        WorkspaceError: it holds such files; the first are named.
    """
    if run is None:
        return
    listed = {"run.json", MANIFEST, *(path for path, _ in listed_files(tree))}
    others = []
    for root, folders, names in walk(tree):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        paths = (Path(root, name).relative_to(tree).as_posix() for name in [*names, *links])
        others += [path for path in paths if path not in listed and not _is_cache(path)]
    if others:
        first = printable(first_of(sorted(others)), 500)
        raise WorkspaceError(
            f"{tree}: holds what is not the export's, {first}, and would be removed with it; move "
            "that elsewhere first"
        )


def pointer_of(workspace: Workspace, run: Run, target: Path) -> Path:
    """The folder of the workspace that says where an export lies.

    Where the workspace itself holds an export of that name, one elsewhere goes by the name of its
    folder.

    Raises:
        WorkspaceError: that name is taken, or none.
    """
    folder = workspace.folder("export", run.name)
    if target.resolve() == folder.resolve() or not (folder / MANIFEST).exists():
        return folder
    other = workspace.folder("export", target.name)
    if other == folder or (other / MANIFEST).exists():
        raise WorkspaceError(f"{other}: is an export, too; give --out another name")
    return other


def point_to(pointer: Path, run: Run, target: Path) -> None:
    """Leave `run.json` in the workspace for an export that lies elsewhere."""
    if target.resolve() == pointer.resolve():
        return
    write_json(pointer / "run.json", asdict(run))


def _is_cache(path: str) -> bool:
    """Whether programs keep it for themselves and make it anew, such as YOLO's `labels.cache`."""
    return any(PurePosixPath(path).match(name) for name in _CACHES)
