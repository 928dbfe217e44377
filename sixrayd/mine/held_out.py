"""What a detector makes of contraband that it has not learnt from: what its scores are worth."""

from dataclasses import replace
from itertools import chain, islice

from sixrayd.core.ahead import chunked
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.progress import progress
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.devices import pick_device
from sixrayd.mine.cascade import pixels_shown, validation_images
from sixrayd.mine.inference import Inference, open_inference
from sixrayd.mine.preparing import Models, Prepared

MOST = 500  # images looked at: enough to know a bin of scores within a seventh
_BATCH = 16


def look_at_known(
    workspace: Workspace, models: Models, prepared: Prepared, opened: Inference | None = None
) -> tuple[list[Detections], list[Truths]]:
    """What is found in each of at most `MOST` positives, looked at as the negatives were, on this
    machine; and what is there.

    Args:
        opened: what `prepared` says, where it is open on the CPU already.

    Raises:
        WorkspaceError: no positive is left that the models have not learnt from.
        ShardError: their shards are not here, or have changed.
    """
    wanted = prepared.inference
    here = "cpu" if wanted.device == "cpu" else pick_device().type
    names = tuple(filter(None, (models.name, models.first_name)))
    images = islice(validation_images(workspace, names, negatives=0), MOST)
    first = next(images)  # before a network is made ready for nothing
    inference = opened or open_inference(
        models.weights,
        replace(wanted, device=here, batch=0),
        models.first,
        prepared.quantised,
    )
    found: list[Detections] = []
    truths: list[Truths] = []
    with progress() as bar:
        task = bar.add_task("looking at known contraband", total=None, note="")
        for shown in chunked(chain([first], images), _BATCH, pixels_shown):
            found += inference.detect([one.image for one in shown])
            truths += [one.truth for one in shown]
            bar.advance(task, len(shown))
    return found, truths
