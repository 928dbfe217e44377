"""A release that a detector learns in seconds: dark squares and bars on a light ground."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from sixrayd.train.settings import TrainSettings
from tests.releases import TinyRelease, encode, voc

SIDE_PX = 96
QUICK = TrainSettings(detector="rfb-small", epochs=8, batch=8, learning_rate=4e-3, input_size=192)


@cache
def picture(seed: int, thing: str = "") -> tuple[bytes, tuple[int, int, int, int]]:
    """A noisy JPEG with a square ("Gun"), a standing bar ("Knife") or nothing, and its box as
    1-based inclusive pixels."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(200, 255, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    width, height = {"Gun": (26, 26), "Knife": (12, 40), "": (1, 1)}[thing]
    x, y = rng.integers(0, SIDE_PX - width), rng.integers(0, SIDE_PX - height)
    if thing:
        pixels[y : y + height, x : x + width] = (20, 40, 160)
    return encode(Image.fromarray(pixels), "JPEG"), (x + 1, y + 1, x + width, y + height)


def squares(positives: int = 48, negatives: int = 30, hidden: int = 6) -> TinyRelease:
    """Positives hold one object each, and so do the first `hidden` of the negatives."""
    release = TinyRelease(images={}, xml={}, rows=[])
    release.images, release.xml, release.rows = {}, {}, []
    for number in range(1, positives + 1):
        stem, thing = f"P{number:05d}", ("Gun", "Knife")[number % 2]
        release.images[stem], box = picture(number, thing)
        release.xml[stem] = voc(stem, (thing, *box), size=f"{SIDE_PX},{SIDE_PX}")
        release.rows.append(f"{stem},{1 if thing == 'Gun' else -1},{1 if thing == 'Knife' else -1}")
    for number in range(1, negatives + 1):
        thing = ("Gun", "Knife")[number % 2] if number <= hidden else ""
        release.images[f"N{number:07d}"] = picture(1000 + number, thing)[0]
        release.rows.append(f"N{number:07d},-1,-1")
    return release


def ingest(
    folder: Path, release: TinyRelease, images_per_shard: int = 10, on_error: str = "stop"
) -> Workspace:
    """Write a release and take it in."""
    workspace = Workspace(folder / "workspace")
    download(
        workspace,
        DownloadSettings(
            release=str(release.write(folder / "release")),
            classes=release.classes,
            images_per_shard=images_per_shard,
            on_error=on_error,
        ),
    )
    return workspace
