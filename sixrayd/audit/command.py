"""`sixrayd audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sixrayd.advice.next_step import Judgement, echo_next
from sixrayd.audit.settings import AuditSettings
from sixrayd.core.command import (
    as_typed,
    json_option,
    options_of,
    print_json,
    reported,
    workspace_option,
)
from sixrayd.core.errors import printable
from sixrayd.core.findings import LIKELY_MISSED
from sixrayd.core.printing import echo
from sixrayd.core.settings_file import Names, OutsideOption
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace

if TYPE_CHECKING:
    from sixrayd.audit.settings import AuditResult

option = options_of(AuditSettings)


@click.command()
@workspace_option
@option("--most", type=click.IntRange(0, 200), help="Examples of a kind on the page and in JSON.")
@option(
    "--reach",
    type=click.FloatRange(0, min_open=True),
    help="Interquartile ranges beyond the quartiles from which a box or image is unlike the rest.",
)
@option("--least", type=click.IntRange(4), help="Boxes of a class from which on that is told.")
@option("--narrow-px", type=click.FloatRange(0), help="Pixels below which a box's side is narrow.")
@click.option(
    "--set",
    "place",
    cls=OutsideOption,
    type=click.Path(exists=True, path_type=Path),
    help="First take in this VOC, COCO or YOLO set, in a workspace of its own: -w, or NAME-audit.",
)
@click.option("--classes", type=Names(), help="Classes of --set.  [default: those it names]")
@click.option(
    "--fix",
    cls=OutsideOption,
    is_flag=True,
    help="First leave out boxes that repeat another, and narrow ones of images that keep one.",
)
@click.option("--undo", cls=OutsideOption, is_flag=True, help="First put back what --fix left out.")
@json_option
@click.pass_context
def audit(
    context: click.Context,
    /,
    workspace: Workspace,
    as_json: bool,
    place: Path | None,
    classes: tuple[str, ...] | None,
    fix: bool,
    undo: bool,
    **options: Any,
) -> None:
    """Check the images, labels and boxes of a release; exit with 3 where there are faults.

    \b
    Example:
      sixrayd audit
      sixrayd audit --set VOC2007/
      sixrayd audit --json --most 100
      sixrayd audit --fix
    """
    from sixrayd.audit.fix import apply_fix, fix_stands, left_out_boxes, undo_fix
    from sixrayd.audit.stage import audit as check

    if fix and undo:
        raise click.UsageError("--fix, --undo: one of them")
    if classes and place is None:
        raise click.UsageError("--classes: goes with --set")
    settings = AuditSettings(**options)
    if place is not None:
        if context.get_parameter_source("workspace") is not ParameterSource.COMMANDLINE:
            workspace = Workspace(Path(f"{place.resolve().name}-audit"))
        if undo and fix_stands(workspace):
            echo(f"{counted(undo_fix(workspace), 'box')} put back", err=as_json)
            undo = False
        _take(place, workspace, classes or ())
    before = left_out_boxes(workspace) if fix else frozenset()
    changes = apply_fix(workspace, settings.narrow_px) if fix else ()
    for box in sorted(before - {change.box for change in changes}):
        echo(f"{box}: put back, since it is not narrow by this limit", err=as_json)
    for change in changes:
        echo(printable(str(change)), err=as_json)
    if fix and not changes:
        echo("no box is left out", err=as_json)
    if undo:
        echo(f"{counted(undo_fix(workspace), 'box')} put back", err=as_json)
    with reported() as report:
        result = check(workspace, settings, report)
    if as_json:
        print_json(result)
    else:
        _print(workspace, result, settings.narrow_px)
        if place is None:  # else another set, which nobody is at work on
            echo_next(workspace, err=True)
    if result.faults:
        context.exit(3)


def _take(place: Path, workspace: Workspace, classes: tuple[str, ...]) -> None:
    from sixrayd.audit.other_sets import take_set

    with reported() as report:
        take_set(place, workspace, classes, report)


def _print(workspace: Workspace, result: "AuditResult", narrow_px: float) -> None:
    from sixrayd.audit.fix import fixable
    from sixrayd.audit.stage import push_command

    width = max((len(kind.flaw) for kind in result.kinds), default=0)
    for kind in result.kinds:
        line = f"{kind.severity:<6}  {kind.flaw:<{width}}  {kind.count:>7}"
        echo(f"{line}  {_first(kind.examples[0])}" if kind.examples else line)
    echo(
        f"{counted(result.images, 'image')}, {counted(result.boxes, 'box')}: "
        f"{counted(result.faults, 'fault')}, {counted(result.remarks, 'remark')}"
    )
    if any(kind.flaw in LIKELY_MISSED for kind in result.kinds):
        first, line = "once a detector is trained and has mined, ", push_command(workspace)
        if mined := workspace.names("mine")[-1:]:
            # As the last push was: without its options all that is flagged would go out.
            judged = Judgement(workspace)
            pushed = judged.push_of(mined[0], judged.reviews.not_sent(mined[0]), duplicates=True)
            first, line = "", workspace.command(pushed)
        echo(f"likely missed contraband; {first}send it: {line}", err=True)
    echo(f"in {result.page}", err=True)
    if count := fixable(workspace, narrow_px):
        what = f"leaves out {counted(count, 'repeated or narrow box')}; --undo puts it back"
        line = workspace.command(as_typed(fix=True, undo=False))
        echo(f"mend: {line}, which {what}", err=True)


def _first(example: Any) -> str:
    """One finding on one line."""
    beside = f" = {example['other_id']}" if example["other_id"] else ""
    name = example["box_id"] or example["image_id"] or example["where"]
    text = printable(f"{name}{beside}: {example['text']}")
    return text if len(text) <= 78 else text[:77] + "…"
