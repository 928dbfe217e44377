"""What a comparison looks like on a terminal, and as one JSON document."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from sixrayd.core.errors import printable
from sixrayd.core.findings import Finding
from sixrayd.core.voc import VocObject
from sixrayd.core.words import counted
from sixrayd.datasets.label_hash import LabelCounts
from sixrayd.datasets.labelled import LabelledSet
from sixrayd.datasets.patches import object_in_words
from sixrayd.diff.boxes import BoxChange, BoxKind
from sixrayd.diff.compare import Diff

_MOST_FINDINGS = 1000  # of a set in the document
_WORDS = {
    "only_in_a": "only in A",
    "only_in_b": "only in B",
    "other_bytes": "with other bytes",
    "renamed": "under another id",
    "became_negative": "positive → negative",
    "became_positive": "negative → positive",
    "newly_labelled": "labelled in B alone",
    "no_longer_labelled": "labelled in A alone",
}


def diff_lines(found: Diff, forms: tuple[str, str], examples: int) -> Iterator[str]:
    """The comparison for people: both sets, counts of images and boxes, examples of each kind."""
    for name, form, counts in zip("AB", forms, (found.a, found.b), strict=True):
        yield f"{name}  {_set_words(form, counts)}"
    if not found.differs:
        yield "no difference"
        return
    if found.a.labels == found.b.labels:
        yield "the labels are the same; images or splits differ"
    yield f"{found.in_both:>9,}  images in both"
    for field in fields(found.images):
        ids = getattr(found.images, field.name)
        if ids:
            shown = "".join(f"  {_id_words(one)}" for one in ids[:examples])
            yield f"{len(ids):>9,}  {_WORDS[field.name]}:{shown}{'  …' * (len(ids) > examples)}"
    if found.splits:
        moved = [
            f"  {s.image_id} {printable(s.split)} {s.before} → {s.after}" for s in found.splits
        ]
        more = "  …" * (len(moved) > examples)
        yield f"{len(moved):>9,}  on another side:{','.join(moved[:examples])}{more}"
    yield from _table(found)
    for kind in BoxKind:
        chosen = [change for change in found.boxes if change.kind == kind]
        yield from (_box_words(change) for change in chosen[:examples])


def finding_lines(findings: Sequence[Finding], examples: int) -> Iterator[str]:
    """What is wrong with a set, for people: what loses something first."""
    if not findings:
        return
    lost = sum(finding.flaw.loses for finding in findings)
    yield f"{counted(len(findings), 'finding')}, something is left out by {lost:,}"
    yield from (printable(finding) for finding in _worst_first(findings)[:examples])
    if len(findings) > examples:
        yield f"and {len(findings) - examples:,} more; --json lists up to {_MOST_FINDINGS:,}"


def diff_document(found: Diff, sets: tuple[LabelledSet, LabelledSet]) -> dict[str, Any]:
    """All that changed, with every id and box, and what is wrong with the sets."""
    return {
        "differs": found.differs,
        "a": _set_said(sets[0], found.a),
        "b": _set_said(sets[1], found.b),
        "images": {"in_both": found.in_both, **asdict(found.images)},
        "boxes": found.counts,
        "changes": [_change_said(change) for change in found.boxes],
        "splits": [asdict(change) for change in found.splits],
    }


def _set_said(labelled: LabelledSet, counts: LabelCounts) -> dict[str, Any]:
    shown = _worst_first(labelled.findings)[:_MOST_FINDINGS]
    return {
        "form": labelled.form,
        **asdict(counts),
        "findings": len(labelled.findings),
        "first_findings": [asdict(finding) for finding in shown],
    }


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: not finding.flaw.loses)


def _set_words(form: str, counts: LabelCounts) -> str:
    return (
        f"{form}: {counted(counts.images, 'image')} with labels, {counts.positives:,} positive, "
        f"{counted(counts.boxes, 'box')}, label hash {counts.labels[:16]}"
    )


def _id_words(one: str | tuple[str, str]) -> str:
    return printable(one if isinstance(one, str) else f"{one[0]} → {one[1]}")


def _table(found: Diff) -> Iterator[str]:
    names = {label: printable(label, 40) for label, n in found.counts.items() if any(n.values())}
    if not names:
        return
    width = max(len("class"), *map(len, names.values()))
    yield "class".ljust(width) + "".join(f"{kind:>12}" for kind in BoxKind)
    for label, name in names.items():
        counts = found.counts[label]
        yield name.ljust(width) + "".join(f"{counts[kind]:>12,}" for kind in BoxKind)


def _box_words(change: BoxChange) -> str:
    before, after = (
        object_in_words(item) if item else "" for item in (change.before, change.after)
    )
    arrow = " → " if before and after else ""
    overlap = f", IoU {change.iou:.2f}" if change.iou is not None and change.iou < 1 else ""
    return f"{printable(change.image_id)}: {change.kind}: {before}{arrow}{after}{overlap}"


def _change_said(change: BoxChange) -> dict[str, Any]:
    return {
        "image": change.image_id,
        "kind": change.kind,
        "before": _object_said(change.before),
        "after": _object_said(change.after),
        "iou": change.iou,
    }


def _object_said(item: VocObject | None) -> dict[str, Any] | None:
    return (
        None
        if item is None
        else {"difficult": item.difficult, "truncated": item.truncated, **item.box.as_row()}
    )
