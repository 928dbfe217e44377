"""Files inside archives and folders: read whole, in order, or refused with a reason."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.errors import ReleaseError
from sixrayd.core.growth import Allowance
from sixrayd.datasets.tars import JoinedParts
from sixrayd.download.faults import Faults
from sixrayd.download.members import (
    IMAGES,
    TEXTS,
    Member,
    loose_files,
    loose_members,
    tar_members,
    zip_members,
)
from tests.limits import address_space
from tests.releases import cut, plain_tar, tar_gz, write_zip

ALL = IMAGES | TEXTS
FILES = {
    "a/P00001.jpg": b"one",
    "a/b/P00002.JPEG": b"two" * 1000,
    "P00001.xml": b"<annotation/>",
    "ä/ö.png": b"",
    "sets.csv": b"name,Gun\n",
}


def read_tar(folder, data, name="a.tar.gz", faults=None, suffixes=ALL, parts=1):
    paths = cut(folder, data, parts, name)
    found = tar_members(paths, name, faults or Faults(), suffixes)
    return {member.where: member.data for member in found}


def read_packed(path, faults):
    return {m.where: m.data for m in tar_members([path], path.name, faults, ALL)}


def read_zip(path, faults=None, suffixes=ALL):
    return {m.where: m.data for m in zip_members(path, faults or Faults(), suffixes)}


def stopped(read, *given):
    with pytest.raises(ReleaseError) as caught:
        read(*given)
    return str(caught.value).removesuffix("; mend it or pass --on-error skip")


def skipped(read, *given):
    faults = Faults("skip")
    return read(*given, faults), faults.found


@pytest.mark.parametrize(
    ("where", "stem", "suffix"),
    [
        ("a.tar.gz/x/P00001.JPG", "P00001", ".jpg"),
        ("P1.jpg.rf.0a.png", "P1.jpg.rf.0a", ".png"),
        ("folder.d/name", "name", ""),
        (".jpg", ".jpg", ""),
    ],
)
def test_stem_and_suffix(where, stem, suffix):
    member = Member(where, b"")
    assert (member.stem, member.suffix) == (stem, suffix)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.integers(1, 30))
def test_joined_parts_read_as_one_file(tmp_path_factory, pieces, step):
    folder = tmp_path_factory.mktemp("parts")
    paths = [folder / str(number) for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)

    with JoinedParts(paths) as joined:
        found = list(iter(lambda: joined.read(step), b""))

    assert b"".join(found) == b"".join(pieces)
    assert joined.closed


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        *(("a.tar.bz2", bz2.compress), ("a.TBZ", bz2.compress), ("a.tbz2", bz2.compress)),
        *(("a.tar.xz", lzma.compress), ("a.txz", lzma.compress)),
        ("a.tar.lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
    ],
)
def test_tars_of_every_packing(tmp_path, name, pack):
    packed = pack(plain_tar(FILES))

    assert read_tar(tmp_path, packed, name, parts=3) == {f"{name}/{p}": d for p, d in FILES.items()}
    assert stopped(read_tar, tmp_path, packed[:-20], name).startswith(f"{name}00: ends too early: ")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("header", [{}, {"size": str(10**19)}], ids=["plain", "pax"])
def test_a_size_beyond_the_archive_ends_with_it(tmp_path, pack, header):
    entry = tarfile.TarInfo("notes.bin")
    entry.size, entry.pax_headers = 1 << 62 if not header else 3, header
    form = tarfile.PAX_FORMAT if header else tarfile.GNU_FORMAT
    name = "a.tar" if pack is bytes else "a.tgz"
    good = plain_tar({"P1.jpg": b"one"})[:1024]
    (tmp_path / name).write_bytes(pack(good + entry.tobuf(form) + bytes(2048)))
    faults = Faults("skip")

    found = list(tar_members([tmp_path / name], name, faults, ALL))

    assert found == [Member(f"{name}/P1.jpg", b"one")]
    assert faults.found == [
        (
            name,
            "ends too early: its last part is missing or truncated; 2048 bytes of "
            f"{name}/notes.bin came, {10**19 if header else 1 << 62} expected by its header",
        )
    ]


def test_what_a_damaged_tar_loses_is_named(tmp_path):
    packed = bytearray(plain_tar({"P1.jpg": b"one", "P2.jpg": b"two"}))
    packed[1024] ^= 1  # in the second header
    (tmp_path / "a.tar").write_bytes(packed)
    faults = Faults("skip")

    assert len(list(tar_members([tmp_path / "a.tar"], "a.tar", faults, ALL))) == 1
    assert faults.found == [
        ("a.tar", "broken (no end mark, bad checksum); lost after a.tar/P1.jpg")
    ]


def test_a_tar_that_grows_beyond_reason_is_left(tmp_path):
    data = plain_tar({"P1.jpg": b"one", "zeros.bin": bytes(10 << 20)})
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress(data))

    assert stopped(
        lambda: list(
            tar_members([tmp_path / "a.tar.xz"], "a.tar.xz", Faults(), ALL, Allowance(0, 100_000))
        )
    ).startswith("a.tar.xz: broken (unpacks to more than ")


def test_the_other_members_of_a_broken_zip_are_read(tmp_path):
    path = tmp_path / "a.zip"
    write_zip(path, {"P1.jpg": b"one", "P2.jpg": b"some bytes", "P3.jpg": b"three"})
    data = path.read_bytes()
    path.write_bytes(data.replace(b"some bytes", b"same bytes"))
    faults = Faults("skip")

    assert read_zip(path, faults) == {"a.zip/P1.jpg": b"one", "a.zip/P3.jpg": b"three"}
    assert faults.found == [("a.zip/P2.jpg", "cannot be unpacked (Bad CRC-32 for file 'P2.jpg')")]


@pytest.mark.parametrize(
    "inner", ["raw/b.tar.gz00", "b.tar.bz2", "b.tgz", "b.zip.001", "b.7z.part2", "b.tar.gzab"]
)
def test_archives_within_archives_are_named(tmp_path, inner):
    write_zip(tmp_path / "a.zip", {inner: b"x", "b.tar.asc": b"x"})
    faults = Faults("skip")
    tar_files = read_tar(tmp_path, tar_gz({inner: b"x", "b.tar.asc": b"x"}), faults=faults)

    assert (tar_files, read_zip(tmp_path / "a.zip", faults, IMAGES)) == ({}, {})
    words = "an archive within an archive; unpack it beside the others"
    assert faults.found == [(f"a.tar.gz/{inner}", words), (f"a.zip/{inner}", words)]
    assert faults.passed_over == {".asc": 2}


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "P1.jpg")
    (tmp_path / "P2.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "a.zip")
    faults = Faults("skip")

    assert list(loose_members(tmp_path, faults, IMAGES)) == []
    assert list(tar_members([tmp_path / "P1.jpg"], "a.tar", faults, ALL)) == []
    assert faults.found[:2] == [
        ("P1.jpg", "cannot be read (a pipe, expected a plain file)"),
        ("P2.jpg", "cannot be read (a device, expected a plain file)"),
    ]
    assert stopped(read_zip, tmp_path / "a.zip").startswith("a.zip: broken zip (")
    assert len(faults.found) == 3


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(("name", "pack"), [("a.tar.gz", gzip.compress), ("A.TAR", bytes)])
def test_tars_of_every_form(tmp_path, form, name, pack):
    files = {**FILES, f"{'long/' * 15}{'n' * 70}.jpg": b"far down"}

    found = read_tar(tmp_path, pack(plain_tar(files, form)), name, parts=3)

    assert found == {f"{name}/{path}": data for path, data in files.items()}


@settings(max_examples=8)
@given(st.integers(1, 99))
def test_a_tar_may_be_cut_anywhere(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("cut")
    data = tar_gz(FILES)

    found = read_tar(folder, data, parts=min(parts, len(data)))

    assert found == {f"a.tar.gz/{path}": data for path, data in FILES.items()}


def test_only_the_suffixes_that_are_asked_for_are_read(tmp_path):
    packed = tar_gz(FILES | {"notes.txt": b"x", "P00003.jpg/": b""})
    write_zip(tmp_path / "a.zip", FILES | {"notes.txt": b"x", "P00003.jpg/": b""})

    assert list(read_tar(tmp_path, packed, suffixes=(".xml",))) == ["a.tar.gz/P00001.xml"]
    assert list(read_zip(tmp_path / "a.zip", suffixes=(".csv",))) == ["a.zip/sets.csv"]


def test_a_gzip_of_several_members_is_read_to_its_end(tmp_path):
    whole = plain_tar(FILES)
    packed = gzip.compress(whole[:700]) + gzip.compress(whole[700:]) + bytes(512)

    assert len(read_tar(tmp_path, packed)) == len(FILES)


def test_more_after_the_end_of_a_tar_is_a_fault_and_zeros_are_not(tmp_path):
    whole = plain_tar(FILES)
    assert len(read_tar(tmp_path, gzip.compress(whole + bytes(99999)))) == len(FILES)

    message = "a.tar.gz00: more data follows the tar's end"
    assert stopped(read_tar, tmp_path, gzip.compress(whole + b"\0x")) == message
    # A second tar glued to the first is no part of it.
    assert stopped(read_tar, tmp_path, gzip.compress(whole + whole)) == message


@pytest.mark.parametrize("keep", [2, 9, 20, 60, -9, -1])
def test_a_gzip_that_ends_too_early(tmp_path, keep):
    packed = tar_gz(FILES)

    assert stopped(read_tar, tmp_path, packed[:keep]).partition(";")[0] == (
        "a.tar.gz00: ends too early: its last part is missing or truncated"
    )


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path):
    packed = bytearray(gzip.compress(plain_tar(FILES), compresslevel=0))
    packed[packed.index(b"one")] ^= 1

    assert stopped(read_tar, tmp_path, bytes(packed)).startswith(
        "a.tar.gz00: broken (CRC check failed 0x"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends too early: its last part is missing or truncated"),
        (b"\x1f", "broken (Not a gzipped file (b'\\x1f'))"),
        (b"x" * 2000, "broken (Not a gzipped file (b'xx'))"),
        (bz2.compress(plain_tar(FILES)), "broken (Not a gzipped file (b'BZ'))"),
        (gzip.compress(b""), "ends too early: its last part is missing or truncated"),
        (gzip.compress(b"x" * 600), "broken (no end mark, invalid header)"),
        (
            gzip.compress(tar_gz(FILES)),
            "broken (packed twice, it holds a .tar.gz; unpack it once, and name what comes out so "
            "that it ends in .tar.gz)",
        ),
    ],
    ids=["empty", "one byte", "text", "bz2", "empty gzip", "gzipped text", "packed twice"],
)
def test_what_is_no_tar_at_all(tmp_path, data, reason):
    paths = cut(tmp_path, data, 1, "a.tar.gz")
    faults = Faults("skip")

    assert list(tar_members(paths, "a.tar.gz", faults, ALL)) == []
    assert faults.found == [("a.tar.gz00", reason)]


def test_members_before_a_fault_are_kept_when_faults_are_passed_over(tmp_path):
    entry = tarfile.TarInfo("../P00009.jpg")
    link = tarfile.TarInfo("P00008.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for one in (entry, link):
            tar.addfile(one, io.BytesIO())
        good = tarfile.TarInfo("P00001.jpg")
        good.size = 3
        tar.addfile(good, io.BytesIO(b"one"))
    paths = cut(tmp_path, gzip.compress(buffer.getvalue()), 1, "a.tar.gz")
    faults = Faults("skip")

    found = list(tar_members(paths, "a.tar.gz", faults, ALL))

    assert found == [Member("a.tar.gz/P00001.jpg", b"one")]
    assert faults.found == [
        ("a.tar.gz/../P00009.jpg", "a path that leaves the archive; refused"),
        ("a.tar.gz/P00008.jpg", "a link, device or sparse file; refused"),
    ]


def test_zips_with_folders_backslashes_and_clutter(tmp_path):
    path = tmp_path / "a.zip"
    write_zip(
        path,
        {
            "a/": b"",
            "a\\b\\P00001.jpg": b"one",
            "P00002.jpg": b"two",
            "__MACOSX/a/P00001.jpg": b"x",
            "a/._P00001.jpg": b"x",
            "a/.hidden.xml": b"x",
        },
    )

    assert read_zip(path) == {"a.zip/a/b/P00001.jpg": b"one", "a.zip/P00002.jpg": b"two"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zips_of_every_method(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)

    assert read_zip(tmp_path / "a.zip") == {f"a.zip/{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize("name", ["a.tar.lzma", "a.zip"])
def test_lzma_with_a_dictionary_beyond_memory_is_left(tmp_path, name):
    """A dictionary of 4 GiB is asked for by five bytes, of which the last four are its size."""
    path, files = tmp_path / name, {"P1.jpg": b"some bytes " * 20}
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("P1.jpg", files["P1.jpg"])
        at = 30 + len("P1.jpg") + 5  # behind the header, and two numbers of LZMA's own
    else:
        path.write_bytes(lzma.compress(plain_tar(files), lzma.FORMAT_ALONE))
        at = 1
    data = bytearray(path.read_bytes())
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    with address_space(1 << 30):
        found, faults = skipped(read_zip if name == "a.zip" else read_packed, path)
    assert found == {}
    said = "(asks for more memory than there is, expected at most 268435456 bytes; pack it anew)"
    assert [text[text.index("(") :] for _, text in faults] == [said]


@pytest.mark.parametrize("name", ["../P1.jpg", "/P1.jpg", "a/../../P1.jpg", "..\\P1.jpg"])
def test_zip_paths_that_leave_the_archive(tmp_path, name):
    write_zip(tmp_path / "a.zip", {name: b"x", "P2.jpg": b"two"})

    found, faults = skipped(read_zip, tmp_path / "a.zip")

    assert found == {"a.zip/P2.jpg": b"two"}
    where = f"a.zip/{name}".replace("\\", "/")
    assert faults == [(where, "a path that leaves the archive; refused")]


def changed_zip(path, old, new):
    """A zip of one stored JPEG in which some bytes are others."""
    write_zip(path, {"P1.jpg": b"some bytes"})
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def test_encrypted_members(tmp_path):
    path = tmp_path / "a.zip"
    write_zip(path, {"P1.jpg": b"one"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[6] |= 1  # in the local header
    data[at + 8] |= 1  # and in the directory
    path.write_bytes(data)

    assert stopped(read_zip, path) == "a.zip/P1.jpg: encrypted"


def test_broken_zips(tmp_path):
    path = tmp_path / "a.zip"
    assert stopped(read_zip, changed_zip(path, b"some bytes", b"same bytes")) == (
        "a.zip/P1.jpg: cannot be unpacked (Bad CRC-32 for file 'P1.jpg')"
    )
    whole = path.read_bytes()
    for data in (b"", b"PK\x03\x04", whole[:-30], b"PK" + b"x" * 100):
        path.write_bytes(data)
        assert stopped(read_zip, path) == "a.zip: broken zip (File is not a zip file)"
    path.unlink()
    assert stopped(read_zip, path).startswith("a.zip: broken zip ([Errno 2] No such file")


def test_a_method_that_is_not_known(tmp_path):
    path = tmp_path / "a.zip"
    write_zip(path, {"P1.jpg": b"one"})
    data = bytearray(path.read_bytes())
    data[8] = data[data.index(b"PK\x01\x02") + 10] = 99  # AES
    path.write_bytes(data)

    assert stopped(read_zip, path) == (
        "a.zip/P1.jpg: cannot be unpacked (That compression method is not supported)"
    )


@pytest.mark.parametrize(
    ("name", "size", "limit"),
    [
        ("P1.xml", (4 << 20) + 1, 4 << 20),
        ("P1.jpg", (64 << 20) + 1, 64 << 20),
        ("x.csv", (256 << 20) + 1, 256 << 20),
    ],
)
def test_sizes_beyond_reason_are_refused_unread(tmp_path, name, size, limit):
    (tmp_path / "loose").mkdir()
    with (tmp_path / "loose" / name).open("wb") as file:
        file.truncate(size)  # takes no room on the disk
    write_zip(tmp_path / "a.zip", {name: b"x"})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = size.to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)

    words = f"{size} bytes, at most {limit} are read"
    assert stopped(read_zip, tmp_path / "a.zip") == f"a.zip/{name}: {words}"
    faults = Faults("skip")
    assert list(loose_members(tmp_path / "loose", faults, ALL)) == []
    assert faults.found == [(name, words)]


def test_a_zip_that_unpacks_to_more_than_it_says_is_not_believed(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("P1.jpg", bytes(100_000))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)

    assert stopped(read_zip, path) == (
        "a.zip/P1.jpg: cannot be unpacked (Bad CRC-32 for file 'P1.jpg')"
    )


def test_loose_files_are_sorted_and_clutter_stays_out(tmp_path):
    for name in ("b/P2.jpg", "b/P1.JPG", "a/x.xml", ".git/P3.jpg", "__MACOSX/._P4.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "README").write_text("x")

    def names(suffixes):
        return [path.relative_to(tmp_path).as_posix() for path in loose_files(tmp_path, suffixes)]

    assert names(IMAGES) == ["b/P1.JPG", "b/P2.jpg"]
    assert names(None) == ["README", "a/x.xml", "b/P1.JPG", "b/P2.jpg"]
    assert list(loose_members(tmp_path, Faults(), ALL)) == [
        Member("a/x.xml", b"a/x.xml"),
        Member("b/P1.JPG", b"b/P1.JPG"),
        Member("b/P2.jpg", b"b/P2.jpg"),
    ]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path):
    (tmp_path / "P1.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "P2.jpg").symlink_to("P2.jpg")  # to itself
    (tmp_path / "P3.jpg").write_bytes(b"three")
    faults = Faults("skip")

    assert [m.where for m in loose_members(tmp_path, faults, IMAGES)] == ["P3.jpg"]
    assert faults.found == [
        ("P1.jpg", f"a link to {tmp_path / 'gone.jpg'}, where nothing is"),
        ("P2.jpg", "cannot be read (Too many levels of symbolic links)"),
    ]


@given(st.data())
def test_no_damage_to_an_archive_escapes_as_anything_but_a_fault(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    packed = tar_gz(FILES)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    changes = data.draw(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255))))

    def damaged(whole):
        changed = bytearray(whole)
        for at, value in changes:
            changed[at % len(changed)] = value
        return bytes(changed)

    Path(folder, "a.zip").write_bytes(damaged(buffer.getvalue()))
    faults = Faults("skip")
    read = (read_zip(folder / "a.zip", faults), read_tar(folder, damaged(packed), faults=faults))
    assert [len(found) <= len(FILES) for found in read] == [True, True]
    if not changes:
        assert ([len(found) for found in read], faults.found) == ([len(FILES)] * 2, [])


def test_a_chain_of_long_names_ends_in_one_line(tmp_path):
    long = tarfile.TarInfo("a")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 5
    data = (long.tobuf() + b"name\0".ljust(512, b"\0")) * 3000 + bytes(1024)

    with pytest.raises(ReleaseError) as caught:
        read_tar(tmp_path, data, "a.tar")
    assert str(caught.value) == (
        "a.tar00: broken (too many headers before one file); mend it or pass --on-error skip"
    )


def test_links_to_a_file_of_holes_are_read_within_bounds(tmp_path):
    with (tmp_path / "P0.jpg").open("wb") as file:
        file.truncate(64 << 20)
    for number in range(1, 30):
        (tmp_path / f"P{number}.jpg").symlink_to("P0.jpg")
    (tmp_path / "P9.png").write_bytes(b"written")
    faults = Faults("skip")

    sizes = [len(member.data) for member in loose_members(tmp_path, faults, IMAGES)]

    assert sizes == [64 << 20] * 16 + [len(b"written")]
    said = "not read: links and holes give over 100 times the bytes that are written"
    assert [why for _, why, *_ in faults.found] == [said] * 14
