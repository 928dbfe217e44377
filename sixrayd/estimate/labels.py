"""`sixrayd estimate --labels`: how many labelled images have a faulty label.

Images are drawn from all labelled ones, shown in a project of their own, and what a reader submits
is compared with the release's boxes. `estimate/labels/` keeps the draw and each answer; no answer
is a decision, so no label changes by it.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from sixrayd.core.boxes import Box
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import SixraydError, WorkspaceError
from sixrayd.core.files import plain_text, write_json
from sixrayd.core.index import load_annotations
from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.openly import (
    LabelDraw,
    digest_of,
    label_draw,
    label_draw_file,
    labelled_images,
)
from sixrayd.estimate.settings import LabelSettings
from sixrayd.review.aside import Aside, AsideAnswer, AsideTask
from sixrayd.review.guidance import guidance
from sixrayd.review.keys import new_key
from sixrayd.review.server import connect
from sixrayd.statistics.label_faults import (
    LabelFaults,
    Share,
    anchored,
    box_share,
    compare_labels,
    image_share,
)

MORE = 1000  # images: what so many more would bring is said


@dataclass(frozen=True, slots=True)
class LabelResult:
    """What the answers say so far; shares at 95 %.

    Args:
        images: labelled, of which `drawn` were drawn; of the first `answered` of these all but
            `unsure` are decided.
        blind: images among the answered that were shown without boxes.
        kinds: share of images with a fault, by what it is.
        lacking: images that lack a box and images, first of those shown with boxes, then blind.
        anchored_p: that shown boxes hide nothing.
        boxes: share of the release's boxes that are wrong or loose; None without an answer.
        with_more: the share of images with any fault after 1,000 more at the same rate.
    """

    address: str
    images: int
    drawn: int
    answered: int
    unsure: int
    blind: int
    kinds: dict[str, Share]
    lacking: tuple[tuple[int, int], tuple[int, int]]
    anchored_p: float
    boxes: Share | None
    with_more: Share | None


def estimate_labels(workspace: Workspace, settings: LabelSettings) -> LabelResult:
    """Draw, show, and say what the answers so far amount to.

    Raises:
        ServiceError: the server is down or refuses.
        WorkspaceError: nothing is labelled, or the release has changed since the draw.
    """
    with (
        workspace.lock("review"),
        connect(workspace, settings.url, settings.token_file) as server,
    ):
        ids = labelled_images(workspace)
        drawing, annotations = _drawing(workspace, settings, ids), load_annotations(workspace)
        labels = {i: tuple(a.box for a in annotations.get(i, ())) for i in ids}
        blind = drawing.images(ids)
        tasks = [AsideTask(i, () if hidden else labels[i]) for i, hidden in blind.items()]
        aside = Aside(workspace, server, drawing.key, tasks)
        number = aside.open(
            "sixrayd labels", guidance(workspace, workspace.folder("estimate", "labels"))
        )
        answers = _keep_answers(workspace, aside.answers(number))
        return _result(server.project_address(number), labels, blind, answers)


def _drawing(workspace: Workspace, settings: LabelSettings, ids: Sequence[str]) -> LabelDraw:
    """The draw that was begun, made larger where more is wanted, or a new one."""
    path, population = label_draw_file(workspace), digest_of(ids)
    wanted = min(settings.number, len(ids))
    draw = label_draw(workspace)
    if draw is None:
        if not ids:
            raise WorkspaceError(f"{workspace.root}: the release has no labelled image")
        about = (new_key(), secrets.randbits(63), settings.blind, wanted, population)
        draw = LabelDraw(*about, begun=datetime.now(UTC).isoformat())
    if draw.population != population:
        raise WorkspaceError(
            f"{path}: drawn from other labelled images than the release has now; remove "
            f"{path.parent} to draw anew"
        )
    draw = replace(draw, number=max(draw.number, wanted))
    write_json(path, asdict(draw))
    return draw


@dataclass(frozen=True, slots=True)
class _LabelAnswer:
    """The newest answer to an image; boxes as label and edges."""

    image_id: str
    reviewer: str
    submitted_at: str
    seconds: float
    verdict: str
    boxes: tuple[tuple[str, float, float, float, float], ...]

    def seen(self) -> list[Box] | None:
        """What the reader sees; None where that was not decided."""
        if self.verdict == Verdict.NOTHING:
            return []
        if self.verdict == Verdict.MISSED and self.boxes:
            return [Box(*box) for box in self.boxes]
        return None


def _check_answer(answer: _LabelAnswer) -> None:
    texts = (answer.image_id, answer.reviewer, answer.submitted_at, answer.verdict)
    if not all(type(text) is str for text in texts):
        raise TypeError("of another kind")
    answer.seen()  # boxes that make no sense


def _keep_answers(workspace: Workspace, given: Iterable[AsideAnswer]) -> dict[str, _LabelAnswer]:
    """The newest answer to each image, also those that the server has lost since."""
    path = workspace.folder("estimate", "labels") / "answers.json"
    try:
        rows = parse_json(plain_text(path))
        before = [
            _LabelAnswer(**{**row, "boxes": tuple(tuple(box) for box in row["boxes"])})
            for row in rows
        ]
        for answer in before:
            _check_answer(answer)
    except FileNotFoundError:
        before = []
    except (SixraydError, *NONSENSE) as error:
        raise WorkspaceError(f"{path}: broken; put it back from a backup") from error
    fresh = [
        _LabelAnswer(
            *(each.task.image_id, each.reviewer, each.submitted_at, each.seconds),
            str(each.verdict or ""),
            tuple((box.label, *box.xyxy) for box in each.boxes),
        )
        for each in given
    ]
    newest = {a.image_id: a for a in sorted([*before, *fresh], key=lambda a: a.submitted_at)}
    write_json(path, [asdict(newest[image_id]) for image_id in sorted(newest)])
    return newest


def _result(
    address: str,
    labels: Mapping[str, tuple[Box, ...]],
    blind: Mapping[str, bool],
    answers: Mapping[str, _LabelAnswer],
) -> LabelResult:
    """Judge the drawn images up to the last that was answered: nobody picks which ones count."""
    drawn = list(blind)
    looked = drawn[: max((n for n, i in enumerate(drawn, 1) if i in answers), default=0)]
    faults: dict[str, LabelFaults] = {}
    for image_id in looked:
        seen = answers[image_id].seen() if image_id in answers else None
        if seen is not None:
            found = compare_labels(labels[image_id], seen)
            faults[image_id] = replace(found, loose=0) if blind[image_id] else found
    unsure = len(looked) - len(faults)

    def share(count: int, more: int = 0) -> Share:
        total = min(len(looked) + more, len(labels))
        grown = total / max(len(looked), 1)
        faulty = round(count * grown)
        return image_share(len(labels), total, faulty, min(round(unsure * grown), total - faulty))

    def counted(kind: str) -> int:
        return sum(bool(getattr(each, kind)) for each in faults.values())

    def lacking(hidden: bool) -> tuple[int, int]:
        found = [each for i, each in faults.items() if blind[i] == hidden]
        return sum(bool(each.missing) for each in found), len(found)

    kinds = {kind: share(counted(kind)) for kind in ("missing", "wrong", "loose", "any")}
    apart = lacking(False), lacking(True)
    return LabelResult(
        address,
        *(len(labels), len(drawn), len(looked), unsure, sum(blind[i] for i in looked)),
        kinds if looked else {},
        apart,
        anchored(*apart),
        box_share(list(faults.values())) if faults else None,
        share(counted("any"), MORE) if looked else None,
    )
