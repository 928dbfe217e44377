"""What the newest estimate of a workspace says, as `estimate.json` keeps it."""

from dataclasses import dataclass

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StatedBound:
    """A bound on what is missed; units are near-duplicate groups.

    Args:
        likely: probably missed; None while it is not known.
        upper, images: missed at most, in groups and in images.
        recall: share of contraband groups that is found at least.
    """

    name: str
    found: int
    likely: float | None
    upper: int
    images: int
    recall: float
    confidence: float
    rests_on: tuple[str, ...]


def stated_bound(workspace: Workspace, name: str) -> StatedBound:
    """What an estimate says.

    Raises:
        WorkspaceError: the file is broken.
    """
    path = workspace.folder("estimate", name) / "estimate.json"
    try:
        said = parse_json(plain_text(path))
        return StatedBound(
            name=name,
            found=int(said["found"]),
            likely=None if said["estimate"] is None else float(said["estimate"]),
            upper=int(said["upper"]),
            images=int(said["images"]),
            recall=float(said["recall"]),
            confidence=float(said["settings"]["confidence"]),
            rests_on=tuple(map(str, said["rests_on"])),
        )
    except (OSError, *NONSENSE) as error:
        raise WorkspaceError(f"{path}: broken; run `sixrayd estimate` again") from error
