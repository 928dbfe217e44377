"""Shards: the same bytes for the same images, and one clear error for a damaged one."""

import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.errors import ShardError
from sixrayd.core.shards import ShardImage, ShardWriter, extension, iter_shard, read_image
from tests.releases import jpeg

IMAGES = {f"N000000{number}": jpeg(number) for number in range(5)}


def write(folder: Path, images: dict[str, bytes], per_shard: int = 2) -> dict[str, str]:
    with ShardWriter(folder, "negatives", per_shard) as writer:
        for image_id, data in images.items():
            writer.add(image_id, data)
    return writer.sha256


def test_round_trip_over_several_shards(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "negatives", 2) as writer:
        places = {image_id: writer.add(image_id, data) for image_id, data in IMAGES.items()}
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"negatives-0000{n}.tar" for n in range(3)]
    assert [shard for shard, _, _ in places.values()] == [names[i] for i in (0, 0, 1, 1, 2)]
    found = [image for name in names for image in iter_shard(tmp_path / name)]
    assert found == [
        ShardImage(image_id, places[image_id][1], data) for image_id, data in IMAGES.items()
    ]
    for image_id, (shard, offset, size) in places.items():
        assert read_image(tmp_path / shard, offset, size) == IMAGES[image_id]


@given(st.lists(st.binary(max_size=2000), max_size=6))
def test_any_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, blobs: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("shards")
    write(folder, {f"P{i}": blob for i, blob in enumerate(blobs)}, per_shard=100)
    shards = list(folder.iterdir())
    assert len(shards) == bool(blobs)
    assert [image.data for shard in shards for image in iter_shard(shard)] == blobs


def test_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    hashes = write(tmp_path / "a", IMAGES)
    assert write(tmp_path / "b", IMAGES) == hashes
    for name in hashes:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with tarfile.open(tmp_path / "a/negatives-00000.tar") as tar:
        entries = tar.getmembers()
    assert [(e.name, e.mtime, e.mode, e.uid, e.uname) for e in entries] == [
        ("N0000000.jpg", 0, 0o644, 0, ""),
        ("N0000001.jpg", 0, 0o644, 0, ""),
    ]


def test_failure_leaves_no_unfinished_shard(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ShardWriter(tmp_path, "negatives", 2) as writer:
        for image_id, data in list(IMAGES.items())[:3]:
            writer.add(image_id, data)
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["negatives-00000.tar"]


def test_suffix_follows_the_first_bytes() -> None:
    heads = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"<?xml", b"")
    assert [extension(head) for head in heads] == [".jpg", ".png", ".bmp", ".webp", ".jpg", ".jpg"]


@pytest.mark.parametrize("keep", [0, 100, 512, 700, -1024, -9000])
def test_truncated_shard(tmp_path: Path, keep: int) -> None:
    write(tmp_path, {"N0000001": jpeg(1)})
    path = tmp_path / "negatives-00000.tar"
    data = path.read_bytes()
    end = len(data) - len(data.rstrip(b"\0")) if keep < 0 else 0
    path.write_bytes(data[: len(data) - end - 3] if keep < 0 else data[:keep])
    with pytest.raises(ShardError) as caught:
        list(iter_shard(path))
    assert str(caught.value).startswith(f"{path}: truncated or not a shard (")
    assert str(caught.value).endswith("); run `sixrayd download` again")


def test_truncation_between_two_images_is_seen(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "negatives", 2) as writer:
        writer.add("N1", jpeg(1))
        _, offset, _ = writer.add("N2", jpeg(2))
    path = tmp_path / "negatives-00000.tar"
    path.write_bytes(path.read_bytes()[: offset - 512])
    images = iter_shard(path)
    assert next(images).image_id == "N1"
    with pytest.raises(ShardError, match="no end mark, empty header"):
        next(images)


def test_garbage_and_absence(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with pytest.raises(ShardError) as caught:
        list(iter_shard(path))
    assert str(caught.value) == f"{path}: missing; run `sixrayd download` again"
    path.write_bytes(b"garbage" * 200)
    with pytest.raises(ShardError, match="truncated or not a shard"):
        list(iter_shard(path))
    with pytest.raises(ShardError) as caught:
        read_image(path, 1000, 500)
    assert str(caught.value) == f"{path}: ends after 1400 bytes, 1500 expected"
    with pytest.raises(ShardError, match="No such file or directory"):
        read_image(tmp_path / "absent.tar", 0, 1)


def test_links_in_a_shard_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo("P1.jpg")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(ShardError, match=r"'P1\.jpg' is not a plain file"):
        list(iter_shard(path))
