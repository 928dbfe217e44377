"""Headers of tars that `tarfile` would take minutes or gigabytes for."""

import io
import tarfile

import pytest

from sixrayd.core.errors import ShardError
from sixrayd.core.shards import iter_shard
from tests.limits import within


def _header(kind, size=0, changes=()):
    header = tarfile.TarInfo("a.jpg")
    header.type, header.size = kind, size
    block = bytearray(header.tobuf(tarfile.USTAR_FORMAT))
    for at, value in changes:
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _extended(records, kind=tarfile.XHDTYPE):
    return _header(kind, len(records)) + records + bytes(-len(records) % 512)


MANY = b"".join(b"8 %02d=a\n" % (number % 100) for number in range(300))


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (_extended(b"1" * (1 << 20)), "an extended header of 0 records or endless numbers"),
        (_extended(MANY, tarfile.XGLTYPE), "an extended header of 300 records or endless numbers"),
        (_header(tarfile.GNUTYPE_SPARSE, 0, [(482, b"\1")]), "a sparse file of many parts"),
    ],
)
def test_headers_without_end_are_refused(tmp_path, begin, said):
    path = tmp_path / "a.tar"
    path.write_bytes(begin + _header(tarfile.REGTYPE) + bytes(1024))
    with within(10, said), pytest.raises(ShardError) as caught:
        list(iter_shard(path))
    assert f"({said})" in str(caught.value)


HOLE = str(32 << 20)
SPARSE = [
    {"GNU.sparse.size": HOLE, "GNU.sparse.offset": HOLE, "GNU.sparse.numbytes": "0"},
    {"GNU.sparse.size": HOLE, "GNU.sparse.map": f"{HOLE},0"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": HOLE},
]


@pytest.mark.parametrize("records", SPARSE)
def test_no_hole_is_made_of_a_sparse_file(tmp_path, records):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        header = tarfile.TarInfo("a.jpg")
        header.pax_headers, data = records, b"999999999\n0\n0\n"  # parts that a list promises
        header.size = len(data)
        tar.addfile(header, io.BytesIO(data))
    with pytest.raises(ShardError, match=r"'a\.jpg' is not a plain file; "):
        list(iter_shard(tmp_path / "a.tar"))


def test_long_names_are_read(tmp_path):
    name = f"{'folder/' * 40}{'1' * 90}.jpg"
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(300):
            header = tarfile.TarInfo(f"{number}{name}")
            header.size = 3
            tar.addfile(header, io.BytesIO(b"abc"))
    images = list(iter_shard(tmp_path / "a.tar"))
    assert [(image.image_id, image.data) for image in images] == [("1" * 90, b"abc")] * 300
