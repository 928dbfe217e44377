"""Shards that an ingest before has left: kept where they are the same, replaced where not."""

import pytest

from sixrayd.core.files import sha256_file
from sixrayd.core.shards import iter_shard
from sixrayd.download.sharding import PARTS, Sharding, listed_path, measured_path

IMAGES = [f"N{number}" for number in range(7)]


def put(folder, images, per_shard=3, stop_after=None):
    """The shards that were written or kept, with the number of their images."""
    done = {}
    parts = folder / PARTS
    parts.mkdir(parents=True, exist_ok=True)

    def finished(shard, count):
        done[shard] = count
        measured_path(parts, shard).touch()

    with Sharding(folder, "x", parts, per_shard, finished) as sharding:
        for number, image in enumerate(images):
            if number == stop_after:
                raise KeyboardInterrupt
            sharding.add(image, image.encode() * 9, f"{image}sha", f"a.tar/{image}.jpg")
    assert sharding.sha256 == {name: sha256_file(folder / name) for name in done}
    return done


def files_of(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def times_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}


@pytest.fixture
def whole(tmp_path):
    put(tmp_path / "whole", IMAGES)
    return files_of(tmp_path / "whole")


def test_shards_are_filled_in_order(tmp_path, whole):
    assert put(tmp_path / "new", IMAGES) == {
        "x-00000.tar": 3,
        "x-00001.tar": 3,
        "x-00002.tar": 1,
    }
    ids = [image.image_id for image in iter_shard(tmp_path / "new/x-00001.tar")]
    assert ids == ["N3", "N4", "N5"]
    assert files_of(tmp_path / "new") == whole


@pytest.mark.parametrize("stop_after", range(8))
def test_what_was_stopped_goes_on_and_ends_in_the_same_bytes(tmp_path, whole, stop_after):
    folder = tmp_path / "stopped"
    if stop_after < 7:
        with pytest.raises(KeyboardInterrupt):
            put(folder, IMAGES, stop_after=stop_after)
        assert sorted(times_of(folder)) == [f"x-0000{n}.tar" for n in range(stop_after // 3)]
    before = times_of(folder)

    put(folder, IMAGES)

    assert files_of(folder) == whole
    assert {name: times_of(folder)[name] for name in before} == before  # not written again


@pytest.mark.parametrize(
    ("then", "kept"),
    [
        (["N0", "N1", "N2", "N3", "N9", "N5", "N6"], 2),  # another in the middle of the second
        (["N9", *IMAGES], 0),
        (IMAGES[:5], 1),  # fewer
        (IMAGES[:6], 2),
        ([*IMAGES, "N7", "N8", "N9"], 2),  # more
        (IMAGES[:1], 0),
        ([], 0),
    ],
)
def test_other_images_replace_the_shards_that_differ(tmp_path, then, kept):
    folder = tmp_path / "changed"
    put(folder, IMAGES)
    before = times_of(folder)

    done = put(folder, then)

    put(tmp_path / "fresh", then)
    fresh = files_of(tmp_path / "fresh")
    assert {name: data for name, data in files_of(folder).items() if name in fresh} == fresh
    now = times_of(folder)
    same = [name for name in done if now[name] == before.get(name)]
    assert len(same) == kept
    assert len(done) == -(-len(then) // 3)


def test_a_replaced_shard_is_measured_again(tmp_path):
    folder, parts = tmp_path, tmp_path / PARTS
    put(folder, IMAGES)
    measured_path(parts, "x-00000.tar").write_text("old")
    measured_path(parts, "x-00001.tar").write_text("old")

    put(folder, [*IMAGES[:3], "N8", "N9"])

    assert measured_path(parts, "x-00000.tar").read_text() == "old"
    assert measured_path(parts, "x-00001.tar").read_text() == ""


@pytest.mark.parametrize("damaged", ["shard", "list", "no list"])
def test_a_damaged_shard_or_list_is_written_again(tmp_path, whole, damaged):
    put(tmp_path, IMAGES)
    if damaged == "shard":
        (tmp_path / "x-00001.tar").write_bytes(b"rot")
    elif damaged == "list":
        listed_path(tmp_path / PARTS, "x-00001.tar").write_bytes(b"rot")
    else:
        listed_path(tmp_path / PARTS, "x-00001.tar").unlink()

    put(tmp_path, IMAGES)

    assert files_of(tmp_path / PARTS) == {
        name.removeprefix(f"{PARTS}/"): data for name, data in whole.items() if PARTS in name
    }
    assert (tmp_path / "x-00001.tar").read_bytes() == whole["x-00001.tar"]


def test_another_name_of_the_file_is_taken_over(tmp_path):
    put(tmp_path, IMAGES)
    before = times_of(tmp_path)
    with Sharding(tmp_path, "x", tmp_path / PARTS, 3, lambda *said: None) as sharding:
        for image in IMAGES:
            sharding.add(image, image.encode() * 9, f"{image}sha", f"b.tar/{image}.jpg")

    assert times_of(tmp_path) == before
    put(tmp_path / "fresh", IMAGES)
    path = listed_path(tmp_path / PARTS, "x-00000.tar")
    assert path.read_bytes() != listed_path(tmp_path / "fresh" / PARTS, path.name).read_bytes()
