"""Practice before the first real task: known positives, each shown again with its boxes.

Each person has a project of their own, since a server gives tasks that several share in no certain
order. An image comes without boxes, and right after it once more with those of the release. Images
are of the training side, and `review plant --from positives` draws from the test side: what was
shown with its answer measures nobody. Nothing of it is a decision.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from sixrayd.core.boxes import Box, iou_matrix, stack_xyxy
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.openly import PracticeSet, practice_file, practice_set
from sixrayd.review.aside import Aside, AsideAnswer, AsideTask
from sixrayd.review.guidance import Guidance, example_sheet, examples_of, objects_by_class
from sixrayd.review.keys import new_key
from sixrayd.review.server import connect
from sixrayd.review.settings import PracticeSettings

_RIGHT_IOU = 0.5
_GUIDELINES = """# Practice

Nothing here counts. Each image holds contraband that is known. Look for it, draw a box round each
object (a number key for the class, then drag), answer **A** contraband missed, and submit with
Ctrl+Enter. The same image then comes once more, with the boxes that the release has: compare, press
**A** and Ctrl+Enter, and go on.
"""


@dataclass(frozen=True, slots=True)
class Practised:
    """What one person did: images answered, known objects in them, those boxed rightly, boxes that
    lie on none."""

    reviewer: str
    images: int
    objects: int
    right: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class PracticeResult:
    """Where each person practises, on how many images, and how far they are.

    Args:
        links: by which a new person joins each project, where they were asked for.
    """

    addresses: tuple[str, ...]
    images: int
    people: tuple[Practised, ...]
    links: tuple[str, ...] = field(default=(), repr=False)


def practise(workspace: Workspace, settings: PracticeSettings) -> PracticeResult:
    """Make the practice where it is missing, and say how far people are.

    Raises:
        ServiceError: the server is down or refuses.
        WorkspaceError: no labelled object is on the training side, or a shard has changed.
    """
    with (
        workspace.lock("review"),
        connect(workspace, settings.url, settings.token_file, settings.server) as server,
    ):
        practice = practice_set(workspace) or _chosen(workspace, settings.number)
        guidance = Guidance(_GUIDELINES, example_sheet(workspace))
        tasks, addresses, people = _tasks(workspace, practice), [], list[Practised]()
        links = []
        for place in range(1, settings.people + 1):
            aside = Aside(workspace, server, f"{practice.key}.{place}", tasks)
            number = aside.open(f"sixrayd practice {place}", guidance)
            addresses.append(server.project_address(number))
            links += [server.invitation(number)] if settings.invite else []
            people += _judged(aside.answers(number), tasks)
        images = len(practice.images)
        return PracticeResult(tuple(addresses), images, tuple(people), tuple(links))


def _chosen(workspace: Workspace, number: int) -> PracticeSet:
    """Images of all classes in turn, kept on disk before the server has them."""
    index = Index.load(workspace)
    found = objects_by_class(index, load_annotations(workspace))
    turns = [[a.image_id for a in examples_of(objects, number)] for objects in found.values()]
    mixed = itertools.chain.from_iterable(itertools.zip_longest(*turns))
    images = tuple(dict.fromkeys(i for i in mixed if i is not None))[:number]
    if not images:
        raise WorkspaceError(
            f"{workspace.root}: no labelled object is on the training side to practise on"
        )
    practice = PracticeSet(new_key(), images)
    write_json(practice_file(workspace), asdict(practice))
    return practice


def _tasks(workspace: Workspace, practice: PracticeSet) -> list[AsideTask]:
    """Each image, and right after it the image with its boxes."""
    annotations = load_annotations(workspace)
    if lost := [i for i in practice.images if i not in annotations]:
        raise WorkspaceError(
            f"{practice_file(workspace)}: names {lost[0]!r}, which is not labelled; remove it, and "
            "practice begins anew"
        )
    known = {i: tuple(each.box for each in annotations[i]) for i in practice.images}
    return [
        task
        for image_id, boxes in known.items()
        for task in (AsideTask(image_id), AsideTask(image_id, boxes, again=True))
    ]


def _judged(answers: Iterable[AsideAnswer], tasks: Sequence[AsideTask]) -> Iterator[Practised]:
    """What each person did before the boxes were shown, by name."""
    truths = {task.image_id: task.boxes for task in tasks if task.again}
    people: dict[str, list[tuple[int, int, int, int]]] = {}
    for answer in answers:
        if not answer.task.again:
            truth = truths[answer.task.image_id]
            boxes = answer.boxes if answer.verdict == Verdict.MISSED else ()
            right, elsewhere = _compared(truth, boxes)
            people.setdefault(answer.reviewer, []).append((1, len(truth), right, elsewhere))
    for who, counts in sorted(people.items()):
        yield Practised(who, *map(sum, zip(*counts, strict=True)))


def _compared(truth: Sequence[Box], boxes: Sequence[Box]) -> tuple[int, int]:
    """Known objects that a box of their class lies on, and boxes that lie on none."""
    if not boxes:
        return 0, 0
    same = np.array([[t.label == b.label for b in boxes] for t in truth])
    hit = same & (iou_matrix(stack_xyxy(truth), stack_xyxy(boxes)) >= _RIGHT_IOU)
    return int(hit.any(axis=1).sum()), int((~hit.any(axis=0)).sum())
