"""What a second reader of a random share says of the first: it may widen a bound, never narrow it.

Of contraband that the second reader saw, the share that the first saw too is an upper limit of the
first one's sensitivity where both tend to overlook the same things, which is what hard things do.
So it caps the sensitivity and proves none. Where both read an image, what either saw is found; the
cap counts these as seen. Second looks at finds are left out: who is shown a box has not found it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import betaincinv

from sixrayd.core.records import Verdict
from sixrayd.decisions.decision import Decision
from sixrayd.decisions.second_looks import is_first_look
from sixrayd.statistics.population import Population
from sixrayd.statistics.standing import Answer

_ALPHA = 0.005  # of the cap; it costs the bound nothing if it is wrong


@dataclass(frozen=True, slots=True)
class DoubleReading:
    """One image of each unit that two readers answered in lanes of their own."""

    read: int = 0  # units with an answer
    twice: int = 0  # of them, by two readers
    alike: int = 0  # of these, with one verdict
    both: int = 0  # both saw contraband
    second_alone: int = 0  # only the second did, and contraband it was
    first: int = 0  # in which the first saw contraband, and that are settled
    false: int = 0  # of these, cleared in the end

    @property
    def cap(self) -> float:
        """Upper limit of the share that reviewers see, over images read once and twice."""
        if not self.second_alone:
            return 1.0
        first = float(betaincinv(self.both + 1, self.second_alone, 1 - _ALPHA))
        return 1 - (1 - self.twice / self.read) * (1 - first)

    @property
    def words(self) -> str:
        """One line for whoever reads the bound."""
        return (
            f"double reading: {self.twice:,} of {self.read:,} groups, {self.alike:,} alike; of "
            f"{self.first:,} in which the first saw contraband {self.false:,} were cleared; the "
            f"first saw {self.both:,} of {self.both + self.second_alone:,} that the second found"
        )


def double_reading(
    said: Mapping[str, Sequence[Decision]],
    answers: Mapping[str, Answer],
    population: Population,
) -> DoubleReading:
    """Count what first and second readers said.

    Args:
        said: standing decisions by image, of each the earliest first.
        answers: what they amount to.
    """
    units = population.rows_of(said)
    pairs: dict[int, tuple[Answer, Verdict, Verdict]] = {}
    for image_id in sorted(units, reverse=True):  # so that the smallest image of a unit stays
        # Who answered later in a lane may have changed the first one's answer, and seen it.
        by_lane = {d.lane: d for d in reversed(said[image_id]) if is_first_look(d.lane)}
        if len(by_lane) > 1 and len({d.reviewer for d in by_lane.values()}) > 1:
            one, two = (by_lane[lane].verdict for lane in sorted(by_lane)[:2])
            pairs[units[image_id]] = answers[image_id], one, two
    missed = Verdict.MISSED
    settled = [(a.found, one, two) for a, one, two in pairs.values() if a.settled]
    return DoubleReading(
        read=len(set(units.values())),
        twice=len(pairs),
        alike=sum(one == two for _, one, two in pairs.values()),
        both=sum(found and one == two == missed for found, one, two in settled),
        second_alone=sum(found and one != missed == two for found, one, two in settled),
        first=sum(one == missed for _, one, _ in settled),
        false=sum(one == missed and not found for found, one, _ in settled),
    )
