"""What `sixrayd export` is asked for."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import EMPTY_SETS, Rule
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.export.forms import FORMS, VOC
from sixrayd.export.image_files import ImagesBy

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What to export, and where to.

    Raises:
        SettingsError: there is no such form, set or way to bring images, or a version is odd.
    """

    review: tuple[str, ...] = ()  # names; none means every review of the workspace
    out: Path | None = field(default=None, metadata=OUTSIDE)  # None: export/NAME
    with_negatives: bool = False  # copy images that hold nothing into the tree, too
    consensus: Rule = Rule.ADJUDICATOR  # how reviewers who differ are settled
    pseudonyms: bool = False  # name no reviewer in anything exported
    force: bool = field(
        default=False, metadata=OUTSIDE
    )  # replace an export of other inputs or settings
    forms: tuple[str, ...] = (VOC,)  # keys of `FORMS`
    split: str = ""  # a given split, for the lists; empty is the ingest's own
    sets: tuple[str, ...] = ()  # of `EMPTY_SETS`, each an image set of its own
    images: ImagesBy = ImagesBy.COPY
    # Where links lead to; None links the forms of an export with each other.
    images_from: Path | None = field(default=None, metadata=OUTSIDE)
    trainval: bool = True  # VOC's list `trainval`, which equals `train`
    looks: bool = False  # each XML says who looked at its image
    version: str = ""  # of the dataset; empty takes one by what it holds
    # The export that this one is made from; None is the one that it replaces, if any.
    parent: Path | None = field(default=None, metadata=OUTSIDE)

    def __post_init__(self) -> None:
        for what, asked, known in (("form", self.forms, FORMS), ("set", self.sets, EMPTY_SETS)):
            for name in asked:
                if name not in known:
                    raise SettingsError(f"{what} {name!r}: is none of {', '.join(known)}")
        if not self.forms:
            raise SettingsError(f"forms: need one of {', '.join(FORMS)}")
        if self.version and not _VERSION.fullmatch(self.version):
            raise SettingsError(
                f"version {self.version[:70]!r}: expected up to 64 letters, digits and "
                "any of . + - _, as in 1.2.0"
            )
        if self.images_from and self.images in (ImagesBy.COPY, ImagesBy.NONE):
            raise SettingsError(
                f"images-from: nothing leads there with --images {self.images}; pass --images "
                "hardlink, symlink or reflink"
            )
        if self.images_from and not self.images_from.is_dir():
            raise SettingsError(f"images-from: {self.images_from}: no folder")
