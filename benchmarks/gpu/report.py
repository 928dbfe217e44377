"""The report as Markdown, to be pasted into docs/gpu.md."""

from collections.abc import Iterator
from typing import Any


def markdown(document: dict[str, Any]) -> str:
    """A heading, and for each part what became of it and its tables."""
    lines = [f"# Measured on {document['device_name']}", "", document["how"], ""]
    lines += ["| part | status | seconds |", "|---|---|---|"]
    for part in document["parts"]:
        lines.append(f"| {part['name']} | {part['status']} | {_shown(part.get('seconds', ''))} |")
    for part in document["parts"]:
        lines += ["", f"## {part['name'].capitalize()}", *_part(part)]
    return "\n".join(lines) + "\n"


def _part(part: dict[str, Any]) -> Iterator[str]:
    if part["status"] != "ok":
        yield f"{part['status'].capitalize()}: {part.get('error', 'not yet begun')}."
    tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in part.get("rows", []):
        tables.setdefault(tuple(row), []).append(row)
    for rows in tables.values():
        yield from ("", *_table(rows))
    if part.get("notes"):
        yield ""
    yield from (f"- {note}" for note in part.get("notes", []))
    if part.get("trimmed"):
        yield from ("", f"Left out for lack of time: {', '.join(part['trimmed'])}.")


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| " + " | ".join(key.replace("_", " ") for key in rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows:
        yield "| " + " | ".join(_shown(value).replace("|", "/") for value in row.values()) + " |"


def _shown(value: Any) -> str:
    """Numbers with four digits that count."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
