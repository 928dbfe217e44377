"""Which files of a folder are a release, in which order, and whether they are what they say."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.errors import ReleaseError
from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.release import (
    check_apart,
    keep_listing,
    loose_listing,
    open_release,
    read_sums,
    release_inputs,
)
from tests.releases import cut, tar_gz, write_zip

TAR = tar_gz({"P00001.jpg": b"one", "P00002.jpg": b"two"})


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "release"
    folder.mkdir()
    return folder


def opened(root, faults=None):
    return open_release(root, Workspace(root.parent / "ws"), faults or Faults())


def names(release):
    return {name: [part.name for part in parts] for name, parts in release.tars.items()}


def stopped(root):
    with pytest.raises(ReleaseError) as caught:
        opened(root)
    return str(caught.value)


def skipped(root):
    faults = Faults("skip")
    return names(opened(root, faults)), faults.found


@pytest.mark.parametrize(
    "parts",
    [
        ["a.tar.gz"],
        ["a.tar.gz0", "a.tar.gz1", "a.tar.gz2"],
        ["a.tar.gz.001", "a.tar.gz.002"],
        ["a.tar.gz_09", "a.tar.gz_10", "a.tar.gz_11"],
        ["a.tar.gz-8", "a.tar.gz-9", "a.tar.gz-10"],
        ["a.tgz"],
        ["A.TAR.GZ00", "A.TAR.GZ01"],
    ],
)
def test_parts_are_taken_in_the_order_of_their_numbers(root, parts):
    step = -(-len(TAR) // len(parts))
    for number, name in enumerate(parts):
        (root / name).write_bytes(TAR[number * step : (number + 1) * step])

    release = opened(root)

    (found,) = names(release).values()
    assert found == parts
    assert next(iter(release.tars)).lower() in ("a.tar.gz", "a.tgz")
    assert [path.name for path in release.archives] == parts


def test_archives_of_one_name_in_two_folders_do_not_mix(root):
    for folder in ("positive", "negative"):
        (root / folder).mkdir()
        cut(root / folder, TAR, 2)
    write_zip(root / "positive" / "b.zip", {"x.xml": b"x"})
    (root / "notes.txt").write_text("x")

    release = opened(root)

    assert names(release) == {
        f"{folder}/JPEGImage.tar.gz": ["JPEGImage.tar.gz00", "JPEGImage.tar.gz01"]
        for folder in ("negative", "positive")
    }
    assert [path.name for path in release.zips] == ["b.zip"]
    assert len(release.archives) == 5


@pytest.mark.parametrize(
    ("missing", "found", "fault"),
    [
        (0, [], "part a.tar.gz00 is missing, found a.tar.gz01"),
        (1, ["a.tar.gz00"], "part a.tar.gz01 is missing"),
        (2, ["a.tar.gz00", "a.tar.gz01"], "part a.tar.gz02 is missing"),
    ],
)
def test_a_missing_part_is_named_and_those_before_it_serve(root, missing, found, fault):
    paths = cut(root, TAR, 4, "a.tar.gz")
    paths[missing].unlink()

    assert stopped(root) == f"a.tar.gz: {fault}; mend it or pass --on-error skip"
    tars, faults = skipped(root)
    assert tars == ({"a.tar.gz": found} if found else {})
    assert faults == [("a.tar.gz", fault)]


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("a.zip", b"<!DOCTYPE html><p>sign in", "'<!DOCTYPE html><p>sign in'"),
        ("a.zip", b"\n <HTML>", "'<HTML>'"),
        ("a.tar.gz", b"<Error><Code>NoSuchKey", "'<Error><Code>NoSuchKey'"),
    ],
)
def test_error_pages(root, name, data, fault):
    (root / name).write_bytes(data)

    assert stopped(root) == (
        f"{name}: begins with {fault}: an error page under the archive's name; fetch it again; "
        "mend it or pass --on-error skip"
    )


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [("a.zip", b"Rar", b"PK"), ("a.tar.gz", b"BZ91AY", b"\x1f\x8b"), ("a.tgz", b"x", 0)],
)
def test_first_bytes_of_something_else(root, name, data, expected):
    (root / name).write_bytes(data)

    assert stopped(root) == (
        f"{name}: begins with {data!r}, expected {expected or bytes((31, 139))!r}; fetch it again; "
        "mend it or pass --on-error skip"
    )
    assert skipped(root)[0] == {}


@pytest.mark.parametrize(
    "suffix",
    ["7z", "7z.001", "zip.001", "z01", "tar.Z", "gz", "lz4", "tzst", "zst", "CPIO", "iso"],
)
def test_archives_that_are_not_read(root, suffix):
    (root / f"images.{suffix}").write_bytes(b"x")

    assert skipped(root) == (
        {},
        [(f"images.{suffix}", "an archive that is not read; unpack it here and move it away")],
    )


@pytest.mark.parametrize("suffix", [".asc", ".sig", ".bak", ".md5", ".sha256"])
def test_what_lies_beside_an_archive_is_no_part_of_it(root, suffix):
    for name in ("a.tar.gz", f"a.tar.gz{suffix}"):
        (root / name).write_bytes(TAR)
    faults = Faults()

    release = opened(root, faults)

    assert release.tars == {"a.tar.gz": (root / "a.tar.gz",)}
    assert faults.passed_over == {suffix: 1}


@pytest.mark.parametrize("first", ["aa", "aaa"])
def test_parts_of_letters_go_on_after_z(root, first):
    names = [first, f"{first[:-1]}b", f"{first[:-2]}ba"]
    for name in names[:2]:
        (root / f"a.tar.gz.{name}").write_bytes(TAR)
    (root / f"a.tar.gz.{names[2]}").write_bytes(TAR)

    assert skipped(root)[1] == [("a.tar.gz", f"part a.tar.gz.{first[:-1]}c is missing")]


def test_parts_before_one_that_cannot_be_read_are_taken(root):
    cut(root, TAR, 3, "a.tar.gz")
    (root / "a.tar.gz02").unlink()
    (root / "a.tar.gz02").symlink_to("/nowhere")

    assert skipped(root) == (
        {"a.tar.gz": ["a.tar.gz00", "a.tar.gz01"]},
        [("a.tar.gz02", "a link to /nowhere, where nothing is")],
    )


def test_the_workspace_may_lie_anywhere_but_in_the_release(root, tmp_path):
    with pytest.raises(ReleaseError) as caught:
        check_apart(root, Workspace(root / "deep" / "ws"))
    assert str(caught.value) == (f"{root}: holds the workspace; name a workspace elsewhere with -w")
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(ReleaseError, match="holds the workspace"):
        check_apart(root, Workspace(tmp_path / "link" / "ws"))


def sums(root, text):
    path = root / "SHA256SUMS"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (f"{DIGEST}  a b.zip\n", {"a b.zip": DIGEST}),
        (f"{DIGEST.upper()} *./sub/a.zip", {"sub/a.zip": DIGEST}),
        (f"{DIGEST}  ä.zip\r\n{'0' * 64}  b.zip\r\n", {"ä.zip": DIGEST, "b.zip": "0" * 64}),
    ],
)
def test_sums_in_every_form_of_sha256sum(root, text, found):
    assert read_sums(sums(root, text)) == found


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        f"{DIGEST} a.zip",
        f"{DIGEST[1:]}  a.zip",
        f"{DIGEST}  ",
        f"{DIGEST}  /etc/passwd",
        f"{DIGEST}  ./../a.zip",
        f"{DIGEST}  sub/../../a.zip",
        f"{DIGEST}  ..\\a.zip",
        f"{DIGEST}  a\0.zip",
        f"{DIGEST}  \x1b[2J.zip",
        f"{DIGEST}  a//b.zip",
        f"{DIGEST}  removed.json",
        f"{DIGEST}  loose.tsv/a.zip",
        f"{DIGEST}  .a.zip.part",
        f"{DIGEST}  .source.json.1.part/a.zip",
        f"{DIGEST}  sub/.a.zip.validator",
        f"{DIGEST}  {'a' * 251}",
        f"\\{DIGEST}  a\\nb.zip",
        "d41d8cd98f00b204e9800998ecf8427e  a.zip",
        "x" * 200,
    ],
)
def test_lines_that_are_no_sums(root, line):
    path = sums(root, f"{DIGEST}  a.zip\n{line}\n")

    with pytest.raises(ReleaseError) as caught:
        read_sums(path)
    assert str(caught.value) == (f"SHA256SUMS: line 2: expected HASH  NAME, got {line[:80]!r}")


def test_no_sums_of_a_file_in_a_file(root):
    names = ("a.txt", "a.txt.b", "a.txt/b/c.txt", "a-b")
    path = sums(root, "".join(f"{DIGEST}  {name}\n" for name in names))

    with pytest.raises(ReleaseError) as caught:
        read_sums(path)
    assert str(caught.value) == (
        "SHA256SUMS: lists a.txt and a.txt/b/c.txt, expected a file or a folder of that name; take "
        "one out"
    )


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z][\w. \-]{0,9}", fullmatch=True), st.binary(max_size=9), max_size=5
    )
)
def test_sums_of_any_files_are_read_back(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("sums")
    wanted = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    lines = [f"{digest}  {name}\n" for name, digest in wanted.items()]

    assert read_sums(sums(folder, "".join(lines))) == wanted


def test_sums_are_compared_for_files_of_any_kind(root):
    cut(root, TAR, 2, "a.tar.gz")
    (root / "readme.txt").write_bytes(b"x")
    good = hashlib.sha256(TAR[: -(-len(TAR) // 2)]).hexdigest()
    sums(root, f"{good}  a.tar.gz00\n{DIGEST}  a.tar.gz01\n{DIGEST}  none\n{DIGEST}  readme.txt\n")

    tars, faults = skipped(root)

    found = [
        hashlib.sha256(data).hexdigest()[:12] for data in ((root / "a.tar.gz01").read_bytes(), b"x")
    ]
    words = "SHA-256 is {}…, SHA256SUMS says 0123456789ab…; fetch it again"
    assert faults == [
        ("a.tar.gz01", words.format(found[0])),
        ("none", "missing, though SHA256SUMS lists it"),
        ("readme.txt", words.format(found[1])),
    ]
    assert tars == {"a.tar.gz": ["a.tar.gz00", "a.tar.gz01"]}  # what follows finds out more


def test_inputs_are_the_archives_and_a_listing_of_loose_files(root):
    workspace = Workspace(root.parent / "ws")
    cut(root, TAR, 1, "a.tar.gz")
    release = open_release(root, workspace, Faults())
    archives = release_inputs(release, workspace, loose_listing(root))
    assert archives == {str(root / "a.tar.gz00"): hashlib.sha256(TAR).hexdigest()}

    (root / "Image").mkdir()
    (root / "Image/P1.jpg").write_bytes(b"one")
    (root / "ignored.md").write_bytes(b"x")
    listing = loose_listing(root)
    stat = (root / "Image/P1.jpg").stat()
    assert listing == f"3\t{stat.st_mtime_ns}\t{stat.st_ctime_ns}\tImage/P1.jpg\n".encode()
    assert release_inputs(release, workspace, listing) == archives | {
        "release/loose.tsv": hashlib.sha256(listing).hexdigest()
    }
    keep_listing(workspace, listing)
    assert (workspace.root / "release/loose.tsv").read_bytes() == listing

    (root / "Image/P1.jpg").unlink()
    assert loose_listing(root) == b""
    keep_listing(workspace, b"")
    assert list((workspace.root / "release").iterdir()) == []
