"""A reviewer at work in a real browser."""

import os
import shutil

import pytest

from sixrayd.decisions.decision import load_decisions
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings

CHROMIUM = os.environ.get("SIXRAYD_CHROMIUM") or shutil.which("chromium") or ""
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
PATIENCE_MS = 300_000  # ends what hangs, not what is slow
EMAIL, PASSWORD = "keys@example.org", "correct-horse-battery"
# What a reviewer presses before submitting; Alt+. takes hold of the first box.
CONFIRM, CLEAR, RELABEL, UNSURE = (
    ["a"],
    ["Alt+.", "Backspace", "s"],
    ["Alt+.", "1", "u", "a"],
    ["d"],
)


@pytest.fixture
def page():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("chromium is not installed; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=SWITCHES.split(), timeout=PATIENCE_MS
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


def opened(page, task):
    """Wait till a task is there, its box drawn."""
    page.wait_for_function(
        "task => document.querySelector('.lsf-current-task__task-id')?.innerText"
        ".split('\\n')[0] === task",
        arg=str(task),
    )
    page.locator(".lsf-region-item, .lsf-outliner-item").first.wait_for()


@pytest.mark.long
@pytest.mark.browser
def test_a_reviewer_decides_ten_images_with_the_keyboard_alone(site, page):
    images = site.mined("seen", 10)
    project = push(site.workspace, PushSettings("seen")).project
    with site.client() as server:
        server.sign_up(EMAIL, PASSWORD)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.server.url}/user/login/")
    page.locator("input[name=email]").focus()
    page.keyboard.type(EMAIL)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/user/login" not in url)
    page.goto(f"{site.server.url}/projects/{project}/data?labeling=1")
    tasks = {row["image_id"]: row["task"] for row in ReviewFolder(site.workspace, "seen").tasks()}
    page.get_by_text("Labeling Instructions").wait_for()
    page.keyboard.press("Escape")
    opened(page, tasks[images[0]])
    if folder := os.environ.get("SIXRAYD_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/labelling.png")

    page.keyboard.press("Control+Enter")
    page.get_by_text("Choose a verdict: A contraband missed").wait_for()
    page.keyboard.press("Escape")
    answers = [CONFIRM, CLEAR, RELABEL, UNSURE, CLEAR, CONFIRM, CONFIRM, CLEAR, UNSURE, RELABEL]
    for image, keys in zip(images, answers, strict=True):
        opened(page, tasks[image])
        for key in keys:
            page.keyboard.press(key)
        with page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url):
            page.keyboard.press("Control+Enter")

    outside = [u for u in asked if not u.startswith((site.server.url, "data:", "blob:"))]
    assert outside == []
    result = pull(site.workspace, PullSettings("seen"))
    assert (result.new, result.problems, result.progress.by_reviewer) == (10, (), {EMAIL: 10})
    decisions = load_decisions(site.workspace, "seen")
    assert [decision.image_id for decision in decisions] == images
    said = {
        "a": ("contraband missed", [("Knife", "confirmed")]),
        "Alt+.Backspaces": ("nothing there", []),
        "Alt+.1ua": ("contraband missed", [("Gun", "relabelled")]),
        "d": ("unsure", [("Knife", "confirmed")]),
    }
    assert [(str(d.verdict), [(b.box.label, b.origin) for b in d.boxes]) for d in decisions] == [
        said["".join(keys)] for keys in answers
    ]
    assert all(d.boxes[0].candidate == f"{d.image_id}/rfb/0" for d in decisions if d.boxes)
    assert all(decision.lead_time_s > 0 for decision in decisions)
