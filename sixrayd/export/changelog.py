"""The export that one is made from, and what has changed since: what `sixrayd diff` says."""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sixrayd.core.documents import NONSENSE
from sixrayd.core.errors import SettingsError, SixraydError, WorkspaceError, printable
from sixrayd.core.files import plain_text, sha256_file
from sixrayd.core.runs import read_record
from sixrayd.core.staging import MANIFEST, listed_files
from sixrayd.core.storage import check_known
from sixrayd.datasets.export_files import BOXES, CHANGELOG, DATASET
from sixrayd.datasets.export_files import IMAGES as TABLE_OF_IMAGES
from sixrayd.datasets.export_set import has_tables, set_of_tables
from sixrayd.datasets.labelled import LabelledSet
from sixrayd.datasets.places import IMAGES, walk
from sixrayd.datasets.recognising import common_classes, open_place, renamed_classes
from sixrayd.diff.compare import Diff, diff
from sixrayd.diff.printing import diff_lines

_TITLE = "# Changes\n"
_EXAMPLES = 20  # of each kind
_MOST_TEXT = 1 << 20  # bytes of a changelog
_MOST_SIGNS = 70


@dataclass(frozen=True, slots=True)
class Parent:
    """An export that another is made from.

    Args:
        version: empty for one of before there were versions.
        manifest: SHA-256 of its manifest, which covers all its files.
    """

    name: str
    version: str
    manifest: str

    @property
    def words(self) -> str:
        """What people may call it."""
        return self.version or f"{self.name} ({self.manifest[:12]})"


@dataclass(frozen=True, slots=True)
class Descent:
    """What an export is made from.

    Args:
        place: of the parent; None where it is gone, or there is none.
        kept: the changelog of an export that is written again as it was.
    """

    parent: Parent | None = None
    place: Path | None = None
    kept: str = ""


def descent_of(named: Path | None, replaced: Path | None, as_it_was: bool) -> Descent:
    """What an export is made from.

    Args:
        named: the parent that was asked for.
        replaced: the export in whose place it comes, if any.
        as_it_was: whether that one is of the same work, and lost a file.

    Raises:
        WorkspaceError: the parent is no export.
    """
    place = named or replaced
    if place is None:
        return Descent()
    if named is None and as_it_was:
        return _kept(place)
    return Descent(parent_at(place), place)


def parent_at(place: Path) -> Parent:
    """The export in a folder, as a parent, of which the changelog of another will tell.

    Raises:
        WorkspaceError: there is none, or what is to be told lies elsewhere.
    """
    _refuse_links(place)
    try:
        manifest = sha256_file(place / MANIFEST)
        said = read_record(place / "run.json")
        name = printable(said["name"], _MOST_SIGNS)
    except (OSError, *NONSENSE) as error:
        raise WorkspaceError(
            f"{place}: no export that can be a parent ({error}); name a folder that `sixrayd "
            "export` wrote"
        ) from error
    version = _document(place).get("version", "")
    return Parent(name, printable(version, _MOST_SIGNS), manifest)


def _refuse_links(place: Path) -> None:
    """Insist that all of an export but its images lies in it: it may be a stranger's, and a link to
    a file of secrets would have them published.

    Raises:
        WorkspaceError: it does not.
    """
    inside = place.resolve()
    for folder, folders, files in walk(place):
        for path in (Path(folder, name) for name in (*folders, *files)):
            linked = path.is_symlink() and path.suffix.lower() not in IMAGES
            if linked and not path.resolve().is_relative_to(inside):
                raise WorkspaceError(
                    f"{path}: a link leads out of {place}, of which the new export's changelog "
                    "tells; put the file itself there, or remove it"
                )


def _kept(place: Path) -> Descent:
    """What an export says it is made from; nothing where a file that says it has changed."""
    try:
        files = listed_files(place)
        listed = {path: digest for path, digest in files if path in (DATASET, CHANGELOG)}
        if any(sha256_file(place / path) != listed[path] for path in (DATASET, CHANGELOG)):
            return Descent()
        said = _document(place)["parent"]
        names = ("name", "version", "manifest")
        parent = Parent(*(printable(said[name], _MOST_SIGNS) for name in names))
        return Descent(parent, kept=plain_text(place / CHANGELOG, _MOST_TEXT))
    except (OSError, *NONSENSE) as error:
        check_known(error, place)
        return Descent()


def changelog(descent: Descent, written: Path, version: str) -> str:
    """Markdown on what changed from the parent to an export, above what the parent says; empty
    without one. A parent that cannot be read keeps nobody from replacing it.

    Raises:
        SettingsError: both go by one version, and differ.
        WorkspaceError: something else has taken the parent's place since.
    """
    parent, place = descent.parent, descent.place
    if parent is None or place is None:
        return descent.kept
    try:
        before = set_of_tables(place) if has_tables(place) else open_place(place, None, False)
        _check_listed(place)
        found, lines = _differences(before, set_of_tables(written), (parent.words, version))
    except (OSError, SixraydError) as error:
        check_known(error, place)
        why = str(error).replace(f"{place}/", "").replace(f"{written}/", "")
        found, lines = None, [printable(f"not compared: {why}")]
    if found and found.differs and parent.version == version:
        raise SettingsError(
            f"--version {version}: is that of {place}, which it comes from, and they differ; name "
            "the version that follows"
        )
    section = [f"## {version}, from {_plain(parent.words)}", "~~~~", *lines, "~~~~", ""]
    text = _TITLE + "\n" + "\n".join(section) + _earlier(place)
    if not (place / MANIFEST).is_file() or sha256_file(place / MANIFEST) != parent.manifest:
        raise WorkspaceError(f"{place}: was replaced while it was read; run the command again")
    return text


def _check_listed(place: Path) -> None:
    """Insist that what was read of an export is what its manifest lists, by which it is known.

    Raises:
        WorkspaceError: a file is not.
    """
    read = (DATASET, TABLE_OF_IMAGES, BOXES)
    hash_of = cache(sha256_file)  # of a file that is listed any number of times
    for path, digest in listed_files(place):
        if path in read and (place / path).exists() and hash_of(place / path) != digest:
            raise WorkspaceError(f"{path}: is not what {MANIFEST} lists")


def _differences(
    before: LabelledSet, after: LabelledSet, versions: tuple[str, str]
) -> tuple[Diff, list[str]]:
    classes = common_classes(before, after)
    found = diff(renamed_classes(before, classes), renamed_classes(after, classes))
    one, other = (f"version {version}" for version in versions)
    return found, list(diff_lines(found, (one, other), _EXAMPLES))


def _earlier(place: Path) -> str:
    """The sections of a parent's own changelog."""
    try:
        text = plain_text(place / CHANGELOG, _MOST_TEXT)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        check_known(error, place)
        why = _plain(printable(str(error).replace(f"{place}/", "")))
        return f"\nWhat changed before is left out: {why}\n"
    lines = text.removeprefix(_TITLE).splitlines()
    return "".join(f"{_plain(printable(line))}\n" for line in lines)


def _plain(line: str) -> str:
    """A stranger's line in which no page sees a tag."""
    return line.replace("<", "&#60;")


def _document(place: Path) -> dict[str, Any]:
    try:
        said = read_record(place / DATASET)
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def as_document(parent: Parent | None) -> dict[str, str] | None:
    """What `dataset.json` says of a parent."""
    return asdict(parent) if parent else None
