"""A workspace that a stranger made: its names lead nowhere, and forge no line."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import SixraydError
from sixrayd.core.workspace import Workspace
from tests.imaging.test_hostile_tiffs import with_numbers
from tests.workspaces import Picture, Small, build_splits

EVIL = ("../../escaped", "/tmp/escaped", "..\\escaped", "N1\nerror: all is well", "\x1b[2J", ".")
COMMANDS = (
    *("export", "export --with-negatives --force", "estimate", "audit", "review next"),
    *("review agreement", "mine --dry-run", "review push --limit 1", "status"),
)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    workspace = Small().build(tmp_path_factory.mktemp("untouched") / "ws")
    build_splits(workspace, paper={"N0000001": "train"})
    return workspace


@pytest.fixture
def workspace(untouched, tmp_path):
    shutil.copytree(untouched.root, tmp_path / "place/ws")
    return Workspace(tmp_path / "place/ws")


def rename(path, column, value):
    """Give the first row of a table another name, where the column is, be it in a struct."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    row = next(r for r in rows if r.get("boxes", True))
    inner = row if column in row else row["boxes"][0]
    inner[column] = [value] if isinstance(inner[column], list) else value
    pq.write_table(table.from_pylist(sorted(rows, key=str), table.schema), path)


def outside(workspace):
    return sorted(
        path.relative_to(workspace.root.parents[1]).as_posix()
        for path in workspace.root.parents[1].rglob("*")
        if not path.is_relative_to(workspace.root)
    )


def run_all(runner, workspace):
    """What the commands end in: their errors."""
    before, said = outside(workspace), []
    for command in COMMANDS:
        done = runner.invoke(cli, [*command.split(), "-w", str(workspace.root)])
        fault = done.exception
        if not isinstance(fault, SixraydError | SystemExit | None):
            raise fault
        lines = done.output.splitlines()
        assert all(line.isprintable() for line in lines), command
        assert not any(line.startswith("error: all is well") for line in lines), command
        said += [str(fault)] * isinstance(fault, SixraydError)
    assert outside(workspace) == before
    return said


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("shards/index.parquet", "image_id"),
        ("shards/index.parquet", "group"),
        ("shards/index.parquet", "shard"),
        ("shards/index.parquet", "labels"),
        ("shards/annotations.parquet", "label"),
        ("mine/first/candidates.parquet", "image_id"),
        ("mine/first/candidates.parquet", "label"),
        ("review/first/decisions/00001.parquet", "image_id"),
        ("review/first/decisions/00001.parquet", "label"),
    ],
)
@pytest.mark.parametrize(
    "name", [EVIL[0], *(pytest.param(name, marks=pytest.mark.long) for name in EVIL[2::2])]
)
def test_no_name_of_a_table_leads_out(runner, workspace, file, column, name):
    rename(workspace.root / file, column, name)

    said = run_all(runner, workspace)

    assert any("no plain name; refused" in text for text in said)


@pytest.mark.parametrize("column", ["index.split", "splits.side"])
def test_no_side_leads_out(runner, workspace, column):
    table, column = column.split(".")
    rename(workspace.shards / f"{table}.parquet", column, EVIL[0])
    before = outside(workspace)
    command = ["export", "--yolo", "--split", "paper", "-w", str(workspace.root)]
    done = runner.invoke(cli, command)
    assert str(done.exception).startswith(
        f"{workspace.shards}/{table}.parquet: {column} '../../escaped': no plain name; refused"
    )
    assert outside(workspace) == before


@pytest.mark.parametrize("name", EVIL[:-1])
def test_no_class_leads_out(runner, workspace, name):
    path = workspace.shards / "run.json"
    run = json.loads(path.read_text())
    run["settings"]["classes"][0] = name
    path.write_text(json.dumps(run))

    assert any(
        "holds a comma, a slash or a control character" in t for t in run_all(runner, workspace)
    )


@pytest.mark.parametrize(
    "column",
    ["reviewer", *(pytest.param(name, marks=pytest.mark.long) for name in ("server", "note"))],
)
def test_reviewers_forge_no_line(runner, workspace, column):
    rename(workspace.root / "review/first/decisions/00001.parquet", column, EVIL[3])

    run_all(runner, workspace)


@pytest.mark.long
@pytest.mark.parametrize("change", [{"settings": {}}, {"summary": {}}, {"settings": {"model": 1}}])
@pytest.mark.parametrize("stage", ["shards", "mine/first", "review/first"])
def test_no_run_of_a_stage_is_a_traceback(runner, workspace, stage, change):
    path = workspace.root / stage / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    run_all(runner, workspace)


def test_a_header_of_millions_of_numbers_is_not_unpacked(runner, tmp_path):
    class Tiff(Picture):
        data = with_numbers(282, 3 << 20)

    first = Tiff("P00001", labels=("Gun",), boxes=(("Gun", 1, 1, 9, 9, False),))
    workspace = Small([first, *Small().pictures[1:]]).build(tmp_path / "ws")
    done = runner.invoke(cli, ["export", "-w", str(workspace.root)])
    assert str(done.exception) == (
        f"{workspace.shards / 'positives-00000.tar'}: P00001: tags of 393216 fractions, at most "
        "10000 are read; refused"
    )
