"""A patch as a file: its bytes, and what is refused of one from elsewhere."""

import json
import os
import tracemalloc

import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.datasets.labelled import ImageLabels
from sixrayd.datasets.patch_file import read_patch, write_patch
from sixrayd.datasets.patches import make_patch
from tests.datasets.made import CLASSES, item, labelled

GUN = item("Gun", 1, 2, 30, 40, difficult=True)
KNIFE = item("Knife", 5, 5, 20, 20, origin="drawn")
A = labelled({"N1": [], "P1": [GUN]}, sha256={"P1": "a"})
B = labelled({"N1": [GUN, KNIFE]}, {"leak-free": {"N1": "test"}})


@pytest.fixture
def lines(tmp_path):
    write_patch(tmp_path / "a.patch", make_patch(A, B, CLASSES))
    return (tmp_path / "a.patch").read_text("utf-8").splitlines()


def test_the_bytes(lines):
    assert json.loads(lines[0])["sixrayd_patch"] == 1
    assert lines[1:] == [
        '{"image":"N1","size":[96,64],"before":[],"after":[{"label":"Gun","xyxy":[1,2,30,40],'
        '"difficult":true},{"label":"Knife","xyxy":[5,5,20,20],"sixrayd":{"origin":"drawn"}}],'
        '"splits":{"leak-free":[null,"test"]}}',
        f'{{"image":"P1","sha256":"{"a" * 64}","size":[96,64],"before":[{{"label":"Gun",'
        '"xyxy":[1,2,30,40],"difficult":true}],"after":null}',
    ]


def test_lines_and_brackets_without_end_take_no_memory(tmp_path):
    tracemalloc.start()
    try:
        said = refusal(tmp_path, b"\n" * 10_000_000)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert said.startswith("line 1: Expecting value")
    said = refusal(tmp_path, b"[" * 4_000_001 + b"{" * 4_000_000 + b"\n")
    assert said == "8000001 brackets, at most 8000000 are read"


def refusal(tmp_path, text):
    path = tmp_path / "b.patch"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AnnotationError) as found:
        read_patch(path)
    return str(found.value).removeprefix(f"{path}: ")


NO_LINE = "; not a line of a patch"
TWICE = "line 2: 'image' is given twice; not a line of a patch"
SAME_SIDE = "line 2: a side of a split that does not change"
MANY = "line 3: 10001 boxes, at most 10000 of an image are read"
AGAIN = '[{"label":"Gun","xyxy":[1,2,30,40],"difficult":true,"sixrayd":{"reviewer":"ann"}}]'
CHANGED = "line 2: not as a patch is written; it was changed since: ask for a sound copy"
FEW = "2 images, and the header says another number; cut short? Ask for a sound copy"
NO_UTF8 = "line 1: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
FEW_EDGES = "line 2: not enough values to unpack (expected 4, got 3)"
FORMAT_2 = "line 1: format 2, expected 1; another version wrote it"
HOSTILE = [
    ("N1", "../N1", "line 2: image id '../N1': no plain file name; refused"),
    ("N1", ".N1", "line 2: image id '.N1': no plain file name; refused"),
    ('"N1"', '""', "line 2: image id '': no plain file name; refused"),
    ("N1", "C:N1", "line 2: image id 'C:N1': no plain file name; refused"),
    ("N1", "N1\\u0000", "line 2: image is 'N1\\x00', expected text that XML can hold" + NO_LINE),
    ("N1", "n1", "line 2: image id 'n1': a file of this name is of N1; refused"),
    ("N1", "P1", "line 3: P1 is not after P1"),
    ("N1", "Q1", "line 3: P1 is not after Q1"),
    ('"size":[96,64],"before":[]', '"before":[]', ""),
    ("[96,64]", "[96,0]", "line 2: size is 0" + NO_LINE),
    ("[96,64]", "[96.0,64]", "line 2: size is 96.0, expected 0 to 65535" + NO_LINE),
    (
        "[5,5,20,20]",
        "[5,5,20,99]",
        "line 2: box [5, 5, 20, 99] does not lie in an image of 96 x 64" + NO_LINE,
    ),
    (
        "[5,5,20,20]",
        "[5,5,20,1e400]",
        "line 2: edge is inf, expected 0 to 65535" + NO_LINE,
    ),
    ("[5,5,20,20]", "[5,5,20]", FEW_EDGES + NO_LINE),
    ("[5,5,20,20]", "[5,5,20,true]", "line 2: edge is True, expected 0 to 65535" + NO_LINE),
    ('"label":"Knife"', '"label":"Knives"', "line 2: class 'Knives' is none of the header's"),
    ('"drawn"', '7', "line 2: origin is 7, expected text that XML can hold" + NO_LINE),
    ('"origin"', '"origins"', None),
    ('"test"', '"both"', "line 2: side is none of train, test" + NO_LINE),
    ('[null,"test"]', '["test","test"]', SAME_SIDE + NO_LINE),
    ('"after":null', '"after":' + AGAIN, "line 3: neither a box nor a side changes" + NO_LINE),
    ('"after":null', '"after":[' + "{}," * 10_000 + "{}]", MANY + NO_LINE),
    ('"after":null', '"others":null', "line 3: no 'after'" + NO_LINE),
    ('"sha256":"a', '"sha256":"g', None),
    ('"sixrayd_patch":1', '"sixrayd_patch":2', FORMAT_2),
    ('"sixrayd_patch":1,', "", "line 1: no header" + NO_LINE),
    ('"changes":2', '"changes":3', FEW),
    ('"Gun","Knife"]', '"Gun","gun"]', "line 1: classes: a name occurs twice in Gun, gun"),
    ('"difficult":true', '"difficult":1', CHANGED),
    ('{"image":"N1"', '{"image":"N1","image":"N1"', TWICE),
    ('{"image":"N1"', '{"image": "N1"', CHANGED),
    ('{"image":"N1"', '{"note":1,"image":"N1"', CHANGED),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), HOSTILE)
def test_a_hostile_patch_is_one_line(tmp_path, lines, old, new, message):
    text = "\n".join(lines) + "\n"
    assert old in text
    if message == "":  # an image without a size is as good
        (tmp_path / "b.patch").write_text(text.replace(old, new))
        assert len(read_patch(tmp_path / "b.patch").images) == 2
        return

    found = refusal(
        tmp_path, text.replace(old, new, 1) if "image" in old else text.replace(old, new)
    )

    assert "\n" not in found
    assert message is None or found == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty or cut short; ask for a sound copy of the patch"),
        ("{}", "empty or cut short; ask for a sound copy of the patch"),
        ("{}\n", "line 1: no header" + NO_LINE),
        ("[]\n", "line 1: expected an object in braces" + NO_LINE),
        (b"\xff\xfe\n", NO_UTF8 + NO_LINE),
        ("[" * 100_000 + "\n", None),
        ("9" * 5000 + "\n", None),
        ("x" * (1 << 20) + "x\n", "line 1: 1048577 bytes, at most 1048576 are read"),
    ],
)  # fmt: skip
def test_no_patch_at_all(tmp_path, text, message):
    found = refusal(tmp_path, text)

    assert found.startswith("line 1: ") if message is None else found == message
    assert "\n" not in found


def test_a_folder_is_no_patch(tmp_path):
    with pytest.raises(AnnotationError) as found:
        read_patch(tmp_path)

    assert str(found.value) == f"{tmp_path}: cannot be read (Is a directory)"


@pytest.mark.parametrize("image_id", ["a/b", "..", "a\nb", "a\udcff", "x" * 201])
def test_what_could_not_be_read_is_not_written(tmp_path, image_id):
    wrong = labelled({})
    wrong = type(wrong)("voc", CLASSES, {image_id: ImageLabels(image_id, ())})

    with pytest.raises(AnnotationError, match=r"^.*a.patch: line 2: "):
        write_patch(tmp_path / "a.patch", make_patch(labelled({}), wrong, CLASSES))

    assert list(tmp_path.iterdir()) == []


def test_a_line_separator_in_a_name_ends_no_line(tmp_path):
    one = labelled({"P1": [GUN]})
    drawn = item("Gun", 1, 2, 30, 41, origin="Zoë")
    path = tmp_path / "a.patch"
    write_patch(path, make_patch(one, labelled({"P1": [drawn]}), CLASSES))

    assert "Zoë" in path.read_text("utf-8")
    assert read_patch(path).images[0].after == (drawn,)


@pytest.mark.parametrize("name", ['Gun "A"', "Gün刀", "G" * 500])
def test_a_name_that_a_set_can_have_is_escaped_and_read(tmp_path, name):
    classes = ClassList((name, "Knife"))
    one = labelled({"P1": [item(name, 1, 2, 30, 40)]}, classes=classes)
    patch = make_patch(one, labelled({"P1": [KNIFE]}, classes=classes), classes)
    write_patch(tmp_path / "a.patch", patch)

    assert read_patch(tmp_path / "a.patch") == patch
    lines = (tmp_path / "a.patch").read_bytes().decode().split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_a_pipe_is_no_patch(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(AnnotationError) as found:
        read_patch(tmp_path / "pipe")

    assert str(found.value) == f"{tmp_path}/pipe: no plain file; write the patch to one first"
