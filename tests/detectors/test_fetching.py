import hashlib
import http.server
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from sixrayd.core.errors import CheckpointError
from sixrayd.detectors import fetching
from sixrayd.detectors.fetching import WEIGHTS, WeightsFile, fetch_file, fetch_weights
from tests.certificates import certificate

CONTENT = b"weights" * 50_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(302 if self.path == "/away.pth" else 200)
        if self.path == "/away.pth":
            self.send_header("Location", self.server.away)
        if self.path == "/packed.pth":
            self.send_header("Content-Encoding", "gzip, gzip")
        if self.path != "/endless.pth":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        with suppress(OSError):  # who asked has gone
            while self.path == "/endless.pth":
                self.wfile.write(CONTENT)
        self.wfile.write(CONTENT[:100] if self.path == "/cut.pth" else CONTENT)

    def log_message(self, *_):
        pass


def _serve(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked = []
    scheme = "http"
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"{scheme}://127.0.0.1:{server.server_port}"
    return server


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    path = certificate(tmp_path_factory.mktemp("site"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server, plain = _serve(context), _serve()
    server.away = f"{plain.url}/plain.pth"
    trusting = ssl.create_default_context(cafile=path)
    with httpx.Client(verify=trusting, follow_redirects=True, trust_env=False) as client:
        yield server, client
    for each in (server, plain):
        each.shutdown()
        each.server_close()


def test_a_file_is_fetched_once_and_again_when_it_was_changed(site, tmp_path):
    server, client = site
    weights = WeightsFile(f"{server.url}/good.pth", SHA256[:8])
    before = len(server.asked)

    paths = [fetch_file(weights, tmp_path / "new", client) for _ in range(2)]

    assert paths == [tmp_path / "new" / "good.pth"] * 2
    assert len(server.asked) == before + 1
    paths[0].write_bytes(b"changed")
    assert fetch_file(weights, tmp_path / "new", client).read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["good.pth"]


@pytest.mark.parametrize(
    ("path", "sha256", "message"),
    [
        ("other.pth", "0" * 8, f"other.pth: SHA-256 {SHA256}, expected 00000000…"),
        ("cut.pth", SHA256, "cut.pth: not fetched (peer closed"),
        ("away.pth", SHA256, "/plain.pth: need https"),
        ("packed.pth", SHA256, "/packed.pth: encoded as gzip, gzip, which nobody asked for"),
    ],
)
def test_what_is_not_as_published_is_not_kept(path, sha256, message, site, tmp_path):
    server, client = site

    with pytest.raises(CheckpointError) as failed:
        fetch_file(WeightsFile(f"{server.url}/{path}", sha256), tmp_path, client)

    assert message in str(failed.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_nobody_vouches_for_and_no_server_are_named(site, tmp_path):
    server, _ = site
    with httpx.Client(trust_env=False) as distrusting:
        for url, found in (
            (f"{server.url}/good.pth", "CERTIFICATE_VERIFY_FAILED"),
            ("https://127.0.0.1:9/good.pth", "refused"),
        ):
            with pytest.raises(CheckpointError) as failed:
                fetch_file(WeightsFile(url, SHA256), tmp_path, distrusting)
            assert found in str(failed.value)


def test_published_files_carry_the_digits_that_are_checked():
    assert len(WEIGHTS) == 5
    for name, weights in WEIGHTS.items():
        assert weights.package or weights.url.startswith("https://")
        if name != "vgg16-reduced":
            assert Path(weights.name).stem.endswith(f"-{weights.sha256[:8]}")
    assert {name: len(weights.sha256) for name, weights in WEIGHTS.items()} == {
        **dict.fromkeys(("vgg16-reduced", "vgg16", "resnet50", "efficientnet-lite0"), 64),
        "retinanet": 8,
    }


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="weights 'vgg19': none of vgg16-reduced, vgg16, r"):
        fetch_weights("vgg19", tmp_path)


def test_an_answer_without_an_end_is_left(site, tmp_path, monkeypatch):
    server, client = site
    monkeypatch.setattr(fetching, "_MOST", 100_000)
    with pytest.raises(CheckpointError, match="more than 0 MiB came"):
        fetch_file(WeightsFile(f"{server.url}/endless.pth", SHA256), tmp_path, client)
    assert list(tmp_path.iterdir()) == []
