"""Perceptual hashes and the groups that they form."""

import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sixrayd.core.errors import ShapeError, WorkspaceError
from sixrayd.imaging import hashes as module
from sixrayd.imaging.hashes import (
    bits_between,
    duplicate_groups,
    hash_keys,
    hash_words,
    hashes_are_whole,
    image_hash,
    perceptual_hash,
    word_groups,
)
from tests.releases import encode, jpeg

PICTURES = [0, 2**256 - 1, 3 << 254, 0x1234 << 100]
few_bits = st.integers(0, 255).map(lambda bit: 1 << bit)


def text(value: int) -> str:
    return f"{value:064x}"


def key(value: int) -> int:
    """The left halves of the upper 8 rows of 16 bits, row by row."""
    rows = [value >> 240 - 16 * row & 0xFFFF for row in range(8)]
    return int("".join(f"{row >> 8:02x}" for row in rows), 16)


def slow_groups(values: list[int], max_distance: int) -> list[int]:
    groups = list(range(len(values)))
    for i, first in enumerate(values):
        for j, second in enumerate(values[:i]):
            keys = (key(first) ^ key(second)).bit_count()
            if (first ^ second).bit_count() <= max_distance and keys <= 4:
                old, new = max(groups[i], groups[j]), min(groups[i], groups[j])
                groups = [new if group == old else group for group in groups]
    return groups


@given(
    st.lists(
        st.builds(lambda a, b: a ^ sum(set(b)), st.sampled_from(PICTURES), st.lists(few_bits)),
        max_size=30,
    ),
    st.integers(0, 24),
)
def test_groups_are_those_of_all_pairs(values: list[int], max_distance: int) -> None:
    groups = duplicate_groups([text(value) for value in values], max_distance)
    assert groups.tolist() == slow_groups(values, max_distance)


def test_keys_and_words_hold_all_bits() -> None:
    values = [0, 1, 2**255, 0x0123456789ABCDEF << 192, 2**256 - 1]
    texts = pa.array([text(value) for value in values])

    assert hash_keys(texts).tolist() == [
        int.from_bytes(key(value).to_bytes(8, "big"), "little") for value in values
    ]
    words = hash_words(texts)
    assert words.shape == (5, 4)
    one, other = np.triu_indices(5)
    apart = [(values[a] ^ values[b]).bit_count() for a, b in zip(one, other, strict=True)]
    assert bits_between(words[one], words[other]).tolist() == apart
    assert hash_words(texts[1:3]).tolist() == words[1:3].tolist()


def test_short_hashes_are_keys_themselves() -> None:
    old = ["00000000000000ff", "f000000000000000"]
    assert bits_between(*hash_keys(old).reshape(2, 1, 1)).tolist() == [12]
    assert not hashes_are_whole(pa.chunked_array([["", *old]]))
    assert hashes_are_whole(pa.chunked_array([["", text(1)]]))
    for hashes in (old, [text(0), "ab"]):
        with pytest.raises(WorkspaceError, match="hashes of other than 64 digits; run `sixrayd do"):
            duplicate_groups(hashes)


def test_unreadable_images_stay_alone() -> None:
    assert duplicate_groups(["", "00ff" * 16, "", "00ff" * 16]).tolist() == [0, 1, 2, 1]
    assert duplicate_groups([]).tolist() == []
    assert duplicate_groups(["", ""], 3).tolist() == [0, 1]


def test_crowded_hash_groups_nobody() -> None:
    hashes = [text(2**255)] * 5 + ["00ff" * 16] * 2
    assert duplicate_groups(hashes, max_group=4).tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert duplicate_groups(hashes, max_group=5).tolist() == [0, 0, 0, 0, 0, 5, 5]


def test_long_chain_falls_apart_at_its_widest_links() -> None:
    chain = [(1 << n) - 1 for n in (0, 1, 3, 4, 6, 7)]  # distances 1, 2, 1, 2, 1
    hashes = [text(value) for value in chain]
    assert duplicate_groups(hashes, 2).tolist() == [0] * 6
    assert duplicate_groups(hashes, 2, max_group=5).tolist() == [0, 0, 2, 2, 4, 4]


def crowd(count: int) -> np.ndarray:
    """(N, 4) hashes of scans of one empty belt: equal keys, at most 6 bits apart."""
    rng = np.random.default_rng(count)
    bits = np.zeros((count, 256), bool)
    for _ in range(3):
        bits[np.arange(count), rng.integers(128, 256, count)] ^= True
    return np.packbits(bits, axis=1).view(np.uint64)


@pytest.mark.parametrize("max_group", [3, 20, 100, 500])
@pytest.mark.parametrize("max_distance", [1, 4, 24])
def test_links_let_go_change_no_group(
    max_distance: int, max_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = np.concatenate([crowd(150), crowd(60) ^ np.uint64(0xFFFF), crowd(20)])
    whole = word_groups(words, max_distance, max_group)

    monkeypatch.setattr(module, "_MOST_LINKS", 50)
    assert word_groups(words, max_distance, max_group).tolist() == whole.tolist()
    assert len(set(whole.tolist())) > 3 or max_group == 500


def test_each_of_a_crowd_is_compared_with_so_many_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_COMPARED", 20)
    words = np.concatenate([crowd(300) ^ np.uint64(key) for key in (0, 1, 2)])
    keys = hash_keys([row.tobytes().hex() for row in words])
    found = list(module._near_in_band(keys, [np.uint64(0xFF << 8)], 4, lambda *_: None))
    assert sum(map(len, found)) <= 20 * len(words)
    assert set(word_groups(words, max_group=900).tolist()) == {0}


def test_crowd_of_near_hashes_takes_little_memory() -> None:
    words = crowd(750)  # 280,000 pairs, each near
    tracemalloc.start()
    try:
        groups = word_groups(words, max_group=750)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert set(groups.tolist()) == {0}


def test_distance_out_of_range() -> None:
    with pytest.raises(ShapeError, match=r"max_distance: need 0\.\.64 bits, got 65"):
        duplicate_groups([], 65)


def test_hash_survives_scaling_and_recompression() -> None:
    image = Image.open(io.BytesIO(jpeg(5, 400, 300)))
    small = encode(image.resize((200, 150)), "JPEG")
    hashes = [image_hash(data, "x") for data in (encode(image, "PNG"), jpeg(5, 400, 300), small)]
    assert duplicate_groups([*hashes, image_hash(jpeg(6, 400, 300), "x")]).tolist() == [0, 0, 0, 3]


def test_hash_is_64_hex_digits() -> None:
    assert perceptual_hash(np.zeros((8, 8, 3), np.uint8)) == "0" * 64


def test_of_many_hashes_it_is_told_how_many_are_compared():
    told = []
    words = np.random.default_rng(0).integers(0, 1 << 63, (100_000, 4), np.uint64)
    word_groups(words, 1, told=lambda done, total: told.append((done, total)))
    assert len(told) == 9  # four parts of each of two bands, and the end
    assert told == sorted(told)
    assert told[-1] == (200_000, 200_000)
