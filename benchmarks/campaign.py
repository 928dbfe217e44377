"""A review campaign in stages against the truth: does the bound hold, and how wide is it?

Example:
    python -m benchmarks.campaign -w workspace --truth rehearsal-truth/truth.csv --stages 3

The workspace holds a mining that nobody has reviewed. In each stage a sample is drawn, pushed to
the workspace's own Label Studio with the next of the queue, and answered by a simulated reviewer
who errs at a stated rate; an adjudicator, who does not, settles what he could not; the decisions
are pulled and the bound on what is left is compared with
what is left in truth. With planned looks, `of one look` is the bound over the exact limit that a
single look would give at the same finds and sensitivity. No stage of sixrayd sees the truth.
"""

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sixrayd.core.boxes import Box
from sixrayd.core.index import Index
from sixrayd.core.records import Kind, Source, Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import load_decisions, standing_decisions
from sixrayd.demo.reviewer import (
    ReviewerSettings,
    join_as_reviewer,
    load_truth,
    review_as_person,
)
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings
from sixrayd.estimate.stage import estimate, gather
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.server import running_server
from sixrayd.review.planting.known import plant_known
from sixrayd.review.planting.plant import plant
from sixrayd.review.planting.planted import planted_rows
from sixrayd.review.pull import pull
from sixrayd.review.push import adjudicate, push
from sixrayd.review.settings import AdjudicateSettings, PlantSettings, PullSettings, PushSettings
from sixrayd.statistics.missed import PlannedEvidence, bound_planned
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.settings import BoundSettings


def true_boxes(workspace: Workspace, name: str, path: Path) -> dict[str, tuple[Box, ...]]:
    """Contraband of the workspace's classes in each image, planted threats included."""
    names = workspace.classes().names
    found = {
        image_id: kept
        for image_id, boxes in load_truth(path).items()
        if (kept := tuple(box for box in boxes if box.label in names))
    }
    for row in planted_rows(workspace, name):
        if row["kind"] != Kind.SHAM:
            edges = (row["x1"], row["y1"], row["x2"], row["y2"])
            found[row["image_id"]] = (Box(row["label"], *edges),)
    return found


def of_one_look(workspace: Workspace, name: str, bound: BoundSettings) -> float | None:
    """The bound over that of a single look at the same finds; None unless looks were planned."""
    evidence = gather(workspace, name, bound.consensus).outcome(bound).evidence
    if not isinstance(evidence, PlannedEvidence):
        return None
    share = evidence.looks.fractions[len(evidence.finds) - 1]
    once = replace(evidence, finds=evidence.finds[-1:], looks=LookPlan((share,)))
    one, all_looks = (bound_planned(each, bound.alpha).upper for each in (once, evidence))
    return round(all_looks / one, 3) if one else None


def draw(workspace: Workspace, name: str, seed: int, checks: int, planned: int, stage: int) -> None:
    """So many checks, or the next of so many planned looks."""
    looks = tuple(checks * look for look in range(1, planned + 1)) if stage == 1 else ()
    thrown = f"{seed}" if stage == 1 else ""
    later = bool(planned) and stage > 1
    draw_sample(workspace, SampleSettings(name, checks, thrown, looks, next_look=later))


def reviewed(
    folder: ReviewFolder,
    people: tuple[Connection, Connection],
    number: int,
    boxes: dict[str, tuple[Box, ...]],
    wishes: ReviewerSettings,
) -> int:
    """Have a project answered, by a reviewer and then by an adjudicator who does not err; gives how
    many images are decided.
    """
    (person, adjudicator), name = people, folder.name
    project = folder.project()
    assert project is not None  # it has just been pushed
    review_as_person(person, number, boxes, folder.images_by_alias(project), wishes)
    pull(folder.workspace, PullSettings(name))
    ruled = adjudicate(folder.workspace, AdjudicateSettings(name))
    if ruled.added:
        names = folder.images_by_alias(project)
        settled = ReviewerSettings(seed=wishes.seed)
        review_as_person(adjudicator, ruled.project, boxes, names, settled)
    return pull(folder.workspace, PullSettings(name)).progress.decided


def measured(
    workspace: Workspace, name: str, hidden: set[str], stated: BoundSettings
) -> dict[str, Any]:
    """The bound beside what is left in truth."""
    bound = estimate(workspace, EstimateSettings(name, stated))
    said = standing_decisions(load_decisions(workspace, name))
    found = {i for i, d in said.items() if d[-1].verdict == Verdict.MISSED}
    left = len(hidden - found)
    return {
        "found": len(hidden & found),
        "left": left,
        "left at most": bound.images,
        "estimate": bound.estimate,
        "left at least": bound.lower,
        "groups left at most": bound.upper,
        "of one look": of_one_look(workspace, name, stated),
        "by odds ratio": bound.by_gamma,
        "holds": bound.lower <= left <= bound.images,
    }


@click.command()
@click.option("-w", "--workspace", "root", type=click.Path(path_type=Path), required=True)
@click.option("--name", default="", help="Of the mining.  [default: the newest]")
@click.option("--truth", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--stages", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--queue", type=int, default=150, show_default=True, help="Images a stage.")
@click.option("--checks", type=int, default=150, show_default=True, help="Spot checks a stage.")
@click.option("--planned/--any-size", default=False, show_default=True, help="Looks.")
@click.option("--before", default=0, show_default=True, help="Of the queue, before the first draw.")
@click.option("--known", default=0, show_default=True, help="Positives to strew in.")
@click.option("--error", type=float, default=0.03, show_default=True, help="Of the reviewer.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--projected/--not-projected", default=True, show_default=True, help="Threats.")
@click.option("--sensitivity", type=float, default=1.0, show_default=True, help="As stated.")
def main(
    root: Path,
    name: str,
    truth: Path,
    stages: int,
    queue: int,
    checks: int,
    planned: bool,
    before: int,
    known: int,
    error: float,
    seed: int,
    projected: bool,
    sensitivity: float,
) -> None:
    """Run the stages; a line of JSON for each."""
    workspace = Workspace(root)
    name = name or workspace.newest("mine")
    if known:
        wanted = PlantSettings(name, seed=seed, origin="positives", number=known, even_so=True)
        plant_known(workspace, wanted)
    elif projected:
        plant(workspace, PlantSettings(name, seed=seed, even_so=True))
    boxes = true_boxes(workspace, name, truth)
    negatives = set(Index.load(workspace).rows(source=Source.NEGATIVE)["image_id"].to_pylist())
    hidden = negatives & boxes.keys()
    with running_server(workspace, say=lambda text: None) as server:
        admin = Connection(server.url, server.token, local=True)
        email = f"reviewer-{secrets.token_hex(4)}@example.org"
        person = join_as_reviewer(admin, email, secrets.token_urlsafe(12))
        folder, wishes = ReviewFolder(workspace, name), ReviewerSettings(error, seed=seed)
        for stage in range(0 if before else 1, stages + 1):
            if stage:
                draw(workspace, name, seed, checks, planned * stages, stage)
            number = push(workspace, PushSettings(name, limit=before + queue * stage)).project
            decided = reviewed(folder, (person, admin), number, boxes, wishes)
            if stage:
                stated = BoundSettings(sensitivity=sensitivity)
                row = {"stage": stage, "decided": decided}
                click.echo(json.dumps(row | measured(workspace, name, hidden, stated)))


if __name__ == "__main__":
    main()
