"""Compare orders of a review on a finished campaign: finds against hours of work.

The truth says what each image holds, or the decisions of a review do. Times are drawn from a model,
or are the review's own: a task takes `--base` seconds, `--box` more for each proposal to judge
and `--find` more where there is something to box, times log-normal noise of median 1 and
sigma 0.5; one task in 50 is left open over a break of 5 to 60 minutes, which the queue sees and
the hours of work do not.

Example:
    python -m benchmarks.review_queue -w workspace --truth rehearsal-truth/truth.csv --out queue.png
"""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from sixrayd.core.arrays import FloatArray
from sixrayd.core.index import Index
from sixrayd.core.records import CANDIDATE_SCHEMA, Kind, Verdict
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import load_decisions, mining_of, standing_decisions
from sixrayd.review.queue.duplicates import DuplicateSettings, near_positives
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.order import Past, forecast, order

BATCH = 50  # decisions between two looks at the past
NOISE, BREAKS, BREAK_S = 0.5, 0.02, (300.0, 3600.0)


@dataclass(frozen=True)
class Task:
    """An item, and what its review brings.

    Args:
        work: seconds of work.
        lead: seconds that the server would say, breaks included.
    """

    item: ReviewImage
    found: bool
    work: float
    lead: float

    @property
    def past(self) -> Past:
        """What the queue learns from it."""
        return Past(
            self.item.kind, self.item.image_score, len(self.item.drawn), self.found, self.lead
        )


@dataclass(frozen=True, slots=True)
class Hour:
    """What a queue said of its next hour, and what that hour brought."""

    begun: float  # hours of work before
    forecast: float
    found: int


Times = Callable[[list[ReviewImage], set[str]], list[tuple[float, float]]]


def queue_items(
    workspace: Workspace, mining: str, shown: float, duplicates: bool
) -> list[ReviewImage]:
    """Candidates with a detection of at least this score, and other look-alikes of positives."""
    index = Index.load(workspace)
    groups = dict(zip(*(index.table[k].to_pylist() for k in ("image_id", "group")), strict=True))
    table = read_table(workspace.folder("mine", mining) / "candidates.parquet", CANDIDATE_SCHEMA)
    scores: dict[str, list[float]] = {}
    for row in table.select(["image_id", "score"]).to_pylist():
        if row["score"] >= shown:
            scores.setdefault(row["image_id"], []).append(row["score"])
    items = [
        ReviewImage(i, Kind.CANDIDATE, 0, max(s), tuple({"score": x} for x in s), groups[i])
        for i, s in scores.items()
    ]
    settings = DuplicateSettings(model=workspace.run("mine", mining).settings["model"])
    for each in near_positives(workspace, settings) if duplicates else ():
        if each.image_id not in scores:
            group = groups[each.image_id]
            drawn = tuple(box.as_row() for box in each.boxes)
            items.append(
                ReviewImage(each.image_id, Kind.DUPLICATE, 0, each.similarity, drawn, group)
            )
    return items


def modelled_times(base: float, box: float, find: float, rng: np.random.Generator) -> Times:
    """Work and lead time of tasks by the model of this file."""

    def times(items: list[ReviewImage], hidden: set[str]) -> list[tuple[float, float]]:
        mean = np.array([base + box * i.boxes + find * (i.image_id in hidden) for i in items])
        work = mean * rng.lognormal(0, NOISE, len(items))
        breaks = (rng.random(len(items)) < BREAKS) * rng.uniform(*BREAK_S, len(items))
        return list(zip(work.tolist(), (work + breaks).tolist(), strict=True))

    return times


def learnt(tasks: list[Task]) -> tuple[list[Task], list[Hour]]:
    """The order of finds per second, learnt from the decisions before each batch."""
    waiting = {task.item.image_id: task for task in tasks}
    done: list[Task] = []
    foretold: list[tuple[float, float]] = []  # hours of work before, finds of the next hour
    while waiting:
        queue = order((t.item for t in waiting.values()), (t.past for t in done))
        foretold.append((sum(t.work for t in done) / 3600, forecast(queue, 1)))
        done += [waiting.pop(queued.item.image_id) for queued in queue[:BATCH]]
    ends = np.cumsum([t.work for t in done]) / 3600
    hours = []
    for begun, said in foretold:
        if (not hours or begun >= hours[-1].begun + 1) and begun + 1 <= ends[-1]:
            within = (ends > begun) & (ends <= begun + 1)
            hours.append(Hour(begun, said, sum(t.found for t in np.array(done)[within])))
    return done, hours


def by_score(tasks: Iterable[Task]) -> list[Task]:
    """Candidates by falling score, then duplicates by falling similarity."""
    kinds = [Kind.CANDIDATE, Kind.DUPLICATE]
    return sorted(
        tasks, key=lambda t: (kinds.index(t.item.kind), -t.item.image_score, t.item.image_id)
    )


def share_found(ordered: list[Task], hours: FloatArray) -> FloatArray:
    """Share of what there is to find, found by these hours of work."""
    ends = np.cumsum([0.0, *(task.work for task in ordered)]) / 3600
    finds = np.cumsum([0, *(task.found for task in ordered)])
    share: FloatArray = np.interp(hours, ends, finds / finds[-1])
    return share


def draw(path: Path, hours: FloatArray, curves: dict[str, FloatArray], title: str) -> None:
    """The curves, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for (name, curve), style in zip(curves.items(), ("-", "--", ":"), strict=True):
        axes.plot(hours, curve, style, label=name)
    axes.set(title=title, xlabel="hours of work", ylabel="share of the finds", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


@click.command()
@click.option("-w", "--workspace", type=click.Path(path_type=Path), default="workspace")
@click.option("--mining", default="", help="[default: the newest]")
@click.option("--truth", type=click.Path(path_type=Path, exists=True), help="CSV: name, hidden.")
@click.option("--review", default="", help="Take finds and times from its decisions instead.")
@click.option("--shown", type=float, default=0.2, show_default=True, help="Least score shown.")
@click.option("--duplicates/--no-duplicates", default=True, help="Queue look-alikes as well.")
@click.option("--base", type=float, default=4.0, show_default=True, help="Seconds.")
@click.option("--box", type=float, default=2.0, show_default=True, help="Seconds.")
@click.option("--find", type=float, default=6.0, show_default=True, help="Seconds.")
@click.option("--draws", type=int, default=10, show_default=True, help="Of the tasks' times.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="queue.png", show_default=True)
def main(
    workspace: Path,
    mining: str,
    truth: Path | None,
    review: str,
    shown: float,
    duplicates: bool,
    base: float,
    box: float,
    find: float,
    draws: int,
    seed: int,
    out: Path,
) -> None:
    """Draw finds against hours for three orders, and print the figures as JSON."""
    if (truth is None) == (not review):
        raise click.UsageError("name either --truth or --review")
    place = Workspace(workspace)
    name = mining or (mining_of(place, review) if review else place.newest("mine"))
    items = queue_items(place, name, shown, duplicates)
    rng = np.random.default_rng(seed)
    if truth is not None:
        with truth.open(encoding="utf-8", newline="") as file:
            hidden = {row["name"] for row in csv.DictReader(file) if row["hidden"] == "1"}
        times = modelled_times(base, box, find, rng)
    else:
        said = standing_decisions(load_decisions(place, review))
        items = [item for item in items if item.image_id in said]
        hidden = {i for i, d in said.items() if all(e.verdict == Verdict.MISSED for e in d)}

        def times(items: list[ReviewImage], hidden: set[str]) -> list[tuple[float, float]]:
            return [(said[i.image_id][0].lead_time_s,) * 2 for i in items]

        draws = 1
    document, hours, curves = compare(items, hidden, times, draws, rng)
    draw(out, hours, curves, f"{len(items)} tasks, {document['to_find']} finds")
    click.echo(json.dumps({"mining": name, **document}, indent=2))


def compare(
    items: list[ReviewImage], hidden: set[str], times: Times, draws: int, rng: np.random.Generator
) -> tuple[dict[str, object], FloatArray, dict[str, FloatArray]]:
    """Figures, hours and mean curves of the three orders."""
    runs: dict[str, list[list[Task]]] = {"finds per second": [], "score": [], "random": []}
    hours_told: list[list[Hour]] = []
    for _ in range(draws):
        taken = times(items, hidden)
        tasks = [Task(i, i.image_id in hidden, *each) for i, each in zip(items, taken, strict=True)]
        ordered, told = learnt(tasks)
        hours_told.append(told)
        runs["finds per second"].append(ordered)
        runs["score"].append(by_score(tasks))
        runs["random"] += [
            [tasks[n] for n in rng.permutation(len(tasks))] for _ in range(max(1, 100 // draws))
        ]
    longest = min(sum(task.work for task in run) for run in runs["score"]) / 3600
    hours = np.linspace(0, longest, 2001)
    shares = {name: np.stack([share_found(r, hours) for r in each]) for name, each in runs.items()}
    curves: dict[str, FloatArray] = {name: each.mean(axis=0) for name, each in shares.items()}
    gain = {
        level: [
            1 - hours[np.searchsorted(a, level)] / hours[np.searchsorted(b, level)]
            for a, b in zip(shares["finds per second"], shares["score"], strict=True)
        ]
        for level in (0.25, 0.5, 0.75, 0.9)
    }
    kinds = [item.kind for item in items]
    document = {
        "tasks": {str(kind): kinds.count(kind) for kind in (Kind.CANDIDATE, Kind.DUPLICATE)},
        "to_find": sum(item.image_id in hidden for item in items),
        "duplicates_to_find": sum(
            item.image_id in hidden for item in items if item.kind == Kind.DUPLICATE
        ),
        "hours": round(longest, 2),
        "share_found_after_hours": {
            h: {n: round(float(np.interp(h, hours, c)), 3) for n, c in curves.items()}
            for h in (0.25, 0.5, 1, 2, 3, 4, 6, 8)
            if h < longest
        },
        "hours_to_share": {
            level: {n: round(float(hours[np.searchsorted(c, level)]), 2) for n, c in curves.items()}
            for level in gain
        },
        "hours_saved_percent": {
            level: f"{100 * np.mean(each):.1f} (sd {100 * np.std(each):.1f})"
            for level, each in gain.items()
        },
        "next_hour": [
            {k: round(float(np.mean([getattr(h, k) for h in each])), 1) for k in Hour.__slots__}
            for each in zip(*hours_told, strict=False)
        ],
    }
    return document, hours, curves


if __name__ == "__main__":
    main()
