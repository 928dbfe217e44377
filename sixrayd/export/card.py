"""The README of an exported dataset: a dataset card after Hugging Face's form."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

import sixrayd
from sixrayd.core.errors import printable
from sixrayd.core.records import State
from sixrayd.core.words import counted
from sixrayd.evaluation.strata import SIZES
from sixrayd.export.about import Facts, Groups
from sixrayd.statistics.missed import percent_down
from sixrayd.statistics.stated import StatedBound

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
---
{front}---
# {name}: a corrected {release} in {forms} form

Written by sixrayd {program} from the release's own annotations and from reviewers' decisions
on images that a detector flagged. {version}

## Licence
{terms}

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

{sizes}
{sets}
## What is still missed
{missed}

## Known limits
{limits}

## Files
Image bytes are the release's, not encoded again. All forms have the same boxes, in whole pixels.
{files}
- `manifests/dataset.json`: what this page says, for programs, with the hash of every input.
- `manifests/images.parquet`: a row an image of the release: files, SHA-256, size, side in every
  split, group of near-duplicates, source, state.
- `provenance.parquet`: a row a box: origin, detection, model and the hash of its weights, score,
  reviewers, answers, times, round. `x1` to `y2` are pixels from 0, right and bottom exclusive.
- `absence.parquet`: a row an answer about a settled image: who looked, when, and which classes are
  known not to be there.
- `states.parquet`: image id, state, split and reason, for every image of the release.
- `splits.json`: the image ids of both splits.
- `negatives.txt` (unflagged), `confusing_negatives.txt`, `audited_empty.txt`, `undecided.txt`,
  `unreadable.txt`, `found_positives.txt`, `positives_without_boxes.txt`: image ids.
- `croissant.json`: the tables in Croissant's words.
- `manifest.sha256`: check all files with `sha256sum -c manifest.sha256`, or with all that they say
  of each other by `sixrayd validate`.
- `run.json`: settings and the hash of every input.

## Citation
{citations}
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
  `load_dataset` takes this folder, or `parquet`.""",
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
_BOUND = """\
Counted are groups of near-identical images. {found} found. At most {upper} are missed
({confidence:.4g} % sure), in at most {images}; {likely}. So at least {recall} of all contraband
groups are found.{older} This rests on:
"""
_NO_BOUND = """\
Not known: no estimate was made. Images that no detector flagged and nobody looked at may hold
contraband; `negatives.txt` lists them."""
_NEAR = """\
- **Near-duplicates** are images whose 256-bit perceptual hashes differ in at most {bits} bits, and
  all that chain to them: one group, {groups} in the release, with {repeated} images that are not
  alone in theirs. {across} on both sides of the split."""


def card(facts: Facts, config: Mapping[str, Any] = {}) -> str:
    """Markdown that says what the dataset is, with its counts; YAML for Hugging Face above.

    Args:
        config: which files of the Parquet form hold what; see `load_config`.
    """
    counts, split = facts.counts, facts.split
    states, images, sets = (counts[key] for key in ("states", "images", "sets"))
    rows = [f"| {state} | {states[state]} | {_MEANING[state]} |" for state in State]
    origins = (f"{count} {_words(origin)}" for origin, count in counts["origins"].items())
    return _TEXT.format(
        front=_front(facts, config),
        name=_words(facts.name),
        forms=facts.titles,
        files="\n".join(_FILES[form] for form in facts.forms if form in _FILES),
        sets=_SETS.format(rows="\n".join(_set_row(*item) for item in sets.items())) if sets else "",
        program=sixrayd.__version__,
        version=_version(facts),
        release=_words(facts.release),
        terms=facts.terms.text,
        states="\n".join(rows),
        total=sum(states.values()),
        images_train=images["train"],
        images_test=images["test"],
        split=_GIVEN.format(split=_code(split)) if split else _OWN,
        boxes="\n".join(_class_row(label, counts["boxes"]) for label in counts["boxes"]),
        origins=", ".join(origins) or "none",
        sizes="\n".join(_size_lines(facts)),
        missed=_bound(facts.bound, facts.bound_is_older) if facts.bound else _NO_BOUND,
        limits="\n".join(_limits(facts)),
        citations="\n".join(f"- {name}: {text}." for name, text in facts.terms.citations.items()),
    )


def _version(facts: Facts) -> str:
    this = f"This is version `{_code(facts.version)}`"
    if facts.parent is None:
        return f"{this}."
    return f"{this}, made from\n`{_code(facts.parent.words)}`; `CHANGELOG.md` says what changed."


def _front(facts: Facts, config: Mapping[str, Any]) -> str:
    """The YAML that Hugging Face reads."""
    said: dict[str, Any] = {
        "pretty_name": printable(f"{facts.release}, corrected: {facts.name}"),
        "license": "other",
        "license_name": facts.terms.licence,
        **({"license_link": facts.terms.source} if facts.terms.source else {}),
        "task_categories": ["object-detection"],
        "annotations_creators": ["expert-generated", "found"],
        "source_datasets": ["extended"],
        "size_categories": [_size_category(sum(facts.counts["images"].values()))],
        "tags": ["x-ray", "security-screening", "baggage"],
    }
    if config:
        said["configs"] = [dict(config)]
    return str(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))


def _size_category(images: int) -> str:
    """Hugging Face's word for a number of images."""
    steps = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
    return next(word for n, word in enumerate(steps, 3) if images < 10**n or word == steps[-1])


def _bound(said: StatedBound, is_older: bool) -> str:
    likely = "how many it is likely to be is not known"
    if said.likely is not None:
        likely = f"{said.likely:,.1f} is the best guess"
    head = _BOUND.format(
        found=f"{said.found:,}",
        upper=f"{said.upper:,}",
        confidence=100 * said.confidence,
        images=counted(said.images, "image"),
        likely=likely,
        recall=percent_down(said.recall),
        older=" Answers have come since this was computed." if is_older else "",
    )
    return "\n".join([head, *(f"- {_words(line)}" for line in said.rests_on)])


def _limits(facts: Facts) -> Iterator[str]:
    states = facts.counts["states"]
    if facts.false_finds.found:
        told = facts.false_finds.words
        yield f"- {told[:1].upper()}{told[1:]}."
    yield _near(facts.groups)
    waiting = counted(states[State.FLAGGED_UNREVIEWED], "flagged image")
    yield f"- Nobody has looked at {waiting}; {states[State.UNDECIDED]} are undecided."
    alone = counted(states[State.UNFLAGGED], "negative")
    yield f"- Of {alone} the release says so alone: no detector fired, nobody has looked."
    yield "- Reviewers saw what a detector flagged: of what it overlooks, spot checks alone tell."


def _near(groups: Groups) -> str:
    return _NEAR.format(
        bits=groups.bits,
        groups=groups.groups,
        repeated=groups.repeated,
        across=f"{groups.across} {'group lies' if groups.across == 1 else 'groups lie'}"
        if groups.across
        else "No group lies",
    )


def _size_lines(facts: Facts) -> Iterator[str]:
    """Boxes by size and class, and how large images are."""
    yield f"| class | {' | '.join(size.name for size in SIZES)} |"
    yield "|---|" + "---:|" * len(SIZES)
    for label, sizes in facts.counts["sizes"].items():
        cells = " | ".join(str(sizes[size.name]) for size in SIZES)
        yield f"| {_words(label)} | {cells} |"
    limits = [f"{100 * size.high:g} %" for size in SIZES[:-1]]
    yield ""
    yield f"Boxes by their share of the image's area, divided at {' and '.join(limits)}."
    if facts.images:
        width, height = facts.images.width, facts.images.height
        yield (
            f"Images are {width[0]} to {width[2]} pixels wide (median {width[1]}) and "
            f"{height[0]} to {height[2]} high (median {height[1]})."
        )


def _words(name: str) -> str:
    """A name that Markdown and HTML show as it is."""
    return printable(name).translate(_ENTITIES)


def _code(name: str) -> str:
    """A name that stands between backticks."""
    return printable(name).replace("`", "'")


def _set_row(name: str, images: Mapping[str, int]) -> str:
    return f"| {name} | {images['train']} | {images['test']} |"


def _class_row(label: str, boxes: Mapping[str, Mapping[str, int]]) -> str:
    columns: Sequence[str] = ("train_images", "train_boxes", "test_images", "test_boxes")
    cells = (str(boxes[label][column]) for column in columns)
    return " | ".join(["| " + _words(label), *cells]) + " |"
