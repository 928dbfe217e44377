"""Who may ask an app behind the guard, and for which files; the app here answers everybody."""

import asyncio

import httpx
import pytest

from sixrayd.browse.guard import COOKIE, Guard, guarded
from sixrayd.browse.media import ShardImages
from tests.workspaces import Small

TOKEN = "the-token"
HOSTS = ("shown.localhost", "127.0.0.1")
OWN = "http://127.0.0.1:5151"


async def anybody(scope, receive, send):
    """An app that says what it was asked for."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"app {scope['path']}".encode()})


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Images in shards, with a secret beside them and a link to it."""
    workspace = Small().build(tmp_path_factory.mktemp("shown"))
    secret = workspace.root / "secret.json"
    secret.write_text("secret")
    (workspace.shards / "link.jpg").symlink_to(secret)
    return workspace.shards


@pytest.fixture
def ask(shown):
    """Asks as the owner does, unless told otherwise; gives the status and the text."""
    app = guarded(anybody, TOKEN, HOSTS, ShardImages.of(shown.parent).read)

    def asked(path, method="GET", cookie=TOKEN, base=OWN, **headers):
        async def answer():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                if cookie is not None:
                    headers["Cookie"] = f"{COOKIE}={cookie}"
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.request(method, path, headers=named)

        return asyncio.run(answer())

    return asked


def test_the_address_lets_in_once_and_a_cookie_from_then_on(ask):
    entered = ask(f"/datasets/D?token={TOKEN}", cookie=None)
    assert (entered.status_code, entered.headers["location"]) == (303, "./D")
    assert entered.headers["set-cookie"] == f"{COOKIE}={TOKEN}; HttpOnly; Path=/; SameSite=lax"
    assert ask("/datasets/D").text == "app /datasets/D"
    assert ask("/graphql", "POST", Origin=OWN, Sec_Fetch_Site="same-origin").status_code == 200


@pytest.mark.parametrize("wrong", [None, "", "the-toke", "the-tokenx", "x" * 9, "THE-TOKEN", '"'])
def test_nobody_else_is_let_in(ask, wrong):
    refused = ask("/datasets/D", cookie=wrong)
    assert (refused.status_code, refused.text) == (
        403,
        "open the address that `sixrayd browse` has printed",
    )
    assert "set-cookie" not in refused.headers
    refused = ask("/datasets/D", cookie=TOKEN, method="GET", base=f"{OWN}/?token={wrong or ''}")
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("wrong", ["", "the-toke", "%00", "ÿ", TOKEN + "&token=other"])
def test_a_wrong_token_in_the_address_is_refused(ask, wrong):
    refused = ask(f"/?token={wrong}")
    assert (refused.status_code, refused.text) == (403, "token: not this app's")
    assert ask(f"/graphql?token={TOKEN}", "POST", cookie=None).status_code == 403


HOSTILE = ["evil.example", "127.0.0.1.evil.example", "127.0.0.2", "localhost.", "", "[::1]:5151"]


@pytest.mark.parametrize("host", [*HOSTILE, "evil.example:127.0.0.1", "127.0.0.1:5151\x00"])
def test_a_foreign_host_is_refused(ask, host):
    for path in ("/", f"/?token={TOKEN}"):
        refused = ask(path, Host=host)
        assert (refused.status_code, refused.text) == (403, "Host: not a name of this app")


def test_pages_may_ask_nobody_else(ask):
    policy = "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:"
    assert ask("/datasets/D").headers["content-security-policy"] == policy


def test_its_own_hosts_are_answered_on_any_port(ask):
    for host in ("127.0.0.1:5151", "127.0.0.1:9999", "127.0.0.1", "shown.localhost:5151"):
        assert ask("/", Host=host).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:6666", "http://evil.example", "null", "https://127.0.0.1:5151", ""]
)
def test_another_origin_is_refused_with_the_cookie_even(ask, origin):
    for method in ("POST", "GET", "OPTIONS", "DELETE"):
        refused = ask("/graphql", method, Origin=origin)
        assert (refused.status_code, refused.text) == (403, "Origin: not this app's")


def test_what_another_page_embeds_is_refused(ask):
    for site in ("same-site", "cross-site", "other"):
        assert ask("/media?filepath=x", Sec_Fetch_Site=site).status_code == 403
    assert ask("/", Sec_Fetch_Site="none").status_code == 200


def test_a_websocket_is_asked_the_same():
    async def opened(**headers):
        told = []

        async def send(message):
            told.append(message["type"])

        async def app(scope, receive, send):
            await send({"type": "websocket.accept"})

        scope = {
            "type": "websocket",
            "path": "/",
            "query_string": f"token={TOKEN}".encode() if headers.pop("token", "") else b"",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
        await Guard(app, TOKEN, frozenset(HOSTS))(scope, None, send)
        return told

    good = {"host": "127.0.0.1:1", "cookie": f"{COOKIE}={TOKEN}", "origin": "http://127.0.0.1:1"}
    assert asyncio.run(opened(**good)) == ["websocket.accept"]
    for change in ({"host": "x"}, {"cookie": ""}, {"origin": OWN}, {"cookie": "", "token": "y"}):
        assert asyncio.run(opened(**{**good, **change})) == ["websocket.close"]


def test_images_are_served_from_their_shards(ask, shown):
    path = f"{shown}/positives-00000.tar/P00001.jpg"
    answer = ask(f"/media?filepath={path}")
    assert answer.content == Small().pictures[0].data
    assert answer.headers["content-type"] == "image/jpeg"
    assert ask(f"/media?filepath={path}", "HEAD").headers["content-length"] == str(
        len(answer.content)
    )


@pytest.mark.parametrize(
    "path",
    [
        *("{0}/../secret.json", "{0}/link.jpg", "{0}/index.parquet", "{0}/%2e%2e/secret.json"),
        *("{0}", "{0}/", "{0}/positives-00000.tar", "{0}/positives-00000.tar/", "P00001.jpg"),
        *("{0}/negatives-00000.tar/P00001.jpg", "{0}/../shards/positives-00000.tar/P00001.jpg"),
        *("{0}/positives-00000.tar/P00004.jpg", "{0}/positives-00000.tar/P99999.jpg"),
        *("", "/", "/etc/passwd", "/proc/self/environ", "/dev/zero", "~/x", "x" * 5000),
        *("{0}/positives-00000.tar/P00001.jpg%00", "%00", "%ff%fe", "file://{0}/P00001.jpg"),
        "{0}/positives-00000.tar/P00001.jpg&filepath=/etc/passwd",
    ],
)
def test_nothing_else_is(ask, shown, path):
    answer = ask(f"/media?filepath={path.format(shown)}")
    assert (answer.status_code, answer.text) == (404, "Not found")


def test_an_image_that_has_changed_is_not_shown(ask, shown):
    shard = shown / "negatives-00000.tar"
    path = f"/media?filepath={shard}/N0000001.jpg"
    assert ask(path).status_code == 200
    shard.write_bytes(shard.read_bytes().replace(b"\xff\xdb", b"\xff\xda", 1))
    assert ask(path).status_code == 404


def test_no_path_goes_by_it_to_an_app_that_serves_any_file(ask):
    for path in ("/media", "/media%0A", "/%6dedia"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            assert not ask(f"{path}?filepath=/etc/passwd", method).text.startswith("app /media")
