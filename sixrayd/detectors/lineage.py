"""What a model has learnt from: its own images, and those of all weights that it started from.

`models/NAME/seen.txt` lists the images that a training showed the model, `inherited.txt` those
that the weights it started from had learnt from, however long ago.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_lines, write_bytes
from sixrayd.core.index import Index
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.pretrained import is_published

KEPT = ("weights.safetensors", "best.safetensors", "last.safetensors")  # a training's, if it has
SEEN = "seen.txt"
INHERITED = "inherited.txt"


@dataclass(frozen=True, slots=True)
class Lineage:
    """The images that weights have learnt from.

    Args:
        images: ids.
        unknown: weights among those they started from of which nobody knows what they learnt
            from: somebody else's, or a model's that has been trained anew since.
    """

    images: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()

    def __or__(self, other: "Lineage") -> "Lineage":
        return Lineage(
            self.images | other.images, tuple(dict.fromkeys((*self.unknown, *other.unknown)))
        )

    def caution(self, model: str) -> str:
        """One line for people where something is unknown, else nothing."""
        if not self.unknown:
            return ""
        return (
            f"{model} started from {', '.join(self.unknown)}: whether that learnt from these "
            "images is not known, and results on them may flatter the model"
        )


def lineage_of(workspace: Workspace, model: str) -> Lineage:
    """What a trained model has learnt from.

    Raises:
        WorkspaceError: there is no such model, or its files have changed.
    """
    return _lineage(workspace, model, ())


def split_of(workspace: Workspace, model: str) -> str:
    """The given split by which a model was trained; empty for the ingest's own.

    A model that is not of this workspace says nothing either.
    """
    if model not in workspace.names("models"):
        return ""
    return str(workspace.run("models", model).settings.get("split", ""))


def lineage_of_all(workspace: Workspace) -> Lineage:
    """What all models together have learnt from, those included whose training has not ended.

    Raises:
        WorkspaceError: the files of a model have changed.
    """
    unfinished = (_ids(path) for path in workspace.folder("models").glob(f"*/{SEEN}"))
    finished = (lineage_of(workspace, model) for model in workspace.names("models"))
    return reduce(or_, finished, Lineage(frozenset[str]().union(*unfinished)))


def lineage_of_start(workspace: Workspace, source: str) -> Lineage:
    """What the weights have learnt from that `--init` names; nothing for an empty name.

    Published ImageNet and COCO weights have seen no image of a release.

    Raises:
        WorkspaceError: the files of the model that is meant have changed.
    """
    return _start(workspace, source, ())


def trained_model(workspace: Workspace, source: str) -> tuple[Workspace, str] | None:
    """The finished model of this or another workspace that `--init` names, by name or by path."""
    if is_published(source):
        return None
    if source in workspace.names("models"):
        return workspace, source
    path = Path(source).absolute()
    if path.name in KEPT and path.parents[1].name == "models":
        home, name = Workspace(path.parents[2]), path.parent.name
        if name in home.names("models"):
            return home, name
    return None


def unlearnt(index: Index, rows: pa.Table, images: Iterable[str]) -> pa.Table:
    """The rows of the index of which no near-duplicate, nor the image itself, is among these."""
    known = pc.is_in(index.table["image_id"], pa.array(sorted(images), pa.string()))
    groups = pc.unique(index.table.filter(known)["group"])
    return rows.filter(pc.invert(pc.is_in(rows["group"], groups)))


def write_ids(path: Path, images: Iterable[str]) -> None:
    """Write `seen.txt` or `inherited.txt`: an id in each line, sorted."""
    write_bytes(path, "".join(f"{image_id}\n" for image_id in sorted(images)).encode())


def _lineage(workspace: Workspace, model: str, past: tuple[str, ...]) -> Lineage:
    run = workspace.run("models", model)
    own = Lineage(_ids(workspace.output("models", model, SEEN)))
    if INHERITED in run.outputs:
        inherited = _ids(workspace.output("models", model, INHERITED))
        return own | Lineage(inherited, tuple(run.summary["unknown_origin"]))
    source = str(run.settings.get("init") or "")
    start = f"models/{source}/weights.safetensors"
    if start in run.inputs and run.inputs[start] != _hash_now(workspace, source):
        return own | Lineage(unknown=(f"an earlier {source}",))
    # Trained before lineages were kept. Retrained from each other, such could run in a circle.
    return own if model in past else own | _start(workspace, source, (*past, model))


def _start(workspace: Workspace, source: str, past: tuple[str, ...]) -> Lineage:
    if not source or is_published(source):
        return Lineage()
    ours = trained_model(workspace, source)
    return _lineage(*ours, past) if ours else Lineage(unknown=(source,))


def _hash_now(workspace: Workspace, model: str) -> str:
    try:
        return workspace.run("models", model).outputs.get("weights.safetensors", "")
    except WorkspaceError:
        return ""


def _ids(path: Path) -> frozenset[str]:
    return frozenset(filter(None, plain_lines(path)))
