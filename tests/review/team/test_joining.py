"""One link for each lane: whoever opens it joins, and works in that lane's project."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from click.testing import CliRunner

from sixrayd.cli import cli
from sixrayd.review.label_studio.backup import back_up, backups
from sixrayd.review.label_studio.invitations import ENDED
from sixrayd.review.label_studio.restore import restore
from sixrayd.review.label_studio.server import running_server, server_folder
from sixrayd.review.push import push
from sixrayd.review.settings import InviteSettings, PushSettings
from sixrayd.review.team.joining import Invitations, invitations
from tests.review.conftest import build
from tests.review.label_studio.test_browser import opened, page  # noqa: F401
from tests.review.test_lanes import books
from tests.review.test_push import tasks_of
from tests.workspaces import build_mine


def links_of(site, name, **settings):
    return invitations(site.workspace, InviteSettings(name, **settings)).links


def said(site, *words):
    shell = CliRunner().invoke(cli, ["review", *words, "-w", str(site.workspace.root)])
    assert shell.exit_code == 0, shell.output
    return shell.stdout


def token_of(link):
    return parse_qs(urlsplit(link).query)["token"][0]


def test_a_link_leads_to_the_lane_and_stays_out_of_logs_and_pipes(site):
    site.mined("linked", 2)
    push(site.workspace, PushSettings("linked", reviewers=2))
    links = links_of(site, "linked")
    numbers = {lane: books(site, "linked", lane) for lane in "12"}
    assert {lane: parse_qs(urlsplit(link).query)["next"] for lane, link in links.items()} == {
        lane: [f"/projects/{number}/data?labeling=1"] for lane, (number,) in numbers.items()
    }
    token = token_of(links["1"])
    sign_up = httpx.get(links["2"])
    (number,) = numbers["2"]
    said_there = " ".join(sign_up.text.split())
    assert (sign_up.status_code, "click <b>Create Account</b>" in said_there) == (200, True)
    assert f"in your own project, number {number}, at the first image" in said_there
    back = f"keep <b>{site.server.url}/projects/{number}/data</b> and click <b>Label All Tasks"
    assert back in said_there
    for where in ("", "?next=//elsewhere/projects/1/", "?next=/projects/<b>1/"):
        plain = httpx.get(f"{site.server.url}/user/login/{where}").text
        assert "click the project that you were told" in plain and "in your own" not in plain
    log = (server_folder(site.workspace) / "server.log").read_text()
    assert "/user/signup/?token=…&next=%2Fprojects%2F" in log
    assert token not in log and token not in repr(Invitations("linked", links))
    for words in (["status"], ["status", "--json"], ["push"], ["push", "--json"]):
        shown = said(site, *words, "--name", "linked")
        assert token not in shown
        assert ("--json" in words) != ("join by: sixrayd review invite --name linked -w " in shown)
    assert said(site, "invite", "--name", "linked").splitlines()[:2] == [
        f"Reviewer {lane} joins at {links[lane]}" for lane in "12"
    ]
    for path in site.workspace.folder("review").rglob("*"):
        if path.is_file() and path.suffix != ".sqlite3" and "backups" not in path.parts:
            assert token.encode() not in path.read_bytes(), path


@pytest.mark.long
def test_a_new_invitation_ends_the_old_one(site):
    site.mined("renewed", 1)
    push(site.workspace, PushSettings("renewed"))
    old = links_of(site, "renewed")["1"]
    new = links_of(site, "renewed", renew=True)["1"]
    assert token_of(old) != token_of(new)
    assert [signed_up(link, f"{n}@example.org") for n, link in enumerate((old, new))] == [403, 302]


@pytest.mark.long
def test_no_link_leads_to_a_project_that_is_gone(site):
    """Its number may be another's by then."""
    site.mined("absent", 1)
    project = push(site.workspace, PushSettings("absent", reviewers=2)).project
    with site.client() as server:
        server.calls.sdk.projects.delete(project)
    assert list(links_of(site, "absent")) == ["2"]
    with site.client() as server:
        server.calls.sdk.projects.delete(*books(site, "absent", "2"))
    words = ["review", "invite", "-w", str(site.workspace.root), "--name", "absent"]
    shell = CliRunner().invoke(cli, words)
    assert str(shell.exception) == (
        "absent: gone from the server; `sixrayd review push --reviewers 2 -w "
        f"{site.workspace.root}` sends it again"
    )


@pytest.mark.long
def test_a_restored_backup_brings_no_ended_invitation_back(tmp_path, servers):
    workspace = build(tmp_path / "workspace", 1)
    build_mine(workspace, "restored", ["N0000001"])
    links = []
    for renew in (False, True):
        with running_server(workspace):
            push(workspace, PushSettings("restored"))
            back_up(workspace)
            said = invitations(workspace, InviteSettings("restored", renew=renew)).links
            links.append(said["1"])
    restore(workspace, backups(workspace)[0])
    with running_server(workspace):
        now = invitations(workspace, InviteSettings("restored")).links["1"]
        codes = [signed_up(link, f"{n}@example.org") for n, link in enumerate((links[0], now))]
    assert codes == [403, 302]
    assert token_of(links[0]) not in (server_folder(workspace) / ENDED).read_text()


def signed_up(link, email):
    with httpx.Client() as browser:
        browser.get(link)
        form = {"email": email, "password": "correct-horse-battery"}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        return browser.post(link, data=form, headers={"Referer": link}).status_code


@pytest.mark.long
def test_a_full_project_is_not_where_a_new_person_begins(site, monkeypatch):
    monkeypatch.setattr("sixrayd.review.sending.TASKS_PER_PROJECT", 1)
    site.mined("full", 2)
    push(site.workspace, PushSettings("full"))
    first, second = books(site, "full", "1")
    assert f"projects%2F{first}%2F" in links_of(site, "full")["1"]
    site.answer(first)
    assert f"projects%2F{second}%2F" in links_of(site, "full")["1"]


@pytest.mark.long
@pytest.mark.browser
def test_a_new_person_opens_the_link_and_labels(site, page):  # noqa: F811
    images = site.mined("opened", 2)
    push(site.workspace, PushSettings("opened", reviewers=2))
    link = links_of(site, "opened")["2"]
    (number,) = books(site, "opened", "2")
    tasks = {row["image_id"]: row["task"] for row in tasks_of(site, "opened") if row["lane"] == "2"}
    page.goto(link)
    page.fill("input[name=email]", "opens@example.org")
    page.fill("input[name=password]", "correct-horse-battery")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.server.url}/projects/{number}/data?labeling=1")
    page.get_by_text("Labeling Instructions").wait_for()
    page.keyboard.press("Escape")
    opened(page, tasks[images[0]])
    page.keyboard.press("s")
    with page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url):
        page.keyboard.press("Control+Enter")
    page.goto(link)  # again, signed in by now
    page.wait_for_url(f"{site.server.url}/projects/{number}/data?labeling=1")
    page.goto(f"{site.server.url}/projects")
    page.wait_for_function(
        "/sixrayd opened, reviewer 2\\s+1 \\/ 2\\s/.test(document.body.innerText)"  # their progress
    )
