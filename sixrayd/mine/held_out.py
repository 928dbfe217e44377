"""How a detector scores contraband that it has not learnt from: what its scores are worth."""

from dataclasses import replace
from itertools import chain, islice

import numpy as np

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import FloatArray
from sixrayd.core.progress import progress
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.devices import pick_device
from sixrayd.mine.cascade import validation_images
from sixrayd.mine.inference import image_score, open_inference
from sixrayd.mine.preparing import Models, Prepared

MOST = 500  # images looked at: enough to know a bin of scores within a seventh
_BATCH = 16


def held_out_scores(workspace: Workspace, models: Models, prepared: Prepared) -> FloatArray:
    """Best score of each of at most `MOST` positives, 0 where nothing is found, looked at as the
    negatives were, on this machine.

    Raises:
        WorkspaceError: no positive is left that the models have not learnt from.
        ShardError: their shards are not here, or have changed.
    """
    wanted = prepared.inference
    here = "cpu" if wanted.device == "cpu" else pick_device().type
    names = tuple(filter(None, (models.name, models.first_name)))
    images = islice(validation_images(workspace, names, negatives=0), MOST)
    first = next(images)  # before a network is made ready for nothing
    inference = open_inference(
        models.weights,
        replace(wanted, device=here, batch=0),
        models.first,
        prepared.quantised,
    )
    scores: list[float] = []
    with progress() as bar:
        task = bar.add_task("looking at known contraband", total=None, note="")
        for shown in chunked(chain([first], images), _BATCH):
            scores += map(image_score, inference.detect([one.image for one in shown]))
            bar.advance(task, len(shown))
    return np.array(scores)
