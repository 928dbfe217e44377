"""The files beside an export's forms: lists, tables and their columns."""

import pyarrow as pa

from sixrayd.core.records import BOX_COLUMNS, EMPTY_SETS, State

DATASET = "manifests/dataset.json"
CHANGELOG, CROISSANT, CARD = "CHANGELOG.md", "croissant.json", "README.md"
# What tells of the other files, with the version in it.
ABOUT = frozenset((DATASET, CHANGELOG, CROISSANT, CARD))
BOXES, ABSENCE, STATES = "provenance.parquet", "absence.parquet", "states.parquet"
UNLISTED = "unlisted"  # where a form needs a name for images on no side
BARE = "positives_without_boxes.txt"
NEGATIVES, UNDECIDED = "negatives.txt", "undecided.txt"
LISTS = {
    "found_positives.txt": State.FOUND_POSITIVE,
    NEGATIVES: State.UNFLAGGED,
    "confusing_negatives.txt": State.CONFUSING_NEGATIVE,
    "audited_empty.txt": State.AUDITED_EMPTY,
    UNDECIDED: State.UNDECIDED,
    "unreadable.txt": State.UNREADABLE,
}
# Images that hold nothing, as far as the export knows.
EMPTY_LISTS = tuple(path for path, state in LISTS.items() if state in EMPTY_SETS.values())
OTHER_CLASSES = "other_classes.txt"  # images that hold something of a class that is none of ours
SPLITS = "splits.json"
IMAGES = "manifests/images.parquet"
SIDE = pa.struct([pa.field("split", pa.string()), pa.field("side", pa.string())])
# A row an image of the release, by image id.
IMAGE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("files", pa.list_(pa.string()), nullable=False),  # of the export, one for a form
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),  # bytes
        pa.field("width", pa.int32(), nullable=False),  # pixels; 0 when unreadable
        pa.field("height", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # the side, by which the lists go
        pa.field("sides", pa.list_(SIDE), nullable=False),  # by every split that lists it
        pa.field("group", pa.string(), nullable=False),  # of near-duplicates
        pa.field("source", pa.string(), nullable=False),  # what the release says
        pa.field("labels", pa.list_(pa.string()), nullable=False),  # classes that it names
        pa.field("state", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("exported", pa.bool_(), nullable=False),
        pa.field("boxes", pa.int32(), nullable=False),  # in the export
    ]
)


STATE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # why undecided or how settled, or empty
    ]
)


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=False) for name in names]


_ANSWER = pa.struct(
    [*_texts("reviewer", "verdict", "decided_at", "round", "lane"), ("version", pa.int64())]
)
# A row a box of the export; edges from 0, right and bottom exclusive, as in every table of ours.
PROVENANCE_SCHEMA = pa.schema(
    [
        *_texts("image_id"),
        pa.field("object", pa.int32(), nullable=False),  # its place in the XML, from 1
        *BOX_COLUMNS,
        pa.field("difficult", pa.bool_(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
        *_texts("split", "state", "origin", "candidate", "model", "model_sha256"),
        pa.field("score", pa.float64()),
        *_texts("mining", "round", "decided_at"),
        pa.field("reviewers", pa.list_(pa.string()), nullable=False),  # whose answer it follows
        pa.field("answers", pa.list_(_ANSWER), nullable=False),  # all that stand about the image
    ]
)
# A row an answer about an image of which it is settled what it shows, copied or not.
ABSENCE_SCHEMA = pa.schema(
    [
        *_texts("image_id", "split", "state", "reviewer", "verdict", "decided_at", "round", "lane"),
        pa.field("absent", pa.list_(pa.string()), nullable=False),  # classes that it does not show
    ]
)


def content_version(digest: str) -> str:
    """The version of an export that was given none.

    Args:
        digest: SHA-256 of its files but `ABOUT`, in hex; see `staging.content_digest`.
    """
    return f"0.0.0+{digest[:12]}"
