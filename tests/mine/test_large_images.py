"""Images of millions of pixels, which no step holds many of at once."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from sixrayd.core.ahead import MOST_PIXELS, chunked
from sixrayd.core.shards import ShardWriter
from sixrayd.core.store import Store
from sixrayd.mine.shard import ShardTask, read_scans


class Counting(ThreadPoolExecutor):
    """Knows how many images it was told to decode."""

    begun = 0

    def submit(self, *args, **kwargs):
        self.begun += 1
        return super().submit(*args, **kwargs)


@pytest.mark.parametrize(
    ("millions", "lengths"),
    [([1] * 7, [3, 3, 1]), ([50, 50, 1, 1, 1], [2, 3]), ([100, 1, 99, 50, 50], [1, 2, 2])],
)
def test_a_step_holds_few_pixels(millions, lengths):
    chunks = list(chunked([n * 1_000_000 for n in millions], 3, int))
    assert [len(chunk) for chunk in chunks] == lengths
    assert [n for chunk in chunks for n in chunk] == [n * 1_000_000 for n in millions]
    assert MOST_PIXELS == 100_000_000


def test_few_large_images_are_decoded_ahead(tmp_path):
    file = io.BytesIO()
    Image.new("L", (500, 400)).save(file, "PNG")
    data = file.getvalue()
    ids = [f"N{number}" for number in range(20)]
    with ShardWriter(tmp_path, "negatives") as writer:
        for image_id in ids:
            writer.add(image_id, data)
    task = ShardTask("negatives-00000.tar", dict.fromkeys(ids, hashlib.sha256(data).hexdigest()))

    with Counting(2) as pool:
        scans = read_scans(task, Store(str(tmp_path)), 0, 32, pool, 500 * 400 * 3)
        first = next(scans)
        assert pool.begun == 3
        assert [scan.image_id for scan in (first, *scans)] == ids
