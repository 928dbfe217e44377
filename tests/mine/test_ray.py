"""Mining on real Ray clusters of two nodes on this machine."""

import hashlib
import http.client
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import psutil
import pytest
import ray
import torch

from sixrayd.core.errors import CheckpointError, ImageError, ServiceError, SettingsError
from sixrayd.core.shards import ShardWriter, iter_shard
from sixrayd.crop.settings import TdcKnobs
from sixrayd.mine import ray_engine
from sixrayd.mine.inference import InferenceSettings
from sixrayd.mine.ray_engine import mine_on_ray
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.stage import mine
from sixrayd.mine.worker import MineJob, Worker
from tests.clusters import NODE, two_nodes
from tests.processes import started
from tests.squares import picture
from tests.strangers import as_another_user

LOOK = InferenceSettings(threshold=0.02, mirror=False, threads=1)
SHARDS, IMAGES = 5, 80


def write_shards(folder, shards=SHARDS, images=IMAGES):
    """Shards of squares; the first one's last image is truncated."""
    with ShardWriter(folder, "negatives", images) as writer:
        for number in range(shards * images):
            data = picture(number, ("Gun", "Knife", "")[number % 3])[0]
            writer.add(f"N{number:07d}", data[:500] if number == images - 1 else data)
    return [task_of(path) for path in sorted(folder.iterdir())]


def task_of(path):
    return ShardTask(
        path.name,
        {i.image_id: hashlib.sha256(i.data).hexdigest() for i in iter_shard(path)},
    )


def job_of(trained, folder, parts, **options):
    weights = trained.folder("models", "rfb-small") / "weights.safetensors"
    return MineJob(str(folder), str(parts), weights, LOOK, batch=2, **options)


def contents(parts):
    return {path.name: path.read_bytes() for path in sorted(Path(parts).iterdir())}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return folder, write_shards(folder)


@pytest.fixture(scope="module")
def expected(trained, shards, tmp_path_factory):
    """The parts that one worker in this process makes."""
    folder, tasks = shards
    parts = tmp_path_factory.mktemp("parts")
    worker = Worker(job_of(trained, folder, parts))
    reports = [worker.mine(task) for task in tasks]
    assert [r.images for r in reports] == [IMAGES] * SHARDS
    assert (reports[0].skipped, sum(r.candidates for r in reports) > IMAGES) == (1, True)
    return contents(parts)


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    """Reports come ten times as often, so that small shards are seen half done."""
    monkeypatch.setattr(ray_engine, "_TICK_S", 0.1)


@pytest.fixture
def cluster():
    with two_nodes() as nodes:
        yield nodes


def actors(node):
    """Processes of workers that mine on a node."""
    raylets = [info.process.pid for info in node.all_processes["raylet"]]
    children = [c for pid in raylets for c in psutil.Process(pid).children(recursive=True)]
    found = []
    for child in children:
        with suppress(psutil.NoSuchProcess):  # it has ended, or is a zombie
            if "_Hand" in child.name() + " ".join(child.cmdline()):
                found.append(child)
    return found


class Watch:
    """Keeps reports, and does something once when a shard is half done."""

    def __init__(self, then=lambda: None, finished=0):
        self.then, self.finished, self.reports = then, finished, []

    def __call__(self, report):
        self.reports.append(report)
        done = sum(r.finished for r in self.reports)
        if self.then is not None and not report.finished and done >= self.finished:
            then, self.then = self.then, None
            then()

    def counts(self):
        return Counter(r.name for r in self.reports if r.finished)


@pytest.mark.long
def test_a_worker_killed_in_mid_shard_changes_no_byte(cluster, trained, shards, expected, tmp_path):
    folder, tasks = shards

    def kill():
        (victim, *_) = [p for node in cluster.list_all_nodes() for p in actors(node)]
        victim.send_signal(signal.SIGKILL)

    watch = Watch(kill)
    mine_on_ray(job_of(trained, folder, tmp_path / "parts"), tasks, cluster.address, 0, watch)

    assert watch.then is None
    assert contents(tmp_path / "parts") == expected
    assert watch.counts() == {task.name: 1 for task in tasks}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_node_leaves_and_another_joins(cluster, trained, tmp_path):
    # Long enough for a node to join and start a worker before the shards are out.
    folder = tmp_path / "shards"
    tasks = write_shards(folder, 12, 300)
    second = next(node for node in cluster.list_all_nodes() if not node.head)
    third = set()

    def exchange():
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(**NODE, node_ip_address="127.0.0.4")

    watch = Watch(exchange)

    def looked(report):
        watch(report)
        joined = [n for n in cluster.list_all_nodes() if not n.head and n is not second]
        third.update(p.pid for node in joined for p in actors(node))

    mine_on_ray(job_of(trained, folder, tmp_path / "parts"), tasks, cluster.address, 0, looked)

    worker = Worker(job_of(trained, folder, tmp_path / "expected"))
    assert [worker.mine(task).images for task in tasks] == [300] * 12
    assert third  # workers of the node that joined
    assert contents(tmp_path / "parts") == contents(tmp_path / "expected")
    assert watch.counts() == {task.name: 1 for task in tasks}


DRIVER = """
    import sys, pickle
    from pathlib import Path
    from sixrayd.mine import ray_engine
    ray_engine._TICK_S = 0.1
    job, tasks, address = pickle.loads(Path(sys.argv[1]).read_bytes())
    looked = lambda report: print(report.name, report.finished, flush=True)
    ray_engine.mine_on_ray(job, tasks, address, 0, looked)
"""


@pytest.fixture
def driver(tmp_path):
    """Starts a process that mines."""
    with ExitStack() as stack:

        def start(job, tasks, address):
            (tmp_path / "script.py").write_text(textwrap.dedent(DRIVER))
            (tmp_path / "job.pickle").write_bytes(pickle.dumps((job, tasks, address)))
            command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "job.pickle")]
            pipe = subprocess.PIPE
            return stack.enter_context(
                started(command, stdout=pipe, stderr=pipe, text=True, process_group=0)
            )

        yield start


@pytest.mark.long
def test_a_killed_driver_is_run_again(cluster, driver, trained, shards, expected, tmp_path):
    folder, tasks = shards
    parts = tmp_path / "parts"
    job = job_of(trained, folder, parts)

    first = driver(job, tasks, cluster.address)
    while "True" not in first.stdout.readline():
        assert first.poll() is None, first.stderr.read()
    first.kill()
    first.wait()
    before = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert 0 < len(before) < SHARDS
    watch = Watch()
    mine_on_ray(job, tasks, cluster.address, 0, watch)

    assert contents(parts) == expected
    assert watch.counts() == {task.name: 1 for task in tasks}
    after = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert {name: after[name] for name in before} == before
    assert [node["Alive"] for node in ray_nodes(cluster)] == [True, True]


def ray_nodes(cluster):
    """The nodes as a new driver sees them: whoever mined has left the cluster running."""
    ray.init(cluster.address, log_to_driver=False)
    try:
        return ray.nodes()
    finally:
        ray.shutdown()


@pytest.mark.long
def test_ctrl_c_on_a_cluster_of_its_own(driver, trained, shards, expected, tmp_path):
    folder, tasks = shards
    parts = tmp_path / "parts"
    job = job_of(trained, folder, parts)

    first = driver(job, tasks, "")
    while "False" not in first.stdout.readline():
        assert first.poll() is None, first.stderr.read()
    children = psutil.Process(first.pid).children(recursive=True)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    _, said = first.communicate()

    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert len(list(parts.glob("*.partial"))) >= 1
    psutil.wait_procs(children)
    assert len(children) >= 1
    mine_on_ray(job, tasks, "", 1, Watch())
    assert contents(parts) == expected


@pytest.mark.long
def test_what_cannot_go_on_ends_in_one_line(cluster, trained, shards, tmp_path):
    folder, tasks = shards
    job = job_of(trained, folder, tmp_path / "parts")
    big = replace(job, inference=replace(LOOK, threads=3))
    with pytest.raises(ServiceError) as caught:
        mine_on_ray(big, tasks, cluster.address, 0, Watch(), place_s=3)
    assert str(caught.value) == (
        "ray: no worker found a place within 3 s: each asks for 3 CPU, the cluster has 2 of 2 CPU "
        "free on 2 nodes; give fewer --threads, end what else runs there, or add nodes"
    )

    with pytest.raises(ImageError, match=r"^N0000079.*; mend it, or pass --on-error skip$"):
        mine_on_ray(replace(job, stop_at_errors=True), tasks, cluster.address, 1, Watch())

    (tmp_path / "broken").mkdir()
    broken = tmp_path / "broken/weights.safetensors"
    broken.write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: not readable weights"):
        mine_on_ray(replace(job, weights=broken), tasks, cluster.address, 1, Watch())


@pytest.mark.long
def test_a_shard_that_kills_every_worker_is_named(cluster, trained, shards, tmp_path):
    folder, tasks = shards

    def looked(report):
        if report.name == tasks[1].name:
            for node in cluster.list_all_nodes():
                for process in actors(node):
                    process.kill()

    with pytest.raises(ServiceError) as caught:
        job = job_of(trained, folder, tmp_path / "parts")
        mine_on_ray(job, tasks[1:2], cluster.address, 1, looked)
    assert str(caught.value).startswith(f"ray: {tasks[1].name}: given up after 3 workers (")
    assert str(caught.value).endswith("); all other parts stay")


def listening():
    """Processes' names, hosts and ports, of this process and all that it has started."""
    return {
        (process.name(), *connection.laddr)
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.long
def test_a_cluster_of_its_own_is_closed_to_others(trained, shards, tmp_path):
    """Nothing beyond loopback, there nothing without the token, and no file."""
    folder, tasks = shards
    found, before = {}, listening()  # servers of other tests

    def look():
        node = ray.nodes()[0]
        found["places"] = set(), set()
        for name, host, port in listening() - before:
            found["places"][0].add(host.removeprefix("::ffff:"))
            found["places"][1].add((name, port))
        found["answers"] = Counter(asked(port) for _, port in found["places"][1])
        found["folder"] = Path(node["RayletSocketName"]).parents[3]
        found["stranger"] = as_another_user(lambda: os.access(found["folder"], os.R_OK | os.X_OK))

    mine_on_ray(job_of(trained, folder, tmp_path / "parts"), tasks[:2], "", 1, Watch(look))

    assert found["places"][0] == {"127.0.0.1"}
    assert len(found["places"][1]) >= 6
    assert {name for name, _ in found["places"][1]} >= {"gcs_server", "raylet"}
    assert found["answers"] == {"refused": len(found["places"][1])}
    assert (found["stranger"], found["folder"].exists()) == (False, False)
    assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & os.environ.keys()


def asked(port):
    """What a port says to who has no token, asked by a call of each of Ray's services."""
    with suppress(http.client.HTTPException, OSError):
        web = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        web.request("POST", "/get_or_create_runtime_env")
        return "refused" if web.getresponse().status == 401 else "answered"
    said = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for call in (
            *("NodeInfoGcsService/GetClusterId", "NodeManagerService/RequestWorkerLease"),
            *("CoreWorkerService/PushTask", "ObjectManagerService/Pull"),
        ):
            try:
                channel.unary_unary(f"/ray.rpc.{call}")(b"", timeout=60)
                said.add("answered")
            except grpc.RpcError as error:
                said.add(error.code().name)
    return "refused" if said == {"UNAUTHENTICATED", "UNIMPLEMENTED"} else str(said)


def test_an_old_ray_is_refused(trained, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "__version__", "2.51.1")
    folder, tasks = shards
    with pytest.raises(ServiceError) as caught:
        mine_on_ray(job_of(trained, folder, tmp_path), tasks, "", 1, Watch())
    assert str(caught.value) == "ray 2.51.1: obeys whoever connects; install 2.52 or later"


def test_no_cluster_there(trained, shards, tmp_path):
    folder, tasks = shards
    job = job_of(trained, folder, tmp_path / "parts")
    nowhere = ["127.0.0.1:9", "ray://127.0.0.1:9"]
    if not any(process.info["name"] == "gcs_server" for process in psutil.process_iter(["name"])):
        nowhere.append("auto")  # which joins whatever cluster this machine has
    for address in nowhere:
        with pytest.raises(ServiceError) as caught:
            mine_on_ray(job, tasks, address, 0, Watch())
        assert str(caught.value).startswith(f"ray {address}: ")
        assert str(caught.value).endswith("is joined by ray://HOST:10001")
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "look", [{}, {"crop": "tdc", "tdc": TdcKnobs(tdc_form="shared", tdc_layer=4, k=0.2)}]
)
def test_the_stage_on_a_cluster_of_this_machine(workspace, look):
    settings = MineSettings(mirror=False, threshold=0.02, backend="torch", threads=1, **look)
    mine(workspace, settings)
    folder = workspace.folder("mine", "rfb-small")
    here = {name: (folder / name).read_bytes() for name in ("candidates.parquet", "run.json")}
    shutil.rmtree(folder)

    result = mine(workspace, replace(settings, engine="ray"))

    assert (result.shards_done, result.images, result.skipped) == (3, 30, 1)
    assert result.cropped == (29 if look else 0)
    assert {name: (folder / name).read_bytes() for name in here} == here


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="the worker would find a GPU")
def test_a_gpu_comes_with_its_share_of_cores_and_is_looked_for_where_the_worker_is(
    trained, shards, cluster, tmp_path
):
    cluster.add_node(
        **{"num_cpus": 2, "num_gpus": 1, "object_store_memory": 100 << 20},
        node_ip_address="127.0.0.4",
    )
    folder, tasks = shards
    inference = replace(LOOK, device="cuda", backend="torch", threads=0)
    job = replace(job_of(trained, folder, tmp_path), inference=inference)
    opened = []

    with pytest.raises(SettingsError, match="device cuda: torch sees no GPU here"):
        mine_on_ray(job, tasks, cluster.address, 0, print, lambda: opened.append(1))

    assert opened == []
    ray.init(cluster.address, log_to_driver=False)
    needs = ray_engine._Crew(ray, job, tasks, 0, print, print, 1.0).needs
    assert needs == {"CPU": 2, "GPU": 1}
