"""`make gpu`: every part is reported, whatever becomes of it."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu.plan import PARTS, Part, Setting
from benchmarks.gpu.running import run_parts
from tests.processes import ran, started

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {"device_name": "an abacus", "how": "by hand"}


def odd(*names, limit_s=30.0):
    return [Part(name, f"tests.benchmarks.odd_parts:{name}", limit_s) for name in names]


def test_a_part_that_raises_or_dies_costs_no_other(tmp_path):
    setting, out = Setting(tmp_path / "work", "cpu", True), tmp_path / "gpu"

    document = run_parts(odd("raises", "dies", "skips", "fine"), setting, out, 60, ABOUT)

    assert json.loads(out.with_suffix(".json").read_text("utf-8")) == document
    raises, dies, skips, fine = document["parts"]
    assert [part.pop("seconds") >= 0 for part in document["parts"]] == [True] * 4
    nothing = {"rows": [], "notes": [], "trimmed": []}
    assert raises == {
        "name": "raises",
        "status": "failed",
        "error": "ValueError: the last | line",
        **nothing,
        "rows": [{"speed": "slow", "images_per_s": 0.25}],
    }
    assert (dies["status"], dies["error"].split(":")[0]) == ("failed", "ended with status -6")
    assert skips == {"name": "skips", "status": "skipped", "error": "no GPU here", **nothing}
    assert fine == {
        "name": "fine",
        "status": "ok",
        **nothing,
        "rows": [{"speed": "fast", "images_per_s": 1234.5}],
        "notes": ["all is well"],
    }


def test_the_page_has_a_table_for_each_part(tmp_path):
    out = tmp_path / "gpu"
    run_parts(odd("skips", "fine"), Setting(tmp_path / "work", "cpu", True), out, 60, ABOUT)

    page = out.with_suffix(".md").read_text("utf-8")

    assert page.startswith("# Measured on an abacus\n\nby hand\n")
    assert "\n## Skips\nSkipped: no GPU here.\n" in page
    assert page.endswith(
        "\n## Fine\n\n| speed | images per s |\n|---|---|\n| fast | 1,234 |\n\n- all is well\n"
    )


@pytest.mark.long  # it takes as long as a busy machine needs to begin
def test_a_part_that_hangs_is_killed_and_what_it_found_stays(tmp_path):
    start = time.monotonic()
    setting, out = Setting(tmp_path / "work", "cpu", True), tmp_path / "gpu"

    document = run_parts(odd("hangs", limit_s=30), setting, out, 120, ABOUT)

    assert time.monotonic() - start < 120
    (part,) = document["parts"]
    assert part["error"] == "killed after 30 s; what it had measured until then stands"
    assert (part["status"], part["trimmed"]) == ("failed", ["the rest"])
    assert part["rows"] == [{"speed": "none", "images_per_s": 0}]


def test_no_part_begins_when_the_time_is_over(tmp_path):
    setting = Setting(tmp_path / "work", "cpu", True)

    document = run_parts(odd("fine"), setting, tmp_path / "gpu", 0.5, ABOUT)

    assert document["parts"] == [{"name": "fine", "status": "skipped", "error": "no time was left"}]


KILLED = """
import sys
from pathlib import Path
from benchmarks.gpu.plan import Setting
from benchmarks.gpu.running import run_parts
from tests.benchmarks.test_gpu import ABOUT, odd

folder = Path(sys.argv[1])
run_parts(odd("fine", "hangs"), Setting(folder / "work", "cpu", True), folder / "gpu", 60, ABOUT)
"""


def test_a_kill_leaves_the_finished_parts_and_no_process(tmp_path):
    out, hanging = tmp_path / "gpu.json", tmp_path / "work" / "parts" / "hangs.json"
    command = [sys.executable, "-c", KILLED, str(tmp_path)]

    with started(command, cwd=ROOT) as child:
        while not hanging.exists() and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL

        until = time.monotonic() + 30
        while _running(str(tmp_path)) and time.monotonic() < until:
            time.sleep(0.05)
        assert _running(str(tmp_path)) == []
    parts = json.loads(out.read_text("utf-8"))["parts"]
    assert [part["status"] for part in parts] == ["ok", "waiting"]


def _running(argument):
    """Processes that were started with this in their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if argument.encode() in path.read_bytes() else []
        except OSError:  # it has ended since
            continue
    return found


def measured(tmp_path, *options):
    """The document that the command writes on a CPU, its exit code checked."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--device", "cpu"]
    command += ["--out", str(tmp_path / "gpu"), *options]
    done = ran(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert all("error" not in p for p in document["parts"] if p["status"] == "ok")
    return {part["name"]: part for part in document["parts"]}


@pytest.mark.long
def test_a_cpu_is_compared_with_itself(tmp_path):
    parts = measured(tmp_path, "--only", "outputs")

    assert {name: part["status"] for name, part in parts.items()} == {"outputs": "ok"}
    fp32, bf16 = (row for row in parts["outputs"]["rows"] if "candidates" in row)
    assert (fp32["precision"], bf16["precision"]) == ("fp32", "bf16")
    assert fp32["candidates"] > 20
    assert fp32["logits_most"] == fp32["changed"] == 0
    assert 0 < bf16["logits_mean"] < 0.02 * bf16["mean_logit"]


@pytest.mark.long
def test_every_part_measures_on_a_cpu(tmp_path):
    parts = measured(tmp_path)

    assert list(parts) == [part.name for part in PARTS]
    skipped = [name for name, part in parts.items() if part["status"] != "ok"]
    assert skipped == ["recorded", "decoding on the GPU"]
    rows = {name: part["rows"] for name, part in parts.items()}
    assert [r["kind"] for r in rows["mining"] if "kind" in r] == [
        *("plain", "mirror", "dynamic", "tdc", "tiles", "cascade")
    ]
    assert all(r["images_per_s"] > 0 for r in rows["mining"])
    assert [r["equal_bytes"] for r in rows["resume"]] == [True]
    assert rows["torchrun"][0]["images_looked_at"] == 2
    assert len([r for r in rows["training"] if "whole_training" in r]) == 2
    assert [part["trimmed"] for part in parts.values()] == [[]] * len(PARTS)
