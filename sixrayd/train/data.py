"""What a training learns from and what it is measured on, of the release and of reviewers."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.arrays import RGBImage
from sixrayd.core.boxes import Box
from sixrayd.core.detections import Truths
from sixrayd.core.errors import AnnotationError, WorkspaceError
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import ImageRecord, Source, Split
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.catalogue import Recipe
from sixrayd.imaging.decode import decode_rgb
from sixrayd.train.examples import Example, hard_share
from sixrayd.train.round import load_round


class TrainingData:
    """The training side of the release: positives with boxes, a held-out tenth, backgrounds.

    Where reviewers decided on an image, their word replaces the release's. What is held out does
    not depend on decisions, and no image of its groups is learnt from: rounds are compared on the
    same images and boxes.
    """

    def __init__(self, workspace: Workspace, run: Run, recipe: Recipe) -> None:
        self.classes = workspace.classes()
        split = run.settings.get("split", "")
        self.index = Index.load(workspace, split)
        self._annotations = load_annotations(workspace)
        self._recipe, self._seed = recipe, run.settings["seed"]
        name, share = run.settings.get("round", ""), run.settings["validation"]
        self._round = load_round(workspace, name, split)
        records = self.index.select(source=Source.POSITIVE, split=Split.TRAIN)
        records = [record for record in records if record.image_id in self._annotations]
        self._held = {r.group for r in records if _draw(self._seed, r.group) < share}
        self.validation = [r for r in records if r.group in self._held]
        decided = self._round.decided
        positives = [r for r in records if r.group not in self._held and r.image_id not in decided]
        found = self._learnt(self._round.positives)
        self.positives = (
            *(self._example(r.image_id, self._release_boxes(r.image_id)) for r in positives),
            *(self._example(i, self._round.positives[i]) for i in found),
        )
        if not self.positives:
            raise WorkspaceError(
                f"{workspace.root}: no positive of the training side has boxes; "
                "look at what `sixrayd download` said of the annotations"
            )
        hard = self._learnt(self._round.hard_negatives) if recipe.background else []
        self.hard = tuple(Example(i, (), ()) for i in hard)
        self.backgrounds = self._backgrounds()
        self.added = self._count(len(found), len(hard)) if name else {}

    def _learnt(self, ids: Iterable[str]) -> list[str]:
        """Those of the round's images whose group is not held out, sorted."""
        records = [self.index.record(image_id) for image_id in sorted(ids)]
        for record in records:
            if record.split != Split.TRAIN:
                raise WorkspaceError(
                    f"{record.image_id}: is not of the training side, and in the round; "
                    "run `sixrayd review next` again"
                )
        return [r.image_id for r in records if r.group not in self._held]

    def _count(self, found: int, hard: int) -> dict[str, int]:
        given = len(self._round.positives) + len(self._round.hard_negatives)
        return {
            "positives": found,
            "hard negatives": hard,
            "left out": len(self._round.left_out),
            "not used": given - found - hard,
        }

    def _release_boxes(self, image_id: str) -> list[Box]:
        return [a.box for a in self._annotations[image_id] if not a.difficult]

    def _example(self, image_id: str, boxes: Sequence[Box]) -> Example:
        for number, box in enumerate(boxes, 1):
            if min(box.x2 - box.x1, box.y2 - box.y1) < 1:
                raise AnnotationError(
                    f"{image_id}: object {number}: {box.label} is "
                    f"{box.x2 - box.x1:g} x {box.y2 - box.y1:g} pixels, expected at least 1 x 1; "
                    "mend its annotation and run `sixrayd download` again"
                )
        labels = tuple(1 + self.classes.index(self.classes.canonical(b.label)) for b in boxes)
        return Example(image_id, tuple(box.xyxy for box in boxes), labels)

    def _backgrounds(self) -> tuple[Example, ...]:
        """As many as the training will show, and none on which people decided otherwise."""
        wanted = round(self._recipe.epochs * self._recipe.background * len(self.positives))
        an_epoch = round(self._recipe.background * len(self.positives))
        wanted -= self._recipe.epochs * hard_share(an_epoch, len(self.hard))
        if not wanted:
            return ()
        rows = self.index.rows(source=Source.NEGATIVE, split=Split.TRAIN)
        decided = pa.array(sorted(self._round.decided), pa.string())
        rows = rows.filter(pc.invert(pc.is_in(rows["image_id"], decided)))
        places = np.random.default_rng(self._seed).permutation(rows.num_rows)[:wanted]
        chosen = rows.select(["image_id", "group"]).take(np.sort(places)).to_pylist()
        return tuple(Example(r["image_id"], (), ()) for r in chosen if r["group"] not in self._held)

    def decode(self, image_id: str) -> RGBImage:
        """(H, W, 3) uint8 RGB."""
        return decode_rgb(self.index.read(image_id), image_id)

    def truth(self, record: ImageRecord) -> Truths:
        """The boxes of a held-out image."""
        return Truths.of(self._annotations[record.image_id], self.classes)

    def seen(self) -> list[str]:
        """Ids of the images that the model learns from, sorted."""
        return sorted(e.image_id for e in (*self.positives, *self.backgrounds, *self.hard))


def _draw(seed: int, group: str) -> float:
    """A number in 0..1 that depends on the seed and the group alone."""
    digest = hashlib.sha256(f"validation/{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
