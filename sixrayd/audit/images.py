"""Images: those that cannot be read, of an odd form or size, and those that EXIF turns."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.audit.bulk import bounds
from sixrayd.audit.found import found, joined, numbers
from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.tables import IngestTables, marks
from sixrayd.core.errors import ShardError
from sixrayd.core.files import open_plain
from sixrayd.core.findings import Flaw
from sixrayd.core.index import Index
from sixrayd.core.progress import Report
from sixrayd.core.storage import check_known
from sixrayd.imaging.headers import Pixels, read_header

Codes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

_HEAD_BYTES = 4096  # hold nearly all headers
_BATCH = 4096
_SIZE_SPREAD = np.log(1.25)  # least interquartile range, so that one size for all is no trap
_WORDS = {
    Pixels.ALPHA: "has an alpha channel",
    Pixels.PALETTE: "has a palette",
    Pixels.CMYK: "is CMYK",
    Pixels.DEEP: "has more than 8 bits a sample",
    Pixels.BILEVEL: "is black and white",
    Pixels.OTHER: "is neither RGB nor grey",
}


def image_findings(
    tables: IngestTables, settings: AuditSettings, report: Report, rules: list[str]
) -> Iterator[pa.Table]:
    """What is odd about the images.

    Args:
        rules: told what counts as an odd size.
    """
    table = tables.index.table
    unread = table.filter(pc.not_equal(table["error"], ""))
    yield found(Flaw.UNREADABLE_IMAGE, unread["image_id"], unread["error"])
    pixels, turned = read_headers(tables.index, report)
    grey = table["image_id"].filter(pa.array(pixels == Pixels.GREY))
    yield found(Flaw.GREY, grey, "is grey")
    for code, words in _WORDS.items():
        odd = table["image_id"].filter(pa.array(pixels == code))
        yield found(Flaw.ODD_MODE, odd, f"{words}; pixels are made RGB of 8 bits")
    rotated = pa.array(turned > 1)
    text = joined(
        pa.repeat("EXIF orientation ", len(table)),
        numbers(turned),
        "; its boxes do not turn with it",
    )
    yield found(Flaw.ROTATED, table["image_id"].filter(rotated), text.filter(rotated))
    yield _odd_sizes(table, settings, rules)


def read_headers(index: Index, report: Report) -> tuple[Codes, Codes]:
    """What each image's samples are, see `Pixels`, and its EXIF orientation: (N,) each.

    Raises:
        ShardError: a shard is missing or ends too early.
    """
    table = index.table.select(["shard", "offset", "size", "error"])
    order = pc.sort_indices(table, [("shard", "ascending"), ("offset", "ascending")])
    pixels, turned = np.zeros(len(table), np.uint8), np.ones(len(table), np.uint8)
    for start in range(0, len(table), _BATCH):
        rows = order[start : start + _BATCH]
        for row, (kind, orientation) in zip(
            rows.to_pylist(), _headers(index, table.take(rows)), strict=True
        ):
            pixels[row], turned[row] = kind, orientation
        report("headers", min(start + _BATCH, len(table)), len(table))
    return pixels, turned


def _headers(index: Index, batch: pa.Table) -> Iterator[tuple[Pixels, int]]:
    """Headers of images, by shard and offset."""
    name, file = "", None
    try:
        for shard, offset, size, error in zip(*batch.to_pydict().values(), strict=True):
            if shard != name or file is None:
                if file is not None:
                    file.close()
                name = shard
                file = open_plain(index.folder / shard)
            if error:
                yield Pixels.UNKNOWN, 1
                continue
            file.seek(offset)
            head = file.read(min(size, _HEAD_BYTES))
            header = read_header(head)
            if header[0] is Pixels.UNKNOWN and size > len(head):
                header = read_header(head + file.read(size - len(head)))
            yield header
    except OSError as fault:
        check_known(fault, index.folder / name)
        raise ShardError(
            f"{index.folder / name}: {fault.strerror or fault}; run `sixrayd download` again"
        ) from fault
    finally:
        if file is not None:
            file.close()


def _odd_sizes(table: pa.Table, settings: AuditSettings, rules: list[str]) -> pa.Table:
    readable = marks(pc.equal(table["error"], ""))
    width, height = (np.asarray(table[side]) for side in ("width", "height"))
    odd = np.zeros(len(table), bool)
    if readable.sum() >= settings.least:
        for side, values in (("wide", width), ("high", height)):
            low, high = np.exp(bounds(np.log(values[readable]), settings.reach, _SIZE_SPREAD))
            odd |= readable & ((values < low) | (values > high))
            rules.append(f"images: {low:.0f} to {high:.0f} pixels {side}")
    rows = pa.array(np.flatnonzero(odd))
    text = joined(numbers(width[odd]), " x ", numbers(height[odd]))
    return found(Flaw.ODD_SIZE, table["image_id"].take(rows), text)
