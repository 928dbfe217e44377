"""Manifests: what they may say, and what is said of one that says something else."""

import os

import pytest

from sixrayd.core.errors import ReleaseError
from sixrayd.download.place import ReleasePlace, find_place
from sixrayd.download.sources import Expected, expected_of, known_releases, read_manifest

GOOD = """
[own]
title = "Own scans"
terms = "ours"
verified = true
seen = "here"
notes = "ask us"
mirrors = ["https://example.org/own/", "s3://bucket/own"]
classes = ["Gun", "Multitool"]
left_out = ["Toy"]
archives = [
    {files = ["a.zip"], unpacked = ["A"]},
    {files = ["b.tar.gz00", "b.tar.gz01"], mirrors = ["http://[::1]:8080/b/"]},
]
[own.expected]
images = 10
positives = 3
absent_positives = 1
[own.expected.boxes_by_class]
Gun = 2
[own.bytes]
"a.zip" = 7
[own.sha256]
"a.zip" = "{digest}"
""".replace("{digest}", "ab" * 32)


def written(tmp_path, text=GOOD):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


def test_a_whole_manifest(tmp_path):
    (entry,) = read_manifest(written(tmp_path)).values()

    assert (entry.name, entry.title, entry.terms, entry.seen) == (
        "own",
        "Own scans",
        "ours",
        "here",
    )
    assert entry.verified
    assert entry.mirrors == ("https://example.org/own/", "s3://bucket/own")
    assert [(a.files, a.mirrors, a.unpacked) for a in entry.archives] == [
        (("a.zip",), (), ("A",)),
        (("b.tar.gz00", "b.tar.gz01"), ("http://[::1]:8080/b/",), ("b",)),
    ]
    assert (entry.bytes, entry.sha256) == ({"a.zip": 7}, {"a.zip": "ab" * 32})
    assert entry.classes == ("Gun", "Multitool")
    assert entry.expected == Expected(
        images=10,
        positives=3,
        boxes_by_class={"Gun": 2},
        absent_positives=1,
        left_out=("Toy",),
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Own scans"\n', "", "title: missing, expected a text in one line"),
        ('"Own scans"', "7", "title: found 7, expected a text in one line"),
        ('"ours"', '"a\\nb"', "terms: found 'a\\nb', expected a text in one line"),
        ("verified = true", 'verified = "yes"', "verified: found 'yes', expected true or false"),
        ("verified", "verifed", "verifed: no key of a manifest"),
        ('"s3://bucket/own"', '"bucket"', "mirrors: found ['https://example.org/own/', 'bucket'], "
         "expected a list of URLs"),
        ('["Toy"]', '"Toy"', "left_out: found 'Toy', expected a list of names"),
        ('["Toy"]', "[]", "left_out: found [], expected a list of names"),
        ('{files = ["a.zip"], ', "{", "archives 1: files: missing, expected a list of plain file "
         "names, one at least"),
        ('"b.tar.gz01"', '"../b"', "archives 2: files: found ['b.tar.gz00', '../b'], expected a "
         "list of plain file names, one at least"),
        ("unpacked", "unpaked", "archives 1: unpaked: no key of a manifest"),
        ("images = 10", "images = -1", "expected.images: found -1, expected a whole number of 0 or "
         "more"),
        ("images = 10", "images = true", "expected.images: found True, expected a whole number of "
         "0 or more"),
        ("positives = 3", "hidden = 3", "expected.hidden: no key of a manifest"),
        ("Gun = 2", "Gun = 2.5", "expected.boxes_by_class.Gun: found 2.5, expected a whole number "
         "of 0 or more"),
        ('"a.zip" = 7', '"c.zip" = 7', "bytes.c.zip: no archive lists this file"),
        ("ab" * 32, "AB" * 32, f"sha256.a.zip: found '{'AB' * 32}', expected 64 hex digits, in "
         "small letters"),
        ("[own.expected]\nimages = 10\n", "expected = 3\n[own.x]\n", None),
    ],
)  # fmt: skip
def test_what_a_manifest_may_not_say(tmp_path, old, new, said):
    assert GOOD.count(old)
    path = written(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(ReleaseError) as caught:
        read_manifest(path)
    assert str(caught.value) == f"{path}: [own] {said}" or said is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no release in it, expected a table [NAME]"),
        ("own = 3", "[own] : found 3, expected a table"),
        ("[own", "not TOML: "),
        ("a." * 500_000 + "a = 1", "not TOML: line 1 has 500000 dots; break long lines"),
        ("#" * (1 << 20) + "#", "not TOML: more than 1048576 bytes"),
        ('["../own"]', "[../own]: expected a name of letters, digits, dots, - and _"),
    ],
)
def test_what_is_no_manifest(tmp_path, text, said):
    path = written(tmp_path, text)

    with pytest.raises(ReleaseError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: {said}")


def test_what_is_known_of_sixray():
    known = known_releases()

    assert list(known) == ["sixray", "sixray-d"]
    assert [entry.verified for entry in known.values()] == [False, False]
    assert expected_of("sixray") == Expected(
        1_059_231, 8929, 1_050_302, 20_729, {}, 106, ("Hammer",)
    )
    assert expected_of("sixray-d").positives == 11_401
    assert expected_of("my-folder") == Expected()
    files = [file for archive in known["sixray"].archives for file in archive.files]
    assert len(files) == 22
    assert files[-1] == "dataset.part10.rar"
    assert known["sixray-d"].mirrors == ()


def test_a_folder_of_manifests_adds_names(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.setenv("SIXRAYD_MANIFESTS", str(tmp_path))

    assert list(known_releases()) == ["sixray", "sixray-d", "own"]
    assert find_place("own").name == "https://example.org/own/"

    (tmp_path / "twice.toml").write_text(GOOD)
    with pytest.raises(ReleaseError) as caught:
        known_releases()
    assert str(caught.value) == (
        f"{tmp_path}/twice.toml: [own]: a release of that name is known already"
    )
    monkeypatch.setenv("SIXRAYD_MANIFESTS", str(tmp_path / "none"))
    with pytest.raises(ReleaseError) as caught:
        known_releases()
    assert str(caught.value) == f"SIXRAYD_MANIFESTS={tmp_path}/none: no such folder"

    os.mkfifo(tmp_path / "pipe.toml")
    monkeypatch.setenv("SIXRAYD_MANIFESTS", str(tmp_path))
    with pytest.raises(ReleaseError) as caught:
        known_releases()
    assert str(caught.value) == (
        f"{tmp_path}/pipe.toml: cannot be read (a pipe, expected a plain file)"
    )


def test_a_manifest_by_its_file_and_from_elsewhere(tmp_path):
    path = written(tmp_path)

    assert find_place(str(path)).entry.name == "own"
    place = find_place(str(path), str(tmp_path))
    assert (place.path, place.mirrors, place.entry.name) == (tmp_path, (), "own")
    place = find_place(str(path), "http://ann:secret@example.org/copy/?key=1")
    assert (place.path, place.name) == (None, "http://example.org/copy/")
    assert [archive.mirrors for archive in place.archives] == [(), ()]
    path.write_text(GOOD + GOOD.replace("own", "second"))
    with pytest.raises(ReleaseError) as caught:
        find_place(str(path))
    assert str(caught.value) == (
        f"{path}: describes own, second, expected one release; name its folder in "
        "SIXRAYD_MANIFESTS, then each goes by its name"
    )


def test_unknown_names_list_what_is_known_with_titles():
    with pytest.raises(ReleaseError) as caught:
        find_place("sixrey")
    assert str(caught.value) == (
        "release 'sixrey': no such folder or archive, no URL, and none of the known names: sixray "
        "(SIXray, by the list of its public repository and the positives reported beside it); "
        "sixray-d (SIXray-D, the corrected set of Nguyen et al. 2022)"
    )


def test_a_release_without_an_address():
    with pytest.raises(ReleaseError) as caught:
        find_place("sixray-d")
    assert str(caught.value) == (
        "release sixray-d: no address of it is known (ask its authors, then name the zip or its "
        "folder); name a folder, an archive or an address with --from"
    )
    with pytest.raises(ReleaseError) as caught:
        find_place("sixray-d", "none.zip")
    assert str(caught.value) == "from 'none.zip': no such folder or archive, and no URL"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://[::1", "http://[::1"),
        ("http://ann:secret@[::1/?key=1", "http://[::1"),
        ("http://host:port/", "http://host:port"),
        ("https://ann:secret@host:99999/", "https://host:99999"),
        ("http://", "http://"),
        ("http:///folder", "http:///folder"),
        ("s3://", "s3://"),
    ],
)
def test_odd_urls_are_one_line(url, shown):
    with pytest.raises(ReleaseError) as caught:
        find_place(url)
    assert str(caught.value) == f"{shown}: not a URL, expected SCHEME://HOST/FOLDER"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://[::1]:8080/a/", "http://[::1]:8080/a/"),
        ("http://ann:pass@[fe80::1]/a?x#y", "http://[fe80::1]/a"),
        ("memory://folder", "memory://folder"),
    ],
)
def test_addresses_of_every_kind_have_a_name(url, name):
    assert find_place(url).name == name


@pytest.mark.parametrize("text", ["a" * 5000, "a\0b", "file://host/" + "x" * 5000])
def test_what_no_file_is_called(text):
    with pytest.raises(ReleaseError):
        find_place(text)
    with pytest.raises(ReleaseError):
        find_place("sixray", text)


def test_a_place_says_that_it_is_unverified(tmp_path):
    assert find_place("sixray").notices == (
        "sixray: SIXray, by the list of its public repository and the positives reported beside "
        "it; terms: for academic purposes only",
        "sixray: unverified: the list of 21 files was read; nothing was fetched from this host, "
        "and what the archives hold is only reported",
    )
    assert find_place(str(written(tmp_path))).notices == ("own: Own scans; terms: ours",)
    assert ReleasePlace(path=tmp_path).notices == ()
