"""Scripts of `benchmarks/` and `docs/` go along with what they import."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [
    path.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "docs", "requirements")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_imported(name, monkeypatch):
    spec = importlib.util.spec_from_file_location("script", ROOT / name)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "script", module)
    spec.loader.exec_module(module)
    assert module.__doc__
