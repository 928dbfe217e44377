"""Mining beside what this machine could do at most: matrices, the network alone, decoding alone.

Example:
    python -m benchmarks.mine -w workspace --model rfb-small --backend openvino-bf16 --rounds 5
    python -m benchmarks.mine -w workspace --detector rfb512 --backend openvino-int8

All parts take turns, round after round, so that drift hits all alike; figures are medians.
"""

import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import click
import torch
from torch.utils.flop_counter import FlopCounterMode

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import RGBImage
from sixrayd.core.index import Index, shard_contents, shard_sizes
from sixrayd.core.records import Source
from sixrayd.core.shards import iter_shard
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.backends import open_backend, resolve_backend
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, load_checkpoint, save_weights
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.devices import pick_device
from sixrayd.detectors.predictor import Predictor
from sixrayd.detectors.quantising import quantise
from sixrayd.imaging.decode import decode_rgb
from sixrayd.mine.inference import InferenceSettings
from sixrayd.mine.local_engine import mine_here
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.worker import MineJob, ShardReport

_MATRIX = {"cpu": 2048, "cuda": 8192}  # side of the matrices that are multiplied


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large bfloat16 product."""
    side = _MATRIX[device.type]
    a, b = (torch.randn(side, side, dtype=torch.bfloat16, device=device) for _ in range(2))
    (a @ b)[0, 0].item()  # the first loads the library
    start = time.perf_counter()
    for _ in range(10):
        c = a @ b
    c[0, 0].item()  # waits for the device
    return 10 * 2 * side**3 / (time.perf_counter() - start)


def flops(detector: Detector) -> float:
    """Of one image through the network: a multiplication and an addition are two."""
    side = detector.form.size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        detector.eval()(torch.zeros(1, 3, side, side))
    return float(counter.get_total_flops())


def encoded(workspace: Workspace, most: int) -> list[bytes]:
    """The first negatives, as the shards hold them."""
    shards = Index.load(workspace).shards(Source.NEGATIVE)
    images = (image for name in shards for image in iter_shard(workspace.shards / name))
    return [image.data for image in islice(images, most)]


class Rates:
    """Images a second of each part; a call measures all of them once."""

    def __init__(self, job: MineJob, tasks: list[ShardTask], data: list[bytes], workers: int):
        self.job, self.tasks, self.data, self.workers = job, tasks, data, workers
        self.device = pick_device(job.inference.device)
        detector = load_checkpoint(job.weights).detector
        self.backend = open_backend(
            job.inference.backend,
            detector,
            self.device,
            threads=job.inference.threads,
            quantised=job.quantised,
            batch=job.batch,
        )
        images = [decode_rgb(some, "") for some in data[: job.batch]]
        self.x = Predictor(detector, device=self.device).prepare(images)[0].x
        self.flops = flops(detector)

    def parts(self) -> dict[str, Callable[[], float]]:
        """Part → what measures it."""
        parts = {
            "matrix": lambda: matrix_rate(self.device),
            "network": self.network,
            "decoding": self.decoding,
            "whole": self.whole,
        }
        if self.device.type == "cuda" and importlib.util.find_spec("torchvision"):
            parts["decoding_on_device"] = self.decoding_on_device
        return parts

    def network(self) -> float:
        """Resident inputs, outputs left where they are."""
        rounds = max(1, len(self.data) // len(self.x))
        self.backend(self.x)[1].flatten()[0].item()
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in range(rounds):
                outputs = self.backend(self.x)
        outputs[1].flatten()[0].item()
        return rounds * len(self.x) / (time.perf_counter() - start)

    def decoding(self) -> float:
        """Encoded bytes at hand → pixels."""
        start = time.perf_counter()
        with ThreadPoolExecutor(self.job.inference.threads or os.cpu_count()) as pool:
            for _ in pool.map(_decoded, self.data):
                pass
        return len(self.data) / (time.perf_counter() - start)

    def decoding_on_device(self) -> float:
        """The same by the GPU's own decoder, through torchvision, batch by batch."""
        io = importlib.import_module("torchvision.io")
        start = time.perf_counter()
        for batch in chunked(self.data, self.job.batch):
            encoded = [torch.frombuffer(bytearray(some), dtype=torch.uint8) for some in batch]
            pixels = io.decode_jpeg(encoded, io.ImageReadMode.RGB, device=self.device)
        pixels[0][0, 0, 0].item()
        return len(self.data) / (time.perf_counter() - start)

    def whole(self) -> float:
        """Shards → committed parts, from the first batch's end on: opening is not counted."""
        marks: list[tuple[float, int]] = []
        images: dict[str, int] = {}

        def looked(report: ShardReport) -> None:
            images[report.name] = report.images
            marks.append((time.perf_counter(), sum(images.values())))

        with tempfile.TemporaryDirectory() as parts:
            mine_here(replace(self.job, parts=parts), self.tasks, self.workers, looked)
        (start, first), (end, last) = marks[0], marks[-1]
        return (last - first) / (end - start)


def _decoded(data: bytes) -> RGBImage:
    return decode_rgb(data, "")


def tasks_of(workspace: Workspace, most: int) -> Iterator[ShardTask]:
    """The first shards, until they hold so many negatives."""
    wanted, images = {}, 0
    for name, size in shard_sizes(workspace, Source.NEGATIVE).items():
        if images < most:
            wanted[name] = size
            images += size
    for name, sha256 in shard_contents(workspace, Source.NEGATIVE, wanted):
        yield ShardTask(name, sha256)


def ratios(rates: Rates, seen: dict[str, list[float]], about: dict[str, Any]) -> dict[str, Any]:
    """The document: medians of each part, beside what they could be at most."""
    medians = {part: statistics.median(values) for part, values in seen.items()}
    on_gpu = rates.device.type == "cuda"
    # On a CPU both take their turn on the same cores.
    shared = 1 / (1 / medians["network"] + 1 / medians["decoding"])
    ceiling = min(medians["network"], medians["decoding"]) if on_gpu else shared
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        **about,
        "gflop_an_image": rates.flops / 1e9,
        "matrix_gflop_per_s": medians["matrix"] / 1e9,
        "network_images_per_s": medians["network"],
        "network_share_of_matrix_rate": medians["network"] * rates.flops / medians["matrix"],
        "decoding_images_per_s": medians["decoding"],
        "decoding_on_device_images_per_s": medians.get("decoding_on_device"),
        "ceiling_images_per_s": ceiling,
        "whole_images_per_s": medians["whole"],
        "whole_share_of_ceiling": medians["whole"] / ceiling,
        "all_rounds": seen,
    }


@click.command()
@click.option("-w", "--workspace", type=click.Path(path_type=Path), default="workspace")
@click.option("--model", default="", help="[default: random weights of --detector]")
@click.option("--detector", default="rfb512", show_default=True)
@click.option("--backend", default="auto", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--batch", type=int, default=0, help="[default: 16; 64 on a GPU]")
@click.option("--threads", type=int, default=0, help="[default: all]")
@click.option("--workers", type=int, default=0, help="[default: the engine's]")
@click.option("--images", type=int, default=256, show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True)
def main(
    workspace: Path,
    model: str,
    detector: str,
    backend: str,
    device: str,
    batch: int,
    threads: int,
    workers: int,
    images: int,
    rounds: int,
) -> None:
    """Measure in turns: matrices, network, decoding, the whole; and print their ratios as JSON."""
    torch.manual_seed(0)
    place, on = Workspace(workspace), pick_device(device)
    batch = batch or (16 if on.type == "cpu" else 64)
    with tempfile.TemporaryDirectory() as folder:
        weights = place.output("models", model, "weights.safetensors") if model else None
        if weights is None:
            weights = Path(folder) / "weights.safetensors"
            eye = build_detector(detector, place.classes())
            eye.initialise()
            save_weights(weights, Checkpoint(detector, eye, place.classes()), eye.state_dict())
        data = encoded(place, images)
        name, quantised = resolve_backend(backend, on), None
        if name == "openvino-int8":
            quantised = Path(folder) / "int8.zip"
            sample = [decode_rgb(some, "") for some in data[:64]]
            quantise(load_checkpoint(weights).detector, sample, quantised)
        inference = InferenceSettings(threshold=0.1, mirror=False, backend=name, device=on.type)
        inference = replace(inference, threads=threads)
        job = MineJob(str(place.shards), "", weights, inference, batch, quantised=quantised)
        rates = Rates(job, list(tasks_of(place, images)), data, workers)
        seen: dict[str, list[float]] = {part: [] for part in rates.parts()}
        for _ in range(rounds):
            for part, measure in rates.parts().items():
                seen[part].append(measure())
    about = {"detector": model or detector, "backend": name, "batch": batch, "images": len(data)}
    document = ratios(rates, seen, about | {"rounds": rounds})
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
