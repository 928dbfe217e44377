"""A reviewer at work in a real browser."""

import json
import os
import shutil

import pytest

from sixrayd.core.decisions import load_decisions
from sixrayd.review.pull import PullSettings, pull
from sixrayd.review.push import PushSettings, push

CHROMIUM = os.environ.get("SIXRAYD_CHROMIUM") or shutil.which("chromium") or ""
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


@pytest.fixture
def page():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("chromium is not installed; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=SWITCHES.split())
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


@pytest.mark.browser
def test_a_reviewer_decides_with_the_keyboard(site, page):
    images = site.mined("seen", 2)
    project = push(site.workspace, PushSettings("seen")).project
    secret = json.loads(site.server.secret_file.read_text())
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.server.url}/user/login/")
    page.fill("input[name=email]", secret["user"])
    page.fill("input[name=password]", secret["password"])
    page.click("button[type=submit]")
    with site.client() as server:
        task = server.next_task(project)
    assert task.data["image_id"] == images[0]
    page.goto(f"{site.server.url}/projects/{project}/data?task={task.task}")
    page.get_by_text("contraband missed").wait_for(timeout=60_000)
    page.locator(".lsf-region-item, .lsf-outliner-item").first.wait_for(timeout=60_000)
    if folder := os.environ.get("SIXRAYD_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/labelling.png")

    page.keyboard.press("Control+Enter")
    page.get_by_text("Choose a verdict: A contraband missed").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    with page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url):
        page.keyboard.press("Control+Enter")

    outside = [u for u in asked if not u.startswith((site.server.url, "data:", "blob:"))]
    assert outside == []
    result = pull(site.workspace, PullSettings("seen"))
    assert (result.new, result.problems) == (1, ())
    (decision,) = load_decisions(site.workspace, "seen")
    assert (decision.image_id, decision.verdict) == (images[0], "contraband missed")
    assert [(b.origin, b.candidate) for b in decision.boxes] == [
        ("confirmed", f"{images[0]}/rfb/0")
    ]
