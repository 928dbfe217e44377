"""Backups that somebody made or changed, and backups and restores that were killed."""

import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import struct
import sys
import tarfile
from contextlib import closing
from random import Random

import pytest

from sixrayd.core.errors import ServiceError, WorkspaceError
from sixrayd.core.restored import LATEST
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio import restore as restoring
from sixrayd.review.label_studio import unpacking
from sixrayd.review.label_studio.backup import _review_files, back_up, backups
from sixrayd.review.label_studio.database import refuse_programs
from sixrayd.review.label_studio.restore import restore
from sixrayd.review.label_studio.server import server_folder, server_mark, start
from sixrayd.review.label_studio.taking_place import finish_restore
from tests.processes import ran
from tests.releases import repacked
from tests.review.label_studio.test_backup import listed, small

DATABASE = "server/data/label_studio.sqlite3"
# Does each again and again, every time in a process that ends without warning one change later.
_STRUCK = """
import os, shutil, signal, sys
from pathlib import Path
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio import backup, restore

CALLS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod")
root = Path(sys.argv[1])

def strike(what, folder, calls):
    def count(event, args):
        nonlocal calls
        changes = event in CALLS or (event == "open" and args[2] & os.O_ACCMODE)
        calls -= bool(changes)
        if changes and calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    what(Workspace(folder))

for what in (backup.back_up, restore.restore):
    moment, status = 0, signal.SIGKILL
    while status == signal.SIGKILL:
        folder = root.with_name(f"{what.__name__}-{moment:03}")
        shutil.copytree(root, folder)
        child = os.fork()
        if not child:
            try:
                strike(what, folder, moment)
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        moment += 1
    assert status == 0, status
"""


@pytest.fixture(scope="module")
def struck(tmp_path_factory):
    """Copies of a workspace by what was done there when it was struck; the last ones were not."""
    folder = tmp_path_factory.mktemp("struck")
    workspace = backed_up(folder / "w")
    database(workspace, 3)
    (server_folder(workspace) / "secret.json").write_text('{"later": 1}')
    shutil.rmtree(workspace.folder("review", "r"))
    done = ran([sys.executable, "-c", _STRUCK, str(workspace.root)])
    assert done.returncode == 0, done.stderr
    return {
        what: [Workspace(path) for path in sorted(folder.glob(f"{what}-*"))]
        for what in ("back_up", "restore")
    }


def backed_up(root):
    """A workspace with a database of one task, and its backup."""
    workspace = small(root)
    (server_folder(workspace) / "secret.json").write_text("{}")
    back_up(workspace)
    return workspace


def database(workspace, tasks):
    """Give the server's database so many tasks."""
    path = server_folder(workspace) / "data" / "label_studio.sqlite3"
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute("DELETE FROM task")
        opened.executemany("INSERT INTO task VALUES (?)", [(n,) for n in range(tasks)])


def tasks_in(path):
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        return opened.execute("SELECT count(*) FROM task").fetchone()[0]


def databases(workspace):
    """How many tasks each database has that somebody might miss."""
    found = server_folder(workspace).rglob("label_studio.sqlite3")
    return sorted(tasks_in(path) for path in found if ".restoring" not in path.parts)


def contents(workspace):
    marks = (".lock", ".lock-review", "running", LATEST)  # who was here, and when
    files = (p for p in workspace.root.rglob("*") if p.is_file() and p.name not in marks)
    return {path.relative_to(workspace.root).as_posix(): path.read_bytes() for path in files}


def refused(workspace, archive):
    """What is said of an archive that is not put back; nothing has changed then."""
    before = contents(workspace)
    with pytest.raises(WorkspaceError) as caught:
        restore(workspace, archive)
    assert contents(workspace) == before
    assert not (server_folder(workspace) / ".restoring").exists()
    return str(caught.value).removeprefix(f"{archive}: ")


@pytest.fixture
def workspace(tmp_path):
    return backed_up(tmp_path / "w")


@pytest.fixture
def archive(workspace, tmp_path):
    return shutil.copy(backups(workspace)[0], tmp_path / "given.tar.gz")


@pytest.mark.long
def test_killed_at_any_moment_a_backup_is_there_whole_or_not_at_all(struck, tmp_path):
    copies = struck["back_up"]
    assert len(copies) > 6
    whole = 0
    for number, copy in enumerate(copies):
        there = backups(copy)
        fresh = Workspace(tmp_path / f"fresh-{number}")
        found = [restore(fresh, path).tasks for path in there]
        assert found in ([1], [1, 3])
        whole += len(found) == 2
        again = back_up(copy)
        assert (again.tasks, backups(copy)[-1].name) == (3, again.file.rpartition("/")[2])
    assert whole >= 1


@pytest.mark.long
def test_killed_at_any_moment_a_restore_loses_nothing_and_can_be_done_again(struck):
    copies = struck["restore"]
    assert len(copies) > 12
    ends = []
    for copy in copies:
        assert 3 in databases(copy)  # what was there before, in its place or aside
        with server_mark(copy) as mark:  # as a start has it
            server = mark.path.parent
            finish_restore(server)
        ends.append((tasks_in(server / DATABASE[7:]), (server / "secret.json").read_text()))
        assert not list(server.glob(".rest*"))
        assert 3 in databases(copy)
        result = restore(copy)
        assert (result.tasks, result.kept) == (1, ())
        server = server_folder(copy)
        assert tasks_in(server / "data" / "label_studio.sqlite3") == 1
        assert (server / "secret.json").read_text() == "{}"
        assert (copy.folder("review", "r") / "project.json").read_text() == "{}"
        assert 3 in databases(copy)
        assert not (server / ".restoring").exists()
    before, after = (3, '{"later": 1}'), (1, "{}")  # never one's database with the other's secret
    assert set(ends) == {before, after} and ends == sorted(ends, reverse=True)


def with_member(archive, out, name, kind, link=""):
    """The archive with one more member that is no plain file, listed like any other."""
    with tarfile.open(archive) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(out, "w:gz") as tar:
        for file, data in listed(members, name, b"")[:-1]:
            member = tarfile.TarInfo(file)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        tar.addfile(member)
    return out


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../../../../outside"),
        (tarfile.LNKTYPE, "review/r/project.json"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
    ],
)
def test_links_devices_and_folders_are_refused(workspace, archive, tmp_path, kind, link):
    odd = with_member(archive, tmp_path / "odd.tar.gz", "review/r/odd", kind, link)
    assert refused(workspace, odd) == (
        "not a whole backup: it holds 'review/r/odd', which it should not; take another"
    )


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/x",
        "../x",
        "review/../../x",
        "server/data/../../../x",
        "shards/index.parquet",
        "models/rfb/weights.safetensors",
        "sixrayd.toml",
        ".pseudonyms.key",
        "./review/../x",
        "review/./r/x",
        "review//r/x",
        "review/x",
        "review/server/running",
        "review/Server/data/x",
        "review/.hidden/project.json",
        "review/r/.project.json",
        "review/r/a\x1b[31mb",
        "review/r/line\nbreak",
        "review/r/" + "n" * 256,
        "review/1/2/3/4/5/6",
        "server/data/label_studio.sqlite3-journal",
        "server/data/x.py",
        "server/images/r/x.jpg",
        "server/state.json",
        "server/data/media/upload/../../../x",
    ],
)
def test_files_that_belong_elsewhere_are_refused(workspace, archive, tmp_path, name):
    odd = repacked(archive, tmp_path / "odd.tar.gz", lambda m: listed(m, name, b"harm"))
    assert refused(workspace, odd) == (
        f"not a whole backup: it holds {name[:100]!r}, which it should not; take another"
    )


def test_a_file_that_comes_twice_is_refused(workspace, archive, tmp_path):
    twice = repacked(archive, tmp_path / "twice.tar.gz", lambda m: [*m, m[-1]])
    assert refused(workspace, twice) == (
        "not a whole backup: it holds 'review/r/project.json', which it should not; take another"
    )


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"files": []}',
        b'{"files": {}, "counts": 5}',
        b'{"files": {}, "counts": {"tasks": 1}}',
        b'{"files": {}, "counts": {"tasks": "many", "annotations": 0}}',
        b"\xff",
        b"[" * 100_000,
        b'{"files": {}, "counts": {"tasks": 1e400}}',
    ],
)
def test_a_manifest_that_is_none_is_refused(workspace, tmp_path, manifest):
    odd = tmp_path / "odd.tar.gz"
    with tarfile.open(odd, "w:gz") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        tar.addfile(member, io.BytesIO(manifest))
    said = refused(workspace, odd)
    assert said.startswith("not a whole backup: ") and said.endswith("; take another")


def test_a_manifest_too_large_to_read_is_refused_unread(workspace, tmp_path):
    member = tarfile.TarInfo("manifest.json")
    member.size = 65 * 1024**2
    odd = tmp_path / "odd.tar.gz"
    odd.write_bytes(gzip.compress(member.tobuf()))
    assert refused(workspace, odd) == (
        "not a whole backup: it does not begin with a manifest; take another"
    )


def with_database(archive, out, data, **counts):
    """The archive with another database, its hash and counts in the manifest."""

    def change(members):
        manifest = json.loads(members[0][1])
        manifest["files"][DATABASE] = hashlib.sha256(data).hexdigest()
        manifest["counts"] |= counts
        rest = [(name, data if name == DATABASE else old) for name, old in members[1:]]
        return [("manifest.json", json.dumps(manifest).encode()), *rest]

    return repacked(archive, out, change)


def test_a_database_that_is_damaged_or_another_is_refused(workspace, archive, tmp_path):
    noise = with_database(archive, tmp_path / "noise.tar.gz", b"no database" * 100)
    assert refused(workspace, noise) == "its database is damaged (file is not a database)"
    bare = sqlite3.connect(":memory:")
    bare.execute("CREATE TABLE task (id)")
    less = with_database(archive, tmp_path / "less.tar.gz", bare.serialize())
    assert refused(workspace, less) == ("its database is damaged (no such table: task_completion)")
    bare.execute("CREATE TABLE task_completion (id)")
    other = with_database(archive, tmp_path / "other.tar.gz", bare.serialize(), tasks=1)
    bare.close()
    assert refused(workspace, other) == (
        "its database holds {'tasks': 0, 'annotations': 0}, expected {'tasks': 1, 'annotations': 0}"
    )


def is_refused(archive, whole, fresh):
    """Whether nothing comes of an archive; else all comes that came of the whole one."""
    try:
        restore(fresh, archive)
    except WorkspaceError as error:
        assert str(error).startswith(f"{archive}: ")
        assert contents(fresh) == {}
        return True
    assert contents(fresh) == whole
    return False


def test_a_backup_that_was_cut_short_is_refused(workspace, archive, tmp_path):
    restore(first := Workspace(tmp_path / "first"), archive)
    whole, data, cut = contents(first), archive.read_bytes(), tmp_path / "cut.tar.gz"
    refusals = []
    for part in range(30):
        cut.write_bytes(data[: len(data) * part // 30])
        refusals.append(is_refused(cut, whole, Workspace(tmp_path / f"fresh-{part}")))
    assert all(refusals[:28])  # after the last file's last byte there is but padding


def test_a_byte_that_has_changed_is_found_or_changes_nothing(workspace, archive, tmp_path):
    restore(first := Workspace(tmp_path / "first"), archive)
    whole, data, spoilt = contents(first), archive.read_bytes(), tmp_path / "spoilt.tar.gz"
    refusals = []
    for place in Random(3).sample(range(len(data)), 40):
        spoilt.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        refusals.append(is_refused(spoilt, whole, Workspace(tmp_path / f"fresh-{place}")))
    assert sum(refusals) > 30


@pytest.mark.parametrize("what", ["a folder", "a pipe", "empty", "a text", "a plain tar"])
def test_what_is_no_archive(workspace, archive, tmp_path, what):
    path = tmp_path / "odd.tar.gz"
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a plain tar":
        path.write_bytes(gzip.decompress(archive.read_bytes()))
    else:
        path.write_bytes(b"" if what == "empty" else b"a text")
    said = refused(workspace, path)
    assert said.startswith("not a whole backup: ") and said.endswith("; take another")


def test_without_a_backup_the_message_says_where_it_looked(tmp_path):
    with pytest.raises(WorkspaceError) as caught:
        restore(Workspace(tmp_path))
    assert str(caught.value) == f"{tmp_path / 'review' / 'server' / 'backups'}: no backup here"


def test_a_backup_holds_reviews_and_samples_but_no_images_and_nothing_hidden(workspace):
    root, server = workspace.root, server_folder(workspace)
    kept = {
        "review/r/decisions/00001.parquet": root,
        "estimate/r/sample.parquet": root,
        "data/.env": server,
        "data/media/upload/3/ab-cd.jpg": server,
        "data/media/upload/3/ab-Gepäck 7 (1).jpg": server,
        "secret.json": server,
    }
    left_out = {
        "review/r/.part": root,
        "review/.hidden/project.json": root,
        "estimate/r/.sample.part": root,
        "images/first/ab.jpg": server,
        "server.log": server,
        "state.json": server,
        "data/export/all.json": server,
        "shards/index.parquet": root,
        "data/media/upload/3/ab-\x1b[31m.jpg": server,  # no backup with it would be put back
    }
    for number, (name, base) in enumerate((kept | left_out).items()):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(f"{number}")
    with tarfile.open(back_up(workspace).file) as tar:
        names = tar.getnames()
    expected = {name if base == root else f"server/{name}" for name, base in kept.items()}
    assert names[0] == "manifest.json"
    assert set(names[1:]) == expected | {DATABASE, "review/r/project.json"}
    assert len(names) == len(set(names)) == 9


def test_while_somebody_writes_nothing_is_put_back(workspace):
    before = contents(workspace)
    with workspace.lock(), pytest.raises(WorkspaceError, match="in use by process"):
        restore(Workspace(workspace.root))
    assert contents(workspace) == before


def test_more_files_than_any_backup_has_are_refused_unread(workspace, tmp_path):
    files = {f"review/r/{n}": "" for n in range(200_001)}
    manifest = json.dumps({"files": files, "counts": {}}).encode()
    with tarfile.open(tmp_path / "odd.tar.gz", "w:gz", compresslevel=1) as tar:
        head = tarfile.TarInfo("manifest.json")
        head.size = len(manifest)
        tar.addfile(head, io.BytesIO(manifest))
    assert refused(workspace, tmp_path / "odd.tar.gz") == (
        "not a whole backup: it lists 200001 files, expected at most 200000; take another"
    )


def test_more_than_there_is_room_for_is_refused(workspace, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "_MOST_BYTES", 2 << 20)
    zeros = bytes(3 << 20)
    bomb = repacked(archive, tmp_path / "bomb.tar.gz", lambda m: listed(m, "review/r/z", zeros))
    assert bomb.stat().st_size < 50_000
    assert refused(workspace, bomb).startswith(
        "not a whole backup: it unpacks to more than the 1 MB that there is room"
    )


def test_a_disk_without_room_is_no_fault_of_the_backup(workspace, archive, monkeypatch):
    monkeypatch.setattr(unpacking, "_ROOM", 1 << 60)
    with pytest.raises(WorkspaceError, match="No space left on device; make room there"):
        restore(workspace, archive)
    assert not list(server_folder(workspace).glob(".restor*"))


def test_a_sparse_file_that_claims_a_terabyte_is_refused_unread(workspace, archive, tmp_path):
    with tarfile.open(archive) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    header = bytearray(tarfile.TarInfo("review/r/huge").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = f"{1 << 32:011o}".encode() + b"\0"
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(header)[0]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in listed(members, "review/r/huge", b"")[:-1]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        end = tar.offset
    odd = tmp_path / "odd.tar.gz"
    odd.write_bytes(gzip.compress(plain.getvalue()[:end] + bytes(header) + bytes(1024)))
    assert refused(workspace, odd) == (
        "not a whole backup: it holds 'review/r/huge', which it should not; take another"
    )


def test_nothing_is_written_of_a_hole_that_is_listed(workspace, tmp_path):
    manifest = json.dumps({"files": {DATABASE: ""}, "counts": {"tasks": 0, "annotations": 0}})
    with tarfile.open(tmp_path / "odd.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        head, hole = tarfile.TarInfo("manifest.json"), tarfile.TarInfo(DATABASE)
        head.size = len(manifest)
        tar.addfile(head, io.BytesIO(manifest.encode()))
        hole.pax_headers = {"GNU.sparse.size": "1000", "GNU.sparse.map": "1000,0"}
        tar.addfile(hole)
    assert refused(workspace, tmp_path / "odd.tar.gz") == (
        f"not a whole backup: it holds {DATABASE!r}, which it should not; take another"
    )


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_header_of_many_gigabytes_is_refused_unread(workspace, tmp_path, kind):
    member = tarfile.TarInfo("manifest.json")
    member.type, member.size = kind, 1 << 35
    odd = tmp_path / "odd.tar.gz"
    odd.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT)))
    assert refused(workspace, odd) == (
        "not a whole backup: a header of 34359738368 bytes; take another"
    )


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS id FROM n"


@pytest.mark.parametrize(
    ("statements", "unexpected"),
    [
        (["DROP TABLE task", f"CREATE VIEW task AS {ENDLESS}"], "view, 'task'"),
        (
            ["CREATE TRIGGER t AFTER INSERT ON task BEGIN DELETE FROM task_completion; END"],
            "trigger, 't'",
        ),
        (["CREATE VIRTUAL TABLE v USING fts5(x)"], "virtual table, 'v'"),
        (
            ["CREATE TABLE c (id, n GENERATED ALWAYS AS (hex(zeroblob(900000000))))"],
            "computed column, 'n'",
        ),
        (['CREATE VIEW "a\nb\x1b[31m" AS SELECT 1'], "view, 'a\\nb\\x1b[31m'"),
    ],
)
def test_a_database_with_programs_is_refused_unrun(
    workspace, archive, tmp_path, statements, unexpected
):
    bare = sqlite3.connect(":memory:")
    for statement in ("CREATE TABLE task (id)", "CREATE TABLE task_completion (id)", *statements):
        bare.execute(statement)
    odd = with_database(archive, tmp_path / "odd.tar.gz", bare.serialize(), tasks=0)
    bare.close()
    said = f"its database is damaged (it has a {unexpected}, which Label Studio's has not)"
    assert refused(workspace, odd) == said


def test_no_server_starts_and_nobody_writes_while_it_is_unpacked(workspace, archive, monkeypatch):
    tried = []

    def unpack(file, folder):
        for refused_now in (lambda: start(workspace), lambda: restore(workspace, archive)):
            with pytest.raises(ServiceError) as caught:
                refused_now()
            tried.append(str(caught.value))
        with pytest.raises(WorkspaceError, match="in use by process"), workspace.lock():
            pass
        return unpacking.unpack(file, folder)

    monkeypatch.setattr(restoring, "unpack", unpack)
    assert restore(workspace, archive).tasks == 1
    said = f"a backup is put back by process {os.getpid()}; wait for it"
    assert tried == [f"{server_folder(workspace)}: {said}"] * 2


def test_no_journal_has_sqlite_delete_a_file_that_it_names(tmp_path):
    precious = tmp_path / "precious"
    precious.touch()
    database = tmp_path / "label_studio.sqlite3"
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("CREATE TABLE task (id)")
    database.with_name(f"{database.name}-journal").write_bytes(_journal(database, precious))

    with pytest.raises(sqlite3.DatabaseError, match="-journal names another file, which would go"):
        refuse_programs(database)

    assert precious.exists()


def _journal(database, named):
    """What a process leaves that was killed while it wrote to several databases."""
    page, whole, name = 4096, database.read_bytes(), os.fsencode(named)
    magic = bytes.fromhex("d9d505f920a163d7")
    head = magic + struct.pack(">5I", 1, 0, len(whole) // page, 512, page)
    check = sum(whole[at] for at in range(page - 200, 0, -200))
    record = struct.pack(">I", 1) + whole[:page] + struct.pack(">I", check)
    end = name + struct.pack(">2I", len(name), sum(name)) + magic
    return head.ljust(512, b"\0") + record + struct.pack(">I", (1 << 30) // page + 1) + end


def test_what_links_lead_to_elsewhere_is_packed_in_no_backup(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    folder = workspace.folder("review", "first")
    folder.mkdir(parents=True)
    (folder / "tasks.parquet").write_text("ours")
    assert _review_files(workspace) == [folder / "tasks.parquet"]
    (tmp_path / "secret").write_text("mine")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(WorkspaceError, match="a link leads out of"):
        _review_files(workspace)
