"""What `sixrayd export` is asked for."""

from dataclasses import dataclass, field
from pathlib import Path

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Rule
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.export.forms import FORMS, VOC


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What to export, and where to.

    Raises:
        SettingsError: there is no such form.
    """

    review: tuple[str, ...] = ()  # names; none means every review of the workspace
    out: Path | None = field(default=None, metadata=OUTSIDE)  # None: export/NAME
    with_negatives: bool = False  # copy images that hold nothing into the tree, too
    consensus: Rule = Rule.ADJUDICATOR  # how reviewers who differ are settled
    pseudonyms: bool = False  # name no reviewer in anything exported
    force: bool = field(
        default=False, metadata=OUTSIDE
    )  # replace an export of other inputs or settings
    form: str = VOC  # a key of `FORMS`
    split: str = ""  # a given split, for the lists; empty is the ingest's own

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SettingsError(f"form {self.form!r}: is none of {', '.join(FORMS)}")
