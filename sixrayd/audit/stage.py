"""The audit: findings of an ingest as a table, a page and counts."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from sixrayd.audit.boxes import box_findings
from sixrayd.audit.duplicates import duplicate_findings
from sixrayd.audit.found import FOUND_SCHEMA, ORDER, sorted_findings
from sixrayd.audit.images import image_findings
from sixrayd.audit.labels import ingest_findings, label_findings
from sixrayd.audit.page import audit_page
from sixrayd.audit.settings import AuditResult, AuditSettings, FlawCount
from sixrayd.audit.tables import FILES, IngestTables
from sixrayd.audit.thumbnails import Thumbnails
from sixrayd.core.files import remove, replacing, sha256_file, write_bytes
from sixrayd.core.findings import Severity
from sixrayd.core.progress import Report, untold
from sixrayd.core.spreadsheets import FORMULA, NUMBER
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.typed import TYPED
from sixrayd.core.words import counted
from sixrayd.core.workspace import Run, Workspace

STAGE = "audit"
_AT_ONCE = 1 << 16  # rows
_OUTPUTS = ("findings.parquet", "findings.csv", "report.html")


def audit(
    workspace: Workspace,
    settings: AuditSettings = AuditSettings(),
    report: Report = untold,
) -> AuditResult:
    """Check an ingested detection set and say what is wrong with it.

    A finished audit of the same ingest with the same settings is left as it is.

    Args:
        report: told of progress: of what, how much is done, of how much.

    Raises:
        WorkspaceError: nothing is ingested, or a table is broken.
        ShardError: a shard is gone or has changed since the ingest.
    """
    with workspace.lock("audit"):
        workspace.run("shards")
        files = (path for name in FILES if (path := workspace.shards / name).exists())
        inputs = workspace.upstream(("shards", "")) | workspace.inputs(*files)
        run = Run(STAGE, "", asdict(settings), inputs)
        folder = workspace.folder(STAGE)
        workspace.check_own(folder)
        if not all((folder / name).exists() for name in _OUTPUTS):
            (folder / "run.json").unlink(missing_ok=True)  # somebody has removed one
        written = workspace.begin(run)
        if written:
            for path in folder.iterdir():  # what a killed audit left
                if path.name not in ("plan.json", TYPED):
                    remove(path)
            summary = _write(workspace, settings, report)
            outputs = {name: sha256_file(folder / name) for name in _OUTPUTS}
            workspace.finish(replace(run, outputs=outputs, summary=summary))
        return _result(workspace, settings.most, written)


def _write(workspace: Workspace, settings: AuditSettings, report: Report) -> dict[str, Any]:
    tables = IngestTables.load(workspace)
    classes = workspace.classes()
    rules: list[str] = []
    table = sorted_findings(
        [
            *image_findings(tables, settings, report, rules),
            *label_findings(tables, classes),
            *ingest_findings(tables),
            *box_findings(tables, classes, settings, rules),
            *duplicate_findings(tables),
        ]
    )
    folder = workspace.folder(STAGE)
    write_table(folder / "findings.parquet", table, FOUND_SCHEMA)
    _write_csv(folder / "findings.csv", table)
    summary: dict[str, Any] = {
        "images": len(tables.index),
        "boxes": len(tables.boxes),
        **{f"{severity}s": _count(table, "severity", severity) for severity in Severity},
        "kinds": {str(flaw): n for flaw in ORDER if (n := _count(table, "flaw", flaw))},
        "rules": rules,
    }
    facts = [
        ("Release", str(workspace.run("shards").settings.get("release", ""))),
        ("Images", f"{len(tables.index):,}"),
        ("Boxes", f"{len(tables.boxes):,}"),
        ("Findings", f"{summary['faults']:,} faults, {summary['remarks']:,} remarks"),
    ]
    if left_out := workspace.run("shards").summary.get("left_out"):
        facts.append(
            ("Left out by --fix", f"{counted(left_out, 'box')}, listed in shards/fix/patch.jsonl")
        )
    kinds = _kinds(table, summary["kinds"], settings.most)
    push = push_command(workspace)
    page = audit_page(facts, kinds, rules, Thumbnails(tables), push)
    write_bytes(folder / "report.html", page.encode("utf-8"))
    return summary


def push_command(workspace: Workspace) -> str:
    """What sends negatives that resemble a positive to reviewers, once there is a mining."""
    return workspace.command("sixrayd review push --duplicates")


def _count(table: pa.Table, column: str, value: str) -> int:
    return int(pc.sum(pc.equal(table[column], str(value))).as_py() or 0)


def _kinds(table: pa.Table, counts: Mapping[str, int], most: int) -> tuple[FlawCount, ...]:
    """Each kind with its first findings; the table is sorted by kind."""
    kinds, start = [], 0
    for flaw in ORDER:
        if count := counts.get(str(flaw), 0):
            first = table.slice(start, min(count, most)).to_pylist()
            kinds.append(FlawCount(str(flaw), str(flaw.severity), count, tuple(first)))
            start += count
    return tuple(kinds)


def _write_csv(path: Path, table: pa.Table) -> None:
    """The table as CSV, in which no cell is a spreadsheet's formula."""
    with replacing(path) as beside, csv.CSVWriter(str(beside), table.schema) as writer:
        for batch in table.to_batches(_AT_ONCE):
            writer.write_batch(pa.record_batch([_safe(column) for column in batch], table.schema))


def _safe(column: pa.Array) -> pa.Array:
    number = pc.match_substring_regex(column, NUMBER)
    formula = pc.and_not(pc.match_substring_regex(column, FORMULA), number)
    return pc.if_else(formula, pc.binary_join_element_wise("'", column, ""), column)


def _result(workspace: Workspace, most: int, written: bool) -> AuditResult:
    folder = workspace.folder(STAGE)
    summary = workspace.run(STAGE).summary
    table = read_table(folder / "findings.parquet", FOUND_SCHEMA)
    return AuditResult(
        **{key: summary[key] for key in ("faults", "remarks", "images", "boxes")},
        kinds=_kinds(table, summary["kinds"], most),
        rules=tuple(summary["rules"]),
        page=str(folder / "report.html"),
        table=str(folder / "findings.parquet"),
        written=written,
    )
