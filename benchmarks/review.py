"""The round trip with Label Studio against the bare server: push, review, pull.

Example:
    python -m benchmarks.review --tasks 100000 --reviewed 10000

The images are tiny; each task shows two boxes. Simulated reviewers answer through the server's
API. Push and pull are compared, in the same run and on the same server, with what the bare server
takes to import the same tasks in requests of the same size and to export the same answers.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import click

from benchmarks.million import SIDE_PX, write_release
from sixrayd.core.ahead import chunked
from sixrayd.core.boxes import Box
from sixrayd.core.records import CANDIDATE_SCHEMA, Verdict
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.demo.reviewer import join_as_reviewer
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.labelling import (
    labelling_configuration,
    prediction,
    region,
    verdict_region,
)
from sixrayd.review.label_studio.server import running_server
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.sending import TASKS_PER_REQUEST
from sixrayd.review.settings import PullSettings, PushSettings

NAME = "million"
BOXES = ((8, 8, 24, 30), (30, 20, 60, 50))
PEOPLE = 4
T = TypeVar("T")


def write_mining(workspace: Workspace, images: int) -> list[dict[str, Any]]:
    """Two candidates in each image; their rows."""
    rows = []
    for rank in range(1, images + 1):
        image_id, best = f"N{rank:07d}", 1 - rank / (images + 1)
        for number, corners in enumerate(BOXES):
            row = {"box_id": f"{image_id}/model/{number}", "image_id": image_id, "label": "Gun"}
            row |= dict(zip(("x1", "y1", "x2", "y2"), map(float, corners), strict=True))
            row |= {"score": best * 0.9**number, "model": "model"}
            rows.append(row | {"image_score": best, "rank": rank})
    path = workspace.folder("mine", NAME) / "candidates.parquet"
    write_table(path, rows, CANDIDATE_SCHEMA)
    workspace.finish(Run("mine", NAME, {}, {}))
    return rows


def bare_tasks(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same tasks, as anybody might import them."""
    for pair in chunked(rows, len(BOXES)):
        image_id = pair[0]["image_id"]
        data = {"image": f"/data/local-files/?d=x/{image_id}.jpg", "image_id": image_id}
        data |= {"width": SIDE_PX, "height": SIDE_PX, "sixrayd": f"bare/{image_id}"}
        yield {"data": data, "predictions": [prediction(pair, (SIDE_PX, SIDE_PX))]}


def answer(image_id: str) -> list[dict[str, Any]]:
    """One image in ten holds contraband where the first box is."""
    if random.Random(image_id).random() > 0.1:  # noqa: S311
        return [verdict_region(Verdict.NOTHING)]
    box = region(f"{image_id}/model/0", Box("Gun", *BOXES[0]), (SIDE_PX, SIDE_PX))
    return [box, verdict_region(Verdict.MISSED)]


def review(people: list[Connection], tasks: dict[str, int]) -> None:
    """Have people answer, each a share."""

    def work(person: Connection, mine: list[tuple[str, int]]) -> None:
        with LabelStudio(person) as server:
            for image_id, task in mine:
                server.submit(task, answer(image_id), 4.0)

    items = list(tasks.items())
    with ThreadPoolExecutor(len(people)) as pool:
        jobs = [pool.submit(work, p, items[n :: len(people)]) for n, p in enumerate(people)]
        for job in jobs:
            job.result()


def timed(times: dict[str, float], what: str, call: Callable[[], T]) -> T:
    """What a call returns; its seconds are noted."""
    start = time.monotonic()
    found = call()
    times[what] = round(time.monotonic() - start, 1)
    click.echo(f"{what}: {times[what]} s", err=True)
    return found


@click.command()
@click.option("--tasks", type=click.IntRange(min=10), default=2000, show_default=True)
@click.option("--reviewed", type=click.IntRange(min=1), default=200, show_default=True)
def main(tasks: int, reviewed: int) -> None:
    """Push, review and pull, and do the same with the bare server."""
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        write_release(workspace, tasks)
        rows = write_mining(workspace, tasks)
        with running_server(workspace, say=lambda text: None) as running:
            admin = Connection(running.url, running.token, local=True)
            with LabelStudio(admin) as server:
                labelling = labelling_configuration(workspace.classes())
                bare = server.make_project("bare", "bare", labelling, "")
                batches = [list(b) for b in chunked(bare_tasks(rows), TASKS_PER_REQUEST)]
                timed(
                    times,
                    "bare import",
                    lambda: [server.import_tasks(bare, batch) for batch in batches],
                )
            sent = timed(times, "push", lambda: push(workspace, PushSettings(NAME)))
            again = timed(times, "push again", lambda: push(workspace, PushSettings(NAME)))
            assert (sent.added, again.added) == (tasks, 0)
            people = [
                join_as_reviewer(admin, f"person{n}@example.org", "correct-horse-battery")
                for n in range(PEOPLE)
            ]
            review_folder = ReviewFolder(workspace, NAME)
            chosen = {row["image_id"]: row["task"] for row in review_folder.tasks()[:reviewed]}
            timed(times, "review", lambda: review(people, chosen))
            found = timed(times, "pull", lambda: pull(workspace, PullSettings(NAME)))
            assert found.new == reviewed
            timed(times, "pull again", lambda: pull(workspace, PullSettings(NAME)))
            with LabelStudio(admin) as server:
                project = review_folder.project()
                assert project is not None
                timed(
                    times,
                    "bare export",
                    lambda: [
                        json.loads(
                            b"".join(
                                server.calls.sdk.projects.exports.download_sync(
                                    number, export_type="JSON", download_all_tasks=False
                                )
                            )
                        )
                        for number in project.numbers()
                    ],
                )
    ratios = {
        "push of bare import": round(times["push"] / times["bare import"], 2),
        "pull of bare export": round(times["pull"] / times["bare export"], 2),
    }
    click.echo(json.dumps({"tasks": tasks, "reviewed": reviewed, **times, **ratios}, indent=2))


if __name__ == "__main__":
    main()
