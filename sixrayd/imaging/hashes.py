"""Perceptual hashes of images, and the groups of near-duplicates that they form.

A hash is 256 bits, a sign for each of the lowest 16 x 16 frequencies of an image. Its *key* is the
64 bits of the lowest 8 x 8: near-duplicates are looked for by their keys and told by their hashes,
since keys of other pictures coincide (docs/splits.md has the figures).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from sixrayd.core.arrays import RGBImage
from sixrayd.core.errors import ShapeError, WorkspaceError
from sixrayd.core.records import MAX_NEAR_BITS, NEAR_BITS
from sixrayd.imaging.decode import decoded

BITS = 256
KEY_BITS = 64
NEAR_KEY_BITS = 4  # of 64
MAX_GROUP = 500  # images
_SIDE_PX = 128  # a quarter of the time of a full decode
_AT_ONCE = 4096  # hashes
_COMPARED = 1 << 15  # hashes, with the next
_MOST_COMPARED = 1 << 15  # times; of 6,181 real scans at most 0.8 % agree in a band
_MOST_LINKS = 1 << 18  # that are kept before those are let go that change no group
_KEY_OCTETS = slice(0, 16, 2)  # the left half of the upper 8 of 16 rows
Hashes = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
Indices = np.ndarray[tuple[int, ...], np.dtype[np.signedinteger[Any]]]
Told = Callable[[int, int], None]  # how many hashes are compared, of how many, each band anew


def image_hash(data: bytes, source: str) -> str:
    """64 hex digits that stay the same, or nearly, under scaling and recompression.

    Args:
        data: an encoded image.
        source: names it in messages.

    Raises:
        ImageError: it cannot be decoded.
    """
    with decoded(data, source, min_side_px=_SIDE_PX) as image:
        return perceptual_hash(image)


def perceptual_hash(image: RGBImage) -> str:
    """The hash of a decoded image.

    Args:
        image: (H, W, 3) uint8; 128 pixels a side are enough.
    """
    return str(imagehash.phash(Image.fromarray(image), hash_size=16))


def hash_words(hashes: Sequence[str] | pa.Array) -> Hashes:
    """(N, 4): the bits of hashes, none of which is empty.

    Raises:
        WorkspaceError: they are not of 64 digits each.
    """
    return np.ascontiguousarray(_octets(hashes, BITS)).view(np.uint64)


def hash_keys(hashes: Sequence[str] | pa.Array) -> Hashes:
    """(N,): the keys of hashes, none of which is empty. Hashes of 16 digits, which version 0.1
    wrote, are keys themselves.

    Raises:
        WorkspaceError: they are not all of 64 digits, or all of 16.
    """
    if len(hashes) and len(str(hashes[0])) * 4 == KEY_BITS:
        return _octets(hashes, KEY_BITS).view(np.uint64).ravel()
    return _keys_of(_octets(hashes, BITS))


def _keys_of(octets: np.ndarray[Any, np.dtype[np.uint8]]) -> Hashes:
    """(N,): the keys of hashes of (N, 32) octets."""
    return np.ascontiguousarray(octets[:, _KEY_OCTETS]).view(np.uint64).ravel()


def _octets(hashes: Sequence[str] | pa.Array, bits: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(N, bits / 8)."""
    digits = bits // 4
    try:
        texts = pa.array(hashes, pa.string()).cast(pa.binary()).cast(pa.binary(digits))
    except pa.ArrowInvalid as error:
        raise WorkspaceError(
            f"hashes of other than {digits} digits; run `sixrayd download --force`"
        ) from error
    letters = np.frombuffer(texts.buffers()[1], np.uint8).reshape(-1, digits)
    octets = np.empty((len(texts), digits // 2), np.uint8)
    for start in range(0, len(texts), _AT_ONCE):
        some = letters[start : start + _AT_ONCE]
        values = np.where(some >= ord("a"), some - (ord("a") - 10), some - ord("0"))
        octets[start : start + _AT_ONCE] = values[:, 0::2] << 4 | values[:, 1::2]
    return octets


def hashes_are_whole(hashes: pa.ChunkedArray) -> bool:
    """Whether those that are not empty have all their digits, which version 0.1 did not write."""
    lengths = pc.unique(pc.utf8_length(hashes)).to_pylist()
    return set(lengths) <= {0, BITS // 4}


def bits_between(one: Hashes, other: Hashes) -> Indices:
    """(N,) bits in which hashes of (N, W) words differ."""
    bits: Indices = np.bitwise_count(one ^ other).sum(axis=1, dtype=np.int64)
    return bits


def duplicate_groups(
    hashes: Sequence[str] | pa.Array, max_distance: int = NEAR_BITS, max_group: int = MAX_GROUP
) -> Indices:
    """Groups of images linked by hashes that differ in at most `max_distance` bits, and in at most
    `NEAR_KEY_BITS` bits of their keys.

    Links chain, so two images of a group may differ by more. A group of more than `max_group`
    images is no set of duplicates but a kind of picture that the hash cannot tell apart (blank
    scans, an empty belt): its widest links are dropped, one bit at a time, until its parts are
    small enough; images that share one hash in such numbers stay alone.

    Args:
        hashes: (N,) 64 hex digits each; an empty one stays alone.
        max_distance: 0..64 bits.

    Returns:
        (N,) smallest index of the image's group.

    Raises:
        ShapeError: the distance is out of range.
        WorkspaceError: hashes are of another length.
    """
    if not 0 <= max_distance <= MAX_NEAR_BITS:
        raise ShapeError(f"max_distance: need 0..{MAX_NEAR_BITS} bits, got {max_distance}")
    texts = pa.array(hashes, pa.string())
    known = np.flatnonzero(np.asarray(pc.not_equal(texts, ""), bool))  # (K,)
    groups = np.arange(len(texts), dtype=np.int64)
    words = hash_words(texts.take(pa.array(known)))  # (K, 4)
    groups[known] = known[word_groups(words, max_distance, max_group)]
    return groups


def word_groups(
    words: Hashes,
    max_distance: int = NEAR_BITS,
    max_group: int = MAX_GROUP,
    told: Told = lambda done, total: None,
) -> Indices:
    """`duplicate_groups` of hashes as words, all of them known: some 70 bytes a hash in memory, and
    four for each bit of the distance where there are crowds, of which each takes up to 3 ms.

    Args:
        words: (K, 4), see `hash_words`.
        told: of progress.

    Returns:
        (K,) smallest index of the hash's group.
    """
    firsts, inverse = _unique(words)  # (U,), (K,)
    sizes = np.bincount(inverse, minlength=len(firsts)).astype(np.int32)  # (U,)
    pairs, distances = _links(words, firsts, max_distance, told)  # (L, 2), (L,)
    parts = _bounded_parts(sizes, pairs, distances, max_group)  # (U,)
    smallest = firsts.copy()
    np.minimum.at(smallest, parts, firsts)
    groups: Indices = smallest[parts][inverse].astype(np.int64)
    crowded = np.flatnonzero((sizes > max_group)[inverse])
    groups[crowded] = crowded
    return groups


def _unique(words: Hashes) -> tuple[Indices, Indices]:
    """The first index of each hash (U,), and which of these each hash is (K,)."""
    order = np.lexsort(words.T[::-1]).astype(np.int32)  # (K,); equal ones stay in order
    fresh = np.ones(len(words), bool)
    fresh[1:] = False
    for column in words.T:
        ordered = column[order]
        fresh[1:] |= ordered[1:] != ordered[:-1]
    inverse = np.empty(len(words), np.int32)
    inverse[order] = np.cumsum(fresh, dtype=np.int32) - 1
    return order[fresh], inverse


def _bounded_parts(sizes: Indices, pairs: Indices, distances: Indices, max_group: int) -> Indices:
    """(U,) the first of the hashes that each is linked with, after dropping links from parts that
    hold too many images.
    """
    parts = np.arange(len(sizes), dtype=np.int32)
    linked, ends = np.unique(pairs, return_inverse=True)  # few are
    ends = ends.reshape(-1, 2)
    found = _components(len(linked), ends)
    for distance in range(int(distances.max(initial=-1)), -1, -1):
        too_large = np.bincount(found, weights=sizes[linked]) > max_group
        drop = too_large[found[ends[:, 0]]] & (distances >= distance)
        if drop.any():
            ends, distances = ends[~drop], distances[~drop]
            found = _components(len(linked), ends)
    _, heads = np.unique(found, return_index=True)
    parts[linked] = linked[heads[found]]
    return parts


def _links(
    words: Hashes, firsts: Indices, max_distance: int, told: Told
) -> tuple[Indices, Indices]:
    """Pairs of near hashes: (L, 2) indices and (L,) bits, each pair once. Of a crowd, where nearly
    every pair is near, only those that hold it together at each distance.

    Two keys that differ in at most d bits agree in one of d + 1 bands of their bits.

    Args:
        words: (K, 4).
        firsts: (U,) indices of those that are each another.
    """
    keys = _keys_of(words.view(np.uint8))[firsts]  # (U,)
    count = min(max_distance, NEAR_KEY_BITS) + 1
    bands = [
        np.uint64(sum(1 << bit for bit in range(band, KEY_BITS, count))) for band in range(count)
    ]
    links = _Links(len(keys), max_distance)
    for band in range(count if max_distance else 0):
        for pairs in _near_in_band(keys, bands[: band + 1], count - 1, told):
            links.add(pairs, _distances(words, firsts[pairs]))
    told(count * len(keys), count * len(keys))
    return links.found()


class _Links:
    """Near pairs as they are met. When there are many, all go whose ends others link as closely:
    what hangs together at any distance stays the same, and a link for each hash is enough for it.
    """

    def __init__(self, count: int, max_distance: int) -> None:
        self._count, self._most = count, max_distance
        self._pairs: list[Indices] = [np.empty((0, 2), np.int32)]
        self._distances: list[Indices] = [np.empty(0, np.int8)]
        self._waiting = 0
        self._rows = np.zeros(0, np.int32)  # (U,) the row of each in `_parts`; 0 of others
        self._parts = np.zeros((0, 0), np.int32)  # (D, 1 + linked) by distance; 0 of others

    def add(self, pairs: Indices, distances: Indices) -> None:
        """Take pairs that were not met before: (N, 2) indices and (N,) bits."""
        near = distances <= self._most
        pairs, distances = pairs[near], distances[near]
        if len(self._rows):
            one, other = (self._parts[distances, self._rows[ends]] for ends in pairs.T)
            fresh = (one != other) | (one == 0)
            pairs, distances = pairs[fresh], distances[fresh]
        self._pairs.append(pairs.astype(np.int32))
        self._distances.append(distances.astype(np.int8))
        self._waiting += len(pairs)
        if self._waiting > _MOST_LINKS:
            self._thin_out()

    def found(self) -> tuple[Indices, Indices]:
        """(L, 2) indices and (L,) bits."""
        return np.concatenate(self._pairs), np.concatenate(self._distances)

    def _thin_out(self) -> None:
        pairs, distances = self.found()
        linked, ends = np.unique(pairs, return_inverse=True)
        ends = ends.reshape(-1, 2)
        shape = (len(linked), len(linked))
        tree = minimum_spanning_tree(coo_array((distances, (ends[:, 0], ends[:, 1])), shape=shape))
        ends = np.stack(tree.nonzero(), axis=1)
        distances = tree.data.astype(np.int8)
        self._pairs, self._distances, self._waiting = [linked[ends]], [distances], 0
        self._rows = np.zeros(self._count, np.int32)
        self._rows[linked] = np.arange(1, len(linked) + 1)
        self._parts = np.zeros((self._most + 1, len(linked) + 1), np.int32)
        for distance in range(self._most + 1):
            parts = _components(len(linked), ends[distances <= distance])
            self._parts[distance, 1:] = parts + 1


def _distances(words: Hashes, pairs: Indices) -> Indices:
    return bits_between(words[pairs[:, 0]], words[pairs[:, 1]])


def _near_in_band(
    keys: Hashes, bands: Sequence[np.uint64], max_distance: int, told: Told
) -> Iterator[Indices]:
    """Near pairs among keys that agree in the last of some bands, and in none before.

    Sorted by this band, each is compared with the next, then with the one after, while bands
    agree; some thousands at once. Of a crowd in a band those that agree in other bits are next to
    each other, and the farthest are not compared.
    """
    *before, bits = bands
    order = np.lexsort((keys, keys & bits)).astype(np.int32)  # (U,)
    ordered = keys[order]
    for start in range(0, len(keys), _COMPARED):
        told(len(before) * len(keys) + start, (max_distance + 1) * len(keys))
        first: Indices = np.arange(start, min(start + _COMPARED, len(keys)))
        for step in range(1, _MOST_COMPARED + 1):
            if not len(first := first[: np.searchsorted(first, len(keys) - step)]):
                break
            apart = ordered[first] ^ ordered[first + step]
            first, apart = (values[apart & bits == 0] for values in (first, apart))
            near = np.bitwise_count(apart) <= max_distance
            for other in before:
                near &= apart & other != 0
            hits = first[near]
            yield np.stack([order[hits], order[hits + step]], axis=1).astype(np.int64)  # (hits, 2)


def _components(count: int, pairs: Indices) -> Indices:
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    parts: Indices = connected_components(graph, directed=False)[1].astype(np.int64)
    return parts
