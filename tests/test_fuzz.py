"""Small real files, damaged at random: each parser gives a result or an error of ours, in time.

Cases have numbers: a failure names its parser and number, which make the same case again.
"""

import gzip
import hashlib
import io
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import click
import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from sixrayd.cli import cli
from sixrayd.core.classes import ClassList
from sixrayd.core.documents import NONSENSE
from sixrayd.core.errors import CheckpointError, SixraydError
from sixrayd.core.findings import Finding
from sixrayd.core.records import ANNOTATION_SCHEMA
from sixrayd.core.settings_file import settings_of
from sixrayd.core.shards import iter_shard
from sixrayd.core.tables import read_table, table_bytes
from sixrayd.core.voc import read_voc
from sixrayd.crop.keras_weights import read_keras_weights
from sixrayd.datasets.labels import Labels
from sixrayd.datasets.opening import open_set
from sixrayd.datasets.patch_file import read_patch
from sixrayd.datasets.places import BROKEN, files_at
from sixrayd.detectors.pickles import read_tensors
from sixrayd.download.faults import Faults
from sixrayd.download.imagesets import ImageSets
from sixrayd.download.members import IMAGES, TEXTS, Member, tar_members, zip_members
from sixrayd.imaging.decode import browsable, decode_rgb
from sixrayd.review.label_studio.exports import read_tasks
from sixrayd.review.label_studio.regions import read_answer
from sixrayd.review.label_studio.unpacking import unpack
from sixrayd.statistics.certificate import PARTS, STATEMENT
from sixrayd.statistics.population import POPULATION_SCHEMA
from sixrayd.statistics.sampling import SamplingPlan
from sixrayd.statistics.settings import BoundSettings
from sixrayd.verify.stage import verify
from tests.limits import TooLate, address_space, within
from tests.releases import jpeg, plain_tar, voc

FEW = 40  # cases of a parser in `make test`
MANY, SLOW_MANY = 100_000, 10_000  # in `make test-full`; fewer where a case takes over 5 ms
MOST_S = 10
MOST_BYTES = 2 << 30
CLASSES = ("Gun", "Knife")
_NUMBERS = (b"-1", b"0", b"1e999", b"nan", b"9" * 30, b'"', b"null", b"[", b"{", b"\xff\xfe", b"\0")
_WORDS = tuple(n.to_bytes(4, "little") for n in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))


def damaged(data: bytes, random: Random) -> bytes:
    """Some bytes changed, lost, doubled or replaced by what parsers stumble over."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        at = random.randrange(len(changed) + 1)
        end = min(at + random.choice((1, 4, 16, 512)), len(changed))
        what = random.randrange(6)
        if what == 0:
            changed[at : at + 1] = random.randbytes(1)
        elif what == 1:
            changed[at : at + 4] = random.choice(_WORDS)
        elif what == 2:
            changed[at:end] = random.choice(_NUMBERS)
        elif what == 3:
            del changed[at:end]
        elif what == 4:
            changed[at:at] = changed[at:end] * random.choice((1, 2, 50))
        else:
            del changed[random.choice((at, len(changed) - 1)) :]
    return bytes(changed)


def tar_seed(random: Random) -> bytes:
    files = {"P00001.jpg": b"one", "a/P00002.xml": b"<annotation/>", "s.csv": b"name,Gun\n"}
    long = {f"{'d' * 120}/P00003.png": b"x" * 600}
    forms = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)
    return plain_tar(files | long, random.choice(forms[:2]))


def zip_seed(random: Random) -> bytes:
    file = io.BytesIO()
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("P00001.jpg", "a/P00002.xml", "s.csv"):
            archive.writestr(zipfile.ZipInfo(name), b"some bytes " * 20, method)
    return file.getvalue()


@cache
def images() -> tuple[bytes, ...]:
    found = [jpeg(1)]
    plain = Image.linear_gradient("L").resize((48, 32))
    for form, options in (
        ("JPEG", {"progressive": True}),
        *(("PNG", {}), ("BMP", {}), ("WEBP", {}), ("TIFF", {"compression": "tiff_lzw"})),
    ):
        file = io.BytesIO()
        plain.convert("RGB").save(file, form, **options)
        found.append(file.getvalue())
    return tuple(found)


def one_of(*seeds: bytes) -> Callable[[Random], bytes]:
    return lambda random: random.choice(seeds)


VOC = voc("P00001", ("Gun", 1, 1, 20, 30), ("knife", 31, 11, 60, 50))
CSV = b"name,Gun,Knife\nP00001,1,-1\n,N0000001.jpg,-1,0\nP00002,1.0,1\n"
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "P00001.jpg", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3.5, 4]}],
        "categories": [{"id": 2, "name": "Gun"}],
    }
).encode()
TOML = b"""[download]
classes = ["Gun", "Knife"]
seed = 7
test-share = 0.25
on-error = "skip"
[mine]
threshold = 0.5
"""
BOX = {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 5, "rectanglelabels": ["Gun"]}
REGION = {"id": "a", "type": "rectanglelabels", "from_name": "boxes", "value": BOX}
TASKS = json.dumps(
    [
        {
            "id": 3,
            "data": {"sixrayd": "key"},
            "drafts": [],
            "updated_at": "2026-01-02T03:04:05Z",
            "annotations": [
                {
                    "id": 5,
                    "completed_by": {"id": 1},
                    "updated_by": 2,
                    "result": [
                        REGION,
                        {
                            "type": "choices",
                            "from_name": "verdict",
                            "value": {"choices": ["nothing there"]},
                        },
                    ],
                    "updated_at": "2026-01-02T03:04:05Z",
                    "lead_time": 4.5,
                    "was_cancelled": False,
                }
            ],
        }
    ]
).encode()
ROW = {"image_id": "P00001", "label": "Gun", "x1": 1.0, "y1": 2.0, "x2": 9.0, "y2": 9.0}


@cache
def table_seed() -> bytes:
    rows = [{f.name: ROW.get(f.name) for f in ANNOTATION_SCHEMA}] * 3
    columns = [
        pa.array([row[f.name] for row in rows], f.type)
        if rows[0][f.name] is not None
        else pa.array([_nothing(f.type)] * 3, f.type)
        for f in ANNOTATION_SCHEMA
    ]
    return table_bytes(pa.Table.from_arrays(columns, schema=ANNOTATION_SCHEMA))


def _nothing(kind: pa.DataType) -> object:
    if pa.types.is_boolean(kind):
        return False
    return "" if pa.types.is_string(kind) else [] if pa.types.is_list(kind) else 0


@cache
def certificate_parts() -> dict[str, bytes]:
    names = [f"N{number:07d}" for number in range(30)]
    population = pa.table([names, names, ["flagged", "unflagged"] * 15], schema=POPULATION_SCHEMA)
    parts = {name: table_bytes(schema.empty_table()) for name, schema in PARTS.items()}
    parts["population.parquet"] = table_bytes(population)
    pools = {"flagged": 15, "unflagged": 15}
    draw = {"number": 1, "drawn_at": "", "pools": pools, "units": dict.fromkeys(pools, 0)}
    draw |= {"seed": "dice", "gone": hashlib.sha256(b"[]").hexdigest()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    plan = {"population": digests["population.parquet"], "edges": [], "draws": [draw]}
    statement = {
        **{"name": "a", "signed_by": "b", "signed_at": "c", "outcome": {}, "format": 1},
        **{"plan": plan | {"version": "1"}, "classes": list(CLASSES), "version": "1"},
        "settings": json.loads(json.dumps(asdict(BoundSettings()))),
        "planted": [{"label": "Gun", "with_proposals": True, "planted": 9, "hits": 8, "named": 7}],
        "files": digests,
        "commitment": SamplingPlan.parse(plan).commitment,
    }
    return parts | {STATEMENT: json.dumps(statement).encode()}


def certificate(random: Random) -> bytes:
    """One part damaged, and its digest as a forger would write it."""
    parts = dict(certificate_parts())
    name = random.choice(sorted(parts))
    parts[name] = damaged(parts[name], random)
    if name != STATEMENT:
        said = json.loads(parts[STATEMENT])
        said["files"][name] = said["plan"]["population"] = hashlib.sha256(parts[name]).hexdigest()
        parts[STATEMENT] = json.dumps(said).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part, data in parts.items():
            archive.writestr(part, data)
    return file.getvalue()


@cache
def backup_seed() -> bytes:
    files = {"server/data/label_studio.sqlite3": b"database", "review/a/pulled.json": b"{}"}
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"files": listed, "counts": {"tasks": 1, "annotations": 2}}
    return plain_tar({"manifest.json": json.dumps(manifest).encode(), **files})


PATCH = (
    b'{"sixrayd_patch":1,"classes":["Gun"],"before":{"labels":"%(h)s","images":1,"positives":0,'
    b'"boxes":0},"after":{"labels":"%(h)s","images":1,"positives":1,"boxes":1},"changes":1}\n'
    b'{"image":"P00001","size":[64,48],"before":[],"after":[{"label":"Gun","xyxy":[1,2,9,9]}]}\n'
).replace(b"%(h)s", b"a" * 64)


YOLO = {
    "data.yaml": b"path: .\ntrain: images\nnames:\n  0: Gun\n  1: Knife\n",
    "labels/a.txt": b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n",
}
KERAS = {"d1.weight": (2, 3), "d1.bias": (2,)}


@cache
def weights() -> tuple[bytes, ...]:
    """As torch saves them, and as it did before 1.6."""
    tensors = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(2, dtype=torch.long)}
    found = []
    for as_zip in (True, False):
        file = io.BytesIO()
        torch.save({"state_dict": tensors}, file, _use_new_zipfile_serialization=as_zip)
        found.append(file.getvalue())
    return tuple(found)


@cache
def keras() -> bytes:
    file = io.BytesIO()
    with pytest.importorskip("h5py").File(file, "w") as weights:
        weights["model_weights/d1/d1/kernel:0"] = np.ones((3, 2), np.float32)
        weights["model_weights/d1/d1/bias:0"] = np.ones(2, np.float32)
    return file.getvalue()


def read_tar(path: Path) -> None:
    list(tar_members([path], "a.tar", Faults("skip"), IMAGES | TEXTS))
    read_places(path)
    list(iter_shard(path))


def read_zip(path: Path) -> None:
    list(zip_members(path, Faults("skip"), IMAGES | TEXTS))
    read_places(path)


def read_places(path: Path) -> None:
    for file in files_at(path, list[Finding]()):
        try:
            file.read() if file.size <= 1 << 26 else None
        except BROKEN:
            continue


def read_image(path: Path) -> None:
    data = path.read_bytes()
    browsable(data, "a")
    decode_rgb(data, "a")


def read_labels(name: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        labels, data = Labels(), path.read_bytes()
        labels.wants(name, data)
        labels.take(name, data)
        for image in sorted(labels.image_ids):
            labels.annotation(image, (64, 48), ClassList(CLASSES), "skip")

    return read


def read_csv(path: Path) -> None:
    ImageSets(ClassList(CLASSES)).read(Member("a.csv", path.read_bytes()), Faults("skip"))


def read_settings(path: Path) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, "download")
    assert command is not None
    settings_of(click.Context(command, parent=context, info_name="download"), path.parent)


def read_answers(path: Path) -> None:
    try:
        tasks = read_tasks([path.read_bytes()])
    except NONSENSE:  # which the client translates
        return
    for task in tasks:
        for annotation in task.annotations:
            read_answer(annotation.regions, (64, 48), {}, ClassList(CLASSES))


def read_weights(path: Path) -> None:
    try:
        read_tensors(path)
    except Exception as error:  # whatever its bytes lead to, which `pretrained` translates
        raise CheckpointError(str(error)) from error


def read_yolo(path: Path) -> None:
    root = path.parent / "set"
    for name, data in {**YOLO, "images/a.jpg": jpeg(1)}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(path.read_bytes() if Path(name).name == path.name else data)
    open_set(root)


def read_backup(path: Path) -> None:
    unpack(path, path.parent)


@dataclass(frozen=True)
class Parser:
    """What is damaged, how it is wrapped after, and who reads it."""

    name: str  # of the file
    seed: Callable[[Random], bytes]
    read: Callable[[Path], object]
    slow: bool = False  # a case takes over 5 ms
    wrap: Callable[[bytes], bytes] = bytes
    signed: bool = False  # the seed is damaged already


PARSERS = {
    "tar": Parser("a.tar", tar_seed, read_tar),
    "tar.gz": Parser("a.tar.gz", lambda r: gzip.compress(tar_seed(r), 1), read_tar),
    "zip": Parser("a.zip", zip_seed, read_zip),
    "image": Parser("a.jpg", lambda random: random.choice(images()), read_image),
    "voc": Parser(
        "a.xml",
        one_of(VOC),
        lambda path: read_voc(path.read_bytes(), "P00001.xml", ClassList(CLASSES), on_error="skip"),
    ),
    "csv": Parser("a.csv", one_of(CSV), read_csv),
    "coco": Parser("a.json", one_of(COCO), read_labels("instances_train.json")),
    "toml": Parser("sixrayd.toml", one_of(TOML), read_settings),
    "table": Parser(
        "a.parquet",
        lambda random: table_seed(),
        lambda path: read_table(path, ANNOTATION_SCHEMA),
        slow=True,
    ),
    "certificate": Parser("a.certificate", certificate, verify, slow=True, signed=True),
    "backup": Parser(
        "a.tar.gz",
        lambda random: backup_seed(),
        read_backup,
        wrap=lambda data: gzip.compress(data, 1),
    ),
    "weights": Parser("a.pth", lambda random: random.choice(weights()), read_weights, slow=True),
    "keras": Parser("a.h5", lambda random: keras(), lambda path: read_keras_weights(path, KERAS)),
    "yolo names": Parser("data.yaml", one_of(YOLO["data.yaml"]), read_yolo),
    "yolo rows": Parser("a.txt", one_of(YOLO["labels/a.txt"]), read_yolo),
    "patch": Parser("a.patch", one_of(PATCH), read_patch),
    "answers": Parser("a.json", one_of(TASKS), read_answers),
}


def run_cases(name: str, folder: Path, first: int, count: int) -> int:
    """How many cases gave a result."""
    parser, results = PARSERS[name], 0
    path = folder / parser.name
    with address_space(MOST_BYTES), warnings.catch_warnings(record=True) as said:
        warnings.filterwarnings("ignore", module=r"PIL\.")  # as `imaging.decode` has it
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # as Python has it
        for number in range(first, first + count):
            random = Random(f"{name} {number}")
            seed = parser.seed(random)
            path.write_bytes(parser.wrap(seed if parser.signed else damaged(seed, random)))
            with within(MOST_S, f"{name} {number}"):
                try:
                    parser.read(path)
                    results += 1
                except SixraydError:
                    continue
                except Exception as error:
                    raise AssertionError(f"{name} {number}: {error!r}") from error
    assert not said, f"{name}: {said[0].message!r} would reach the terminal"
    return results


# `verify` tells faults as a result, and a release's tar is no shard.
@pytest.mark.parametrize("name", sorted(PARSERS.keys() - {"certificate", "tar", "tar.gz"}))
def test_whole_files_are_read(tmp_path: Path, name: str) -> None:
    parser = PARSERS[name]
    path = tmp_path / parser.name
    path.write_bytes(parser.wrap(parser.seed(Random(0))))

    parser.read(path)  # which raises where it finds a fault


@pytest.mark.parametrize("error", [KeyError("a"), MemoryError(), RecursionError()])
def test_any_other_error_than_ours_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(path: Path) -> None:
        raise error

    monkeypatch.setitem(PARSERS, "voc", replace(PARSERS["voc"], read=broken))
    with pytest.raises(AssertionError, match=r"^voc 0: "):
        run_cases("voc", tmp_path, 0, 1)


def test_what_takes_too_long_fails() -> None:
    with pytest.raises(TooLate, match=r"^a case: more than 1 s$"), within(1, "a case"):
        while True:
            pass


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_files_end_in_an_error_of_ours(tmp_path: Path, name: str) -> None:
    run_cases(name, tmp_path, 0, FEW)  # which fails at any other error, as said above


@pytest.mark.long
@pytest.mark.longest
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", PARSERS)
def test_many_damaged_files_end_in_an_error_of_ours(tmp_path: Path, name: str) -> None:
    run_cases(name, tmp_path, FEW, SLOW_MANY if PARSERS[name].slow else MANY)
