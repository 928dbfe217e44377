"""Perceptual hashes of images, and the groups of near-duplicates that they form."""

from collections.abc import Iterator, Sequence

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sixrayd.core.arrays import RGBImage
from sixrayd.core.errors import ShapeError
from sixrayd.imaging.decode import decode_rgb

BITS = 64
_SIDE_PX = 128  # a quarter of the time of a full decode; hashes differ in 2 bits at most
MAX_GROUP = 500
Hashes = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
Indices = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def image_hash(data: bytes, source: str) -> str:
    """The hash by which images are compared: of an encoded image, decoded at reduced scale.

    Args:
        source: names the image in messages.

    Raises:
        ImageError: it cannot be decoded.
    """
    return perceptual_hash(decode_rgb(data, source, min_side_px=_SIDE_PX))


def perceptual_hash(image: RGBImage) -> str:
    """16 hex digits that stay the same, or nearly, under scaling and recompression.

    Args:
        image: (H, W, 3) uint8; 128 pixels a side are enough.
    """
    return str(imagehash.phash(Image.fromarray(image)))


def duplicate_groups(
    hashes: Sequence[str], max_distance: int = 0, max_group: int = MAX_GROUP
) -> Indices:
    """Groups of images linked by hashes that differ in at most `max_distance` bits.

    Links chain, so two images of a group may differ by more. A group of more than `max_group`
    images is no set of duplicates but a kind of picture that the hash cannot tell apart (blank
    scans, an empty belt): its widest links are dropped, one bit at a time, until its parts are
    small enough; images that share one hash in such numbers stay alone.

    Args:
        hashes: (N,) 16 hex digits each; an empty one stays alone.
        max_distance: 0..16 bits.

    Returns:
        (N,) smallest index of the image's group.

    Raises:
        ShapeError: the distance is out of range.
    """
    if not 0 <= max_distance <= 16:
        raise ShapeError(f"max_distance: need 0..16 bits, got {max_distance}")
    count = len(hashes)
    known = np.flatnonzero(np.fromiter((bool(h) for h in hashes), bool, count))  # (K,)
    values = np.fromiter((int(hashes[i], 16) for i in known), np.uint64, len(known))
    unique, inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
    parts = _bounded_components(unique, sizes, max_distance, max_group)  # (U,)
    groups = np.arange(count, dtype=np.int64)
    groups[known] = _smallest_member(parts[inverse], known)
    crowded = sizes[inverse] > max_group  # (K,)
    groups[known[crowded]] = known[crowded]
    return groups


def _bounded_components(
    unique: Hashes, sizes: Indices, max_distance: int, max_group: int
) -> Indices:
    """Component of each hash, after dropping links from components that hold too many images."""
    pairs, distances = _links(unique, max_distance)  # (L, 2), (L,)
    for distance in range(max_distance, -1, -1):
        parts = _components(len(unique), pairs)
        too_large = np.bincount(parts, weights=sizes) > max_group
        drop = too_large[parts[pairs[:, 0]]] & (distances >= distance)
        pairs, distances = pairs[~drop], distances[~drop]
    return _components(len(unique), pairs)


def _links(unique: Hashes, max_distance: int) -> tuple[Indices, Indices]:
    """Pairs of hashes within the distance: (L, 2) indices and (L,) bits, each pair once.

    Two hashes that differ in at most d bits agree in one of d + 1 bands of their bits.
    """
    found: list[Indices] = [np.empty((0, 2), np.int64)]
    for band in range(max_distance + 1 if max_distance else 0):
        bits = np.uint64(sum(1 << bit for bit in range(band, BITS, max_distance + 1)))
        found.extend(_near_in_band(unique, unique & bits, max_distance))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)  # (L, 2)
    distances = np.bitwise_count(unique[pairs[:, 0]] ^ unique[pairs[:, 1]]).astype(np.int64)
    return pairs, distances


def _near_in_band(unique: Hashes, keys: Hashes, max_distance: int) -> Iterator[Indices]:
    """Near pairs among hashes of equal key: sorted by key, each is compared with the next, then
    with the one after, while keys agree."""
    order = np.argsort(keys, kind="stable")  # (U,)
    keys, ordered = keys[order], unique[order]
    first: Indices = np.arange(len(keys) - 1)
    step = 1
    while len(first := first[: np.searchsorted(first, len(keys) - step)]):
        first = first[keys[first] == keys[first + step]]
        near = np.bitwise_count(ordered[first] ^ ordered[first + step]) <= max_distance
        hits = first[near]
        yield np.stack([order[hits], order[hits + step]], axis=1)  # (hits, 2)
        step += 1


def _components(count: int, pairs: Indices) -> Indices:
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    parts: Indices = connected_components(graph, directed=False)[1].astype(np.int64)
    return parts


def _smallest_member(parts: Indices, members: Indices) -> Indices:
    """For each entry, the smallest member of its part; `members` ascends."""
    _, first, inverse = np.unique(parts, return_index=True, return_inverse=True)
    return members[first[inverse]] if len(members) else members
