"""Perceptual hashes and the groups that they form."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sixrayd.core.errors import ShapeError
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import duplicate_groups, perceptual_hash
from tests.releases import encode, jpeg

few_bits = st.integers(0, 63).map(lambda bit: 1 << bit)


def slow_groups(values: list[int], max_distance: int) -> list[int]:
    groups = list(range(len(values)))
    for i, first in enumerate(values):
        for j, second in enumerate(values[:i]):
            if (first ^ second).bit_count() <= max_distance:
                old, new = max(groups[i], groups[j]), min(groups[i], groups[j])
                groups = [new if group == old else group for group in groups]
    return groups


@given(
    st.lists(
        st.builds(lambda a, b, c: a ^ b ^ c, st.sampled_from([0, 2**64 - 1]), few_bits, few_bits),
        max_size=30,
    ),
    st.integers(0, 6),
)
def test_groups_are_those_of_all_pairs(values: list[int], max_distance: int) -> None:
    groups = duplicate_groups([f"{value:016x}" for value in values], max_distance)
    assert groups.tolist() == slow_groups(values, max_distance)


def test_unreadable_images_stay_alone() -> None:
    assert duplicate_groups(["", "00ff" * 4, "", "00ff" * 4]).tolist() == [0, 1, 2, 1]
    assert duplicate_groups([]).tolist() == []
    assert duplicate_groups(["", ""], 3).tolist() == [0, 1]


def test_crowded_hash_groups_nobody() -> None:
    hashes = ["8000000000000000"] * 5 + ["00ff" * 4] * 2
    assert duplicate_groups(hashes, max_group=4).tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert duplicate_groups(hashes, max_group=5).tolist() == [0, 0, 0, 0, 0, 5, 5]


def test_long_chain_falls_apart_at_its_widest_links() -> None:
    chain = [(1 << n) - 1 for n in (0, 1, 3, 4, 6, 7)]  # distances 1, 2, 1, 2, 1
    hashes = [f"{value:016x}" for value in chain]
    assert duplicate_groups(hashes, 2).tolist() == [0] * 6
    assert duplicate_groups(hashes, 2, max_group=5).tolist() == [0, 0, 2, 2, 4, 4]


def test_distance_out_of_range() -> None:
    with pytest.raises(ShapeError, match=r"max_distance: need 0\.\.16 bits, got 17"):
        duplicate_groups([], 17)


def test_hash_survives_scaling_and_recompression() -> None:
    data = jpeg(5, 400, 300)
    image = Image.open(io.BytesIO(data))
    small = encode(image.resize((200, 150)), "JPEG")
    hashes = [int(perceptual_hash(decode_rgb(each, "x")), 16) for each in (data, small)]
    assert (hashes[0] ^ hashes[1]).bit_count() <= 2
    other = int(perceptual_hash(decode_rgb(jpeg(6, 400, 300), "x")), 16)
    assert (hashes[0] ^ other).bit_count() > 10


def test_hash_is_16_hex_digits() -> None:
    assert perceptual_hash(np.zeros((8, 8, 3), np.uint8)) == "0000000000000000"
