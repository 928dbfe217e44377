"""How far apart the hashes of one picture and of two lie: what the distance of groups rests on.

`python -m benchmarks.near_duplicates WORKSPACE` copies images of a finished ingest in ways in which
releases repeat a scan, and counts the bits in which a copy's hash differs; then it counts pairs of
other images by those bits, and looks whether they show the same.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from sixrayd.audit.alike import SAME, Likeness
from sixrayd.core.index import Index
from sixrayd.core.workspace import Workspace
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import image_hash

COPIED = 400  # images
COMPARED = 400  # pairs of a distance
BITS = range(0, 13, 2)


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
    "10 % brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.1)),
    "grey": lambda image: encoded(image.convert("L").convert("RGB")),
    "1 % cut off two edges": lambda image: encoded(cropped(image, 0.01)),
    "3 % cut off two edges": lambda image: encoded(cropped(image, 0.03)),
    "mirrored": lambda image: encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}


def shares(bits: np.ndarray) -> str:
    """Percent at most so many bits apart."""
    return " | ".join(f"{100 * np.mean(bits <= limit):.1f}" for limit in BITS)


def copies(index: Index, ids: list[str]) -> None:
    """Print a row for each way of copying."""
    apart: dict[str, list[int]] = {name: [] for name in COPIES}
    for image_id in ids:
        data = index.read(image_id)
        own = int(image_hash(data, image_id), 16)
        image = Image.fromarray(decode_rgb(data, image_id))
        for name, copy in COPIES.items():
            apart[name].append((int(image_hash(copy(image), image_id), 16) ^ own).bit_count())
    print(f"| copy, % of {len(ids)} at most so many bits apart | {' | '.join(map(str, BITS))} |")
    for name, bits in apart.items():
        print(f"| {name} | {shares(np.array(bits))} |")


def pairs(index: Index, rng: np.random.Generator) -> None:
    """Print a row for each distance: pairs of images, and how many of them show the same."""
    table = index.rows()  # those that can be read
    ids = np.array(table["image_id"].to_pylist())
    values = np.array([int(text, 16) for text in table["phash"].to_pylist()], np.uint64)
    found: dict[int, list[np.ndarray]] = {bits: [] for bits in BITS}
    for row in range(len(values) - 1):
        bits = np.bitwise_count(values[row] ^ values[row + 1 :])
        near = np.flatnonzero(bits <= BITS[-1])
        for limit in BITS:
            others = near[bits[near] == limit] + row + 1
            found[limit].append(np.stack([np.full(len(others), row), others], 1))
    likeness = Likeness(index)
    print("| bits apart | pairs | of them the same picture, % | median correlation |")
    for limit, parts in found.items():
        all_pairs = np.concatenate(parts)
        chosen = rng.permutation(len(all_pairs))[:COMPARED]
        like = [likeness.correlation(str(ids[a]), str(ids[b])) for a, b in all_pairs[chosen]]
        same = 100 * np.mean(np.array(like) >= SAME) if like else np.nan
        print(f"| {limit} | {len(all_pairs)} | {same:.1f} | {np.median(like):.3f} |", flush=True)


def main() -> None:
    index = Index.load(Workspace(Path(sys.argv[1])))
    rng = np.random.default_rng(0)
    ids = index.rows()["image_id"].to_pylist()
    copies(index, sorted(rng.choice(ids, min(COPIED, len(ids)), replace=False).tolist()))
    pairs(index, rng)


if __name__ == "__main__":
    main()
