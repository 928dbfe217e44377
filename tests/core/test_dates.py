"""The order in which results were begun and finished outlives clocks and copies."""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest

from sixrayd.core.files import plain_text
from sixrayd.core.workspace import Run, Workspace

RUN = Run(stage="mine", name="first", settings={}, inputs={})


def test_what_is_finished_last_is_the_newest_though_a_clock_was_ahead(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path = tmp_path / "mine/brought/run.json"  # by hand, from a machine whose clock was ahead
    workspace.finish(replace(RUN, name="brought"))
    (tmp_path / "mine/.dates.json").unlink()
    os.utime(path, (2**32, 2**32))  # of the year 2106
    for number, name in enumerate(("second", "first", "second")):
        run = replace(RUN, name=name, inputs={"of": str(number)})
        newest = workspace.dates.of(tmp_path / f"mine/{workspace.newest('mine')}/run.json")
        workspace.begin(run)
        assert workspace.dates.of(tmp_path / f"mine/{name}/plan.json") > newest
        workspace.finish(run)
        assert workspace.newest("mine") == name


def test_a_copy_without_file_times_keeps_the_order(tmp_path: Path) -> None:
    names = ["c", "a", "d", "b"]
    for name in names:
        Workspace(tmp_path / "here").finish(replace(RUN, name=name))
    shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copyfile)
    for moment, name in enumerate(reversed(names)):
        os.utime(tmp_path / f"there/mine/{name}/run.json", (moment, moment))
    assert Workspace(tmp_path / "there").names("mine") == names


def test_a_result_that_was_brought_in_another_s_place_has_its_own_time(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "here")
    for name in ("old", "new"):
        workspace.finish(replace(RUN, name=name))
    Workspace(tmp_path / "other").finish(replace(RUN, name="old", settings={"more": 1}))
    shutil.copy(tmp_path / "other/mine/old/run.json", tmp_path / "here/mine/old/run.json")
    os.utime(tmp_path / "here/mine/old/run.json", (2**32, 2**32))
    assert workspace.names("mine") == ["new", "old"]


@pytest.mark.parametrize(
    "noted",
    [
        "{",
        "[[1, 2]]",
        '{"first/run.json": 3}',
        '{"first/run.json": [1, "2"]}',
        '{"first/run.json": [9223372036854775808, SIZE]}',  # 2^63
        '{"first/run.json": [-1, SIZE]}',
        '{"../../etc": [1, 2], "first/run.json": [true, SIZE]}',
        "[" * 100_000,
    ],
)
def test_notes_that_are_none_leave_the_files_own_times(tmp_path: Path, noted: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.finish(RUN)
    path = tmp_path / "mine/first/run.json"
    (tmp_path / "mine/.dates.json").write_text(noted.replace("SIZE", str(path.stat().st_size)))
    assert workspace.dates.of(path) == path.stat().st_mtime_ns
    workspace.finish(replace(RUN, name="second"))
    assert workspace.names("mine") == ["first", "second"]


@pytest.mark.parametrize(
    "noted", ["{}", *(f'{{"old/run.json": [{moment}, SIZE]}}' for moment in (2**63 - 1, 2**62 + 5))]
)
def test_what_is_finished_comes_after_any_time_that_a_stranger_names(
    tmp_path: Path, noted: str
) -> None:
    workspace = Workspace(tmp_path)
    for stage in ("models", "mine"):
        workspace.finish(replace(RUN, stage=stage, name="old"))
        path = tmp_path / stage / "old/run.json"
        os.utime(path, (13_569_465_600, 13_569_465_600))  # of the year 2400
        text = noted.replace("SIZE", str(path.stat().st_size))
        (tmp_path / stage / ".dates.json").write_text(text)
    for name in ("new", "newer"):
        workspace.finish(replace(RUN, name=name))
        assert workspace.newest("mine") == name
        made = workspace.dates.of(tmp_path / f"mine/{name}/run.json")
        assert made > workspace.dates.of(tmp_path / "models/old/run.json")


@pytest.mark.parametrize("end", ["", "broken"])
def test_notes_of_many_results_are_read_once(tmp_path: Path, end: str) -> None:
    workspace = Workspace(tmp_path)
    for number in range(20):
        workspace.finish(replace(RUN, name=f"m{number:02}"))
    noted = json.dumps({f"m{number:06}/run.json": [1, 2] for number in range(20_000)})
    (tmp_path / "mine/.dates.json").write_text(noted + end)
    read: list[Path] = []

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is plain_text.__code__:
            read.append(frame.f_locals["path"])

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        assert len(workspace.names("mine")) == 20
    finally:
        sys.setprofile(before)
    assert read == [tmp_path / "mine/.dates.json"]
