"""How far a review has come."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sixrayd.core.records import Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of images; `found` are those with contraband that the release does not know."""

    tasks: int
    decided: int
    left: int
    found: int
    by_verdict: Mapping[str, int]
    by_reviewer: Mapping[str, int]


def count_progress(tasks: Iterable[str], decisions: Iterable[Mapping[str, Any]]) -> Progress:
    """Count what stands: of an annotation its newest version, of an image the latest answer.

    Args:
        tasks: image ids that were sent.
        decisions: rows of `DECISION_SCHEMA`.
    """
    sent = set(tasks)
    newest: dict[int, Mapping[str, Any]] = {}
    for row in sorted(decisions, key=lambda row: (row["annotation"], row["version"])):
        newest[row["annotation"]] = row
    standing = {}
    for row in sorted(newest.values(), key=lambda row: (row["decided_at"], row["annotation"])):
        standing[row["image_id"]] = row
    verdicts = Counter(row["verdict"] for row in standing.values())
    people = Counter(row["reviewer"] for row in newest.values())
    return Progress(
        tasks=len(sent),
        decided=len(standing),
        left=len(sent - standing.keys()),
        found=verdicts[Verdict.MISSED],
        by_verdict={str(verdict): verdicts[verdict] for verdict in Verdict},
        by_reviewer=dict(sorted(people.items())),
    )
