"""Whether another round is worth its while: what reviewers found and no model has learnt from."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import TRAINING_SCHEMA, Role, Rule, Source, Split, Verdict
from sixrayd.core.runs import read_run
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.consensus import settle
from sixrayd.decisions.decision import Decision, decision_files, reviews_with_decisions

WORTH = 0.05  # of all finds: with fewer new ones another round changes little
TRAINING = "training.parquet"  # what `sixrayd review next` writes


def found_to_learn(
    workspace: Workspace, said: Mapping[str, Sequence[Decision]]
) -> tuple[set[str], set[str]]:
    """Images in which reviewers boxed contraband: all, and those that no model was taught yet."""
    found = {image_id for image_id, given in said.items() if _is_find(given)}
    if not found:
        return set(), set()
    index = Index.load(workspace)
    sides = index.rows(source=Source.NEGATIVE, split=Split.TRAIN)["image_id"].to_pylist()
    taught: set[str] = set()
    for name in workspace.names("review"):
        path = training_set(workspace, name)
        if path.exists() and learners(workspace, name):
            taught |= _positives(path)
    return found, found.intersection(sides) - taught


def training_set(workspace: Workspace, review: str) -> Path:
    """Where a review's set for the next round lies, once it is written."""
    return workspace.folder("review", review) / TRAINING


def learners(workspace: Workspace, review: str) -> list[str]:
    """Finished models that learnt from a review's set as it is now, the newest last."""
    wanted = workspace.inputs(training_set(workspace, review)).items()
    return [
        name for name in workspace.names("models") if wanted <= _run(workspace, name).inputs.items()
    ]


def is_current(workspace: Workspace, review: str) -> bool:
    """Whether a review's set was made of all decisions that there are, on the release as it is."""
    path = training_set(workspace, review).with_suffix(".json")
    try:
        made = read_run(path)
    except (OSError, ValueError):
        return False
    names = reviews_with_decisions(workspace)
    files = [file for name in names for file in decision_files(workspace, name)]
    now = workspace.inputs(*files, workspace.shards / "run.json")
    return now.items() <= made.inputs.items()


def is_outdated(workspace: Workspace, review: str) -> bool:
    """Whether a review's set is known to lack decisions, what was withdrawn since, or a change of
    the release, such as of its classes.
    """
    known = training_set(workspace, review).with_suffix(".json").exists()
    return known and not is_current(workspace, review)


def teaches(workspace: Workspace, review: str, wanted: set[str]) -> bool:
    """Whether a review's set holds any of these images with their boxes."""
    return bool(wanted & _positives(training_set(workspace, review)))


def round_training(workspace: Workspace, review: str, split: str = "") -> str:
    """The command that trains on a review's set: the newest model's detector, from its weights,
    for two thirds of its epochs at half its rate. Where there is none, names are to be filled in.
    """
    names = workspace.names("models")
    words = ["sixrayd", "train", "--round", review]
    if not names:
        return shlex.join([*words, "--init", "MODEL", "--name", "NEW"])
    settings = _run(workspace, names[-1]).settings
    words += ["--init", names[-1], "--detector", settings["detector"]]
    words += ["--name", _new_name(workspace)]
    for key in ("input_size", "window", "background"):
        if isinstance(value := settings.get(key), int | float):
            words += [f"--{key.replace('_', '-')}", f"{value:g}"]
    words += _gentler(settings.get("recipe", {}))
    return shlex.join([*words, *(["--split", split] if split else [])])


def _gentler(recipe: Mapping[str, Any]) -> list[str]:
    """Fewer epochs and a lower rate than those of the weights that it starts from."""
    words = []
    if isinstance(epochs := recipe.get("epochs"), int):
        words += ["--epochs", str(-(-2 * epochs // 3))]
    if isinstance(rate := recipe.get("rate"), float):
        words += ["--learning-rate", f"{rate / 2:g}"]
    return words


def _new_name(workspace: Workspace) -> str:
    taken = {path.name for path in workspace.folders("models")}
    return next(name for n in range(2, len(taken) + 3) if (name := f"round-{n}") not in taken)


def _run(workspace: Workspace, model: str) -> Run:
    try:
        return workspace.run("models", model)
    except WorkspaceError:  # said where the stages are
        return Run("models", model, {"detector": "auto"}, {})


def _positives(path: Path) -> set[str]:
    rows = read_table(path, TRAINING_SCHEMA).to_pylist()
    return {row["image_id"] for row in rows if row["role"] == Role.POSITIVE}


def _is_find(given: Sequence[Decision]) -> bool:
    decision = settle(given, Rule.ADJUDICATOR).decision
    return decision is not None and decision.verdict == Verdict.MISSED and bool(decision.boxes)
