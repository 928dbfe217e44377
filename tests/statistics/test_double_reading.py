"""What second readers say of first ones, worked by hand, and how it caps the sensitivity."""

import pyarrow as pa
import pytest
from scipy.stats import binom

from sixrayd.core.records import ADJUDICATION, Rule, Verdict
from sixrayd.statistics.double_reading import DoubleReading, double_reading
from sixrayd.statistics.population import POPULATION_SCHEMA, Population
from sixrayd.statistics.standing import answer_rows, settled_answers
from tests.statistics.test_standing import CLASSES, GUN, says

SAW, CLEAR = (Verdict.MISSED, GUN), (Verdict.NOTHING,)


def counted(readings, groups=None):
    """Of answers of a first and a second reader and an adjudicator, by image."""
    readers = (("ann", "1"), ("bob", "2"), ("eve", ADJUDICATION))
    said = {
        image_id: [
            says(*verdict, who=who, lane=lane, image_id=image_id)
            for verdict, (who, lane) in zip(verdicts, readers, strict=False)
        ]
        for image_id, verdicts in readings.items()
    }
    rows = [
        {"image_id": image_id, "group": (groups or {}).get(image_id, image_id), "stratum": "low"}
        for image_id in said
    ]
    population = Population(pa.Table.from_pylist(rows, POPULATION_SCHEMA))
    answers = settled_answers(answer_rows(said), Rule.ADJUDICATOR, CLASSES)
    return double_reading(said, answers, population)


def test_worked_by_hand():
    found = counted(
        {
            "a": [SAW],
            "b": [SAW, SAW],
            "c": [SAW, CLEAR, CLEAR],  # a false find
            "d": [CLEAR, SAW, SAW],
            "e": [CLEAR, CLEAR],
            "f": [SAW, CLEAR],  # in conflict
            "g": [(Verdict.UNSURE,), CLEAR, CLEAR],
        }
    )
    assert found == DoubleReading(7, twice=6, alike=2, both=1, second_alone=1, first=2, false=1)
    assert found.words == (
        "double reading: 6 of 7 groups, 2 alike; of 2 in which the first saw contraband 1 were "
        "cleared; the first saw 1 of 2 that the second found"
    )


def test_who_changes_the_first_ones_answer_does_not_see_in_his_place():
    said = [says(*CLEAR, who="ann"), says(*SAW, who="eve"), says(*SAW, who="bob", lane="2")]
    population = Population(
        pa.Table.from_pylist(
            [{"image_id": said[0].image_id, "group": "g", "stratum": "low"}], POPULATION_SCHEMA
        )
    )
    by_image = {said[0].image_id: said}
    answers = settled_answers(answer_rows(by_image), Rule.STRICTEST, CLASSES)
    found = double_reading(by_image, answers, population)
    assert (found.twice, found.both, found.second_alone) == (1, 0, 1)


def test_a_group_counts_once_and_planted_images_do_not():
    readings = {"a": [SAW, SAW], "a+1": [CLEAR, SAW, SAW], "b": [CLEAR, CLEAR]}
    found = counted(readings, {"a+1": "a"})
    assert (found.read, found.twice, found.both, found.second_alone) == (2, 2, 1, 0)


def test_the_cap_is_the_exact_upper_limit_for_the_share_that_is_read_once():
    found = DoubleReading(read=100, twice=20, both=6, second_alone=4)
    first = 1 - (1 - found.cap) / 0.8
    assert binom.cdf(6, 10, first) == pytest.approx(0.005)
    assert DoubleReading(read=20, twice=20, both=6, second_alone=4).cap == 1.0
    assert DoubleReading(read=100, twice=20, both=6).cap == DoubleReading().cap == 1.0
