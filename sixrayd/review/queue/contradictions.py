"""What a release says of a labelled positive against itself."""

from collections.abc import Iterator, Sequence

from sixrayd.core.index import Annotation
from sixrayd.core.records import ImageRecord

RELEASE = "release"  # the model of proposals that are the release's own boxes


def contradictions(
    record: ImageRecord, boxes: Sequence[Annotation], unknown: bool
) -> Iterator[str]:
    """Reasons to doubt it, short, for people.

    Args:
        unknown: the release has no usable XML for it.
    """
    if not boxes:
        yield "no usable XML" if unknown else "its XML names no object"
        return
    boxed, named = {each.box.label for each in boxes}, set(record.labels)
    for label in sorted(named - boxed):
        yield f"{label} is named, but has no box"
    for label in sorted(boxed - named):
        yield f"{label} has a box, but is not named"
