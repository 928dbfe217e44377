"""Archives that would unpack to far more than they are, or lead back for ever."""

import bz2
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ShardError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.growth import Allowance
from sixrayd.core.shards import MAX_IMAGE_BYTES, iter_shard, read_image
from sixrayd.datasets.labels import Labels
from sixrayd.datasets.places import files_at
from sixrayd.download.faults import Faults
from sixrayd.download.members import IMAGES, TEXTS, tar_members, zip_members
from tests.limits import address_space, raised_in_little_memory
from tests.releases import plain_tar, voc, write_zip

MB = 1 << 20


def lying_zip(path: Path, method: int, packed: bytes, says: int, names: int = 1) -> Path:
    """A zip whose directory names one member several times, and its size as it likes."""
    name = b"P1.jpg"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, method, 0, 0, 0, len(packed), says, 6, 0)
    entry = struct.pack(
        *("<4s4B4H3L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, method, 0, 0, 0, len(packed), says),
        *(6, 0, 0, 0, 0, 0, 0),
    )
    body, directory = local + name + packed, (entry + name) * names
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, names, names, len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def said_of(path: Path, allowance: Allowance | None = None) -> list[str]:
    faults = Faults("skip")
    assert list(zip_members(path, faults, IMAGES, allowance)) == []
    return [text for _, text in faults.found]


def test_no_more_is_unpacked_than_a_zip_says(tmp_path: Path) -> None:
    path = lying_zip(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, deflated(bytes(256 * MB)), 100)

    with address_space(128 * MB):
        said = said_of(path)
    assert said == ["cannot be unpacked (Bad CRC-32 for file 'P1.jpg')"]


def test_bzip2_in_a_zip_is_refused_unread(tmp_path: Path) -> None:
    path = lying_zip(tmp_path / "a.zip", zipfile.ZIP_BZIP2, bz2.compress(bytes(64 * MB)), 100)
    found: list[Finding] = []

    said = "packed by bzip2; pack it by deflate, or unpack it"
    assert said_of(path) == [f"cannot be unpacked ({said})"]
    (file,) = files_at(path, found)
    with pytest.raises(ValueError, match=said):
        file.read()


def test_members_that_share_their_bytes_are_counted_each(tmp_path: Path) -> None:
    path = lying_zip(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, deflated(bytes(MB)), MB, names=9)
    most = 3 * MB
    faults = Faults("skip")

    list(zip_members(path, faults, IMAGES, Allowance(0, most)))
    text = f"unpacks to more than {most} bytes, 100 times its size and 3 MiB"
    assert [said for _, said in faults.found].count(f"cannot be unpacked ({text})") == 6


def test_one_allowance_is_for_all_archives(tmp_path: Path) -> None:
    paths = []
    for name in ("a.tar", "b.tar"):
        with tarfile.open(tmp_path / name, "w") as tar:
            entry = tarfile.TarInfo("P1.jpg")
            entry.size = MB
            tar.addfile(entry, io.BytesIO(bytes(MB)))
        paths.append(tmp_path / name)
    faults, allowance = Faults("skip"), Allowance(0, 2 * MB)

    found = [len(list(tar_members([p], p.name, faults, IMAGES, allowance))) for p in paths]
    assert found == [1, 0]
    text = "unpacks to more than 2097152 bytes, 100 times its size and 2 MiB"
    assert faults.found == [("b.tar", f"broken ({text}); lost from b.tar/P1.jpg")]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_size_below_zero_leads_back_to_nothing(tmp_path: Path, kind: bytes) -> None:
    header, record = tarfile.TarInfo("x"), b"13 size=-512\n"
    header.type, header.size = kind, len(record)
    image = tarfile.TarInfo("P1.jpg")
    image.size = 10
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf() + record.ljust(512, b"\0") + image.tobuf() + bytes(2048))
    faults, findings = Faults("skip"), list[Finding]()

    assert list(tar_members([path], path.name, faults, IMAGES)) == []
    assert faults.found == [("a.tar", "broken (a header of -512 bytes)")]
    assert list(files_at(path, findings)) == []
    assert findings == [
        Finding(Flaw.NOT_READ, "a.tar", "broken tar (a header of -512 bytes)"),
    ]
    with pytest.raises(ShardError, match="a header of -512 bytes"):
        list(iter_shard(path))


def test_an_image_of_a_shard_has_a_size_in_reason(tmp_path: Path) -> None:
    path, header = tmp_path / "a.tar", tarfile.TarInfo("P1.jpg")
    header.size = 1 << 40
    path.write_bytes(header.tobuf())

    with pytest.raises(ShardError, match=f"{1 << 40} bytes, at most {MAX_IMAGE_BYTES} are read"):
        list(iter_shard(path))
    for offset, size in ((0, 1 << 40), (-1, 5), (5, -1)):
        with pytest.raises(ShardError, match=f"an image of {size} bytes at {offset}"):
            read_image(path, offset, size)


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_path_without_end_is_in_no_finding(tmp_path: Path, form: str) -> None:
    path, name = tmp_path / f"a.{form}", f"{'d' * 60_000}/P00001.xml"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"<annotation/>")
    else:
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.addfile(tarfile.TarInfo(name))
    found: list[Finding] = []
    assert list(files_at(path, found)) == []
    faults = Faults("skip")
    read = zip_members(path, faults, TEXTS) if form == "zip" else None
    assert list(read or tar_members([path], path.name, faults, TEXTS)) == []

    said = [(finding.where, finding.text) for finding in found]
    for where, text in (*said, *faults.found):
        assert len(where) == 100
        assert text.endswith(" signs, at most 4096 are read")
    assert len(said) == len(faults.found) == 1


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("a.zip", 'list(zip_members(path, Faults("skip"), IMAGES))'),
        ("a.tar", 'list(tar_members([path], "a.tar", Faults("skip"), IMAGES))'),
        ("a.zip", "[file.read() for file in files_at(path, [])]"),
        ("a.tar", "[file.read() for file in files_at(path, [])]"),
    ],
)
def test_a_file_is_not_called_broken_for_want_of_memory(
    tmp_path: Path, name: str, call: str
) -> None:
    write_zip(tmp_path / "a.zip", {"P1.jpg": bytes(60 * MB)})
    (tmp_path / "a.tar").write_bytes(plain_tar({"P1.jpg": bytes(60 * MB)}))
    before = (
        "from pathlib import Path\n"
        "from sixrayd.datasets.places import files_at\n"
        "from sixrayd.download.faults import Faults\n"
        "from sixrayd.download.members import IMAGES, tar_members, zip_members\n"
        f"path = Path({str(tmp_path / name)!r})"
    )
    assert raised_in_little_memory(before, call) == "MemoryError"


def test_no_finding_repeats_a_path_or_a_name_without_end() -> None:
    """There may be ten thousand of one file."""
    where = f"{'d' * 4000}/P00001.xml"
    xml = voc("P00001", ("Gun", 1.5, 1, 20, 30)).replace(b"P00001", b"q" * 100_000)
    labels = Labels()
    labels.take(where, xml)
    found = labels.annotation("P00001", (97, 64), ClassList())
    assert found is not None and len(found.findings) > 1
    assert max(len(finding.text) for finding in found.findings) == 1000
    assert {len(finding.where) for finding in found.findings} == {300}
    assert found.findings[-1].where.endswith("d/P00001.xml: object 1")
    faults = Faults("skip")
    faults.add(where, "a" * 5000)
    assert [tuple(map(len, fault)) for fault in faults.found] == [(300, 1000)]
