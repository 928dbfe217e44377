"""How far apart the hashes of one picture and of two lie: what `NEAR_BITS` rests on.

`python -m benchmarks.near_duplicates WORKSPACE` copies images of a finished ingest in ways in which
releases repeat a scan, and counts the bits in which a copy's hash differs; then it counts pairs of
images by those bits.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from sixrayd.core.index import Index
from sixrayd.core.records import NEAR_BITS
from sixrayd.core.workspace import Workspace
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import (
    NEAR_KEY_BITS,
    Indices,
    bits_between,
    hash_keys,
    hash_words,
    image_hash,
)

COPIED = 400  # images
EDGES = (0, 4, 8, 12, 16, 20, NEAR_BITS, 28, 32, 40, 48, 56)


def encoded(image: Image.Image, quality: int = 95) -> bytes:
    """As a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def scaled(image: Image.Image, by: float) -> Image.Image:
    """Longer or shorter sides."""
    return image.resize((round(image.width * by), round(image.height * by)))


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without a share of the width and height, at the left and above."""
    return image.crop((round(image.width * share), round(image.height * share), *image.size))


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG of quality 90": lambda image: encoded(image, 90),
    "JPEG of quality 50": lambda image: encoded(image, 50),
    "half as long and wide": lambda image: encoded(scaled(image, 0.5)),
    "grey": lambda image: encoded(image.convert("L").convert("RGB")),
    "10 % brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.1)),
    "1 % cut off two edges": lambda image: encoded(cropped(image, 0.01)),
    "3 % cut off two edges": lambda image: encoded(cropped(image, 0.03)),
    "mirrored": lambda image: encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}


def apart(one: list[str], other: list[str]) -> tuple[Indices, Indices]:
    """(N,) bits in which keys, and whole hashes, differ."""
    keys = np.bitwise_count(hash_keys(one) ^ hash_keys(other)).astype(np.int64)
    return keys, bits_between(hash_words(one), hash_words(other))


def copies(index: Index, ids: list[str]) -> None:
    """Print a row for each way of copying."""
    print(f"| copy, of {len(ids)} images | bits: median | 95 % | most | told, % |")
    own = [image_hash(index.read(image_id), image_id) for image_id in ids]
    images = [Image.fromarray(decode_rgb(index.read(image_id), image_id)) for image_id in ids]
    for name, copy in COPIES.items():
        keys, bits = apart(own, [image_hash(copy(image), name) for image in images])
        told = 100 * np.mean((keys <= NEAR_KEY_BITS) & (bits <= NEAR_BITS))
        middle, most, all_ = np.percentile(bits, [50, 95, 100])
        print(f"| {name} | {middle:.0f} | {most:.0f} | {all_:.0f} | {told:.1f} |", flush=True)


def pairs(hashes: list[str]) -> None:
    """Print how many pairs of images have near keys, by the bits in which their hashes differ."""
    keys, words = hash_keys(hashes), hash_words(hashes)
    found = np.zeros(257, np.int64)
    for row in range(len(hashes) - 1):
        near = np.flatnonzero(np.bitwise_count(keys[row] ^ keys[row + 1 :]) <= NEAR_KEY_BITS)
        bits = bits_between(words[row + 1 + near], words[row])
        found += np.bincount(bits, minlength=len(found))
    print(f"| bits | {' | '.join(f'to {edge}' for edge in EDGES)} | more |")
    counts = np.split(found, [edge + 1 for edge in EDGES])
    print(f"| pairs of {len(hashes)} | {' | '.join(str(part.sum()) for part in counts)} |")


def main() -> None:
    index = Index.load(Workspace(Path(sys.argv[1])))
    table = index.rows()  # those that can be read
    ids = table["image_id"].to_pylist()
    rng = np.random.default_rng(0)
    copies(index, sorted(rng.choice(ids, min(COPIED, len(ids)), replace=False).tolist()))
    pairs(table["phash"].to_pylist())


if __name__ == "__main__":
    main()
