"""What images' bytes say, and the process that measures shards."""

import io
import json
import subprocess
import sys

import pytest
from PIL import Image

from sixrayd.core.shards import ShardImage, ShardWriter
from sixrayd.core.tables import read_table
from sixrayd.download.measuring import Measuring
from sixrayd.download.scan import MEASURED_SCHEMA, scan, scan_shard
from sixrayd.download.sharding import measured_path
from tests.releases import encode, jpeg

PICTURE = Image.open(io.BytesIO(jpeg(1, 320, 160)))


def measured(data):
    return scan(ShardImage("P1", 512, data))


def shard_of(folder, images, name="x"):
    with ShardWriter(folder, name, len(images) + 1) as writer:
        for image_id, data in images.items():
            writer.add(image_id, data)
    return folder / f"{name}-00000.tar"


@pytest.mark.parametrize(
    ("form", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "P"), ("BMP", "RGB"), ("WEBP", "RGB")],
)
def test_images_of_every_format(form, mode):
    found = measured(encode(PICTURE.convert(mode), form))

    assert len(found.pop("phash")) == 64
    assert found == {"image_id": "P1", "width": 320, "height": 160, "error": ""}


def test_a_copy_in_another_format_has_the_same_hash():
    hashes = {measured(encode(PICTURE, form))["phash"] for form in ("PNG", "BMP")}

    assert len(hashes) == 1
    assert measured(jpeg(2, 320, 160))["phash"] not in hashes


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "empty file, expected an image"),
        (b"no image", "begins with b'no image', expected JPEG, PNG, BMP, WebP or TIFF"),
        (b"\xff\xd8\xff\xe0", "header cut short or broken after 4 bytes"),
        (b"\x89PNG\r\n", "header cut short or broken after 6 bytes"),
        (encode(PICTURE, "GIF"), "begins with b'GIF87a"),
        (jpeg(1)[:-200], "cannot be decoded (image file is truncated"),
    ],
    ids=["empty", "text", "jpeg", "png", "gif", "cut"],
)
def test_why_an_image_cannot_be_read(data, error):
    found = measured(data)

    assert found.pop("error").startswith(error)
    assert found == {"image_id": "P1", "width": 0, "height": 0, "phash": ""}


def test_an_image_of_too_many_pixels_is_not_decoded():
    buffer = io.BytesIO()
    Image.new("1", (10_000, 5_001)).save(buffer, "PNG")

    assert measured(buffer.getvalue())["error"] == (
        "10000 x 5001 pixels, at most 50000000 are decoded"
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_a_shard_is_measured_in_its_order(tmp_path, threads):
    images = {f"N{n}": jpeg(n, 16 + 90 * (n % 3), 16) for n in range(12)} | {"N12": b"no image"}
    told = []

    table = scan_shard(shard_of(tmp_path, images), told.append, threads=threads)

    assert sum(told) == 13
    assert table.to_pylist() == [scan(ShardImage(i, 0, data)) for i, data in images.items()]
    assert table.schema == MEASURED_SCHEMA


def test_the_process_says_how_many_and_ends_with_its_input(tmp_path):
    shard = shard_of(tmp_path, {f"N{n:03d}": jpeg(n, 16, 16) for n in range(101)})
    part = tmp_path / "a\tb\n.measured"

    done = subprocess.run(
        [sys.executable, "-m", "sixrayd.download.scan"],
        input=json.dumps([str(shard), str(part)]) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "100\n1\ndone\n"
    assert read_table(part, MEASURED_SCHEMA) == scan_shard(shard)


def test_processes_measure_what_threads_do(tmp_path, monkeypatch):
    images = [{f"N{s}{n}": jpeg(10 * s + n, 16, 16) for n in range(3)} for s in range(4)]
    shards = [shard_of(tmp_path, part, str(s)) for s, part in enumerate(images)]
    told = []
    for limit in (0, 99):
        monkeypatch.setattr("sixrayd.download.measuring._WORTH_A_PROCESS", limit)
        parts = tmp_path / str(limit)
        with Measuring(tmp_path, parts, told.append) as measuring:
            for shard in shards:
                measuring.begin(shard.name, 3)
            measuring.wait()

    assert sum(told) == 24
    for shard in shards:
        far, near = (measured_path(tmp_path / part, shard.name) for part in ("0", "99"))
        assert far.read_bytes() == near.read_bytes()


@pytest.mark.long
def test_large_images_are_left_to_one_process(tmp_path, monkeypatch):
    large = encode(Image.new("RGB", (2500, 2000)), "PNG")
    shard = shard_of(tmp_path, {"N1": jpeg(1, 16, 16), "N2": large}, "0")
    part = tmp_path / "part.parquet"
    asked = json.dumps([str(shard), str(part)]) + "\n"
    served = subprocess.run(
        [sys.executable, "-m", "sixrayd.download.scan"],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (served.stdout, part.exists()) == ("large\n", False)

    monkeypatch.setattr("sixrayd.download.measuring._WORTH_A_PROCESS", 0)
    with Measuring(tmp_path, tmp_path / "parts", lambda images: None) as measuring:
        measuring.begin(shard.name, 2)
        measuring.wait()
    assert read_table(measured_path(tmp_path / "parts", shard.name), MEASURED_SCHEMA) == scan_shard(
        shard
    )
