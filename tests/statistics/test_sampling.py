"""Random numbers by seed, shares of a draw, and what a draw takes."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import SAMPLE_SCHEMA
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.population import POPULATION_SCHEMA, Population
from sixrayd.statistics.sampling import (
    GONE_SCHEMA,
    Draw,
    Drawn,
    SamplingPlan,
    allocate,
    random_number,
)

ROWS = [  # image, unit, stratum
    ("a1", "a", "low"),
    ("a2", "a", "low"),
    ("b1", "b", "low"),
    ("c1", "c", "low"),
    ("d1", "d", "low"),
    ("e1", "e", "high"),
    ("f1", "f", "high"),
    ("g1", "g", ""),
]
SEED = "2"
ORDER = sorted("abcd", key=lambda unit: hashlib.sha256(f"2/{unit}".encode()).hexdigest())


def population(rows=ROWS):
    return Population(
        pa.Table.from_pylist(
            [dict(zip(POPULATION_SCHEMA.names, row, strict=True)) for row in rows],
            POPULATION_SCHEMA,
        )
    )


def gone(*rows):
    return pa.Table.from_pylist([{"group": g, "draw": d} for g, d in rows], GONE_SCHEMA)


def digest(*units):
    return hashlib.sha256(json.dumps(sorted(units)).encode()).hexdigest()


def plan(*draws, left=()):
    """Draws of pools and units; before the second, some units left."""
    made = (
        Draw(n, "", *draw, digest(*(left if n == 2 else ())), SEED)
        for n, draw in enumerate(draws, 1)
    )
    return SamplingPlan("", (), tuple(made))


FIRST = {"high": 2, "low": 4}, {"high": 1, "low": 2}


def units_of(drawn):
    return [(unit, *where) for unit, where in drawn.units(population()).items()]


def test_a_random_number_is_the_digest_of_seed_and_unit():
    assert random_number("2024", "N0000001").hex() == (hashlib.sha256(b"2024/N0000001").hexdigest())
    assert random_number("2024", "N0000001").hex()[:8] == "9d2f24d5"


def test_units_and_places():
    found = population()

    assert found.groups == list("abcdefg")
    assert found.sizes.tolist() == [2, 1, 1, 1, 1, 1, 1]
    assert found.strata == ("high", "low")
    assert {name: rows.tolist() for name, rows in found.members.items()} == {
        "": [6],
        "high": [4, 5],
        "low": [0, 1, 2, 3],
    }
    places = drawn_of(found, SEED, {"low": 4, "high": 2}).places
    assert [ORDER[place - 1] for place in places[:4]] == list("abcd")
    assert sorted(places[4:6].tolist()) == [1, 2]
    assert places[6] == 0


def drawn_of(found, seed, units):
    return Drawn.nothing(found).after(found, units, np.zeros(0, np.int64), seed)


def test_order_of_the_rows_changes_nothing():
    backwards = population(ROWS[::-1])

    assert backwards.groups == population().groups
    one, two = (drawn_of(found, SEED, {"low": 3}) for found in (backwards, population()))
    assert one.places.tolist() == two.places.tolist()


def test_every_order_is_as_likely():
    found = population([(unit, unit, "low") for unit in "abc"])
    first = Counter(
        tuple(drawn_of(found, f"seed {n}", {"low": 3}).places.tolist()) for n in range(1200)
    )

    assert len(first) == 6
    assert chisquare(list(first.values())).pvalue > 0.001


def test_population_that_contradicts_itself():
    with pytest.raises(WorkspaceError, match=r"^population: an image occurs twice$"):
        population([*ROWS, ("a1", "z", "low")])
    with pytest.raises(WorkspaceError, match=r"^population: a unit is in two strata$"):
        population([*ROWS, ("a3", "a", "high")])


def test_names_that_were_chosen_are_refused():
    """Random numbers hang on them, so whoever may choose names chooses what is drawn."""
    assert population([("a", "a", "low"), ("b", "a", "low"), ("c", "c", "")]).named_by_others() == 0
    assert population().named_by_others() == 7  # by positives of their groups, as it seems
    for name, least in (("c2", "c1"), ("a1", "c1")):
        rows = [("a1", "a", "low"), ("c1", name, "low")]
        with pytest.raises(WorkspaceError, match=rf"^population: group {name} is not .* {least}$"):
            population(rows).named_by_others()


def test_a_seed_without_end_is_refused():
    """It is hashed for each unit, so four million signs would take hours."""
    with pytest.raises(WorkspaceError, match=r"^draw 1: a seed of 1,001 signs, at most 1,000 are"):
        Draw(1, "", {}, {}, digest(), "x" * 1001)


def test_a_seed_that_served_is_refused():
    """A second look by one seed takes nothing, and so would seem to find nothing."""
    looks = LookPlan((0.3, 0.45))
    found = population([(f"n{n:03}", f"n{n:03}", "low") for n in range(200)])
    drawn = Drawn.nothing(found, looks).after_look(found, "dice").after_look(found, "dice")
    assert drawn.taken(found, 2) == {"low": 0}

    draws = tuple(Draw(n, "", {"low": 200}, {"low": 0}, digest(), "dice") for n in (1, 2))
    with pytest.raises(WorkspaceError, match=r"^draw 2: has the seed of draw 1, so "):
        SamplingPlan.parse(asdict(SamplingPlan("", (), draws, looks=looks)))


@pytest.mark.parametrize(
    ("pools", "units", "shares"),
    [
        ({"a": 900, "b": 100}, 100, {"a": 86, "b": 14}),  # 5 each, then 90 as 895 to 95
        ({"a": 900, "b": 0, "c": 3}, 100, {"a": 97, "b": 0, "c": 3}),
        ({"a": 5, "b": 7}, 100, {"a": 5, "b": 7}),
        ({"a": 5, "b": 5, "c": 5}, 1, {"a": 1, "b": 0, "c": 0}),
        ({"a": 0}, 3, {"a": 0}),
        ({}, 3, {}),
    ],
)
def test_shares_of_a_draw(pools, units, shares):
    assert allocate(pools, units) == shares


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 5000), max_size=6), st.integers(1, 9999))
def test_shares_add_up_and_leave_nobody_out(pools, units):
    given = allocate(pools, units)

    filled = sum(pool > 0 for pool in pools.values())
    assert sum(given.values()) == min(units, sum(pools.values()))
    assert all(0 <= given[name] <= pools[name] for name in pools)
    least = min(units, sum(pools.values())) // (10 * max(filled, 1))
    assert all(given[name] >= min(least, pools[name]) for name in pools)


def test_a_draw_takes_the_next_that_nobody_has_decided():
    left = ORDER[2]
    second = {"high": 1, "low": 1}, {"high": 0, "low": 1}

    drawn = Drawn.by(population(), plan(FIRST, second, left=[left]), gone((left, 2)))

    low = [unit for unit in units_of(drawn) if unit[3] == "low"]
    assert low == [
        (ORDER[0], 1, 1, "low"),
        (ORDER[1], 1, 2, "low"),
        (ORDER[3], 2, 1, "low"),
    ]
    assert drawn.pools(population(), 1) == {"high": 2, "low": 4}
    assert drawn.pools(population(), 2) == {"high": 1, "low": 1}
    rows = population().members["low"]
    assert [population().groups[row] for row in drawn.order(rows, 1)] == ORDER[:2]


def test_each_draw_has_an_order_of_its_own():
    units = {"low": 2}
    seconds = set()
    for seed in map(str, range(9)):
        drawn = drawn_of(population(), SEED, units)
        drawn = drawn.after(population(), units, np.zeros(0, np.int64), seed)
        second = [row[0] for row in units_of(drawn) if row[1] == 2]
        assert second == sorted(ORDER[2:], key=lambda unit: random_number(seed, unit))
        seconds.add(tuple(second))

    assert len(seconds) == 2


def test_who_left_is_noted_once():
    decided = np.array([unit in (ORDER[0], ORDER[3], "g") for unit in "abcdefg"])
    drawn = Drawn.by(population(), plan(FIRST), gone())

    left = drawn.left_since(population(), decided)

    assert [population().groups[row] for row in left] == [ORDER[3]]
    after = drawn.after(population(), {"low": 1}, left)
    assert after.left_since(population(), decided).tolist() == []
    assert after.pools(population(), 2) == {"high": 1, "low": 1}


def test_rows_of_a_sample():
    drawn = Drawn.by(population(), plan(({"high": 2, "low": 4}, {"high": 0, "low": 4})), gone())
    expected = [
        {"image_id": f"{unit}{n}", "group": unit, "stratum": "low", "place": place, "draw": 1}
        for place, unit in enumerate(ORDER, 1)
        for n in ((1, 2) if unit == "a" else (1,))
    ]

    assert drawn.sample(population(), ()) == expected
    without = [row for row in expected if row["image_id"] != "a1"]
    assert drawn.sample(population(), {"a1", "b1"}) == without  # no unit goes without a row
    second = drawn.after(population(), {}, np.zeros(0, np.int64))
    assert second.sample(population(), ()) == []


def test_a_sample_that_was_not_drawn():
    drawn = Drawn.by(population(), plan(FIRST), gone())
    rows = drawn.sample(population(), ())

    def check(rows):
        drawn.check_sample(population(), pa.Table.from_pylist(rows, SAMPLE_SCHEMA))

    check(rows)
    with pytest.raises(WorkspaceError, match=r"^sample: unit \w was drawn and is not in it$"):
        check(rows[1:] if rows[0]["group"] != "a" else rows[2:])
    moved = [*rows[:-1], rows[-1] | {"place": 9}]
    with pytest.raises(WorkspaceError, match=r"^sample: unit \w is in draw 1 at place 9 of '\w+'"):
        check(moved)
    with pytest.raises(WorkspaceError, match=r"^sample: image g1 is not of unit \w$"):
        check([*rows, rows[0] | {"image_id": "g1"}])


@pytest.mark.parametrize(
    ("draws", "left", "message"),
    [
        ([({"high": 2, "low": 5}, {"low": 2})], (), "draw 1: of pools of {'high': 2, 'low': 5}"),
        ([FIRST], [("zz", 1)], "units that left it are unknown or occur twice, first zz"),
        ([FIRST], [("a", 1)], "draw 1: not the 1. of the sample"),
        ([FIRST], [("a", -5)], "units left before a draw that was never made"),
        ([FIRST], [("a", 2)], "units left before a draw that was never made"),
        ([FIRST], [("a", 2), ("a", 2)], "unknown or occur twice, first a"),
    ],
)
def test_draws_that_do_not_follow(draws, left, message):
    with pytest.raises(WorkspaceError, match=message):
        Drawn.by(population(), plan(*draws), gone(*left))


def test_other_units_that_left():
    second = {"high": 1, "low": 1}, {"low": 1}
    draws = plan(FIRST, second, left=ORDER[2:3])

    with pytest.raises(WorkspaceError, match=r"^draw 2: other units left before it than it says$"):
        Drawn.by(population(), draws, gone((ORDER[3], 2)))


def test_draws_out_of_order_or_too_large():
    swapped = replace(plan(FIRST), draws=(Draw(2, "", *FIRST, "", SEED),))
    with pytest.raises(WorkspaceError, match=r"^draw 2: not the 1. of the sample$"):
        Drawn.by(population(), swapped, gone())
    with pytest.raises(WorkspaceError, match=r"^draw 1: 3 units of 2 in 'low'$"):
        Draw(1, "", {"low": 2}, {"low": 3}, "", SEED)


@pytest.mark.parametrize(
    "values",
    [
        {"units": {"low": 2.5}},
        {"units": {"low": True}},
        {"pools": {"low": "9"}},
        {"number": "1"},
        {"drawn_at": None},
        {"seed": 7},
    ],
)
def test_a_draw_of_other_types(values):
    draw = {"number": 1, "drawn_at": "", "pools": {"low": 9}, "units": {"low": 1}}

    with pytest.raises(TypeError, match=r"^draw 1: a value is of another type$"):
        Draw(**{**draw, "gone": "", "seed": SEED, **values})


def test_the_commitment_is_to_all_that_is_fixed_and_to_what_came_before():
    first, second = (Draw(n, "t", *FIRST, "g", f"s{n}") for n in (1, 2))
    fixed = SamplingPlan("ab", (0.5,), (first, second), "1.0")
    others = [
        replace(fixed, population="ac"),
        replace(fixed, edges=(0.25,)),
        replace(fixed, version="1.1"),
        *(
            replace(fixed, draws=(replace(first, **{key: value}), second))
            for key, value in {
                "seed": "x",
                "gone": "x",
                "drawn_at": "x",
                "pools": {"high": 2, "low": 5},
                "units": {"high": 1, "low": 1},
            }.items()
        ),
    ]

    draw = {"number": 1, "drawn_at": "t", "pools": FIRST[0], "units": FIRST[1]}
    text = json.dumps([["ab", [0.5], "1.0"], draw | {"gone": "g", "seed": "s1"}], sort_keys=True)
    assert fixed.commitments[0] == hashlib.sha256(text.encode()).hexdigest()
    assert replace(fixed, draws=(first,)).commitment == fixed.commitments[0]
    assert len({plan.commitment for plan in (fixed, *others)}) == 9
    assert len({plan.commitments[0] for plan in (fixed, *others)}) == 9
    assert replace(fixed, draws=()).commitment == ""
