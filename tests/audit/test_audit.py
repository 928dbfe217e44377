"""What an audit says of releases with everything wrong with them, each finding whole."""

import csv
import io
import json
import shutil
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sixrayd.audit.labels import ingest_findings
from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.stage import audit
from sixrayd.audit.tables import IngestTables
from sixrayd.core.errors import SettingsError, ShardError, WorkspaceError
from sixrayd.core.findings import Flaw
from sixrayd.core.index import Index
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from tests.processes import ran
from tests.releases import TinyRelease, encode, jpeg, take, voc

GUN, KNIFE = ("Gun", 1, 1, 20, 30), ("knife", 31, 11, 60, 50)
SHORT = AuditSettings(least=4)
XML = "Annotation.zip/Annotation/"
RGB8 = "; pixels are made RGB of 8 bits"


def picture(seed, mode="RGB", size_wh=(96, 64)):
    """An image that is no other's duplicate."""
    pixels = np.random.default_rng(50 + seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size_wh, Image.Resampling.NEAREST).convert(mode)


def turned(seed):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture(seed).save(file, "JPEG", exif=exif)
    return file.getvalue()


def deep():
    return encode(Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96) * 9), "PNG")


def again(data, quality=80):
    """The same picture, encoded again."""
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def tidy():
    """A release with which nothing is wrong: its third positive is a gun alone, as it says."""
    tiny = TinyRelease()
    tiny.xml["P00003"] = voc("P00003", GUN)
    return tiny


def odd_images():
    tiny = tidy()
    tiny.rows += ["P00009,1,-1", "N0000006,-1,-1", "N0000007,-1,-1"]
    tiny.images |= {
        "N0000001": b"no image",
        "N0000002": encode(picture(1, "L"), "JPEG"),
        "N0000003": encode(picture(2, "CMYK"), "JPEG"),
        "N0000004": encode(picture(3, "P"), "PNG"),
        "N0000005": encode(picture(4, "RGBA"), "PNG"),
        "N0000006": deep(),
        "N0000007": encode(picture(5, size_wh=(300, 64)), "JPEG"),
        "N0000008": turned(6),
        "bag": jpeg(71),
    }
    stray = "in no image set, without annotation, and its name is neither P… nor N…"
    return tiny, [
        (Flaw.MISSING_IMAGE, "P00009", "listed by the image sets, not in the release", "P00009"),
        (Flaw.UNREADABLE_IMAGE, "N0000001", "begins with b'no image', expected…"),
        (Flaw.ODD_MODE, "N0000003", "is CMYK" + RGB8),
        (Flaw.ODD_MODE, "N0000004", "has a palette" + RGB8),
        (Flaw.ODD_MODE, "N0000005", "has an alpha channel" + RGB8),
        (Flaw.ODD_MODE, "N0000006", "has more than 8 bits a sample" + RGB8),
        (Flaw.ROTATED, "N0000008", "EXIF orientation 6; its boxes do not turn with it"),
        (Flaw.UNLISTED_IMAGE, "N0000008", "listed by none", "image sets"),
        (Flaw.UNLISTED_IMAGE, "bag", stray, "JPEGImage.tar.gz/JPEGImage/bag.jpg"),
        (Flaw.GREY, "N0000002", "is grey"),
        (Flaw.ODD_SIZE, "N0000007", "300 x 64"),
    ]


def odd_labels():
    tiny = tidy()
    for number in range(4, 10):
        tiny.images[f"P0000{number}"] = jpeg(number)
        tiny.rows.append(f"P0000{number},1,-1")
    tiny.rows.append("P00003,1,1")
    del tiny.xml["P00003"]
    tiny.xml |= {
        "P00001": voc("P00001", GUN, ("knife", 31, 11, 97, 50), GUN),
        "P00002": voc("P00002", KNIFE),
        "P00004": voc("P00004"),
        "P00005": b"<annotation>",
        "P00006": voc("P00007", GUN, ("Bomb", 1, 1, 9, 9)),
        "P00007": voc("P00007", GUN, ("Hammer", 1, 1, 9, 9), ("Gun", 98, 1, 99, 9)),
        "P00008": voc("P00008", GUN, ("Gun", 9, 9, 10, 60)),
        "P00009": voc("P00009", ("Gun", 20, 1, 1, 30)).replace(b"</ann", b"<object/></ann"),
        "N0000001": voc("N0000001", GUN),
        "P00777": voc("P00777", GUN),
    }
    at = {number: f"{XML}P0000{number}.xml" for number in range(1, 10)}
    file = "ImageSet.zip/ImageSet/10/train.csv"
    line = f"{file}: line 16"
    left_out = "none of the classes that are asked for; left out"
    negative = "the image sets call it negative; a positive for its boxes"
    twice = "the same box of the same class stands before"
    odd = "Gun: area 104 px², shape 0.04, down 0.53"
    return tiny, [
        (Flaw.LABELS_DISAGREE, "P00002", "the image sets say Gun, Knife, boxes are Knife"),
        (Flaw.SETS_DISAGREE, "P00003", f"P00003 shows Gun, Knife, in {file} Gun", line),
        (Flaw.BOXED_NEGATIVE, "N0000001", negative, f"{XML}N0000001.xml"),
        (Flaw.UNANNOTATED, "P00003", "no annotation that can be used"),
        (Flaw.UNANNOTATED, "P00005", "no annotation that can be used"),
        (Flaw.STRAY_ANNOTATION, "P00777", "an annotation without an image", f"{XML}P00777.xml"),
        (Flaw.UNREADABLE_LABELS, "P00005", "not XML (…", at[5]),
        (Flaw.UNKNOWN_CLASS, "P00006", "class 'Bomb' is none of…", f"{at[6]}: object 2"),
        (Flaw.OUTSIDE, "P00007", "98,1,99,9 lies outside the image…", f"{at[7]}: object 3"),
        (Flaw.REPEATED_BOX, "P00001", twice, "", "", "P00001/a2"),
        (Flaw.NO_OBJECT, "P00004", "a positive whose annotation holds no usable box"),
        (Flaw.EMPTY_OBJECT, "P00009", "empty; left out", f"{at[9]}: object 2"),
        (Flaw.LEFT_OUT_CLASS, "P00007", f"Hammer is {left_out}", f"{at[7]}: object 2"),
        (Flaw.SWAPPED_CORNERS, "P00009", "xmax 1 below xmin 20; swapped", f"{at[9]}: object 1"),
        (Flaw.OVERHANG, "P00001", "xmax 97 exceeds width 96; clipped", f"{at[1]}: object 2"),
        (Flaw.OTHER_NAME, "P00006", "<filename> says 'P00007.jpg'; taken for P00006", at[6]),
        (Flaw.NARROW_BOX, "P00008", "2 x 52 pixels", "", "", "P00008/a1"),
        (Flaw.ODD_BOX, "P00008", odd, "", "", "P00008/a1"),
    ]


def duplicates():
    tiny = tidy()
    gun, bag = tiny.images["P00001"], tiny.images["N0000001"]
    tiny.images |= {"N0000002": bag, "N0000003": again(bag)}
    tiny.images |= {"N0000004": gun, "N0000005": again(gun) + b"\0", "P00003": again(gun)}
    near = "…"  # how many bits differ is up to the decoder
    return tiny, [
        (Flaw.NEGATIVE_IS_POSITIVE, "N0000004", "the same bytes", "", "P00001"),
        (Flaw.NEGATIVE_IS_POSITIVE, "N0000005", near, "", "P00003"),
        (Flaw.SAME_BYTES, "N0000002", "the same bytes", "", "N0000001"),
        (Flaw.NEAR_DUPLICATE, "N0000003", near, "", "N0000001"),
        (Flaw.NEAR_DUPLICATE, "P00003", near, "", "P00001"),
    ]


def same(found, wanted):
    """Whether a finding is the one that is wanted; a text that ends in … is how it begins."""
    flaw, image_id, text, where, other, box = (*wanted, "", "", "")[:6]
    told = found["text"]
    begins = text.endswith("…") and not told.endswith("…") and told.startswith(text[:-1])
    names = (found["flaw"], found["image_id"], found["where"], found["other_id"], found["box_id"])
    return names == (str(flaw), image_id, where, other, box) and (told == text or begins)


def audited(tmp_path, tiny, settings=SHORT):
    take(tmp_path, tiny.write(tmp_path / "release"), "skip")
    return audit(Workspace(tmp_path / "ws"), settings)


def test_nothing_is_wrong_with_a_tidy_release(tmp_path):
    result = audited(tmp_path, tidy())

    assert (result.kinds, result.faults, result.remarks) == ((), 0, 0)
    assert (result.images, result.boxes, result.written) == (8, 5, True)
    assert result.rules == ("images: 61 to 150 pixels wide", "images: 41 to 100 pixels high")


@pytest.mark.parametrize("release", [odd_images, odd_labels, duplicates])
def test_each_flaw_is_found_and_named(tmp_path, release):
    tiny, wanted = release()

    result = audited(tmp_path, tiny)

    found = [example for kind in result.kinds for example in kind.examples]
    assert len(found) == len(wanted) == sum(kind.count for kind in result.kinds)
    assert [want for one, want in zip(found, wanted, strict=True) if not same(one, want)] == []
    faults = sum(want[0].severity == "fault" for want in wanted)
    assert (result.faults, result.remarks) == (faults, len(wanted) - faults)


def examples(result):
    """Kind, image and twin of each finding."""
    kinds = [kind.examples for kind in result.kinds]
    return [(one["flaw"], one["image_id"], one["other_id"]) for found in kinds for one in found]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """A tidy release, taken in."""
    folder = tmp_path_factory.mktemp("tidy")
    take(folder, tidy().write(folder / "release"))
    return folder / "ws"


@pytest.fixture
def workspace(ingested, tmp_path):
    shutil.copytree(ingested, tmp_path / "ws")
    return Workspace(tmp_path / "ws")


def edit_index(workspace, **changes):
    """Change the index: image id → columns."""
    rows = Index.load(workspace).table.to_pylist()
    for row in rows:
        row |= changes.get(row["image_id"], {})
    write_table(workspace.shards / "index.parquet", rows, INDEX_SCHEMA)


def test_a_group_s_end_is_no_repeated_picture(workspace):
    edit_index(workspace, N0000001={"group": "N0000001"}, P00001={"group": "N0000001"})

    found = audit(workspace).kinds[0]

    assert (found.flaw, found.severity, found.count) == (
        *("negative that resembles a positive", "remark"),
        1,
    )
    assert (found.examples[0]["image_id"], found.examples[0]["other_id"]) == ("N0000001", "P00001")
    bits = found.examples[0]["text"].removesuffix(" of 256 bits of their hashes differ")
    assert int(bits) > 48


def test_of_a_group_s_positives_the_most_alike_stands_beside_the_negative(tmp_path):
    tiny = tidy()
    tiny.images["N0000001"] = again(tiny.images["P00002"])
    take(tmp_path, tiny.write(tmp_path / "release"))
    workspace = Workspace(tmp_path / "ws")
    group = {"group": "N0000001"}
    edit_index(workspace, N0000001=group, P00001=group, P00002=group, P00003=group)

    assert examples(audit(workspace))[0] == (
        *("negative that repeats a positive", "N0000001", "P00002"),
    )


def test_duplicates_in_train_and_test_are_a_fault(workspace):
    rows = {row["image_id"]: row for row in Index.load(workspace).table.to_pylist()}
    test = next(i for i, row in rows.items() if row["split"] == "test" and i[0] == "N")
    train = next(i for i, row in rows.items() if row["split"] == "train" and i[0] == "N")
    edit_index(workspace, **{name: {"group": min(test, train)} for name in (test, train)})

    result = audit(workspace)

    assert examples(result)[0] == ("duplicates in train and test", test, train)
    assert [kind.severity for kind in result.kinds] == ["fault", "remark"]


def test_duplicates_on_both_sides_of_a_given_split_are_a_fault(tmp_path):
    tiny = tidy()
    tiny.images["N0000002"] = tiny.images["N0000001"]
    sides = {"train": ["P00001", "N0000001"], "test": ["P00002", "N0000002"]}
    (tmp_path / "paper.json").write_text(json.dumps(sides))
    take(tmp_path, tiny.write(tmp_path / "release"), split=(str(tmp_path / "paper.json"),))

    (fault,) = [
        kind for kind in audit(Workspace(tmp_path / "ws")).kinds if kind.severity == "fault"
    ]

    assert [(one["image_id"], one["other_id"], one["text"]) for one in fault.examples] == [
        ("N0000002", "N0000001", "the same bytes; split paper")
    ]


def boxes_of(rng, count):
    """(N, 4): Guns of 40 x 30 pixels, give or take a tenth, around the middle of 96 x 64."""
    sides = np.array([40, 30]) * rng.uniform(0.9, 1.1, (count, 2))
    low = np.array([48, 32]) * rng.uniform(0.9, 1.1, (count, 2)) - sides / 2
    return np.concatenate([low, low + sides], axis=1)


ODD_BOXES = {
    "size": ((40, 28, 50, 36), "Gun: area 80 px²"),
    "shape": ((30, 2, 50, 62), "Gun: shape 0.33"),
    "place": ((0, 34, 40, 64), "Gun: across 0.21, down 0.77"),
}


def set_boxes(workspace, edges):
    rows = [
        {"box_id": f"P00001/a{number}", "image_id": "P00001", "label": "Gun"}
        | dict(zip(("x1", "y1", "x2", "y2"), map(float, xyxy), strict=True))
        | {"difficult": False, "truncated": False}
        for number, xyxy in enumerate(edges)
    ]
    write_table(workspace.shards / "annotations.parquet", rows, ANNOTATION_SCHEMA)


@pytest.mark.parametrize("case", ODD_BOXES)
def test_a_box_unlike_its_class_is_found_and_no_other(workspace, case):
    odd, text = ODD_BOXES[case]
    set_boxes(workspace, [*boxes_of(np.random.default_rng(1), 60), odd])

    found = next(kind for kind in audit(workspace).kinds if kind.flaw == Flaw.ODD_BOX)

    assert [(one["box_id"], one["text"]) for one in found.examples] == [("P00001/a60", text)]


def test_few_boxes_of_a_class_have_no_rule(workspace):
    set_boxes(workspace, [*boxes_of(np.random.default_rng(1), 48), ODD_BOXES["size"][0]])

    result = audit(workspace)

    assert Flaw.ODD_BOX not in [kind.flaw for kind in result.kinds]
    assert result.rules == ()


def test_a_class_that_is_not_the_ingest_s_is_passed_over(workspace):
    set_boxes(workspace, [(1, 1, 9, 9)])
    path = workspace.shards / "annotations.parquet"
    rows = [row | {"label": "Bomb"} for row in read_table(path, ANNOTATION_SCHEMA).to_pylist()]
    write_table(path, rows, ANNOTATION_SCHEMA)

    assert examples(audit(workspace)) == [
        ("image set and boxes that disagree", "P00001", ""),
        ("annotation without a usable object", "P00002", ""),
        ("annotation without a usable object", "P00003", ""),
    ]


def test_notes_of_an_older_ingest_are_one_kind(workspace):
    (workspace.shards / "notes.txt").write_text(
        "Annotation.zip/Annotation/P00001.xml: object 2: xmax 97 exceeds width 96; clipped\n"
    )

    (found,) = audit(workspace).kinds

    assert (found.flaw, found.severity, found.count) == ("repair of an unnamed kind", "remark", 1)
    assert found.examples[0] | {"severity": "", "flaw": ""} == {
        **dict.fromkeys(("severity", "flaw", "other_id", "box_id"), ""),
        "image_id": "P00001",
        "where": "Annotation.zip/Annotation/P00001.xml: object 2",
        "text": "xmax 97 exceeds width 96; clipped",
    }


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_notes_without_end_are_refused(workspace):
    path = workspace.shards / "notes.txt"
    path.write_text("\n" * 200_001)
    with pytest.raises(WorkspaceError) as refused:
        audit(workspace, AuditSettings())
    assert str(refused.value) == f"{path}: 200001 lines, at most 200000 are read; remove it"


def test_notes_that_are_a_link_are_not_told(workspace, tmp_path):
    (tmp_path / "secret").write_text("password: 1234")
    path = workspace.shards / "notes.txt"
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(WorkspaceError) as refused:
        audit(workspace, AuditSettings())
    assert str(refused.value) == f"{path}: a link; put the file itself there, or remove it"


def test_the_same_audit_is_left_as_it_is_and_a_change_makes_it_again(workspace):
    first = audit(workspace)
    before = files(workspace.folder("audit"))
    second = audit(workspace)

    assert (first.written, second.written) == (True, False)
    assert files(workspace.folder("audit")) == before
    assert second.kinds == first.kinds
    assert set(before) == {"findings.parquet", "findings.csv", "report.html", "run.json"}
    set_boxes(workspace, [(1, 1, 9, 9), (1, 1, 9, 9)])
    changed = audit(workspace)
    assert (changed.written, changed.faults) == (True, 2)
    (workspace.folder("audit") / "report.html").unlink()
    assert audit(workspace).written
    assert (workspace.folder("audit") / "report.html").exists()
    assert audit(workspace, AuditSettings(most=1)).written


KILLED = """
import os, signal, sys
from pathlib import Path
from sixrayd.audit.stage import audit
from sixrayd.audit.tables import IngestTables
from sixrayd.core.workspace import Workspace

steps, replace = iter(range(99)), Path.replace

def counted(self, target):
    if self.parent.name == "audit" and next(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = counted
audit(Workspace(sys.argv[1]))
"""


@pytest.mark.parametrize("step", [3])
def test_killed_it_goes_on_and_ends_in_the_same_bytes(workspace, tmp_path, step):
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    audit(other)

    words = [sys.executable, "-c", KILLED, str(workspace.root), str(step)]
    died = ran(words, cwd=Path(__file__).parents[2])
    left = set(files(workspace.folder("audit")))

    assert died.returncode == -9, died.stderr
    assert "run.json" not in left
    assert any(name.endswith(".part") for name in left)
    assert audit(workspace).written
    assert files(workspace.folder("audit")) == files(other.folder("audit"))


def test_what_is_broken_is_one_line(workspace):
    with pytest.raises(WorkspaceError, match=r"run `sixrayd download"):
        audit(Workspace(workspace.root / "none"))
    (workspace.shards / "skipped.jsonl").write_text("{}\n")
    with pytest.raises(WorkspaceError, match=r"skipped.jsonl: not a list of faults \('where'\)"):
        audit(workspace)
    (workspace.shards / "skipped.jsonl").unlink()
    (workspace.shards / "negatives-00000.tar").unlink()
    with pytest.raises(ShardError, match=r"negatives-00000.tar: No such file"):
        audit(workspace)
    edit_index(workspace, P00001={"image_id": "P00000"})
    with pytest.raises(WorkspaceError, match=r"boxes of images that index.parquet lacks"):
        audit(workspace)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"most": 201}, "most: need 0 to 200, got 201"),
        ({"reach": 0}, "reach: need more than 0, got 0"),
        ({"least": 3}, "least: need 4 or more, got 3"),
        ({"narrow_px": -1}, "narrow-px: need 0 or more, got -1"),
    ],
)
def test_settings_out_of_range(settings, said):
    with pytest.raises(SettingsError) as raised:
        AuditSettings(**settings)
    assert str(raised.value) == said


@pytest.mark.long
def test_a_million_rows_take_columns_and_no_objects(workspace):
    rows = Index.load(workspace).table.slice(0, 1).to_pylist() * 20_000
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**63, len(rows))
    rows = [
        row
        | {"image_id": f"N{n:07d}", "phash": f"{hashes[n]:064x}", "sha256": f"{hashes[n]:064x}"}
        | {"group": f"N{n:07d}", "source": "negative", "labels": [], "error": "truncated"}
        for n, row in enumerate(rows)
    ]
    write_table(workspace.shards / "index.parquet", rows, INDEX_SCHEMA)
    write_table(workspace.shards / "annotations.parquet", [], ANNOTATION_SCHEMA)
    del rows

    tracemalloc.start()
    result = audit(workspace)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [(kind.flaw, kind.count, len(kind.examples)) for kind in result.kinds] == [
        ("image that cannot be read", 20_000, 12)
    ]
    assert peak < 7_000_000  # a dictionary a row takes 9 million at least


@pytest.mark.parametrize("flaw", [{}, {"flaw": str(Flaw.NO_IMAGE)}], ids=["unnamed", "named"])
def test_countless_faults_take_columns_and_no_table_each(workspace, flaw):
    lines = [
        json.dumps({"where": "a.json", "error": f"in no image set, {n}"} | flaw) + "\n"
        for n in range(20_000)
    ]
    (workspace.shards / "skipped.jsonl").write_text("".join(lines))

    tables = list(ingest_findings(IngestTables.load(workspace)))
    assert sum(map(len, tables)) == len(lines)
    assert len(tables) < 10  # a table a fault takes 10 kB each


def test_a_cell_is_no_formula_and_csv_holds_all(workspace):
    (workspace.shards / "skipped.jsonl").write_text(
        json.dumps({"where": "=1+1.xml", "error": '+"quoted", here'}) + "\n"
    )
    audit(workspace, AuditSettings(most=0))

    text = (workspace.folder("audit") / "findings.csv").read_text()
    assert list(csv.DictReader(io.StringIO(text))) == [
        {
            "severity": "fault",
            "flaw": "annotation that cannot be read",
            "image_id": "",
            "other_id": "",
            "box_id": "",
            "where": "'=1+1.xml",
            "text": '\'+"quoted", here',
        }
    ]


def kinds_of(result):
    """Kind, image, where, of each example."""
    found = [example for kind in result.kinds for example in kind.examples]
    return [(one["flaw"], one["image_id"], one["where"]) for one in found]


def test_a_fault_that_was_passed_over_has_the_kind_that_the_ingest_says(tmp_path):
    release = tidy().write(tmp_path / "release")
    with zipfile.ZipFile(release / "more.zip", "w") as archive:
        archive.writestr("N0000101.jpg", jpeg(81))
    packed = bytearray((release / "more.zip").read_bytes())
    packed[packed.find(b"PK\x01\x02") + 8] |= 1  # encrypted
    (release / "more.zip").write_bytes(packed)
    (release / "broken.zip").write_bytes(b"PK junk")
    (release / "n0000001.jpg").write_bytes(jpeg(82))
    (release / "bag\x1b.jpg").write_bytes(jpeg(83))
    (release / "P00001.xml").write_bytes(b" " * (4 << 20) + b" ")

    take(tmp_path, release, "skip")

    assert kinds_of(audit(Workspace(tmp_path / "ws"))) == [
        (Flaw.BAD_NAME, "", "bag\x1b.jpg"),
        (Flaw.OTHER_IMAGE, "N0000001", "n0000001.jpg"),
        (Flaw.NOT_READ, "", "broken.zip"),
        (Flaw.NOT_READ, "N0000101", "more.zip/N0000101.jpg"),
        (Flaw.NOT_READ, "P00001", "P00001.xml"),
    ]


def test_a_list_of_faults_of_an_earlier_version_is_read(workspace):
    lines = [
        {"where": "P00009", "error": "listed by the image sets, not in the release"},
        {"where": "train.csv: line 3", "error": "not CSV"},
        {"where": "A/P00002.xml", "error": "not XML"},
        {"where": "a.zip", "error": "of a kind to come", "flaw": "kind to come"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (workspace.shards / "skipped.jsonl").write_text(text)

    assert kinds_of(audit(workspace)) == [
        (Flaw.MISSING_IMAGE, "P00009", "P00009"),
        (Flaw.UNREADABLE_LABELS, "P00002", "A/P00002.xml"),
        (Flaw.PASSED_OVER, "", "a.zip"),
        (Flaw.PASSED_OVER, "", "train.csv: line 3"),
    ]
