"""The scripts that measure: all start the same way, and pages quote them so."""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    path.stem
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if '__name__ == "__main__"' in path.read_text("utf-8")
]


def test_each_loads_as_a_module_and_says_how_it_is_called():
    assert len(NAMES) >= 14
    modules = [importlib.import_module(f"benchmarks.{name}") for name in NAMES]

    silent = [m.__name__ for m in modules if f"python -m {m.__name__} " not in (m.__doc__ or "")]
    assert silent == []


def test_pages_quote_commands_that_are_there():
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    quoted = re.findall(r"python -m benchmarks\.([a-z_]+)", text)

    assert len(quoted) >= 12
    assert [name for name in quoted if not list((ROOT / "benchmarks").glob(f"{name}*"))] == []
    assert re.findall(r"python benchmarks/\S*", text) == []
