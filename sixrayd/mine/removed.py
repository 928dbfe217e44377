"""How much of their images a crop took away: counts by the thousandth, so that the counts of parts
add up to the same figures in any order."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.words import counted

LITTLE = 0.03  # mean share below which a crop is hardly one
_KEY = b"removed"  # of a part's counts, in its schema's metadata
_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Removed:
    """What a crop took away.

    Args:
        cropped: images whose crop was measured.
        median, mean: shares of an image's area, 0..1, to the thousandth each; None without images.
    """

    cropped: int = 0
    median: float | None = None
    mean: float | None = None

    def lines(self) -> list[str]:
        """For people; none where nothing was measured."""
        if self.median is None or self.mean is None:
            return []
        told = [
            f"cropped away: median {self.median:.1%}, mean {self.mean:.1%} of the area of "
            f"{counted(self.cropped, 'image')}"
        ]
        if self.mean < LITTLE:
            told.append(
                f"that is under {LITTLE:.0%}: --tdc-border edge, a greater --k or another "
                "--tdc-layer crops more, --crop none saves the time"
            )
        return told


def by_thousandth(shares: Iterable[float | None]) -> Counter[int]:
    """Thousandths of the area → images; what was not cropped does not count."""
    return Counter(round(share * _STEPS) for share in shares if share is not None)


def with_counts(schema: pa.Schema, counts: Counter[int]) -> pa.Schema:
    """The schema that keeps the counts in a part; as it is where there are none."""
    if not counts:
        return schema
    rows = json.dumps({str(step): counts[step] for step in sorted(counts)})
    return schema.with_metadata({**(schema.metadata or {}), _KEY: rows.encode()})


def counts_of(part: pa.Table, where: str) -> Counter[int]:
    """What a part keeps of them; none in parts of other looks and of older versions.

    Raises:
        WorkspaceError: they are none that `with_counts` made.
    """
    text = (part.schema.metadata or {}).get(_KEY, b"{}")
    try:
        found = {int(step): int(images) for step, images in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise WorkspaceError(f"{where}: counts of the crop are broken ({error})") from error
    if any(not 0 <= step <= _STEPS or images < 0 for step, images in found.items()):
        raise WorkspaceError(f"{where}: counts of the crop are out of range; mine it again")
    return Counter(found)


def summed_up(counts: Counter[int]) -> Removed:
    """Their median and mean."""
    images = counts.total()
    if not images:
        return Removed()
    middle = (_nth(counts, (images - 1) // 2) + _nth(counts, images // 2)) / 2
    mean = sum(step * number for step, number in counts.items()) / images
    return Removed(images, round(middle / _STEPS, 6), round(mean / _STEPS, 6))


def _nth(counts: Counter[int], n: int) -> int:
    """The n-th smallest step, from 0."""
    for step in sorted(counts):
        n -= counts[step]
        if n < 0:
            return step
    raise IndexError(n)
