"""The one judgement of what is to be done next, which every command prints as `next:`."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sixrayd.advice.lines import (
    estimate_again,
    export_again,
    longer_training,
    named,
    options_of,
    push_again,
    table_of,
    where_of,
)
from sixrayd.advice.results import ResultStatus, StageProgress, stage_results
from sixrayd.advice.reviews import OnServer, Reviews, ReviewState
from sixrayd.advice.rounds import (
    WORTH,
    found_to_learn,
    is_current,
    is_outdated,
    learners,
    round_training,
    teaches,
)
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.locks import Holder
from sixrayd.core.printing import echo
from sixrayd.core.records import ADJUDICATION, APART, LOCAL
from sixrayd.core.restored import check_restored
from sixrayd.core.stages import STAGES, verb
from sixrayd.core.words import counted
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.decision import reviews_with_decisions
from sixrayd.decisions.unsettled import Unsettled

LEARNT = 0.05  # average precision below which mining wastes reviewers' time
CHECKS = 100  # drawn at random where a detector has flagged nothing
FIRST_PUSH = 2000  # images: a first day of three people, the likeliest; the rest in later pushes
REVIEWERS, THE_ADJUDICATOR = "reviewers", "the adjudicator"
A_MENDED_FILE = "a mended file"
_INTERRUPTED = f"it is {StageProgress.INTERRUPTED}"
_GIVES_WORK = tuple(f"sixrayd review {each}" for each in ("push", "adjudicate", "serve"))
_NOT_MINED = "the round's model has not mined"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done next.

    Args:
        command: to type; empty where nothing is left to do.
        why: in a few words; empty where it has simply not been done yet.
        waits_for: who or what must be done first: people, or a process.
        meanwhile: a command that gives people work while this waits or computes; empty for none.
    """

    command: str
    why: str
    waits_for: str = ""
    meanwhile: str = ""

    def __str__(self) -> str:
        if not self.command:
            return "nothing is left to do"
        return f"{self.waits_for}, then {self.command}" if self.waits_for else self.command


NOTHING_LEFT = Step("", "every stage is done")


def next_lines(step: Step) -> Iterator[str]:
    """What every command ends with."""
    if step.meanwhile:
        yield f"meanwhile: {step.meanwhile}"
    yield f"next: {step}"


def echo_next(
    workspace: Workspace, err: bool = False, on_server: Mapping[str, OnServer] = {}
) -> None:
    """Print what comes next, as `sixrayd status` does."""
    step = Judgement(workspace, on_server).step
    *before, last = next_lines(step)
    told = f" ({step.why})" if step.waits_for == A_MENDED_FILE else ""
    for line in (*before, last + told):
        echo(line, err=err)


class Judgement:
    """What a workspace has come to; nothing is written.

    Args:
        on_server: what servers say of reviews, by name; without it the files alone count.
    """

    def __init__(self, workspace: Workspace, on_server: Mapping[str, OnServer] = {}) -> None:
        self.workspace = workspace
        self.reviews = Reviews(workspace, on_server)

    @cached_property
    def results(self) -> dict[str, list[ResultStatus]]:
        """All results by stage, the newest of a stage last."""
        return stage_results(self.workspace)

    @cached_property
    def running(self) -> list[Holder]:
        """Who writes in the workspace now."""
        return self.workspace.busy()

    @cached_property
    def step(self) -> Step:
        """The first thing that is left to do; where a file is broken, to see to that."""
        try:
            check_restored(self.workspace)
            step = next(self._steps(), NOTHING_LEFT)
            beside = next(self._beside(step), "")
            meanwhile = beside and self.workspace.command(beside)
        except WorkspaceError as error:
            return Step(self.workspace.command("sixrayd status"), str(error), A_MENDED_FILE)
        for by in self.workspace.busy(_stage_of(step)) if step.command else []:
            doing = f" ({by.doing})" if by.doing else ""
            status = self.workspace.command("sixrayd status")
            return Step(status, f"{by}{doing} is at work", f"{by}{doing}", meanwhile)
        command = step.command and self.workspace.command(step.command)
        return replace(step, command=command, meanwhile=meanwhile)

    def push_of(self, review: str, left: int = 0, hidden: int = 0, **changed: Any) -> str:
        """The push of a review with the options of its last one, or of the review before.

        Args:
            left: images that were not sent; where there are some, the limit is twice as high.
            hidden: images to be drawn that are to be hidden among as many more of the queue.
            changed: options that are to be others, by field.
        """
        state = self._state_of(review)
        state = replace(state, options={**state.options, **changed})
        return self._push(self._with_more_queue(state, hidden) if hidden else state, left)

    def to_strew(self, review: str) -> int:
        """Spot checks and planted images of a review that were not sent."""
        return self._state_of(review).strewn

    def pull_of(self, review: str) -> str:
        """The pull of a review from its server."""
        state = self._state_of(review)
        return f"sixrayd review pull{self._name(state)}{where_of(state)}"

    def again_of(self, review: str, lane: str) -> str:
        """What sends tasks of a lane again that its server has no more."""
        return self._send_again(self._state_of(review), lane)

    def push_options(self, review: str) -> Mapping[str, Any]:
        """Options of the last push of a review, or of the review before."""
        return self._state_of(review).options

    def server_start(self, review: str) -> str:
        """What starts the server of a review; empty where it runs, or is not ours to start."""
        return self._on(self._state_of(review).server, NOTHING_LEFT).command

    def _state_of(self, review: str) -> ReviewState:
        return self.reviews.of(review) or self._like_the_last(review)

    def _steps(self) -> Iterator[Step]:
        """All that is left to do, the first thing first; commands without the workspace."""
        yield from self._of_release()
        if not self.results["mine"] or self._must_train():
            yield from self._of_stale_set()
            yield from self._of_results("models", "what it learnt from has changed")
        yield from self._of_mining()
        for state in reversed(self.reviews.states):
            yield from self._of_review(state)
        yield from self._of_queue()
        if reviews_with_decisions(self.workspace):
            yield from self._of_results("estimate", "answers have come since")
            yield from self._of_results("export", "answers or an estimate have come since")
            yield from self._of_round()
        if self.results["export"] or self.results["benchmark"]:
            yield from self._of_results("benchmark", "what it judged has changed")

    def _beside(self, step: Step) -> Iterator[str]:
        """What gives people work while a step waits for others, or while a model learns or mines
        whose results will not replace what is waiting.
        """
        computes = step.why.startswith((_INTERRUPTED, _NOT_MINED))
        computes &= verb(step.command) in (verb(STAGES["models"]), verb(STAGES["mine"]))
        if not computes and step.waits_for != REVIEWERS:
            return
        waiting = [each for state in self.reviews.states for each in self._of_review(state)]
        waiting += self._of_queue() if computes and self._is_sound(self._newest("mine")) else []
        for each in waiting:
            if not each.waits_for and each.command.startswith(_GIVES_WORK):
                yield each.command

    def _is_sound(self, mined: ResultStatus | None) -> bool:
        """Whether a mining is of what there is now, and of a model that had learnt something."""
        if mined is None or mined.progress is not StageProgress.DONE:
            return False
        run = self.workspace.held("mine", mined.name)
        return not (run and any(self._of_learning(str(run.settings.get("model", "")))))

    def _newest(self, stage: str) -> ResultStatus | None:
        found = self.results[stage]
        return found[-1] if found else None

    def _of_release(self) -> Iterator[Step]:
        newest = self._newest("shards")
        if newest is None or newest.progress is not StageProgress.DONE:
            there = self.workspace.root.exists()
            nothing = "nothing is ingested" if there else f"{self.workspace.root} is not there"
            why = nothing if newest is None else f"the ingest is {newest.progress}"
            if newest is not None and newest.progress is StageProgress.STALE:
                yield self._anew("shards", newest, why)
            else:
                yield Step(self.workspace.typed("shards") or STAGES["shards"], why)

    def _of_learning(self, model: str) -> Iterator[Step]:
        """The training of a model that must not mine yet."""
        if model not in self.workspace.names("models"):
            return  # detections of another's
        run = self.workspace.run("models", model)
        precision = table_of(run.summary, "validation").get("mean", 1.0)
        if isinstance(precision, int | float) and precision < LEARNT:
            yield from self._of_set(run)
            why = f"it has learnt next to nothing: validation AP {precision:.3f}"
            yield Step(longer_training(self.workspace.typed("models", model), run), why)

    def _of_stale_set(self) -> Iterator[Step]:
        """The set of the newest model's round, where the model is to be made again."""
        newest = self._newest("models")
        if newest and newest.progress is StageProgress.STALE:
            yield from self._of_set(self.workspace.run("models", newest.name))

    def _of_set(self, run: Run) -> Iterator[Step]:
        """The set of a model's round anew, where it is not of what there is now."""
        review = str(run.settings.get("round") or "")
        if review and is_outdated(self.workspace, review):
            line = f"sixrayd review next --name {shlex.quote(review)}"
            line += options_of(run.settings, {"split": ""})
            yield Step(line, "decisions or the release have changed since its round was written")

    def _of_mining(self) -> Iterator[Step]:
        newest, mined = self._newest("models"), self._newest("mine")
        if newest and not mined:
            yield from self._of_learning(newest.name)
        if not self._negatives():
            return
        if newest and self._is_of_round(newest.name) and not self._mined(newest.name):
            yield from self._of_learning(newest.name)
            line = f"sixrayd mine --model {shlex.quote(newest.name)}"
            yield Step(line, _NOT_MINED)
        review = self.reviews.of(mined.name) if mined else None
        killed = mined is not None and mined.progress is StageProgress.INTERRUPTED
        if review is not None and review.left and not killed:
            return  # people are at work on it, as it was sent
        if mined and (review is None or mined.progress is not StageProgress.DONE):
            run = self.workspace.held("mine", mined.name)
            model = str(run.settings.get("model", "")) if run else ""
            longer = list(self._of_learning(model))
            if longer and newest and newest.name != model and not self._mined(newest.name):
                yield from self._of_learning(newest.name)
                line = f"sixrayd mine --model {shlex.quote(newest.name)}"
                yield Step(
                    line,
                    "what mined has learnt next to nothing; a newer model has not mined",
                )
            yield from longer
            lost = model not in self.workspace.names("models")
            if lost and f"models/{model}/run.json" in mined.changed:
                line = f"sixrayd train --name {shlex.quote(model)}"
                yield Step(line, "the model that mined is gone")
        yield from self._of_results("mine", "its model or the release has changed")

    def _of_review(self, state: ReviewState) -> Iterator[Step]:
        newest = state is self.reviews.states[-1]
        pull = self.pull_of(state.name)
        steps = []
        if not state.whole:
            steps.append(Step(self._push(state), "the last push or pull was killed"))
        if state.strewn:
            why = f"{counted(state.strewn, 'image')} drawn or planted, not sent"
            steps.append(Step(self._push(self._with_more_queue(state, state.strewn)), why))
        for lane, gone in state.lacking.items():
            line = self._send_again(state, lane)
            steps.append(Step(line, f"{counted(gone, 'task')} gone from the server"))
        if newest and state.left:
            told = f"{state.answered:,} of {counted(state.tasks, 'answer')}"
            if state.skipped:  # else who skipped them waits for others, and these for him
                told += f"; {state.skipped:,} skipped, to be opened from the project's list"
            steps.append(Step(pull, told, REVIEWERS))
        elif state.not_pulled:
            steps.append(Step(pull, f"{counted(state.not_pulled, 'answer')} to bring in"))
        elif state.checks_left:  # the queue goes on in a newer review, its sample does not
            told = f"{counted(state.checks_left, 'spot check')} without an answer"
            steps.append(Step(pull, told, REVIEWERS))
        if state.to_confirm:
            why = f"{counted(state.to_confirm, 'find')} that one reader alone saw"
            steps.append(Step(self._push(state), why))
        if state.unsettled.to_send:
            steps.append(Step(self._adjudicate(state), str(state.unsettled)))
        if state.unsettled.with_adjudicator:
            steps.append(Step(pull, str(state.unsettled), THE_ADJUDICATOR))
        yield from (self._on(state.server, step) for step in steps)

    def _of_queue(self) -> Iterator[Step]:
        """What was flagged and not sent."""
        names = self.workspace.names("mine")
        if not names:
            if not self._negatives() and not self.reviews.states:
                line = "sixrayd review push --from positives"
                yield self._on(LOCAL, Step(line, "the release has no negatives to mine"))
            return
        state, left = self.reviews.of(names[-1]), self.reviews.not_sent(names[-1])
        sample = self.workspace.folder("estimate", names[-1]) / "sample.parquet"
        if left:
            state = state or self._like_the_last(names[-1])
            why = f"{counted(left, 'flagged image')} not sent"
            yield self._on(state.server, Step(self._push(state, left), why))
        elif state is None and sample.exists():
            yield self._on(LOCAL, Step("sixrayd review push", "spot checks are not sent"))
        elif state is None and not reviews_with_decisions(self.workspace):
            line = f"sixrayd estimate --sample {min(CHECKS, self._negatives())}"
            yield Step(line, "the detector flagged nothing")

    def _of_results(self, stage: str, why: str) -> Iterator[Step]:
        """A result that is missing, must be made again, or was interrupted."""
        newest = self._newest(stage)
        if newest is None:
            yield Step(STAGES[stage], "")
        elif newest.progress is StageProgress.STALE:
            yield self._anew(stage, newest, why)
        elif newest.progress is not StageProgress.DONE:
            yield self._again(stage, newest)

    def _of_round(self) -> Iterator[Step]:
        newest = self._newest("models")
        if newest is None or not self._negatives() or not self.reviews.states:
            return
        found, fresh = found_to_learn(self.workspace, self.reviews.said)
        if len(fresh) < max(1, WORTH * len(found)):
            return
        why = f"no model has learnt from {len(fresh)} of the {counted(len(found), 'find')} yet"
        name = self.reviews.states[-1].name
        if not is_current(self.workspace, name):
            yield Step(f"sixrayd review next{self._name(self.reviews.states[-1])}", why)
        elif teaches(self.workspace, name, fresh) and not learners(self.workspace, name):
            yield Step(round_training(self.workspace, name), why)

    def _must_train(self) -> bool:
        """Whether the newest model is to be finished, or made again of another release."""
        newest = self._newest("models")
        if newest is None or newest.progress is StageProgress.DONE:
            return False
        stale = newest.progress is StageProgress.STALE
        return not stale or any(key.startswith("shards/") for key in newest.changed)

    def _again(self, stage: str, result: ResultStatus) -> Step:
        line, why = self.workspace.typed(stage, result.name), f"it is {result.progress}"
        if not line:
            return Step(named(stage, result), f"{why}; with which options is not known")
        if stage == "mine":  # all shards, not those that one call was for
            shards = {path.name for path in self.workspace.shards.glob("*.tar")}
            line = shlex.join(word for word in shlex.split(line) if word not in shards)
        return Step(line, why)

    def _anew(self, stage: str, result: ResultStatus, why: str) -> Step:
        if stage == "estimate":
            return Step(estimate_again(self.workspace.run(stage, result.name)), why)
        if stage == "export":
            return Step(export_again(self.workspace.run(stage, result.name)), why)
        line = self.workspace.typed(stage, result.name) or named(stage, result)
        return Step(line + " --force" * ("--force" not in line.split()), why)

    def _negatives(self) -> int:
        known = self.workspace.run("shards").summary.get("negatives")
        return known if isinstance(known, int) else CHECKS

    def _is_of_round(self, model: str) -> bool:
        run = self.workspace.held("models", model)
        return run is not None and bool(run.settings.get("round"))

    def _mined(self, model: str) -> bool:
        runs = (self.workspace.held("mine", result.name) for result in self.results["mine"])
        return any(run is not None and run.settings.get("model") == model for run in runs)

    def _on(self, server: str, step: Step) -> Step:
        """A step that needs a review server, or the start of the workspace's own."""
        up = server != LOCAL or self.reviews.server_is_up()
        return step if up else Step("sixrayd review serve --background", step.why)

    def _like_the_last(self, mining: str) -> ReviewState:
        """A review that has not been pushed, by the options of the one before."""
        options: dict[str, Any] = {}
        server = LOCAL
        for before in self.reviews.states[-1:]:
            kept = ("reviewers", "share", "confirm_finds", "duplicates", "kind")
            options = {key: before.options[key] for key in kept if key in before.options}
            server = before.server
        return ReviewState(mining, {}, None, 0, 0, Unsettled(), True, server, options)

    def _push(self, state: ReviewState, left: int = 0) -> str:
        """The push of a review again, with as much again of what is left."""
        options = dict(state.options)
        limit = options.get("limit")
        if left and isinstance(limit, int):
            options["limit"] = 2 * limit if left > limit else None
        elif left > FIRST_PUSH and not state.lanes:
            options["limit"] = FIRST_PUSH
        is_newest = state.name in (*self.workspace.names("mine")[-1:], *APART)
        return push_again(replace(state, options=options), is_newest)

    def _with_more_queue(self, state: ReviewState, hidden: int) -> ReviewState:
        """A review with as many more of its queue as are to be strewn in, to hide these."""
        limit = state.options.get("limit")
        if not isinstance(limit, int):
            return state
        more = self.reviews.hiding(state.name, hidden)
        return replace(state, options={**state.options, "limit": limit + more})

    def _adjudicate(self, state: ReviewState) -> str:
        return f"sixrayd review adjudicate{self._name(state)}{where_of(state)}"

    def _send_again(self, state: ReviewState, lane: str) -> str:
        return self._adjudicate(state) if lane == ADJUDICATION else self._push(state)

    def _name(self, state: ReviewState) -> str:
        return f" --name {shlex.quote(state.name)}" * (len(self.reviews.states) > 1)


def _stage_of(step: Step) -> str:
    """The stage that a command writes; empty where it writes none or all."""
    for stage, line in STAGES.items():
        if verb(line) == verb(step.command):
            return stage
    return ""
