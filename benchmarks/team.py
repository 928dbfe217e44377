"""Ten reviewers at once: submits a second, waits and lost answers, on SQLite and on PostgreSQL.

Example:
    python -m benchmarks.team --tasks 100000 --people 10 --seconds 120
    python -m benchmarks.team --database postgresql://team@127.0.0.1/empty

Simulated people join by the server's invitation and work as a browser does: each asks for the next
task, reads it, and submits. All work in one lane, without a pause, which is the worst case; with
`--think` each looks so long before submitting. A wait is what a person sees from submitting to the
next task. At the end, what the server holds is counted against what it has acknowledged.
"""

import json
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field

import click
import psutil

from benchmarks.million import write_release
from benchmarks.review import NAME, answer, write_mining
from sixrayd.core.errors import ServiceError
from sixrayd.core.workspace import Workspace
from sixrayd.demo.reviewer import join_as_reviewer
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.postgres import Postgres
from sixrayd.review.label_studio.server import Server, running_server
from sixrayd.review.push import push
from sixrayd.review.settings import PushSettings

PASSWORD = "correct-horse-battery"  # noqa: S105 - of simulated people


@dataclass
class Work:
    """What one person did."""

    sent: list[tuple[int, int]] = field(default_factory=list)  # task and annotation
    waits_s: list[float] = field(default_factory=list)
    refused: int = 0


def work(person: Connection, project: int, think_s: float, end: float) -> Work:
    """Answer till the time is up."""
    done = Work()
    with LabelStudio(person) as server:
        task = server.next_task(project)
        while task is not None and time.monotonic() < end:
            time.sleep(think_s)
            start = time.monotonic()
            try:
                number = server.submit(task.task_id, answer(str(task.data["sixrayd"])), 4.0)
                done.sent.append((task.task_id, number))
            except ServiceError:  # the person sees an error and submits again
                done.refused += 1
                continue
            task = server.next_task(project)
            done.waits_s.append(time.monotonic() - start)
    return done


def together(people: list[Connection], project: int, think_s: float, seconds: float) -> list[Work]:
    """What all did at once."""
    found: list[Work] = []
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=lambda p=person: found.append(work(p, project, think_s, end)))
        for person in people
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(people), "somebody's work ended in an error"
    return found


def measured(admin: Connection, project: int, done: list[Work], seconds: float) -> dict[str, float]:
    """Figures of one run; what is lost is counted on the server."""
    waits = sorted(wait for each in done for wait in each.waits_s)
    sent = {pair for each in done for pair in each.sent}
    with LabelStudio(admin) as server:
        held = {
            (task.task_id, said.annotation_id)
            for task in server.answered_tasks(project)
            for said in task.annotations
        }
    tasks = [task for task, _ in sent]
    return {
        "submits": len(sent),
        "a second": round(len(waits) / seconds, 2),
        "median wait, s": round(statistics.median(waits), 3),
        "95th percentile, s": round(waits[int(0.95 * (len(waits) - 1))], 3),
        "longest, s": round(waits[-1], 3),
        "refused and sent again": sum(each.refused for each in done),
        "lost": len(sent - held),
        "tasks that two answered": len(tasks) - len(set(tasks)),
    }


def cpu_s(running: Server) -> float:
    """What the server's process has computed: other load on the machine does not change it."""
    times = psutil.Process(running.pid).cpu_times()
    return float(times.user + times.system)


def site(running: Server, workspace: Workspace, settings: "Settings") -> list[dict[str, float]]:
    """One server, with so many people at a time."""
    admin = Connection(running.url, running.token, local=True)
    project = push(workspace, PushSettings(NAME)).project
    most = max(settings.people)
    people = [join_as_reviewer(admin, f"p{n}@example.org", PASSWORD) for n in range(most)]
    rows, known = [], set[tuple[int, int]]()
    for number in settings.people:
        before_s, start = cpu_s(running), time.monotonic()
        done = together(people[:number], project, settings.think_s, settings.seconds)
        used_s, took_s = cpu_s(running) - before_s, time.monotonic() - start
        row = {"people": number, **measured(admin, project, done, took_s)}
        row["server's CPU a submit, s"] = round(used_s / max(row["submits"], 1), 3)
        assert not known & {pair for each in done for pair in each.sent}
        known |= {pair for each in done for pair in each.sent}
        click.echo(json.dumps(row), err=True)
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Settings:
    """Of all runs."""

    tasks: int
    people: tuple[int, ...]
    seconds: float
    think_s: float


@click.command()
@click.option("--tasks", type=click.IntRange(min=10), default=10_000, show_default=True)
@click.option("--people", type=click.IntRange(min=1), multiple=True, default=(1, 3, 10))
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True)
@click.option("--think", "think_s", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option(
    "--database", default="", help="An empty PostgreSQL database; SQLite is measured too."
)
def main(
    tasks: int, people: tuple[int, ...], seconds: float, think_s: float, database: str
) -> None:
    """Have people submit at once, on SQLite and on the database that is named."""
    settings = Settings(tasks, people, seconds, think_s)
    found = {}
    places = {"SQLite": None} | ({"PostgreSQL": Postgres.of(database)} if database else {})
    for name, place in places.items():
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(folder)
            write_release(workspace, tasks)
            write_mining(workspace, tasks)
            quiet = {"say": lambda text: None}
            with running_server(workspace, database=place, **quiet) as running:
                click.echo(name, err=True)
                found[name] = site(running, workspace, settings)
    click.echo(
        json.dumps({"tasks": tasks, "seconds": seconds, "think": think_s, **found}, indent=2)
    )


if __name__ == "__main__":
    main()
