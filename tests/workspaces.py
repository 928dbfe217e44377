"""Small workspaces with real shards, candidates and decisions, for tests of late stages."""

import hashlib
import io
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image

from sixrayd.core.classes import default_classes
from sixrayd.core.files import write_bytes
from sixrayd.core.records import (
    ANNOTATION_SCHEMA,
    CANDIDATE_SCHEMA,
    DECISION_SCHEMA,
    INDEX_SCHEMA,
    SPLIT_SCHEMA,
    TASK_SCHEMA,
)
from sixrayd.core.shards import ShardWriter
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Run, Workspace

SIZE_WH = (96, 64)


@cache
def jpeg(seed, mode="RGB", size_wh=SIZE_WH, orientation=1):
    """A JPEG of a few grey rectangles on white, different for each seed."""
    rng = np.random.default_rng(seed)
    pixels = np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)
    for _ in range(6):
        x, y = rng.integers(0, size_wh[0] - 20), rng.integers(0, size_wh[1] - 20)
        pixels[y : y + 18, x : x + 18] = rng.integers(40, 220, 3)
    file = io.BytesIO()
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    about = {"exif": exif.tobytes()} if exif else {}
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=90, **about)
    return file.getvalue()


@dataclass
class Picture:
    """An image of the small release."""

    image_id: str
    split: str = "train"
    labels: tuple = ()
    boxes: tuple = ()  # (label, x1, y1, x2, y2, difficult)
    mode: str = "RGB"
    error: str = ""
    orientation: int = 1  # of its EXIF

    @property
    def source(self):
        return "positive" if self.image_id.startswith("P") else "negative"

    @property
    def data(self):
        seed = int(self.image_id[1:]) + 1000 * (self.source == "positive")
        return (
            b"\xff\xd8\xff\xe0 not a picture"
            if self.error
            else jpeg(seed, self.mode, orientation=self.orientation)
        )


@dataclass
class Says:
    """A reviewer's answer; boxes are (label, x1, y1, x2, y2, origin, candidate)."""

    image_id: str
    verdict: str
    boxes: tuple = ()
    reviewer: str = "ann@example.org"
    version: int = 1
    annotation: int = 0  # 0 means one of its own
    decided_at: str = "2026-01-02T10:00:00+00:00"
    lane: str = "1"
    withdrawn: bool = False


def finish(workspace, stage, name="", inputs=None, classes=(), **summary):
    settings = {"classes": list(classes or default_classes())} if stage == "shards" else {}
    run = Run(stage, name, settings, inputs or {}, summary=summary)
    workspace.folder(stage, name).mkdir(parents=True, exist_ok=True)
    workspace.finish(run)


def build_shards(workspace, pictures, images_per_shard=5, classes=()):
    """Shards, index and annotations of a release; of the default classes if none are named."""
    rows, boxes = [], []
    for source in ("positive", "negative"):
        with ShardWriter(workspace.shards, source + "s", images_per_shard) as writer:
            for picture in sorted(pictures, key=lambda p: p.image_id):
                if picture.source == source:
                    rows.append(_index_row(picture, writer))
                    boxes += _annotation_rows(picture)
    rows.sort(key=lambda row: row["image_id"])
    write_table(workspace.shards / "index.parquet", rows, INDEX_SCHEMA)
    write_table(workspace.shards / "annotations.parquet", boxes, ANNOTATION_SCHEMA)
    finish(workspace, "shards", classes=classes, images=len(rows))


def build_splits(workspace, **splits):
    """Given splits: name → image id → side; dashes in a name are written as underscores."""
    rows = [
        {"split": name.replace("_", "-"), "image_id": image_id, "side": side}
        for name, sides in sorted(splits.items())
        for image_id, side in sorted(sides.items())
    ]
    write_table(workspace.shards / "splits.parquet", rows, SPLIT_SCHEMA)


def _index_row(picture, writer):
    data = picture.data
    shard, offset, size = writer.add(picture.image_id, data)
    width, height = (0, 0) if picture.error else SIZE_WH
    return {
        "image_id": picture.image_id,
        "shard": shard,
        "offset": offset,
        "size": size,
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(data).hexdigest(),
        "phash": "" if picture.error else "0" * 64,
        "group": picture.image_id,
        "split": picture.split,
        "source": picture.source,
        "labels": list(picture.labels),
        "error": picture.error,
    }


def _annotation_rows(picture):
    return [
        {
            "box_id": f"{picture.image_id}/a{number}",
            "image_id": picture.image_id,
            **dict(zip(("label", "x1", "y1", "x2", "y2"), box[:5], strict=True)),
            "difficult": box[5],
            "truncated": False,
        }
        for number, box in enumerate(picture.boxes)
    ]


def _falling(rank):
    return 0.9 - 0.05 * rank if rank < 17 else 0.05 * 0.9 ** (rank - 17)


def build_mine(workspace, name, flagged, model="rfb"):
    """Candidates: one Knife box at (10, 20, 40, 50) for each flagged image, by falling score."""
    rows = [
        {
            "box_id": f"{image_id}/{model}/0",
            "image_id": image_id,
            "label": "Knife",
            "x1": 10.0,
            "y1": 20.0,
            "x2": 40.0,
            "y2": 50.0,
            "score": _falling(rank),
            "model": model,
            "image_score": _falling(rank),
            "rank": rank + 1,
        }
        for rank, image_id in enumerate(flagged)
    ]
    write_table(workspace.folder("mine", name) / "candidates.parquet", rows, CANDIDATE_SCHEMA)
    finish(workspace, "mine", name)


def more_boxes(workspace, name, boxes):
    """Further candidates in each image of a mining: (label, x1, y1, x2, y2, score)."""
    path = workspace.folder("mine", name) / "candidates.parquet"
    rows = read_table(path, CANDIDATE_SCHEMA).to_pylist()
    keys = ("label", "x1", "y1", "x2", "y2", "score")
    rows += [
        row | dict(zip(keys, box, strict=True)) | {"box_id": f"{row['image_id']}/rfb/{number}"}
        for row in list(rows)
        for number, box in enumerate(boxes, 1)
    ]
    write_table(path, rows, CANDIDATE_SCHEMA)
    finish(workspace, "mine", name)


def build_review(workspace, name, flagged, rounds):
    """Tasks for the flagged images, and one table of decisions for each entry of `rounds`."""
    rows = [
        {
            "image_id": image_id,
            "lane": "1",
            "kind": "candidate",
            "rank": rank,
            "image_score": 0.5,
            "project": 1,
            "task": rank,
            "candidates": [f"{image_id}/rfb/0"],
        }
        for rank, image_id in enumerate(flagged, 1)
    ]
    folder = workspace.folder("review", name)
    write_table(folder / "tasks.parquet", rows, TASK_SCHEMA)
    candidates = workspace.folder("mine", name) / "candidates.parquet"
    if not (folder / "candidates.parquet").exists():
        write_bytes(folder / "candidates.parquet", candidates.read_bytes())
    finish(workspace, "review", name, workspace.upstream(("mine", name)))
    number = 0
    for pull, answers in enumerate(rounds, 1):
        table = []
        for says in answers:
            number += 1
            table.append(decision_row(says, number))
        write_table(folder / "decisions" / f"{pull:05d}.parquet", table, DECISION_SCHEMA)


def decision_row(says, number):
    keys = ("label", "x1", "y1", "x2", "y2", "origin", "candidate")
    return {
        "image_id": says.image_id,
        "version": says.version,
        "verdict": says.verdict,
        "reviewer": says.reviewer,
        "decided_at": says.decided_at,
        "lead_time_s": 4.0,
        "server": "http://127.0.0.1:8080",
        "task": int(says.image_id[1:]),
        "annotation": says.annotation or 1000 + number,
        "lane": says.lane,
        "follows": says.version - 1,
        "withdrawn": says.withdrawn,
        "note": "",
        "boxes": [dict(zip(keys, box, strict=True)) for box in says.boxes],
    }


MISSED, NOTHING, UNSURE = "contraband missed", "nothing there", "unsure"
BOB = "bob@example.org"
FLAGGED = [f"N{n:07d}" for n in (1, 2, 4, 5, 6, 10, 11)]


@dataclass
class Small:
    """The release that most tests use; every state occurs."""

    pictures: list = field(
        default_factory=lambda: [
            Picture("P00001", labels=("Gun",), boxes=(("Gun", 5, 6, 30, 40, False),)),
            Picture(
                "P00002",
                "test",
                ("Knife", "Gun"),
                (("Knife", 0, 0, 96, 64, False), ("Gun", 1, 2, 9, 9, True)),
                mode="L",
            ),
            Picture("P00003", labels=("Wrench",)),
            Picture("P00004", error="truncated"),
            *(Picture(f"N{n:07d}", "test" if n == 10 else "train") for n in range(1, 9)),
            Picture("N0000009", error="not an image"),
            Picture("N0000010", "test"),
            Picture("N0000011"),
            Picture("N0000012"),
        ]
    )
    rounds: list = field(
        default_factory=lambda: [
            [
                Says("N0000001", NOTHING, annotation=7),
                Says("N0000002", NOTHING),
                Says("N0000003", NOTHING),
                Says("N0000004", UNSURE),
                Says("N0000005", MISSED, (("Gun", 1, 1, 9, 9, "drawn", ""),)),
                Says("N0000010", MISSED, (("Gun", 1, 1, 9, 9, "drawn", ""),)),
                Says("N0000011", MISSED),
                Says("N0000012", MISSED, (("plier", -2.5, 3.4, 20.2, 64.9, "drawn", ""),)),
            ],
            [
                Says(
                    "N0000001",
                    MISSED,
                    (
                        ("Knife", 10, 20, 40, 50, "confirmed", "N0000001/rfb/0"),
                        ("Gun", 50, 10, 70, 30, "drawn", ""),
                    ),
                    version=2,
                    annotation=7,
                    decided_at="2026-01-02T11:00:00+00:00",
                ),
                Says("N0000005", NOTHING, reviewer=BOB, decided_at="2026-01-03T10:00:00+00:00"),
                Says(
                    "N0000010",
                    MISSED,
                    (("Scissors", 11, 20, 40, 50, "relabelled", "N0000010/rfb/0"),),
                    reviewer=BOB,
                    lane="adjudication",
                    decided_at="2026-01-03T10:00:00+00:00",
                ),
            ],
        ]
    )

    def build(self, root):
        workspace = Workspace(root)
        build_shards(workspace, self.pictures)
        build_mine(workspace, "first", FLAGGED)
        build_review(workspace, "first", FLAGGED, self.rounds)
        return workspace
