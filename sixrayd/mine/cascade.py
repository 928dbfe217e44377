"""How sure a cascade's first detector must be: calibration on images that neither has learnt."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from scipy.stats import binomtest

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import FloatArray, RGBImage, pixel_count
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import Source, Split
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.lineage import lineage_of, split_of, unlearnt
from sixrayd.evaluation.matching import match
from sixrayd.imaging.decode import decode_rgb
from sixrayd.mine.inference import Inference, image_score

CONFIDENCE = 0.95  # of the lower bound, one-sided


@dataclass(frozen=True, slots=True)
class Shown:
    """An image to calibrate on.

    Args:
        truth: what it holds; no rows for a negative.
    """

    image: RGBImage
    truth: Truths


def pixels_shown(one: Shown) -> int:
    """Pixels of its image."""
    return pixel_count(one.image)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a cascade loses and what it saves, as measured.

    Args:
        threshold: least score of the first detector for the second to look.
        kept: share of the second's finds at or above it.
        kept_low: of finds that look like these, so many are kept at least, with a confidence of
            95 %. What people have missed may be harder for the first detector too.
        finds: images in which the second detector finds an object.
        finds_needed: for `kept_low` to reach the share asked for, were all of them kept.
        loose: finds are fewer than that: `kept_low` says little.
        images: shown, positives and negatives.
        negatives: among them.
        passed: share of the negatives that the second detector would look at; 0 without any.
        caution: where nobody knows whether a detector has learnt from the images.
    """

    threshold: float
    kept: float
    kept_low: float
    finds: int
    finds_needed: int
    loose: bool
    images: int
    negatives: int
    passed: float
    caution: str = ""


def calibrate(
    first: Inference,
    second: Inference,
    images: Iterable[Shown],
    keep: float = 0.995,
    batch: int = 16,
) -> Calibration:
    """The greatest threshold of the first detector that keeps a share of the second's finds.

    A find is an image of a positive where a detection of the second, which reports what is above
    its own threshold, overlaps an object of its class by 0.5 or more.

    The threshold is the k-th best of n scores, so the share kept in the field follows the beta
    distribution of k and n - k + 1: its lower bound is Clopper and Pearson's for k of n, though
    the threshold was chosen on the same images.

    Args:
        images: of the kind that will be mined; neither detector has learnt from them.
        keep: share of the finds, 0..1.
        batch: images a step.

    Raises:
        SettingsError: `keep` is out of range.
        WorkspaceError: the second detector finds nothing.
    """
    if not 0 < keep < 1:
        raise SettingsError(f"keep {keep}: needs to lie between 0 and 1")
    finds: list[float] = []  # the first detector's scores where the second finds something
    empty: list[float] = []  # and of negatives
    count = 0
    for shown in chunked(images, batch, pixels_shown):
        count += len(shown)
        scores = [image_score(d) for d in first.detect([one.image for one in shown])]
        empty += [s for s, one in zip(scores, shown, strict=True) if not len(one.truth.labels)]
        held = [(s, one) for s, one in zip(scores, shown, strict=True) if len(one.truth.labels)]
        seen = second.detect([one.image for _, one in held])
        found = zip(held, seen, strict=True)
        finds += [s for (s, one), d in found if finds_object(d, one.truth)]
    if not finds:
        raise WorkspaceError(
            f"cascade: the detector finds nothing in {count} validation images; "
            "train it longer, or mine without a cascade"
        )
    return _calibration(np.array(finds), np.array(empty), count, keep)


def _calibration(finds: FloatArray, empty: FloatArray, images: int, keep: float) -> Calibration:
    needed = math.ceil(round(keep * len(finds), 9))  # 0.995 × 200 is 199, not a little more
    threshold = float(np.sort(finds)[::-1][needed - 1])
    kept = int((finds >= threshold).sum())
    low = binomtest(kept, len(finds), alternative="greater").proportion_ci(CONFIDENCE, "exact").low
    finds_needed = math.ceil(math.log(1 - CONFIDENCE) / math.log(keep))
    return Calibration(
        threshold=threshold,
        kept=kept / len(finds),
        kept_low=float(low),
        finds=len(finds),
        finds_needed=finds_needed,
        loose=len(finds) < finds_needed,
        images=images,
        negatives=len(empty),
        passed=float((empty >= threshold).mean()) if len(empty) else 0.0,
    )


def finds_object(found: Detections, truth: Truths) -> bool:
    """Whether any detection overlaps an object of its class by 0.5 or more; difficult ones do not
    count."""
    matches = (match({"": found}, {"": truth}, int(label)) for label in np.unique(truth.labels))
    return any(bool(one.right.any()) for one in matches)


def validation_images(
    workspace: Workspace, models: tuple[str, ...], negatives: int = 500, seed: int = 0
) -> Iterator[Shown]:
    """Images that no model has learnt from, nor what it started from, nor from a near-duplicate.

    All positives that have boxes and are of the training side, by the split of every model, then
    negatives of either side, on which nothing is chosen.

    Args:
        models: names of all that take part.
        negatives: at most so many, drawn at random.

    Raises:
        WorkspaceError: a model is missing, or no positive is left: each model held out others.
    """
    index, annotations = Index.load(workspace), load_annotations(workspace)
    splits = sorted({split_of(workspace, model) for model in models})
    classes = workspace.classes()
    learnt = {i for model in models for i in lineage_of(workspace, model).images}
    rows = index.rows(source=Source.POSITIVE)
    for split in splits:
        trained = Index.load(workspace, split).rows(split=Split.TRAIN)["image_id"]
        rows = rows.filter(pc.is_in(rows["image_id"], trained.combine_chunks()))
    held = unlearnt(index, rows, learnt)["image_id"].to_pylist()
    positives = [image_id for image_id in held if image_id in annotations]
    if not positives:
        raise WorkspaceError(
            f"{workspace.root}: no positive is left that none of {', '.join(models)} has learnt "
            "from; train them with the same --seed and --validation"
        )
    others = []
    if negatives:
        left = unlearnt(index, index.rows(source=Source.NEGATIVE), learnt)["image_id"].to_pylist()
        drawn = np.random.default_rng(seed).permutation(len(left))[:negatives]
        others = [left[place] for place in sorted(drawn)]
    for image_id in [*positives, *others]:
        truth = Truths.of(annotations.get(image_id, ()), classes)
        yield Shown(decode_rgb(index.read(image_id), image_id), truth)
