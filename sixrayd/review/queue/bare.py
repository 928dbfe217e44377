"""Queue images that come without boxes, so that a bare one is not known to measure its reader."""

from collections.abc import Sequence
from dataclasses import replace

from sixrayd.core.words import counted
from sixrayd.review.folder import Project
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.plan import lane_share

MOST_BARE = 0.1  # of what would have boxes: reviewers find less fast without


def hold_back(
    queue: Sequence[ReviewImage], strewn: Sequence[ReviewImage], project: Project
) -> tuple[list[ReviewImage], list[ReviewImage]]:
    """The queue and what is strewn into it, some without their boxes, evenly over the queue.

    As many of the queue as of what is strewn are bare, at most `MOST_BARE`; the same share of
    known items that have boxes, so that they measure what the queue is. Which ones is settled by
    the project's key.
    """
    bare = sum(not item.drawn for item in strewn)
    share = min(MOST_BARE, bare / len(queue)) if queue else 0.0

    def shown(item: ReviewImage) -> ReviewImage:
        held = item.drawn and lane_share(project, f"bare/{item.image_id}") < share
        return replace(item, drawn=()) if held else item

    return [shown(item) for item in queue], [shown(item) for item in strewn]


def caution_of(queue: int, strewn: int, limited: bool) -> tuple[str, ...]:
    """What is to be said where more is strewn in than there is of a queue to hide it.

    Args:
        queue, strewn: images that are about to be sent.
        limited: whether there may be more of the queue.
    """
    if strewn <= queue:
        return ()
    rest = "a higher --limit hides them" if limited else "the queue has no more to hide them"
    what = f"{counted(strewn, 'image')} to measure by, {queue:,} of the queue"
    return (f"{what}: reviewers may tell which; {rest}",)
