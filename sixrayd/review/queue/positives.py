"""Labelled positives whose boxes are in doubt: absent, contradictory, or disputed by a detector."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sixrayd.core.arrays import FloatArray
from sixrayd.core.boxes import Box, iou_matrix, stack_xyxy
from sixrayd.core.classes import ClassList
from sixrayd.core.cores import Device
from sixrayd.core.errors import SettingsError
from sixrayd.core.index import Annotation, Index, load_annotations, unannotated_ids
from sixrayd.core.progress import progress
from sixrayd.core.records import Source
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.devices import pick_device
from sixrayd.detectors.lineage import lineage_of, unlearnt
from sixrayd.detectors.predictor import Predictor
from sixrayd.imaging.decode import decode_rgb
from sixrayd.review.queue.contradictions import RELEASE, contradictions


@dataclass(frozen=True, slots=True)
class DoubtSettings:
    """Which positives are in doubt.

    Args:
        models: trained detectors that may dispute; empty takes all that know the release's classes.
        min_score: only detections above this dispute.
        min_iou: overlap from which a detection means a box.
        tight_iou: overlap from which a box of the right class is tight.
        batch: images a step.
        device: "cpu", "cuda", or "auto" for the GPU where there is one.

    Raises:
        SettingsError: a value out of range.
    """

    models: tuple[str, ...] = ()
    min_score: float = 0.5
    min_iou: float = 0.5
    tight_iou: float = 0.7
    batch: int = 8
    device: Device = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.min_score < 1 or self.batch < 1:
            raise SettingsError(f"doubt: needs a score between 0 and 1 and a batch, got {self}")
        if not 0 < self.min_iou <= self.tight_iou <= 1:
            raise SettingsError(f"doubt: needs 0 < min_iou <= tight_iou <= 1, got {self}")


class Proposal(NamedTuple):
    """A box to draw in advance: the release's, with score 1, or a detection that disputes it."""

    box_id: str
    box: Box
    score: float
    model: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A positive that people should see.

    Args:
        reasons: short, for people; the release's own contradictions first.
        doubt: 0..1; 1 where the release contradicts itself, else the score of the strongest
            dispute, which a merely loose box weakens to score × (1 - IoU).
    """

    image_id: str
    reasons: tuple[str, ...]
    doubt: float
    proposals: tuple[Proposal, ...]


class Sighting(NamedTuple):
    """A detection and the model that made it."""

    score: float
    model: str
    box: Box


class Dispute(NamedTuple):
    """A sighting that says something else than the release's boxes; `doubt` as in `Doubtful`."""

    doubt: float
    reason: str
    sighting: Sighting


def doubtful_positives(
    workspace: Workspace, settings: DoubtSettings = DoubtSettings()
) -> list[Doubtful]:
    """Readable positives in doubt, the most doubtful first, ties by image id.

    A detector is asked about those positives alone that neither it nor what it started from has
    learnt from, nor from a near-duplicate: its validation and test side. Nothing is written.

    Raises:
        WorkspaceError: nothing is ingested, a model is missing, or its files have changed.
        SettingsError: a model knows other classes than the release.
        CheckpointError, ShardError, ImageError: weights or an image cannot be read.
    """
    index, annotations = Index.load(workspace), load_annotations(workspace)
    unknown = unannotated_ids(workspace)
    sightings: dict[str, list[Sighting]] = defaultdict(list)
    for model in settings.models or disputants(workspace):
        for image_id, sighting in _sightings(workspace, index, model, settings):
            sightings[image_id].append(sighting)
    doubtful = []
    for record in index.select(source=Source.POSITIVE):
        boxes = annotations.get(record.image_id, ())
        stated = list(contradictions(record, boxes, record.image_id in unknown))
        seen = sightings[record.image_id]
        disputed = disputes([each.box for each in boxes], seen, settings)
        if stated or disputed:
            doubtful.append(_doubtful(record.image_id, boxes, stated, disputed))
    return sorted(doubtful, key=lambda item: (-item.doubt, item.image_id))


def disputants(workspace: Workspace) -> tuple[str, ...]:
    """All trained models that know the release's classes, the newest last.

    Raises:
        CheckpointError: weights cannot be read.
        WorkspaceError: nothing is ingested, or weights have changed since they were trained.
    """
    wanted = workspace.classes()
    weights = {
        name: workspace.output("models", name, "weights.safetensors")
        for name in workspace.names("models")
    }
    return tuple(name for name, path in weights.items() if load_checkpoint(path).classes == wanted)


def _sightings(
    workspace: Workspace, index: Index, model: str, settings: DoubtSettings
) -> Iterator[tuple[str, Sighting]]:
    """What a model sees in the positives that it has not learnt from, by image id."""
    checkpoint = load_checkpoint(workspace.output("models", model, "weights.safetensors"))
    _check_classes(model, checkpoint.classes, workspace.classes())
    device, decoding = pick_device(settings.device), DecodeSettings(settings.min_score)
    predictor = Predictor(checkpoint.detector, decoding, device=device)
    positives = index.rows(source=Source.POSITIVE)
    ids = unlearnt(index, positives, lineage_of(workspace, model).images)["image_id"].to_pylist()
    images = (decode_rgb(index.read(image_id), image_id) for image_id in ids)
    with progress() as bar:
        task = bar.add_task(f"{model} on positives", total=len(ids), note="")
        for image_id, seen in zip(ids, predictor.detect_each(images, settings.batch), strict=True):
            for xyxy, score, label in zip(seen.xyxy, seen.scores, seen.labels, strict=True):
                edges = (round(float(edge), 2) for edge in xyxy)
                box = Box(checkpoint.classes.names[int(label)], *edges)
                yield image_id, Sighting(float(score), model, box)
            bar.advance(task)


def _check_classes(model: str, known: ClassList, wanted: ClassList) -> None:
    if known != wanted:
        raise SettingsError(
            f"models/{model}: knows {', '.join(known.names)}, the release has "
            f"{', '.join(wanted.names)}; name a model that was trained on it"
        )


def disputes(
    boxes: Sequence[Box], sightings: Iterable[Sighting], settings: DoubtSettings = DoubtSettings()
) -> list[Dispute]:
    """What detections of one image say against its boxes, the strongest first.

    A detection means the box of its class that it overlaps most by `min_iou` or more, else the one
    of any class. A box's class is in doubt where the best detection that means it is of another; a
    box is loose where none of its class fits it by `tight_iou`; a detection that means no box sees
    something unlabelled, once for each place. A box that no detection means is not in doubt:
    detectors miss things.
    """
    ordered = sorted(sightings, key=lambda sighting: -sighting.score)
    meant: dict[int, list[tuple[float, Sighting]]] = defaultdict(list)
    free: list[Sighting] = []
    for sighting, overlaps in zip(ordered, _iou([s.box for s in ordered], boxes), strict=True):
        near = [n for n, overlap in enumerate(overlaps) if overlap >= settings.min_iou]
        own = [n for n in near if boxes[n].label == sighting.box.label]
        if near:
            best = max(own or near, key=lambda n: float(overlaps[n]))
            meant[best].append((float(overlaps[best]), sighting))
        elif (_iou([sighting.box], [other.box for other in free]) < settings.min_iou).all():
            free.append(sighting)
    of_boxes = (_of_box(boxes[n].label, meant[n], settings.tight_iou) for n in sorted(meant))
    found = [dispute for dispute in of_boxes if dispute]
    found += [Dispute(each.score, f"{_says(each)} where no box is", each) for each in free]
    return sorted(found, key=lambda dispute: -dispute.doubt)


def _of_box(
    label: str, meant: Sequence[tuple[float, Sighting]], tight_iou: float
) -> Dispute | None:
    """What the sightings of one box, by falling score, say against it; None if they confirm it."""
    _, best = meant[0]
    if best.box.label != label:
        return Dispute(best.score, f"{_says(best)} where the box says {label}", best)
    overlap, closest = max(
        (pair for pair in meant if pair[1].box.label == label), key=lambda pair: pair[0]
    )
    if overlap >= tight_iou:
        return None
    reason = f"{_says(closest)} at an IoU of only {overlap:.2f} with its box"
    return Dispute(closest.score * (1 - overlap), reason, closest)


def _says(sighting: Sighting) -> str:
    return f"{sighting.model} sees {sighting.box.label} ({sighting.score:.2f})"


def _iou(first: Sequence[Box], second: Sequence[Box]) -> FloatArray:
    return iou_matrix(stack_xyxy(first), stack_xyxy(second))  # (N, M)


def _doubtful(
    image_id: str, boxes: Sequence[Annotation], stated: Sequence[str], disputed: Sequence[Dispute]
) -> Doubtful:
    proposals = [Proposal(each.box_id, each.box, 1.0, RELEASE) for each in boxes]
    for number, (_, _, sighting) in enumerate(disputed):
        box_id = f"{image_id}/{sighting.model}/{number}"
        proposals.append(Proposal(box_id, sighting.box, sighting.score, sighting.model))
    reasons = (*stated, *(dispute.reason for dispute in disputed))
    doubt = 1.0 if stated else disputed[0].doubt
    return Doubtful(image_id, reasons, doubt, tuple(proposals))
