"""A reviewer at work in a real browser."""

import os
import shutil

import pytest

from sixrayd.decisions.decision import load_decisions
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from tests.workspaces import more_boxes

CHROMIUM = os.environ.get("SIXRAYD_CHROMIUM") or shutil.which("chromium") or ""
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
PATIENCE_MS = 300_000  # ends what hangs, not what is slow
EMAIL, PASSWORD = "keys@example.org", "correct-horse-battery"
SUBMIT = "Control+Enter"
# What a reviewer presses; Alt+. selects the first box, then the next.
ALL, NOTHING, ONLY, SECOND, UNSURE = (
    ["a", SUBMIT],
    ["s", SUBMIT],
    ["Alt+.", "q", SUBMIT],
    ["Alt+.", "Alt+.", "q", SUBMIT],
    ["d", SUBMIT],
)
TWO = ["Alt+.", "q", "Alt+.", "q", "a", SUBMIT]
DELETE = ["Alt+.", "Backspace", "a", SUBMIT]
RELABEL = ["Alt+.", "1", "q", SUBMIT]
# Beside a Knife, the likeliest.
BOXES = (("Gun", 60.0, 5.0, 90.0, 30.0, 0.4), ("Wrench", 60.0, 40.0, 90.0, 60.0, 0.3))
KNIFE, GUN, WRENCH = (("Knife", "confirmed"), ("Gun", "confirmed"), ("Wrench", "confirmed"))
# Verdict, boxes that stand, places of those that are rejected.
SAID = {
    "".join(ALL): ("contraband missed", [KNIFE, GUN, WRENCH], []),
    "".join(NOTHING): ("nothing there", [], [0, 1, 2]),
    "".join(ONLY): ("contraband missed", [KNIFE], [1, 2]),
    "".join(SECOND): ("contraband missed", [GUN], [0, 2]),
    "".join(UNSURE): ("unsure", [KNIFE, GUN, WRENCH], []),
    "".join(TWO): ("contraband missed", [KNIFE, GUN], [2]),
    "".join(DELETE): ("contraband missed", [GUN, WRENCH], [0]),
    "".join(RELABEL): ("contraband missed", [("Gun", "relabelled")], [1, 2]),
}
FILTER = "getComputedStyle(document.querySelector('.konvajs-content canvas')).filter"
ZOOM = "[...Htx.annotationStore.selected.names.values()].find(t => t.type === 'image').zoomScale"


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


def signed_in(site, page, project):
    """Open a project as a reviewer, the instructions put away."""
    with site.client() as server:
        if EMAIL not in server.reviewers().values():
            server.sign_up(EMAIL, PASSWORD)
    page.goto(f"{site.server.url}/user/login/")
    page.locator("input[name=email]").focus()
    page.keyboard.type(EMAIL)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/user/login" not in url)
    page.goto(f"{site.server.url}/projects/{project}/data?labeling=1")
    page.get_by_text("Labeling Instructions").wait_for()
    page.keyboard.press("Escape")


def press_access_key(page, key):
    """Alt and a key as a keyboard sends it: with its text, which Playwright leaves out."""
    sent = {"modifiers": 1, "key": key, "code": f"Key{key.upper()}"}
    sent |= {"windowsVirtualKeyCode": ord(key.upper()), "text": key, "unmodifiedText": key}
    devtools = page.context.new_cdp_session(page)
    for kind in ("keyDown", "keyUp"):
        devtools.send("Input.dispatchKeyEvent", {"type": kind, **sent})
    devtools.detach()


def test_a_usual_answer_takes_few_keys():
    assert (len(ALL), len(NOTHING), len(UNSURE), len(ONLY)) == (2, 2, 2, 3)


@pytest.mark.long
@pytest.mark.browser
def test_a_reviewer_decides_ten_images_with_the_keyboard_alone(site, page):
    images = site.mined("drawn", 10)
    more_boxes(site.workspace, "drawn", BOXES)
    project = push(site.workspace, PushSettings("drawn")).project
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    signed_in(site, page, project)
    tasks = {row["image_id"]: row["task"] for row in ReviewFolder(site.workspace, "drawn").tasks()}
    opened(page, tasks[images[0]])
    if folder := os.environ.get("SIXRAYD_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/labelling.png")

    page.keyboard.press(SUBMIT)
    page.get_by_text("Choose a verdict: A contraband missed").wait_for()
    page.keyboard.press("Escape")
    answers = [ALL, NOTHING, ONLY, UNSURE, NOTHING, SECOND, TWO, DELETE, RELABEL, ONLY]
    for image, keys in zip(images, answers, strict=True):
        opened(page, tasks[image])
        with page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url):
            for key in keys:
                page.keyboard.press(key)

    outside = [u for u in asked if not u.startswith((site.server.url, "data:", "blob:"))]
    assert outside == []
    result = pull(site.workspace, PullSettings("drawn"))
    assert (result.new, result.problems, result.progress.by_reviewer) == (10, (), {EMAIL: 10})
    decisions = load_decisions(site.workspace, "drawn")
    assert [decision.image_id for decision in decisions] == images
    places = [[int(name.rpartition("/")[2]) for name in d.rejected] for d in decisions]
    assert [
        (str(d.verdict), [(b.box.label, b.origin) for b in d.boxes], rejected)
        for d, rejected in zip(decisions, places, strict=True)
    ] == [SAID["".join(keys)] for keys in answers]
    assert all(decision.lead_time_s > 0 for decision in decisions)


@pytest.mark.long
@pytest.mark.browser
def test_the_bag_fits_the_window_and_keys_zoom_and_change_looks(site, page):
    images = site.mined("comfort", 1)
    project = push(site.workspace, PushSettings("comfort")).project
    signed_in(site, page, project)
    (row,) = ReviewFolder(site.workspace, "comfort").tasks()
    assert row["image_id"] == images[0]
    opened(page, row["task"])
    page.locator(".konvajs-content canvas").first.wait_for()
    box = page.locator(".konvajs-content").bounding_box()
    assert box["x"] >= 0 and box["y"] >= 0 and box["height"] > 300
    assert box["y"] + box["height"] <= page.viewport_size["height"]

    at_first = page.evaluate(ZOOM)
    page.keyboard.press("Control+Equal")
    page.wait_for_function(f"before => {ZOOM} > before", arg=at_first)
    page.keyboard.press("Shift+1")
    page.wait_for_function(f"before => {ZOOM} === before", arg=at_first)
    for key, look in (("b", "brightness(1.3)"), ("c", "contrast(1.6)"), ("i", "invert(1)")):
        press_access_key(page, key)
        page.wait_for_function(f"look => {FILTER}.includes(look)", arg=look)
        press_access_key(page, key)
        page.wait_for_function(f"() => {FILTER} === 'none'")
