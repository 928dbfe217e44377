"""Negatives that resemble a known positive: by perceptual hash, then by a detector's features."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, normalize

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import FloatArray, pixel_count
from sixrayd.core.boxes import Box, clip_xyxy
from sixrayd.core.errors import SettingsError
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import ADJUDICATION, ImageRecord, Rule, Source, Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import (
    said_in_all,
)
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.devices import pick_device
from sixrayd.detectors.predictor import Predictor
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import KEY_BITS, MAX_GROUP, Hashes, Indices, hash_keys

GRID = 4  # cells a side that features are averaged in
_PAIRS = 1 << 22  # compared at once


@dataclass(frozen=True, slots=True)
class DuplicateSettings:
    """What counts as resembling.

    Args:
        max_distance: bits of 64 in which the keys of the hashes may differ, 0..16.
        min_similarity: of the features, 0..1.
        nearest: positives of nearest hash whose features an image is compared with.
        model: name of the detector whose features are compared; the newest by default.
        batch: images a step.
        device: "auto", "cpu" or "cuda".

    Raises:
        SettingsError: out of range.
    """

    max_distance: int = 6
    min_similarity: float = 0.95
    nearest: int = 3
    model: str = ""
    batch: int = 16
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.max_distance <= 16 or not 0 <= self.min_similarity <= 1:
            raise SettingsError(
                f"duplicates: distance {self.max_distance} and similarity {self.min_similarity}: "
                "need 0 to 16 bits and 0 to 1"
            )
        for key in ("nearest", "batch"):
            if getattr(self, key) < 1:
                raise SettingsError(f"{key} {getattr(self, key)}: needs to be at least 1")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A negative and the known positive that it resembles most.

    Args:
        distance: bits of 64 in which the keys of their hashes differ.
        similarity: of their features, 0..1; its worth is for decisions to say.
        boxes: the positive's, in this image's pixels: proposals, not verdicts.
    """

    image_id: str
    positive: str
    distance: int
    similarity: float
    boxes: tuple[Box, ...]


def near_positives(
    workspace: Workspace, settings: DuplicateSettings = DuplicateSettings()
) -> list[Duplicate]:
    """Negatives that resemble a positive of the release or one that a review found.

    Features are computed for images of near hash alone. A hash that more than `MAX_GROUP` negatives
    share is a kind of picture, such as an empty belt, and says nothing. Decided images are among
    the result.

    Returns:
        By falling similarity, ties by image id; each negative at most once.

    Raises:
        WorkspaceError: nothing is ingested or trained, or a table is broken.
        CheckpointError, ShardError, ImageError: weights or an image cannot be read.
    """
    index = Index.load(workspace)
    boxes = positive_boxes(workspace, index)
    near = _near_by_hash(index, boxes.keys(), settings)
    if not near:
        return []
    model = settings.model or workspace.newest("models")
    weights = workspace.folder("models", model) / "weights.safetensors"
    predictor = Predictor(load_checkpoint(weights).detector, device=pick_device(settings.device))
    wanted = sorted({positive for pairs in near.values() for positive, _ in pairs})
    known = dict(embed(predictor, index, wanted, settings.batch))
    found = []
    for image_id, features in embed(predictor, index, sorted(near), settings.batch):
        similarities = [float(features @ known[positive]) for positive, _ in near[image_id]]
        best = int(np.argmax(similarities))
        similarity = min(max(similarities[best], 0.0), 1.0)
        if similarity >= settings.min_similarity:
            positive, distance = near[image_id][best]
            proposed = scaled_boxes(boxes[positive], index.record(positive), index.record(image_id))
            found.append(Duplicate(image_id, positive, distance, similarity, proposed))
    return sorted(found, key=lambda each: (-each.similarity, each.image_id))


def positive_boxes(workspace: Workspace, index: Index) -> dict[str, tuple[Box, ...]]:
    """The boxes of every known positive: of the release, or found by all reviewers, or where an
    adjudicator says so. Of reviewers who box different things the last one's count.
    """
    sources = index.rows(source=Source.POSITIVE)["image_id"].to_pylist()
    annotations = load_annotations(workspace)
    boxes = {i: tuple(each.box for each in annotations.get(i, ())) for i in sources}
    for image_id, said in said_in_all(workspace).items():
        settled = settle(said, Rule.ADJUDICATOR).decision
        if settled is None and all(
            d.verdict == Verdict.MISSED and d.lane != ADJUDICATION for d in said
        ):
            settled = said[-1]
        if image_id not in boxes and settled is not None and settled.verdict == Verdict.MISSED:
            boxes[image_id] = tuple(item.box for item in settled.boxes)
    return boxes


def _near_by_hash(
    index: Index, positives: Collection[str], settings: DuplicateSettings
) -> dict[str, list[tuple[str, int]]]:
    """Negatives with their positives of nearest hash, and the bits between them."""
    table = index.rows()  # those that can be read, which have a hash
    keys = hash_keys(table["phash"].combine_chunks()).tolist()
    hashes = dict(zip(table["image_id"].to_pylist(), keys, strict=True))
    known = sorted(hashes.keys() & positives)
    sharing: dict[int, list[str]] = defaultdict(list)
    for image_id in hashes.keys() - positives:
        sharing[hashes[image_id]].append(image_id)
    wanted = [value for value, ids in sharing.items() if len(ids) <= MAX_GROUP]
    pairs, distances = near_pairs(
        np.array(wanted, np.uint64),
        np.array([hashes[image_id] for image_id in known], np.uint64),
        settings.max_distance,
        settings.nearest,
    )
    near: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for (a, b), distance in zip(pairs, distances, strict=True):
        for image_id in sharing[wanted[a]]:
            near[image_id].append((known[b], int(distance)))
    return near


def near_pairs(
    hashes: Hashes, known: Hashes, max_distance: int, nearest: int
) -> tuple[Indices, Indices]:
    """For each of (N,) hashes, the known ones within the distance, the nearest few.

    Two hashes that differ in at most d bits agree in one of d + 1 bands of their bits, so only
    those that agree in a band are compared.

    Args:
        known: (K,) hashes.
        max_distance: 0..16 bits.
        nearest: known ones kept for a hash; of equally near ones the first.

    Returns:
        (L, 2) places in `hashes` and in `known`, sorted by the first and then by distance, and
        (L,) bits.
    """
    bands: list[np.uint64] = []
    found: list[Indices] = [np.empty((0, 2), np.int64)]
    for band in range(max_distance + 1):
        bands.append(np.uint64(sum(1 << bit for bit in range(band, KEY_BITS, max_distance + 1))))
        for pairs in _agreeing(hashes, known, bands, max_distance):
            found.append(pairs)
            if sum(map(len, found)) > _PAIRS:  # nearly all are near one another
                found = [_nearest(hashes, known, np.concatenate(found), nearest)]
    pairs = _nearest(hashes, known, np.concatenate(found), nearest)
    return pairs, _distance(hashes, known, pairs)


def _nearest(hashes: Hashes, known: Hashes, pairs: Indices, nearest: int) -> Indices:
    """(L, 2) of pairs those of the nearest few of each hash, sorted as `near_pairs` gives them."""
    order = np.lexsort((pairs[:, 1], _distance(hashes, known, pairs), pairs[:, 0]))
    pairs = pairs[order]
    rank = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])  # within a hash
    return pairs[rank < nearest]


def _agreeing(
    hashes: Hashes, known: Hashes, bands: Sequence[np.uint64], max_distance: int
) -> Iterator[Indices]:
    """Near pairs (L, 2) among hashes that agree in the last of some bands, and in none before."""
    *before, bits = bands
    order = np.argsort(hashes & bits, kind="stable")
    keys = (hashes & bits)[order]
    first, last = (np.searchsorted(keys, known & bits, side=s) for s in ("left", "right"))
    ends = np.cumsum(last - first)  # of each known one's share of all pairs
    for start in range(0, int(ends[-1]) if len(ends) else 0, _PAIRS):
        number = np.arange(start, min(start + _PAIRS, ends[-1]))
        one = np.searchsorted(ends, number, side="right")
        pairs = np.stack([order[last[one] - (ends[one] - number)], one], axis=1)
        apart = hashes[pairs[:, 0]] ^ known[pairs[:, 1]]
        near = np.bitwise_count(apart) <= max_distance
        for other in before:
            near &= apart & other != 0
        yield pairs[near]


def _distance(hashes: Hashes, known: Hashes, pairs: Indices) -> Indices:
    bits: Indices = np.bitwise_count(hashes[pairs[:, 0]] ^ known[pairs[:, 1]]).astype(np.int64)
    return bits


def embed(
    predictor: Predictor, index: Index, ids: Iterable[str], batch: int
) -> Iterator[tuple[str, FloatArray]]:
    """Features of images, (D,) of length 1: what lies where, to a quarter of the image's sides.

    The source maps of a detector, averaged in `GRID` × `GRID` cells; each channel less its mean,
    which is much the same for all scans; each map of equal weight.
    """
    decoded = ((image_id, decode_rgb(index.read(image_id), image_id)) for image_id in ids)
    for chunk in chunked(decoded, batch, lambda one: pixel_count(one[1])):
        for inputs in predictor.batches([image for _, image in chunk]):
            with torch.inference_mode():
                maps = predictor.detector.sources(inputs.x)
                cells = [adaptive_avg_pool2d(m, GRID).flatten(2) for m in maps]  # (B, C, 16)
                parts = [normalize((c - c.mean(2, True)).flatten(1)) for c in cells]
                rows = normalize(torch.cat(parts, 1)).cpu().numpy()  # (B, D)
            for place, row in zip(inputs.places, rows, strict=True):
                yield chunk[place][0], row


def scaled_boxes(boxes: Iterable[Box], there: ImageRecord, here: ImageRecord) -> tuple[Box, ...]:
    """Boxes of one image in the pixels of another, cut at its edges; those outside are dropped."""
    scale = np.array([here.width / there.width, here.height / there.height] * 2)
    scaled = (
        (box.label, clip_xyxy(np.array(box.xyxy) * scale, here.width, here.height)) for box in boxes
    )
    return tuple(
        Box(label, *map(float, xyxy)) for label, xyxy in scaled if (xyxy[2:] > xyxy[:2]).all()
    )
