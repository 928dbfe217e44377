"""Another model's detections, taken over as candidates."""

import json
import os
import re
import shlex
import tracemalloc
import zipfile
from dataclasses import replace

import pytest
from click.testing import CliRunner

from sixrayd.advice.next_step import Judgement
from sixrayd.cli import cli
from sixrayd.core import runs, table_builder
from sixrayd.core.boxes import Box
from sixrayd.core.errors import AnnotationError, SettingsError, WorkspaceError
from sixrayd.core.records import CANDIDATE_SCHEMA
from sixrayd.core.tables import read_table
from sixrayd.core.voc import Provenance, VocAnnotation, VocObject, write_voc
from sixrayd.core.workspace import Workspace
from sixrayd.datasets import packing
from sixrayd.decisions.decision import mining_of
from sixrayd.mine import coco_results, external
from sixrayd.mine.command import mine
from sixrayd.mine.external import ExternalResult, ExternalSettings, take_detections
from tests.workspaces import SIZE_WH, Picture, Says, Small, build_mine, build_review, build_shards

CATEGORIES = [{"id": 7, "name": "gun"}, {"id": 8, "name": "Plier"}, {"id": 9, "name": "Banana"}]
IMAGES = [
    {"id": 1, "file_name": "train/N0000001.jpg"},
    {"id": 2, "file_name": "train\\N0000002.JPG"},
    {"id": "p", "file_name": "P00001.jpg"},
    {"id": 4, "file_name": "N0099999.jpg"},
    {"id": 5, "file_name": "N0000009.jpg"},
]
GOOD = {"image_id": 1, "category_id": 7, "bbox": [10, 20, 30.5, 20], "score": 0.75}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return Small().build(tmp_path_factory.mktemp("external") / "workspace")


@pytest.fixture
def workspace(built, tmp_path):
    shards = Workspace(tmp_path / "workspace").shards
    shards.parent.mkdir()
    shards.symlink_to(built.shards)
    return Workspace(tmp_path / "workspace")


def results(folder, *rows, images=IMAGES, categories=CATEGORIES):
    """Settings for a list of results and the dataset that names their images."""
    paths = folder / "results.json", folder / "images.json"
    paths[0].write_text(json.dumps(list(rows)))
    paths[1].write_text(json.dumps({"images": images, "categories": categories}))
    return ExternalSettings(paths[0], "other", paths[1])


def candidates(workspace, name="other"):
    path = workspace.folder("mine", name) / "candidates.parquet"
    return read_table(path, CANDIDATE_SCHEMA).to_pylist()


def faults(workspace, name="other"):
    lines = (workspace.folder("mine", name) / "skipped.jsonl").read_text().splitlines()
    return [(row["where"], row["error"]) for row in map(json.loads, lines)]


def test_a_list_of_results_becomes_ranked_candidates(workspace, tmp_path):
    rows = (
        {**GOOD, "score": 0.5},
        {**GOOD, "image_id": 2, "category_id": 8, "bbox": [90, -4, 50, 14.5], "score": 1},
        {**GOOD, "score": 0.75},
        {**GOOD, "score": 0.01},
        {**GOOD, "image_id": "p"},
    )

    result = take_detections(workspace, replace(results(tmp_path, *rows), model_name="a/yolo"))

    folder = workspace.folder("mine", "other")
    assert result == ExternalResult("other", "a/yolo", str(folder), 2, 3, 1, 1, 0, True)
    keys = ("box_id", "label", "x1", "y1", "x2", "y2", "score", "model", "image_score", "rank")
    assert [tuple(row[key] for key in keys) for row in candidates(workspace)] == [
        ("N0000002/other/0", "Pliers", 90.0, 0.0, 96.0, 10.5, 1.0, "a/yolo", 1.0, 1),
        ("N0000001/other/0", "Gun", 10.0, 20.0, 40.5, 40.0, 0.75, "a/yolo", 0.75, 2),
        ("N0000001/other/1", "Gun", 10.0, 20.0, 40.5, 40.0, 0.5, "a/yolo", 0.75, 2),
    ]
    run = workspace.run("mine", "other")
    paths = (workspace.shards / "run.json", tmp_path / "results.json", tmp_path / "images.json")
    assert run.inputs == workspace.inputs(*paths)
    assert sorted(run.outputs) == ["candidates.parquet", "skipped.jsonl"]
    assert (workspace.newest("mine"), workspace.stale("mine", "other")) == ("other", [])
    assert sorted(path.name for path in folder.iterdir()) == [
        "candidates.parquet",
        "run.json",
        "skipped.jsonl",
    ]


def test_our_own_candidates_come_back_through_coco(workspace, tmp_path):
    build_mine(workspace, "own", ["N0000004", "N0000001", "N0000012"])
    ours = candidates(workspace, "own")
    ours[1] |= {"x1": 1 / 3, "y1": 0.1, "x2": 95.7, "y2": 63.99}
    stems = sorted({row["image_id"] for row in ours})
    rows = [
        {
            "image_id": stems.index(row["image_id"]),
            "category_id": row["label"],
            "bbox": [row["x1"], row["y1"], row["x2"] - row["x1"], row["y2"] - row["y1"]],
            "score": row["score"],
        }
        for row in ours
    ]
    images = [{"id": n, "file_name": f"{stem}.jpg"} for n, stem in enumerate(stems)]
    categories = [{"id": "Knife", "name": "Knife"}]

    take_detections(workspace, results(tmp_path, *rows, images=images, categories=categories))

    theirs = candidates(workspace)
    assert len(theirs) == len(ours) == 3
    for own, other in zip(ours, theirs, strict=True):
        same = ("image_id", "label", "score", "image_score", "rank")
        assert [other[key] for key in same] == [own[key] for key in same]
        for edge in ("x1", "y1", "x2", "y2"):
            assert other[edge] == pytest.approx(own[edge], abs=1e-6)


def test_a_dataset_whose_annotations_carry_scores(workspace, tmp_path):
    path = tmp_path / "dataset.json"
    document = {"images": IMAGES, "categories": CATEGORIES, "annotations": [GOOD]}
    path.write_text(json.dumps(document))

    result = take_detections(workspace, ExternalSettings(path, "other"))

    assert (result.candidates, result.model) == (1, "other")


FAULTS = [
    ([], "is [], expected an object with image_id"),
    ({**GOOD, "image_id": 3}, "image_id 3: is none of the dataset's"),
    ({**GOOD, "image_id": [1]}, "image_id [1]: is none of the dataset's"),
    ({**GOOD, "image_id": True}, "image_id True: is none of the dataset's"),
    ({**GOOD, "image_id": 4}, "image 'N0099999': is not in the release"),
    ({**GOOD, "image_id": 5}, "image N0000009: cannot be read (not an image)"),
    ({**GOOD, "category_id": 3}, "category_id 3: is none of the dataset's"),
    (
        {**GOOD, "category_id": 9},
        "class 'Banana': is none of Gun, Knife, Wrench, Pliers, Scissors",
    ),
    *(
        (
            {**GOOD, "bbox": bbox},
            f"bbox {shown}: expected finite x, y, and a width and height above 0",
        )
        for bbox, shown in (
            ([1, 2, -3, 4], "[1, 2, -3, 4]"),
            ([1, 2, 3, 0], "[1, 2, 3, 0]"),
            ([1, float("nan"), 3, 4], "[1, nan, 3, 4]"),
            ([1, 2, 1e309, 4], "[1, 2, inf, 4]"),
            ([1e300, 2, 3, 4], "[1e+300, 2, 3, 4]"),
            ([1, 2, True, 4], "[1, 2, True, 4]"),
            ([1, 2, 3], "[1, 2, 3]"),
            ("1234", "'1234'"),
            (None, "None"),
        )
    ),
    ({**GOOD, "bbox": [96, 2, 3, 4]}, "box (96, 2, 99, 6): lies outside the image of 96 x 64"),
    *(
        ({**GOOD, "score": score}, f"score {shown}: expected a number from 0 to 1")
        for score, shown in ((None, "None"), (87, "87"), ("0.5", "'0.5'"), (float("nan"), "nan"))
    ),
]


def test_each_fault_is_one_line_and_the_rest_is_taken(workspace, tmp_path):
    rows = [row for row, _ in FAULTS]

    result = take_detections(workspace, results(tmp_path, *rows, GOOD))

    assert faults(workspace) == [
        (f"results.json: detection {number}", text) for number, (_, text) in enumerate(FAULTS, 1)
    ]
    assert (result.skipped, result.candidates) == (len(FAULTS), 1)


def test_no_detection_of_another_image_of_the_name_or_of_another_size_is_taken(workspace, tmp_path):
    images = [
        {"id": 1, "file_name": "N0000001.jpg", "width": 640, "height": 640},
        {"id": 2, "file_name": "a/N0000002.jpg", "width": 96, "height": 64},
        {"id": 3, "file_name": "b/N0000002.jpg", "width": 96, "height": 64},
    ]
    rows = [{**GOOD, "image_id": number} for number in (1, 2, 3)]

    result = take_detections(workspace, results(tmp_path, *rows, images=images))

    assert result.candidates == 1
    assert [error for _, error in faults(workspace)] == [
        "image N0000001: said to be 640 x 640; the image is 96 x 64",
        "is of a second image N0000002; 'a/N0000002.jpg' is taken",
    ]
    folder = tmp_path / "voc"
    folder.mkdir()
    for stem, size_wh in (("N0000001", (640, 640)), ("N0000002", (96, 64))):
        found = VocAnnotation(stem, *size_wh, (VocObject(Box("Gun", 10, 20, 60, 60)),))
        (folder / f"{stem}.xml").write_bytes(write_voc(found))

    assert take_detections(workspace, ExternalSettings(folder, "voc")).candidates == 1
    assert faults(workspace, "voc") == [
        ("N0000001.xml", "<size> says 640 x 640; the image is 96 x 64")
    ]


def test_no_detection_says_a_thing_twice(workspace, tmp_path):
    settings = results(tmp_path, GOOD)
    text = settings.detections.read_text().replace('"score"', '"score": 0.01, "score"')
    settings.detections.write_text(text)

    with pytest.raises(AnnotationError, match=r"results\.json: not JSON \('score' is given twice"):
        take_detections(workspace, settings)


def test_a_number_too_large_for_any_computer_is_a_fault(workspace, tmp_path):
    settings = results(tmp_path, GOOD, GOOD)
    text = settings.detections.read_text().replace("0.75", "1" + "0" * 400, 1)
    settings.detections.write_text(text)

    assert take_detections(workspace, settings).skipped == 1


def test_no_image_gets_more_detections_than_a_table_of_boxes_may_have(workspace, tmp_path):
    rows = [{**GOOD, "bbox": [10, 20, 10 + n / 1000, 20]} for n in range(10_002)]

    result = take_detections(workspace, results(tmp_path, *rows))

    assert (result.candidates, result.skipped, len(candidates(workspace))) == (10_000, 2, 10_000)
    said = "image N0000001: has 10,000 detections already; raise --threshold"
    assert faults(workspace)[0] == ("results.json: detection 10001", said)


def test_what_is_wholly_skipped_is_no_mining_that_found_nothing(workspace, tmp_path):
    """`next:` had spot checks drawn of a release that no detector had looked at."""
    settings = results(tmp_path, *[{**GOOD, "image_id": 4}] * 2, {**GOOD, "score": 2})

    with pytest.raises(AnnotationError) as caught:
        take_detections(workspace, settings)

    assert str(caught.value) == (
        f"{settings.detections}: none of its detections can be used, so nothing is taken over: "
        "2 × image that the release lacks, 1 × score that is none from 0 to 1; first results.json: "
        "detection 1: image 'N0099999': is not in the release; take those of this release"
    )
    assert not workspace.folder("mine", "other").exists()
    faint = {**GOOD, "score": 0.01}
    told = take_detections(workspace, results(tmp_path, {**GOOD, "score": 2}, faint))
    assert (told.flagged, told.below_threshold, told.skipped) == (0, 1, 1)


def test_files_without_an_object_beside_a_broken_one_are_a_mining_that_found_nothing(
    workspace, tmp_path
):
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "N0000001.xml").write_bytes(voc_xml("N0000001"))
    (tmp_path / "voc" / "N0000002.xml").write_bytes(b"<broken")
    told = take_detections(workspace, ExternalSettings(tmp_path / "voc", "other"))
    assert (told.flagged, told.skipped) == (0, 1)


def test_stop_ends_at_the_first_fault_and_leaves_nothing(workspace, tmp_path):
    settings = results(tmp_path, GOOD, {**GOOD, "score": 2})

    with pytest.raises(AnnotationError) as caught:
        take_detections(workspace, replace(settings, on_error="stop"))

    assert str(caught.value) == (
        "results.json: detection 2: score 2: expected a number from 0 to 1; "
        "mend it or pass --on-error skip"
    )
    assert not workspace.folder("mine", "other").exists()


def test_again_is_nothing_to_do_and_another_content_needs_another_name(workspace, tmp_path):
    take_detections(workspace, results(tmp_path, GOOD))
    folder = workspace.folder("mine", "other")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    again = take_detections(workspace, results(tmp_path, GOOD))

    assert (again.fresh, again.candidates) == (False, 1)
    with pytest.raises(WorkspaceError) as caught:
        take_detections(workspace, results(tmp_path))
    assert str(caught.value) == (
        f"{folder}: holds another mining ({tmp_path / 'results.json'} is another); pass --force to "
        "replace it, or take another --name"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_is_to_be_taken_over_anew_is_by_what_next_says(workspace, tmp_path):
    settings = results(tmp_path, GOOD)
    words = ["--name", "other", "--detections", settings.detections]
    words = [*map(str, words), "--coco-images", str(settings.coco_images)]
    typed = Workspace(workspace.root, lambda: shlex.join(["sixrayd", "mine", *words]))
    take_detections(typed, settings)
    results(tmp_path, GOOD, GOOD)
    line = Judgement(typed).step.command
    assert line.endswith(f" --force -w {workspace.root}")
    done = CliRunner().invoke(mine, [*shlex.split(line)[2:], "--json"])
    assert (done.exit_code, json.loads(done.stdout)["candidates"]) == (0, 2)


def test_no_detection_at_all_is_a_mining_without_candidates(workspace, tmp_path):
    assert take_detections(workspace, results(tmp_path)).candidates == 0
    assert candidates(workspace) == []


def test_a_dataset_of_images_alone_taken_for_detections_is_told(workspace, tmp_path, runner):
    settings = results(tmp_path)
    named = tmp_path / "named.json"
    named.write_text(json.dumps(json.loads(settings.coco_images.read_text()) | {"annotations": []}))
    words = ["mine", "-w", str(workspace.root), "--name", "other", "--detections", str(named)]

    answer = runner.invoke(cli, words)

    caution = f"caution: {named} holds no detection; the dataset that names images goes to "
    assert answer.stdout.splitlines()[1] == f"{caution}--coco-images"


def test_a_review_is_made_of_them_like_of_our_own(workspace, tmp_path):
    take_detections(workspace, results(tmp_path, GOOD))

    build_review(workspace, "other", ["N0000001"], [[Says("N0000001", "nothing there")]])

    assert mining_of(workspace, "other") == "other"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON (Expecting property name enclosed in double quotes: line 1 column 2"),
        ("[" * 100_000, "not JSON (nested too deeply"),
        ("3", "has no list 'annotations'; expected a COCO dataset"),
        ('{"images": 3}', "has no list 'annotations'; expected a COCO dataset"),
    ],
)
def test_what_is_not_coco_is_refused(workspace, tmp_path, content, message):
    settings = results(tmp_path)
    settings.detections.write_text(content)

    with pytest.raises(AnnotationError) as caught:
        take_detections(workspace, settings)

    assert str(caught.value).startswith(f"{settings.detections}: {message}")


@pytest.mark.parametrize(
    "images",
    [[3], [{"id": 1}], [{"id": None, "file_name": "a"}], [{"id": [], "file_name": "a"}]],
)
def test_images_without_id_or_name_are_refused(workspace, tmp_path, images):
    with pytest.raises(AnnotationError, match=r"images 1: .*; expected an id of its own and a nam"):
        take_detections(workspace, results(tmp_path, images=images))


def test_two_images_with_one_id_are_refused(workspace, tmp_path):
    settings = results(tmp_path, images=[IMAGES[0], {**IMAGES[1], "id": 1}])

    with pytest.raises(AnnotationError) as caught:
        take_detections(workspace, settings)

    assert str(caught.value) == (
        f"{settings.coco_images}: images 2: id 1, file_name 'train\\\\N0000002.JPG'; "
        "expected an id of its own and a name"
    )


def test_a_file_beyond_the_limit_is_not_read(workspace, tmp_path, monkeypatch):
    settings = results(tmp_path, GOOD)
    monkeypatch.setattr(coco_results, "MAX_BYTES", 10)

    with pytest.raises(AnnotationError, match=r"bytes, expected at most 10; split it"):
        take_detections(workspace, settings)


def test_a_file_of_nothing_but_faults_is_not_listed_without_end(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(external, "_MOST_FAULTS", 2)
    settings = results(tmp_path, [], [], [])
    with pytest.raises(AnnotationError) as caught:
        take_detections(workspace, settings)
    assert str(caught.value) == (
        f"{settings.detections}: more than 2 detections cannot be used, the last at results.json: "
        "detection 3: is [], expected an object with image_id; leave out what is not of this "
        "release"
    )
    assert not (workspace.root / "mine").exists()


def test_a_list_of_results_needs_its_images(workspace, tmp_path):
    settings = replace(results(tmp_path, GOOD), coco_images=None)

    with pytest.raises(SettingsError) as caught:
        take_detections(workspace, settings)

    assert str(caught.value) == (
        f"{settings.detections}: a list of results does not name its images; "
        "add --coco-images DATASET"
    )


def voc_xml(stem, *objects):
    """VOC XML; objects are (label, xyxy, score), a score of None leaves the provenance out."""
    items = tuple(
        VocObject(Box(label, *xyxy), provenance=None if s is None else Provenance("", score=s))
        for label, xyxy, s in objects
    )
    return write_voc(VocAnnotation(stem, *SIZE_WH, items))


GUN = ("Gun", (10.0, 20.0, 40.0, 50.0), 0.5)
VOC = {
    "a/N0000001.xml": voc_xml("N0000001", GUN, ("Knife", (0.0, 0.0, 96.0, 64.0), None)),
    "a/P00001.xml": b"not looked at",
    "b/N0000001.xml": voc_xml("N0000001", GUN),
    "b/N0000002.xml": voc_xml("N0000002", ("Knife", (1.0, 1.0, 9.0, 9.0), 7.5)),
    "b/N0000003.xml": voc_xml("N0000003", GUN).replace(b">Gun<", b">Banana<"),
    "b/N0000004.xml": b"<annotation>",
    "b/N0000005.xml": voc_xml("N0000005"),
    "b/N0000006.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
    "b/N0000007.xml": b" " * (4 << 20) + b"<annotation/>",
    "b/N0099999.xml": voc_xml("N0099999", GUN),
    "readme.txt": b"hello",
}


def pack(path, how):
    """The VOC files as a folder or a zip."""
    if how == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in VOC.items():
                archive.writestr(name, data)
        return
    for name, data in VOC.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


@pytest.mark.parametrize("how", ["folder", "zip"])
def test_voc_is_taken_with_its_scores(workspace, tmp_path, how):
    pack(tmp_path / "voc", how)

    result = take_detections(workspace, ExternalSettings(tmp_path / "voc", "other"))

    keys = ("image_id", "label", "x1", "y1", "x2", "y2", "score", "rank")
    assert [tuple(row[key] for key in keys) for row in candidates(workspace)] == [
        ("N0000001", "Knife", 0.0, 0.0, 96.0, 64.0, 1.0, 1),
        ("N0000001", "Gun", 10.0, 20.0, 40.0, 50.0, 0.5, 1),
    ]
    found = faults(workspace)
    # Of a member of a zip the size is known, of a file no more is read than may be.
    told = [
        (where, re.sub(r"^\d+ bytes", "too much", error.partition(" (")[0]))
        for where, error in found
    ]
    assert told == [
        ("b/N0000001.xml", "a second file for N0000001; the first is taken"),
        ("b/N0000002.xml: object 1", "score 7.5: expected a number from 0 to 1"),
        (
            "b/N0000003.xml",
            "object 1: class 'Banana' is none of Gun, Knife, Wrench, Pliers, Scissors; name the "
            "release's classes with `sixrayd download --classes`; left out",
        ),
        ("b/N0000004.xml", "not XML"),
        ("b/N0000006.xml", "has a DTD, which no annotation needs; refused"),
        ("b/N0000007.xml", f"too much, expected at most {4 << 20}"),
        ("b/N0099999.xml", "image 'N0099999': is not in the release"),
    ]
    assert (result.not_negatives, result.skipped) == (1, 7)


def test_a_broken_member_is_skipped_and_a_broken_zip_refused(workspace, tmp_path):
    path = tmp_path / "voc.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for stem in ("N0000001", "N0000002"):
            archive.writestr(f"{stem}.xml", voc_xml(stem, GUN))
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b">Gun<", b">Gum<", 1))

    result = take_detections(workspace, ExternalSettings(path, "other"))

    assert (result.candidates, result.skipped) == (1, 1)
    assert faults(workspace) == [("N0000001.xml", "Bad CRC-32 for file 'N0000001.xml'")]
    path.write_bytes(sound.replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(AnnotationError, match=r"voc.zip: not a readable zip \("):
        take_detections(workspace, ExternalSettings(path, "another"))


def test_a_broken_member_packed_by_lzma_is_skipped(workspace, tmp_path):
    path = tmp_path / "voc.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("N0000001.xml", voc_xml("N0000001", GUN))
        archive.writestr("N0000002.xml", voc_xml("N0000002", GUN))
    data = bytearray(path.read_bytes())
    data[30 + len("N0000001.xml") + 4] = 0xFF  # what LZMA is told of its data
    path.write_bytes(data)

    assert take_detections(workspace, ExternalSettings(path, "other")).skipped == 1
    assert faults(workspace) == [("N0000001.xml", "Invalid or unsupported options")]


def test_voc_that_stops_names_file_and_object(workspace, tmp_path):
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "N0000001.xml").write_bytes(VOC["b/N0000003.xml"])

    with pytest.raises(AnnotationError, match=r"^N0000001.xml: object 1: class 'Banana' is none"):
        take_detections(workspace, ExternalSettings(tmp_path / "voc", "other", on_error="stop"))


def test_a_folder_without_xml_is_refused(workspace, tmp_path):
    (tmp_path / "voc").mkdir()

    with pytest.raises(AnnotationError) as caught:
        take_detections(workspace, ExternalSettings(tmp_path / "voc", "other"))

    assert str(caught.value) == (
        f"{tmp_path / 'voc'}: holds no .xml; expected a folder of VOC annotations"
    )


def test_a_file_whose_name_is_no_text_is_refused(workspace, tmp_path):
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / os.fsdecode(b"\xff.xml")).write_bytes(b"<annotation/>")

    with pytest.raises(AnnotationError, match=r"\\udcff.xml': its name is not UTF-8; rename it"):
        take_detections(workspace, ExternalSettings(tmp_path / "voc", "other"))


def test_settings_that_make_no_sense_are_refused(workspace, tmp_path):
    pack(tmp_path / "voc", "zip")
    named = results(tmp_path).coco_images
    cases = [
        (lambda: ExternalSettings(named, ""), "--detections: needs --name for the result"),
        (
            lambda: ExternalSettings(named, "a", threshold=2),
            "threshold 2: needs to lie between 0 and 1",
        ),
        (
            lambda: take_detections(workspace, ExternalSettings(tmp_path / "none", "a")),
            f"{tmp_path / 'none'}: no such file or folder",
        ),
        (
            lambda: take_detections(workspace, ExternalSettings(tmp_path / "voc", "a", named)),
            f"--coco-images: {tmp_path / 'voc'} is VOC, which names its own images",
        ),
    ]

    for call, message in cases:
        with pytest.raises(SettingsError) as caught:
            call()
        assert str(caught.value) == message


@pytest.mark.parametrize("flagged", [999, 1000])
def test_before_many_images_go_to_people_hours_are_planned(tmp_path, runner, flagged):
    workspace = Workspace(tmp_path / "workspace")
    names = [f"N{number:07d}" for number in range(flagged)]
    build_shards(workspace, [Picture(name) for name in names])
    images = [{"id": number, "file_name": f"{name}.jpg"} for number, name in enumerate(names)]
    settings = results(tmp_path, *(GOOD | {"image_id": i} for i in range(flagged)), images=images)
    command = ["mine", "--detections", settings.detections, "--coco-images", settings.coco_images]
    told = runner.invoke(cli, [*map(str, command), "--name", "m", "-w", str(workspace.root)])
    plan = f"`sixrayd plan --reviewers 3 --days 10 -w {workspace.root}` divides reviewers' hours"
    assert (plan in told.stdout) == (flagged == 1000), told.output


def test_the_command_takes_them_over_and_ends_in_3_where_it_skipped(workspace, tmp_path, runner):
    wrong = ({**GOOD, "image_id": 3}, {**GOOD, "score": 2}, {**GOOD, "score": -1})
    settings = results(tmp_path, GOOD, *wrong)
    command = ["mine", "-w", str(workspace.root), "--detections", str(settings.detections)]
    command += ["--coco-images", str(settings.coco_images), "--name", "other"]

    answer = runner.invoke(cli, command)
    document = json.loads(runner.invoke(cli, [*command, "--json"]).stdout)

    assert answer.exit_code == 3
    assert answer.stdout == (
        "taken over other: 1 candidate in 1 negative; passed over 0 below the threshold, "
        "0 on other images, 3 skipped\n"
        f"next: sixrayd review serve --background -w {workspace.root}\n"
    )
    listed = workspace.folder("mine", "other") / "skipped.jsonl"
    said = "2 × score that is none from 0 to 1, 1 × id that the dataset lacks"
    counted, skipped = answer.stderr.splitlines()
    assert counted.startswith("detections 4 of 4, ")
    assert skipped == f"skipped detections are listed in {listed}: {said}"
    assert document["reasons"] == {
        "score that is none from 0 to 1": 2,
        "id that the dataset lacks": 1,
    }
    assert (document["candidates"], document["fresh"]) == (1, False)
    refused = runner.invoke(cli, [*command, "--batch", "4"])
    assert str(refused.exception) == "--batch: says nothing of --detections; leave it out"
    alone = runner.invoke(cli, ["mine", "-w", str(workspace.root), "--model-name", "yolo"])
    assert str(alone.exception) == "--coco-images, --model-name: belong to --detections; add it"


def test_the_help_shows_an_example(runner):
    shown = runner.invoke(cli, ["mine", "--help"]).stdout

    assert "sixrayd mine --detections results.json --coco-images images.json --name other" in shown


def test_a_zip_gives_no_more_than_its_size_accounts_for(workspace, tmp_path):
    path = tmp_path / "voc.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("N0000001.xml", bytes(1 << 20))
    with pytest.raises(AnnotationError, match="packed by bzip2; pack it by deflate, or unpack it"):
        take_detections(workspace, ExternalSettings(path, "other", on_error="stop"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("N0000001.xml", bytes(5 << 20))
    with pytest.raises(AnnotationError, match="5242880 bytes, expected at most 4194304"):
        take_detections(workspace, ExternalSettings(path, "other", on_error="stop"))


def test_ids_beyond_64_bits_are_none(workspace, tmp_path):
    images = [{"id": 1 << 63, "file_name": "N0000001.jpg"}]
    with pytest.raises(AnnotationError, match="expected an id of its own and a name"):
        take_detections(workspace, results(tmp_path, images=images))


def test_a_pipe_is_refused_whichever_it_is_given_for(workspace, tmp_path):
    good = results(tmp_path, GOOD)
    os.mkfifo(pipe := tmp_path / "pipe")
    for changed in ({"detections": pipe}, {"coco_images": pipe}):
        with pytest.raises(WorkspaceError) as caught:
            take_detections(workspace, replace(good, **changed))
        assert str(caught.value) == f"{pipe}: a pipe, expected a plain file"


def test_a_zip_that_lists_files_without_end_is_not_listed(workspace, tmp_path, monkeypatch):
    """Each that it lists takes half a kilobyte of memory, read or not."""
    monkeypatch.setattr(packing, "_MOST_LISTED", 100)
    with zipfile.ZipFile(path := tmp_path / "a.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.xml", "")
    with pytest.raises(AnnotationError) as caught:
        take_detections(workspace, ExternalSettings(path, "other"))
    assert str(caught.value) == (
        f"{path}: not a readable zip (a list of files of 153 bytes, at most 100; split it)"
    )


def test_detections_wait_in_columns(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(table_builder, "_WAITING", 500)
    document = {"annotations": [GOOD] * 4_000, "images": IMAGES, "categories": CATEGORIES}
    (tmp_path / "results.json").write_text(json.dumps(document))
    settings = ExternalSettings(tmp_path / "results.json", "yolo")
    taking = external._Taking(workspace, settings)
    tracemalloc.start()
    for score in range(4_000):
        taking._keep("N0000001", "Gun", (1.0, 1.0, 9.0, 9.0), score / 4_000, SIZE_WH)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # a dictionary for each takes more
    result = take_detections(workspace, settings)
    assert (result.flagged, result.candidates) == (1, 4_000)
    ids = [row["box_id"] for row in candidates(workspace, "yolo")]
    assert ids == [f"N0000001/yolo/{n}" for n in range(4_000)]


def test_what_a_workspace_says_at_length_is_not_said_of_each_detection(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    classes = [f"class {number} {'y' * 400}" for number in range(100)]
    broken = Picture("N0000002", error="x" * 100_000)
    pictures = [Picture("P00001"), Picture("N0000001"), broken]
    build_shards(workspace, pictures, classes=classes)
    rows = [*[GOOD, GOOD | {"image_id": 2}] * 3, GOOD | {"image_id": "p"}]

    assert take_detections(workspace, results(tmp_path, *rows)).skipped == 6
    lines = (workspace.folder("mine", "other") / "skipped.jsonl").read_text().splitlines()
    assert max(map(len, lines)) < 500


def test_folders_without_end_are_one_line(workspace, tmp_path):
    """Each was a call within another, till Python's end."""
    deep = tmp_path.joinpath("voc", *["a"] * 101)
    deep.mkdir(parents=True)
    (deep / "N0000001.xml").write_text("<annotation/>")
    with pytest.raises(AnnotationError, match=r"/a: folders 100 deep in others; flatten them$"):
        take_detections(workspace, ExternalSettings(tmp_path / "voc", "other"))


def test_what_no_run_json_can_name_is_refused_before_it_is_read(workspace, tmp_path, monkeypatch):
    """It was written, and never read again."""
    monkeypatch.setattr(runs, "_MOST_TEXT", 2000)
    pack(tmp_path / "voc", "folder")
    for number in range(20):
        (tmp_path / f"voc/N{number + 100}.xml").write_text("<annotation/>")
    with pytest.raises(WorkspaceError, match="at most 2000 are read; put many files into one zip"):
        take_detections(workspace, ExternalSettings(tmp_path / "voc", "other"))
    assert not (workspace.folder("mine", "other")).exists()
