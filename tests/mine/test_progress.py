import json
import time

import pytest

from sixrayd.mine import progress
from sixrayd.mine.progress import MineCounts, MineState, Tally, shown
from sixrayd.mine.worker import ShardReport


def test_reports_of_a_shard_replace_each_other():
    tally = Tally(MineCounts(100, 7, 1), 200)

    tally.add(ShardReport("a", 10, 1, 2, False))
    tally.add(ShardReport("b", 10, 0, 1, False))
    time.sleep(0.02)
    state = tally.add(ShardReport("a", 30, 2, 5, True))

    assert (state.images, state.total, state.candidates, state.skipped) == (140, 200, 13, 3)
    assert 0 < state.images_per_s < 30 / 0.02
    assert state.left_s == pytest.approx(60 / state.images_per_s, rel=0.01, abs=0.06)


def test_what_an_interrupted_run_saved_is_no_speed():
    tally = Tally(MineCounts(1100), 4000)  # 600 and 500 images of two shards

    tally.add(ShardReport("a", 616, 0, 9, False, before=600))
    time.sleep(0.02)
    state = tally.add(ShardReport("b", 516, 0, 8, False, before=500))

    assert (state.images, state.total) == (1132, 4000)
    assert 0 < state.images_per_s <= 16 / 0.02
    assert state.left_s == pytest.approx(2868 / state.images_per_s, rel=0.01, abs=0.06)


def test_the_first_batch_says_nothing_of_speed():
    assert Tally(MineCounts(), 50).add(ShardReport("a", 10, 0, 0, False)) == MineState(
        10, 50, 0, 0, 0.0, None
    )


def test_lines_for_programs(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_S", 3600)
    with shown(MineCounts(), 20, "json") as looked:
        for images in range(1, 21):
            looked(ShardReport("a", images, 0, images, images == 20))

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["images"] for line in lines] == [1, 20]  # one in the time of a line, and the last
    assert lines[1]["candidates"] == 20


def test_a_line_for_logs(capsys):
    with shown(MineCounts(5, 1, 0), 20, "bar") as looked:
        looked(ShardReport("a", 15, 2, 3, True))

    told = capsys.readouterr().err
    assert told.startswith("mining 20 of 20, 0 left, ")
    assert told.endswith(" a second, 4 candidates, 2 skipped\n")
