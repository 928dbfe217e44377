"""What `sixrayd download` prints of a release with every remark, and what it refuses."""

import io
import json
from dataclasses import asdict

import pytest
from PIL import Image

from sixrayd.cli import cli
from tests.releases import WHOLE, TinyRelease, encode, voc


def remarkable(folder):
    """A release of which there is something to say in every line."""
    tiny = TinyRelease()
    picture = Image.open(io.BytesIO(tiny.images["P00001"]))
    tiny.images["N0000001"] = encode(picture, "PNG")  # looks like a positive
    tiny.images["N0000002"] = b"no image"
    del tiny.images["N0000003"], tiny.xml["P00001"]
    tiny.xml["P00002"] = voc("P00002")
    tiny.xml["N0000004"] = voc("N0000004", ("Gun", 1, 1, 5, 5))
    release = tiny.write(folder, sums=False)
    (release / "P00003.jpg").write_bytes(tiny.images["P00003"])
    return release


def invoke(runner, folder, *words):
    given = ["download", "-w", str(folder / "ws"), "--classes", "Gun,Knife", *map(str, words)]
    return runner.invoke(cli, given, catch_exceptions=False)


def test_every_remark_has_a_line(runner, tmp_path):
    release = remarkable(tmp_path / "release")

    said = invoke(runner, tmp_path, "--release", release, "--on-error", "skip")

    assert said.exit_code == 3
    assert said.stdout.splitlines() == [
        "7 images: 4 positives, 3 negatives, 1 of them unreadable; 3 boxes",
        "split leak-free: 5 train, 2 test",
        "1 near-duplicate group",
        "1 negative like a positive",
        "1 positive without a usable annotation",
        "1 positive whose annotation holds no box",
        "1 negative of the image sets with boxes: taken as positive",
        "2 notes on annotations and lists (notes.txt)",
        "1 repeated file",
        "1 listed image not in the release",
        "2 faults passed over (skipped.jsonl)",
    ]
    root = tmp_path / "ws"
    assert said.stderr.splitlines()[-1] == f"in {root}/shards; next: sixrayd train -w {root}"


def test_json_is_one_document_of_the_same_counts_and_the_same_exit_code(runner, tmp_path):
    words = ("--release", remarkable(tmp_path / "release"), "--on-error", "skip", "--json")

    first = invoke(runner, tmp_path, *words)
    again = invoke(runner, tmp_path, *words)

    assert (first.exit_code, again.exit_code) == (3, 3)
    assert first.stdout == again.stdout
    assert json.loads(first.stdout) == {
        "images": 7,
        "positives": 4,
        "negatives": 3,
        "unreadable": 1,
        "train": 5,
        "test": 2,
        "boxes": 3,
        "duplicate_groups": 1,
        "negatives_like_positives": 1,
        "unannotated": 1,
        "boxless": 1,
        "negatives_with_boxes": 1,
        "notes": 2,
        "merged": 1,
        "absent": 1,
        "skipped": 2,
        "contradictions": 0,
        "passed_over": {},
        "other_classes": {},
        "splits": {},
    }


def test_a_sound_release_has_no_remark(runner, tmp_path):
    release = TinyRelease().write(tmp_path / "release")

    said = invoke(runner, tmp_path, "--release", release)
    document = invoke(runner, tmp_path, "--release", release, "--json")

    assert (said.exit_code, len(said.stdout.splitlines())) == (0, 2)
    assert json.loads(document.stdout) == asdict(WHOLE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--test-share", "1"], "1.0 is not in the range 0<=x<1."),
        (["--images-per-shard", "0"], "0 is not in the range x>=1."),
        (["--hash-distance", "65"], "65 is not in the range 0<=x<=64."),
        (["--seed", "dice"], "'dice' is not a valid integer."),
        (["--on-error", "ignore"], "'ignore' is not one of 'stop', 'skip'."),
    ],
)
def test_values_out_of_range_are_usage(runner, tmp_path, words, message):
    said = invoke(runner, tmp_path, "--release", tmp_path, *words)

    assert (said.exit_code, said.stdout) == (2, "")
    assert f"Invalid value for '{words[0]}': {message}" in said.stderr
    assert not (tmp_path / "ws").exists()
