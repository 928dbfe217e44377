"""The comparison of two places, and the patch between them."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sixrayd.core.classes import ClassList, default_classes
from sixrayd.core.errors import SettingsError
from sixrayd.core.files import refuse_others
from sixrayd.core.progress import Report, untold
from sixrayd.core.staging import sole_writer
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.labelled import LabelledSet
from sixrayd.datasets.patch_file import MARK, write_patch
from sixrayd.datasets.patches import make_patch
from sixrayd.datasets.recognising import common_classes, is_workspace, open_place, renamed_classes
from sixrayd.diff.compare import Diff, diff
from sixrayd.diff.settings import DiffSettings


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sets at their places, and what changed."""

    a: LabelledSet
    b: LabelledSet
    diff: Diff
    patched: int | None = None  # images in the patch, where one was written


def compare_places(
    a: Path,
    b: Path,
    settings: DiffSettings,
    patch: Path | None = None,
    report: Report = untold,
) -> Comparison:
    """Compare what lies at two places.

    Args:
        patch: where to write what leads from A to B.
        report: told of progress.

    Raises:
        SettingsError: the patch would replace a file, and may not, or one that is no patch.
        SixraydError: a place has no set, or the patch cannot be written.
    """
    with nullcontext() if patch is None else sole_writer(patch):
        return _compared(a, b, settings, patch, report)


def _compared(
    a: Path, b: Path, settings: DiffSettings, patch: Path | None, report: Report
) -> Comparison:
    if patch is not None and patch.exists() and not patch.is_file():
        raise SettingsError(f"{patch}: no plain file; name another one")
    if patch is not None and patch.exists() and not settings.force:
        raise SettingsError(f"{patch}: exists; replace it with --force, or name another file")
    if patch is not None:
        refuse_others(patch, MARK, "patch")
    classes = ClassList(settings.classes) if settings.classes else None
    sets = [
        open_place(place, classes, settings.images, partial(_told, report, f"{name}: "))
        for place, name in ((a, "A"), (b, "B"))
    ]
    common = classes or common_classes(*sets)
    if classes:
        _insist_on(classes, sets, (a, b))
    first, second = (renamed_classes(labelled, common) for labelled in sets)
    changes = None
    if patch is not None:
        made = make_patch(first, second, common)
        write_patch(patch, made)
        changes = len(made.images)
    found = diff(first, second, settings.iou, settings.images, report)
    return Comparison(first, second, found, changes)


def _told(report: Report, before: str, what: str, done: int, total: int) -> None:
    report(before + what, done, total)


def _insist_on(classes: ClassList, sets: Sequence[LabelledSet], places: Sequence[Path]) -> None:
    """A class that nothing has is mistyped: of it the two would always agree."""
    known = {
        item.box.label for s in sets for image in s.images.values() for item in image.objects or ()
    }
    known.update(default_classes())
    for place in filter(is_workspace, places):
        known.update(Workspace(place).classes().names)
    if unknown := [name for name in classes.names if name not in known]:
        raise SettingsError(
            f"--classes {unknown[0]}: neither {places[0]} nor {places[1]} has a box of it"
        )
