"""`sixrayd status`."""

import click

from sixrayd.core.command import json_option, print_json, workspace_option
from sixrayd.core.printing import echo
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace


@click.command()
@workspace_option
@json_option
def status(workspace: Workspace, as_json: bool) -> None:
    """Say what is done, what is stale, and what to run next.

    \b
    Example:
      sixrayd status -w workspace
    """
    from sixrayd.status.report import status_report

    report = status_report(workspace)
    if as_json:
        print_json(report)
        return
    for result in report.results:
        title = f"{result.stage}/{result.name}" if result.name else result.stage
        found = (result.summary or {}) if result.stage == "audit" else {}
        faults = (
            f": {counted(found['faults'], 'fault')}, {counted(found['remarks'], 'remark')}"
            if found
            else ""
        )
        echo(f"{title:<24} {result.progress}{faults}")
        for text, names in (("changed", result.changed), ("no longer there", result.gone)):
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                echo(f"  {text}: {', '.join(names[:3])}{more}")
        if result.error:
            echo(f"  {result.error}")
        if result.stage == "shards":
            if left_out := (result.summary or {}).get("left_out"):
                echo(f"  {counted(left_out, 'box')} left out by `sixrayd audit --fix`, see --undo")
            for name, counts in report.splits.items():
                echo(f"  split {name}: {counts['train']} train, {counts['test']} test")
    echo(f"next: {report.next_command}" if report.next_command else "every stage is done")
