"""How many finds hold no contraband: from second people's answers about finds, and from shams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from scipy.special import betaincinv

from sixrayd.core.records import ADJUDICATION, Kind, Verdict
from sixrayd.core.tables import some_columns
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import (
    Decision,
    decisions_of,
    numbered_tables,
    read_decisions,
    standing_decisions,
)
from sixrayd.decisions.second_looks import is_second_look
from sixrayd.statistics.standing import Answer

_ALPHA = 0.05  # of intervals
_KINDS = pa.schema([("image_id", pa.string()), ("kind", pa.string())])


@dataclass(frozen=True, slots=True)
class FalseFinds:
    """Images; `shams` are clean by design, as far as anybody knows.

    Args:
        found: contraband by what reviewers settled.
        alone: of them, those that one reader alone saw.
        looked: finds of a reader that another answered as well, and that are settled.
        cleared: of these, without contraband in the end.
        clean: settled as holding nothing.
        shams, alarms: shown to reviewers, and of these called contraband.
    """

    found: int = 0
    alone: int = 0
    looked: int = 0
    cleared: int = 0
    clean: int = 0
    shams: int = 0
    alarms: int = 0

    @property
    def expected(self) -> tuple[float, float, float] | None:
        """Finds that hold nothing, and 95 % limits; None where nobody has measured it.

        Among finds that one reader alone saw, as often as among those that another looked at. Where
        none was, as often among images that hold nothing as among shams, but never more than those
        finds. Finds that two people saw count as true.
        """
        if self.looked:
            return self._times(self.alone, self.cleared, self.looked)
        if self.shams:
            return self._times(self.clean + self.found, self.alarms, self.shams)
        return None

    def _times(self, number: int, hits: int, of: int) -> tuple[float, float, float]:
        low, high = _limits(hits, of)
        most = float(self.alone)
        expected, least, greatest = (min(number * s, most) for s in (hits / of, low, high))
        return expected, least, greatest

    @property
    def words(self) -> str:
        """One line for whoever reads a bound or an export."""
        known = self.expected
        if known is None and not self.alone:
            return f"false finds: none counted, all {self.found:,} found images were seen by two"
        if known is None:
            return (
                f"false finds: NOT MEASURED, {self.alone:,} of {self.found:,} found images were "
                "seen by one reader alone; `sixrayd review push --confirm-finds` has others look"
            )
        share = 100 * known[0] / max(self.found, 1)
        told = (
            f"false finds: about {known[0]:.1f} of {self.found:,} found images ({share:.1f} %; "
            f"{known[1]:.1f} to {known[2]:.1f} images), among the {self.alone:,} that one reader "
            f"alone saw; of {self.looked:,} that a second person answered {self.cleared:,} were "
            "cleared"
        )
        if not self.shams:
            return told
        return f"{told}; of {self.shams:,} shams {self.alarms:,} were called contraband"


def false_finds(
    said: Mapping[str, Sequence[Decision]],
    answers: Mapping[str, Answer],
    shams: tuple[int, int] = (0, 0),
) -> FalseFinds:
    """Count what became of finds.

    Args:
        said: standing decisions by image.
        answers: what they amount to.
        shams: shown, and called contraband.
    """
    looked = cleared = 0
    for image_id, given in said.items():
        if answers[image_id].settled and _seen_again(given):
            looked += 1
            cleared += not answers[image_id].found
    found = [answers[image_id] for image_id in said if answers[image_id].found]
    return FalseFinds(
        found=len(found),
        alone=sum(not answer.confirmed for answer in found),
        looked=looked,
        cleared=cleared,
        clean=sum(answers[i].settled and not answers[i].found for i in said),
        shams=shams[0],
        alarms=shams[1],
    )


def sham_alarms(workspace: Workspace) -> tuple[int, int]:
    """Shams of all reviews that reviewers have answered, and those that one called contraband.

    Raises:
        WorkspaceError: a table is broken, or a row makes no sense.
    """
    shown = alarms = 0
    for path in sorted(workspace.folder("review").glob("*/planted/planted.parquet")):
        rows = some_columns(path, _KINDS).to_pylist()
        shams = {row["image_id"] for row in rows if row["kind"] == Kind.SHAM}
        tables = numbered_tables(path.parent / "decisions")
        given = decisions_of((r for t in tables for r in read_decisions(t)), "")
        said = standing_decisions(decision for decision in given if decision.image_id in shams)
        shown += len(said)
        alarms += sum(any(d.verdict == Verdict.MISSED for d in each) for each in said.values())
    return shown, alarms


def _seen_again(given: Sequence[Decision]) -> bool:
    """Whether the first reader saw contraband and another answered, adjudicators left out."""
    read = sorted(  # and as they are given within a lane, whatever the readers are called
        (d for d in given if d.lane != ADJUDICATION),
        key=lambda d: (is_second_look(d.lane), d.lane),
    )
    return len({d.reviewer for d in read}) > 1 and read[0].verdict == Verdict.MISSED


def _limits(hits: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share."""
    low = float(betaincinv(hits, of - hits + 1, _ALPHA / 2)) if hits else 0.0
    high = float(betaincinv(hits + 1, of - hits, 1 - _ALPHA / 2)) if hits < of else 1.0
    return low, high
