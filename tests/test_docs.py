"""The site builds, and all pages are in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sixrayd.api

ROOT = Path(__file__).resolve().parent.parent


def pages(nav):
    for item in nav:
        for value in item.values():
            yield from [value] if isinstance(value, str) else pages(value)


def test_every_page_is_in_the_nav_and_every_name_on_its_page():
    nav = [*pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])]
    written = {path.name for path in (ROOT / "docs").glob("*.md")}
    names = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "api.md").read_text("utf-8"), re.M)

    assert written - set(nav) == set()
    assert {page for page in nav if not (ROOT / "docs" / page).exists()} == {
        *("annotation/guidelines.html", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
    }
    assert sorted(names) == sorted(sixrayd.api.__all__)


@pytest.mark.long
def test_the_site_builds_without_a_broken_link(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, re.findall(r"WARNING.*", done.stderr)) == (0, []), done.stderr
    assert "Send images to reviewers" in (tmp_path / "api.html").read_text("utf-8")
    assert (tmp_path / "annotation" / "guidelines.html").exists()
    links = re.findall(r'href="([^"]*)"', (tmp_path / "CONTRIBUTING.html").read_text("utf-8"))
    assert "tests.html" in links
    assert [link for link in links if "docs/" in link or ".md" in link] == []
