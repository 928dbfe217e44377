"""What planted threats can prove of reviewers, reckoned before any is planted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.workspace import Workspace
from sixrayd.statistics.finite import Block, Stratum
from sixrayd.statistics.missed import (
    AlphaSplit,
    MissedEvidence,
    PlannedEvidence,
    bound_of,
    percent_down,
)
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.sensitivity import Sensitivity, sensitivity_lower

MOST_HARM = 2.0  # times the bound without them, were all of them found
_ALPHA = 0.05  # where no estimate says another
_MOST_FOUND = 0.9  # a usual share


@dataclass(frozen=True, slots=True)
class Proof:
    """What so many planted threats could prove.

    Args:
        planted: of one kind; half are shown with proposals, half without.
        level: chance of being wrong that each half may use up.
        all_found, most_found: share of contraband that reviewers see, at least, at every look, if
            all of a half are found, or 90 %.
        left: at most missed, by the newest estimate; None without one.
        left_then: the same if all that is planted is found.
    """

    planted: int
    level: float
    all_found: float
    most_found: float
    left: int | None
    left_then: int | None

    @property
    def harms(self) -> bool:
        """Whether the bound at least doubles although nothing is overlooked."""
        if self.left is None or self.left_then is None:
            return self.all_found < 1 / MOST_HARM
        return self.left_then > MOST_HARM * max(self.left, 1)

    def __str__(self) -> str:
        half = self.planted // 2
        most = int(_MOST_FOUND * half)
        said = (
            f"{half} planted of each kind, all found, prove that reviewers see "
            f"{percent_down(self.all_found)} or more at every look, {most} of {half} "
            f"{percent_down(self.most_found)} ({100 * self.level:.2g} % level)"
        )
        if self.left is None:
            return said
        return f"{said}; at most {self.left:,} missed would become {self.left_then:,} at best"


def proof_of(workspace: Workspace, planted: int, *, known: bool = False) -> Proof:
    """What so many threats could prove, with the numbers of the workspace's newest estimate.

    The two halves are measured apart. What is planted can only lower the sensitivity that was
    taken for granted, so it widens the bound, by less the more of it is found.

    Args:
        known: known positives are meant, beside which projections count no more.
    """
    evidence, alpha, left = _newest_evidence(workspace)
    half = planted // 2
    shown = Sensitivity(1.0, half, half)
    level = AlphaSplit.of(alpha, shown, shown).sensitivity_reviewed
    hits = np.array([half, int(_MOST_FOUND * half)])
    lower = sensitivity_lower(hits, np.array([half, half]), level) if half else np.zeros(2)
    left_then = None
    if evidence is not None:
        then = replace(
            evidence,
            with_proposals=_added(evidence.with_proposals, half, known),
            without_proposals=_added(evidence.without_proposals, half, known),
        )
        left_then = bound_of(then, alpha).upper
    return Proof(planted, level, float(lower[0]), float(lower[1]), left, left_then)


def _added(before: Sensitivity, found: int, known: bool) -> Sensitivity:
    if known and not before.known:
        return replace(before, planted=found, hits=found, known=True)
    return replace(before, planted=(before.planted or 0) + found, hits=before.hits + found)


def _newest_evidence(
    workspace: Workspace,
) -> tuple[MissedEvidence | PlannedEvidence | None, float, int | None]:
    """What the newest estimate was computed from, its chance of being wrong, and its bound."""
    for name in reversed(workspace.names("estimate")):
        path = workspace.folder("estimate", name) / "estimate.json"
        try:
            document = parse_json(plain_text(path))
            alpha = round(1 - float(document["settings"]["confidence"]), 12)
            evidence = _evidence(document["evidence"])
            return evidence, alpha, bound_of(evidence, alpha).upper
        except (OSError, SettingsError, WorkspaceError, *NONSENSE):
            continue  # another version's, or broken; nothing hangs on it
    return None, _ALPHA, None


def _evidence(document: Mapping[str, Any]) -> MissedEvidence | PlannedEvidence:
    sides = {
        side: Sensitivity(**document[side]) for side in ("with_proposals", "without_proposals")
    }
    if "looks" in document:
        looks = document["looks"]
        plan = LookPlan(tuple(looks["fractions"]), looks["power"])
        finds = tuple(document["finds"])
        return PlannedEvidence(**{**document, **sides, "looks": plan, "finds": finds})
    strata = tuple(
        Stratum(part["name"], part["pool_now"], tuple(Block(**block) for block in part["blocks"]))
        for part in document["strata"]
    )
    return MissedEvidence(**{**document, **sides, "strata": strata})
