"""Projects beside the review: what is answered in them is never a decision of the dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sixrayd.core.boxes import Box
from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.review.guidance import Guidance
from sixrayd.review.keys import shown_key
from sixrayd.review.queue.plan import Pictures
from sixrayd.review.server import NewTask, ProjectPlan, ReviewServer
from sixrayd.review.showing import show_pictures
from sixrayd.review.verdicts import judge

_AT_ONCE = 500  # tasks in a request


@dataclass(frozen=True, slots=True)
class AsideTask:
    """An image with boxes drawn in advance; `again` tells its second showing from the first."""

    image_id: str
    boxes: tuple[Box, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class AsideAnswer:
    """What somebody submitted on a task."""

    task: AsideTask
    reviewer: str
    submitted_at: str
    seconds: float
    verdict: Verdict | None
    boxes: tuple[Box, ...]


class Aside:
    """One project.

    Args:
        key: the workspace's own; its `shown_key` finds the project again.
        tasks: in the order in which they are shown.
    """

    def __init__(
        self, workspace: Workspace, server: ReviewServer, key: str, tasks: Sequence[AsideTask]
    ) -> None:
        self.workspace, self.server = workspace, server
        self.key, self.shown = key, shown_key(key)
        self.tasks = {self._task_key(task): task for task in tasks}
        self.pictures = Pictures(workspace, "", {task.image_id for task in tasks})

    def open(self, title: str, guidance: Guidance) -> int:
        """The project's number on the server; what is missing of it is made.

        Raises:
            ServiceError: the server is down or refuses.
            ShardError: a shard is gone or has changed since it was indexed.
        """
        number = self.server.find_project(self.shown)
        if number is None:
            classes = self.workspace.classes()
            plan = ProjectPlan(title, self.shown, classes, guidance.guidelines, guidance.examples)
            number = self.server.create_project(plan)
        known = {task.key for task in self.server.all_tasks(number)}
        missing = [key for key in self.tasks if key not in known]
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            names = {self.tasks[key].image_id: self._name(self.tasks[key]) for key in part}
            shown = show_pictures(self.server, number, self.shown, self.pictures, names)
            self.server.add_tasks(number, [self._new(key, shown) for key in part])
        return number

    def answers(self, number: int) -> Iterator[AsideAnswer]:
        """What was submitted so far, skipped tasks apart."""
        names, classes = self.server.reviewers(), self.workspace.classes()
        for found in self.server.answered_tasks(number):
            task = self.tasks.get(found.key)
            for said in found.annotations if task else ():
                if task is None or said.cancelled:
                    continue
                size_wh = self.pictures.size_wh(task.image_id)
                drawn = dict(self._drawn(task))
                read = self.server.read_answer(said.regions, size_wh, drawn, classes)
                answer = judge(read, drawn).answer
                who = names.get(said.author, str(said.author))
                boxes = tuple(each.box for each in answer.boxes)
                yield AsideAnswer(
                    *(task, who, said.updated_at, said.lead_time_s, answer.verdict, boxes)
                )

    def _new(self, key: str, addresses: dict[str, str]) -> NewTask:
        task = self.tasks[key]
        about = {"score": 1.0, "model": "release"}
        rows = tuple({**box.as_row(), **about, "box_id": name} for name, box in self._drawn(task))
        size_wh = self.pictures.size_wh(task.image_id)
        return NewTask(key, addresses[task.image_id], size_wh, rows)

    def _drawn(self, task: AsideTask) -> Iterator[tuple[str, Box]]:
        for place, box in enumerate(task.boxes):
            yield f"{self._name(task)}-{place}", box

    def _name(self, task: AsideTask) -> str:
        """What an image is called on the server: nothing that tells what it is."""
        return sha256(f"{self.key}/{task.image_id}".encode()).hexdigest()[:20]

    def _task_key(self, task: AsideTask) -> str:
        return f"{self.shown}/{self._name(task)}{'+' * task.again}"
