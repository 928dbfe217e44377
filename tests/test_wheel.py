"""The built wheel, installed where no checkout is near."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_brings_annotation_and_manifests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {
        "sixrayd/annotation/labelling.xml",
        "sixrayd/annotation/guidelines.md",
        "sixrayd/annotation/guidelines.html",
        "sixrayd/annotation/images/examples.jpg",
        "sixrayd/manifests/classes.toml",
        "sixrayd/manifests/sources.toml",
        "sixrayd/benchmark/report/page.html.jinja",
        "sixrayd/api.pyi",
        "sixrayd/py.typed",
        "sixrayd/review/label_studio/constraints.txt",
        "sixrayd/review/label_studio/inside/sixrayd_settings.py",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_the_wheel_runs_without_a_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "from sixrayd.core.classes import ClassList; from sixrayd.core.resources import resource;"
        "import sixrayd; print(sixrayd.__file__); print(ClassList().canonical('plier'));"
        "print(resource('annotation', 'labelling.xml').exists());"
        "from sixrayd.cli import main; import sys; sys.argv = ['sixrayd', '--version']; main()"
    )

    # -P keeps this folder off the path, and site comes before an editable install.
    answer = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.splitlines() == [
        str(site / "sixrayd" / "__init__.py"),
        "Pliers",
        "True",
        "sixrayd, version 0.1.0",
    ]
