"""The architecture of DESIGN: which folder may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import sixrayd

ROOT = Path(sixrayd.__file__).parent
LIBRARIES = (
    *("core", "imaging", "datasets", "evaluation", "decisions", "advice", "statistics"),
    *("detectors", "crop"),
)
COMPOSERS = {"cli.py", "api.py", "demo", "__main__.py", "audit/other_sets.py", "status"}
# Heavy parts sit behind one adapter file each.
ADAPTERS = {
    "fiftyone": "browse/fiftyone_adapter.py",
    "label_studio_sdk": "review/label_studio/client.py",
    "ray": "core/ray_cluster.py",
}


def _imports():
    """(file, imported module) of every import in the package, function bodies included."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found += [(path.relative_to(ROOT).as_posix(), name) for name in names]
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
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.parse(path.read_text("utf-8")).body
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


def test_every_command_has_its_stage():
    from sixrayd.cli import COMMANDS

    assert len(COMMANDS) >= 9
    assert [name for name in COMMANDS if not (ROOT / name / "command.py").exists()] == []
