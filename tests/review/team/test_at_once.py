"""Several people ask for the next image at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sixrayd.core.records import Verdict
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.push import push
from sixrayd.review.settings import PushSettings

PEOPLE, ROUNDS = 3, 2


def test_who_ask_at_once_are_given_different_images(site):
    site.mined("at-once", PEOPLE * ROUNDS)
    project = push(site.workspace, PushSettings("at-once")).project
    people = [site.person() for _ in range(PEOPLE)]
    together = Barrier(PEOPLE, timeout=60)  # who fails must not keep the others for ever

    def work(person):
        given = []
        with LabelStudio(person) as server:
            for _ in range(ROUNDS):
                together.wait()
                task = server.next_task(project)
                given.append(task.task_id)
                together.wait()
                server.submit(task.task_id, [verdict_region(Verdict.NOTHING)], 1.0)
        return given

    with ThreadPoolExecutor(PEOPLE) as pool:
        given = [task for tasks in pool.map(work, people) for task in tasks]

    assert len(set(given)) == PEOPLE * ROUNDS
