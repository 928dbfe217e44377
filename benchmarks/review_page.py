"""How long a reviewer waits from submitting an answer till the next image is drawn.

Example:
    python -m benchmarks.review_page --tasks 100000 --answers 30

In headless Chromium on the workspace's own Label Studio; the images are tiny. `work` is what is
neither a request nor waiting for one: Label Studio's page takes the old task down and sets up the
new one.
"""

import json
import os
import shutil
import statistics
import tempfile
import time
from typing import TYPE_CHECKING

import click

from benchmarks.million import write_release
from benchmarks.review import NAME, write_mining
from sixrayd.core.workspace import Workspace
from sixrayd.demo.reviewer import join_as_reviewer
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.server import running_server
from sixrayd.review.push import push
from sixrayd.review.settings import PushSettings

if TYPE_CHECKING:
    from playwright.sync_api import Page

EMAIL, PASSWORD = "page@example.org", "correct-horse-battery"
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATIENCE_MS = 300_000
READING_S = 1.0  # a reviewer looks at each image at least so long
REQUESTS = {"submit": "/annotations?", "next": "next_task", "image": "/data/local-files/"}
# Notes when Ctrl+Enter went down, and when another task's image has been on screen for a frame.
WATCH = """() => {
  const image = () => [...Htx.annotationStore.selected?.names.values() ?? []]
    .find(tag => tag.type === 'image');
  const drawn = () => image()?.currentImageEntity?.imageLoaded && image().stageRef;
  let start = null, task = null;
  window.waits = [];
  addEventListener('keydown', event => {
    if (event.ctrlKey && event.key === 'Enter') { start = performance.now(); task = Htx.task.id; }
  }, true);
  const look = () => {
    if (start !== null && Htx.task?.id !== task && drawn()) {
      const since = start;
      start = null;
      requestAnimationFrame(() => window.waits.push([since, performance.now()]));
    }
    requestAnimationFrame(look);
  };
  look();
}"""
SPENT = """([since, end]) => performance.getEntriesByType('resource')
  .filter(entry => entry.startTime >= since && entry.startTime < end)
  .map(entry => [entry.name, entry.duration])"""


def open_project(page: "Page", url: str, address: str) -> None:
    """Sign in and begin to label."""
    page.goto(f"{url}/user/login/")
    page.locator("input[name=email]").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda where: "/user/login" not in where)
    page.goto(f"{address}?labeling=1")
    page.get_by_text("Labeling Instructions").wait_for()
    page.keyboard.press("Escape")
    page.locator(".konvajs-content canvas").first.wait_for()
    page.evaluate(WATCH)


def answer(page: "Page", number: int) -> dict[str, float]:
    """Say that nothing is there; milliseconds till the next image, and of its parts."""
    page.keyboard.press("s")
    time.sleep(READING_S)
    page.keyboard.press("Control+Enter")
    page.wait_for_function("number => window.waits.length > number", arg=number)
    since, end = page.evaluate("() => window.waits.at(-1)")
    spent = dict.fromkeys((*REQUESTS, "others"), 0.0)
    for address, duration in page.evaluate(SPENT, [since, end]):
        part = next((name for name, mark in REQUESTS.items() if mark in address), "others")
        spent[part] += duration
    return {"whole": end - since, **spent, "work": end - since - sum(spent.values())}


@click.command()
@click.option("--tasks", type=click.IntRange(min=10), default=2000, show_default=True)
@click.option("--answers", type=click.IntRange(min=2), default=20, show_default=True)
def main(tasks: int, answers: int) -> None:
    """Measure; the first answer, which also fills caches, does not count."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("SIXRAYD_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        workspace = Workspace(folder)
        write_release(workspace, tasks)
        write_mining(workspace, tasks)
        with running_server(workspace, say=lambda text: None) as server:
            sent = push(workspace, PushSettings(NAME))
            admin = Connection(server.url, server.token, local=True)
            join_as_reviewer(admin, EMAIL, PASSWORD)
            browser = driver.chromium.launch(
                executable_path=chromium, args=SWITCHES.split(), timeout=PATIENCE_MS
            )
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.set_default_timeout(PATIENCE_MS)
            open_project(page, server.url, sent.address)
            taken = [answer(page, number) for number in range(answers + 1)][1:]
            browser.close()
    medians = {part: round(statistics.median(one[part] for one in taken)) for part in taken[0]}
    slowest = round(max(one["whole"] for one in taken))
    told = {"tasks": tasks, "answers": answers, "median_ms": medians, "slowest_ms": slowest}
    click.echo(json.dumps({**told, "load": os.getloadavg()[0]}, indent=2))


if __name__ == "__main__":
    main()
