"""The only module that knows FiftyOne: samples become a dataset, a dataset becomes an app.

FiftyOne by itself has a database without a password and an app that serves any file, both on ports
that every user of the machine can reach. Here both stand elsewhere: see `database` and `guard`.
A process has one database, so a dataset's name says which workspace it is of.
"""

import atexit
import contextlib
import errno
import importlib
import importlib.util
import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
from more_itertools import chunked

from sixrayd.browse import lifeline
from sixrayd.browse.database import running_database
from sixrayd.browse.guard import COOKIE
from sixrayd.browse.samples import ShownBox, ShownImage
from sixrayd.core.errors import ServiceError
from sixrayd.core.figures import load_matplotlib
from sixrayd.core.made_here import claim_folder
from sixrayd.core.records import State
from sixrayd.core.tags import TAG

ADDRESS = "127.0.0.1"
_URI = "FIFTYONE_DATABASE_URI"
_INSTALL = "install it with `pip install 'sixrayd[browse]'`"
_FIELDS = ("source", "candidates", "decisions")
_TEXTS = ("image_id", "state", "split", "reason", "group", "disagreement")
_LISTS = ("verdicts", "doubts", "leaks")
_BATCH = 2000  # samples that are kept together in memory
_PORTS = 5  # any of IPv4 that are tried, until one is free of IPv6, too


def load_fiftyone(database: Path) -> ModuleType:
    """Import FiftyOne so that it stays on this machine and off stdout.

    Args:
        database: folder for its database, unless FIFTYONE_DATABASE_DIR or
            FIFTYONE_DATABASE_URI is set.

    Raises:
        ServiceError: FiftyOne is not installed, its database does not start or was not made here,
            or it is loaded already, with a database of its own.
    """
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")
    os.environ.setdefault("FIFTYONE_LOGGING_DESTINATION", "stderr")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("FIFTYONE_SHOW_PROGRESS_BARS", "false")
    os.environ["FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED"] = "true"
    if not os.environ.get(_URI):
        _bring_up_database(Path(os.environ.get("FIFTYONE_DATABASE_DIR") or database))
    try:
        load_matplotlib()
        fiftyone = importlib.import_module("fiftyone")
    except ImportError as error:
        raise ServiceError(f"FiftyOne cannot be imported ({error}); {_INSTALL}") from error
    fiftyone.config.do_not_track = True  # had it been imported before
    try:
        fiftyone.list_datasets()
    except Exception as error:  # its database's failures come as many types
        raise ServiceError(
            f"FiftyOne's database does not start ({error}); {_INSTALL}, which brings one, "
            "or name a MongoDB in FIFTYONE_DATABASE_URI"
        ) from error
    return fiftyone


def has_dataset(fiftyone: ModuleType, name: str, work: str) -> bool:
    """Whether a dataset of this name was built, to its end, from the same work."""
    if not fiftyone.dataset_exists(name):
        return False
    return bool(fiftyone.load_dataset(name).info.get("work") == work)


def write_dataset(
    fiftyone: ModuleType, name: str, work: str, samples: Iterable[ShownImage]
) -> None:
    """Build a persistent dataset with its views, in place of one of the same name."""
    dataset = fiftyone.Dataset(name, overwrite=True, persistent=True)
    _declare_fields(fiftyone, dataset)
    for some in chunked(samples, _BATCH):
        made = [_sample(fiftyone, each) for each in some]
        dataset.add_samples(made, expand_schema=False, validate=False)  # twice as fast
    for words, view in _views(fiftyone, dataset).items():
        if len(view):
            dataset.save_view(words, view)
    dataset.info = {"work": work}  # last: an interrupted build is built again
    dataset.save()


def is_built(fiftyone: ModuleType, name: str) -> bool:
    """Whether there is a dataset that was built to its end, from whatever work."""
    return bool(fiftyone.dataset_exists(name) and fiftyone.load_dataset(name).info.get("work"))


def tagged_images(fiftyone: ModuleType, name: str) -> list[str]:
    """Ids of the images that bear the tag, as the database has them now.

    Whoever may look may write there: an id may be any text, of no image even; what is no text is
    left out.

    Raises:
        ServiceError: the database has gone.
    """
    try:
        found = fiftyone.load_dataset(name).match_tags(TAG).values("image_id")
        return [image_id for image_id in found if isinstance(image_id, str)]
    except Exception as error:  # its failures come as many types
        raise ServiceError(
            f"FiftyOne's database does not answer ({error}); run `sixrayd browse` again: what was "
            "tagged is noted then"
        ) from error


@contextlib.contextmanager
def serve_app(name: str, port: int, workspace: Path, log: Path) -> Iterator[str]:
    """Serve a dataset on the loopback address; gives the app's URL, which lets in who has it.

    Args:
        port: 0 takes a free one.
        workspace: whose images are served.
        log: what the app says; written anew.

    Raises:
        ServiceError: the port is in use, or the app does not answer.
    """
    token = secrets.token_urlsafe(32)
    # Browsers send a host's cookies to all of its ports: another user's server must not be there.
    host = f"sixrayd-{secrets.token_hex(8)}.localhost"
    with contextlib.ExitStack() as ends:
        with _listening(port, ends) as door:
            at = door.getsockname()[1]
            orders = {
                "socket": door.fileno(),
                "token": token,
                "hosts": [host, ADDRESS, "localhost"],
                "workspace": str(workspace),
            }
            app = lifeline.start("sixrayd.browse.app_process", (), log, pass_fds=(door.fileno(),))
        ends.callback(lifeline.end, app)
        assert app.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is said next
            app.stdin.write(json.dumps(orders).encode() + b"\n")
            app.stdin.flush()
        _wait_for_answer(app, f"http://{ADDRESS}:{at}/fiftyone", token, log)
        yield f"http://{host}:{at}/datasets/{name}?token={token}"


def load_app() -> Any:
    """FiftyOne's app, which serves whoever asks; for the process that guards it."""
    os.environ["FIFTYONE_SERVER"] = "1"
    load_matplotlib()
    return importlib.import_module("fiftyone.server.app").app


def _claim(database: Path) -> None:
    """Refuse a database from elsewhere, or one that something was unpacked into: it names libraries
    that MongoDB loads, in a file which none of ours has."""
    if not claim_folder(database) or os.path.lexists(database / "WiredTiger.config"):
        raise ServiceError(
            f"{database}: not made by you alone at this place, and a stranger's database can run "
            "code; remove the folder to have it built again, or, where it is your own, set "
            f"FIFTYONE_DATABASE_DIR={shlex.quote(str(database))}"
        )


def _bring_up_database(folder: Path) -> None:
    """For as long as this process lives; others that it starts find it by its address."""
    if sys.modules.get("fiftyone") is not None:
        raise ServiceError(
            "FiftyOne is loaded already, with a database that every user of this machine can "
            f"read; let sixrayd load it first, or name a MongoDB in {_URI}"
        )
    package = importlib.util.find_spec("fiftyone")
    if package is None or package.origin is None:
        return  # which the import will say
    mongod = Path(package.origin).parent / "db" / "bin" / "mongod"
    if not mongod.exists():
        raise ServiceError(f"{mongod}: missing; {_INSTALL}, or name a MongoDB in {_URI}")
    if not os.environ.get("FIFTYONE_DATABASE_DIR"):  # which the user has chosen
        _claim(folder)
    ends = contextlib.ExitStack()
    os.environ[_URI] = ends.enter_context(running_database(mongod, folder.resolve()))
    atexit.register(ends.close)


def _declare_fields(fiftyone: ModuleType, dataset: Any) -> None:
    for field in _TEXTS:
        dataset.add_sample_field(field, fiftyone.StringField)
    dataset.add_sample_field("rank", fiftyone.IntField)
    for field in _LISTS:
        dataset.add_sample_field(field, fiftyone.ListField, subfield=fiftyone.StringField)
    for field in _FIELDS:
        dataset.add_sample_field(
            field, fiftyone.EmbeddedDocumentField, embedded_doc_type=fiftyone.Detections
        )


def _views(fiftyone: ModuleType, dataset: Any) -> dict[str, Any]:
    """What is worth a look, by the name under which the app offers it."""
    field = fiftyone.ViewField
    found = field("state") == str(State.FOUND_POSITIVE)
    fooled = field("state") == str(State.CONFUSING_NEGATIVE)
    leaks = dataset.match(field("leaks").length() > 0)
    return {
        "found by mining": dataset.match(found).exists("rank").sort_by("rank"),
        "confusing negatives": dataset.match(fooled).sort_by("rank"),
        "reviewers disagree": dataset.match(field("disagreement") != ""),
        "near-duplicates across splits": leaks.sort_by("group"),
        "disputed positives": dataset.match(field("doubts").length() > 0),
    }


def _sample(fiftyone: ModuleType, sample: ShownImage) -> Any:
    boxes = {
        field: fiftyone.Detections(
            detections=[_detection(fiftyone, b, sample.size_wh) for b in getattr(sample, field)]
        )
        for field in _FIELDS
        if getattr(sample, field)
    }
    return fiftyone.Sample(
        filepath=sample.path,
        # On no side of a given split there is none.
        tags=[tag for tag in (sample.state, sample.split, TAG * sample.tagged) if tag],
        metadata=fiftyone.ImageMetadata(width=sample.size_wh[0], height=sample.size_wh[1]),
        rank=sample.rank,
        **{name: getattr(sample, name) for name in _TEXTS},
        **{name: list(getattr(sample, name)) for name in _LISTS},
        **boxes,
    )


def _detection(fiftyone: ModuleType, shown: ShownBox, size_wh: tuple[int, int]) -> Any:
    width, height = size_wh
    box = shown.box
    relative = [
        box.x1 / width,
        box.y1 / height,
        (box.x2 - box.x1) / width,
        (box.y2 - box.y1) / height,
    ]
    texts = {name: getattr(shown, name) for name in ("model", "origin", "reviewer", "verdict")}
    return fiftyone.Detection(
        label=box.label,
        bounding_box=relative,
        confidence=shown.score,
        **{name: text for name, text in texts.items() if text},
    )


@contextlib.contextmanager
def _listening(port: int, ends: contextlib.ExitStack) -> Iterator[socket.socket]:
    """A socket of the port, 0 for any; its namesake of IPv6 is nobody's until the end."""
    with contextlib.ExitStack() as doors:
        for left in reversed(range(1 if port else _PORTS)):
            door = doors.enter_context(socket.socket())  # those that fail keep their ports
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind((ADDRESS, port))
                _take_namesake(door.getsockname()[1], ends)
                door.listen()
                break
            except OSError as error:
                if left == 0:
                    raise ServiceError(
                        f"port {port}: {error.strerror}; pass another --port, or 0 for a free one"
                    ) from error
        yield door


def _take_namesake(port: int, ends: contextlib.ExitStack) -> None:
    """Keep a port of ::1 from other users: there browsers ask first, with the token.

    Raises:
        OSError: one has it.
    """
    if not socket.has_ipv6:
        return
    try:
        namesake = ends.enter_context(socket.socket(socket.AF_INET6))
        namesake.bind(("::1", port))  # nobody listens, so that browsers go on to 127.0.0.1
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise


def _wait_for_answer(app: subprocess.Popen[bytes], url: str, token: str, log: Path) -> None:
    # It loads for seconds, on a busy machine for more: only an end of it ends the wait.
    cookies = {"Cookie": f"{COOKIE}={token}"}
    while (code := app.poll()) is None:
        try:
            httpx.get(url, headers=cookies, timeout=5.0, trust_env=False).raise_for_status()
            return
        except httpx.HTTPStatusError as error:
            raise ServiceError(f"{url}: FiftyOne's app answers {error}; see {log}") from error
        except httpx.HTTPError:
            time.sleep(0.05)
    raise ServiceError(f"FiftyOne's app ended with code {code}; see {log}")
