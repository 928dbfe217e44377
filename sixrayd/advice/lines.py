"""Commands as lines to type: a result's own again, with the options that it had."""

import shlex
from collections.abc import Mapping
from typing import Any

from sixrayd.advice.results import ResultStatus
from sixrayd.advice.reviews import ReviewState
from sixrayd.core.records import APART, LOCAL
from sixrayd.core.stages import STAGES
from sixrayd.core.workspace import Run


def where_of(state: ReviewState) -> str:
    """The options that name a review's server; none for the workspace's own."""
    if state.server == LOCAL:
        return ""
    kind = state.options.get("kind")  # of server, where it is no Label Studio
    return f" --url {shlex.quote(state.server)}" + (
        f" --server {shlex.quote(kind)}" if isinstance(kind, str) else ""
    )


def named(stage: str, result: ResultStatus) -> str:
    """A stage's usual command, for a result of which no other is known."""
    if stage == "export":  # which is named after its review
        return f"{STAGES[stage]} --force"
    return STAGES[stage] + f" --name {shlex.quote(result.name)}" * bool(result.name)


def table_of(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table within settings that may be a stranger's; empty where it is none."""
    found = settings.get(key)
    return found if isinstance(found, dict) else {}


def options_of(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """What differs from the defaults, as options."""
    return "".join(
        f" --{key.replace('_', '-')} {shlex.quote(str(settings[key]))}"
        for key, default in defaults.items()
        if settings.get(key, default) not in (default, None)
    )


def push_again(state: ReviewState, is_newest: bool) -> str:
    """The push of a review with its options.

    Args:
        is_newest: it is what a push without a name is of.
    """
    line = "sixrayd review push" + f" --name {shlex.quote(state.name)}" * (not is_newest)
    origin = state.options.get("origin")
    line += f" --from {origin}" * (origin in APART)
    line += options_of(state.options, {"limit": None, "reviewers": 1, "share": 1.0})
    looks = state.options.get("confirm_finds")
    if isinstance(looks, int | float) and 0 < looks <= 1:
        line += " --confirm-finds" + f" {looks:g}" * (looks < 1)
    flags = ("duplicates", "again")
    line += "".join(f" --{key}" for key in flags if state.options.get(key) is True)
    return line + where_of(state)


def longer_training(line: str, run: Run) -> str:
    """A training of twice the epochs."""
    words = shlex.split(line or f"sixrayd train --name {shlex.quote(run.name)}")
    if "--epochs" in words:
        at = words.index("--epochs")
        del words[at : at + 2]
    epochs = table_of(run.settings, "recipe").get("epochs")
    twice = str(2 * epochs) if isinstance(epochs, int) else "MORE"
    words = [word for word in words if word != "--force"]
    return shlex.join([*words, "--epochs", twice, "--force"])


def estimate_again(run: Run) -> str:
    """An estimate of the same bound and target."""
    line = "sixrayd estimate"
    bound, target = (table_of(run.settings, key) for key in ("bound", "target"))
    usual = {"confidence": 0.95, "sensitivity": 1.0, "consensus": "adjudicator", "gamma": 1.0}
    line += options_of(bound, usual)  # a second look is no single one
    line += " --confirmed" * (bound.get("confirmed") is True)
    wanted = {f"target_{key}": value for key, value in target.items()}
    return line + options_of(wanted, {"target_left": None, "target_recall": None})


def export_again(run: Run) -> str:
    """An export of the same forms into the same folder; its version is no other content's."""
    settings = run.settings
    forms = [form for form in settings.get("forms", ["voc"]) if form.isalnum()]  # a stranger's
    line = " ".join(["sixrayd export", *(f"--{form}" for form in forms)])
    usual = {"out": "", "consensus": "adjudicator", "split": "", "images": "copy"}
    line += options_of(settings, {**usual, "images_from": ""})
    if sets := settings.get("sets"):
        line += f" --with {shlex.quote(','.join(sets))}"
    line += " --without-trainval" * (settings.get("trainval") is False)
    flags = ("with_negatives", "pseudonyms", "looks")
    line += "".join(f" --{key.replace('_', '-')}" for key in flags if settings.get(key) is True)
    return line + " --force"
