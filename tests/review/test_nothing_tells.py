"""Nothing that the server knows tells what measures reviewers from the queue.

Boxes apart: a spot check has none, and a known item with boxes is no spot check. So those without
are compared with those without, and those with boxes with those with boxes.
"""

import json
import re
from datetime import datetime
from hashlib import sha256

import numpy as np
import pytest
from scipy.stats import rankdata

from sixrayd.core.files import write_bytes
from sixrayd.core.records import CANDIDATE_SCHEMA, SAMPLE_SCHEMA, Kind
from sixrayd.core.tables import write_table
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.review.label_studio.server import image_root
from sixrayd.review.planting.planted import PLANTED_SCHEMA, planted_folder
from sixrayd.review.push import push
from sixrayd.review.queue.bare import caution_of, hold_back
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.plan import interleave
from sixrayd.review.settings import PushSettings
from tests.review.adversary import auc, best_guess, chance
from tests.review.conftest import IMAGES
from tests.workspaces import SIZE_WH, build_mine, jpeg

QUEUE, CHECKS, KNOWN = 240, 20, 24
CLASSES = ("Gun", "Knife", "Wrench")


def detections(image_id, rng, rank=1):
    """One to three boxes, as a detector would give them."""
    found = []
    for number in range(rng.integers(1, 4)):
        x1, y1 = rng.uniform(0, 60), rng.uniform(0, 30)
        score = float(rng.uniform(0.2, 1))
        edges = (x1, y1, x1 + rng.uniform(8, 30), y1 + rng.uniform(8, 30))
        row = dict(zip(("x1", "y1", "x2", "y2"), edges, strict=True))
        row |= {"box_id": f"{image_id}/rfb/{number}", "image_id": image_id, "score": score}
        row |= {"label": str(rng.choice(CLASSES)), "model": "rfb", "rank": rank}
        found.append(row)
    best = max(row["score"] for row in found)
    return [row | {"image_score": best} for row in found]


def known(workspace, name, numbers, rng):
    """Known positives as `review plant --from positives` puts them there; every other is bare."""
    folder, rows, seen = planted_folder(workspace, name), [], []
    for n in numbers:
        image_id, data = f"N{9_000_000 + n}", jpeg(50_000 + n)
        write_bytes(folder / "images" / f"{image_id}.jpg", data)
        row = {"image_id": image_id, "kind": str(Kind.KNOWN), "target": f"P{n}", "item": f"P{n}/a0"}
        row |= {"label": "Gun", "x1": 1.0, "y1": 2.0, "x2": 30.0, "y2": 40.0, "size": "small"}
        row |= {"scale": 1.0, "with_proposals": n % 2 == 0, "sha256": sha256(data).hexdigest()}
        rows.append(row | dict(zip(("width", "height"), SIZE_WH, strict=True)))
        seen += detections(image_id, rng)
    write_table(folder / "planted.parquet", rows, PLANTED_SCHEMA)
    write_table(folder / "detections.parquet", seen, CANDIDATE_SCHEMA)


def pushed(site, name):
    """A push of queue, spot checks and known positives; its key and images are settled, the last
    of the workspace, which no other test comes to, and so is all else."""
    rng = np.random.default_rng(17)
    last = [f"N{n:07d}" for n in range(IMAGES - QUEUE - CHECKS + 1, IMAGES + 1)]
    queue, checks = last[:QUEUE], last[QUEUE:]
    build_mine(site.workspace, name, queue)
    rows = [row for n, i in enumerate(queue, 1) for row in detections(i, rng, n)]
    write_table(site.workspace.folder("mine", name) / "candidates.parquet", rows, CANDIDATE_SCHEMA)
    drawn = [
        {"image_id": i, "group": i, "stratum": "unflagged", "draw": 1, "place": n}
        for n, i in enumerate(checks, 1)
    ]
    write_table(site.workspace.folder("estimate", name) / "sample.parquet", drawn, SAMPLE_SCHEMA)
    known(site.workspace, name, range(KNOWN), rng)
    folder = ReviewFolder(site.workspace, name)
    folder.keep(Project("5ca1ab1e0ddba11" * 2, "local"))
    assert push(site.workspace, PushSettings(name)).cautions == ()
    return folder


def numbers_in(value, path=""):
    """Everything in a document as numbers, by where it stands; of a list, its length and sum."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_in(inner, f"{path}/{key}")
    elif isinstance(value, list):
        yield f"{path}#", float(len(value))
        for inner in value:
            yield from numbers_in(inner, f"{path}[]")
    elif isinstance(value, int | float):
        yield path, float(value)
    elif isinstance(value, str):
        try:
            yield path, datetime.fromisoformat(value).timestamp()
        except ValueError:
            yield f"{path}#", float(len(value))
            yield f"{path}$", float(int(sha256(value.encode()).hexdigest()[:6], 16))
            yield f"{path}:", float(int.from_bytes(value.encode()[-4:]))


def known_of_tasks(tasks, sizes):
    """(N, F) what the server knows of each task; of many numbers in one place their sum."""
    rows = []
    for place, (task, size) in enumerate(zip(tasks, sizes, strict=True)):
        row = {"place": float(place), "bytes": float(size)}
        for path, number in numbers_in(task):
            row[path] = row.get(path, 0.0) + number
        rows.append(row)
    return columns_of(rows)


def columns_of(rows):
    """(N, F) ranks: of moments, which differ from run to run, the order alone is settled."""
    names = sorted({name for row in rows for name in row})
    table = np.array([[row.get(name, -1.0) for name in names] for row in rows])
    return rankdata(table[:, table.std(axis=0) > 0], axis=0)


def is_chance(features, marks):
    """Whether no classifier does better than guessing; of nine such tests one in 1,000 errs."""
    areas = best_guess(features, marks)
    assert {name: area for name, area in areas.items() if abs(area - 0.5) > chance(marks)} == {}


def test_nothing_that_the_server_knows_tells_what_measures(site):
    name = "told-apart"
    folder = pushed(site, name)
    project, files = folder.project(), image_root(site.workspace) / name
    images = folder.images_by_alias(project)
    with site.client() as server:
        (number,) = project.numbers("1")
        exports = server.calls.sdk.projects.exports
        found = exports.download_sync(number, export_type="JSON", download_all_tasks=True)
        tasks = sorted(_parsed(found), key=lambda task: task["id"])
    kinds = {row["image_id"]: row["kind"] for row in folder.tasks()}
    ids = [images[project.task_of(task["data"]["sixrayd"])[0]] for task in tasks]
    measures = np.array([kinds[i] != Kind.CANDIDATE for i in ids])
    bare = np.array([not task["predictions"] for task in tasks])
    names = [task["data"]["image"].rpartition("/")[2] for task in tasks]
    features = known_of_tasks(tasks, [(files / each).stat().st_size for each in names])
    assert (len(tasks), measures.sum()) == (QUEUE + CHECKS + KNOWN, CHECKS + KNOWN)

    assert (bare & ~measures).sum() >= 10 and (bare & measures).sum() >= 25
    is_chance(features[bare], measures[bare])
    is_chance(features[~bare], measures[~bare])
    checks = np.array([kinds[i] == Kind.SPOT_CHECK for i in ids])
    is_chance(features[bare], checks[bare])
    # It is no blind adversary: what can be seen, it sees.
    for seen in (bare, np.arange(len(bare)) > 100):
        assert max(best_guess(features, seen).values()) > 0.95


def test_nothing_that_the_server_knows_tells_which_images_they_are(site):
    site.pushed("nameless", 3)
    folder = ReviewFolder(site.workspace, "nameless")
    project = folder.project()
    with site.client() as server:
        (number,) = project.numbers()
        tasks = server.calls.asked("api/tasks", project=number, fields="all")["tasks"]
        said = json.dumps([server.calls.asked(f"api/projects/{number}/"), tasks])
    words = set(re.findall(r"[\w-]+", said))
    for image_id in (row["image_id"] for row in folder.tasks()):
        assert project.alias(image_id) in words
        guessed = {sha256(f"{word}/{image_id}".encode()).hexdigest()[:20] for word in words}
        assert not (guessed | {image_id}) & words


def _parsed(chunks):
    from sixrayd.core.documents import parse_json

    return parse_json(b"".join(chunks))


def planned(key):
    """What a push would send, in order: whether it measures, and whether it is bare."""
    project = Project(f"key{key}", "local")
    row = ({"label": "Gun"},)
    queue = [ReviewImage(f"N{n}", Kind.CANDIDATE, n, 0.5, row) for n in range(QUEUE)]
    strewn = [ReviewImage(f"C{n}", Kind.SPOT_CHECK, 0, 0.0, ()) for n in range(12)]
    strewn += [ReviewImage(f"K{n}", Kind.KNOWN, 0, 0.5, row) for n in range(12)]
    sent = interleave(*hold_back(queue, strewn, project), project.key)
    measures = np.array([item.kind != Kind.CANDIDATE for item in sent])
    return measures, np.array([not item.drawn for item in sent])


def test_over_many_pushes_order_and_neighbours_tell_nothing():
    measures, bare, rows = [], [], []
    for key in range(60):
        measuring, plain = planned(key)
        around = np.pad(plain.astype(float), 2)
        for place in range(len(plain)):
            rows.append([place, *around[place : place + 2], *around[place + 3 : place + 5]])
        measures, bare = [*measures, *measuring], [*bare, *plain]
    rows, measures, bare = np.array(rows, float), np.array(measures), np.array(bare)
    # A bare one measures as often as not, and each of the rest is one of 20.
    assert measures[bare].mean() == pytest.approx(0.5, abs=0.03)
    for look in (bare, ~bare):
        few = np.flatnonzero(look)[:: 1 + look.sum() // 2500]
        is_chance(rows[few], measures[few])


def test_few_of_the_queue_are_held_back_and_known_items_as_often():
    row = ({"label": "Gun"},)
    queue = [ReviewImage(f"N{n}", Kind.CANDIDATE, n, 0.5, row) for n in range(2000)]
    items = [ReviewImage(f"K{n}", Kind.KNOWN, 0, 0.5, row) for n in range(2000)]
    checks = [ReviewImage(f"C{n}", Kind.SPOT_CHECK, 0, 0.0, ()) for n in range(900)]
    project = Project("0123456789abcdef", "local")

    def bare(strewn):
        parts = hold_back(queue, strewn, project)
        return [sum(not item.drawn for item in part) for part in parts]

    held, measured = bare([*checks, *items])
    assert held == pytest.approx(200, abs=45) and measured - 900 == pytest.approx(200, abs=45)
    assert bare(checks[:40])[0] == pytest.approx(40, abs=20)
    assert bare(items)[0] == 0
    assert hold_back([], checks, project) == ([], checks)


def test_a_push_that_hides_nothing_says_so():
    assert caution_of(10, 10, limited=True) == ()
    assert caution_of(0, 1, limited=True) == (
        "1 image to measure by, 0 of the queue: reviewers may tell which; a higher --limit hides "
        "them",
    )
    assert caution_of(3, 20, limited=False)[0].endswith("; the queue has no more to hide them")


def test_the_area_under_a_curve_by_hand():
    marks = np.array([True, False, True, False])
    assert auc(np.array([3.0, 2.0, 1.0, 0.0]), marks) == 0.75
    assert auc(np.zeros(4), marks) == 0.5
