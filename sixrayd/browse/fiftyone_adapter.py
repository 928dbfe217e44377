"""The only module that knows FiftyOne: samples become a dataset, a dataset becomes an app.

One FiftyOne database serves all Python processes of a user: a running one is joined, whichever
workspace began it, so a dataset's name says which workspace it is of.
"""

import contextlib
import importlib
import io
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from sixrayd.browse.samples import ShownBox, ShownImage
from sixrayd.core.errors import ServiceError

ADDRESS = "127.0.0.1"
_INSTALL = "install it with `pip install 'sixrayd[browse]'`"
_PATIENCE_S = 300  # with its app on a busy machine
_FIELDS = ("source", "candidates", "decisions")


def load_fiftyone(database: Path) -> ModuleType:
    """Import FiftyOne so that it stays on this machine and off stdout.

    Args:
        database: folder for its database, unless FIFTYONE_DATABASE_DIR or
            FIFTYONE_DATABASE_URI is set.

    Raises:
        ServiceError: FiftyOne is not installed, or its database does not start.
    """
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")
    os.environ.setdefault("FIFTYONE_LOGGING_DESTINATION", "stderr")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("FIFTYONE_SHOW_PROGRESS_BARS", "false")
    if "FIFTYONE_DATABASE_URI" not in os.environ:
        os.environ.setdefault("FIFTYONE_DATABASE_DIR", str(database.resolve()))
    try:
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
    fiftyone: ModuleType, name: str, work: str, samples: Sequence[ShownImage]
) -> None:
    """Build a persistent dataset, in place of one of the same name."""
    dataset = fiftyone.Dataset(name, overwrite=True, persistent=True)
    _declare_fields(fiftyone, dataset)
    dataset.add_samples((_sample(fiftyone, s) for s in samples), num_samples=len(samples))
    dataset.info = {"work": work}  # last: an interrupted build is built again
    dataset.save()


@contextlib.contextmanager
def serve_app(fiftyone: ModuleType, name: str, port: int) -> Iterator[str]:
    """Serve a dataset on the loopback address; gives the app's URL.

    Args:
        port: 0 takes a free one.

    Raises:
        ServiceError: the port is in use, or the app does not answer.
    """
    port = _free_port(port)
    url = f"http://{ADDRESS}:{port}/"
    services = importlib.import_module("fiftyone.core.service")
    # It gives its own server a minute to start, which a busy machine does not keep.
    with contextlib.suppress(AttributeError):  # a name of its own, which another version may lack
        services.Service._wait_for_child_port.__defaults__ = (None, _PATIENCE_S)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints advice on remote sessions
            session = fiftyone.launch_app(
                fiftyone.load_dataset(name), port=port, address=ADDRESS, remote=True, auto=False
            )
    except services.ServiceException as error:
        raise ServiceError(f"{url}: FiftyOne's app does not start ({error})") from error
    try:
        _check_answers(url)
        yield url
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            session.close()


def _declare_fields(fiftyone: ModuleType, dataset: Any) -> None:
    for field in ("image_id", "state", "split", "reason"):
        dataset.add_sample_field(field, fiftyone.StringField)
    dataset.add_sample_field("rank", fiftyone.IntField)
    dataset.add_sample_field("verdicts", fiftyone.ListField, subfield=fiftyone.StringField)
    for field in _FIELDS:
        dataset.add_sample_field(
            field, fiftyone.EmbeddedDocumentField, embedded_doc_type=fiftyone.Detections
        )


def _sample(fiftyone: ModuleType, sample: ShownImage) -> Any:
    boxes = {
        field: fiftyone.Detections(
            detections=[_detection(fiftyone, b, sample.size_wh) for b in getattr(sample, field)]
        )
        for field in _FIELDS
    }
    return fiftyone.Sample(
        filepath=str(sample.path.resolve()),
        tags=[tag for tag in (sample.state, sample.split) if tag],  # on no side of a given split
        metadata=fiftyone.ImageMetadata(width=sample.size_wh[0], height=sample.size_wh[1]),
        image_id=sample.image_id,
        state=sample.state,
        split=sample.split,
        reason=sample.reason,
        rank=sample.rank,
        verdicts=list(sample.verdicts),
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


def _free_port(port: int) -> int:
    # FiftyOne would silently join whatever server of its own answers on a taken port.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise ServiceError(
                f"port {port}: {error.strerror}; pass another --port, or 0 for a free one"
            ) from error
        return int(probe.getsockname()[1])


def _check_answers(url: str) -> None:
    try:
        httpx.get(url, timeout=_PATIENCE_S, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceError(f"{url}: FiftyOne's app does not answer ({error})") from error
