import json

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import WorkspaceError
from sixrayd.mine.forecast import forecast
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.stage import mine

SETTINGS = MineSettings(batch=2, mirror=False, threshold=0.02, backend="torch")


def files(workspace):
    return sorted(str(path) for path in workspace.root.rglob("*") if path.name != ".hashes.json")


def test_nothing_is_written_and_the_work_is_told(workspace):
    before = files(workspace)

    found = forecast(workspace, SETTINGS)

    assert files(workspace) == before
    assert (found.shards, found.shards_left, found.images, found.images_left) == (3, 3, 30, 30)
    assert found.sample == 12  # batches three to eight
    assert found.images_per_s > 0
    assert found.left_s > 30 / found.images_per_s - 0.06  # and what it takes to start
    assert found.lines()[0] == ("mining rfb-small with torch: 3 of 3 shards left, 30 of 30 images")
    assert found.lines()[1].endswith("measured on 12 images")


def test_what_is_done_is_not_counted(workspace):
    mine(workspace, MineSettings(**{**_plain(), "shards": ("negatives-00001.tar",)}))

    found = forecast(workspace, SETTINGS)

    assert (found.shards_left, found.images_left) == (2, 20)


@pytest.mark.long
def test_other_settings_begin_anew(workspace):
    mine(workspace, SETTINGS)

    assert forecast(workspace, SETTINGS).shards_left == 0
    assert forecast(workspace, MineSettings(**{**_plain(), "threshold": 0.3})).shards_left == 3


def test_a_mining_that_would_be_replaced_is_named(workspace):
    mine(workspace, MineSettings(**{**_plain(), "shards": ("negatives-00001.tar",)}))
    other = {**_plain(), "threshold": 0.3}

    assert forecast(workspace, MineSettings(**other)).lines()[-1] == (
        "another mining is there (threshold 0.02 there, 0.3 asked for): pass --force to replace "
        "it, or --name for a new one"
    )
    assert forecast(workspace, MineSettings(**other, force=True)).other_work == ""


def test_an_unknown_shard_is_refused_before_and_after_mining(workspace):
    unknown = MineSettings(**{**_plain(), "shards": ("negatives-9.tar",)})

    for _ in range(2):
        with pytest.raises(WorkspaceError, match=r"^shard 'negatives-9\.tar': is none of the 3"):
            forecast(workspace, unknown)
        mine(workspace, MineSettings(**{**_plain(), "threshold": 0.3}))


def test_settled_settings_that_are_not_ours_are_one_line(workspace):
    mine(workspace, MineSettings(**{**_plain(), "shards": ("negatives-00001.tar",)}))
    path = workspace.folder("mine", "rfb-small") / "look.json"
    path.write_text('{"surprise": 1}')

    with pytest.raises(WorkspaceError, match=r"look\.json: not what `sixrayd mine` wrote \("):
        mine(workspace, SETTINGS)


def test_the_command(workspace, runner):
    options = ["--dry-run", "--no-mirror", "--batch", "2", "--backend", "torch", "--json"]

    answer = runner.invoke(cli, ["mine", "-w", str(workspace.root), *options])

    assert answer.exit_code == 0
    document = json.loads(answer.stdout)
    assert (document["shards_left"], document["images_left"]) == (3, 30)


def _plain():
    return {"batch": 2, "mirror": False, "threshold": 0.02, "backend": "torch"}
