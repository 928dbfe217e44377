"""Pipes where a workspace's files should be: nothing waits for one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sixrayd.audit.fix import fixable
from sixrayd.core.errors import SixraydError
from sixrayd.core.files import open_to_append, plain_text
from sixrayd.core.pseudonyms import pseudonym
from sixrayd.core.shards import iter_shard, read_image
from sixrayd.core.store import Store
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.checkpoints import architecture_of, load_checkpoint
from sixrayd.estimate.sample import SampleFolder
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.connection import read_token
from sixrayd.review.label_studio.database import checked_counts
from sixrayd.statistics.belief import Belief
from tests.test_fuzz import within

READS: dict[str, Callable[[Path], object]] = {
    "review/x/project.json": lambda root: ReviewFolder(Workspace(root), "x").project(),
    "review/x/candidates.parquet": lambda root: ReviewFolder(Workspace(root), "x").candidates(),
    "estimate/x/draws.json": lambda root: SampleFolder(Workspace(root), "x").plan(),
    "shards/annotations.parquet": lambda root: fixable(Workspace(root), 1.0),
    ".pseudonyms.key": lambda root: pseudonym(Workspace(root)),
    "store": lambda root: Store(root).read_bytes("store"),
    "streamed": lambda root: Store(root).open("streamed"),
    "shard.tar": lambda root: list(iter_shard(root / "shard.tar")),
    "image.tar": lambda root: read_image(root / "image.tar", 512, 9),
    "belief.json": lambda root: Belief.load(root / "belief.json"),
    "weights.safetensors": lambda root: load_checkpoint(root / "weights.safetensors"),
    "model.safetensors": lambda root: architecture_of(root / "model.safetensors"),
    "token": lambda root: read_token("http://127.0.0.1", root / "token"),
    "database.sqlite3": lambda root: checked_counts(root / "database.sqlite3"),
    "server.log": lambda root: open_to_append(root / "server.log"),
    "text": lambda root: plain_text(root / "text"),
}


@pytest.mark.parametrize("name", READS)
def test_a_pipe_ends_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / name)
    with within(20, name), pytest.raises(SixraydError) as error:
        READS[name](tmp_path)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)
