"""Time each backend beside torch in float32, say how equal its candidates are, and compare the
whole way from files to boxes with the original RFBNet code.

Example:
    python -m benchmarks.backends --detector rfb512 --original RFBNet --out backends.json
"""

import importlib
import importlib.util
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import click
import cv2
import numpy as np
import torch

from benchmarks.interleaved import interleaved_s
from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import RGBImage
from sixrayd.core.boxes import iou_matrix
from sixrayd.core.classes import ClassList, default_classes
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.files import write_json
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import ImageRecord, Source, Split
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.backends import BACKENDS, Backend, open_backend, resolve_backend
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.coding import box_iou, decode
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.layouts import recognise
from sixrayd.detectors.predictor import Predictor
from sixrayd.detectors.quantising import quantise
from sixrayd.evaluation.average_precision import mean_average_precision
from sixrayd.imaging.decode import decode_rgb

CPU = torch.device("cpu")
THRESHOLD = 0.1  # of candidates, as `sixrayd mine` has it
ORIGINAL = DecodeSettings(threshold=0.01, most=200)  # its test's, in our suppression
CALIBRATION = 100  # images
BATCHES_A_TURN = 4


def opened(
    detector: Detector, names: list[str], threads: int, images: list[RGBImage]
) -> dict[str, Backend]:
    """The backends that are asked for; int8 is calibrated with the images."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "int8.zip")
        if "openvino-int8" in names:
            quantise(detector, images, path)
        return {
            name: open_backend(name, detector, CPU, threads=threads, quantised=path)
            for name in names
        }


def time_networks(
    detector: Detector, backends: dict[str, Backend], batch: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds an image of the network alone, and how many times torch in float32."""
    side = detector.form.size
    x = torch.randn(batch, 3, side, side)
    work: dict[str, Callable[[], object]] = {n: partial(b, x) for n, b in backends.items()}
    seconds = interleaved_s(work, rounds)
    return {
        name: {"ms_an_image": 1000 * s / batch, "times_torch": seconds["torch"] / s}
        for name, s in seconds.items()
    }


class Judge:
    """Equality of candidates on images of a workspace's test side."""

    def __init__(
        self, workspace: Workspace, classes: ClassList, detector: Detector, most: int
    ) -> None:
        self.index, self.classes, self.detector = Index.load(workspace), classes, detector
        self.annotations = load_annotations(workspace)
        self.ids, self.images = self.read(Split.TEST, most)
        self.inputs = [Predictor(detector).prepare([image])[0] for image in self.images]
        self.calibration = self.read(Split.TRAIN, CALIBRATION)[1]

    def read(self, split: Split, most: int) -> tuple[list[str], list[RGBImage]]:
        """Ids and pixels of so many images, in an order that says nothing."""
        records: list[ImageRecord] = self.index.select(source=Source.POSITIVE, split=split)
        ids = [r.image_id for r in sorted(records, key=lambda r: r.sha256)[:most]]
        return ids, [decode_rgb(self.index.read(i), i) for i in ids]

    def truths(self) -> dict[str, Truths]:
        """What the release says of the images."""
        found = {i: self.annotations.get(i, ()) for i in self.ids}
        return {
            i: Truths(
                np.array([a.box.xyxy for a in boxes], np.float64).reshape(-1, 4),
                np.array([self.classes.index(a.box.label) for a in boxes], np.int64),
                np.array([a.difficult for a in boxes], bool),
            )
            for i, boxes in found.items()
        }

    def __call__(self, backends: dict[str, Backend]) -> dict[str, dict[str, Any]]:
        """Figures of each backend against torch in float32."""
        return {name: self.compared(run, backends["torch"]) for name, run in backends.items()}

    def compared(self, run: Backend, reference: Backend) -> dict[str, Any]:
        """Before suppression, after it, and as average precision."""
        settings = DecodeSettings(threshold=THRESHOLD)
        ours, theirs = (
            Predictor(self.detector, settings, backend=b).detect(self.images)
            for b in (run, reference)
        )
        precise = DecodeSettings()
        means = [
            mean_average_precision(
                dict(
                    zip(
                        self.ids,
                        Predictor(self.detector, precise, backend=b).detect(self.images),
                        strict=True,
                    )
                ),
                self.truths(),
                self.classes,
            ).mean
            for b in (run, reference)
        ]
        return {
            **self.before_suppression(run, reference),
            **after_suppression(ours, theirs),
            "voc07_map": means[0],
            "voc07_points_from_torch": 100 * (means[0] - means[1]),
        }

    def before_suppression(self, run: Backend, reference: Backend) -> dict[str, Any]:
        """Of all priors that score above the threshold in full precision."""
        coding, worst, near, priors = self.detector.coding, 0.0, 0, 0
        for batch in self.inputs:
            (offsets, logits, places), other = reference(batch.x), run(batch.x)
            scores, others = coding.score(logits), coding.score(other[1])
            sure = (scores > THRESHOLD).any(dim=-1)
            if sure.any():
                worst = max(worst, float((scores - others)[sure].abs().max()))
                first, second = (
                    decode(o, places, coding)[sure][:, None] for o in (offsets, other[0])
                )  # (N, 1, 4)
                near += int((box_iou(first, second) >= 0.99).sum())
                priors += int(sure.sum())
        return {
            "priors": priors,
            "priors_at_iou_0.99": near / max(priors, 1),
            "worst_score_difference_of_priors": worst,
        }


def after_suppression(ours: list[Detections], theirs: list[Detections]) -> dict[str, Any]:
    """Candidates of either side, those within 0.01 of the threshold left out."""
    best: list[float] = []
    for pair in zip(ours, theirs, strict=True):
        for one, other in (pair, pair[::-1]):
            sure = one.scores > THRESHOLD + 0.01
            same = iou_matrix(one.xyxy[sure], other.xyxy) >= 0.99
            same &= one.labels[sure][:, None] == other.labels[None]
            away = np.abs(one.scores[sure][:, None] - other.scores[None])
            best += np.where(same, away, np.inf).min(axis=1, initial=np.inf).tolist()
    found = np.array(best)
    matched = found[np.isfinite(found)]
    return {
        "candidates": len(found),
        "matched_at_iou_0.99": len(matched) / max(len(found), 1),
        "matched_within_0.01": float((found <= 0.01).mean()) if len(found) else 1.0,
        "worst_score_difference": float(matched.max(initial=0.0)),
    }


class Original:
    """RFBNet 512 of the original code, from a file to boxes as its test script has it, with the
    weights of ours.

    Its compiled suppression needs building; the same in numpy, which comes with it, takes its
    place: its time is given apart, and `ready` leaves it next to nothing to do.
    """

    def __init__(self, folder: Path, detector: Detector) -> None:
        # Its model file imports torchvision without using it.
        for name in ("torchvision", "torchvision.transforms", "torchvision.models"):
            sys.modules.setdefault(name, ModuleType(name))
        sys.path.insert(0, str(folder))
        layers = importlib.import_module("layers")
        network = importlib.import_module("models.RFB_Net_vgg")
        self.suppress = importlib.import_module("utils.nms.py_cpu_nms").py_cpu_nms
        spec = importlib.util.spec_from_file_location("config", folder / "data" / "config.py")
        assert spec is not None and spec.loader is not None
        config = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(config)
        self.classes = len(default_classes()) + 1
        self.network = network.build_net("test", 512, self.classes).eval()
        self.network.load_state_dict(weights_for(list(self.network.state_dict()), detector))
        self.priors = layers.PriorBox(config.VOC_512).forward()
        self.decode = layers.Detect(self.classes, 0, config.VOC_512).forward

    def scores(self, path: Path) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """The image as (H, W, 3) BGR, boxes (P, 4) as fractions of it, scores (P, 1 + classes)."""
        image = cv2.imread(str(path))
        assert image is not None
        resized = cv2.resize(image, (512, 512)).astype(np.float32) - (104, 117, 123)
        x = torch.from_numpy(resized.transpose(2, 0, 1).astype(np.float32)).unsqueeze(0)
        with torch.no_grad():
            boxes, scores = self.decode(self.network(x), self.priors)
        return image, boxes[0], scores[0]

    def look_at(self, paths: list[Path]) -> None:
        """From files to boxes, one after another."""
        for path in paths:
            self.suppressed(*self.scores(path))

    def suppressed(self, image: Any, boxes: torch.Tensor, scores: torch.Tensor) -> list[Any]:
        """What `scores` gives → (N, 5) boxes and scores of each class."""
        edges = (boxes * torch.tensor([image.shape[1], image.shape[0]] * 2)).numpy()
        found = []
        for label in range(1, self.classes):
            kept = np.where(scores[:, label].numpy() > ORIGINAL.threshold)[0]
            rows = np.hstack([edges[kept], scores[kept, label].numpy()[:, None]])
            found.append(rows[self.suppress(rows, ORIGINAL.iou)])
        return found


def weights_for(keys: list[str], detector: Detector) -> dict[str, torch.Tensor]:
    """Our weights under the original's names; it reads BGR where ours reads RGB."""
    layout = recognise(keys)
    assert layout is not None
    ours = layout.reshape(dict(detector.state_dict()))
    return {theirs: ours[key] for theirs, key in layout.names(keys).items()}


def whole_against_whole(
    original: Original,
    detector: Detector,
    backends: dict[str, Backend],
    paths: list[Path],
    batch: int,
) -> dict[str, Any]:
    """Milliseconds an image from files to boxes, some batches at a time, in turns.

    Ours look at two batches at once, as mining does: one decodes while the other is in the network.
    """
    work: dict[str, Callable[[list[Path]], None]] = {"original": original.look_at}
    for name, backend in backends.items():
        work[name] = partial(look_at, Predictor(detector, ORIGINAL, backend=backend), batch)
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in chunked(paths, BATCHES_A_TURN * batch):
        for name, inference in work.items():
            start = time.perf_counter()
            inference(turn)
            times[name].append((time.perf_counter() - start) / len(turn))
    # The first turn warms up.
    medians = {name: 1000 * statistics.median(seconds[1:]) for name, seconds in times.items()}
    image = decode_rgb(paths[0].read_bytes(), paths[0].name)
    x = Predictor(detector).prepare([image])[0].x
    ours = detector.coding.score(backends["torch"](x)[1])[0]
    return {
        "images": len(paths),
        "ms_an_image": medians,
        "times_original": {name: medians["original"] / ms for name, ms in medians.items()},
        "worst_score_difference": float((ours - original.scores(paths[0])[2][:, 1:]).abs().max()),
    }


def look_at(predictor: Predictor, batch: int, paths: list[Path]) -> None:
    """From files to boxes."""

    def inference(chunk: list[Path]) -> list[Detections]:
        return predictor.detect([decode_rgb(path.read_bytes(), path.name) for path in chunk])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(inference, chunked(paths, batch)))


def ready(name: str, weights: Path | None) -> tuple[Detector, ClassList]:
    """A detector from a checkpoint, or random and sure that there is nothing."""
    if weights is not None:
        checkpoint = load_checkpoint(weights)
        return checkpoint.detector.eval(), checkpoint.classes
    torch.manual_seed(0)
    detector = DETECTORS[name].build(len(default_classes())).eval()
    detector.initialise(background=0.999)
    with torch.no_grad():
        # A trained detector says little of most images; boxes by the thousand would be timed.
        for key, weight in detector.heads.named_parameters():
            if key.startswith("classes") and weight.ndim > 1:
                weight.mul_(0.01)
    return detector, ClassList()


@click.command()
@click.option("--detector", "name", type=click.Choice(list(DETECTORS)), default="rfb512")
@click.option(
    "--backend", "names", multiple=True, type=click.Choice(BACKENDS), help="[default: all]"
)
@click.option("--batch", type=int, default=4, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--rounds", type=int, default=9, show_default=True)
@click.option("--workspace", type=click.Path(path_type=Path, exists=True), help="For equality.")
@click.option("--model", default="", help="Of the workspace; its detector is taken.")
@click.option("--most", type=int, default=200, show_default=True, help="Test images.")
@click.option("--original", type=click.Path(path_type=Path, exists=True), help="RFBNet's checkout.")
@click.option(
    "--images", type=click.Path(path_type=Path, exists=True), help="JPEGs for --original."
)
@click.option("--out", type=click.Path(path_type=Path), default="backends.json", show_default=True)
def main(
    name: str,
    names: tuple[str, ...],
    batch: int,
    threads: int,
    rounds: int,
    workspace: Path | None,
    model: str,
    most: int,
    original: Path | None,
    images: Path | None,
    out: Path,
) -> None:
    """Time backends, compare their candidates, and the whole with the original; JSON."""
    if bool(workspace) != bool(model) or bool(original) != bool(images):
        raise click.UsageError("--workspace needs --model, --original needs --images")
    if original and (name != "rfb512" or workspace):
        raise click.UsageError("--original: with --detector rfb512 and without --workspace")
    torch.set_num_threads(threads)
    space = Workspace(workspace) if workspace else None
    weights = space.output("models", model, "weights.safetensors") if space else None
    detector, classes = ready(name, weights)
    judge = Judge(space, classes, detector, most) if space else None
    paths = sorted(images.glob("*.jpg"))[:most] if images else []
    calibration = (
        judge.calibration if judge else [decode_rgb(p.read_bytes(), p.name) for p in paths]
    )
    calibration = calibration[:CALIBRATION] or [np.full((512, 512, 3), 200, np.uint8)]
    backends = opened(
        detector, ["torch", *(n for n in names or BACKENDS if n != "torch")], threads, calibration
    )
    document: dict[str, Any] = {
        "detector": model or name,
        "machine": f"{platform.machine()}, {threads} thread(s), torch {torch.__version__}",
        "auto": resolve_backend("auto", CPU),
        "batch": batch,
        "network": time_networks(detector, backends, batch, rounds),
    }
    if judge:
        document["equality"] = {"images": len(judge.ids), **judge(backends)}
    if original:
        document["whole"] = whole_against_whole(
            Original(original, detector), detector, backends, paths, batch
        )
    write_json(out, document)
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
