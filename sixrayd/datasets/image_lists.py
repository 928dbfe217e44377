"""Lists of images: VOC's `ImageSets/Main/train.txt`, SIXray's `ImageSet/10/train.csv`."""

import re
from collections.abc import Mapping

from sixrayd.core.findings import Finding
from sixrayd.datasets.sides import GivenSides, image_of, side_of_word, split_of_list

_CELLS = re.compile(r"[,;\t]")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".xml")


class ImageLists:
    """Given splits, by the folder that their lists lie in; see `split_of_list`."""

    def __init__(self, findings: list[Finding]) -> None:
        self._findings = findings
        self._sides: dict[str, GivenSides] = {}

    @staticmethod
    def wants(where: str) -> bool:
        """Whether a path is that of a list of one side."""
        *folders, name = where.lower().split("/")
        stem, _, suffix = name.rpartition(".")
        in_sets = any(folder in ("imageset", "imagesets") for folder in folders)
        return in_sets and suffix in ("txt", "csv") and side_of_word(stem) != ""

    def take(self, where: str, data: bytes) -> None:
        """Add a list's images to their side."""
        name = where.rpartition("/")[2]
        sides = self._sides.setdefault(
            split_of_list(where), GivenSides(self._findings, by_lists=True)
        )
        side = side_of_word(name.rpartition(".")[0])
        for line in data.decode("utf-8-sig", "replace").splitlines():
            cell = _CELLS.split(line, maxsplit=1)[0].strip().strip('"')
            if not cell or (cell.lower() == "name" and name.lower().endswith(".csv")):
                continue
            if not cell.lower().endswith(_SUFFIXES):
                cell += ".jpg"  # a stem may have a dot of its own
            if image := image_of(cell, self._findings, where):
                sides.add(image, side, where)

    def sides(self) -> Mapping[str, Mapping[str, str]]:
        """Name of a split → image id → side."""
        return {name: sides.found for name, sides in self._sides.items()}
