"""`sixrayd status`."""

from collections.abc import Iterator

import click

from sixrayd.advice.next_step import next_lines
from sixrayd.advice.results import ResultStatus, StageProgress
from sixrayd.advice.reviews import ReviewState
from sixrayd.core.command import json_option, print_json, workspace_option
from sixrayd.core.printing import echo
from sixrayd.core.words import counted, first_of
from sixrayd.core.workspace import STAGES, Workspace
from sixrayd.status.report import StatusReport, status_report

_SHOWN = 3  # results of a stage, and inputs of a result


@click.command()
@workspace_option
@json_option
def status(workspace: Workspace, as_json: bool) -> None:
    """Say what is done, how far reviewers are, what runs, and what to do next.

    Asks the workspace's own review server, where it runs, for answers that were not pulled.

    \b
    Example:
      sixrayd status -w workspace
    """
    from sixrayd.status.live import ask_server

    told, silent = ask_server(workspace)
    report = status_report(workspace, told)
    if silent:
        echo(f"the review server does not say how far it is: {silent}", err=True)
    if as_json:
        print_json(report)
        return
    for line in _lines(report):
        echo(line)


def _lines(report: StatusReport) -> Iterator[str]:
    reviews = {state.name: state for state in report.reviews}
    for stage in STAGES:
        found = [result for result in report.results if result.stage == stage]
        shown = [r for r in found[:-_SHOWN] if r.progress is not StageProgress.DONE][-_SHOWN:]
        if hidden := len(found[:-_SHOWN]) - len(shown):
            yield f"{stage:<24} {counted(hidden, 'older result')}"
        for result in (*shown, *found[-_SHOWN:]):
            state = reviews.pop(result.name, None) if stage == "review" else None
            yield from _of_result(result, state)
        if stage == "shards":
            for name, counts in report.splits.items():
                yield f"  split {name}: {counts['train']:,} train, {counts['test']:,} test"
        if stage == "review":
            for state in reviews.values():  # killed before they were whole
                yield f"{'review/' + state.name:<24} interrupted{_of_people(state)}"
    if report.not_sent:
        yield f"{counted(report.not_sent, 'flagged image')} not sent to reviewers"
    for what in report.running:
        yield f"running now: {what}"
    if report.next.why and report.next.command:
        yield f"why: {report.next.why}"
    yield from next_lines(report.next)


def _of_result(result: ResultStatus, state: ReviewState | None) -> Iterator[str]:
    title = f"{result.stage}/{result.name}" if result.name else result.stage
    summary = result.summary or {}
    faults = (
        f": {counted(summary['faults'], 'fault')}, {counted(summary['remarks'], 'remark')}"
        if result.stage == "audit" and summary.keys() >= {"faults", "remarks"}
        else ""
    )
    people = _of_people(state) if state else ""
    yield f"{title:<24} {result.progress}{faults}{people}"
    for text, names in (("changed", result.changed), ("no longer there", result.gone)):
        if names:
            yield f"  {text}: {first_of(names, _SHOWN)}"
    if result.error:
        yield f"  {result.error}"
    if result.stage == "shards" and (left_out := summary.get("left_out")):
        yield f"  {counted(left_out, 'box')} left out by `sixrayd audit --fix`, see --undo"


def _of_people(state: ReviewState) -> str:
    answered, tasks = state.in_all
    parts = [f": {answered:,} of {counted(tasks, 'answer')}"]
    for count, what in (
        (state.not_pulled, "not brought in"),
        (state.to_confirm, "finds for a second person"),
        (state.strewn, "drawn or planted, not sent"),
    ):
        parts += [f"{count:,} {what}"] if count else []
    if state.unsettled.images:
        parts.append(str(state.unsettled))
    return ", ".join(parts)
