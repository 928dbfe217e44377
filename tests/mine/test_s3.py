"""Shards and parts in S3, by a real server on this machine."""

import hashlib
import pickle
import shutil
from dataclasses import replace

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from sixrayd.core.errors import ShardError, WorkspaceError
from sixrayd.core.shards import ShardWriter, iter_shard
from sixrayd.core.store import Store
from sixrayd.mine.inference import InferenceSettings
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.stage import mine
from sixrayd.mine.worker import MineJob, Worker
from tests.squares import picture


@pytest.fixture
def server(monkeypatch):
    """The address of an S3 server with one bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    httpx.post(f"{address}/moto-api/reset")
    httpx.put(f"{address}/bucket")
    yield address
    httpx.post(f"{address}/moto-api/reset-auth", content=b"inf")
    server.stop()


def url(server, place):
    host = server.removeprefix("http://")
    return f"s3://{place}?endpoint_override={host}&scheme=http&region=us-east-1"


def test_a_file_is_written_read_replaced_and_deleted(server):
    store = pickle.loads(pickle.dumps(Store(url(server, "bucket/new/folder"))))
    assert (store.names(), store.exists("a"), store.local("a")) == (set(), False, None)

    store.write_bytes("a", b"old")
    store.write_bytes("a", b"new bytes")
    store.write_bytes("b", b"")

    assert (store.names(), store.exists("a")) == ({"a", "b"}, True)
    assert (store.read_bytes("a"), store.read_bytes("b")) == (b"new bytes", b"")
    store.delete("a")
    store.delete("a")
    assert store.names() == {"b"}
    assert Store(url(server, "bucket/new")).names() == set()
    assert Store(url(server, "bucket")).exists("new") is False


@pytest.mark.long
def test_a_large_file_in_pieces(server):
    store, data = Store(url(server, "bucket")), bytes(range(256)) * (80 << 10)  # 20 MiB
    store.write_bytes("big", data)
    with store.open("big") as file:
        assert (file.read(1000), file.seek(9 << 20)) == (data[:1000], 9 << 20)
        assert file.read() == data[9 << 20 :]


def test_a_small_file_is_one_request(server):
    store = Store(url(server, "bucket/folder"))
    store.write_bytes("a.parquet", b"x" * 1_000_000)

    s3 = boto3.client("s3", endpoint_url=server, region_name="us-east-1")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")
    # An object that came in several parts has a tag that ends in their number.
    assert "-" not in s3.head_object(Bucket="bucket", Key="folder/a.parquet")["ETag"]


def test_what_goes_wrong_is_one_line(server):
    store = Store(url(server, "bucket/folder"))
    for method, kind in ((store.read_bytes, WorkspaceError), (store.open, ShardError)):
        with pytest.raises(kind) as caught:
            method("a.tar")
        assert str(caught.value) == "s3://bucket/folder/a.tar: missing"

    absent = Store(url(server, "absent/folder"))
    for method in (absent.names, lambda: absent.open("a.tar")):
        with pytest.raises(WorkspaceError) as caught:
            method()
        assert str(caught.value) == "s3://absent/folder: there is no bucket 'absent'"
    with pytest.raises(WorkspaceError) as caught:
        absent.write_bytes("a", b"1")
    assert str(caught.value) == (
        "s3://absent/folder/a: AWS Error NO_SUCH_BUCKET during PutObject operation: "
        "The specified bucket does not exist"
    )


def test_no_permission(server):
    store = Store(url(server, "a-key:a-secret@bucket/folder"))
    store.write_bytes("a", b"1")
    httpx.post(f"{server}/moto-api/reset-auth", content=b"0")  # from now on keys are looked at

    calls = (store.names, lambda: store.open("a"), lambda: store.write_bytes("a", b"2"))
    for call in calls:
        with pytest.raises(WorkspaceError) as caught:
            call()
        text = str(caught.value)
        assert text.startswith("s3://bucket/folder")
        assert "ACCESS_DENIED" in text or "INVALID_ACCESS_KEY_ID" in text
        assert (len(text.splitlines()), "a-secret" in text) == (1, False)


@pytest.mark.long
def test_nobody_answers():
    store = Store("s3://bucket/x?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1")
    with pytest.raises(WorkspaceError) as caught:
        store.exists("a")
    assert str(caught.value) == (
        "s3://bucket/x/a: AWS Error NETWORK_CONNECTION during HeadObject operation: "
        "curlCode: 7, Could not connect to server"
    )


@pytest.fixture
def shard(tmp_path):
    with ShardWriter(tmp_path / "shards", "negatives", 12) as writer:
        for number in range(12):
            writer.add(f"N{number}", picture(number, ("Gun", "Knife", "")[number % 3])[0])
    path = tmp_path / "shards/negatives-00000.tar"
    hashes = {i.image_id: hashlib.sha256(i.data).hexdigest() for i in iter_shard(path)}
    return path, ShardTask(path.name, hashes)


@pytest.mark.parametrize(
    "keep", [None, pytest.param(9000, marks=pytest.mark.long)], ids=["whole", "truncated"]
)
def test_shards_from_and_parts_to_s3_are_those_of_this_machine(
    server, trained, shard, tmp_path, keep
):
    path, task = shard
    path.write_bytes(path.read_bytes()[:keep])
    Store(url(server, "bucket/shards")).write_bytes(path.name, path.read_bytes())
    weights = trained.folder("models", "rfb-small") / "weights.safetensors"
    inference = InferenceSettings(threshold=0.02, mirror=False, threads=1)

    def mine(shards, parts):
        job = MineJob(str(shards), str(parts), weights, inference, batch=5)
        report = Worker(job).mine(task)
        assert Worker(job).mine(task) == report  # is there already
        return report, Store(parts).names(), Store(parts).read_bytes("negatives-00000.parquet")

    here = mine(path.parent, tmp_path / "parts")
    there = mine(url(server, "bucket/shards"), url(server, "bucket/parts/of%20this"))

    assert there == here
    assert here[1] == {"negatives-00000.parquet"}
    assert (here[0].images, here[0].finished) == (12, True)
    assert (here[0].skipped > 0) == (keep is not None)


def test_mining_by_url_ends_in_the_bytes_of_this_machines(server, workspace):
    settings = MineSettings(mirror=False, threshold=0.02, backend="torch")
    mine(workspace, settings)
    folder = workspace.folder("mine", "rfb-small")
    names = ("candidates.parquet", "run.json", "skipped.jsonl")
    here = {name: (folder / name).read_bytes() for name in names}
    shards = Store(url(server, "bucket/shards"))
    for path in workspace.shards.glob("negatives-*.tar"):
        shards.write_bytes(path.name, path.read_bytes())
        path.unlink()
    shutil.rmtree(folder)

    away = replace(settings, shards_at=shards.url, parts_at=url(server, "bucket/parts"))
    result = mine(workspace, away)

    assert (result.shards_done, result.images, result.skipped) == (3, 30, 1)
    assert {name: (folder / name).read_bytes() for name in names} == here
    assert not mine(workspace, settings).fresh
    other = mine(
        workspace, replace(away, threshold=0.5, force=True)
    )  # parts of its own, in another folder
    assert (other.fresh, other.candidates < result.candidates) == (True, True)
