"""The split that a benchmark goes by: the tree's lists, a given one, or a file's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sixrayd.benchmark.results import SplitFacts
from sixrayd.benchmark.tree import VocTree
from sixrayd.core.errors import ReleaseError
from sixrayd.core.findings import Flaw
from sixrayd.core.index import Index
from sixrayd.core.records import Split
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.split_files import SplitFile


@dataclass(frozen=True, slots=True)
class TreeSplit:
    """Which images of a tree train and which test.

    Args:
        name: empty for the tree's own lists.
        file: that it was read from, if any.
        sides: by image id; None for the tree's own lists.
        lacking: listed images that the tree does not have.
    """

    name: str = ""
    file: str = ""
    sides: Mapping[str, Split] | None = None
    lacking: int = 0

    def facts(self, index: Index) -> SplitFacts:
        """Its sizes, and what near-duplicates make of it.

        Args:
            index: of the tree.
        """
        groups: dict[str, dict[str, int]] = {}
        counts = dict.fromkeys(map(str, Split), 0)
        columns = index.table.select(["group", "split"]).to_pydict()
        for group, side in zip(*columns.values(), strict=True):
            counts[side] += 1
            sides = groups.setdefault(group, {})
            sides[side] = sides.get(side, 0) + 1
        crossing = [sides[Split.TEST] for sides in groups.values() if len(sides) > 1]
        return SplitFacts(
            self.name,
            self.file,
            counts[Split.TRAIN],
            counts[Split.TEST],
            len(crossing),
            sum(crossing),
        )


def find_tree_split(workspace: Workspace, tree: VocTree, text: str) -> TreeSplit:
    """What `--split` means: nothing, a split of the workspace, or `FILE` or `NAME=FILE`.

    Raises:
        WorkspaceError: there is no such split, or it lists no image of the tree.
        SettingsError, ReleaseError: the file is none of a split.
    """
    if not text:
        return TreeSplit()
    if "=" not in text and "/" not in text and not text.lower().endswith((".csv", ".json")):
        table = Index.load(workspace, text).table
        return TreeSplit(text, sides=tree.sides_by(table, text))
    file = SplitFile.of(text)
    file.sha256()  # says what is wrong where it cannot be read
    listed = _sides_of(file)
    table = pa.table({"image_id": list(listed), "split": [str(s) for s in listed.values()]})
    sides = tree.sides_by(table, file.name)
    return TreeSplit(file.name, str(Path(file.path)), sides, len(listed) - len(sides))


def _sides_of(file: SplitFile) -> dict[str, Split]:
    sides: dict[str, Split] = {}
    for side, images in file.sides(_refuse).items():
        for image in images:
            if sides.setdefault(image, side) != side:
                raise ReleaseError(f"{file.path}: {image} is on both sides; take it off one")
    return sides


def _refuse(where: str, what: str, flaw: Flaw | None = None, /) -> None:
    raise ReleaseError(f"{where}: {what}; mend it")
