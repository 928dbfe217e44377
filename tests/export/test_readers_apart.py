"""Readers that do not go with the tests' own environment, in one of theirs; see `readers.in`."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.export.test_readers import CONFUSING, ODD, TEST, TRAIN, boxes_of, readable

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "requirements" / "readers.txt"
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def python():
    """Of an environment that is made once, in about a minute."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixrayd"
    folder = cache / f"readers-{hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]}"
    program, mark = folder / "bin" / "python", folder / "finished"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = (sys.executable, "-m", "uv")
        subprocess.run([*uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        pip = ("pip", "install", "-q", "--python", program, "--require-hashes", "-r", PINS)
        subprocess.run([*uv, *pip], check=True)
        mark.touch()
    return program


@pytest.fixture(scope="module")
def said(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("apart")
    settings = {"forms": ("voc", "coco", "yolo", "parquet"), "sets": ("confusing",)}
    out = folder / "out"
    export(readable(folder / "ws"), ExportSettings(out=out, trainval=False, **settings))
    script = Path(__file__).with_name("readers_apart.py")
    done = subprocess.run([python, script, out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("reader", "confusing"),
    [
        *(("hugging_face", "confusing_train"), ("supervision_coco", "confusing_train")),
        ("hugging_face_by_the_card", "confusing_train"),
        *(("supervision_voc", None), ("supervision_yolo", None)),
        *(("datumaro_voc", "confusing"), ("datumaro_coco", "confusing_train")),
    ],
)
def test_boxes_come_back_to_the_pixel(said, reader, confusing):
    found = {part: boxes_of(images) for part, images in said[reader].items()}

    assert found.keys() - {"confusing_test"} == {"train", "test"} | {confusing} - {None}
    assert found["train"] == TRAIN
    assert found["test"] == TEST
    assert found.get(confusing, CONFUSING) == CONFUSING
    assert ODD in found["train"]


def test_hugging_face_takes_the_card(said):
    assert said["the_card"]["license_name"] == "academic-purposes-only"
    assert said["the_card"]["task_categories"] == ["object-detection"]


def test_croissants_own_validator_takes_the_metadata_and_reads_all_tables(said):
    read = said["croissant"]

    assert read["warnings"] == [
        '[Metadata(SIXray corrected first)] Property "https://schema.org/datePublished" is '
        "recommended, but does not exist."
    ]
    assert sorted(read["rows"]) == ["absence", "boxes", "images"]
    boxes = boxes_of(
        {
            image_id: [
                [row["boxes/label"], *(row[f"boxes/{edge}"] for edge in ("x1", "y1", "x2", "y2"))]
                for row in read["rows"]["boxes"]
                if row["boxes/image_id"] == image_id
            ]
            for image_id in {row["boxes/image_id"] for row in read["rows"]["boxes"]}
        }
    )
    assert boxes == TRAIN | TEST
