"""The files of a review: broken, of earlier versions, half written, and found again."""

import json
import string
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.boxes import Box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.records import (
    ADJUDICATION,
    CANDIDATE_SCHEMA,
    DECISION_SCHEMA,
    SAMPLE_SCHEMA,
    TASK_SCHEMA,
)
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.review.cursor import Cursor, Known, Outcome
from sixrayd.review.folder import (
    RULED,
    SECOND,
    Book,
    Project,
    ReviewFolder,
    decided_elsewhere,
    newest_review,
    pushed_project,
    reviews_of,
)
from sixrayd.review.planting.planted import PLANTED_SCHEMA
from tests.workspaces import MISSED, NOTHING, UNSURE, Says, build_mine, build_review

KEY = "0123456789abcdef"
PROJECT = Project(
    KEY,
    "local",
    (Book("1", 0, 5), Book("1", 1, 6), Book("2", 0, 7), Book(ADJUDICATION, 0, 0)),
    {"limit": 5},
    {"shards/run.json": "0" * 64},
)
IMAGES = ["N0000001", "N0000002", "N0000003"]


def folder(root, name="first"):
    return ReviewFolder(Workspace(root), name)


def reviewed(root, *rounds, name="first"):
    """A finished review of three images, and what was said in each pull."""
    workspace = Workspace(root)
    build_mine(workspace, name, IMAGES)
    build_review(workspace, name, IMAGES, rounds)
    return ReviewFolder(workspace, name)


def candidate(image_id, number=0, model="rfb", label="Knife", x1=10.0):
    return {
        "box_id": f"{image_id}/{model}/{number}",
        "image_id": image_id,
        "label": label,
        "x1": x1,
        "y1": 20.0,
        "x2": 40.0,
        "y2": 50.0,
        "score": 0.5,
        "model": model,
        "image_score": 0.5,
        "rank": 1,
    }


def test_a_project_is_read_as_it_was_kept(tmp_path):
    first = folder(tmp_path)
    assert first.project() is None
    assert first.keep(PROJECT) is PROJECT
    assert first.project() == PROJECT


def test_a_new_project_is_on_disk_with_a_key_of_its_own(tmp_path):
    one, two = folder(tmp_path, "one").new_project("local"), folder(tmp_path, "two").new_project("")
    assert folder(tmp_path, "one").project() == one == Project(one.key, "local")
    assert len({one.key, two.key, KEY}) == 3
    assert {len(one.key), len(two.key)} == {32} and set(one.key) <= set(string.hexdigits)


def test_a_project_of_the_first_version_had_one_book(tmp_path):
    first = folder(tmp_path)
    first.path.mkdir(parents=True)
    old = {"key": KEY, "server": "https://labels.example.org", "project": 12}
    (first.path / "project.json").write_text(json.dumps(old))
    expected = Project(KEY, "https://labels.example.org", (Book("1", 0, 12),))
    assert first.project() == expected
    first.keep(expected)
    assert first.project() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"key": "k", "server": "local"',
        "null",
        "[]",
        "5",
        '"project"',
        "{}",
        '{"key": "k"}',
        '{"key": "k", "server": "local", "colour": "red"}',
        '{"key": "k", "server": "local", "books": 5}',
        '{"key": "k", "server": "local", "books": [5]}',
        '{"key": "k", "server": "local", "books": [{"lane": "1"}]}',
        '{"key": "k", "server": "local", "books": [{"lane": "1", "part": 0, "number": 5, "x": 1}]}',
        '{"key": "k", "server": "local", "books": [{"lane": 1, "part": 0, "number": 5}]}',
        '{"key": "k", "server": 3}',
        '{"key": "k", "server": "local", "inputs": []}',
        b"\xff\xfe{}",
    ],
)
def test_a_broken_project_is_named_and_left_alone(tmp_path, text):
    first = folder(tmp_path)
    first.path.mkdir(parents=True)
    path = first.path / "project.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WorkspaceError) as caught:
        first.project()
    assert str(caught.value) == (
        f"{path}: broken; put it back from a backup, the reviewers' tasks hang on it"
    )
    assert path.read_bytes() == (text if isinstance(text, bytes) else text.encode())


ids = st.text(min_size=1, max_size=20)
lanes = st.sampled_from(["1", "2", "9", ADJUDICATION])


@given(ids, lanes)
def test_a_tasks_key_leads_back_to_its_image_and_lane(image_id, lane):
    key = PROJECT.task_key(image_id, lane)
    assert PROJECT.task_of(key) == (PROJECT.alias(image_id), lane)
    other = replace(PROJECT, key="fedcba9876543210")
    assert other.task_of(key) == ("", "")
    assert other.alias(image_id) != PROJECT.alias(image_id)


@given(ids, ids)
def test_nothing_that_the_server_learns_tells_an_images_id(one, two):
    aliases = {PROJECT.alias(one), PROJECT.alias(two)}
    assert len(aliases) == len({one, two})
    assert all(len(a) == 20 and set(a) <= set("0123456789abcdef") for a in aliases)


@given(st.text(max_size=40) | st.sampled_from([KEY, f"{KEY}/", f"{KEY}.2", f"x{KEY}/a", f"/{KEY}"]))
def test_a_text_that_is_no_key_of_ours_is_no_task(text):
    if text.partition("/")[0].partition(".")[0] != KEY or not text.partition("/")[2]:
        assert PROJECT.task_of(text) == ("", "")
    else:
        assert PROJECT.task_of(text)[0] == text.partition("/")[2]


def test_each_book_is_found_by_a_key_of_its_own():
    keys = [PROJECT.book_key(book) for book in PROJECT.books]
    assert keys == [KEY, f"{KEY}+1", f"{KEY}.2", f"{KEY}.adjudication"]
    assert [PROJECT.task_of(key) for key in keys] == [("", "")] * 4


def test_numbers_are_of_books_that_have_been_made():
    assert PROJECT.numbers() == [5, 6, 7]
    assert (PROJECT.numbers("1"), PROJECT.numbers("2")) == ([5, 6], [7])
    assert (PROJECT.numbers(ADJUDICATION), PROJECT.numbers("3")) == ([], [])


def test_images_are_known_from_every_file_of_the_review(tmp_path):
    first = folder(tmp_path)
    assert first.images_by_alias(PROJECT) == {}
    task = {"image_id": "N1", "lane": "1", "kind": "candidate", "rank": 1, "image_score": 0.5}
    write_table(
        first.path / "tasks.parquet",
        [task | {"project": 1, "task": 1, "candidates": []}],
        TASK_SCHEMA,
    )
    first.write_candidates([candidate("N2")])
    first.show(RULED, {"N3": [candidate("N3", model="reviewers")]})
    planted = dict.fromkeys(("kind", "target", "item", "label", "size", "sha256"), "")
    planted |= dict.fromkeys(("x1", "y1", "x2", "y2", "scale"), 0.0)
    planted |= {"image_id": "N4", "with_proposals": False, "width": 1, "height": 1}
    write_table(first.path / "planted" / "planted.parquet", [planted], PLANTED_SCHEMA)
    drawn = {"image_id": "N5", "group": "N5", "stratum": "", "place": 1, "draw": 1}
    sample = first.workspace.folder("estimate", "first") / "sample.parquet"
    write_table(sample, [drawn], SAMPLE_SCHEMA)

    found = first.images_by_alias(PROJECT, ["N6"])

    expected = [f"N{n}" for n in range(1, 7)]
    assert {found[PROJECT.alias(image_id)] for image_id in expected} == set(expected)
    # Tasks of the first version carry the image's id.
    assert [found[image_id] for image_id in expected] == expected
    assert len(found) == 12


def test_boxes_are_those_that_were_drawn_in_the_lane(tmp_path):
    first = folder(tmp_path)
    first.write_candidates([candidate("N1"), candidate("N1", 1, x1=12.0), candidate("N2")])
    first.show(RULED, {"N1": [candidate("N1", model="reviewers", label="Gun")]})
    first.show(SECOND, {"N1": [candidate("N1", model="finder", label="Pliers")]})
    knife = Box("Knife", 10, 20, 40, 50)
    for lane in ("1", "2"):
        assert first.boxes_drawn(lane) == {
            "N1": {"N1/rfb/0": knife, "N1/rfb/1": Box("Knife", 12, 20, 40, 50)},
            "N2": {"N2/rfb/0": knife},
        }
    assert first.boxes_drawn(ADJUDICATION) == {"N1": {"N1/reviewers/0": Box("Gun", 10, 20, 40, 50)}}
    again = first.boxes_drawn("second-look-0a1b2c3d")
    assert again == {"N1": {"N1/finder/0": Box("Pliers", 10, 20, 40, 50)}}


def test_before_the_first_push_there_is_nothing(tmp_path):
    first = folder(tmp_path)
    assert (first.tasks(), first.candidates(), first.shown(RULED)) == ([], [], [])
    assert (first.decisions(), first.decisions(planted=True)) == ([], [])
    assert (first.boxes_drawn("1"), first.cursors()) == ({}, {})
    assert not first.path.exists()


def test_tasks_of_the_first_version_are_candidates_of_one_lane(tmp_path):
    first = reviewed(tmp_path)
    rows, path = first.tasks(), first.path / "tasks.parquet"
    old = [name for name in TASK_SCHEMA.names if name not in ("lane", "kind")]
    pq.write_table(pq.read_table(path).select(old), path)
    assert first.tasks() == rows
    assert [(row["lane"], row["kind"]) for row in rows] == [("1", "candidate")] * 3


def test_a_table_of_something_else_is_named(tmp_path):
    first = reviewed(tmp_path)
    path = first.path / "tasks.parquet"
    write_table(path, [candidate("N1")], CANDIDATE_SCHEMA)
    with pytest.raises(WorkspaceError) as caught:
        first.tasks()
    assert str(caught.value) == (
        f"{path}: columns {[*CANDIDATE_SCHEMA.names, 'lane', 'kind']}, expected "
        f"{TASK_SCHEMA.names}; it was written by another version: run the stage again"
    )


def test_decisions_are_numbered_on_from_the_last_even_where_one_is_lost(tmp_path):
    first = reviewed(tmp_path, [Says("N0000001", UNSURE)], [Says("N0000002", UNSURE)])
    rows = first.decisions()
    (first.path / "decisions" / "00001.parquet").unlink()
    path = first.append_decisions(rows[:1])
    assert path == first.path / "decisions" / "00003.parquet"
    assert [row["image_id"] for row in first.decisions()] == ["N0000002", "N0000001"]


def test_no_hash_of_decisions_tells_who_guesses_names_that_he_is_right(tmp_path):
    reviews = [reviewed(tmp_path / name, [Says("N0000001", UNSURE)]) for name in "ab"]
    said = [{**reviews[0].decisions()[0], "reviewer": "ann@example.org"}]
    hashes = set()
    for review in reviews:  # which only differ in their keys
        review.new_project("local")
        path = review.append_decisions(said)
        hashes.add(digest := sha256_file(path))
        path.unlink()
        assert sha256_file(review.append_decisions(said)) == digest  # after a kill
        assert review.decisions()[1:] == said
    guessed = tmp_path / "guessed.parquet"
    write_table(guessed, said, DECISION_SCHEMA)
    assert len(hashes | {sha256_file(guessed)}) == 3


def test_answers_about_planted_images_are_kept_apart(tmp_path):
    first = reviewed(tmp_path, [Says("N0000001", UNSURE)])
    rows = first.decisions()
    planted = [{**rows[0], "image_id": "N0000900"}]
    path = first.append_decisions(planted, planted=True)
    assert path == first.path / "planted" / "decisions" / "00001.parquet"
    assert (first.decisions(), first.decisions(planted=True)) == (rows, planted)


@settings(max_examples=10)
@given(st.lists(st.lists(st.sampled_from(IMAGES), max_size=3), max_size=5), st.booleans())
def test_what_was_appended_never_changes(batches, planted):
    with TemporaryDirectory() as root:
        first = reviewed(Path(root), [Says("N0000001", NOTHING)])
        (template,) = first.decisions()
        appended, before = [], {}
        for number, batch in enumerate(batches):
            rows = [{**template, "image_id": i, "annotation": number} for i in batch]
            path = first.append_decisions(rows, planted=planted)
            assert path not in before
            assert {p: p.read_bytes() for p in before} == before
            before[path] = path.read_bytes()
            appended += rows
        known = [] if planted else [template]
        assert first.decisions(planted=planted) == known + appended
        assert first.decisions(planted=not planted) == ([template] if planted else [])


CURSORS = {
    5: Cursor(5, 3, "2026-01-02T10:00:00+00:00", 1, 0, (Known(7, 1, Outcome.DECISION),)),
    6: Cursor(6, 0),
}


def test_what_a_pull_knew_is_there_for_the_next(tmp_path):
    first = reviewed(tmp_path, [Says("N0000001", UNSURE)])
    assert first.cursors() == {}
    first.write_cursors(CURSORS)
    assert first.cursors() == CURSORS


@pytest.mark.parametrize("planted", [False, True])
def test_it_is_forgotten_where_decisions_have_come_or_gone_since(tmp_path, planted):
    first = reviewed(tmp_path, [Says("N0000001", UNSURE)])
    first.append_decisions(first.decisions(), planted=True)
    first.write_cursors(CURSORS)
    more = first.append_decisions(first.decisions(), planted=planted)
    assert first.cursors() == {}
    more.unlink()
    assert first.cursors() == CURSORS
    (more.parent / "00001.parquet").unlink()
    assert first.cursors() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("files"),
        lambda d: d.pop("books"),
        lambda d: d.update(books=None),
        lambda d: d.update(books=["5"]),
        lambda d: d["books"][0].pop("project"),
        lambda d: d["books"][0].update(colour="red"),
        lambda d: d["books"][0]["annotations"][0].update(outcome="lost"),
        lambda d: d["books"][0]["annotations"][0].update(annotation=None),
    ],
)
def test_a_spoilt_note_of_the_last_pull_is_no_note(tmp_path, change):
    first = reviewed(tmp_path, [Says("N0000001", UNSURE)])
    first.write_cursors(CURSORS)
    path = first.path / "pulled.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    assert first.cursors() == {}


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"[]", b"5", b"\xff"])
def test_a_note_of_the_last_pull_that_is_no_json_is_no_note(tmp_path, text):
    first = reviewed(tmp_path)
    first.write_cursors(CURSORS)
    (first.path / "pulled.json").write_bytes(text)
    assert first.cursors() == {}


def test_finishing_names_every_table_by_its_hash(tmp_path):
    first = reviewed(tmp_path, [Says("N0000001", MISSED)])
    first.show(RULED, {"N0000001": [candidate("N0000001", model="reviewers")]})
    first.append_decisions(first.decisions(), planted=True)
    first.keep(PROJECT)
    first.reopen()
    assert first.workspace.names("review") == []
    first.reopen()  # which it is already

    progress = first.finish(PROJECT)

    run = first.workspace.run("review", "first")
    tables = ["tasks", "candidates", "adjudication", "decisions/00001", "planted/decisions/00001"]
    assert run.outputs == {
        f"{table}.parquet": sha256_file(first.path / f"{table}.parquet") for table in tables
    }
    assert (run.settings, run.inputs) == (PROJECT.settings, PROJECT.inputs)
    assert run.summary["tasks"] == progress.tasks == 3
    assert progress == first.progress()


def test_of_several_reviews_the_newest_is_the_one_last_pushed_to_or_pulled_from(tmp_path):
    for name in ("first", "second"):
        reviewed(tmp_path, name=name).keep(PROJECT)
    first, second = folder(tmp_path), folder(tmp_path, "second")

    assert newest_review(Workspace(tmp_path)) == "second"
    first.finish(PROJECT)  # pulled
    assert newest_review(Workspace(tmp_path)) == "first"
    second.keep(PROJECT)
    second.reopen()  # pushed to, and killed
    assert newest_review(Workspace(tmp_path)) == "second"


def test_a_review_that_was_never_pushed_here_is_found_by_its_run(tmp_path):
    reviewed(tmp_path)
    assert newest_review(Workspace(tmp_path)) == "first"
    with pytest.raises(WorkspaceError) as caught:
        newest_review(Workspace(tmp_path / "empty"))
    assert str(caught.value) == (
        f"{tmp_path / 'empty' / 'review'}: nothing yet; "
        f"run `sixrayd review push -w {tmp_path / 'empty'}` first"
    )


def test_a_push_that_did_not_end_is_no_review_yet(tmp_path):
    first = reviewed(tmp_path)
    where = f"-w {first.workspace.root}`"
    told = f"{first.path}: nothing was pushed, or not to the end; run `sixrayd review push "
    with pytest.raises(WorkspaceError) as caught:
        pushed_project(first)
    assert str(caught.value) == told + where
    first.keep(PROJECT)
    assert pushed_project(first) == PROJECT
    (first.path / "tasks.parquet").unlink()
    with pytest.raises(WorkspaceError) as caught:
        pushed_project(first)
    assert str(caught.value) == f"{told}--limit 5 {where}"


def test_images_decided_elsewhere_are_those_that_stand_in_another_review(tmp_path):
    reviewed(
        tmp_path,
        [Says("N0000001", NOTHING), Says("N0000002", NOTHING, annotation=7)],
        [Says("N0000002", NOTHING, version=2, annotation=7, withdrawn=True)],
    )
    reviewed(tmp_path, [Says("N0000003", UNSURE)], name="second")
    workspace = Workspace(tmp_path)
    assert [review.name for review in reviews_of(workspace)] == ["first", "second"]
    assert decided_elsewhere(workspace, "second") == {"N0000001"}
    assert decided_elsewhere(workspace, "first") == {"N0000003"}
    assert decided_elsewhere(workspace, "third") == {"N0000001", "N0000003"}


@pytest.mark.parametrize("name", ["a/b", "../first", ".hidden", "..", "/first"])
def test_names_that_are_no_plain_folders_are_refused(tmp_path, name):
    with pytest.raises(WorkspaceError) as caught:
        folder(tmp_path, name)
    assert str(caught.value) == f"name {name!r}: needs to be a plain folder name"


def test_the_servers_own_folder_is_no_review(tmp_path):
    with pytest.raises(WorkspaceError) as caught:
        folder(tmp_path, "server")
    assert str(caught.value) == "name 'server': kept for Label Studio's own data; mine as another"
