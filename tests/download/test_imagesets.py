"""Image sets with the quirks of SIXray's copies."""

import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ReleaseError
from sixrayd.core.records import Source
from sixrayd.download.faults import Faults
from sixrayd.download.imagesets import ImageSets, image_id, is_image_set
from sixrayd.download.members import Member

CLASSES = ClassList(("Gun", "Knife"))


def bits(sets: ImageSets) -> dict[str, int | None]:
    return {image: sets.register.bits(image) for image in sets.register.absent()}


def read(*texts: str) -> ImageSets:
    sets = ImageSets(CLASSES)
    for number, text in enumerate(texts):
        sets.read(Member(f"ImageSet/{number}/train.csv", text.encode("utf-8-sig")), Faults())
    return sets


def test_names_values_and_columns_in_any_form() -> None:
    sets = read(
        "name,KNIFE,gun\r\nP00001.jpg,-1,1\r\n\r\np00002,1,-1\r\nJPEGImage/N0000003.JPG,0,0"
    )
    assert {image: sets.labels(image) for image in bits(sets)} == {
        "P00001": ["Gun"],
        "P00002": ["Knife"],
        "N0000003": [],
    }
    assert sets.contradictions == []


def test_any_1_counts_where_sets_overlap() -> None:
    sets = read("name,Gun,Knife\nP1,1,-1\nN1,0,0", "name,Gun,Knife\nP1,-1,1\nN1,-1,-1")
    assert sets.labels("P1") == ["Gun", "Knife"]
    assert (sets.source("P1"), sets.source("N1")) == (Source.POSITIVE, Source.NEGATIVE)


def test_listings_that_contradict_each_other_are_named() -> None:
    sets = read("name,Gun,Knife\nN1,0,0\nP1,1,0", "name,Gun,Knife\nP1,1,0\nN1,-1,1\nN1,0,0")
    assert [str(finding) for _, finding in sets.contradictions] == [
        "ImageSet/1/train.csv: line 3: N1 shows Knife, in ImageSet/0/train.csv nothing",
        "ImageSet/1/train.csv: line 4: N1 shows nothing, in ImageSet/1/train.csv Knife",
    ]
    assert [image for image, _ in sets.contradictions] == ["N1", "N1"]
    assert sets.source("N1") is Source.POSITIVE


def test_sets_beat_the_name_and_the_name_stands_in() -> None:
    sets = read("name,Gun,Knife\nP05110,-1,-1\nN7,1,-1")
    assert sets.source("P05110") is Source.NEGATIVE
    assert sets.source("N7") is Source.POSITIVE
    assert sets.source("P2") is Source.POSITIVE
    assert sets.source("N2") is Source.NEGATIVE
    assert sets.source("bag") is None


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("name,Gun", "pass `--classes Gun`"),
        ("name,Gun,Knife,Saw", "pass `--classes Gun,Knife,Saw`"),
        ("name,Folding Knife,$(x)", "pass `--classes 'Folding Knife,$(x)'`"),
        ("name,Gun,Gun", "mend the names there (classes: a name occurs twice in Gun, Gun)"),
        *(
            (h, "mend the names there (classes: need at least one name without blanks, got ())")
            for h in ("", "name")
        ),
    ],
)
def test_headers_that_do_not_match(header: str, advice: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        read(f"{header}\nP1,1,1")
    found = header.removeprefix("name").removeprefix(",")
    assert str(caught.value) == (
        f"ImageSet/0/train.csv: columns are {found or 'missing'}, classes are Gun,Knife; {advice}"
    )


@pytest.mark.parametrize(
    ("stem", "expected"),
    [("p00001", "P00001"), ("N0000001", "N0000001"), ("P1_jpg.rf.0a", "P1_jpg.rf.0a")],
)
def test_ids(stem: str, expected: str) -> None:
    assert image_id(stem) == expected


@pytest.mark.parametrize("stem", ["", "a" * 91, "a\nb", "ö", "a:b", "-rf"])
def test_names_that_cannot_be_ids(stem: str) -> None:
    with pytest.raises(ReleaseError, match=r"^file name .*; rename the file$"):
        image_id(stem)


def test_which_csv_is_an_image_set() -> None:
    assert is_image_set(Member("ImageSet.zip/10/train.csv", b""))
    assert is_image_set(Member("x/train.csv", b"\xef\xbb\xbfname,Gun"))
    assert not is_image_set(Member("x/labels.csv", b"image,Gun"))
    assert not is_image_set(Member("ImageSet/x.xml", b"name,"))


def skipping(data: bytes, name: str = "ImageSet/train.csv") -> tuple[ImageSets, list]:
    sets, faults = ImageSets(CLASSES), Faults("skip")
    sets.read(Member(name, data), faults)
    return sets, faults.found


def test_bad_lines_are_told_with_their_number_and_the_others_are_read() -> None:
    sets, found = skipping(
        b"name,Gun,Knife\n\nP1,1,0\nP2,1\nP3,yes,no\n,1,1\n\xff\xfe.jpg,1,1\nP4,1,1\n"
    )

    assert list(bits(sets)) == ["P1", "P4"]
    assert [where for where, _ in found] == [f"ImageSet/train.csv: line {n}" for n in (4, 5, 6, 7)]
    words = "expected a name and 2 of 1, 0, -1, got"
    assert [what for _, what in found[:2]] == [
        f"{words} ['P2', '1']",
        f"{words} ['P3', 'yes', 'no']",
    ]
    assert found[2][1].startswith("file name '': an image's name takes 1 to 90 of the letters")


def test_lines_that_are_quoted_or_end_without_a_break() -> None:
    sets, found = skipping(b'name,"Gun", Knife \r\n"JPEGImage/P1.jpg"," 1 ",-1\rN1,0,0')

    assert found == []
    assert bits(sets) == {"P1": 1, "N1": 0}


def test_a_field_without_end_is_one_fault() -> None:
    sets, found = skipping(b'name,Gun,Knife\nP1,1,1\nP2,"' + b"x" * 200_000)

    assert bits(sets) == {"P1": 3}
    assert found == [
        ("ImageSet/train.csv: line 3", "not CSV (field larger than field limit (131072))")
    ]


@pytest.mark.parametrize("row", [b"," * (1 << 20), b'"\n",' * (1 << 18)], ids=["line", "lines"])
def test_a_row_without_end_is_one_fault(row: bytes) -> None:
    """Of 200 MB of commas the cells took 4 GB."""
    sets, found = skipping(b"name,Gun,Knife\nP1,1,1\nP2," + row + b"\nP3,1,1\n")

    assert bits(sets) == {"P1": 3}
    assert [what for _, what in found] == ["not CSV (a row of more than 1048576 signs)"]


def test_an_image_set_without_lines_lists_nothing() -> None:
    sets, found = skipping(b"name,Gun,Knife\n")

    assert (bits(sets), found) == ({}, [])
    assert sets.source("P1") is Source.POSITIVE
    assert sets.labels("P1") == []


def test_dots_in_names_are_no_suffix_unless_they_are_one() -> None:
    sets, _ = skipping(b"name,Gun,Knife\na.v1,1,0\nb.v1.JPEG,1,0\nc.xml,1,0\nd.gif,1,0\n")

    assert list(bits(sets)) == ["a.v1", "b.v1", "c", "d.gif"]
