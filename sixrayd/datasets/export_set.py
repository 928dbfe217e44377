"""A tree that sixrayd wrote: VOC, lists of images without a box, and hashes of all files."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import LEAK_FREE
from sixrayd.core.staging import MANIFEST
from sixrayd.datasets.labelled import ImageLabels, LabelledSet
from sixrayd.datasets.workspace_set import read_columns

TREE = "VOC2007"
NEGATIVES = "negatives.txt"
# Lists whose images hold nothing, as far as the export knows.
EMPTY_LISTS = (NEGATIVES, "confusing_negatives.txt", "audited_empty.txt")
_STATES = "states.parquet"
_UNLIKELY = 1 << 30  # bytes of a list


def is_export(place: Path) -> bool:
    """Whether a folder is a tree that `sixrayd export` or `sixrayd patch` wrote."""
    return (place / MANIFEST).is_file() and (place / TREE).is_dir()


def complete_export(place: Path, voc: LabelledSet) -> LabelledSet:
    """What the files beside the VOC tree add: images without XML, hashes, the split.

    Args:
        voc: the tree alone.

    Raises:
        WorkspaceError: a file beside it cannot be read.
    """
    images = dict(voc.images)
    for name in EMPTY_LISTS:
        for image_id in _lines(place / name):
            said = images.get(image_id, ImageLabels(image_id, None))
            images[image_id] = said if said.objects else replace(said, objects=())
    split, splits = _split_name(place), dict(voc.splits)
    if len(splits) == 1:  # which VOC has no name for
        splits = {split: splits.popitem()[1]}
    if (place / _STATES).is_file():
        columns = read_columns(place / _STATES, ["image_id", "split"])
        for image_id in columns["image_id"]:
            images.setdefault(image_id, ImageLabels(image_id, None))
        sides = dict(zip(columns["image_id"], columns["split"], strict=True))
        splits = {split: sides}
    for image_id, sha256 in _hashes(place):
        if image_id in images:
            images[image_id] = replace(images[image_id], sha256=sha256)
    return replace(voc, images=dict(sorted(images.items())), splits=splits)


def _hashes(place: Path) -> Iterator[tuple[str, str]]:
    """Image ids with the SHA-256 that the manifest says."""
    for line in _lines(place / MANIFEST):
        digest, _, name = line.partition("  ")
        path = PurePosixPath(name)
        if path.parent.name == "JPEGImages":
            yield path.stem, digest


def _split_name(place: Path) -> str:
    if not (place / "run.json").is_file():
        return LEAK_FREE
    try:
        settings = parse_json((place / "run.json").read_text("utf-8"))["settings"]
        return str(settings.get("split") or LEAK_FREE)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return LEAK_FREE


def _lines(path: Path) -> list[str]:
    if path.exists() and not path.is_file():
        raise WorkspaceError(f"{path}: no plain file; no list of images")
    try:
        if path.stat().st_size > _UNLIKELY:
            raise WorkspaceError(f"{path}: more than {_UNLIKELY >> 20} MiB; no list of images")
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"{path}: cannot be read ({error})") from error
