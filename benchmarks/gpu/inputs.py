"""What is measured on: a small workspace of drawn scans, and detectors with random weights."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.backends import THRESHOLD
from benchmarks.gpu.plan import Setting, Sizes
from sixrayd.core.arrays import RGBImage
from sixrayd.core.boxes import Box
from sixrayd.core.cores import available_cores
from sixrayd.core.index import Index
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA, Source
from sixrayd.core.shards import ShardWriter
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, save_weights
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.predictor import Predictor
from sixrayd.imaging.decode import decode_rgb, image_size_wh
from sixrayd.synth.drawing import DrawnImage, draw_image
from sixrayd.synth.plan import plan_release
from sixrayd.synth.settings import SynthSettings

_MANY = 32  # pictures, for which processes are worth starting
_SPREAD = 2.0  # standard deviation of logits to begin with; it falls until an image has
_MOST = 150  # scores above the threshold, before suppression


def write_inputs(folder: Path, sizes: Sizes, scans: Path | None) -> None:
    """Shards as `sixrayd download` leaves them, less what needs its libraries: hashes and groups.

    Args:
        scans: folder of JPEGs that take the place of drawn negatives.
    """
    total = sizes.positives + (0 if scans else sizes.scans)
    settings = SynthSettings(total, positives=sizes.positives / total, duplicates=0)
    drawn = list(_drawn(settings))
    positives = [image for image in drawn if image.plan.kind == "positive"]
    negatives = [image.jpeg for image in drawn if image.plan.kind != "positive"]
    if scans:
        paths = sorted(path for path in scans.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
        negatives = [path.read_bytes() for path in paths[: sizes.scans]]
    workspace = Workspace(folder)
    rows, boxes = [], []
    with ShardWriter(workspace.shards, "positives", sizes.shard) as writer:
        for number, image in enumerate(positives, 1):
            image_id = f"P{number:05d}"
            rows.append(_row(writer, image_id, image.jpeg, Source.POSITIVE, image.boxes))
            boxes += [_annotation(image_id, place, box) for place, box in enumerate(image.boxes)]
    with ShardWriter(workspace.shards, "negatives", sizes.shard) as writer:
        repeated = islice(cycle(negatives), len(negatives) * sizes.repeats)
        for number, jpeg in enumerate(repeated, 1):
            rows.append(_row(writer, f"N{number:07d}", jpeg, Source.NEGATIVE, ()))
    rows.sort(key=lambda row: row["image_id"])
    write_table(workspace.shards / "index.parquet", rows, INDEX_SCHEMA)
    write_table(workspace.shards / "annotations.parquet", boxes, ANNOTATION_SCHEMA)
    workspace.finish(Run("shards", "", {"classes": list(settings.classes)}, {}))


def _drawn(settings: SynthSettings) -> Iterator[DrawnImage]:
    draw = partial(draw_image, settings=settings)
    if settings.images < _MANY:
        yield from map(draw, plan_release(settings))
        return
    with ProcessPoolExecutor(available_cores(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, plan_release(settings), chunksize=4)


def _row(
    writer: ShardWriter, image_id: str, jpeg: bytes, source: Source, boxes: tuple[Box, ...]
) -> dict[str, Any]:
    shard, offset, size = writer.add(image_id, jpeg)
    width, height = image_size_wh(jpeg, image_id)
    return {
        **{"image_id": image_id, "shard": shard, "offset": offset, "size": size},
        **{"width": width, "height": height, "sha256": hashlib.sha256(jpeg).hexdigest()},
        **{"phash": "0" * 64, "group": image_id, "split": "train", "source": str(source)},
        **{"labels": sorted({box.label for box in boxes}), "error": ""},
    }


def _annotation(image_id: str, place: int, box: Box) -> dict[str, Any]:
    edges = {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}
    named = {"box_id": f"{image_id}/a{place}", "image_id": image_id, "label": box.label}
    return named | edges | {"difficult": False, "truncated": False}


def workspace_of(setting: Setting) -> Workspace:
    """The workspace that `write_inputs` wrote."""
    return Workspace(setting.folder / "workspace")


def encoded(setting: Setting, most: int) -> list[bytes]:
    """The first negatives, as the shards hold them; over and over where they are fewer."""
    index = Index.load(workspace_of(setting))
    ids = index.rows(source=Source.NEGATIVE)["image_id"].to_pylist()
    data = [index.read(image_id) for image_id in ids[: min(most, setting.sizes.scans)]]
    return list(islice(cycle(data), most))


def scans(setting: Setting, most: int) -> list[RGBImage]:
    """The same, decoded."""
    return [decode_rgb(data, "") for data in encoded(setting, most)]


def random_detector(setting: Setting, name: str) -> Detector:
    """The same weights at every call; they say background nearly everywhere."""
    torch.manual_seed(0)
    side = setting.sizes.side if DETECTORS[name].any_size else None
    detector = build_detector(name, workspace_of(setting).classes(), side)
    detector.initialise()
    return detector.eval()


def spread_detector(setting: Setting, name: str) -> tuple[Detector, torch.Tensor]:
    """Weights whose outputs are as wide as trained ones' and give candidates, and an input."""
    detector = random_detector(setting, name)
    images = scans(setting, setting.sizes.compared)
    x = Predictor(detector).prepare(images)[0].x  # (B, 3, S, S)
    path = setting.folder / f"{name}-spread.pt"
    if path.exists():
        detector.load_state_dict(torch.load(path))
        return detector, x
    with torch.no_grad():
        offsets, once, _ = detector(x[:1])
        _scale(detector, "offsets", 1 / float(offsets.std()))
        _scale(detector, "classes", 2)
        more = detector(x[:1])[1] - once  # the last convolutions are linear: what each unit adds
        factor = _SPREAD / float(once.std(dim=1).mean())
        while _passing(detector, once + (factor - 1) * more) > _MOST:
            factor *= 0.95
        _scale(detector, "classes", factor / 2)
    torch.save(detector.state_dict(), path)
    return detector, x


def _passing(detector: Detector, logits: torch.Tensor) -> int:
    return int((detector.coding.score(logits) > THRESHOLD).sum())


def _scale(detector: Detector, heads: str, factor: float) -> None:
    for head in detector.heads.get_submodule(heads).modules():
        if isinstance(head, torch.nn.Conv2d):
            head.weight *= factor


def weights_of(setting: Setting, name: str) -> Path:
    """A file of `random_detector`'s weights."""
    path = setting.folder / f"{name}.safetensors"
    if not path.exists():
        detector = random_detector(setting, name)
        checkpoint = Checkpoint(name, detector, workspace_of(setting).classes())
        save_weights(path, checkpoint, detector.state_dict())
    return path


def cores_tried() -> list[int]:
    """1, 2, 4 … and all cores."""
    most = available_cores()
    return sorted({most, *(1 << n for n in range(most.bit_length()) if 1 << n <= most)})
