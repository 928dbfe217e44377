"""What whoever runs an export should know of it, in a line each."""

from collections.abc import Mapping, Sequence

from sixrayd.core.records import State
from sixrayd.core.words import counted
from sixrayd.export.image_files import ImageFiles, ImagesBy
from sixrayd.export.settings import ExportSettings
from sixrayd.export.states import States


def state_notes(states: States, bare: Sequence[str]) -> list[str]:
    """What is in no list, and why."""
    counts, notes = states.counts(), []
    if waiting := counts[State.FLAGGED_UNREVIEWED]:
        notes.append(f"{waiting:,} flagged images are not reviewed and in none of the lists")
    if bare:
        notes.append(f"{counted(len(bare), 'positive')} without a box: positives_without_boxes.txt")
    if states.unused:
        notes.append(
            f"{counted(len(states.unused), 'image')} with decisions, but not readable or not in "
            f"the release: the decisions were not used, first {states.unused[0]}"
        )
    return notes


def split_notes(split: str, splits: Mapping[str, str]) -> list[str]:
    """What a given split leaves out."""
    if not (left_out := sum(not side for side in splits.values())):
        return []
    return [
        f"{left_out} of {len(splits)} positives are on no side of split {split}: they are in the "
        "tree, and in none of its lists"
    ]


def image_notes(settings: ExportSettings, files: ImageFiles) -> list[str]:
    """What links did not lead to what was asked for."""
    if settings.images in (ImagesBy.COPY, ImagesBy.NONE) or not files.copied:
        return []
    if settings.images_from:
        found = counted(files.copied, "image")
        return [f"{found} copied: not below {settings.images_from} as the release has it"]
    if files.linked:
        return []
    return ["images were copied, once: other forms, or --images-from, give them something to link"]
