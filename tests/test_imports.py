"""The architecture of DESIGN: which folder may import which."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import sixrayd

ROOT = Path(sixrayd.__file__).parent
LIBRARIES = (
    *("core", "imaging", "datasets", "evaluation", "decisions", "advice", "statistics"),
    *("detectors", "crop"),
)
COMPOSERS = {
    *("cli.py", "api.py", "demo", "__main__.py", "plan", "report", "status"),
    *("audit/other_sets.py", "browse/standing.py", "estimate/labels.py", "export/changelog.py"),
}
# Heavy parts sit behind one adapter file each.
ADAPTERS = {
    "fiftyone": "browse/fiftyone_adapter.py",
    "label_studio_sdk": "review/label_studio/calls.py",
    "ray": "core/ray_cluster.py",
}


@cache
def _trees():
    """file → its syntax, of every file in the package."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
    }


@cache
def _imports():
    """(file, imported module) of every import in the package, function bodies included."""
    found = []
    for file, tree in _trees().items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found += [(file, name) for name in names]
    return found


def test_a_folder_imports_only_from_above():
    checked, wrong = 0, []
    for file, module in _imports():
        folder = file.split("/")[0]
        parts = module.split(".")
        if COMPOSERS & {folder, file} or parts[0] != "sixrayd" or parts[1:2] in ([], [folder]):
            continue
        checked += 1
        allowed = LIBRARIES[: LIBRARIES.index(folder)] if folder in LIBRARIES else LIBRARIES
        if parts[1] not in allowed:
            wrong.append(f"{file} imports {module}")

    assert checked > 100
    assert wrong == []


def test_the_review_knows_its_server_by_the_protocol_alone():
    room = "sixrayd.review.label_studio"
    others = [
        f"{file} imports {module}"
        for file, module in _imports()
        if module.startswith(room)
        and not file.startswith(("review/label_studio/", "demo/"))
        and (file, module) != ("review/command.py", f"{room}.command")
    ]

    assert others == []


def test_no_two_classes_share_a_name():
    names = [
        node.name
        for tree in _trees().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]

    assert len(names) > 200
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_large_parts_are_imported_by_their_adapter_alone():
    others = [
        f"{file} imports {module}"
        for file, module in _imports()
        if module.split(".")[0] in ADAPTERS and file != ADAPTERS[module.split(".")[0]]
    ]

    assert [path for path in ADAPTERS.values() if not (ROOT / path).exists()] == []
    assert others == []


BARE = """
import builtins, sys
allowed = set(sys.argv[1].split()) | sys.stdlib_module_names | {"sixrayd"}
real = builtins.__import__

def strict(name, globals=None, locals=None, fromlist=(), level=0):
    ours = globals is not None and str(globals.get("__name__", "")).startswith("sixrayd")
    if ours and level == 0 and name.split(".")[0] not in allowed:
        raise ModuleNotFoundError(f"{globals['__name__']} imports {name}", name=name)
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = strict
import sixrayd.mine.command, sixrayd.mine.stage, sixrayd.train.command, sixrayd.train.stage
print("imported")
"""


def test_training_and_mining_need_few_libraries():
    few = "torch numpy pandas pyarrow PIL lxml click rich cv2 scipy matplotlib safetensors fsspec"
    few += " simplejpeg triton"  # which are asked for and can be missing

    done = subprocess.run(
        [sys.executable, "-c", BARE, few], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr, done.returncode) == ("imported\n", "", 0)


STARTED = """
import importlib, sys
from sixrayd.cli import COMMANDS
for name in COMMANDS:
    importlib.import_module(f"sixrayd.{name}.command")
slow = "torch scipy.optimize scipy.stats matplotlib pandas httpx label_studio_sdk ray fiftyone"
print(len(COMMANDS), *sorted(sys.modules.keys() & slow.split()))
"""


def test_no_command_waits_for_a_large_library_to_start():
    started = subprocess.check_output([sys.executable, "-c", STARTED], text=True)

    assert started.split()[1:] == [] and int(started.split()[0]) >= 9


def test_every_command_has_its_stage():
    from sixrayd.cli import COMMANDS

    assert len(COMMANDS) >= 9
    assert [name for name in COMMANDS if not (ROOT / name / "command.py").exists()] == []


# Where something else than a file of a workspace, or of people's own, is opened without a look.
UNLOOKED = {
    "core/files.py": "looks itself, or opens what it has just written",
    "core/tables.py": "what it has just written",
    "core/resources.py": "the package's own files",
    "benchmark/report/page.py": "the package's own file",
    "review/label_studio/environment.py": "the package's own file, and the user's own cache",
    "core/locks.py": "what the system tells of processes",
    "core/memory.py": "what the system tells of processes",
    "core/counting.py": "a file that is open",
    "review/label_studio/backup.py": "a new database",
    "review/label_studio/inside/sixrayd_rows.py": "a new database, or one that was checked",
    "demo/reviewer.py": "what the demo has just made",
    "synth/archive.py": "what it has just written",
    "synth/release.py": "what it has just written",
    "download/joining.py": "what it has just written",
    "detectors/backend_openvino.py": "what it has just written",
    "download/register.py": "a database in memory",
    "mine/worker.py": "a store, which looks itself",
    "mine/stage.py": "a store, which looks itself",
}
LOOKS = {"check_plain", "open_plain"}
READS = {
    *("read_text", "read_bytes", "safe_open", "ParquetFile", "read_metadata", "OSFile"),
    *("memory_map", "memmap", "fromfile", "loadtxt", "imread"),
}


def _name(call):
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _opens_unlooked(call):
    """Whether a call opens a path to read from it, or to go on writing, as far as it shows."""
    name, first = _name(call), call.args[0] if call.args else None
    mode = getattr(first, "value", None)
    if name == "open" and isinstance(call.func, ast.Attribute):
        if isinstance(mode, str):
            return mode[0] in "ra"
        return any(word.arg == "encoding" for word in call.keywords)
    whole = ast.unparse(call)
    return (
        name in READS
        or (name == "open" and isinstance(call.func, ast.Name))
        or whole.startswith(("pq.read_table(", "torch.load(", "np.load(", "sqlite3.connect("))
        or (name == "ZipFile" and getattr(first, "id", "") == "path" and len(call.args) == 1)
    )


def _unlooked(tree):
    """Calls that open what may be a pipe, outside functions that look before."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
            if not LOOKS & set(map(_name, calls)):
                yield from (ast.unparse(call) for call in calls if _opens_unlooked(call))


def test_files_are_looked_at_before_they_are_opened():
    raw = {file: found for file, tree in _trees().items() if (found := [*_unlooked(tree)])}

    assert {file: calls for file, calls in raw.items() if file not in UNLOOKED} == {}
    assert UNLOOKED.keys() - raw.keys() == set()


def test_files_of_a_tar_are_opened_in_one_place():
    found = {
        file
        for file, tree in _trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("extractfile", "extract", "extractall")
    }
    assert found == {"core/shards.py"}  # where sparse files are refused


def test_what_opens_a_file_unlooked_is_seen():
    raw = """def read(path):
    path.read_text("utf-8"); path.open("rb"); path.open("ab"); open(path); path.read_bytes()
    path.open(encoding="utf-8"); pq.read_table(path); zipfile.ZipFile(path); torch.load(path)
"""
    assert len([*_unlooked(ast.parse(raw))]) == 9
    looked = raw + "    check_plain(path)\n"
    assert [*_unlooked(ast.parse(looked))] == []
    written = "def write(path):\n    path.open('wb'); archive.open(entry); os.open(path, 1)\n"
    assert [*_unlooked(ast.parse(written))] == []
