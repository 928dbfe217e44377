"""`sixrayd export` as it is typed: what it prints, writes and refuses."""

import json
import shutil

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.workspace import Workspace
from tests.workspaces import NOTHING, Says, Small, build_mine, build_review


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return Small().build(tmp_path_factory.mktemp("untouched") / "ws")


@pytest.fixture
def workspace(untouched, tmp_path):
    shutil.copytree(untouched.root, tmp_path / "ws")
    return Workspace(tmp_path / "ws")


def invoke(runner, workspace, *words):
    given = ["export", "-w", str(workspace.root), *map(str, words)]
    return runner.invoke(cli, given, catch_exceptions=False)


def refusal(runner, workspace, *words):
    return runner.invoke(cli, ["export", "-w", str(workspace.root), *map(str, words)]).exception


LINES = [
    "          3  source positive",
    "          3  found positive",
    "          1  confusing negative",
    "          1  audited empty",
    "          3  undecided",
    "          1  flagged but unreviewed",
    "          2  unflagged",
    "          2  unreadable",
    "VOC tree: 3 train, 2 test images, 7 boxes",
]
NOTES = [
    "note: 1 flagged images are not reviewed and in none of the lists",
    "note: 1 positive without a box: positives_without_boxes.txt",
]


def test_text_and_notes(runner, workspace):
    done = invoke(runner, workspace)
    again = invoke(runner, workspace)

    tree = workspace.folder("export", "first")
    assert (done.exit_code, again.exit_code) == (0, 0)
    following = f"next: sixrayd estimate -w {workspace.root}"
    assert done.stdout.splitlines() == [f"wrote {tree}", *LINES, following]
    same = [f"nothing to do, the same was written before: {tree}"]
    same += [f"`sixrayd validate {tree}` checks its files; --force mends it"]
    assert again.stdout.splitlines() == [*same, *LINES, following]
    assert [line for line in done.stderr.splitlines() if line.startswith("note")] == NOTES
    assert again.stderr.splitlines() == NOTES


def test_json_is_one_document_with_the_same_counts(runner, workspace, tmp_path):
    done = invoke(runner, workspace, "--json", "--out", tmp_path / "Ausgabe für Ann")

    document = json.loads(done.stdout)
    none = dict.fromkeys(("train_images", "train_boxes", "test_images", "test_boxes"), 0)
    assert document == {
        "name": "first",
        "tree": str(tmp_path / "Ausgabe für Ann"),
        "written": True,
        "states": {line[11:].strip(): int(line[:11]) for line in LINES[:-1]},
        "images": {"train": 3, "test": 2},
        "boxes": {
            "Gun": {"train_images": 2, "train_boxes": 2, "test_images": 1, "test_boxes": 1},
            "Knife": {"train_images": 1, "train_boxes": 1, "test_images": 1, "test_boxes": 1},
            "Wrench": none,
            "Pliers": none | {"train_images": 1, "train_boxes": 1},
            "Scissors": none | {"test_images": 1, "test_boxes": 1},
        },
        "origins": {"confirmed": 1, "drawn": 2, "relabelled": 1, "source": 3},
        "notes": [note.removeprefix("note: ") for note in NOTES],
        "sets": {},
        "forms": ["voc"],
    }
    run = json.loads((tmp_path / "Ausgabe für Ann/run.json").read_text("utf-8"))
    summary = {
        key: document[key] for key in ("states", "images", "boxes", "origins", "notes", "sets")
    }
    sizes = run["summary"].pop("sizes")
    assert sizes["Gun"] == {"small": 1, "medium": 0, "large": 2}
    assert run["summary"] == summary


def test_reviews_may_be_named_and_a_wrong_name_is_told(runner, workspace):
    build_mine(workspace, "second", ["N0000006"])
    build_review(workspace, "second", ["N0000006"], [[Says("N0000006", NOTHING)]])

    both = json.loads(invoke(runner, workspace, "--json").stdout)
    words = ("--review", "first", "--review", "first")
    one = json.loads(invoke(runner, workspace, "--json", *words).stdout)
    wrong = refusal(runner, workspace, "--review", "first", "--review", "erste")

    assert (both["name"], both["states"]["confusing negative"]) == ("second", 2)
    assert (one["name"], one["states"]["confusing negative"]) == ("first", 1)
    assert type(wrong) is WorkspaceError
    assert str(wrong) == "no review 'erste'; there is first, second"


def test_settings_come_from_the_workspace_file_and_a_flag_beats_them(runner, workspace, tmp_path):
    (workspace.root / "sixrayd.toml").write_text(
        '[export]\nwith-negatives = true\nconsensus = "strictest"\nreview = ["first"]\n'
    )
    invoke(runner, workspace, "--out", tmp_path / "file")
    words = ("--without-negatives", "--consensus", "majority", "--out", tmp_path / "flag")
    invoke(runner, workspace, *words)

    kept = [
        json.loads((tmp_path / name / "run.json").read_text())["settings"]
        for name in ("file", "flag")
    ]
    assert [(k["with_negatives"], k["consensus"], k["review"]) for k in kept] == [
        (True, "strictest", ["first"]),
        (False, "majority", ["first"]),
    ]


def test_a_setting_that_is_none_is_named(runner, workspace):
    path = workspace.root / "sixrayd.toml"
    path.write_text("[export]\nnegatives = true\n")

    found = refusal(runner, workspace)

    assert type(found) is SettingsError
    assert (
        str(found)
        == f"{path}: 'negatives' is no setting of `cli export`; did you mean `with_negatives`?"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--consensus", "loudest"], "'loudest' is not one of 'adjudicator', 'majority', "),
        (["--kitti"], "No such option"),
        (["--images", "moved"], "'moved' is not one of 'copy', 'hardlink', 'symlink', 'refl"),
        (["--out", __file__], "is a file"),
        (["first"], "Got unexpected extra argument (first)"),
    ],
)
def test_usage(runner, untouched, words, message):
    said = runner.invoke(cli, ["export", "-w", str(untouched.root), *words])

    assert (said.exit_code, said.stdout) == (2, "")
    assert message in said.stderr
    assert not (untouched.root / "export").exists()


def test_several_forms_and_sets_are_typed_and_told(runner, workspace, tmp_path):
    words = ("--coco", "--yolo", "--with", "confusing, audited_empty", "--images", "hardlink")
    done = invoke(runner, workspace, *words, "--without-trainval", "--out", tmp_path / "D")

    lines = done.stdout.splitlines()
    assert lines[9:12] == [
        "coco, yolo: 3 train, 2 test images, 7 boxes",
        "confusing: 1 train, 0 test",
        "audited_empty: 1 train, 0 test",
    ]
    assert sorted(p.name for p in (tmp_path / "D").iterdir() if p.is_dir()) == [
        *("coco", "manifests", "yolo")
    ]
    said = json.loads((tmp_path / "D/run.json").read_text())["settings"]
    assert (said["forms"], said["sets"]) == (["coco", "yolo"], ["audited_empty", "confusing"])
    assert (said["images"], said["trainval"]) == ("hardlink", False)


def test_a_set_that_is_none_is_told(runner, workspace):
    said = refusal(runner, workspace, "--with", "confusing,empty")
    assert type(said) is SettingsError
    assert str(said) == "set 'empty': is none of confusing, audited_empty, negative"


def test_help_shows_forms_defaults_and_an_example(runner):
    text = " ".join(runner.invoke(cli, ["export", "--help"]).stdout.split())

    assert "--voc Write PASCAL VOC 2007. [default]" in text
    assert "[default: adjudicator]" in text
    assert "[default: export/NAME of the workspace]" in text
    assert "Example: sixrayd export --voc --out SIXray-D" in text
