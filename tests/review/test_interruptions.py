"""Push and pull against what goes wrong on the way: kills, restarts, a token that is revoked."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from sixrayd.core.errors import ServiceError
from sixrayd.core.records import Verdict
from sixrayd.decisions.decision import load_decisions
from sixrayd.review import sending
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.server import find_server, running, start, stop, wait
from sixrayd.review.push import push
from sixrayd.review.settings import PushSettings
from tests.processes import started
from tests.review.conftest import build
from tests.review.test_push import on_server
from tests.workspaces import build_mine

ROOT = Path(__file__).parents[2]
_RUN = """
import sys
from sixrayd.core.workspace import Workspace
from sixrayd.review import sending
from sixrayd.review.settings import PullSettings
from sixrayd.review.pull import pull
from sixrayd.review.settings import PushSettings
from sixrayd.review.push import push
root, name, what = sys.argv[1:]
sending.TASKS_PER_REQUEST = 5
if what == "push":
    push(Workspace(root), PushSettings(name, reviewers=2, share=0.5))
else:
    pull(Workspace(root), PullSettings(name))
"""


def run(site, name, what, kill_after_s=None):
    """Run a push or a pull in a process of its own, and end it without warning."""
    command = [sys.executable, "-c", _RUN, str(site.workspace.root), name, what]
    start = time.monotonic()
    with started(command, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE) as child:
        try:
            child.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        _, said = child.communicate()
    assert child.returncode in (0, -signal.SIGKILL), said.decode()
    return child.returncode == 0, time.monotonic() - start


def kill_some(site, name, what, times, chance):
    """Kill so many runs at random moments; how many of them were not over before."""
    kills, (_, whole_s) = 0, run(site, f"{name}-alone", what)
    for _ in range(times):
        finished, took_s = run(site, name, what, chance.uniform(0.5, 1.1) * whole_s)
        kills += not finished
        if finished:  # the machine may have less to do than it had
            whole_s = min(whole_s, took_s)
    return kills


def kill_at_random(site, name, times, seed):
    """Push and pull, killed over and over; what is left is what an undisturbed run leaves."""
    chance = random.Random(seed)
    images = site.mined(name, 30)
    kills = kill_some(site, name, "push", times, chance)
    run(site, name, "push")
    first, second = (on_server(site, name, lane) for lane in "12")
    assert sorted(first) == images
    assert Counter(second).most_common(1)[0][1] == 1 and set(second) <= set(images)
    rows = ReviewFolder(site.workspace, name).tasks()
    assert Counter(row["lane"] for row in rows) == {"1": 30, "2": len(second)}
    with site.client() as server:
        for row in rows[:12]:
            regions = [verdict_region(Verdict.NOTHING if row["rank"] % 2 else Verdict.UNSURE)]
            server.submit(row["task"], regions, 1.5)

    kills += kill_some(site, name, "pull", times, chance)
    run(site, name, "pull")
    decisions = load_decisions(site.workspace, name)
    assert [d.image_id for d in decisions] == sorted(row["image_id"] for row in rows[:12])
    assert {d.version for d in decisions} == {1}
    return kills


def alone(site, name):
    """A review that is never disturbed, to learn how long one takes."""
    build_mine(site.workspace, f"{name}-alone", site.mined(f"{name}-alone", 30))


@pytest.mark.long
def test_killed_at_any_moment_nothing_is_lost_or_doubled(site):
    alone(site, "struck")
    assert kill_at_random(site, "struck", 2, seed=1) >= 1


@pytest.mark.long
@pytest.mark.longest
def test_killed_at_fifty_moments_nothing_is_lost_or_doubled(site):
    alone(site, "struck50")
    assert kill_at_random(site, "struck50", 50, seed=2) >= 50


@pytest.mark.long
def test_a_server_that_restarts_in_mid_push_gets_the_rest(tmp_path, monkeypatch, servers):
    monkeypatch.setattr(sending, "TASKS_PER_REQUEST", 3)
    workspace = build(tmp_path / "workspace", 30)
    images = [f"N{n:07d}" for n in range(1, 31)]
    build_mine(workspace, "first", images)
    server = start(workspace)
    gone = threading.Event()

    def restart():
        os.killpg(server.pid, signal.SIGKILL)
        wait(workspace)
        gone.set()
        start(workspace)

    sent, restarting = [], threading.Thread(target=restart)

    def advance(count, total):
        sent.append(count)
        if len(sent) == 3 and not gone.is_set():
            restarting.start()
            gone.wait()

    try:
        result = push(workspace, PushSettings(), advance)
        restarting.join()
        assert running(workspace).pid != server.pid
        assert (result.added, sent[-1]) == (30, 30)
        with LabelStudio(find_server(workspace, "", None)) as client:
            keys = [task.key for task in client.all_tasks(result.project)]
        folder = ReviewFolder(workspace, "first")
        project = folder.project()
        assert sorted(keys) == sorted(project.task_key(image) for image in images)
        assert len(folder.tasks()) == 30
    finally:
        stop(workspace)


@pytest.mark.long
def test_who_waits_for_a_server_is_told(tmp_path, monkeypatch, servers, capsys):
    monkeypatch.setattr(sending, "AWAY_S", 25.0)  # longer than a call is repeated
    workspace = build(tmp_path / "workspace", 2)
    build_mine(workspace, "first", ["N0000001", "N0000002"])
    server = start(workspace)
    open_book = sending.Sender._open_book

    def killed(*more):
        os.killpg(server.pid, signal.SIGKILL)
        monkeypatch.setattr(sending.Sender, "_open_book", open_book)
        return open_book(*more)

    monkeypatch.setattr(sending.Sender, "_open_book", killed)
    with pytest.raises(ServiceError, match="its Label Studio is not running; start it with"):
        push(workspace, PushSettings())
    said = f"{server.url}: does not answer; waits up to 25 s for it\n"
    assert capsys.readouterr().err == said


@pytest.mark.filterwarnings("ignore:The `parse_obj` method")  # inside Label Studio's client
def test_a_token_revoked_in_mid_run_ends_it_in_one_line(site, monkeypatch):
    monkeypatch.setattr(sending, "TASKS_PER_REQUEST", 2)
    images = site.mined("revoked", 8)
    with site.client() as server:
        settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        server.calls.request("POST", "api/jwt/settings", json=settings)
        other = server.sign_up("revoked@example.org", "correct-horse-battery")
    with LabelStudio(other) as server:
        token = other.token
        monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_TOKEN", token)

        def advance(count, total):
            if count == 4:
                server.calls.request("POST", "api/current-user/reset-token")

        with pytest.raises(ServiceError) as caught:
            push(site.workspace, PushSettings("revoked", url=site.server.url), advance)
    assert str(caught.value) == (
        f"{site.server.url}: the token was refused; get a fresh one from Label Studio's page "
        "Account & Settings"
    )
    assert token not in str(caught.value)
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_TOKEN", site.connection.token)
    result = push(site.workspace, PushSettings("revoked", url=site.server.url))
    assert (result.added, result.already_there) == (4, 4)
    assert sorted(on_server(site, "revoked")) == images
    for path in site.workspace.root.rglob("*"):
        if path.is_file() and "server" not in path.parts:
            assert token.encode() not in path.read_bytes()
