"""What stages hand to each other: one frozen dataclass and one Arrow schema a table."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Source(StrEnum):
    """What the release says of an image."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


class Split(StrEnum):
    """The side of the train/test division, fixed at ingest for a whole near-duplicate group."""

    TRAIN = "train"
    TEST = "test"


class Verdict(StrEnum):
    """What a reviewer says of one image."""

    MISSED = "contraband missed"
    NOTHING = "nothing there"
    UNSURE = "unsure"


class State(StrEnum):
    """Every image of a release is in exactly one of these; their counts add up to the release's."""

    SOURCE_POSITIVE = "source positive"
    FOUND_POSITIVE = "found positive"
    CONFUSING_NEGATIVE = "confusing negative"
    AUDITED_EMPTY = "audited empty"
    UNDECIDED = "undecided"
    FLAGGED_UNREVIEWED = "flagged but unreviewed"
    UNFLAGGED = "unflagged"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One row of `shards/index.parquet`."""

    image_id: str
    shard: str  # file name under shards/
    offset: int  # of the image's bytes in the shard
    size: int  # bytes of the encoded image
    width: int  # pixels; 0 when unreadable
    height: int
    sha256: str
    phash: str  # 16 hex digits; empty when unreadable
    group: str  # smallest image id of the near-duplicate group
    split: str
    source: str
    labels: tuple[str, ...]  # classes the release's image sets name
    error: str  # why the image is unreadable; empty when it is not


INDEX_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("phash", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)

# The columns of every table of boxes.
BOX_FIELDS = [
    pa.field("box_id", pa.string(), nullable=False),
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("x1", pa.float64(), nullable=False),
    pa.field("y1", pa.float64(), nullable=False),
    pa.field("x2", pa.float64(), nullable=False),
    pa.field("y2", pa.float64(), nullable=False),
]

# shards/annotations.parquet: box_id is "IMAGE_ID/aN", N from 0 in file order.
ANNOTATION_SCHEMA = pa.schema(
    [
        *BOX_FIELDS,
        pa.field("difficult", pa.bool_(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
    ]
)

# mine/NAME/candidates.parquet: a row a detection, by rank then score; box_id is "IMAGE_ID/MODEL/N".
CANDIDATE_SCHEMA = pa.schema(
    [
        *BOX_FIELDS,
        pa.field("score", pa.float32(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("image_score", pa.float32(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),  # of the image, from 1
    ]
)

# review/NAME/tasks.parquet: what was sent to reviewers, a row an image.
TASK_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("image_score", pa.float32(), nullable=False),
        pa.field("project", pa.int64(), nullable=False),
        pa.field("task", pa.int64(), nullable=False),
        pa.field("candidates", pa.list_(pa.string()), nullable=False),  # box ids sent along
    ]
)

# review/NAME/decisions/NNNNN.parquet: append-only; the newest version of an image stands.
DECISION_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),  # from 1 for each annotation
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("decided_at", pa.string(), nullable=False),  # ISO 8601, UTC
        pa.field("lead_time_s", pa.float64(), nullable=False),
        pa.field("server", pa.string(), nullable=False),
        pa.field("task", pa.int64(), nullable=False),
        pa.field("annotation", pa.int64(), nullable=False),
        pa.field(
            "boxes",
            pa.list_(
                pa.struct(
                    [
                        pa.field("label", pa.string(), nullable=False),
                        pa.field("x1", pa.float64(), nullable=False),
                        pa.field("y1", pa.float64(), nullable=False),
                        pa.field("x2", pa.float64(), nullable=False),
                        pa.field("y2", pa.float64(), nullable=False),
                        pa.field("origin", pa.string(), nullable=False),  # see review.Origin
                        pa.field("candidate", pa.string(), nullable=False),  # box id or empty
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)
