"""Bringing a release: every file from the first mirror that has it, checked before it counts."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from sixrayd.core.ahead import map_ahead
from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import open_plain, sha256_file, take_place
from sixrayd.core.progress import Report
from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.members import SUMS
from sixrayd.download.place import ReleasePlace
from sixrayd.download.rar import NEEDS_TOOL, rar_tool
from sixrayd.download.receipts import Receipt, Receipts
from sixrayd.download.release import MOST_SUMS, read_sums, start_of, wrong_start
from sixrayd.download.room import check_room
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.transfer import (
    AbsentError,
    HttpMirror,
    Mirror,
    Patience,
    StorageMirror,
    Traffic,
    forget,
    part_of,
    web_client,
)

_AHEAD = 2  # files for each connection that are begun or wait to be


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file to have, what is known of it, and who may have it."""

    name: str
    path: Path
    mirrors: tuple[Mirror, ...]
    sha256: str = ""
    sha256_by: str = ""  # who says so
    bytes: int = 0  # that the manifest says; 0 is unknown
    tried: tuple[str, ...] = ()  # mirrors that do not have it, and why
    elsewhere: str = ""  # where else it may be had, after a semicolon


def fetch_release(
    place: ReleasePlace,
    workspace: Workspace,
    settings: DownloadSettings,
    faults: Faults,
    report: Report,
    patience: Patience = Patience(),
) -> Path:
    """Bring the files that are not here yet; a part of a file is kept beside and resumed.

    Returns:
        The folder with the files.

    Raises:
        ReleaseError: nothing is there, a transfer fails for good, or a fault stops.
        WorkspaceError: a link leads to a folder with files of something else.
    """
    folder = workspace.root / "release"
    if not (folder / "source.json").exists():
        workspace.check_own(folder)
    receipts = Receipts.open(folder, place)
    traffic = Traffic(report)
    listed = [name for archive in place.archives for name in archive.files]
    refused = _refused_rars(listed, folder, faults)
    with ExitStack() as stack:
        mirrors = _Mirrors(stack, patience, traffic)
        files = list(_wanted(place, folder, receipts, mirrors))
        refused += _refused_rars([f.name for f in files if f.name not in listed], folder, faults)
        missing = [f for f in files if not f.path.exists() and f.name not in refused]
        found = _survey(missing, faults, settings.connections, report)
        here = [file.path for file in files if file.path.exists()]
        traffic.total = check_room(workspace, [(f.path, size) for f, size in found], here)
        fetch = partial(_fetch, receipts=receipts)
        fetched = _side_by_side(fetch, [f for f, _ in found], settings.connections, traffic)
        for file in fetched:
            if isinstance(file, WantedFile):
                _tell_absent(file, faults)
    came = (file for file in fetched if isinstance(file, Receipt))
    workspace.remember({folder / file.file: file.sha256 for file in came})
    receipts.compare(here, workspace, faults)
    if not any(file.path.exists() for file in files):
        first = ", ".join(file.name for file in files[:3])
        raise ReleaseError(f"{place.name}: none of {first} … is there")
    return folder


class _Mirrors:
    """Opens each place once."""

    def __init__(self, stack: ExitStack, patience: Patience, traffic: Traffic) -> None:
        self._stack, self._patience, self._traffic = stack, patience, traffic
        self._client = stack.enter_context(web_client())
        self._open: dict[str, Mirror] = {}

    def at(self, urls: Sequence[str]) -> tuple[Mirror, ...]:
        """The mirrors at these URLs, less those that cannot be opened.

        Raises:
            ReleaseError: none can.
        """
        problem = None
        for url in urls:
            try:
                self._open.setdefault(url, self._mirror(url))
            except ReleaseError as error:
                problem = problem or error
        found = tuple(self._open[url] for url in urls if url in self._open)
        if not found and problem:
            raise problem
        return found

    def _mirror(self, url: str) -> Mirror:
        if url.startswith(("http://", "https://")):
            return HttpMirror(url, self._client, self._patience, self._traffic)
        return StorageMirror(url, self._traffic)


def _wanted(
    place: ReleasePlace, folder: Path, receipts: Receipts, mirrors: _Mirrors
) -> Iterator[WantedFile]:
    """Every file of the release: as SHA256SUMS lists them where it is served, else as expected."""
    usual, elsewhere = mirrors.at(place.mirrors), _elsewhere(place)
    sums = _published_sums(folder, receipts, usual, elsewhere)
    listed = {name: archive for archive in place.archives for name in archive.files}
    names = [*sums, *(n for n, a in listed.items() if n not in sums and (a.mirrors or not sums))]
    entry = place.entry
    for name in names:
        own = listed[name].mirrors if name in listed else ()
        said = [
            (entry.sha256.get(name, "") if entry else "", "the manifest says"),
            (sums.get(name, ""), f"{SUMS} says"),
            (receipts.sha256(name), "the first one fetched had"),
        ]
        digest, by = next((pair for pair in said if pair[0]), ("", ""))
        size = entry.bytes.get(name, 0) if entry else 0
        asked = mirrors.at(own) if own else usual
        yield WantedFile(name, folder / name, asked, digest, by, size, elsewhere=elsewhere)


def _published_sums(
    folder: Path, receipts: Receipts, usual: Sequence[Mirror], elsewhere: str
) -> dict[str, str]:
    """What the first mirror with a SHA256SUMS says; asked for once."""
    path = folder / SUMS
    if not path.exists() and not receipts.asked_for_sums:
        problems = []
        for mirror in usual:
            try:
                mirror.bring(SUMS, part_of(path), MOST_SUMS)
                _name(part_of(path), path)
                break
            except AbsentError:
                continue
            except ReleaseError as error:
                problems.append(f"{_at(mirror, SUMS)}: {error}")
        if len(problems) == len(usual):
            raise ReleaseError("; ".join(problems) + elsewhere)
    try:
        sums = read_sums(path) if path.exists() else {}
    except ReleaseError:
        if folder.resolve().parent == folder.parent.resolve():  # no link leads elsewhere
            path.unlink()  # a page that was served in its place must not stay
        raise
    receipts.note_sums()
    return sums


def _refused_rars(names: Sequence[str], folder: Path, faults: Faults) -> list[str]:
    """Files that nobody here can read, which are not fetched."""
    if rar_tool() is not None:
        return []
    refused = [n for n in names if n.lower().endswith(".rar") and not (folder / n).exists()]
    for name in refused:
        faults.add(name, f"{NEEDS_TOOL}; nothing of it was fetched")
    return refused


def _survey(
    missing: Sequence[WantedFile], faults: Faults, connections: int, report: Report
) -> list[tuple[WantedFile, int | None]]:
    """Ask who has which file, and how large; what nobody has is told before anything comes."""
    found, silent = [], set[Mirror]()
    with ThreadPoolExecutor(connections) as pool:
        ask = partial(_asked, silent=silent)
        asked = map_ahead(pool, ask, missing, _AHEAD * connections)  # a list may be of a million
        for number, (file, size) in enumerate(asked, 1):
            report("files asked for", number, len(missing))
            if file.mirrors:
                found.append((file, size))
            else:
                _tell_absent(file, faults)
    return found


def _asked(file: WantedFile, silent: set[Mirror]) -> tuple[WantedFile, int | None]:
    """The file with the mirrors that may have it, and its size as the first of them says.

    Args:
        silent: takes mirrors that gave no answer, and are not asked again: each file of a release
            would wait as long.
    """
    having, sizes, tried = [], [], []
    for mirror in file.mirrors:
        try:
            sizes.append(None if mirror in silent else mirror.size(file.name))
            having.append(mirror)
        except AbsentError as error:
            tried.append(f"{_at(mirror, file.name)} ({error})")
        except ReleaseError:
            silent.add(mirror)
            having.append(mirror)  # fetching it will tell
    known = next((size for size in sizes if size is not None), None)
    return replace(file, mirrors=tuple(having), tried=tuple(tried)), known


def _side_by_side(
    fetch: Callable[[WantedFile], Receipt | WantedFile],
    files: Sequence[WantedFile],
    connections: int,
    traffic: Traffic,
) -> list[Receipt | WantedFile]:
    """Fetch several files at once; what fails ends the others, and their parts stay.

    Raises:
        ReleaseError: of the first file that failed.
    """
    pool = ThreadPoolExecutor(connections)
    under_way: dict[Future[Receipt | WantedFile], int] = {}
    fetched: dict[int, Receipt | WantedFile] = {}
    left = enumerate(files)
    try:
        while True:
            for number, file in islice(left, _AHEAD * connections - len(under_way)):
                under_way[pool.submit(fetch, file)] = number
            if not under_way:
                return [fetched[number] for number in range(len(files))]
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=under_way.__getitem__):
                fetched[under_way.pop(future)] = future.result()
    finally:
        traffic.stop.set()
        pool.shutdown(cancel_futures=True)


def _fetch(file: WantedFile, receipts: Receipts) -> Receipt | WantedFile:
    """One file from the first mirror that gives it.

    Returns:
        What came, or the file with all that lack it.

    Raises:
        ReleaseError: a mirror that may have it failed, and no other has it.
    """
    tried, failed = list(file.tried), False
    for mirror in file.mirrors:
        try:
            mirror.bring(file.name, part_of(file.path), file.bytes)
            return _kept(file, mirror, receipts)
        except AbsentError as error:
            tried.append(f"{_at(mirror, file.name)} ({error})")
        except ReleaseError as error:
            tried.append(f"{_at(mirror, file.name)}: {error}")
            failed = True
    if failed:
        raise ReleaseError("; ".join(tried) + file.elsewhere)
    return replace(file, mirrors=(), tried=tuple(tried))


def _kept(file: WantedFile, mirror: Mirror, receipts: Receipts) -> Receipt:
    """Check a complete part and give it its name."""
    part = part_of(file.path)
    size, digest = part.stat().st_size, sha256_file(part)
    if fault := _fault(file, part, size, digest):
        forget(part)
        raise ReleaseError(fault)
    receipt = Receipt(file.name, size, digest, mirror.name)
    receipts.add(receipt)  # first: killed here, the file comes again and is compared
    _name(part, file.path)
    return receipt


def _fault(file: WantedFile, part: Path, size: int, digest: str) -> str:
    if file.bytes and size != file.bytes:
        return f"is {size} bytes, the manifest says {file.bytes}; run it again"
    if file.sha256:
        said = f"SHA-256 is {digest[:12]}…, {file.sha256_by} {file.sha256[:12]}…; run it again"
        return said if digest != file.sha256 else ""
    magic = start_of(file.name)
    with open_plain(part) as opened:
        return "" if magic is None else wrong_start(opened.read(512), magic)


def _name(part: Path, path: Path) -> None:
    part.with_suffix(".validator").unlink(missing_ok=True)
    take_place(part, path)


def _tell_absent(file: WantedFile, faults: Faults) -> None:
    if len(file.tried) == 1:
        faults.add(file.tried[0].rpartition(" (")[0], f"not there{file.elsewhere}")
    else:
        faults.add(file.name, f"not there, asked {', '.join(file.tried)}{file.elsewhere}")


def _elsewhere(place: ReleasePlace) -> str:
    return f"; {place.entry.notes}" if place.entry and place.entry.notes else ""


def _at(mirror: Mirror, name: str) -> str:
    return f"{mirror.name.rstrip('/')}/{name}"
