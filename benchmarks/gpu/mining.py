"""Mining of each kind beside its ceilings: the network alone, and decoding on all cores."""

import importlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.gpu.inputs import (
    cores_tried,
    encoded,
    random_detector,
    scans,
    weights_of,
    workspace_of,
)
from benchmarks.gpu.plan import Setting
from benchmarks.gpu.running import Measurement, SkippedError
from benchmarks.gpu.timing import forget_peak, peak_gib, seconds
from benchmarks.mine import tasks_of
from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import RGBImage
from sixrayd.core.cores import available_cores
from sixrayd.core.printing import console
from sixrayd.detectors.backends import open_backend, resolve_backend
from sixrayd.imaging.decode import decode_rgb
from sixrayd.mine.inference import GRID, InferenceSettings, image_score, open_first
from sixrayd.mine.local_engine import mine_here
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.worker import MineJob, ShardReport

_FIRST = "rfb-small"  # of the cascade
_KIND_S = 12.0  # that a kind takes at least, where its network is compiled already
_SIDE = 512  # that scans are resized to


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of mining.

    Args:
        looks: images that the network sees for each scan.
        changes: of `InferenceSettings`.
        batches: how many times the batch goes into one run of the network.
    """

    name: str
    looks: int = 1
    changes: dict[str, Any] | None = None
    batches: int = 1


_KINDS = (
    _Kind("plain"),
    _Kind("mirror", 2, {"mirror": True}, 2),
    _Kind("dynamic", 1, {"dynamic": True}),
    _Kind("tdc", 1, {"crop": "tdc"}),
    _Kind("tiles", 1 + GRID**2, {"crop": "tiles"}),
    _Kind("cascade"),
)


def mining(part: Measurement) -> None:
    """Every kind with the first detector, then those of one network with the second."""
    sizes = part.setting.sizes
    data = encoded(part.setting, 4 * sizes.decoded)
    decoded = _rate(data, available_cores())
    part.row(decoding_alone_with_cores=available_cores(), images_per_s=decoded)
    for detector, kinds in zip(sizes.detectors, (_KINDS, _KINDS[:2]), strict=False):
        networks: dict[int, float] = {}
        for kind in kinds:
            if part.left_s < _KIND_S:
                part.trim(f"{detector} {kind.name}")
            else:
                _mine(part, detector, kind, networks, decoded)


def _mine(
    part: Measurement, detector: str, kind: _Kind, networks: dict[int, float], decoded: float
) -> None:
    """A row: the kind's rate as the product mines, and both ceilings."""
    setting, device = part.setting, part.setting.torch_device
    backend = resolve_backend("auto" if setting.device == "cuda" else "torch", device)
    inference = InferenceSettings(0.1, False, backend=backend, device=setting.device)
    inference = replace(inference, **kind.changes or {})
    job = MineJob(
        str(workspace_of(setting).shards), "", weights_of(setting, detector), inference, 0
    )
    if kind.name == "cascade":
        job = replace(job, first=weights_of(setting, _FIRST))
        job = replace(job, inference=replace(inference, first_threshold=_half_pass(setting, job)))
    if setting.device == "cpu":
        job = replace(job, batch=setting.sizes.batch)
    total = setting.sizes.scans * setting.sizes.repeats // kind.looks
    torch.compiler.reset()  # each kind is opened as in a process of its own
    with console.capture() as said:
        forget_peak(device)
        seen = _Seen(job, list(tasks_of(workspace_of(setting), total)))
        peak = peak_gib(device)
        if kind.batches not in networks:
            networks[kind.batches] = _network(setting, detector, backend, kind.batches)
    network = networks[kind.batches] / kind.looks
    part.row(
        detector=detector,
        kind=kind.name,
        backend=backend,
        batch=seen.batch,
        images=seen.images,
        images_per_s=seen.rate,
        network_alone_per_s=network,
        share_of_lower_ceiling=seen.rate / min(network, decoded),
        opening_s=seen.opening_s,
        peak_GiB=peak,
    )
    if said.get():
        part.note(f"{detector}, {kind.name}: {said.get().strip()}")


def _half_pass(setting: Setting, job: MineJob) -> float:
    """A threshold of the cascade's first detector that half of the images reach."""
    assert job.first is not None
    first = open_first(job.first, job.inference)
    return median(image_score(found) for found in first.detect(scans(setting, 16)))


class _Seen:
    """One mining, from the end of each shard's first batch on."""

    def __init__(self, job: MineJob, tasks: list[ShardTask]) -> None:
        start = time.monotonic()
        marks: list[tuple[float, int]] = []
        images: dict[str, int] = {}

        def opened() -> None:
            self.opening_s = time.monotonic() - start

        def looked(report: ShardReport) -> None:
            images[report.name] = report.images
            marks.append((time.monotonic(), sum(images.values())))
            if len(marks) == 1:
                self.batch = report.images

        with tempfile.TemporaryDirectory() as parts:
            mine_here(replace(job, parts=parts), tasks, 0, looked, opened)
        (begun, first), (ended, self.images) = marks[0], marks[-1]
        self.rate = (self.images - first) / (ended - begun)


def _network(setting: Setting, name: str, backend: str, batches: int) -> float:
    """Images a second of the network alone, kept ready for this batch, inputs at hand."""
    device, detector = setting.torch_device, random_detector(setting, name)
    batch = setting.sizes.batch * batches
    inference = open_backend(backend, detector, device, batch=batch)
    side = detector.form.size
    x = torch.randn(batch, 3, side, side).to(device)
    return batch / median(seconds(lambda: inference(x), device, 2 * setting.sizes.rounds))


def _rate(data: list[bytes], threads: int, work: Callable[[bytes], object] | None = None) -> float:
    """Encoded images, or whatever the work takes, a second."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work or _decoded, data):
            pass
    return len(data) / (time.perf_counter() - start)


def _decoded(data: bytes) -> RGBImage:
    return decode_rgb(data, "")


def _decoded_and_resized(data: bytes) -> RGBImage:
    pixels = np.empty((_SIDE, _SIDE, 3), np.uint8)
    cv2.resize(decode_rgb(data, ""), (_SIDE, _SIDE), dst=pixels)
    return pixels


def decoding(part: Measurement) -> None:
    """What the cores decode, and decode and resize, by number of threads."""
    cv2.setNumThreads(1)  # as many threads as are asked for, and no more
    sizes = part.setting.sizes
    for threads in cores_tried():
        data = encoded(part.setting, min(threads, 8) * sizes.decoded)
        rates = [_rate(data, threads) for _ in range(sizes.rounds)]
        both = [_rate(data, threads, _decoded_and_resized) for _ in range(sizes.rounds)]
        part.row(
            threads=threads,
            decoded_per_s=median(rates),
            decoded_and_resized_per_s=median(both),
            images=len(data),
            kB_an_image=sum(map(len, data)) / len(data) / 1e3,
            rounds=sizes.rounds,
        )


def decoding_on_gpu(part: Measurement) -> None:
    """The GPU's own decoder, through torchvision, and how far its pixels are from ours."""
    setting, device = part.setting, part.setting.torch_device
    if setting.device != "cuda":
        raise SkippedError("no GPU here")
    if importlib.util.find_spec("torchvision") is None:
        raise SkippedError("torchvision, through which nvjpeg would be called, is not installed")
    io = importlib.import_module("torchvision.io")
    data = encoded(setting, 4 * setting.sizes.decoded)
    tensors = [torch.frombuffer(bytearray(some), dtype=torch.uint8) for some in data]

    def decode(some: list[torch.Tensor]) -> list[torch.Tensor]:
        pixels: list[torch.Tensor] = io.decode_jpeg(some, io.ImageReadMode.RGB, device=device)
        return pixels

    few = decode(tensors[: setting.sizes.compared])
    away = [
        np.abs(theirs.permute(1, 2, 0).cpu().numpy().astype(int) - decode_rgb(some, ""))
        for theirs, some in zip(few, data, strict=False)
    ]
    times = seconds(
        lambda: [decode(some) for some in chunked(tensors, setting.sizes.batch)],
        device,
        setting.sizes.rounds,
    )
    part.row(
        decoder="nvjpeg through torchvision",
        batch=setting.sizes.batch,
        images_per_s=len(data) / median(times),
        rounds=len(times),
        pixels_away_at_most=max(int(a.max()) for a in away),
        pixels_away_mean=sum(float(a.mean()) for a in away) / len(away),
    )
