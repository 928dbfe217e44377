"""What an export is, how it was made and what is known of it: the facts behind its card."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import sixrayd
from sixrayd.core.index import Index
from sixrayd.core.records import NEAR_BITS
from sixrayd.core.workspace import Run, Workspace
from sixrayd.datasets.export_files import ABSENCE, BOXES, IMAGES
from sixrayd.decisions.decision import mining_of
from sixrayd.export.changelog import Parent, as_document
from sixrayd.export.forms import FORMS
from sixrayd.export.states import Evidence
from sixrayd.statistics.false_finds import FalseFinds
from sixrayd.statistics.stated import StatedBound, stated_bound

FORMAT = 1
_SIXRAY = "https://github.com/MeioJane/SIXray"
_CITED = {
    "SIXray": "Miao et al., SIXray: A Large-scale Security Inspection X-ray Benchmark for "
    "Prohibited Item Discovery in Overlapping Images, CVPR 2019",
    "SIXray-D": "Nguyen et al., Towards More Efficient Security Inspection via Deep Learning: A "
    "Task-Driven X-ray Image Cropping Scheme, Micromachines 2022, 13, 565",
}
# What was told to leave the machine where the export was made is no fact of the dataset.
_OF_THE_PLACE = ("out", "images_from")


@dataclass(frozen=True, slots=True)
class Terms:
    """What an export may be used for, and what it rests on.

    Args:
        source: where the release comes from; empty where nobody said.
        licence: a name for catalogues.
        citations: text by name.
    """

    text: str
    source: str
    licence: str
    citations: Mapping[str, str]


def terms_of(release: str) -> Terms:
    """The terms of SIXray for what is called so; of another release that it has its own."""
    named = "sixray" in release.lower()
    own = ": SIXray is for academic purposes only" * named
    text = (
        f"Images and source annotations come from the release and stay under its terms{own}. "
        "Corrections made on top of it can be used under the same terms only."
    )
    if named:
        return Terms(text, _SIXRAY, "academic-purposes-only", _CITED)
    return Terms(text, "", "terms-of-the-release", {"Method": _CITED["SIXray-D"]})


@dataclass(frozen=True, slots=True)
class Groups:
    """Near-duplicates of the release.

    Args:
        bits: of 256, in which the hashes of two may differ.
        groups: of one image or more.
        repeated: images that are not alone in their group.
        across: groups with images on both sides of the split.
    """

    bits: int
    groups: int
    repeated: int
    across: int


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """Least, middle and greatest sides of the images that were written, in pixels."""

    width: tuple[int, int, int]
    height: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a card says.

    Args:
        counts: the export's summary: `states` → images; `images` by split; `boxes`: class →
            `train_images`, `train_boxes`, `test_images`, `test_boxes`; `sizes`: class → size →
            boxes; `origins` → boxes; `sets` of images that hold nothing → split → images.
        forms: keys of `FORMS`.
        version: of the dataset.
        split: name of the given split that the lists go by; empty is the ingest's own.
        bound: what the newest estimate says; None without one.
        bound_is_older: whether answers have come since.
    """

    name: str
    release: str
    forms: tuple[str, ...]
    counts: Mapping[str, Any]
    groups: Groups
    version: str = ""
    split: str = ""
    images: ImageSizes | None = None  # None without images
    bound: StatedBound | None = None
    bound_is_older: bool = False
    false_finds: FalseFinds = field(default_factory=FalseFinds)
    parent: Parent | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)  # SHA-256 by kind and path

    @property
    def terms(self) -> Terms:
        """See `terms_of`."""
        return terms_of(self.release)

    @property
    def titles(self) -> str:
        """What people call its forms."""
        *most, last = (FORMS[form].title for form in self.forms)
        return " and ".join(filter(None, (", ".join(most), last)))


def newest_bound(workspace: Workspace) -> str:
    """The name of the estimate that a card tells of; empty without one."""
    names = workspace.names("estimate")
    there = [n for n in names if (workspace.folder("estimate", n) / "estimate.json").exists()]
    return next(iter(there[-1:]), "")


def stated_now(workspace: Workspace, name: str) -> tuple[StatedBound | None, bool]:
    """What an estimate says, and whether what it was made of has changed since.

    Raises:
        WorkspaceError: it is broken.
    """
    if not name:
        return None, False
    return stated_bound(workspace, name), bool(workspace.stale("estimate", name))


def groups_of(workspace: Workspace, index: Index) -> Groups:
    """How near-duplicates lie in an index."""
    said = workspace.run("shards").settings.get("hash_distance", NEAR_BITS)
    table = index.table.select(["group", "split"]).group_by("group")
    found = table.aggregate([([], "count_all"), ("split", "distinct")])
    sizes = np.asarray(found["count_all"])
    kinds = found["split_distinct"].combine_chunks()
    rows, sides = pc.list_parent_indices(kinds), pc.list_flatten(kinds)
    on_sides = np.bincount(np.asarray(rows)[np.asarray(sides) != ""], minlength=len(sizes))
    return Groups(
        bits=int(said) if isinstance(said, int) else NEAR_BITS,
        groups=len(sizes),
        repeated=int(sizes[sizes > 1].sum()),
        across=int((on_sides > 1).sum()),
    )


def sizes_of(index: Index, written: Mapping[str, int]) -> ImageSizes | None:
    """Sides of the images that were written, by their ids; None of none."""
    if not written:
        return None
    ids = pa.array(list(written), pa.string())
    rows = index.table.filter(pc.is_in(index.table["image_id"], ids))
    width, height = (_spread(np.asarray(rows[side])) for side in ("width", "height"))
    return ImageSizes(width, height)


def _spread(values: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    return int(values.min()), int(np.median(values)), int(values.max())


def inputs_of(workspace: Workspace, run: Run, evidence: Evidence) -> dict[str, Any]:
    """SHA-256 of what an export was made of, by kind; paths are of the workspace."""
    reviews = run.settings["review"]
    minings = {mining for name in reviews if (mining := mining_of(workspace, name))}
    minings |= {key.split("/")[1] for key in run.inputs if key.startswith("mine/")}
    candidates = [workspace.folder("mine", name) / "candidates.parquet" for name in minings]
    index = [workspace.shards / name for name in ("index.parquet", "annotations.parquet")]
    return {
        "release": {key: run.inputs[key] for key in run.inputs if key.startswith("shards/")},
        "index": workspace.inputs(*index),
        "candidates": workspace.inputs(*sorted(candidates)),
        "models": {
            f"{model} of {mining}": sha256
            for (mining, model), sha256 in sorted(evidence.weights.items())
        },
        "decisions": {key: run.inputs[key] for key in run.inputs if "/decisions/" in key},
        "estimate": {key: run.inputs[key] for key in run.inputs if key.startswith("estimate/")},
    }


def dataset_document(facts: Facts, files: Mapping[str, str]) -> dict[str, Any]:
    """What `dataset.json` says.

    Args:
        files: SHA-256 of the tables, by path.
    """
    expected = facts.false_finds.expected
    bound = facts.bound
    return {
        "format": FORMAT,
        "name": facts.name,
        "version": facts.version,
        "parent": as_document(facts.parent),
        "release": facts.release,
        "versions": {"sixrayd": sixrayd.__version__, "format": FORMAT},
        "terms": {k: v for k, v in asdict(facts.terms).items() if k != "licence"},
        "forms": list(facts.forms),
        "classes": list(facts.counts["boxes"]),
        "counts": {key: facts.counts[key] for key in facts.counts if key != "notes"},
        "split": facts.split,
        "near_duplicates": asdict(facts.groups),
        "image_sizes": asdict(facts.images) if facts.images else None,
        "missed": asdict(bound) | {"is_older": facts.bound_is_older} if bound else None,
        "false_finds": {
            **asdict(facts.false_finds),
            "expected": list(expected) if expected else None,
        },
        "settings": {k: said for k, said in facts.settings.items() if k not in _OF_THE_PLACE},
        "inputs": facts.inputs,
        "tables": {
            what: {"path": path, "sha256": files[path]}
            for what, path in (("images", IMAGES), ("boxes", BOXES), ("absence", ABSENCE))
        },
    }
