"""What each system said, one file a system: the unit that an interrupted benchmark goes on from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sixrayd.benchmark.judging import Judged
from sixrayd.benchmark.results import STEPS, Seconds, System, Times
from sixrayd.benchmark.systems import SystemRunner
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections
from sixrayd.core.files import write_bytes
from sixrayd.core.tables import read_table, write_table
from sixrayd.evaluation.legacy import result_lines
from sixrayd.evaluation.modes import EDGES, in_single

# A row an image.
PART_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("region", pa.list_(pa.int32(), 4), nullable=False),  # xyxy pixels
        pa.field("xyxy", pa.list_(pa.float64()), nullable=False),  # four numbers a detection
        pa.field("scores", pa.list_(pa.float64()), nullable=False),
        pa.field("labels", pa.list_(pa.int64()), nullable=False),
    ]
)
TIMING_SCHEMA = pa.schema(
    [
        pa.field("system", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        *(pa.field(step, pa.float64(), nullable=False) for step in STEPS),  # seconds
    ]
)
_MOST_BYTES = 200  # of a class's name in a file's, which may have 255
WARM_UP = 2  # images that every system sees before it is timed


@dataclass(frozen=True, slots=True)
class Part:
    """What one system said of every image, by image id."""

    detections: dict[str, Detections]
    regions: dict[str, tuple[int, int, int, int]]


def write_part(
    path: Path, runner: SystemRunner, images: Judged, seen: Callable[[], None] = lambda: None
) -> None:
    """Let a system look at every image.

    Args:
        seen: called after each image, for progress.
    """
    rows: list[dict[str, Any]] = []
    for image_id in images.ids:
        found, region, _ = runner.look(images.read(image_id), image_id)
        rows.append(
            {
                "image_id": image_id,
                "region": list(region.xyxy),
                "xyxy": found.xyxy.ravel().tolist(),
                "scores": found.scores.tolist(),
                "labels": found.labels.tolist(),
            }
        )
        seen()
    write_table(path, rows, PART_SCHEMA)


def read_part(path: Path) -> Part:
    """A part as it was written."""
    detections, regions = {}, {}
    for row in read_table(path, PART_SCHEMA).to_pylist():
        detections[row["image_id"]] = Detections(
            np.array(row["xyxy"], np.float64).reshape(-1, 4),
            np.array(row["scores"], np.float64),
            np.array(row["labels"], np.int64),
        )
        regions[row["image_id"]] = tuple(row["region"])
    return Part(detections, regions)


def write_detections(
    folder: Path, parts: Mapping[str, Part], images: Judged, classes: ClassList
) -> None:
    """`KEY/comp4_det_test_CLASS.txt`: what systems said, as RFBNet's `voc_eval` reads it."""
    for key, part in parts.items():
        found = in_single({image_id: part.detections[image_id] for image_id in images.ids})
        for label, name in enumerate(classes.names):
            text = "".join(result_lines(found, label, EDGES))
            write_bytes(
                folder / key / f"comp4_det_test_{_file_word(name, label)}.txt", text.encode()
            )


def _file_word(name: str, label: int) -> str:
    """A class in a file's name: as it is called, if a file can be called so."""
    word = name.replace("/", "%2F")
    return word if len(word.encode()) <= _MOST_BYTES else f"class{label + 1}"


def write_timings(
    path: Path,
    runners: list[SystemRunner],
    images: Judged,
    count: int,
    seed: int,
    seen: Callable[[], None] = lambda: None,
) -> None:
    """Time every system on the same images, one image at a time.

    Systems take turns on each image, in an order drawn anew, so that a machine that slows down
    slows all of them.

    Args:
        count: images, drawn by the seed.
    """
    rng = np.random.default_rng(seed)
    count = min(count, len(images.ids))
    chosen = [images.ids[i] for i in rng.choice(len(images.ids), count, replace=False)]
    for runner in runners:
        for image_id in chosen[:WARM_UP]:
            runner.look(images.read(image_id), image_id)
    rows = []
    for image_id in chosen:
        data = images.read(image_id)
        for place in rng.permutation(len(runners)):
            steps = runners[place].look(data, image_id)[2]
            rows.append({"system": runners[place].system.key, "image_id": image_id, **steps})
        seen()
    write_table(path, rows, TIMING_SCHEMA)


def read_timings(path: Path, systems: tuple[System, ...]) -> dict[str, Times]:
    """Times of each system that was timed, by key."""
    columns = read_table(path, TIMING_SCHEMA).to_pydict()
    keys = np.array(columns["system"])
    return {
        system.key: Times(**dict(_summaries(columns, keys == system.key)))
        for system in systems
        if (keys == system.key).any()
    }


def _summaries(columns: dict[str, list[Any]], rows: Any) -> Iterator[tuple[str, Seconds]]:
    for step in STEPS:
        values = np.array(columns[step])[rows]
        yield step, Seconds(float(np.median(values)), float(np.percentile(values, 99)))
