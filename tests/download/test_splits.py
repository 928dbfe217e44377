"""Splits that come with a release, or in a file beside it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sixrayd.core.errors import ReleaseError, SettingsError, WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import MOST_SPLITS, SPLIT_SCHEMA
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.split_files import SplitFile
from sixrayd.download.command import download as download_command
from sixrayd.download.faults import Faults
from sixrayd.download.settings import DownloadResult
from sixrayd.download.splits import GivenSplits
from tests.releases import TinyRelease, jpeg, skipped, take, write_zip

HEADER = "name,Gun,Knife"
TRAIN = ("P00001", "P00002", "N0000001", "N0000002")
TEST = ("P00003", "N0000003")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Images and XML, one image set that names all of them, and no test list."""
    return TinyRelease().write(tmp_path / "release", sums=False)


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def image_set(*ids: str) -> str:
    return "\n".join([HEADER, *(f"{i},{1 if i[0] == 'P' else -1},-1" for i in ids), ""])


def lines(*ids: str) -> str:
    return "".join(f"{i}\n" for i in ids)


def sides(tmp_path: Path, name: str) -> dict[str, str]:
    """Image id → side, of the images on one."""
    table = Index.load(Workspace(tmp_path / "ws"), name).table
    pairs = zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True)
    return {image_id: side for image_id, side in pairs if side}


def divided(train: tuple[str, ...] = TRAIN, test: tuple[str, ...] = TEST) -> dict[str, str]:
    return dict.fromkeys(train, "train") | dict.fromkeys(test, "test")


def counts(train: int, test: int, both: int = 0, absent: int = 0) -> dict[str, int]:
    return {"train": train, "test": test, "groups_on_both_sides": both, "not_in_release": absent}


def test_a_release_without_any_is_taken_as_before(tmp_path: Path, release: Path) -> None:
    assert take(tmp_path, release).splits == {}
    assert not (tmp_path / "ws/shards/splits.parquet").exists()
    run = json.loads((tmp_path / "ws/shards/run.json").read_text())
    assert "split" not in run["settings"]
    assert "splits" not in run["summary"]


def test_image_sets_by_their_folders(tmp_path: Path, release: Path) -> None:
    names = {
        "ImageSet/10/train.csv": image_set(*TRAIN),
        "ImageSet/10/Test.csv": image_set(*TEST),
        "ImageSet/100/train.csv": image_set(*TRAIN[:1]),
        "ImageSet/100/test.csv": image_set(*TEST[:1]),
        "ImageSet/1000/train.csv": image_set(*TRAIN),  # one side divides nothing
        "ImageSet/all.csv": image_set(*TRAIN, *TEST),  # nor does another name
        "ImageSet/Leak-Free/train.csv": image_set("P00002"),
        "ImageSet/val.csv": image_set("P00001"),
        "ImageSet/test.csv": image_set("P00003"),
        "ImageSet/Hard ones/test.csv": image_set("N0000005"),
        "ImageSet/camera-2/train.csv": image_set("P00002"),
        "ImageSet/camera-2/test.csv": image_set("P00001"),
    }
    (release / "ImageSet.zip").unlink()
    write_zip(release / "ImageSet.zip", {name: text.encode() for name, text in names.items()})

    result = take(tmp_path, release)

    assert result.splits == {
        "camera-2": counts(1, 1),
        "given": counts(2, 2),
        "sixray10": counts(4, 2),
        "sixray100": counts(1, 1),
    }
    assert sides(tmp_path, "sixray10") == divided()
    assert sides(tmp_path, "sixray100") == {"P00001": "train", "P00003": "test"}
    assert sides(tmp_path, "given") == divided(("P00001", "P00002"), ("P00003", "N0000005"))
    table = read_table(tmp_path / "ws/shards/splits.parquet", SPLIT_SCHEMA)
    rows = [(row["split"], row["image_id"]) for row in table.to_pylist()]
    assert rows == sorted(rows)
    assert len(rows) == 14


@pytest.mark.parametrize("layout", ["loose", "zip", "backslashes"])
def test_lists_of_voc(tmp_path: Path, release: Path, layout: str) -> None:
    names = {
        "VOC2007/ImageSets/Main/train.txt": lines("P00001", "", " P00002.jpg "),
        "VOC2007/ImageSets/Main/val.txt": b"\xef\xbb\xbf" + lines("N0000001").encode(),
        "VOC2007/ImageSets/Main/trainval.txt": lines("n0000002", "P00001").encode("utf-16"),
        "VOC2007/ImageSets/Main/test.txt": "P00003\r\nN0000003\r\n",
        "VOC2007/ImageSets/Main/Gun_train.txt": "P00001  1\n",
        "VOC2007/readme.txt": "P00003\n",
    }
    data = {n: t if isinstance(t, bytes) else t.encode() for n, t in names.items()}
    if layout == "loose":
        for name, text in data.items():
            put(release, name, text)
    else:
        slash = "/" if layout == "zip" else "\\"
        write_zip(release / "lists.zip", {n.replace("/", slash): t for n, t in data.items()})

    result = take(tmp_path, release)

    assert result.splits == {"given": counts(4, 2)}
    assert sides(tmp_path, "given") == divided()
    assert result.passed_over == {".txt": 2}


def test_folders_of_sixray_d(tmp_path: Path) -> None:
    tiny = TinyRelease()
    xml, tiny.xml = tiny.xml, {}
    release = tiny.write(tmp_path / "release", sums=False)
    for name, stem in {
        "train/Cleaned Gun": "P00001",
        "train/Cleaned Knife": "P00001",
        "train/test/Knife": "P00002",  # the folder nearest to the file says
        "TEST/Gun": "P00003",
        "other": "P00002",
    }.items():
        put(release, f"SIXray-D/{name}/{stem}.xml", xml[stem])
    put(release, "SIXray-D/test/N0999999.xml", xml["P00001"])
    put(release, "annotations/train.xml", xml["P00001"])  # a file of that name is no folder

    result = take(tmp_path, release, "skip")

    assert result.splits == {"sixray-d": counts(1, 2, absent=1)}
    assert sides(tmp_path, "sixray-d") == divided(("P00001",), ("P00002", "P00003"))


CSVS = {
    "plain": b"image,side\nP00001,train\nN0000001,val\nP00003,test\n",
    "from a spreadsheet": "\ufeffSide;Image\r\ntrainval;P00001.jpg\r\n;\r\nTRAIN;n0000001\r\n"
    "test;x/P00003.png\r\n".encode(),
    "numbered": b",image,side,why\n0,P00001,train,a\n1,N0000001,train,b\n2,P00003,test\n",
    "UTF-16": "image\tside\nP00001\ttrain\nN0000001\ttrain\nP00003\ttest\n".encode("utf-16"),
}


@pytest.mark.parametrize("data", CSVS.values(), ids=CSVS)
def test_a_csv_beside_the_release(tmp_path: Path, release: Path, data: bytes) -> None:
    file = put(tmp_path, "paper.csv", data)

    result = take(tmp_path, release, split=(str(file),))

    assert result.splits == {"paper": counts(2, 1)}
    assert sides(tmp_path, "paper") == divided(("P00001", "N0000001"), ("P00003",))


def test_the_splits_json_of_an_export(tmp_path: Path, release: Path) -> None:
    document = {"train": [*TRAIN, "P77777"], "val": ["N0000005"], "test": TEST}
    file = put(tmp_path, "a=b.json", json.dumps(document))

    result = take(tmp_path, release, split=(f"theirs={file}",))

    assert result.splits == {"theirs": counts(5, 2, absent=1)}
    assert sides(tmp_path, "theirs") == divided((*TRAIN, "N0000005"))


def test_the_same_file_elsewhere_is_the_same_work(tmp_path: Path, release: Path) -> None:
    text = json.dumps({"train": TRAIN, "test": TEST})
    file, copy = put(tmp_path, "paper.json", text), put(tmp_path, "b/paper.json", text)
    take(tmp_path, release, split=(str(file),))
    before = (tmp_path / "ws/shards/run.json").stat().st_mtime_ns

    take(tmp_path, release, split=(str(copy),))
    assert (tmp_path / "ws/shards/run.json").stat().st_mtime_ns == before

    put(tmp_path, "paper.json", json.dumps({"train": TRAIN, "test": TEST[:1]}))
    with pytest.raises(WorkspaceError, match="holds a finished ingest"):
        take(tmp_path, release, split=(str(file),))


def test_countless_splits_are_left_out(tmp_path: Path, release: Path) -> None:
    for number in range(1, MOST_SPLITS + 1):  # beside the release's own list, of one side
        put(release, f"ImageSets/s{number:02}/train.txt", lines(*TRAIN))
        put(release, f"ImageSets/s{number:02}/test.txt", lines(*TEST))

    told = "more than 50 splits; s50 is left out"
    with pytest.raises(ReleaseError, match=f": {told}; mend it or pass --on-error skip$"):
        take(tmp_path, release)
    splits = take(tmp_path, release, on_error="skip").splits
    assert list(splits) == [f"s{number:02}" for number in range(1, MOST_SPLITS)]
    assert [line["error"] for line in skipped(tmp_path)] == [told, told]


def test_countless_lists_of_one_split_are_left_out() -> None:
    faults, ids = Faults("skip"), pa.chunked_array([["P00001"]])
    splits = GivenSplits(faults)
    for number in range(102):  # each was compared with all of the other side
        splits.add_list(f"d{number}/ImageSets/Main/train.txt", ids)

    text = "more than 100 lists of split given; left out"
    assert faults.found == [(f"d{number}/ImageSets/Main/train.txt", text) for number in (100, 101)]


def test_groups_on_both_sides_are_counted_and_stay(tmp_path: Path) -> None:
    tiny = TinyRelease()
    tiny.images["P00003"] = tiny.images["P00001"]  # a copy across the split
    tiny.images["N0000002"] = tiny.images["N0000001"]  # one within a side
    release = tiny.write(tmp_path / "release")
    file = put(tmp_path, "paper.json", json.dumps({"train": TRAIN, "test": TEST}))

    result = take(tmp_path, release, split=(str(file),))

    assert result.splits == {"paper": counts(4, 2, both=1)}
    assert sides(tmp_path, "paper") == divided()


def faulty(tmp_path: Path, release: Path, kind: str) -> tuple[dict[str, Any], str, str]:
    """Settings for an image that is on both sides, and where, what of the fault."""
    if kind == "image sets":
        train = {"10/train.csv": image_set("P00001", "P00002").encode()}
        write_zip(release / "ImageSet.zip", train)
        put(release, "ImageSet/10/test.csv", image_set("P00003", "P00002"))
        what = "P00002 is on the other side of split sixray10 by ImageSet.zip/10/train.csv"
        return {}, "ImageSet/10/test.csv", what
    if kind == "folders":
        for side in ("train", "test"):
            put(release, f"d/{side}/P00002.xml", TinyRelease().xml["P00002"])
        put(release, "d/test/P00003.xml", TinyRelease().xml["P00003"])
        put(release, "d/train/P00001.xml", TinyRelease().xml["P00001"])
        what = "puts P00002 in train, another file in test; taken for test"
        return {}, "d/train/P00002.xml", what
    text = json.dumps({"train": ["P00001", "P00002"], "val": [], "test": ["P00003", "P00002"]})
    file = put(tmp_path, "paper.json", text)
    return (
        {"split": (str(file),)},
        str(file),
        f"P00002 is on the other side of split paper by {file}",
    )


@pytest.mark.parametrize("kind", ["image sets", "folders", "file"])
def test_an_image_on_both_sides(tmp_path: Path, release: Path, kind: str) -> None:
    more, where, what = faulty(tmp_path, release, kind)
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, **more)
    assert str(caught.value) == f"{where}: {what}; mend it or pass --on-error skip"

    take(tmp_path, release, "skip", **more)
    (fault,) = [f for f in skipped(tmp_path) if f["error"] == what]
    assert fault["where"] == where
    name = {"image sets": "sixray10", "folders": "given", "file": "paper"}[kind]
    found = sides(tmp_path, name)
    assert found.get("P00002") == ("test" if kind == "folders" else None)
    assert found["P00003"] == "test"


def test_lists_beat_the_folders_of_labels(tmp_path: Path, release: Path) -> None:
    put(release, "ImageSets/Main/train.txt", lines("P00001", "N0000001"))
    put(release, "ImageSets/Main/test.txt", lines("P00002", "N0000002"))
    for side, stem in {"test": "P00001", "train": "P00002", "TEST": "P00003"}.items():
        put(release, f"d/{side}/{stem}.xml", TinyRelease().xml[stem])

    result = take(tmp_path, release)

    assert result.splits == {"given": counts(2, 3)}
    assert sides(tmp_path, "given") == divided(
        ("P00001", "N0000001"), ("P00002", "P00003", "N0000002")
    )


def test_a_list_of_what_no_image_is_called_is_left(tmp_path: Path, release: Path) -> None:
    put(release, "ImageSets/Main/train.txt", lines("P00001") + "!\n" * 5000 + lines("P00002"))
    put(release, "ImageSets/Main/test.txt", lines("P00003"))
    take(tmp_path, release, "skip")
    faults = [f for f in skipped(tmp_path) if f["where"].startswith("ImageSets/Main/train.txt")]
    assert [f["error"] for f in faults if f["where"] == "ImageSets/Main/train.txt"] == [
        "names no images; the rest left out"
    ]
    assert len(faults) == 1001
    assert sides(tmp_path, "given") == divided(("P00001",), ("P00003",))


def test_lists_of_yolo_on_both_sides(tmp_path: Path) -> None:
    for number, stem in enumerate("abc"):
        put(tmp_path, f"set/images/train/{stem}.jpg", jpeg(number))
        put(tmp_path, f"set/labels/train/{stem}.txt", "0 .5 .5 .2 .2\n")
    put(tmp_path, "set/data.yaml", "names: [Gun]\ntrain: train.txt\ntest: test.txt\n")
    put(tmp_path, "set/train.txt", "images/train/a.jpg\nimages/train/b.jpg\n")
    put(tmp_path, "set/test.txt", "images/train/a.jpg\nimages/train/c.jpg\n")
    what = "puts a in train, another file in test; on neither side"
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, tmp_path / "set")
    assert str(caught.value) == f"train.txt: {what}; mend it or pass --on-error skip"

    take(tmp_path, tmp_path / "set", "skip")

    assert skipped(tmp_path) == [{"where": "train.txt", "error": what}]
    assert sides(tmp_path, "given") == {"b": "train", "c": "test"}


BAD_FILES = {
    "p.csv": {
        "": "columns are missing, expected image,side",
        "name,Gun,Knife\n": "columns are name,gun,knife, expected image,side",
        "image,side,Image\nP1,train,P2\n": "column image stands 2 times in the header, expected "
        "once; take the others out",
        "image,side\nP1,train\n": "no image of the test side; a split needs both",
        "image,side\nP1,trian\n": "line 2: expected an image and a side such as train or test, "
        "got ['P1', 'trian']; mend it or pass --on-error skip",
        "side,image\ntrain,P1\ntest\n": "line 3: expected an image and a side such as train or "
        "test, got ['test']; mend it or pass --on-error skip",
        "image,side\n,train\n": "line 2: file name '': an image's name takes 1 to 90 of the "
        "letters A-Z, a-z, 0-9, _, -, dot, blank and brackets; rename the file; mend it or pass "
        "--on-error skip",
    },
    "p.json": {
        "{": "not JSON (Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1))",
        "[]": 'expected {"train": [image, …], "test": [image, …]}, as in the splits.json of an '
        "export",
        '{"train": [], "tset": []}': 'expected {"train": [image, …], "test": [image, …]}, as in '
        "the splits.json of an export",
        '{"train": "P1"}': "train: expected a list of images",
        '{"test": [1]}': "test: image 1: expected the name of an image, got 1; mend it or pass "
        "--on-error skip",
        '{"test": ["P1"]}': "no image of the train side; a split needs both",
    },
}


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [(name, text, what) for name, bad in BAD_FILES.items() for text, what in bad.items()],
)
def test_files_that_are_no_split(
    tmp_path: Path, release: Path, name: str, text: str, what: str
) -> None:
    file = put(tmp_path, name, text)
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, split=(str(file),))
    assert str(caught.value) == f"{file}: {what}"


def test_a_deep_json_is_no_split(tmp_path: Path, release: Path) -> None:
    file = put(tmp_path, "p.json", "[" * 200_000)
    with pytest.raises(ReleaseError, match=r"p\.json: not JSON \("):
        take(tmp_path, release, split=(str(file),))


def test_a_file_that_is_not_there(tmp_path: Path, release: Path) -> None:
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, split=("no.csv",))
    assert str(caught.value) == "no.csv: cannot be read (No such file or directory)"


def test_what_can_be_typed() -> None:
    assert SplitFile.of("a/theirs.csv") == SplitFile("theirs", Path("a/theirs.csv"))
    assert SplitFile.of("paper=a/x.JSON") == SplitFile("paper", Path("a/x.JSON"))
    with pytest.raises(SettingsError) as caught:
        SplitFile.of("leak-free=a.csv")
    assert str(caught.value) == (
        "--split: 'leak-free' cannot name a split; pass --split NAME=a.csv with a NAME of letters, "
        "digits, dots, _ and -, other than leak-free"
    )
    for bad in ("my split.csv", "=a.csv", "../x=a.csv"):
        with pytest.raises(SettingsError, match="cannot name a split"):
            SplitFile.of(bad)
    with pytest.raises(SettingsError, match=r"^--split: a\.txt: need a \.csv or \.json file$"):
        SplitFile.of("a.txt")


def test_the_command_says_each(tmp_path: Path, runner: Any) -> None:
    tiny = TinyRelease()
    tiny.images["P00003"] = tiny.images["P00001"]
    release = tiny.write(tmp_path / "release")
    first = put(tmp_path, "first.json", json.dumps({"train": TRAIN, "test": [*TEST, "P9", "P8"]}))
    other = put(tmp_path, "other.csv", "image,side\nP00002,train\nN0000005,test\n")
    words = ["-w", tmp_path / "ws", "--release", release, "--classes", "Gun,Knife"]
    words += ["--split", first, "--split", f"second={other}"]

    said = runner.invoke(download_command, [str(word) for word in words])
    document = runner.invoke(download_command, [*map(str, words), "--json"])

    assert said.stdout.splitlines()[2:4] == [
        "split first: 4 train, 2 test; 1 group of near-duplicates on both sides; 2 listed images "
        "not in the release",
        "split second: 1 train, 1 test",
    ]
    result = DownloadResult(**json.loads(document.stdout))
    assert result.splits == {"first": counts(4, 2, 1, 2), "second": counts(1, 1)}


def test_a_pipe_is_no_split(tmp_path: Path, release: Path) -> None:
    os.mkfifo(tmp_path / "s.csv")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release, split=(str(tmp_path / "s.csv"),))
    assert str(caught.value) == (
        f"{tmp_path}/s.csv: cannot be read (a pipe, expected a plain file)"
    )


@pytest.mark.parametrize("rows", [("P9,train", "N0000001,test"), ("P8,train", "P9,test")])
def test_a_split_of_one_side_is_not_kept(
    tmp_path: Path, release: Path, rows: Sequence[str]
) -> None:
    file = put(tmp_path, "mine.csv", lines("image,side", *rows))
    sides = "train" if rows[1].startswith("N") else "train and the test"

    result = take(tmp_path, release, "skip", split=(str(file),))

    assert (result.splits, result.skipped) == ({}, 1)
    assert (
        skipped(tmp_path)[0]["error"] == f"no image of the {sides} side is in the release; not kept"
    )
    assert not (tmp_path / "ws/shards/splits.parquet").exists()
    with pytest.raises(ReleaseError, match="is in the release; not kept; mend it or pass"):
        take(tmp_path / "other", release, split=(str(file),))
