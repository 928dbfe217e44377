"""The page: what a browser makes of it, and that nothing of a release is taken for HTML."""

import base64
import io
import re
import shutil

import pytest
from PIL import Image

from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.stage import audit
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.releases import TinyRelease, voc

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<script>document.title='taken'<script>"
GUN = ("Gun", 11, 1, 40, 30)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A class and an annotation's file name that would be scripts, and a negative that is a gun."""
    folder = tmp_path_factory.mktemp("page")
    tiny = TinyRelease(classes=("Gun", EVIL))
    tiny.xml = {f"P0000{number}": voc(f"P0000{number}", GUN, GUN) for number in (1, 2, 3)}
    tiny.xml['"><img src=x onerror=alert(1)>'] = voc("x", GUN)
    tiny.images["N0000003"] = tiny.images["P00002"]
    release = tiny.write(folder / "release")
    settings = DownloadSettings(str(release), ("Gun", EVIL), on_error="skip")
    download(Workspace(folder / "ws"), settings)
    audit(Workspace(folder / "ws"), AuditSettings(most=2))
    return Workspace(folder / "ws")


@pytest.fixture
def page(workspace):
    return (workspace.folder("audit") / "report.html").read_text("utf-8")


def test_nothing_of_the_release_is_html(page):
    assert "&lt;script&gt;document.title=&#39;taken&#39;&lt;script&gt;" in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,|#)[^"]*"', page) == []


def test_a_negative_stands_beside_the_positive_that_it_repeats(page):
    section = page.split('<section id="negative-that-repeats-a-positive">')[1].split("</section>")[
        0
    ]

    assert re.findall(r'alt="(.*?)"', section) == ["N0000003", "P00002"]
    assert "<code>sixrayd review push --duplicates -w " in section
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r"base64,([^\"]+)", section)
    ]
    assert [picture.size for picture in pictures] == [(96, 64)] * 2
    bare, boxed = (picture.convert("RGB").getpixel((25, 0)) for picture in pictures)
    assert bare != boxed  # the positive's box is drawn


def test_of_a_kind_it_shows_as_many_as_it_is_told_and_says_how_many_there_are(page):
    section = page.split('<section id="box-that-repeats-another">')[1].split("</section>")[0]

    assert "<h2>Box that repeats another: 3</h2>" in section
    assert "<p>The first 2; findings.csv has all.</p>" in section
    assert re.findall(r'alt="(.*?)"', section) == ["P00001", "P00002"]


@pytest.mark.browser
def test_a_browser_shows_it_from_a_file(workspace):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    told = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=120_000
        )
        page = browser.new_page()
        page.on("request", lambda request: told.append(request.url.partition(":")[0]))
        page.goto((workspace.folder("audit") / "report.html").resolve().as_uri())
        title, body = page.title(), page.inner_text("body")
        shown = page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        count = page.evaluate("document.images.length")
        browser.close()
    assert (title, shown) == ("Audit", True)
    assert count >= 6
    assert set(told) <= {"file", "data"}
    assert told.count("file") == 1
    assert EVIL in body
