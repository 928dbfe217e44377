"""Images to look at: what was found, what fools the detector, where people differ."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sixrayd.core.boxes import Box, edges_of
from sixrayd.core.records import Rule, State
from sixrayd.core.voc import VocAnnotation
from sixrayd.decisions.consensus import conflicts
from sixrayd.export.states import Evidence, States
from sixrayd.imaging.thumbnails import Outline, thumbnail
from sixrayd.report.parts import Gallery, GalleryCard

_CONFIRMED, _DETECTED = "#1e8449", "#b9770e"
_MOST_BOXES = 5  # of a detector in one picture


class Galleries:
    """Draws them.

    Args:
        candidates: rows of `CANDIDATE_SCHEMA`, of the newest mining.
        annotations: of positives, found ones among them.
        most: pictures in each.
    """

    def __init__(
        self,
        evidence: Evidence,
        states: States,
        candidates: Sequence[Mapping[str, Any]],
        annotations: Mapping[str, VocAnnotation],
        most: int,
    ) -> None:
        self.evidence, self.states, self.annotations = evidence, states, annotations
        self.most = most
        self.detected: dict[str, list[Mapping[str, Any]]] = {}
        for row in candidates:
            self.detected.setdefault(str(row["image_id"]), []).append(row)

    def all(self) -> Iterator[Gallery]:
        """Those with images, in order."""
        found = self.states.ids(State.FOUND_POSITIVE)
        yield from self._gallery(
            "found",
            "Contraband that was found",
            "Labelled negative by the release; boxes as people settled them, in green.",
            sorted(found, key=self._score),
        )
        yield from self._gallery(
            "confusing",
            "What fools the detector",
            "People see nothing there; the detector's boxes in brown, the surest first.",
            sorted(self.states.ids(State.CONFUSING_NEGATIVE), key=self._score, reverse=True),
        )
        differ = {c.image_id: c for c in conflicts(self.evidence.decisions, Rule.ADJUDICATOR)}
        yield from self._gallery(
            "differ",
            "Where people differ or are unsure",
            "For an adjudicator to settle; all boxes that somebody drew.",
            [i for i in differ if i in self.evidence.index],
            {image_id: (each.reason, each.boxes) for image_id, each in differ.items()},
        )
        unseen = self.states.ids(State.FLAGGED_UNREVIEWED)
        yield from self._gallery(
            "unseen",
            "Flagged, and nobody has looked",
            "The detector's surest ones.",
            sorted(unseen, key=self._score, reverse=True),
        )

    def _gallery(
        self,
        anchor: str,
        title: str,
        text: str,
        images: Sequence[str],
        said: Mapping[str, tuple[str, Sequence[Box]]] | None = None,
    ) -> Iterator[Gallery]:
        if images:
            cards = tuple(
                self._card(i, *(said or {}).get(i, ("", ()))) for i in images[: self.most]
            )
            yield Gallery(anchor, title, text, len(images), cards)

    def _score(self, image_id: str) -> float:
        return max((float(row["score"]) for row in self.detected.get(image_id, ())), default=0.0)

    def _card(self, image_id: str, reason: str, boxes: Iterable[Box]) -> GalleryCard:
        record = self.evidence.index.record(image_id)
        drawn = [item.box for item in getattr(self.annotations.get(image_id), "objects", ())]
        drawn += boxes
        outlines = [Outline(box.xyxy, _CONFIRMED, 2) for box in drawn]
        labels = sorted({box.label for box in drawn})
        if not drawn:
            rows = sorted(self.detected.get(image_id, ()), key=lambda row: -row["score"])
            outlines = [Outline(edges_of(row), _DETECTED) for row in rows[:_MOST_BOXES]]
            labels = sorted({str(row["label"]) for row in rows[:_MOST_BOXES]})
        score = self._score(image_id)
        words = [reason, ", ".join(labels), f"score {score:.2f}" if score else ""]
        size_wh = (record.width, record.height)
        picture = thumbnail(self.evidence.index.read(image_id), image_id, size_wh, outlines)
        return GalleryCard(image_id, "; ".join(filter(None, words)), picture)
