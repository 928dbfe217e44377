"""The README of an exported dataset."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sixrayd.core.errors import printable
from sixrayd.core.records import State

_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in "&<>[`|"}
_MEANING = {
    State.SOURCE_POSITIVE: "labelled positive by the release",
    State.FOUND_POSITIVE: "labelled negative, contraband found and confirmed by reviewers",
    State.CONFUSING_NEGATIVE: "the detector fired, reviewers saw nothing",
    State.AUDITED_EMPTY: "not flagged, looked at by reviewers, nothing there",
    State.UNDECIDED: "reviewers were unsure or disagree; `states.parquet` says why",
    State.FLAGGED_UNREVIEWED: "the detector fired and nobody has looked: use it for nothing",
    State.UNFLAGGED: "labelled negative, not flagged, not looked at",
    State.UNREADABLE: "the image cannot be decoded",
}

_TEXT = """\
# {name}: a corrected SIXray in {forms} form

Written by sixrayd {version} from the release's own annotations and from reviewers' decisions
on images that a detector flagged.

## Licence
Images and source annotations come from the release and stay under its terms: SIXray is for
academic purposes only. Corrections made on top of it can be used under the same terms only.

## Images
Every image of the release is in exactly one state.

| state | images | meaning |
|---|---:|---|
{states}
| all | {total} | |

The lists below leave out flagged images that nobody has looked at, and undecided ones.

## Boxes
{images_train} training and {images_test} test images. {split}

| class | train images | train boxes | test images | test boxes |
|---|---:|---:|---:|---:|
{boxes}

Origin of the boxes: {origins}.
{sets}
{false_finds}
## Files
Image bytes are the release's, not encoded again. All forms have the same boxes, in whole pixels.
{files}
- `provenance.parquet`: a row a box: origin, detection, model and the hash of its weights, score,
  reviewers, answers, times, round. `x1` to `y2` are pixels from 0, right and bottom exclusive.
- `absence.parquet`: a row an answer about a settled image: who looked, when, and which classes are
  known not to be there.
- `states.parquet`: image id, state, split and reason, for every image of the release.
- `splits.json`: the image ids of both splits.
- `negatives.txt` (unflagged), `confusing_negatives.txt`, `audited_empty.txt`, `undecided.txt`,
  `unreadable.txt`, `found_positives.txt`, `positives_without_boxes.txt`: image ids.
- `manifest.sha256`: check all files with `sha256sum -c manifest.sha256`.
- `run.json`: settings and the hash of every input.
"""

# What each form has, by its key.
_FILES = {
    "voc": """\
- `VOC2007/JPEGImages`: the images.
- `VOC2007/Annotations`: XML with 1-based inclusive pixels. Each object has a `<sixrayd>` element
  with the box's origin and, for a found one, detection, model, score, reviewer, verdict and time.
- `VOC2007/ImageSets/Main`: `train`, `test` and `trainval` (equal to `train`), and one list a class
  with 1, -1, or 0 where the image should not count for that class.
- `VOC2007/labelmap.txt`: classes for Datumaro.""",
    "coco": """\
- `coco/images`, `coco/annotations/instances_PART.json`: `bbox` is left, top, width, height from 0.
  A difficult object is `iscrowd`; `neg_category_ids` are classes that nobody saw.""",
    "yolo": """\
- `yolo/data.yaml`, `yolo/images`, `yolo/labels`: class number, centre and sides as shares of the
  image's. An empty text is an image that holds nothing.""",
    "parquet": """\
- `parquet/data/PART-NNNNN.parquet`: images and objects, `bbox` as COCO's; Hugging Face's
  `load_dataset` takes the folder `parquet`.""",
    "webdataset": """\
- `webdataset/PART-NNNNNN.tar`: an image and a JSON of the same name, `bbox` as COCO's.""",
}
_SETS = """\

Images that hold nothing, apart from these, on the sides of the same split:

| set | train images | test images |
|---|---:|---:|
{rows}
"""
_OWN = """\
Splits were fixed at ingest, a whole
group of near-duplicates at a time."""
_GIVEN = """\
They are those of the split
`{split}`, as it was given: near-duplicates may lie on both sides of it. Images that it does not
list have an empty `split` in `states.parquet` and are in neither of the lists."""


def card(
    name: str,
    version: str,
    counts: Mapping[str, Any],
    forms: Mapping[str, str] = MappingProxyType({"voc": "PASCAL VOC 2007"}),
    split: str = "",
    false_finds: str = "",
) -> str:
    """Markdown that says what the dataset is, with its counts.

    Args:
        counts: the export's summary: `states` → images; `images` by split; `boxes`: class →
            `train_images`, `train_boxes`, `test_images`, `test_boxes`; `origins` → boxes; `sets`
            of images that hold nothing → split → images.
        forms: key → what people call it, of what was written.
        split: name of the given split that the lists go by; empty is the ingest's own.
        false_finds: what is expected of them, in words; empty where nothing was found.
    """
    titles = list(forms.values())
    states, images, boxes, origins, sets = (
        counts[key] for key in ("states", "images", "boxes", "origins", "sets")
    )
    rows = [f"| {state} | {states[state]} | {_MEANING[state]} |" for state in State]
    return _TEXT.format(
        name=_words(name),
        forms=" and ".join(filter(None, (", ".join(titles[:-1]), titles[-1]))),
        files="\n".join(_FILES[form] for form in forms if form in _FILES),
        sets=_SETS.format(rows="\n".join(_set_row(*item) for item in sets.items())) if sets else "",
        version=version,
        states="\n".join(rows),
        total=sum(states.values()),
        images_train=images["train"],
        images_test=images["test"],
        split=_GIVEN.format(split=_code(split)) if split else _OWN,
        boxes="\n".join(_class_row(label, counts) for label, counts in boxes.items()),
        false_finds=f"{false_finds[:1].upper()}{false_finds[1:]}.\n" if false_finds else "",
        origins=", ".join(f"{count} {_words(origin)}" for origin, count in origins.items())
        or "none",
    )


def _words(name: str) -> str:
    """A name that Markdown and HTML show as it is."""
    return printable(name).translate(_ENTITIES)


def _code(name: str) -> str:
    """A name that stands between backticks."""
    return printable(name).replace("`", "'")


def _set_row(name: str, images: Mapping[str, int]) -> str:
    return f"| {name} | {images['train']} | {images['test']} |"


def _class_row(label: str, counts: Mapping[str, int]) -> str:
    columns: Sequence[str] = ("train_images", "train_boxes", "test_images", "test_boxes")
    return " | ".join(["| " + _words(label), *(str(counts[column]) for column in columns)]) + " |"
