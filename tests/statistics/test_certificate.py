"""From a sample and answers to evidence and bound, worked by hand, and whether it covers."""

import json
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.records import SAMPLE_SCHEMA
from sixrayd.statistics.assumptions import assumptions
from sixrayd.statistics.certificate import Statement, outcome, recompute
from sixrayd.statistics.double_reading import DoubleReading
from sixrayd.statistics.evidence import Planted, evidence_of, sensitivities
from sixrayd.statistics.false_finds import FalseFinds
from sixrayd.statistics.finite import Block, Stratum
from sixrayd.statistics.missed import bound_missed, percent_down
from sixrayd.statistics.population import POPULATION_SCHEMA, Population
from sixrayd.statistics.sampling import (
    GONE_SCHEMA,
    Draw,
    Drawn,
    SamplingPlan,
    gone_digest,
    random_number,
)
from sixrayd.statistics.sensitivity import PERFECT, Sensitivity
from sixrayd.statistics.settings import BoundSettings
from sixrayd.statistics.standing import ANSWER_SCHEMA, Answer, Standing

SEED = "31415"
CLEARED = Answer(True)
FOUND = Answer(True, True, frozenset({"Gun"}))
OPEN = Answer(False, reason="unsure: ann")
LOW = [f"u{n}" for n in range(10)]


def population_of(units, sizes=None):
    """Stratum → units; the images of unit "u0" are "u0", "u0+1" …"""
    rows = [
        {"image_id": f"{unit}+{n}" if n else unit, "group": unit, "stratum": stratum}
        for stratum, names in units.items()
        for unit in names
        for n in range((sizes or {}).get(unit, 1))
    ]
    return Population(pa.Table.from_pylist(rows, POPULATION_SCHEMA))


POPULATION = population_of({"low": LOW, "": ["x0", "x1", "x2"]})
ORDER = sorted(LOW, key=lambda unit: random_number(SEED, unit))
CENSUS = {"x0": FOUND, "x1": CLEARED, "x2": CLEARED}


def drawn(*sizes, left=()):
    """Draws of so many units; before the second one, some had been decided."""
    found = Drawn.nothing(POPULATION)
    for number, size in enumerate(sizes, 1):
        rows = [POPULATION.row[unit] for unit in left] if number == 2 else []
        found = found.after(POPULATION, {"low": size}, np.array(rows, np.int64), SEED)
    return found


def evidence(sample, answers, label="", population=POPULATION):
    standing = Standing.of(population, CENSUS | answers, ("Gun", "Knife"))
    return evidence_of(population, sample, standing, (PERFECT, PERFECT), label)


def low(found):
    return next(stratum for stratum in found.strata if stratum.name == "low")


def test_nothing_drawn_leaves_a_stratum_without_blocks():
    found = evidence(Drawn.nothing(POPULATION), {})

    assert (found.reviewed, found.found) == (3, 1)
    assert found.strata == (Stratum("low", 10),)
    assert found.sizes.tolist() == [1] * 12


def test_checks_are_a_beginning_of_the_random_order():
    answers = {ORDER[0]: CLEARED, ORDER[1]: FOUND, ORDER[3]: FOUND}

    assert low(evidence(drawn(4), answers)) == Stratum("low", 7, (Block(10, 2, 1, 2),))
    assert low(evidence(drawn(4), answers | {ORDER[2]: OPEN})) == (
        Stratum("low", 7, (Block(10, 2, 1, 2),))
    )
    assert low(evidence(drawn(4), answers | {ORDER[2]: CLEARED})) == (
        Stratum("low", 6, (Block(10, 4, 2, 2),))
    )


def test_what_others_find_in_the_pool_counts_as_found_since():
    answers = {ORDER[0]: CLEARED, ORDER[8]: FOUND, ORDER[9]: CLEARED}

    assert low(evidence(drawn(2), answers)) == Stratum("low", 7, (Block(10, 1, 0, 1),))


def test_a_second_draw_begins_a_block_with_what_was_left():
    first = {ORDER[0]: CLEARED, ORDER[1]: FOUND, ORDER[7]: FOUND}
    sample = drawn(2, 3, left=[ORDER[7]])

    assert low(evidence(sample, first)) == (
        Stratum("low", 7, (Block(10, 2, 1, 2), Block(7, 0, 0, 0)))
    )
    more = first | {ORDER[2]: FOUND, ORDER[3]: CLEARED}
    assert low(evidence(sample, more)) == (
        Stratum("low", 5, (Block(10, 2, 1, 3), Block(7, 2, 1, 1)))
    )


def test_a_second_draw_waits_for_the_first():
    answers = {ORDER[0]: CLEARED, ORDER[2]: FOUND, ORDER[3]: CLEARED}

    assert low(evidence(drawn(2, 2), answers)) == Stratum("low", 7, (Block(10, 1, 0, 1),))
    assert low(evidence(drawn(2, 2), answers | {ORDER[1]: CLEARED})) == (
        Stratum("low", 6, (Block(10, 2, 0, 1), Block(8, 2, 1, 1)))
    )


def test_a_unit_that_comes_back_holds_back_the_draws_that_had_left_it_out():
    answers = {ORDER[0]: CLEARED, ORDER[1]: FOUND, ORDER[2]: FOUND}

    found = evidence(drawn(2, 3, left=[ORDER[7]]), answers)

    assert low(found) == Stratum("low", 7, (Block(10, 2, 1, 2),))


def test_a_census_unit_that_comes_back_counts_whole():
    standing = Standing.of(POPULATION, CENSUS | {"x2": OPEN})

    found = evidence_of(POPULATION, drawn(1), standing, (PERFECT, PERFECT))

    assert (found.reviewed, found.found) == (2, 1)
    assert found.strata[1] == Stratum("reopened", 1)


def test_answers_in_any_order_of_arrival_are_the_same_evidence():
    answers = {unit: FOUND if n % 3 == 0 else CLEARED for n, unit in enumerate(ORDER[:6])}
    shuffled = dict(reversed(answers.items()))

    assert evidence(drawn(4, 2), answers) == evidence(drawn(4, 2), shuffled)


def test_units_of_several_images():
    population = population_of({"low": LOW, "": ["x0"]}, {ORDER[0]: 3, ORDER[1]: 2, "x0": 2})
    one, two = ORDER[:2]
    partly = {one: CLEARED, f"{one}+1": CLEARED, two: FOUND}

    found = evidence(drawn_of(population, 2), partly, population=population)
    assert low(found) == Stratum("low", 9, (Block(10, 0, 0, 1),))
    whole = evidence(drawn_of(population, 2), partly | {f"{one}+2": CLEARED}, "", population)
    assert low(whole) == Stratum("low", 8, (Block(10, 2, 1, 1),))
    assert sorted(whole.sizes.tolist()) == [1] * 8 + [3]
    result = outcome(
        population, drawn_of(population, 2), CENSUS | partly, (), BoundSettings(), ("Gun",)
    )
    assert result.images == result.bound.images + 2  # the second of x0 and of the found one


def drawn_of(population, size):
    nothing = Drawn.nothing(population)
    return nothing.after(population, {"low": size}, np.zeros(0, np.int64), SEED)


def test_a_class_counts_its_own_finds():
    knife = Answer(True, True, frozenset({"Knife", "Gun"}))
    answers = {ORDER[0]: knife, ORDER[1]: FOUND, ORDER[2]: CLEARED}

    assert low(evidence(drawn(3), answers, "Knife")) == Stratum("low", 7, (Block(10, 3, 1, 1),))
    assert low(evidence(drawn(3), answers, "Gun")) == Stratum("low", 7, (Block(10, 3, 2, 2),))
    assert evidence(drawn(3), answers, "Knife").found == 0
    assert evidence(drawn(3), answers, "Gun").found == 1


def test_a_class_waits_for_the_images_that_nobody_looked_at():
    population = population_of({"low": LOW, "": ["x0"]}, {ORDER[0]: 2, "x0": 2})
    sample, answers = drawn_of(population, 2), {ORDER[0]: FOUND, ORDER[1]: CLEARED}

    knife = evidence(sample, answers, "Knife", population)
    assert knife.strata == (Stratum("low", 9, (Block(10, 0, 0, 0),)), Stratum("reopened", 1))
    assert (knife.reviewed, knife.found) == (0, 0)
    gun = evidence(sample, answers, "Gun", population)
    assert gun.strata == (Stratum("low", 8, (Block(10, 2, 1, 1),)),)
    whole = answers | {f"{ORDER[0]}+1": CLEARED, "x0+1": CLEARED}
    knife = evidence(sample, whole, "Knife", population)
    assert knife.strata == (Stratum("low", 8, (Block(10, 2, 0, 0),)),)
    once = BoundSettings(once=True)
    with pytest.raises(SettingsError, match=r"there are 1, and 1 of their units wait"):
        outcome(population, sample, CENSUS | answers, (), once, ("Gun", "Knife"))
    assert outcome(population, sample, CENSUS | whole, (), once, ("Gun", "Knife")).bound.found == 2


def test_the_bound_is_that_of_the_evidence():
    answers = CENSUS | dict.fromkeys(ORDER[:5], CLEARED)

    result = outcome(POPULATION, drawn(5), answers, (), BoundSettings(0.9), ("Gun", "Knife"))

    assert result.bound == bound_missed(result.evidence, 0.1)
    assert result.bound.upper < 5
    assert result.by_class["Gun"].found == 1
    assert result.by_class["Gun"].upper >= result.bound.upper
    document = result.document()
    assert document == json.loads(json.dumps(document))
    assert document["evidence"]["strata"][0]["blocks"] == [
        {"pool": 10, "checks": 5, "finds": 0, "found_since": 0}
    ]


def test_a_single_look_takes_one_finished_draw():
    answers, once = CENSUS | dict.fromkeys(ORDER[:4], CLEARED), BoundSettings(once=True)

    tight = outcome(POPULATION, drawn(4), answers, (), once, ())
    assert (
        tight.bound.upper
        <= outcome(POPULATION, drawn(4), answers, (), BoundSettings(), ()).bound.upper
    )
    with pytest.raises(SettingsError, match=r"there are 1, and 1 of their units wait"):
        outcome(POPULATION, drawn(5), answers, (), once, ())
    with pytest.raises(SettingsError, match=r"there are 2, and 0 of their units wait"):
        outcome(POPULATION, drawn(3, 1), answers, (), once, ())


def test_sensitivity_is_measured_where_anything_was_planted():
    planted = (
        Planted("Gun", False, 10, 9, 8),
        Planted("Gun", True, 4, 4, 4),
        Planted("Knife", False, 20, 12, 5),
    )

    assert sensitivities((), 0.9) == (Sensitivity(0.9), Sensitivity(0.9))
    assert sensitivities(planted, 1.0) == (Sensitivity(1, 4, 4), Sensitivity(1, 30, 21))
    assert sensitivities(planted, 1.0, "Knife") == (Sensitivity(1, 4, 4), Sensitivity(1, 20, 5))
    assert sensitivities(planted, 1.0, "Wrench")[1] == Sensitivity(1, 30, 13)
    assert sensitivities(planted[:1], 1.0) == (Sensitivity(1), Sensitivity(1, 10, 9))


@pytest.mark.parametrize("values", [(0, 1), (1, 1), (0.9, 1.1), (0.9, -0.1)])
def test_settings_out_of_range(values):
    with pytest.raises(SettingsError, match=r"^confidence"):
        BoundSettings(*values)


_NOBODY = gone_digest(POPULATION, np.zeros(0, np.int64))


def test_assumptions_are_one_line_each():
    planted = (Planted("Gun", True, 30, 30, 30),)
    answers = CENSUS | dict.fromkeys(ORDER[:5], CLEARED)

    def lines(planted=(), **settings):
        made = BoundSettings(**settings)
        return assumptions(outcome(POPULATION, drawn(5), answers, planted, made, ()), made)

    assert lines() == (
        "confidence: 95 %",
        "looks: as many as one likes",
        "method: confidence sequence by betting",
        "rule where reviewers differ: adjudicator",
        "checks: nobody chose which to answer, and a check and the queue would judge alike",
        "sensitivity with proposals: NOT MEASURED, taken as 100 %; `sixrayd review plant` "
        "measures it",
        "sensitivity without proposals: NOT MEASURED, taken as 100 %; `sixrayd review plant` "
        "measures it",
    )
    lower = percent_down(Sensitivity(1, 30, 30).lower(0.001))
    assert lines(planted, confidence=0.99, once=True)[:3] == (
        "confidence: 99 %",
        "looks: a single one, at a number of checks announced in advance",
        "method: exact hypergeometric limit",
    )
    assert lines(planted, confidence=0.99)[5:] == (
        f"sensitivity with proposals: measured, 30 of 30 planted threats found; counts as {lower}",
        f"sensitivity without proposals: NOT MEASURED, counts as {lower}: stated, of the "
        "other side, or capped by double reading",
        "odds ratio of known to hidden contraband: 1 is claimed; left at most 12 at 1, 12 at 2, "
        "12 at 4",
    )


def test_no_confidence_is_told_as_more_than_it_is():
    made = BoundSettings(confidence=0.999996)
    assert assumptions(outcome(POPULATION, drawn(2), CENSUS, (), made, ()), made)[0] == (
        "confidence: 99.9996 %"  # 100 in four digits
    )
    with pytest.raises(SettingsError, match=r"^confidence 1 and "):
        BoundSettings(confidence=1 - 1e-13)


def test_an_older_format_says_that_double_reading_does_not_widen_its_bound():
    """Whoever states an older format gets a smaller bound from the same decisions."""
    made, twice = BoundSettings(one_set=False), DoubleReading(5, 4, 3, 1, 2, 1, 0)
    found = outcome(POPULATION, drawn(2), CENSUS, (), made, (), twice)

    lines = assumptions(found, made)

    assert f"{twice.words}; NOT HELD against the bound, of a format before 3" in lines


def statement(**changes):
    parts = {"name": "first", "signed_by": "Ann", "signed_at": "2026-01-02T10:00:00+00:00"}
    plan = SamplingPlan("00", (), (Draw(1, "", {"low": 10}, {"low": 2}, _NOBODY, SEED),))
    said = Statement(
        **parts,
        plan=plan,
        commitment=plan.commitment,
        classes=("Gun",),
        settings=BoundSettings(),
        planted=(Planted("Gun", True, 3, 2, 1),),
        files={"sample.parquet": "11"},
        outcome={"bound": {"upper": 3}},
    )
    return replace(said, **changes)


def test_a_statement_survives_json():
    said = statement()

    assert Statement.parse(json.dumps(asdict(said)).encode()) == said


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"[]",
        b"{}",
        b'{"format": 1}',
        b"[" * 100_000,
        json.dumps({**asdict(statement()), "more": 1}).encode(),
        json.dumps({**asdict(statement()), "settings": {"consensus": "dice"}}).encode(),
        json.dumps(
            {**asdict(statement()), "plan": {**asdict(statement().plan), "edges": 3}}
        ).encode(),
        json.dumps({**asdict(statement()), "shams": [1, 2]}).encode(),
        json.dumps({**asdict(statement()), "shams": [2, True]}).encode(),
        json.dumps({**asdict(statement()), "shams": [2]}).encode(),
    ],
)
def test_what_is_no_statement(data):
    with pytest.raises(WorkspaceError, match=r"^statement\.json: not a statement "):
        Statement.parse(data)


def test_a_statement_of_another_format():
    with pytest.raises(WorkspaceError, match=r"^statement\.json: format 5, expected up to 4"):
        Statement.parse(json.dumps(asdict(statement(format=5))).encode())


def test_a_certificate_is_recomputed_from_its_parts():
    sample = drawn(2)
    answers = [
        {
            "image_id": unit,
            "reviewer": "r",
            "lane": "1",
            "verdict": "nothing there",
            "decided_at": "2026-01-02T10:00:00+00:00",
            "boxes": [],
        }
        for unit in ("x0", "x1", "x2", *ORDER[:2])
    ]
    parts = {
        "population.parquet": POPULATION.table,
        "gone.parquet": GONE_SCHEMA.empty_table(),
        "sample.parquet": pa.Table.from_pylist(sample.sample(POPULATION, ()), SAMPLE_SCHEMA),
        "decisions.parquet": pa.Table.from_pylist(answers, ANSWER_SCHEMA),
    }

    result = recompute(statement(planted=(), shams=(7, 1)), parts)

    said = dict.fromkeys(("x0", "x1", "x2", *ORDER[:2]), CLEARED)
    read = (DoubleReading(read=5), FalseFinds(clean=5, shams=7, alarms=1))
    expected = outcome(POPULATION, sample, said, (), BoundSettings(), ("Gun",), *read)
    assert result.document() == expected.document()
    assert low(result.evidence) == Stratum("low", 8, (Block(10, 2, 0, 0),))


def campaign_is_covered(seed, alpha):
    """A small release under review; whether the limits hold what is left at every look.

    Reviewers answer the spot checks out of order, contraband later; a queue finds it sooner than
    clean units, some of it among what was drawn; draws follow each other while answers are out.
    """
    rng = np.random.default_rng(seed)
    high, low_ = [f"h{n}" for n in range(12)], [f"l{n}" for n in range(40)]
    sizes = {unit: int(rng.integers(1, 3)) for unit in high + low_}
    population = population_of({"high": high, "low": low_}, sizes)
    rates = dict.fromkeys(high, 0.3) | dict.fromkeys(low_, rng.choice([0.02, 0.15]))
    truth = {unit: rng.random() < rates[unit] for unit in high + low_}
    images = population.images_of(high + low_)
    sample = Drawn.nothing(population)
    answers = {}

    def review(unit):
        for n, image in enumerate(images[unit]):
            answers[image] = FOUND if truth[unit] and n == 0 else CLEARED

    for number in range(4):
        standing = Standing.of(population, answers)
        left = sample.left_since(population, standing.decided)
        sample = sample.after(population, {"high": 2, "low": 6}, left, f"{seed} {number}")
        waiting = [u for u in sample.units(population) if images[u][0] not in answers]
        for _ in range(2):
            others = [u for u in high + low_ if images[u][0] not in answers]
            for unit in others:  # the queue
                if rng.random() < (0.15 if truth[unit] else 0.05):
                    review(unit)
            for unit in waiting:
                if rng.random() < (0.05 if truth[unit] else 0.95):
                    review(unit)
            result = outcome(population, sample, answers, (), BoundSettings(1 - alpha), ())
            really = sum(truth[u] for u in truth) - result.bound.found
            if not result.bound.lower <= really <= result.bound.upper:
                return False
    return True


@pytest.mark.long
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_the_bound_covers_the_truth_at_every_look(alpha):
    campaigns = 150
    covered = sum(campaign_is_covered(seed, alpha) for seed in range(campaigns))

    assert covered >= binom.ppf(0.01, campaigns, 1 - alpha)


def test_a_statement_of_the_first_format_is_read():
    said = asdict(statement(format=1))
    del said["plan"]["looks"]
    assert Statement.parse(json.dumps(said).encode()).plan.looks is None
