"""Practice before the first real task: known positives, each shown again with its boxes.

Each person has a project of their own, since a server gives tasks that several share in no certain
order. An image comes without boxes, and right after it once more with those of the release. Images
are of the training side, and `review plant --from positives` draws from the test side: what was
shown with its answer measures nobody. Nothing of it is a decision.
"""

import itertools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np

from sixrayd.core.boxes import Box, iou_matrix, stack_xyxy
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text, write_json
from sixrayd.core.index import Annotation, Index, load_annotations
from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.review.guidance import example_sheet, examples_of, objects_by_class
from sixrayd.review.queue.plan import Pictures
from sixrayd.review.server import NewTask, ProjectPlan, ReviewServer, ServerAnnotation, connect
from sixrayd.review.settings import PracticeSettings
from sixrayd.review.showing import pictures_shown

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
    """Where each person practises, on how many images, and how far they are."""

    addresses: tuple[str, ...]
    images: int
    people: tuple[Practised, ...]


@dataclass(frozen=True, slots=True)
class _Practice:
    key: str
    images: tuple[str, ...]

    def project_key(self, place: int) -> str:
        """What one person's project is found by, from 0."""
        return f"{self.key}.{place}"

    def task_key(self, image_id: str, place: int = 0, *, answer: bool = False) -> str:
        """What tells a task from all others; nothing in it tells the image."""
        name = sha256(f"{self.key}/{image_id}".encode()).hexdigest()[:20]
        return f"{self.project_key(place)}/{name}{'+' * answer}"


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
        practice = _kept(workspace) or _chosen(workspace, settings.number)
        projects = _Projects(workspace, server, practice)
        numbers = [projects.open(place) for place in range(settings.people)]
        people = [
            who for place, number in enumerate(numbers) for who in projects.done(place, number)
        ]
        addresses = tuple(map(server.project_address, numbers))
        return PracticeResult(addresses, len(practice.images), tuple(people))


def practised(workspace: Workspace) -> frozenset[str]:
    """Images that were shown with their answers."""
    practice = _kept(workspace)
    return frozenset(practice.images if practice else ())


def _kept(workspace: Workspace) -> _Practice | None:
    path = workspace.folder("practice") / "practice.json"
    try:
        document = parse_json(plain_text(path))
        return _Practice(str(document["key"]), tuple(map(str, document["images"])))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise WorkspaceError(f"{path}: broken; remove it, and practice begins anew") from error


def _chosen(workspace: Workspace, number: int) -> _Practice:
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
    practice = _Practice(secrets.token_hex(8), images)
    write_json(workspace.folder("practice") / "practice.json", asdict(practice))
    return practice


class _Projects:
    """The practice on a server, a project a person."""

    def __init__(self, workspace: Workspace, server: ReviewServer, practice: _Practice) -> None:
        self.workspace, self.server, self.practice = workspace, server, practice
        self.annotations = load_annotations(workspace)
        self.pictures = Pictures(workspace, "", practice.images)

    def open(self, place: int) -> int:
        """A person's project with all its tasks, made where it is missing: its number."""
        key = self.practice.project_key(place)
        number = self.server.find_project(key)
        if number is None:
            title = f"sixrayd practice {place + 1}"
            classes, examples = self.workspace.classes(), example_sheet(self.workspace)
            plan = ProjectPlan(title, key, classes, _GUIDELINES, examples)
            number = self.server.create_project(plan)
        known = {task.key for task in self.server.all_tasks(number)}
        if missing := [task for task in self._tasks(place, number) if task.key not in known]:
            self.server.add_tasks(number, missing)
        return number

    def _tasks(self, place: int, number: int) -> Iterator[NewTask]:
        """Each image, and right after it the image with its boxes."""
        images = self.practice.images
        names = {i: self.practice.task_key(i).rpartition("/")[2] for i in images}
        files, pictures = pictures_shown(self.pictures, names)
        addresses = self.server.show_images(number, "practice", pictures)
        for image_id in images:
            for answer in (False, True):
                yield NewTask(
                    self.practice.task_key(image_id, place, answer=answer),
                    addresses[files[image_id]],
                    self.pictures.size_wh(image_id),
                    tuple(_drawn(self.annotations[image_id])) if answer else (),
                )

    def done(self, place: int, number: int) -> Iterator[Practised]:
        """What people did in a project, by name."""
        images = self.practice.images
        blind = {self.practice.task_key(image_id, place): image_id for image_id in images}
        names, totals = self.server.reviewers(), dict[str, list[int]]()
        for task in self.server.answered_tasks(number):
            for said in task.annotations if task.key in blind else ():
                counts = totals.setdefault(names.get(said.author, str(said.author)), [0] * 4)
                for at, count in enumerate(self._judged(blind[task.key], said)):
                    counts[at] += count
        yield from (Practised(who, *counts) for who, counts in sorted(totals.items()))

    def _judged(self, image_id: str, said: ServerAnnotation) -> tuple[int, int, int, int]:
        size_wh, classes = self.pictures.size_wh(image_id), self.workspace.classes()
        answer = self.server.read_answer(said.regions, size_wh, {}, classes)
        boxes = [box.box for box in answer.boxes] if answer.verdict == Verdict.MISSED else []
        truth = [annotation.box for annotation in self.annotations[image_id]]
        return 1, len(truth), *_compared(truth, boxes)


def _drawn(annotations: Sequence[Annotation]) -> Iterator[dict[str, object]]:
    for place, annotation in enumerate(annotations):
        about = {"box_id": f"known{place}", "score": 1.0, "model": "the release"}
        yield {**annotation.box.as_row(), **about}


def _compared(truth: Sequence[Box], boxes: Sequence[Box]) -> tuple[int, int]:
    """Known objects that a box of their class lies on, and boxes that lie on none."""
    if not boxes:
        return 0, 0
    same = np.array([[t.label == b.label for b in boxes] for t in truth])
    hit = same & (iou_matrix(stack_xyxy(truth), stack_xyxy(boxes)) >= _RIGHT_IOU)
    return int(hit.any(axis=1).sum()), int((~hit.any(axis=0)).sum())
