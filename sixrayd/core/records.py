"""What stages hand to each other: one frozen dataclass and one Arrow schema a table."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from sixrayd.core.boxes import EDGES


class Source(StrEnum):
    """What the release says of an image."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


class Split(StrEnum):
    """The side of a train/test division; an image may be on no side of a given one."""

    TRAIN = "train"
    TEST = "test"


NEAR_BITS = 24  # of 256, in which hashes of near-duplicates may differ; see docs/splits.md
MAX_NEAR_BITS = 64
LEAK_FREE = "leak-free"  # the split that the ingest makes: whole near-duplicate groups


class Verdict(StrEnum):
    """What a reviewer says of one image."""

    MISSED = "contraband missed"
    NOTHING = "nothing there"
    UNSURE = "unsure"


class Kind(StrEnum):
    """Why an image was put before reviewers."""

    CANDIDATE = "candidate"  # a detector fired on it
    DUPLICATE = "duplicate"  # it resembles a known positive
    SPOT_CHECK = "spot check"  # drawn at random
    PLANTED = "planted"  # a known item was projected into it
    KNOWN = "known positive"  # a labelled positive, renamed, to measure who misses what
    SHAM = "sham"  # re-encoded as planted ones are, with nothing in it
    POSITIVE = "positive"  # a labelled positive whose boxes are in doubt
    TAGGED = "tagged"  # somebody tagged a negative while looking at it


class Role(StrEnum):
    """What an image is to the next round of training."""

    POSITIVE = "positive"  # reviewers boxed what the release lacks
    HARD_NEGATIVE = "hard negative"  # a detector fired on it, people cleared it
    LEFT_OUT = "left out"  # in doubt: neither a positive nor a background


class Rule(StrEnum):
    """How reviewers who differ are settled; an adjudicator's answer always stands."""

    ADJUDICATOR = "adjudicator"  # any difference waits for one
    MAJORITY = "majority"  # more than half; where there is no such half, an adjudicator
    STRICTEST = "strictest"  # whoever sees contraband is believed, boxes are united


# From here on a box means what was planted. Reviewers box loosely and the mask's box is exact: one
# half as large again along both sides is at 0.44, those of other things near it stay below 0.3.
HIT_IOU = 0.3
ADJUDICATION = "adjudication"  # the lane in which conflicts are settled
POSITIVES = "positives"  # the review of labelled positives, and a source of what is shown
TAGS = "tags"  # the review of images that were tagged in `browse`, and a source as well
APART = (POSITIVES, TAGS)  # what is shown of no mining
LOCAL = "local"  # the workspace's own review server, whose address changes


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


# Image sets of images that hold nothing, beside train and test.
EMPTY_SETS = {
    "confusing": State.CONFUSING_NEGATIVE,
    "audited_empty": State.AUDITED_EMPTY,
    "negative": State.UNFLAGGED,
}


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
    phash: str  # 64 hex digits, of version 0.1 16; empty when unreadable
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

MOST_SPLITS = 50  # given ones of a release, of which each has a side for each image
# shards/splits.parquet: splits that came with the release or a file; there is none without any.
SPLIT_SCHEMA = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),  # its name
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),  # see Split
    ]
)

EDGE_FIELDS = tuple(pa.field(edge, pa.float64(), nullable=False) for edge in EDGES)
# What `Box.as_row` fills.
BOX_COLUMNS = (pa.field("label", pa.string(), nullable=False), *EDGE_FIELDS)
# The columns of every table of boxes.
BOX_FIELDS = [
    pa.field("box_id", pa.string(), nullable=False),
    pa.field("image_id", pa.string(), nullable=False),
    *BOX_COLUMNS,
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

# review/NAME/tasks.parquet: what was sent to reviewers, a row an image and lane.
TASK_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),  # "1", "2" …: one reviewer's; see Decision
        pa.field("kind", pa.string(), nullable=False),  # see Kind; no server ever learns it
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("image_score", pa.float32(), nullable=False),
        pa.field("project", pa.int64(), nullable=False),
        pa.field("task", pa.int64(), nullable=False),
        pa.field("candidates", pa.list_(pa.string()), nullable=False),  # box ids sent along
    ]
)
# What rows mean that were written before a column was added.
TASK_DEFAULTS = {"lane": "1", "kind": "candidate"}

# review/NAME/decisions/NNNNN.parquet: append-only; of an annotation the newest version stands.
DECISION_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),  # from 1 for each answer
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("decided_at", pa.string(), nullable=False),  # ISO 8601, UTC
        pa.field("lead_time_s", pa.float64(), nullable=False),
        pa.field("server", pa.string(), nullable=False),
        pa.field("task", pa.int64(), nullable=False),
        pa.field("annotation", pa.int64(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),  # of the task, see TASK_SCHEMA
        pa.field("follows", pa.int64(), nullable=False),  # the version it replaces; 0 for none
        pa.field("withdrawn", pa.bool_(), nullable=False),  # nor do earlier versions count
        pa.field("note", pa.string(), nullable=False),  # who withdrew it and why, or empty
        pa.field(
            "boxes",
            pa.list_(
                pa.struct(
                    [
                        *BOX_COLUMNS,
                        pa.field("origin", pa.string(), nullable=False),  # see review.Origin
                        pa.field("candidate", pa.string(), nullable=False),  # box id or empty
                    ]
                )
            ),
            nullable=False,
        ),
        # Box ids drawn in advance that the reviewer did not keep; null where nobody noted them.
        pa.field("rejected", pa.list_(pa.string())),
    ]
)
DECISION_DEFAULTS = {"lane": "1", "follows": 0, "withdrawn": False, "note": "", "rejected": None}

# review/NAME/training.parquet: what a review teaches the next round, training side only.
TRAINING_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),  # see Role
        pa.field(
            "boxes",  # of positives, else empty
            pa.list_(pa.struct(BOX_COLUMNS)),
            nullable=False,
        ),
    ]
)

IMAGE_IDS = pa.schema([("image_id", pa.string())])  # what many tables have beside other columns

# estimate/NAME/sample.parquet: negatives drawn at random for spot checks, whole groups.
SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("stratum", pa.string(), nullable=False),
        pa.field("place", pa.int64(), nullable=False),  # of the group in its draw's random order
        pa.field("draw", pa.int64(), nullable=False),  # from 1
    ]
)
