"""The benchmark of planned looks: who is given up, and a file that is gone on with."""

import numpy as np
from click.testing import CliRunner

from benchmarks.coverage import GRID
from benchmarks.planned_coverage import (
    ALPHA,
    Row,
    main,
    name_of,
    outside,
    plan_of,
    read_rows,
    rejected,
    simple,
    write_rows,
)
from sixrayd.statistics.planned import limits


def test_who_is_given_up_is_as_the_limits_say():
    rng, plan = np.random.default_rng(0), plan_of(4, 0.5)
    total = np.repeat([0, 9, 30, 60], 50)
    finds = np.sort(rng.binomial(total[:, None], 0.3 * np.array(plan.fractions), (200, 4)))
    seen = np.sort(rng.choice([0.0, 0.4, 0.5, 0.7], (200, 4)))

    expected = []
    for c in range(200):
        gives = []
        for look in range(4):
            if seen[c, look] > 0:
                most = limits(int(total[c]), plan, 4, ALPHA, float(seen[c, look]))
                gives.append((finds[c, : look + 1] <= most[: look + 1]).any())
        expected.append(any(gives))

    assert rejected(simple(total, finds, finds, seen), plan).tolist() == expected
    assert 20 < sum(expected) < 180


def test_rows_come_back_with_holm_over_all(tmp_path):
    rows = [
        Row("0.001 poor 0% 0", 10, 1000, 930, 1, 2.5, 3, 4, 5),
        Row("0.001 poor 0% 0.5", 10, 1000, 937, 1, 2, 3, 4, 5),  # p 0.04: not if two are tested
        Row("0.001 poor 0% 0", 30, 1000, 950, 1, 2, 3, 4, 5),
        Row("beside", 10, 1000, 900, 1, 2, 3, 4, 5),
    ]

    failed = write_rows(tmp_path / "a.csv", rows)

    assert failed == rows[:1]
    assert read_rows(tmp_path / "a.csv") == rows
    fails = [line.split(",")[5] for line in (tmp_path / "a.csv").read_text().splitlines()[1:]]
    assert fails == ["1", "0", "0", "1"]


def test_what_stands_is_not_made_again(tmp_path):
    names = [*map(name_of, GRID), *(name for name, *_ in outside(plan_of(2), 1, 0))]
    stands = [Row(name, 2, 7, 7, 1, 2, 3, 4, 5) for name in names]
    write_rows(tmp_path / "a.csv", stands[1:])
    call = ["--campaigns", "1", "--looks", "2", "--out", str(tmp_path / "a.csv")]

    done = CliRunner().invoke(main, call, catch_exceptions=False)

    assert done.stderr.count("\n") == 1
    rows = {row.cell: row for row in read_rows(tmp_path / "a.csv")}
    assert len(rows) == len(names) == 64
    assert rows.pop(names[0]).campaigns == 1
    assert list(rows.values()) == stands[1:]
