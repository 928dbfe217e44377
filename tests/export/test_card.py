"""The README of an exported dataset: every state explained, every count in its place."""

import json
from dataclasses import replace

import pytest
import yaml

import sixrayd
from sixrayd.core.records import State
from sixrayd.evaluation.strata import SIZES
from sixrayd.export.about import Facts, Groups, ImageSizes, dataset_document
from sixrayd.export.card import card
from sixrayd.export.croissant import croissant
from sixrayd.export.parquet import load_config
from sixrayd.statistics.false_finds import FalseFinds
from sixrayd.statistics.stated import StatedBound

STATES = {str(state): 10**number for number, state in enumerate(State)}
BOXES = {
    "Gun": {"train_images": 1, "train_boxes": 2, "test_images": 3, "test_boxes": 4},
    "Knife": {"train_images": 0, "train_boxes": 0, "test_images": 0, "test_boxes": 0},
}
BOUND = StatedBound("first", 40, 2.25, 7, 9, 0.8513, 0.95, ("checks: <none> of 3", "looks: one"))


def counted(**changed):
    counts = {"states": STATES, "images": {"train": 12, "test": 34}, "boxes": BOXES}
    sizes = {label: {size.name: n for n, size in enumerate(SIZES, 7)} for label in BOXES}
    return {**counts, "sizes": sizes, "origins": {}, "sets": {}, **changed}


def facts(name="first", **more):
    said = {
        "forms": ("voc",),
        "version": "1.2",
        "counts": counted(),
        "groups": Groups(24, 90, 20, 0),
        **more,
    }
    return Facts(name, "SIXray", **said)


def text(name="first", config=None, **more):
    return card(facts(name, **more), config or {})


def body(name="first", **more):
    return text(name, **more).split("---\n", 2)[2]


def lines(name="first", origins=None):
    return body(name, counts=counted(origins=origins or {})).splitlines()


def test_each_state_has_a_row_in_order_and_the_sum_is_theirs():
    rows = [line for line in lines() if line.startswith("|")]

    table = [row.split(" | ")[:2] for row in rows[2:11]]
    assert table == [
        ["| source positive", "1"],
        ["| found positive", "10"],
        ["| confusing negative", "100"],
        ["| audited empty", "1000"],
        ["| undecided", "10000"],
        ["| flagged but unreviewed", "100000"],
        ["| unflagged", "1000000"],
        ["| unreadable", "10000000"],
        ["| all", "11111111"],
    ]


def test_classes_sides_and_origins():
    said = lines(origins={"drawn": 3, "source": 7})

    assert "| Gun | 1 | 2 | 3 | 4 |" in said
    assert "| Knife | 0 | 0 | 0 | 0 |" in said
    assert "12 training and 34 test images. Splits were fixed at ingest, a whole" in said
    assert "Origin of the boxes: 3 drawn, 7 source." in said
    assert "Origin of the boxes: none." in lines()


@pytest.mark.parametrize("name", ["round {2}", "Prüfung-№2", "a_b (1)", "%s"])
def test_any_name_is_written_as_it_is(name):
    said = lines(name)

    assert said[0] == f"# {name}: a corrected SIXray in PASCAL VOC 2007 form"
    assert said[2:4] == [
        f"Written by sixrayd {sixrayd.__version__} from the release's own annotations and from "
        "reviewers' decisions",
        "on images that a detector flagged. This is version `1.2`.",
    ]
    assert not [line for line in lines() if "{" in line or "}" in line]


def test_no_name_is_a_command_to_who_reads_it():
    name = "<script>alert(1)</script> | [a](b) `c`"
    shown = "&#60;script&#62;alert(1)&#60;/script&#62; &#124; &#91;a](b) &#96;c&#96;"
    counts = dict.fromkeys(BOXES["Gun"], 1)
    told = counted(boxes={name: counts}, origins={name: 1})
    said = body(name, counts=told, split="a`b\nc").splitlines()

    assert said[0] == f"# {shown}: a corrected SIXray in PASCAL VOC 2007 form"
    assert f"| {shown} | 1 | 1 | 1 | 1 |" in said
    assert f"Origin of the boxes: 1 {shown}." in said
    assert any(line.startswith("`a'b\\nc`, as it was given: ") for line in said)


def test_forms_and_sets_that_were_written_are_named():
    sets = {"confusing": {"train": 7, "test": 8}}
    said = body("a", counts=counted(sets=sets), forms=("voc", "coco", "yolo"))

    assert said.startswith("# a: a corrected SIXray in PASCAL VOC 2007, COCO and YOLO form\n")
    assert "\n| confusing | 7 | 8 |\n" in said
    assert [name for name in ("VOC2007/", "coco/", "yolo/", "parquet/") if name in said] == [
        *("VOC2007/", "coco/", "yolo/")
    ]
    assert "| confusing |" not in "\n".join(lines())


def test_what_is_missed_rests_on_what_the_estimate_says():
    said = body(bound=BOUND, bound_is_older=True)

    assert (
        """\
Counted are groups of near-identical images. 40 found. At most 7 are missed
(95 % sure), in at most 9 images; 2.2 is the best guess. So at least 85.1 % of all contraband
groups are found. Answers have come since this was computed. This rests on:

- checks: &#60;none&#62; of 3
- looks: one
"""
        in said
    )
    assert "Not known: no estimate was made." in body()


def test_limits_name_false_finds_groups_and_what_nobody_saw():
    found = FalseFinds(found=40, alone=20, looked=10, cleared=1)
    said = body(false_finds=found, groups=Groups(16, 90, 20, 1)).split("## Known limits\n")[1]

    assert said.splitlines()[:7] == [
        "- False finds: about 2.0 of 40 found images (5.0 %; 0.1 to 8.9 images), among the 20 that "
        "one reader alone saw; of 10 that a second person answered 1 were cleared.",
        "- **Near-duplicates** are images whose 256-bit perceptual hashes differ in at most 16 "
        "bits, and",
        "  all that chain to them: one group, 90 in the release, with 20 images that are not",
        "  alone in theirs. 1 group lies on both sides of the split.",
        "- Nobody has looked at 100,000 flagged images; 10000 are undecided.",
        "- Of 1,000,000 negatives the release says so alone: no detector fired, nobody has looked.",
        "- Reviewers saw what a detector flagged: of what it overlooks, spot checks alone tell.",
    ]


def test_sizes_of_boxes_and_images():
    said = body(images=ImageSizes((90, 639, 1536), (64, 568, 1330)))

    assert "| class | small | medium | large |\n|---|---:|---:|---:|\n| Gun | 7 | 8 | 9 |" in said
    assert "Boxes by their share of the image's area, divided at 1 % and 4 %.\n" in said
    assert "Images are 90 to 1536 pixels wide (median 639) and 64 to 1330 high" in said


def test_the_front_is_what_hugging_face_reads():
    hostile = "a: [b\n---\n{c}"
    parts = ("train", "confusing_train")
    files = {f"parquet/data/{part}-00000.parquet": "0" * 64 for part in parts}
    config = load_config(files | {"states.parquet": "1" * 64}, "parquet/data")
    front = yaml.safe_load(text(hostile, config).split("---\n")[1])

    assert front == {
        "pretty_name": "SIXray, corrected: a: [b\\n---\\n{c}",
        "license": "other",
        "license_name": "academic-purposes-only",
        "license_link": "https://github.com/MeioJane/SIXray",
        "task_categories": ["object-detection"],
        "annotations_creators": ["expert-generated", "found"],
        "source_datasets": ["extended"],
        "size_categories": ["n<1K"],
        "tags": ["x-ray", "security-screening", "baggage"],
        "configs": [
            {
                "config_name": "sixrayd-e78d9234a145",
                "data_files": [
                    {"split": "train", "path": "parquet/data/train-*.parquet"},
                    {
                        "split": "confusing_train",
                        "path": "parquet/data/confusing_train-*.parquet",
                    },
                ],
            }
        ],
    }
    assert "configs" not in yaml.safe_load(text().split("---\n")[1])


@pytest.mark.parametrize(
    ("images", "word"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**8, "1M<n<10M")],
)
def test_how_many_images_in_hugging_faces_words(images, word):
    said = text(counts=counted(images={"train": images, "test": 0}))

    assert f"size_categories:\n- {word}\n" in said


def test_hugging_face_is_told_apart_what_it_would_take_for_the_same():
    file = "parquet/data/train-00000.parquet"
    one, other = (load_config({file: digit * 64, "a.txt": "0" * 64}, "data") for digit in "01")

    assert one["data_files"] == other["data_files"]
    assert one["config_name"] != other["config_name"]
    assert load_config({file: "0" * 64}, "data") == one  # by the images alone
    assert load_config({"a.txt": "0" * 64}, "data") == {}


def test_a_release_of_somebody_else_is_not_called_sixray():
    there = replace(facts(), release="Our Scans")
    files = dict.fromkeys(("manifests/images.parquet", "provenance.parquet"), "0" * 64)
    files |= dict.fromkeys(("absence.parquet", "manifests/dataset.json"), "1" * 64)
    said = card(there)
    front = yaml.safe_load(said.split("---\n")[1])
    assert (front["license_name"], "license_link" in front) == ("terms-of-the-release", False)
    assert "\n# first: a corrected Our Scans in PASCAL VOC 2007 form\n" in said
    document = json.dumps([croissant(there, files), dataset_document(there, files)])
    for words in (said, document):
        assert "stay under its terms. Corrections" in words
        assert "Miao" not in words and "MeioJane" not in words
