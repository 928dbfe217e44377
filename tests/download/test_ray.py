"""Shards measured by a real Ray cluster of two nodes on this machine."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from ray.cluster_utils import Cluster

from sixrayd.core.errors import ServiceError, SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.shards import ShardWriter
from sixrayd.core.store import Store
from sixrayd.core.tables import read_table, table_bytes
from sixrayd.core.workspace import Workspace
from sixrayd.download.measuring import Measuring
from sixrayd.download.ray_engine import measure_there, measuring_on_ray
from sixrayd.download.scan import MEASURED_SCHEMA, scan_shard
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.sharding import measured_path
from sixrayd.download.stage import download
from tests.clusters import two_nodes
from tests.limits import address_space
from tests.processes import started
from tests.releases import TinyRelease, jpeg

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture
def settings(tmp_path):
    """Of a release in six shards, one image of which cannot be read."""
    tiny = TinyRelease()
    for number in range(20, 36):
        tiny.images[f"N{number:07d}"] = jpeg(number)
        tiny.rows.append(f"N{number:07d},-1,-1")
    tiny.images["N0000030"] = tiny.images["N0000030"][:300]
    release = str(tiny.write(tmp_path / "release"))
    return DownloadSettings(release, ("Gun", "Knife"), images_per_shard=5, on_error="skip")


def files_of(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def test_a_cluster_ends_in_the_bytes_of_this_machine(cluster, settings, tmp_path):
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    url = (tmp_path / "at a url").as_uri()

    result = download(here, settings)
    far = replace(settings, engine="ray", address=cluster.address, shards_at=url)
    assert download(there, far) == result

    assert (result.images, result.unreadable) == (24, 1)
    assert files_of(there.shards) == files_of(here.shards)
    delivered = files_of(tmp_path / "at a url")
    shards = {name: data for name, data in delivered.items() if name.endswith(".tar")}
    assert shards == {n: d for n, d in files_of(here.shards).items() if n.endswith(".tar")}
    assert len(shards) == 6
    assert {*delivered} == {*shards, *(f"{name}.sha256" for name in shards)}


@pytest.mark.long
def test_a_killed_ingest_goes_on_with_what_the_cluster_measured(cluster, settings, tmp_path):
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    far = replace(settings, images_per_shard=1, engine="ray", address=cluster.address)
    code = "import sys; from tests.download.test_ray import run; run(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(there.root), far.release, far.address]
    with started(command, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE) as child:
        while not list(there.shards.glob("parts/*.measured")):
            assert child.poll() is None, child.stderr.read().decode()
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
    kept = {path: path.stat().st_mtime_ns for path in there.shards.glob("*.tar")}

    result = download(there, far)

    assert result == download(here, replace(far, engine="local", address=""))
    assert files_of(there.shards) == files_of(here.shards)
    assert len(kept) > 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def run(root, release, address):
    """An ingest on a cluster."""
    options = {"images_per_shard": 1, "on_error": "skip", "engine": "ray", "address": address}
    download(Workspace(root), DownloadSettings(release, ("Gun", "Knife"), **options))


@pytest.mark.long
def test_a_cluster_without_a_free_core_is_refused(tmp_path):
    alone = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.5"},
    )
    try:
        measurer = measuring_on_ray(alone.address, Store(tmp_path), lambda *said: None, place_s=1)
        with pytest.raises(ServiceError) as caught, measurer:
            pass
    finally:
        alone.shutdown()
    assert str(caught.value) == (
        "ray: no worker found a place within 1 s: each asks for 1 CPU, the cluster has 0 of 0 CPU "
        "free on 1 nodes; end what else runs there, or add nodes"
    )


def shard_of(folder):
    with ShardWriter(folder, "negatives") as writer:
        for number in range(3):
            writer.add(f"N{number}", jpeg(number))
    return folder / "negatives-00000.tar"


def test_a_node_measures_what_was_written_and_nothing_else(tmp_path):
    shard = shard_of(tmp_path)
    sha256 = sha256_file(shard)

    _, table = measure_there(str(tmp_path), shard.name, sha256)
    assert table_bytes(table) == table_bytes(scan_shard(shard))

    (tmp_path / "old").mkdir()
    (tmp_path / "old" / shard.name).write_bytes(shard.read_bytes()[:-1])
    for folder in (tmp_path / "old", tmp_path / "absent"):
        with pytest.raises(WorkspaceError) as caught:
            measure_there(str(folder), shard.name, sha256)
        assert str(caught.value) == (
            f"{folder}/negatives-00000.tar: a node of the cluster does not see what was written "
            "there; have all nodes share that folder, or name a URL with --shards-at"
        )


@pytest.mark.long
def test_a_node_leaves_large_images_to_one_process_and_shards_on_disk(tmp_path):
    large = io.BytesIO()
    Image.new("RGB", (2500, 2000)).save(large, "PNG")
    with ShardWriter(tmp_path, "large") as writer:
        writer.add("N0", jpeg(0))
        writer.add("N1", large.getvalue())
    long = shard_of(tmp_path)
    os.truncate(long, 256 << 20)
    shards = {path.name: sha256_file(path) for path in tmp_path.glob("*.tar")}

    assert measure_there(str(tmp_path), "large-00000.tar", shards["large-00000.tar"])[1] is None
    with address_space(192 << 20):  # threads ask for 64 MiB each
        _, table = measure_there(str(tmp_path), long.name, shards[long.name])
    assert table["error"].to_pylist() == [""] * 3

    class Far:
        at_once = 2

        def measure(self, shard):
            return measure_there(str(tmp_path), shard.name, shards[shard.name])[1]

    with Measuring(tmp_path, tmp_path / "parts", lambda images: None, Far()) as measuring:
        measuring.begin("large-00000.tar", 2)
        measuring.wait()
    part = measured_path(tmp_path / "parts", "large-00000.tar")
    assert read_table(part, MEASURED_SCHEMA) == scan_shard(tmp_path / "large-00000.tar")


def test_no_cluster_there(settings, tmp_path):
    workspace = Workspace(tmp_path / "there")
    with pytest.raises(ServiceError) as caught:
        download(workspace, replace(settings, engine="ray", address="127.0.0.1:9"))
    assert str(caught.value).startswith("ray 127.0.0.1:9: ")
    assert str(caught.value).endswith("is joined by ray://HOST:10001")

    assert download(workspace, settings).images == 24


def test_an_address_needs_its_engine():
    with pytest.raises(SettingsError) as caught:
        DownloadSettings("x", address="auto")
    assert str(caught.value) == "address: only the ray engine joins a cluster; add --engine ray"
