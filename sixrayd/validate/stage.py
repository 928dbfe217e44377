"""The check of an export: every file, then what tables, lists and labels say of each other."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sixrayd.core.errors import WorkspaceError, printable
from sixrayd.core.files import TOO_MUCH, Reading, plain_bytes, sha256_file
from sixrayd.core.progress import Report, untold
from sixrayd.core.shards import MAX_IMAGE_BYTES
from sixrayd.core.staging import MANIFEST
from sixrayd.datasets.export_files import ABOUT, DATASET, content_version
from sixrayd.datasets.labels import LIMITS
from sixrayd.datasets.places import IMAGES, suffix_of
from sixrayd.validate.agreement import check_documents
from sixrayd.validate.faults import AGAIN, FaultList
from sixrayd.validate.labels import FORMS, LabelCheck
from sixrayd.validate.settings import ValidateSettings, Validation
from sixrayd.validate.tables import ExportTables, load_tables
from sixrayd.validate.walking import (
    LINK_OUT,
    NONE,
    ODD,
    PLAIN,
    TreeFile,
    count_lines,
    tree_files,
)

_OTHER = "move it elsewhere, or remove it"
_LIMITS = {**LIMITS, **dict.fromkeys(IMAGES, MAX_IMAGE_BYTES)}  # of files that are read whole
_OF_CONTENT = re.compile(re.escape(content_version("")) + "[0-9a-f]{12}", re.IGNORECASE)
_TOLD = 100  # files between two reports


def validate(
    place: Path,
    settings: ValidateSettings = ValidateSettings(),
    report: Report = untold,
) -> Validation:
    """Check an export wherever it lies; nothing is written, and no workspace is needed.

    Args:
        report: told of progress: of what, how much is done, of how much.

    Raises:
        WorkspaceError: the folder has no manifest, or has been written anew meanwhile.
    """
    written = _written(place)
    lines = count_lines(place)
    faults, notes = FaultList(settings.most), list[str]()
    tables = load_tables(place, faults, report)
    if tables is None and not faults.count:
        notes.append(
            f"no {DATASET}: the export is of an earlier version, or none; files were compared with "
            "the manifest alone"
        )
    document = tables.document if tables else {}
    check = LabelCheck(tables, _texts(document, "sets"), faults) if tables else None
    files, content, reading = 0, hashlib.sha256(), Reading()
    for file in tree_files(place, faults):
        if file.sha256 and file.path not in ABOUT:
            content.update(f"{file.sha256}  {file.path}\n".encode())
        files += file.kind != NONE
        _check_file(place, file, settings, reading, faults, check)
        if files % _TOLD == 0:
            report("files", min(files, lines), lines)
    report("files", lines, lines)
    if tables and check:
        check.finish(_texts(document, "forms"))
        check_documents(place, tables, faults)
        _check_version(document.get("version"), content.hexdigest(), faults)
    if _written(place) != written:  # so faults may be of one export beside another
        raise WorkspaceError(
            f"{place / MANIFEST}: was written anew while the export was checked; check it again"
        )
    return Validation(
        place=str(place),
        version=printable(document.get("version", ""), 70),
        forms=tuple(form for form in _texts(document, "forms") if form in FORMS),
        files=files,
        images=_exported(tables),
        boxes=sum(tables.counted["origins"].values()) if tables else 0,
        faults=faults.count,
        kinds=dict(faults.kinds.most_common()),
        first=tuple(faults.first),
        notes=tuple(notes),
    )


def _written(place: Path) -> tuple[int, ...]:
    """What tells one writing of an export from the next; empty where it has no manifest."""
    try:
        stat = (place / MANIFEST).stat()
    except OSError:
        return ()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _check_version(version: object, content: str, faults: FaultList) -> None:
    """A version that is made of the content tells it from any other."""
    made = isinstance(version, str) and _OF_CONTENT.fullmatch(version)
    if made and version != (expected := content_version(content)):
        faults.add(DATASET, "version", version, f"{expected}, as the files make it")


def _exported(tables: ExportTables | None) -> int:
    return int(tables.images.marks(exported=True).sum()) if tables else 0


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    """A list of `dataset.json`, or of its settings."""
    settings = document.get("settings")
    said = document.get(name, settings.get(name) if isinstance(settings, dict) else None)
    return list(map(str, said)) if isinstance(said, list) else []


def _check_file(
    place: Path,
    file: TreeFile,
    settings: ValidateSettings,
    reading: Reading,
    faults: FaultList,
    check: LabelCheck | None,
) -> None:
    if file.kind == NONE:
        faults.add(file.path, "", "nothing", "a file that manifest.sha256 lists")
    elif not file.sha256:
        faults.add(file.path, "", file.kind, "no file that manifest.sha256 does not list", _OTHER)
    elif file.kind == ODD or (file.kind == LINK_OUT and not settings.follow):
        advice = "pass --follow to read it, or export again with --images copy"
        faults.add(file.path, "", file.kind, PLAIN, advice if file.kind == LINK_OUT else AGAIN)
    else:
        try:
            if reading.takes(place / file.path):
                _read(place, file, faults, check)
            else:
                faults.add(file.path, "", f"what is not read: {TOO_MUCH}", "a file of its own")
        except OSError as error:
            why = f"what cannot be read ({error.strerror or error})"
            faults.add(file.path, "", why, PLAIN)


def _read(place: Path, file: TreeFile, faults: FaultList, check: LabelCheck | None) -> None:
    """Compare a file's hash, and what it says.

    Raises:
        OSError: it cannot be read.
    """
    path, suffix = place / file.path, suffix_of(file.path)
    limit = _LIMITS.get(suffix, 0)
    data = plain_bytes(path, limit) if 0 < path.stat().st_size <= limit else None
    digest = sha256_file(path) if data is None else hashlib.sha256(data).hexdigest()
    if digest != file.sha256:
        faults.add(file.path, "", f"SHA-256 {digest}", file.sha256)
    if check is None:
        return
    check.place(file.path)
    if data is not None or path.stat().st_size == 0:
        check.take(file.path, data or b"")
    elif file.path.startswith("parquet/") and suffix == ".parquet":
        check.take_table(file.path, path)
    elif file.path.startswith("webdataset/") and suffix == ".tar":
        check.take_shard(file.path, path)
