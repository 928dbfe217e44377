"""Planted threats: known items in clean negatives, to measure who misses what.

`review/NAME/planted/` holds `images/ID.jpg`, `planted.parquet`, `detections.parquet` and the
reviewers' answers. Ids of planted images are not in the index, so nothing here can be exported.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import RGBImage, pixel_count
from sixrayd.core.boxes import Box, edge_columns, iou_matrix, stack_xyxy
from sixrayd.core.errors import ImageError, WorkspaceError
from sixrayd.core.files import write_bytes
from sixrayd.core.index import Annotation, Index, load_annotations
from sixrayd.core.printing import console
from sixrayd.core.records import CANDIDATE_SCHEMA, Kind, Source, Split, Verdict
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import (
    load_decisions,
    standing_decisions,
)
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.devices import pick_device
from sixrayd.detectors.lineage import lineage_of, lineage_of_all, split_of, unlearnt
from sixrayd.detectors.predictor import Predictor
from sixrayd.evaluation.strata import SIZES
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.palette import MOST_PX, Channels, Palette, read_palette
from sixrayd.imaging.planting import Cutting, choose_place, cut_item, project, reencode, unlike
from sixrayd.review.planting.planted import (
    PLANTED_SCHEMA,
    planted_folder,
    planted_image,
    planted_rows,
    remove_others,
)
from sixrayd.review.planting.worth import Proof, proof_of
from sixrayd.review.settings import PlantSettings

_TARGETS = 8  # clean scans among which the one whose palette fits an item best is taken
_TRIES = 20  # items and scans looked at for each one planted
_BATCH = 16


@dataclass(frozen=True, slots=True)
class PlantResult:
    """What is planted; `detected` counts the planted images that the mining's model fires on."""

    name: str
    planted: int
    shams: int
    with_proposals: int
    detected: int
    fresh: bool  # made just now
    proof: Proof  # what they can prove
    caution: str = ""  # where nobody knows whether a model has learnt from what is planted


def plant(workspace: Workspace, settings: PlantSettings) -> PlantResult:
    """Project known items into clean negatives and let the mining's model look at them.

    What is planted stays: reviewers may have seen it, so a repeated call adds nothing. An
    interrupted one begins again and makes the same bytes.

    Raises:
        WorkspaceError: there is no finished mining, too few images are flagged, no item or no
            clean negative is left, or so few threats can only widen the bound.
    """
    name = settings.name or workspace.newest("mine")
    with workspace.lock("review"):
        folder = planted_folder(workspace, name)
        fresh = not (folder / "planted.parquet").exists()
        check_can_look(workspace, name)
        if planted_rows(workspace, name) and not _kinds(workspace, name)[Kind.PLANTED]:
            raise WorkspaceError(
                f"{folder}: known positives are there, which measure better than projections; "
                "nothing was planted"
            )
        if fresh:
            planting = _Planting(workspace, name, settings)
            proof = proof_of(workspace, planting.count)
            refuse_harm(proof, settings, "mine with a lower --threshold for more room")
            rows = planting.rows()
            (folder / "detections.parquet").unlink(missing_ok=True)  # of a killed planting
            write_table(folder / "planted.parquet", rows, PLANTED_SCHEMA)
        if not (folder / "detections.parquet").exists():
            seen = detect_planted(workspace, name)
            write_table(folder / "detections.parquet", seen, CANDIDATE_SCHEMA)
        rows = planted_rows(workspace, name)
        found = read_table(folder / "detections.parquet", CANDIDATE_SCHEMA)["image_id"].to_pylist()
    threats = [row for row in rows if row["kind"] == Kind.PLANTED]
    proposed = sum(row["with_proposals"] for row in threats)
    detected = len({row["image_id"] for row in threats}.intersection(found))
    model = workspace.run("mine", name).settings["model"]
    caution = lineage_of(workspace, model).caution(model)
    shams = _kinds(workspace, name)[Kind.SHAM]
    proof = proof_of(workspace, len(threats))
    return PlantResult(name, len(threats), shams, proposed, detected, fresh, proof, caution)


def can_look(workspace: Workspace, name: str) -> bool:
    """Whether the model of a mining is one of the workspace, that can look at known items too.

    Raises:
        WorkspaceError: the mining has not finished.
    """
    run = workspace.run("mine", name)
    model = run.settings.get("model", "")
    return f"models/{model}/run.json" in run.inputs or model in workspace.names("models")


def check_can_look(workspace: Workspace, name: str) -> None:
    """Refuse a mining of another's detections before anything is planted for it.

    Raises:
        WorkspaceError: it is one, or has not finished.
    """
    if not can_look(workspace, name):
        raise WorkspaceError(
            f"{workspace.folder('mine', name)}: made of another detector's results; what that sees "
            "in planted images is not known, so none can be planted; mine with a model of the "
            "workspace, or state the share that reviewers see, as by "
            f"`{workspace.command('sixrayd estimate --sensitivity 0.9')}`"
        )


def refuse_harm(proof: Proof, settings: PlantSettings, instead: str) -> None:
    """What is planted stays, so what it can prove is told before.

    Args:
        instead: what to do, in the refusal.

    Raises:
        WorkspaceError: it can only widen the bound, and nobody insists.
    """
    if proof.harms and not settings.even_so:
        raise WorkspaceError(
            f"planting {proof.planted}: {proof}; it cannot be taken back; {instead}, or pass "
            "--even-so"
        )
    console.print(f"{proof}", soft_wrap=True)


def _kinds(workspace: Workspace, name: str) -> Counter[str]:
    return Counter(row["kind"] for row in planted_rows(workspace, name))


def detect_planted(
    workspace: Workspace, review: str, planted: Sequence[Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """What the mining's model sees in planted and sham images, as rows of `CANDIDATE_SCHEMA`.

    It looks at whole images at the mining's threshold, mirrored if the mining did, without
    cascade, crop or tiles. `rank` is where the image would have come among the candidates.

    Args:
        planted: rows of `PLANTED_SCHEMA`; all by default.

    Raises:
        WorkspaceError: the mining has not finished, or its model is gone.
        CheckpointError: the weights cannot be read.
    """
    mining = workspace.run("mine", review).settings
    checkpoint = load_checkpoint(workspace.output("models", mining["model"], "weights.safetensors"))
    keep, device = DecodeSettings(threshold=mining["threshold"]), pick_device()
    looking = Predictor(checkpoint.detector, keep, device=device, mirror=mining["mirror"])
    scores = candidates(workspace, review).group_by("image_id").aggregate([("score", "max")])
    better = np.sort(scores["score_max"].to_numpy())
    found: list[dict[str, Any]] = []
    rows = planted_rows(workspace, review) if planted is None else planted
    encoded = ((row["image_id"], planted_image(workspace, review, row)) for row in rows)
    decoded = ((image_id, decode_rgb(data, image_id)) for image_id, data in encoded)
    for batch in chunked(decoded, _BATCH, lambda one: pixel_count(one[1])):
        found_in = looking.detect([image for _, image in batch])
        for (image_id, _), seen in zip(batch, found_in, strict=True):
            best = float(seen.scores.max(initial=0))
            rank = 1 + len(better) - int(np.searchsorted(better, best, "right"))
            boxes = zip(seen.xyxy.tolist(), seen.scores.tolist(), seen.labels.tolist(), strict=True)
            for number, (xyxy, score, label) in enumerate(boxes):
                box = {
                    "box_id": f"{image_id}/{review}/{number}",
                    "image_id": image_id,
                    "label": checkpoint.classes.names[label],
                    **edge_columns(round(at, 2) for at in xyxy),
                }
                seen_as = {"model": review, "score": score, "image_score": best, "rank": rank}
                found.append(box | seen_as)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    image_id: str
    data: bytes
    scan: RGBImage
    palette: Palette | Channels


class _Planting:
    """One planting: which items, which scans, which ids."""

    def __init__(self, workspace: Workspace, name: str, settings: PlantSettings) -> None:
        self.workspace, self.name, self.settings = workspace, name, settings
        model = workspace.run("mine", name).settings.get("model", "")
        self.index = Index.load(workspace, split_of(workspace, model))
        self.annotations = load_annotations(workspace)
        self.learnt = lineage_of_all(workspace)
        self.rng = np.random.default_rng(settings.seed)
        self.reviews = sorted(p.name for p in workspace.folder("review").glob("*") if p.is_dir())
        flagged = pc.count_distinct(candidates(workspace, name)["image_id"]).as_py()
        self.count = int(settings.share * flagged)
        if not self.count:
            raise WorkspaceError(
                f"{workspace.folder('mine', name)}: {flagged} images are flagged, and a share of "
                f"{settings.share:g} of them is not one; planting needs {1 / settings.share:.0f}"
            )
        self.items, self.targets = self._items(), self._targets()
        self.waiting: list[_Target] = []

    def rows(self) -> list[dict[str, Any]]:
        """Make all images; rows of `PLANTED_SCHEMA`, by image id."""
        ids = self._new_ids(self.count + round(self.settings.shams * self.count))
        rows = []
        for number, image_id in enumerate(ids[: self.count]):
            rows.append(self._planted(image_id) | {"with_proposals": number % 2 == 0})
        for image_id in ids[self.count :]:
            self._fill()
            target = self.waiting.pop(0)
            rows.append(self._written(image_id, target, target.scan, Kind.SHAM))
        remove_others(self.workspace, self.name, rows)
        return sorted(rows, key=lambda row: str(row["image_id"]))

    def _planted(self, image_id: str) -> dict[str, Any]:
        for annotation, item in self.items:
            self._fill()
            strange = {t.image_id: unlike(t.scan, t.palette, item) for t in self.waiting}
            fitting = [t for t in self.waiting if strange[t.image_id] < np.inf]
            for target in sorted(fitting, key=lambda t: strange[t.image_id]):
                at = choose_place(target.scan, item, self.rng)
                if at is not None:
                    self.waiting.remove(target)
                    scan = project(target.scan, item, at, target.palette)
                    box = Box(annotation.box.label, *item.box_xyxy(at))
                    row = self._written(image_id, target, scan, Kind.PLANTED, box)
                    return row | {"item": annotation.box_id}
            self.waiting.pop(0)  # else scans that fit nothing would stay for ever
        raise AssertionError("items do not end without an error")

    def _fill(self) -> None:
        """Have a few scans to choose from.

        Raises:
            WorkspaceError: none is left.
        """
        self.waiting += islice(self.targets, _TARGETS - len(self.waiting))
        if not self.waiting:
            raise WorkspaceError(
                f"{self.workspace.root}: too few clean negatives for {self.count} planted threats "
                f"and their shams, of at most {MOST_PX:,} pixels; lower --share"
            )

    def _written(
        self, image_id: str, target: _Target, scan: RGBImage, kind: Kind, box: Box | None = None
    ) -> dict[str, Any]:
        data = reencode(scan, target.data, target.image_id)
        path = planted_folder(self.workspace, self.name) / "images" / f"{image_id}.jpg"
        write_bytes(path, data)
        height, width = scan.shape[:2]
        xyxy = box.xyxy if box else (0.0, 0.0, 0.0, 0.0)
        return {
            "image_id": image_id,
            "kind": str(kind),
            "target": target.image_id,
            "item": "",
            "label": box.label if box else "",
            **edge_columns(xyxy),
            "size": size_of(xyxy, (width, height)) if box else "",
            "scale": 1.0,
            "with_proposals": False,
            "width": width,
            "height": height,
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    def _items(self) -> Iterator[tuple[Annotation, Cutting]]:
        """Items of test positives that no model has learnt from, in random order, over again."""
        rows = self.index.rows(source=Source.POSITIVE, split=Split.TEST)
        ids = unlearnt(self.index, rows, self.learnt.images)["image_id"].to_pylist()
        boxes = [a for i in ids for a in choose_alone(self.annotations.get(i, ()))]
        for tries in range(_TRIES * self.count):
            if not boxes:
                break
            if tries % len(boxes) == 0:
                order = self.rng.permutation(len(boxes))
            annotation = boxes[order[tries % len(boxes)]]
            data = self.index.read(annotation.image_id)
            try:
                yield annotation, cut_item(decode_rgb(data, annotation.image_id), annotation.box)
            except ImageError:
                continue  # not every thing can be told from what lies around it
        raise WorkspaceError(
            f"{self.workspace.root}: {len(boxes)} boxes of test images that no model has learnt "
            f"from, too few that can be cut out for {self.count} planted threats; "
            "lower --share, or see docs/planting.md"
        )

    def _targets(self) -> Iterator[_Target]:
        """Negatives in random order: unflagged, then cleared by people, then flagged faintly."""
        positives = self.index.rows(source=Source.POSITIVE, readable=None)["image_id"].to_pylist()
        known = self.learnt.images.union(positives)
        negatives = unlearnt(self.index, self.index.rows(source=Source.NEGATIVE), known)
        flagged, decided, cleared, used = self._histories()
        taken = decided | used | self.annotations.keys()
        unflagged = set(negatives["image_id"].to_pylist()) - taken - flagged
        for wanted in (unflagged, cleared - used, self._faint() - taken):
            among = pc.is_in(negatives["image_id"], pa.array(sorted(wanted), pa.string()))
            chosen = negatives.filter(among)["image_id"]
            for place in self.rng.permutation(len(chosen)):
                image_id = chosen[int(place)].as_py()
                data = self.index.read(image_id)
                if data.startswith(b"\xff\xd8"):  # else there are no tables to take over
                    scan = decode_rgb(data, image_id)
                    try:
                        palette = read_palette(scan)
                    except ImageError:
                        continue  # it is too large
                    yield _Target(image_id, data, scan, palette)

    def _faint(self) -> set[str]:
        """Images that this mining flagged with a score in its lower half."""
        rows = candidates(self.workspace, self.name)
        best = rows.group_by("image_id").aggregate([("image_score", "max")])
        low = pc.less(best["image_score_max"], pc.quantile(best["image_score_max"], 0.5)[0])
        return set(best.filter(low)["image_id"].to_pylist())

    def _histories(self) -> tuple[set[str], set[str], set[str], set[str]]:
        """Images that a model flagged, that people decided on, cleared, and that were planted."""
        flagged: set[str] = set()
        for name in self.workspace.names("mine"):
            flagged.update(candidates(self.workspace, name)["image_id"].to_pylist())
        decided = standing_decisions(
            d for name in self.reviews for d in load_decisions(self.workspace, name)
        )
        cleared = {
            i for i, said in decided.items() if {d.verdict for d in said} == {Verdict.NOTHING}
        }
        rows = [row for name in self.reviews for row in planted_rows(self.workspace, name)]
        return flagged, set(decided), cleared, {row["target"] for row in rows}

    def _new_ids(self, count: int) -> list[str]:
        rows = [row for name in self.reviews for row in planted_rows(self.workspace, name)]
        return new_ids(self.index, {row["image_id"] for row in rows}, count, self.rng)


def new_ids(
    index: Index, taken: Collection[str], count: int, rng: np.random.Generator
) -> list[str]:
    """Ids like those of the release's negatives, which no image of any kind has."""
    known = index.rows(source=Source.NEGATIVE, readable=None)["image_id"].to_pylist()
    parts = re.fullmatch(r"(.*?)(\d{1,18})", known[-1])  # as many as 64 bits hold
    head, digits = (parts[1], len(parts[2])) if parts else (known[-1], 7)
    highest = int(parts[2]) if parts else 0
    limit = highest + max(highest // 10, 10 * count) + 1
    ids: list[str] = []
    while len(ids) < count:
        image_id = f"{head}{int(rng.integers(1, limit)):0{digits}d}"
        if image_id not in index and image_id not in taken and image_id not in ids:
            ids.append(image_id)
    return ids


def size_of(xyxy: Sequence[float], size_wh: tuple[int, int]) -> str:
    """Name of the stratum of `evaluation.strata.SIZES` that a box is in."""
    return "".join(s.name for s in SIZES if s.holds(np.array([xyxy]), size_wh)[0])


def candidates(workspace: Workspace, name: str) -> pa.Table:
    """Those of a finished mining."""
    workspace.run("mine", name)
    return read_table(workspace.folder("mine", name) / "candidates.parquet", CANDIDATE_SCHEMA)


def choose_alone(annotations: Iterable[Annotation]) -> list[Annotation]:
    """Those whole and clear to see, whose box touches no other's."""
    all_of = list(annotations)
    boxes = stack_xyxy(a.box for a in all_of)
    touched = (iou_matrix(boxes, boxes) > 0).sum(axis=1) > 1
    pairs = zip(all_of, touched, strict=True)
    return [a for a, other in pairs if not (other or a.difficult or a.truncated)]
