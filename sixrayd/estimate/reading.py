"""What other stages left that an estimate is made of."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import (
    CANDIDATE_SCHEMA,
    TASK_DEFAULTS,
    TASK_SCHEMA,
    Kind,
    Rule,
    Source,
)
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import (
    Decision,
    decision_files,
    mining_of,
    reviews_with_decisions,
    said_in_all,
)
from sixrayd.statistics.population import CENSUS, CHECKED, POPULATION_SCHEMA
from sixrayd.statistics.standing import Answer, answer_rows, settled_answers

BANDS = 2  # of flagged units by score: few strata, since each needs checks of its own
UNFLAGGED = "unflagged"


def review_name(workspace: Workspace, name: str = "") -> str:
    """The review that is meant: that of the newest sample, since one sample of the negatives
    serves all rounds; else the newest begun of a mining, else the newest, else a mining.

    Raises:
        WorkspaceError: nothing has been mined yet, or there is none of this name.
    """
    begun = list(workspace.folder("review").glob("*/project.json"))
    if name:
        known = {*workspace.names("mine"), *workspace.names("review")}
        known |= {*(path.parent.name for path in begun), *reviews_with_decisions(workspace)}
        if name not in known:
            raise WorkspaceError(
                f"--name {name}: neither a review nor a mining; there are "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        return name
    drawn = list(workspace.folder("estimate").glob("[!.]*/draws.json"))
    if drawn:
        return max(drawn, key=lambda path: (workspace.dates.of(path), path)).parent.name
    # A review of labelled positives says nothing of what is missed among negatives.
    begun = [path for path in begun if mining_name(workspace, path.parent.name)] or begun
    if begun:
        return max(begun, key=lambda path: (workspace.dates.of(path), path)).parent.name
    return workspace.newest("review" if workspace.names("review") else "mine")


def mining_name(workspace: Workspace, review: str) -> str:
    """The mining whose scores make the strata, empty where there is none."""
    if review in workspace.names("review"):
        return mining_of(workspace, review)
    return review if review in workspace.names("mine") else ""


def all_decision_files(workspace: Workspace) -> list[Path]:
    """Of all reviews."""
    return [
        path
        for name in reviews_with_decisions(workspace)
        for path in decision_files(workspace, name)
    ]


def answers_by(
    workspace: Workspace, said: Mapping[str, Sequence[Decision]], rule: Rule
) -> dict[str, Answer]:
    """What they amount to."""
    return settled_answers(answer_rows(said), rule, workspace.classes())


def negatives(workspace: Workspace) -> pa.Table:
    """Image and group of every readable negative, by image id.

    Raises:
        WorkspaceError: the release has not been ingested.
    """
    return Index.load(workspace).rows(source=Source.NEGATIVE).select(["image_id", "group"])


def flagged_by(workspace: Workspace, mining: str) -> dict[str, float]:
    """Score of each image that a mining flagged.

    Raises:
        WorkspaceError: the table is broken.
    """
    path = workspace.folder("mine", mining) / "candidates.parquet"
    table = read_table(path, CANDIDATE_SCHEMA)
    columns = (table["image_id"].to_pylist(), table["image_score"].to_pylist())
    return dict(zip(*columns, strict=True))


def sent_bare(workspace: Workspace) -> set[str]:
    """Images that reviewers were sent without a look of a detector: spot checks, whatever became
    of their sample, and what was tagged and has no box.

    Raises:
        WorkspaceError: a table is broken.
    """
    found = set()
    for path in workspace.folder("review").glob("[!.]*/tasks.parquet"):
        for row in read_table(path, TASK_SCHEMA, TASK_DEFAULTS).to_pylist():
            if row["kind"] == Kind.SPOT_CHECK or (
                row["kind"] == Kind.TAGGED and not row["candidates"]
            ):
                found.add(row["image_id"])
    return found


def population_now(
    workspace: Workspace, review: str, rule: Rule = Rule.ADJUDICATOR
) -> tuple[pa.Table, tuple[float, ...]]:
    """`POPULATION_SCHEMA` as things stand, and the scores at which its strata part.

    A unit that is decided already belongs to the census, marked where an image of it was sent
    without proposals. The others are unflagged, or flagged in a band of scores that holds as many
    units as the next. Where a sample hangs on it, whatever reviewers differ on is undecided: then
    no rule leaves more undecided than this.

    Raises:
        WorkspaceError: the release has not been ingested, or a table is broken.
    """
    table = negatives(workspace)
    ids, groups = (table[name].to_pylist() for name in ("image_id", "group"))
    answers = answers_by(workspace, said_in_all(workspace), rule)
    mining = mining_name(workspace, review)
    scores = flagged_by(workspace, mining) if mining else {}
    found: set[str] = set()
    settled: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    best: dict[str, float] = {}
    for image_id, group in zip(ids, groups, strict=True):
        sizes[group] += 1
        if (answer := answers.get(image_id)) and answer.settled:
            settled[group] += 1
            found |= {group} if answer.found else set()
        if image_id in scores:
            best[group] = max(scores[image_id], best.get(group, 0.0))
    bare = sent_bare(workspace)
    checked = {group for image_id, group in zip(ids, groups, strict=True) if image_id in bare}
    decided = found | {group for group, count in settled.items() if count == sizes[group]}
    waiting = [score for group, score in best.items() if group not in decided]
    shares = [1 - band / BANDS for band in range(1, BANDS)]
    edges = tuple(map(float, np.quantile(waiting, shares))) if waiting else ()

    def stratum(group: str) -> str:
        if group in decided:
            return CHECKED if group in checked else CENSUS
        if group not in best:
            return UNFLAGGED
        band = sum(best[group] < edge for edge in edges)
        return f"flagged, {band + 1} of {BANDS}"

    strata = pa.array([stratum(group) for group in groups], pa.string())
    return pa.table([table["image_id"], table["group"], strata], POPULATION_SCHEMA), edges
