"""What reviewers' decisions add to a training: `review/NAME/training.parquet`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.boxes import Box
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.records import LEAK_FREE, TRAINING_SCHEMA, Role
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Round:
    """Images of the training side by what people decided; none is in two of the roles."""

    positives: Mapping[str, tuple[Box, ...]]
    hard_negatives: frozenset[str]
    left_out: frozenset[str]

    @property
    def decided(self) -> frozenset[str]:
        """All of them: the release's own word on these no longer counts."""
        return self.hard_negatives | self.left_out | self.positives.keys()


NO_ROUND = Round({}, frozenset(), frozenset())


def round_file(workspace: Workspace, name: str) -> Path:
    """Where `sixrayd review next` has put the set.

    Raises:
        WorkspaceError: it has not.
    """
    path = workspace.folder("review", name) / "training.parquet"
    if not path.exists():
        advice = f"run `sixrayd review next --name {name}` first"
        there = [folder.name for folder in workspace.folders("review")]
        if there and name not in there:  # mistyped: nothing writes it
            advice = f"there is no such review; name one that is there: {', '.join(there[-5:])}"
        raise WorkspaceError(f"{path}: missing; {advice}")
    return path


def load_round(workspace: Workspace, name: str, split: str = "") -> Round:
    """The set of a review; nothing where the name is empty.

    Args:
        split: that the training goes by.

    Raises:
        WorkspaceError: missing, broken, or sorted by another split.
    """
    if not name:
        return NO_ROUND
    _check_split(round_file(workspace, name).with_suffix(".json"), name, split)
    ids: dict[Role, set[str]] = {role: set() for role in Role}
    positives = {}
    for row in read_table(round_file(workspace, name), TRAINING_SCHEMA).to_pylist():
        ids[Role(row["role"])].add(row["image_id"])
        if row["role"] == Role.POSITIVE:
            positives[row["image_id"]] = tuple(map(Box.from_row, row["boxes"]))
    return Round(positives, frozenset(ids[Role.HARD_NEGATIVE]), frozenset(ids[Role.LEFT_OUT]))


def _check_split(path: Path, name: str, split: str) -> None:
    """Insist that a set was sorted by this split: it lacks what people said of other images."""
    try:
        sorted_by = parse_json(plain_text(path))["settings"].get("split", "")
    except FileNotFoundError:
        sorted_by = ""
    except NONSENSE as error:
        raise WorkspaceError(
            f"{path}: not what `sixrayd review next` wrote; run it again with --name {name}"
        ) from error
    if sorted_by != split:
        raise WorkspaceError(
            f"{path}: sorted by split {sorted_by or LEAK_FREE}, this training goes by "
            f"{split or LEAK_FREE}; run `sixrayd review next --name {name} --split "
            f"{split or LEAK_FREE}` first"
        )
